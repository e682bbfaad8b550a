//! `larder provision`: a cache for an application, in one command.

use std::collections::BTreeMap;

use anyhow::{anyhow, bail};
use larder_control::{Access, AccountsError, Form, NewTenant};
use larder_tenancy::TenantName;

use super::format::Format;
use super::place::Place;
use super::{actor, explained, known_servers, print, size, tenant_name, wait_for_nodes};

const EXAMPLES: &str = "\
Examples:
  larder provision shop                       25 MiB, and the variables to put into the environment
  eval \"$(larder provision shop)\"             the same, set in this shell
  larder provision shop --format django       a snippet for settings.py
  larder provision big --memory 1g --floor 256m --label team=search

The password is shown once: only a digest of it is kept. It works before any server runs, and with
servers that run: the command returns when they let the new user in.";

/// Flags of `larder provision`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The tenant's name: a-z, 0-9, - and _
    #[arg(value_parser = tenant_name)]
    name: TenantName,
    /// Memory that the cache may take, on each server
    #[arg(long, value_name = "SIZE", default_value = "25m", value_parser = size)]
    memory: u64,
    /// Memory that nobody else may take from it  [default: all of it]
    #[arg(long, value_name = "SIZE", value_parser = floor)]
    floor: Option<u64>,
    /// What to file it under, for people; may be repeated
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// In which form to print how it is reached
    #[arg(long, value_enum, default_value_t = Format(Form::Env))]
    format: Format,
    /// Where clients find the servers, separated by commas  [default: what the servers say, else
    /// 127.0.0.1:11211]
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    servers: Vec<String>,
    #[command(flatten)]
    place: Place,
}

/// Makes the tenant, waits for the servers, and prints how it is reached.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let Args { name, memory, floor, labels, format, servers, place } = args;
    let floor = floor.unwrap_or(memory);
    if floor > memory {
        bail!("--floor: a guarantee above the --memory that the cache may take at all");
    }
    for server in &servers {
        larder_client::parse_servers(server).map_err(|error| anyhow!("--servers: {error}"))?;
    }
    let accounts = place.open().await?;
    let labels = labels.into_iter().collect::<BTreeMap<_, _>>();
    let new = NewTenant { floor, labels, ..NewTenant::new(name.clone(), memory) };
    let made = accounts.create_tenant(&actor("provision"), new).await;
    let made = made.map_err(|error| refused(error, &name, &place.flags()))?;
    let secret = made.value.1;
    wait_for_nodes(&accounts, made.version).await;
    let access = Access {
        servers: if servers.is_empty() { known_servers(&accounts).await } else { servers },
        username: secret.username,
        password: Some(secret.password),
    };
    accounts.close().await;
    print(&access.text(format.0))
}

fn refused(error: AccountsError, name: &TenantName, flags: &str) -> anyhow::Error {
    match error {
        AccountsError::Exists { what: "tenant", .. } => anyhow!(
            "there is a tenant \"{name}\" already\n\
             its variables again, without the password: larder tenants show {name} --format env{flags}\n\
             a new username and password for it:        larder credentials rotate {name}{flags}"
        ),
        error => explained(error),
    }
}

/// For clap. A guarantee may be nothing.
pub(super) fn floor(text: &str) -> Result<u64, String> {
    crate::units::size(text).ok_or_else(|| format!("want {}", crate::units::SIZE))
}

/// For clap.
pub(super) fn label(text: &str) -> Result<(String, String), String> {
    let found = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let found = found.map(|(name, value)| (name.to_owned(), value.to_owned()));
    found.ok_or_else(|| "want NAME=VALUE".to_owned())
}
