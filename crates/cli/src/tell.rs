//! What a server says to the terminal, or to whatever took its place.
//!
//! Whoever listened may have gone (`larder serve 2>&1 | head`). `println!` panics then, and a server must
//! neither end by that nor lose the thread that waits for its signals: so what cannot be said is not.

use std::fmt::Display;
use std::io::Write as _;

/// To standard output, as it is.
pub(crate) fn out(text: impl Display) {
    let mut stdout = std::io::stdout();
    let _ = write!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// A line to standard error.
pub(crate) fn error(text: impl Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
