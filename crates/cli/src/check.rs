//! `larder check`: what the tutorials do by hand in a shell, set "foo" and get it back, through the
//! cache that the environment describes; and what to do if it fails.

use anyhow::bail;
use larder::{Cache, URL_VARIABLE};

/// Checks and reports.
pub(crate) async fn run() -> anyhow::Result<()> {
    let cache = Cache::from_env()?;
    println!("The cache is {}.", cache.backend().describe());
    match cache.check().await {
        Ok(checked) => {
            for larder::Checked(what) in checked {
                println!("  ok  {what}");
            }
        }
        Err(error) => bail!("the cache does not work: {error}"),
    }
    if cache.backend().client().is_none() {
        println!(
            "Nothing in the environment names a server. Set MEMCACHIER_SERVERS (with \
             MEMCACHIER_USERNAME and\nMEMCACHIER_PASSWORD if they ask for them) or {URL_VARIABLE} \
             to use one."
        );
    }
    Ok(())
}
