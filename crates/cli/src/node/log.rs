//! Log lines of a server, on standard error.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;

/// From now on writes what goes wrong, and with every step of `verbosity` more of what goes on.
pub(crate) fn init(verbosity: u32) {
    let level = match verbosity {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let lines = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_max_level(level)
        .with_target(false)
        // Said on standard error, too: it would panic if that is what cannot be written to.
        .log_internal_errors(false)
        .finish();
    // It fails if log lines go somewhere already, which is as good.
    let _ = tracing::subscriber::set_global_default(lines);
}
