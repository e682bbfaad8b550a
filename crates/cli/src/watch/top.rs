//! `larder top`: what goes on, live. Of a server with a console: tenants, and the prefixes and keys of one
//! of them. Of any other: what its `stats` tell, and what they do not.

use anyhow::bail;
use larder_control::Principal;
use larder_tenancy::TenantName;

use super::console::Console;
use super::fleet::{Fleet, Held};
use super::live;
use super::memcached::Memcached;
use super::servers::Which;
use crate::accounts::place::Place;
use crate::accounts::{actor, sign_in, tenant_name};
use crate::now::now;

const EXAMPLES: &str = "\
Examples:
  larder top                          the servers of the accounts in ./larder-data
  larder top --tenant shop            its prefixes and keys, not those of the busiest tenant
  LARDER_TOKEN=… larder top --console https://cache.example.com
  larder top 127.0.0.1:11211          any server, memcached too, as far as its stats tell

An API token comes from the console (Account). Where the accounts are at hand, none is needed.";

/// How often it is drawn.
const PAUSE: std::time::Duration = std::time::Duration::from_secs(1);

/// What a token for the console is taken from.
const TOKEN_VARIABLE: &str = "LARDER_TOKEN";

/// Flags of `larder top`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// The tenant whose prefixes and keys are shown  [default: the busiest]
    #[arg(long, value_name = "NAME", value_parser = tenant_name, conflicts_with = "servers")]
    tenant: Option<TenantName>,
    /// The console to ask, with the API token in LARDER_TOKEN, or as the credential in
    /// MEMCACHIER_USERNAME and MEMCACHIER_PASSWORD
    #[arg(long, value_name = "URL", conflicts_with = "servers")]
    console: Option<String>,
    #[command(flatten)]
    place: Place,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let Args { which, tenant, console, place } = args;
    if !which.servers.is_empty() {
        return live::watch(Memcached::new(which.sources()?), PAUSE).await;
    }
    let held = match console {
        Some(url) => Held::of_console(console_at(&url)?),
        None if place.is_there()? => of_accounts(&place).await?,
        None => return live::watch(Memcached::new(which.sources()?), PAUSE).await,
    };
    let watched = live::watch(Fleet::new(&held, tenant), PAUSE).await;
    held.end().await;
    watched
}

/// A console, asked by whom the environment names.
fn console_at(url: &str) -> anyhow::Result<Console> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(token) = set(TOKEN_VARIABLE) {
        return Console::with_token(url, &token);
    }
    match (set("MEMCACHIER_USERNAME"), set("MEMCACHIER_PASSWORD")) {
        (Some(user), Some(password)) => Console::with_credential(url, &user, &password),
        _ => bail!(
            "--console: an API token is taken from {TOKEN_VARIABLE}, or a credential from \
             MEMCACHIER_USERNAME and MEMCACHIER_PASSWORD; set one of them"
        ),
    }
}

/// The console of a server of the accounts, asked with a token of its own for as long as it is needed.
async fn of_accounts(place: &Place) -> anyhow::Result<Held> {
    let accounts = place.open_existing().await?;
    let nodes = accounts.nodes().await?;
    let live: Vec<_> = nodes.into_iter().filter(|node| node.is_live).collect();
    let Some(url) = sign_in::console_of(&live) else {
        bail!(
            "no server of these accounts runs with a console; start larder serve --data DIR, or name \
             a server: larder top HOST:PORT"
        );
    };
    accounts.ensure_operator().await?;
    let operators = accounts.operators().await?;
    let Some(operator) = operators.into_iter().next() else { bail!("there is no operator") };
    let of = Principal::Operator { name: operator.name };
    let by = actor("top");
    let expires = now() + 24 * 60 * 60;
    let token = accounts.create_token(&by, &of, "larder top", Some(expires)).await?.value;
    let console = Console::with_token(&url, &token)?;
    let id = accounts.tokens(&of).await?.into_iter().rfind(|one| one.note == "larder top");
    Ok(Held::of_accounts(console, accounts, by, of, id.map(|token| token.id)))
}
