//! `cargo xtask bench tenants`: what it costs that a server has many tenants, and whether they leave each
//! other alone.
//!
//! *CPU*: servers with 1, 100 and 10,000 tenants take turns. All have the same number of connections, and of
//! items in all; only whose they are differs. The figure is the CPU time of the server for a get, and what
//! is compared are the quotients of one round.
//!
//! *Isolation*: a tenant is measured alone, and again while another one of the same server stores and asks ten
//! times as much, ten times as much as it was promised.

mod crowd;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use self::crowd::{Crowd, Login};
use super::process::{SERVER_CORE, move_off_the_server_core};
use super::rivals::build;

/// Tenants of the servers that are compared; the first is what the others are divided by.
const TENANTS: [usize; 3] = [1, 100, 10_000];

/// Connections to each: one a tenant, where there are most.
const CONNECTIONS: usize = 10_000;

/// Items in each, and their values in bytes.
const ITEMS: u64 = 1_000_000;
const VALUE: usize = 32;

/// The most that a get may take with many tenants, by that with one.
const CPU_BAR: f64 = 1.1;

/// What tenants are promised in the isolation row, and the server's memory, in MiB.
const SERVER: u64 = 128;
const MODEST: u64 = 40;
const GREEDY: u64 = 8;

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Short rounds, about a minute in all: for a look, not for a claim
    #[arg(long)]
    quick: bool,
    /// The larder to measure [default: built from this tree]
    #[arg(long, value_name = "BINARY")]
    larder: Option<PathBuf>,
}

/// Measures and prints the tables.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let larder = args.larder.clone().map_or_else(build, Ok)?;
    // Whoever else is busy takes from every figure.
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("Load average before: {}\n", load.trim());
    move_off_the_server_core(std::process::id())?;
    cpu(&larder, args.quick)?;
    isolation(&larder, args.quick)
}

/// The row of CPU times.
fn cpu(larder: &Path, quick: bool) -> anyhow::Result<()> {
    let servers = TENANTS.map(|tenants| Crowded::start(larder, tenants));
    let servers = servers.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let (rounds, time) = if quick { (3, 2) } else { (9, 5) };
    let mut figures = vec![Vec::new(); servers.len()];
    for round in 0..rounds {
        for (server, figures) in servers.iter().zip(&mut figures) {
            eprintln!("round {} of {rounds}: {} tenants", round + 1, server.users.len());
            figures.push(server.cpu_of_a_get(Duration::from_secs(time))?);
        }
    }
    println!("{CONNECTIONS} connections, one get at a time, {ITEMS} items of {VALUE} B in all\n");
    println!(
        "| tenants | CPU µs/get | ÷ one tenant | bar | | RSS MiB |\n|---:|---:|---:|---:|---|---:|"
    );
    for (server, micros) in servers.iter().zip(&figures) {
        let quotients = micros.iter().zip(&figures[0]).map(|(many, one)| many / one).collect();
        let ratio = median(quotients);
        println!(
            "| {} | {:.3} | {ratio:.3} | ≤ {CPU_BAR:.2} | {} | {:.0} |",
            server.users.len(),
            median(micros.clone()),
            if ratio <= CPU_BAR { "met" } else { "missed" },
            server.running.resident_mib()?
        );
    }
    Ok(())
}

/// A server, its users, and its items.
#[derive(Debug)]
struct Crowded {
    running: Running,
    users: Vec<Login>,
}

impl Crowded {
    fn start(larder: &Path, tenants: usize) -> anyhow::Result<Crowded> {
        eprintln!("{tenants} tenants: filling");
        let dir = tempfile::tempdir()?;
        let user = |number| Login { user: format!("user{number}"), password: format!("p{number}") };
        let users: Vec<Login> = (0..tenants).map(user).collect();
        let line = |(number, user): (usize, &Login)| {
            format!("{}:{}:t{number}\n", user.user, user.password)
        };
        let file = dir.path().join("users");
        fs::write(&file, users.iter().enumerate().map(line).collect::<String>())?;
        let connections = (CONNECTIONS + 100).to_string();
        let running = Running::start(larder, dir, |command| {
            command.arg("--auth-file").arg(&file).args(["--memory", "2g"]);
            command.args(["--max-connections", &connections, "--accept-rate", "unlimited"]);
        })?;
        let crowded = Crowded { running, users };
        crowded.crowd()?.fill()?;
        Ok(crowded)
    }

    fn crowd(&self) -> anyhow::Result<Crowd> {
        Crowd::connect(self.running.address, &self.users, CONNECTIONS, ITEMS, VALUE)
    }

    /// The CPU time of a get, in microseconds.
    #[expect(clippy::cast_precision_loss, reason = "less than 2^53 gets")]
    fn cpu_of_a_get(&self, time: Duration) -> anyhow::Result<f64> {
        let mut crowd = self.crowd()?;
        crowd.pass()?;
        let (start, before) = (Instant::now(), self.running.cpu()?);
        let mut gets = 0;
        while start.elapsed() < time {
            let answers = crowd.pass()?;
            ensure!(answers.hits == answers.gets, "{answers:?}: items are missing");
            gets += answers.gets;
        }
        let spent = self.running.cpu()? - before;
        Ok(spent.as_secs_f64() * 1e6 / gets as f64)
    }
}

