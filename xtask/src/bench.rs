//! Measurements: ratios from one interleaved run, CPU time per operation first. No test asserts a
//! time; these print tables for `docs/performance.md`.

mod load;
mod page;
mod process;
mod rivals;
mod server;
mod store;
mod tenants;

use clap::Subcommand;

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// GET / of the task list: caching off, query, fragments, page, in process and on memcached
    Page(page::Args),
    /// The cache server beside memcached: CPU time per operation, latency, memory of connections
    Server(server::Args),
    /// The cache engine beside its peers: speed, memory, hit ratios, latency
    Store(store::Args),
    /// Many tenants on one server: CPU time of a get, and whether they leave each other alone
    Tenants(tenants::Args),
}

/// Measures and prints.
pub(crate) fn run(bench: &Bench) -> anyhow::Result<()> {
    match bench {
        Bench::Page(args) => page::run(args),
        Bench::Server(args) => server::run(args),
        Bench::Store(args) => store::run(args),
        Bench::Tenants(args) => tenants::run(args),
    }
}
