//! `cargo xtask bench page`: what each way of caching makes of `GET /`, beside a server that
//! returns a constant body of the same size.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use larder_peers::Memcached;

use super::load::{self, Measured};
use super::process::Server;

/// Size and length of the measurement.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many tasks the list has
    #[arg(long, default_value_t = 100)]
    tasks: u32,
    /// Seconds of load per server and round
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Rounds, in each of which every server has its turn; the median counts
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Connections of the load generator
    #[arg(long, default_value_t = 16)]
    connections: u32,
}

/// The ways of caching, each on top of the one before.
const LEVELS: [(&str, [&str; 3]); 4] = [
    ("off", ["off", "off", "off"]),
    ("query", ["delete", "off", "off"]),
    ("fragments", ["delete", "on", "off"]),
    ("page", ["delete", "on", "on"]),
];

/// The name of the server with the constant body.
const CONSTANT: &str = "constant body";

/// Measures and prints the table.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let bin = build()?;
    let dir = tempfile::tempdir()?;
    let memcached = Memcached::plain();
    super::process::move_off_the_server_core(memcached.pid())?;
    let mut servers = Vec::new();
    for (backend, url) in
        [("in process", String::new()), ("memcached", format!("memcached://{}/", memcached.addr()))]
    {
        for (level, switches) in LEVELS {
            let name = format!("{level}, {backend}");
            let database = dir.path().join(format!("{}.db", servers.len()));
            let vars = [
                ("DATABASE_URL", format!("sqlite:{}", database.display())),
                ("LARDER_URL", url.clone()),
                ("PORT", "0".to_owned()),
                ("TASKLIST_LISTEN", "127.0.0.1".to_owned()),
                ("TASKLIST_QUERY_CACHE", switches[0].to_owned()),
                ("TASKLIST_FRAGMENT_CACHE", switches[1].to_owned()),
                ("TASKLIST_PAGE_CACHE", switches[2].to_owned()),
            ];
            let server = Server::start(&name, &bin.join("tasklist"), &[], &vars)?;
            fill(&server, args.tasks)?;
            servers.push(server);
        }
    }
    let (_, page) = servers[0].request("GET", "/", "")?;
    let body = dir.path().join("body.html");
    std::fs::write(&body, &page)?;
    let body_path = body.to_str().context("a path of UTF-8")?;
    let constant = bin.join("examples/constant");
    servers.push(Server::start(CONSTANT, &constant, &[body_path], &[])?);
    println!("GET / with {} tasks, {} bytes of HTML", args.tasks, page.len());
    let measured = measure(&servers, args)?;
    print(&servers, &measured);
    Ok(())
}

/// Builds what is measured, optimised; the directory of the binaries.
fn build() -> anyhow::Result<PathBuf> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let status = Command::new(cargo)
        .args(["build", "--release", "-p", "tasklist", "--bins", "--example", "constant"])
        .current_dir(crate::root())
        .status()?;
    ensure!(status.success(), "the build failed");
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(|| crate::root().join("target"), PathBuf::from);
    Ok(target.join("release"))
}

fn fill(server: &Server, tasks: u32) -> anyhow::Result<()> {
    for n in 1..=tasks {
        let (status, body) = server.request("POST", "/add", &format!("name=Task+number+{n}"))?;
        ensure!(status == 303, "{}: adding a task answered {status}: {body}", server.name);
    }
    Ok(())
}

/// Every server has its turn in every round, so that a slow moment of the machine hits all.
fn measure(servers: &[Server], args: &Args) -> anyhow::Result<Vec<Measured>> {
    let mut runs: Vec<Vec<Measured>> = servers.iter().map(|_| Vec::new()).collect();
    for server in servers {
        load::run(server, 1, args.connections)?;
    }
    for round in 1..=args.rounds {
        eprintln!("round {round} of {}", args.rounds);
        for (server, runs) in servers.iter().zip(&mut runs) {
            runs.push(load::run(server, args.seconds, args.connections)?);
        }
    }
    Ok(runs.iter().map(|runs| load::median(runs)).collect())
}

fn print(servers: &[Server], measured: &[Measured]) {
    let find = |name: &str| servers.iter().zip(measured).find(|(server, _)| server.name == name);
    let (Some((_, constant)), Some((_, off))) = (find(CONSTANT), find("off, in process")) else {
        return;
    };
    println!();
    println!(
        "| GET / | CPU µs/request | requests/s | p50 µs | p99 µs | × constant | CPU ÷ constant | × off |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    for (server, run) in servers.iter().zip(measured) {
        println!(
            "| {} | {:.1} | {:.0} | {:.0} | {:.0} | {:.2} | {:.2} | {:.1} |",
            server.name,
            run.cpu_micros_per_request,
            run.requests_per_second,
            run.p50_micros,
            run.p99_micros,
            run.requests_per_second / constant.requests_per_second,
            run.cpu_micros_per_request / constant.cpu_micros_per_request,
            run.requests_per_second / off.requests_per_second,
        );
    }
}