/// The row of isolation.
fn isolation(larder: &Path, quick: bool) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let modest = provision(larder, &data, "modest", MODEST, MODEST)?;
    let greedy = provision(larder, &data, "greedy", SERVER, GREEDY)?;
    let memory = format!("{SERVER}m");
    let running = Running::start(larder, dir, |command| {
        command.arg("--data").arg(&data).args(["--memory", &memory, "--console", "off"]);
    })?;
    // Three quarters of what was promised, with what items take beside key and value.
    let items = (MODEST << 20) * 3 / 4 / (100 + 60) / 64 * 64;
    let mut one = Crowd::connect(running.address, &[modest], 64, items, 100)?;
    let mut other = Crowd::connect(running.address, &[greedy], 64, items, 100)?;
    one.fill()?;
    let passes = if quick { 500 } else { 5_000 };
    let mut alone = Seen::default();
    for _ in 0..passes {
        alone.add(one.pass()?);
    }
    alone.look(&mut one)?;
    let (mut beside, mut next) = (Seen::default(), 0);
    // Ten times the store's memory at least, whatever the number of passes.
    for _ in 0..passes {
        beside.add(one.pass()?);
        for _ in 0..10 {
            other.store(next, 64 * 5)?;
            next += 64 * 5;
            other.pass()?;
        }
    }
    beside.look(&mut one)?;
    println!(
        "\nIsolation: {SERVER} MiB, {MODEST} MiB promised to the one measured, which uses three quarters of \
         it;\n{GREEDY} MiB to the other, which asks ten times as often and has stored {next} items of 100 B\n"
    );
    println!("| | hit rate % | bytes held | evictions |\n|---|---:|---:|---:|");
    for (name, seen) in [("alone", alone), ("beside the other", beside)] {
        println!("| {name} | {:.3} | {} | {} |", seen.hit_rate(), seen.bytes, seen.evictions);
    }
    let kept = beside.bytes >= alone.bytes && beside.evictions == 0 && beside.hits == beside.gets;
    println!("\n{}", if kept { "met: nothing was taken" } else { "missed: something was taken" });
    Ok(())
}

/// What a tenant sees of itself.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    gets: u64,
    hits: u64,
    bytes: u64,
    evictions: u64,
}

impl Seen {
    fn add(&mut self, answers: crowd::Answers) {
        self.gets += answers.gets;
        self.hits += answers.hits;
    }

    fn look(&mut self, crowd: &mut Crowd) -> anyhow::Result<()> {
        (self.bytes, self.evictions) = (crowd.stat("bytes")?, crowd.stat("evictions")?);
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "less than 2^53 gets")]
    fn hit_rate(self) -> f64 {
        self.hits as f64 * 100.0 / self.gets as f64
    }
}

/// Makes a tenant with an account, its memory in MiB.
fn provision(
    larder: &Path,
    data: &Path,
    name: &str,
    ceiling: u64,
    floor: u64,
) -> anyhow::Result<Login> {
    let output = Command::new(larder)
        .args(["provision", name, "--format", "json", "--data"])
        .arg(data)
        .args(["--memory", &format!("{ceiling}m"), "--floor", &format!("{floor}m")])
        .output()
        .context("cannot run larder provision")?;
    let (text, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "larder provision {name}: {error}");
    let json: serde_json::Value = serde_json::from_str(&text).context("larder provision")?;
    let of = |name: &str| json[name].as_str().map(str::to_owned).with_context(|| name.to_owned());
    Ok(Login { user: of("MEMCACHIER_USERNAME")?, password: of("MEMCACHIER_PASSWORD")? })
}

/// A running `larder serve` of one worker, killed when dropped.
#[derive(Debug)]
struct Running {
    address: SocketAddr,
    child: Child,
    _dir: TempDir,
}

impl Running {
    fn start(
        larder: &Path,
        dir: TempDir,
        arguments: impl FnOnce(&mut Command),
    ) -> anyhow::Result<Running> {
        // One nobody listens at just now.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = Command::new("taskset");
        command.args(["-c", SERVER_CORE]).arg(larder).args(["serve", "--threads", "1", "--listen"]);
        command.arg(address.to_string());
        arguments(&mut command);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
        let mut running = Running { address, child, _dir: dir };
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            if let Some(status) = running.child.try_wait()? {
                bail!("larder serve ended with {status} before it answered");
            }
            ensure!(Instant::now() < end, "larder serve does not answer at {address}");
            sleep(Duration::from_millis(20));
        }
        Ok(running)
    }

    /// CPU time of all its threads so far.
    fn cpu(&self) -> anyhow::Result<Duration> {
        let mut nanos = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            let first = text.split_whitespace().next().and_then(|field| field.parse::<u64>().ok());
            nanos += first.context("a thread's schedstat")?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    fn resident_mib(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        Ok(kib.context("VmRSS in a process's status")? / 1024.0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
