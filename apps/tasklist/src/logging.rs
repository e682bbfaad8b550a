//! Log lines on standard error: readable text, or one JSON object a line for a collector.
//!
//! `RUST_LOG` chooses which (`info` when unset). Set up once, by the binary; a library never does.
//! Standard output stays free for what a command was asked to print.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

impl LogFormat {
    /// `text` or `json`.
    pub(crate) fn parse(text: &str) -> Option<LogFormat> {
        match text {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        }
    }
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// `RUST_LOG` cannot be understood.
    #[error(
        "RUST_LOG is {value:?}: {problem}; valid are error, warn, info, debug, trace, or a list such as info,sqlx=warn"
    )]
    Filter {
        /// The value.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Something has set up logging before.
    #[error("logging is already set up in this process")]
    AlreadySet,
}

/// Sends the process's log lines to standard error, filtered by `RUST_LOG`.
pub fn init(format: LogFormat) -> Result<(), LoggingError> {
    let lines = fmt::Subscriber::builder()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_env_filter(filter(std::env::var_os("RUST_LOG"))?);
    let set = match format {
        LogFormat::Text => tracing::subscriber::set_global_default(lines.finish()),
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_current_span(false);
            tracing::subscriber::set_global_default(lines.finish())
        }
    };
    set.map_err(|_| LoggingError::AlreadySet)
}

fn filter(value: Option<std::ffi::OsString>) -> Result<EnvFilter, LoggingError> {
    let value = value.map_or_else(String::new, |value| value.to_string_lossy().into_owned());
    let spec = if value.is_empty() { "info" } else { &value };
    EnvFilter::try_new(spec)
        .map_err(|error| LoggingError::Filter { problem: error.to_string(), value })
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn filters() {
        for right in [None, Some(""), Some("debug"), Some("info,sqlx=warn")] {
            assert!(filter(right.map(Into::into)).is_ok(), "{right:?}");
        }
        let error = filter(Some("info,sqlx=loud".into())).unwrap_err().to_string();
        assert!(error.contains("RUST_LOG") && error.contains("sqlx=loud"), "{error}");
    }
}
