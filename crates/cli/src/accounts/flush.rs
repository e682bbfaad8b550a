//! `larder flush`: makes all that is cached a miss: of a tenant, through the accounts; or of the cache
//! that the environment names, through memcached's protocol.

use anyhow::{anyhow, bail};
use larder::Cache;
use larder_tenancy::TenantName;

use super::place::Place;
use super::{ask, tenant_name, tenants};
use crate::tell;

/// Flags of `larder flush`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A tenant of the accounts  [default: the cache that LARDER_URL or MEMCACHIER_SERVERS names]
    #[arg(value_parser = tenant_name)]
    name: Option<TenantName>,
    /// Does not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let Args { name, yes, place } = args;
    if let Some(name) = name {
        let accounts = place.open_existing().await?;
        let flushed = tenants::flush(&accounts, &name, yes).await;
        accounts.close().await;
        return flushed;
    }
    let cache = Cache::from_env()?;
    let Some(client) = cache.backend().client() else {
        bail!(
            "what to flush? Give a tenant's name (larder tenants lists them), or set LARDER_URL or \
             MEMCACHIER_SERVERS"
        );
    };
    ask::sure(
        yes,
        &format!("This makes all that is cached a miss, {}.", cache.backend().describe()),
    )?;
    let mut failed = Vec::new();
    for (server, flushed) in client.flush_all().await {
        match flushed {
            Ok(()) => tell::error(format_args!("{server} is flushed.")),
            Err(error) => failed.push(error.to_string()),
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(anyhow!("not flushed: {}", failed.join("; "))) }
}
