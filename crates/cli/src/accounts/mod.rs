//! The commands that look at accounts and change them. They open the accounts' database themselves, so
//! they work before any server ran, and return when every server that runs obeys the change.
//!
//! What was asked for goes to standard output, and nothing else; all else goes to standard error.

mod ask;
pub(crate) mod credentials;
pub(crate) mod flush;
mod format;
pub(crate) mod place;
pub(crate) mod provision;
pub(crate) mod sign_in;
pub(crate) mod table;
pub(crate) mod tenants;

use std::io::{IsTerminal, Write};
use std::time::Duration;

use anyhow::{Context, anyhow};
use larder_control::{Accounts, AccountsError, Actor, NodeRecord};
use larder_tenancy::TenantName;

use crate::{tell, units};

/// Where clients find a server if no server ever said where it is.
const DEFAULT_SERVER: &str = "127.0.0.1:11211";

/// How long a command waits for the servers.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long nobody needs to be told what a command waits for.
const QUIET: Duration = Duration::from_millis(700);

/// Tables or JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ListFormat {
    /// For people
    Table,
    /// For programs
    Json,
}

/// Who runs the command, for the audit log.
pub(crate) fn actor(command: &str) -> Actor {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective()).ok().flatten();
    let user = user.map_or_else(|| nix::unistd::Uid::effective().to_string(), |user| user.name);
    Actor { who: format!("larder {command} (user {user})"), from: "cli".to_owned() }
}

/// For clap.
pub(crate) fn tenant_name(text: &str) -> Result<TenantName, String> {
    TenantName::new(text).map_err(|error| error.to_string())
}

/// For clap.
fn size(text: &str) -> Result<u64, String> {
    units::size(text).filter(|bytes| *bytes > 0).ok_or_else(|| format!("want {}", units::SIZE))
}

/// Prints what was asked for. Unlike what a server says, it must not get lost.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.context("cannot write to standard output")
}

/// The escape sequences around what is to stand out on standard output.
pub(crate) fn bold() -> (&'static str, &'static str) {
    if std::io::stdout().is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") }
}

/// Waits until the servers that run obey `version`, and says which do not. The change is made whatever
/// comes of that, so nothing here makes the command fail.
async fn wait_for_nodes(accounts: &Accounts, version: u64) {
    let waiting = accounts.acknowledged(version, PATIENCE);
    let told = async {
        tokio::time::sleep(QUIET).await;
        if std::io::stderr().is_terminal() {
            tell::error("Waiting until the servers have heard of it…");
        }
        std::future::pending::<()>().await;
    };
    let late = tokio::select! {
        late = waiting => late,
        () = told => Ok(Vec::new()),
    };
    let late = late.unwrap_or_else(|error| {
        tell::error(format_args!(
            "larder: whether the servers have heard of it is not known: {error}"
        ));
        Vec::new()
    });
    for node in late {
        let NodeRecord { name, servers, .. } = node;
        tell::error(format_args!(
            "larder: the server {name} ({}) has not heard of it within {} s. The change is made; the \
             server obeys it once it reaches the accounts again.",
            servers.join(", "),
            PATIENCE.as_secs()
        ));
    }
}

/// The addresses that clients should use, as far as servers have said where they are.
async fn known_servers(accounts: &Accounts) -> Vec<String> {
    servers_of(&accounts.nodes().await.unwrap_or_default())
}

fn servers_of(nodes: &[NodeRecord]) -> Vec<String> {
    let live = nodes.iter().any(|node| node.is_live);
    let mut all: Vec<String> = Vec::new();
    for server in nodes.iter().filter(|node| node.is_live || !live).flat_map(|node| &node.servers) {
        if !all.contains(server) {
            all.push(server.clone());
        }
    }
    if all.is_empty() {
        all.push(DEFAULT_SERVER.to_owned());
    }
    all
}

/// A failure with sizes as people read them, and with what to do where that is known.
fn explained(error: AccountsError) -> anyhow::Error {
    match error {
        AccountsError::NoRoom { asked, free, memory } => {
            let [asked, free, memory] = [asked, free, memory].map(units::show_size);
            anyhow!(
                "no room for {asked}: {free} of the {memory} that the smallest server has are not \
                 promised to tenants. Ask for less, take some from another tenant (larder tenants \
                 resize NAME --floor SIZE), or start the servers with more --memory"
            )
        }
        AccountsError::NotFound { what: "tenant", name } => {
            anyhow!("there is no tenant {name:?}; larder tenants lists those there are")
        }
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(servers: &[&str], is_live: bool) -> NodeRecord {
        NodeRecord {
            id: String::new(),
            name: String::new(),
            servers: servers.iter().map(|&server| server.to_owned()).collect(),
            console_url: None,
            memory_bytes: 0,
            started: 0,
            seen: 0,
            version: 0,
            is_live,
        }
    }

    #[test]
    fn clients_use_the_servers_that_run() {
        assert_eq!(servers_of(&[]), [DEFAULT_SERVER]);
        assert_eq!(servers_of(&[node(&["a:1"], false)]), ["a:1"]);
        let nodes = [node(&["a:1"], false), node(&["b:1", "c:1"], true), node(&["b:1"], true)];
        assert_eq!(servers_of(&nodes), ["b:1", "c:1"]);
    }
}
