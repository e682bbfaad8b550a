//! Asking before something is done that cannot be undone.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::bail;

/// Asks on the terminal whether to go on; `yes` answers for whoever is asked.
///
/// # Errors
///
/// If the answer is no, or there is nobody to ask.
pub(super) fn sure(yes: bool, question: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        bail!("{question} There is no terminal to ask on: add --yes");
    }
    let mut stderr = std::io::stderr();
    write!(stderr, "{question} Type yes to go on: ")?;
    stderr.flush()?;
    let mut answer = String::new();
    stdin.lock().read_line(&mut answer)?;
    match answer.trim() {
        "yes" => Ok(()),
        _ => bail!("nothing was changed"),
    }
}
