//! What `larder serve` prints when it serves.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::Duration;

use larder_server::{Address, Listener};
use larder_tenancy::Directory;

use super::Chosen;
use crate::node::accounts::Accounts;
use crate::{tell, units};

/// The lines of the banner: a heading, and what belongs to it.
#[derive(Debug)]
pub(super) struct About {
    lines: Vec<(&'static str, String)>,
    /// Whether other machines may reach a listener.
    reachable: bool,
    warning: Option<String>,
    /// How long stopping may take.
    stop: Duration,
}

impl About {
    pub(super) fn new(chosen: &Chosen, listeners: &[Listener]) -> Self {
        let mut lines = Vec::new();
        let plain = chosen.listen.len();
        let mut heading = "Listening";
        let mut reachable = false;
        for (at, listener) in listeners.iter().enumerate() {
            let line = match listener.address() {
                Address::Tcp(address) => {
                    reachable |= !address.ip().is_loopback();
                    let tls = if at >= plain { "  (TLS)" } else { "" };
                    format!("{address}{tls}")
                }
                Address::Unix(path) => format!("{path}  (unix socket, {:o})", chosen.unix_mode),
                Address::Unknown => continue,
            };
            lines.push((std::mem::take(&mut heading), line));
        }
        let settings = &chosen.settings;
        let memory = units::show_size(settings.memory_bytes as u64);
        let item = units::show_size(settings.max_item_bytes as u64);
        lines.push(("Memory", format!("{memory}, items up to {item}")));
        let (threads, connections) = (settings.workers, settings.max_connections);
        let threads = plural(threads, "thread");
        lines.push(("Serving", format!("{threads}, up to {connections} connections")));
        Self { lines, reachable, warning: None, stop: settings.stop_deadline }
    }

    /// Tells who may use a server without accounts.
    pub(super) fn users(&mut self, accounts: &Accounts, directory: &Directory) {
        let users = plural(directory.credentials().count(), "user");
        let tenants = plural(directory.tenants().count(), "tenant");
        let who = match accounts {
            Accounts::File(file) => {
                let (path, id) = (file.path.display(), std::process::id());
                format!("{users} of {tenants}, from {path} (kill -HUP {id} reads it again)")
            }
            Accounts::Open | Accounts::Followed => {
                "everybody, without a password (--open)".to_owned()
            }
        };
        self.line("Users", who);
        if self.reachable && matches!(accounts, Accounts::Open) {
            self.warn(
                "Everybody who can reach these addresses may read, change and flush everything.",
            );
        }
    }

    /// One more line.
    pub(super) fn line(&mut self, heading: &'static str, line: String) {
        self.lines.push((heading, line));
    }

    /// What must not be overlooked.
    pub(super) fn warn(&mut self, warning: impl Into<String>) {
        self.warning = Some(warning.into());
    }

    pub(super) fn print(&self) {
        tell::out(self.text(std::io::stdout().is_terminal()));
    }

    fn text(&self, colours: bool) -> String {
        let (bold, dim, end) =
            if colours { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
        let mut text = format!("{bold}Larder {}{end}\n\n", env!("CARGO_PKG_VERSION"));
        for (heading, line) in &self.lines {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {dim}{heading:<10}{end} {line}");
        }
        if let Some(warning) = &self.warning {
            let _ = write!(text, "\n  {bold}{warning}{end}\n");
        }
        let _ = write!(
            text,
            "\nCtrl-C stops it, and waits up to {:?} for clients to take their replies.\n",
            self.stop
        );
        text
    }
}

/// A count and what is counted.
pub(super) fn plural(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}
