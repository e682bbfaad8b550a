//! What `larder serve` prints when it serves.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::time::Duration;

use larder_server::{Address, Listener};

use super::Chosen;
use crate::node::accounts::Accounts;
use crate::{tell, units};

/// The lines of the banner: a heading, and what belongs to it.
#[derive(Debug)]
pub(super) struct About {
    lines: Vec<(&'static str, String)>,
    warning: Option<&'static str>,
    /// How long stopping may take.
    stop: Duration,
}

impl About {
    pub(super) fn new(
        chosen: &Chosen,
        listeners: &[Listener],
        users: usize,
        tenants: usize,
    ) -> Self {
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
        let open = matches!(chosen.accounts, Accounts::Open);
        lines.push(("Users", who(&chosen.accounts, users, tenants)));
        let warning =
            "Everybody who can reach these addresses may read, change and flush everything.";
        Self {
            lines,
            warning: (open && reachable).then_some(warning),
            stop: settings.stop_deadline,
        }
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
        if let Some(warning) = self.warning {
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

fn who(accounts: &Accounts, users: usize, tenants: usize) -> String {
    match accounts {
        Accounts::Open => "everybody, without a password (--open)".to_owned(),
        Accounts::File(file) => {
            let (users, tenants) = (plural(users, "user"), plural(tenants, "tenant"));
            let (path, id) = (file.path.display(), std::process::id());
            format!("{users} of {tenants}, from {path} (kill -HUP {id} reads it again)")
        }
    }
}

fn plural(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}
