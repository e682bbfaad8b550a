//! `cargo xtask bench server`: the cache server beside memcached and beside its own floor.
//!
//! Every row is one run of `larder bench`, in which the servers take turns. The figure is the CPU time of
//! the server per operation; what is compared are the quotients of one round. A second run offers 70 % of
//! what memcached could do, and tells the latencies.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::rivals::{Programs, Rival, Running, bench, build, idle_kib};

/// How many idle connections the row "idle" opens.
const IDLE: usize = 10_000;

/// The share of memcached's peak at which latencies are told.
const SHARE: f64 = 0.7;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rows, by name: get-16, get-64, unix-16, unix-64, set, pipeline, multiget, multiget-1k, sets,
    /// mixed, meta, large, many, idle [default: all]
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    rows: Vec<String>,
    /// Short rounds, about six minutes in all rather than twenty: for a look, not for a claim
    #[arg(long)]
    quick: bool,
    /// The memcached to compare with
    #[arg(long, value_name = "BINARY", default_value = "memcached")]
    peer: PathBuf,
    /// The larder to measure, which also makes the load [default: built from this tree]
    #[arg(long, value_name = "BINARY")]
    larder: Option<PathBuf>,
    /// All rows over unix sockets
    #[arg(long)]
    unix: bool,
    /// Writes all figures to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Row {
    name: &'static str,
    /// What readers see.
    work: &'static str,
    /// The most that Larder's CPU time ÷ memcached's may be: 1.6.18's, and that of newer ones, which
    /// pipeline far better.
    bars: [f64; 2],
    unix: bool,
    data: Data,
    /// Flags of `larder bench`.
    flags: &'static str,
}

/// What the servers are filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Data {
    keys: u32,
    value: u32,
}

const SMALL: Data = Data { keys: 1_000_000, value: 32 };
const HUNDRED: Data = Data { keys: 1_000_000, value: 100 };
const KIB: Data = Data { keys: 1_000_000, value: 1024 };
/// A million of these would be 16 GiB for each server.
const LARGE: Data = Data { keys: 65_536, value: 16_384 };

const fn row(
    name: &'static str,
    work: &'static str,
    bars: [f64; 2],
    data: Data,
    flags: &'static str,
) -> Row {
    Row { name, work, bars, unix: false, data, flags }
}

const fn unix(row: Row) -> Row {
    Row { unix: true, ..row }
}

/// The table. Rows with the same data and transport stand together: they share their servers.
#[rustfmt::skip]
const ROWS: [Row; 13] = [
    row("get-16", "one get at a time, 16 connections", [0.85, 0.85], SMALL, "-c 16 --mix 1:0"),
    row("get-64", "one get at a time, 64 connections", [0.85, 0.85], SMALL, "-c 64 --mix 1:0"),
    row("many", "one get at a time, 512 connections", [0.90, 0.90], SMALL, "-c 512 --mix 1:0"),
    row("pipeline", "pipeline of 64 gets", [0.06, 0.25], SMALL, "-c 64 --pipeline 64 --mix 1:0"),
    row("multiget", "multi-get of 100 keys", [0.30, 0.30], SMALL, "-c 64 --multiget 100 --mix 1:0"),
    row("mixed", "90:10 get:set, pipeline 16", [0.20, 0.35], SMALL, "-c 64 --pipeline 16 --mix 90:10"),
    row("meta", "meta mg:ms 90:10, pipeline 64", [0.20, 0.35], SMALL, "-c 64 --pipeline 64 --mix 90:10 --protocol meta"),
    unix(row("unix-16", "one get at a time, unix socket, 16 connections", [0.75, 0.75], SMALL, "-c 16 --mix 1:0")),
    unix(row("unix-64", "one get at a time, unix socket, 64 connections", [0.75, 0.75], SMALL, "-c 64 --mix 1:0")),
    row("set", "one set at a time, 100 B", [0.85, 0.85], HUNDRED, "-c 64 --mix 0:1"),
    row("sets", "all sets, pipeline 64, 100 B", [0.50, 0.60], HUNDRED, "-c 64 --pipeline 64 --mix 0:1"),
    row("multiget-1k", "multi-get of 100 keys, 1 KiB", [0.55, 0.55], KIB, "-c 16 --multiget 100 --mix 1:0"),
    row("large", "one get at a time, 16 KiB (65,536 keys)", [0.95, 0.95], LARGE, "-c 64 --mix 1:0"),
];

/// The name of the row that has no load.
const IDLE_ROW: &str = "idle";

/// What a row found.
#[derive(Debug)]
struct Found {
    row: Row,
    peak: Value,
    /// The load offered for the latencies, in operations per second, and what came of it.
    offered: f64,
    paced: Value,
}

/// Measures and prints the tables.
pub(super) fn run(args: &Args) -> anyhow::Result<()> {
    let rows = chosen(&args.rows, args.unix)?;
    let cores = std::thread::available_parallelism()?;
    ensure!(cores.get() >= 2, "the servers and the load need a core each, this machine has one");
    let larder = args.larder.clone().map_or_else(build, Ok)?;
    // Whoever else is busy takes from every figure.
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("Load average before: {}\n", load.trim());
    let programs = Programs { larder, memcached: args.peer.clone() };
    let mut found = Vec::new();
    let mut versions = Vec::new();
    for group in rows.chunk_by(|a, b| (a.data, a.unix) == (b.data, b.unix)) {
        let servers = Servers::start(&programs, group[0].unix, group[0].data == SMALL)?;
        versions = servers.versions();
        eprintln!("filling {} with values of {} B", group[0].data.keys, group[0].data.value);
        servers.fill(&programs.larder, group[0].data)?;
        for &row in group {
            eprintln!("{}: {}", row.name, row.work);
            found.push(servers.measure(&programs.larder, row, args.quick)?);
        }
    }
    print_cpu(&found, &versions);
    print_latency(&found);
    let idle = if wants_idle(&args.rows) { Some(idle(&programs)?) } else { None };
    if let Some(path) = &args.json {
        let rows: Vec<Value> = found.iter().map(Found::json).collect();
        let report = json!({ "versions": versions, "rows": rows, "idle_kib": idle });
        std::fs::write(path, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("--json {}", path.display()))?;
    }
    Ok(())
}

fn wants_idle(names: &[String]) -> bool {
    names.is_empty() || names.iter().any(|name| name == IDLE_ROW)
}

/// The rows of these names, or all of them.
fn chosen(names: &[String], all_unix: bool) -> anyhow::Result<Vec<Row>> {
    let known: Vec<&str> = ROWS.iter().map(|row| row.name).chain([IDLE_ROW]).collect();
    for name in names {
        let fine = known.contains(&name.as_str());
        ensure!(fine, "--rows {name}: no such row; there are {}", known.join(", "));
    }
    let wanted = |row: &&Row| names.is_empty() || names.iter().any(|name| name == row.name);
    let rows = ROWS.iter().filter(wanted);
    Ok(rows.map(|&row| Row { unix: row.unix || all_unix, ..row }).collect())
}

/// The servers of some rows.
#[derive(Debug)]
struct Servers {
    larder: Running,
    memcached: Running,
    /// Only for rows whose values are as long as the constant, and if the build has it.
    floor: Option<Running>,
}

impl Servers {
    fn start(programs: &Programs, unix: bool, with_floor: bool) -> anyhow::Result<Servers> {
        let start = |rival| Running::start(rival, programs, unix);
        let floor = if with_floor { start(Rival::Floor).ok() } else { None };
        // A build without it serves a cache: then there is no floor to compare with.
        let floor = floor.filter(|server| server.version.contains("floor"));
        Ok(Servers { larder: start(Rival::Larder)?, memcached: start(Rival::Memcached)?, floor })
    }

    /// "Larder X", "memcached Y".
    fn versions(&self) -> Vec<String> {
        let larder = format!("Larder {}", self.larder.version);
        vec![larder, format!("memcached {}", self.memcached.version)]
    }

    fn fill(&self, larder: &Path, data: Data) -> anyhow::Result<()> {
        let flags =
            format!("{} --fill --mix 0:1 --rounds 1 --seconds 0.1 --warmup 0", data.flags());
        let filled = bench(larder, &[&self.larder, &self.memcached], &words(&flags))?;
        right(&filled)
    }

    /// A row at its peak, then at a share of memcached's.
    fn measure(&self, larder: &Path, row: Row, quick: bool) -> anyhow::Result<Found> {
        let (seconds, rounds) = if quick { (1, 3) } else { (3, 7) };
        let flags = format!("{} {} --seconds {seconds} --warmup 0.5", row.data.flags(), row.flags);
        let mut servers = vec![&self.larder, &self.memcached];
        // The floor answers gets of the text protocol.
        let gets = row.flags.contains("--mix 1:0");
        servers.extend(self.floor.as_ref().filter(|_| gets));
        let peak = bench(larder, &servers, &words(&format!("{flags} --rounds {rounds}")))?;
        right(&peak)?;
        let memcached = number(&peak["servers"][1]["median"]["operations_per_second"]);
        let offered = memcached * SHARE;
        ensure!(offered.is_finite(), "{}: memcached answered nothing", row.name);
        let flags = format!("{flags} --rounds 3 --rate {offered:.0}");
        let paced = bench(larder, &servers[..2], &words(&flags))?;
        right(&paced)?;
        Ok(Found { row, peak, offered, paced })
    }
}

impl Data {
    fn flags(self) -> String {
        format!("--keys {} --values {} --choice uniform", self.keys, self.value)
    }
}

fn words(flags: &str) -> Vec<String> {
    flags.split_whitespace().map(str::to_owned).collect()
}

/// Larder and memcached must have answered everything rightly. (What the floor answers is wrong, but it
/// must not hang up.)
fn right(measured: &Value) -> anyhow::Result<()> {
    let servers = measured["servers"].as_array().context("a list of servers")?;
    for (index, server) in servers.iter().enumerate() {
        let rounds = server["rounds"].as_array().context("a list of rounds")?;
        let sum = |name: &str| rounds.iter().map(|round| round[name].as_u64().unwrap_or(0)).sum();
        let (errors, lost): (u64, u64) = (server["errors"].as_u64().unwrap_or(0), sum("lost"));
        let misses: u64 = sum("misses");
        let fine = if index < 2 { errors + misses == 0 } else { lost == 0 };
        let (version, first) = (&server["version"], &server["first_error"]);
        ensure!(fine, "{version}: {errors} errors, {misses} misses, {lost} lost: {first}");
    }
    Ok(())
}

/// The number, or NaN of what is not known.
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

impl Found {
    /// A server's median of a figure at its peak.
    fn peak(&self, server: usize, figure: &str) -> f64 {
        number(&self.peak["servers"][server]["median"][figure])
    }

    /// Larder's CPU time ÷ that of another.
    fn ratio(&self, server: usize) -> f64 {
        number(&self.peak["servers"][server]["first_divided_by_this"][CPU])
    }

    /// The bar of the memcached that was measured.
    fn bar(&self) -> f64 {
        let [old, new] = self.row.bars;
        let version = self.peak["servers"][1]["version"].as_str();
        if version.is_some_and(|version| version.starts_with("1.6.18")) { old } else { new }
    }

    /// Whether an operation is a round trip, so that the floor has a bar.
    fn is_one_at_a_time(&self) -> bool {
        !["--pipeline", "--multiget"].iter().any(|flag| self.row.flags.contains(flag))
    }

    fn paced(&self, server: usize, figure: &str) -> f64 {
        number(&self.paced["servers"][server]["median"][figure])
    }

    /// Whether a server left requests that were due unserved, more than the last moment's.
    fn is_behind(&self, server: usize) -> bool {
        let rounds = self.paced["servers"][server]["rounds"].as_array();
        let behind = |round: &Value| number(&round["behind"]) > number(&round["commands"]) * BEHIND;
        rounds.is_some_and(|rounds| rounds.iter().any(behind))
    }

    fn json(&self) -> Value {
        let Row { name, work, unix, .. } = self.row;
        json!({
            "name": name, "work": work, "bar": self.bar(), "unix": unix, "ratio": self.ratio(1),
            "peak": self.peak, "offered": self.offered, "paced": self.paced,
        })
    }
}

/// More than this share of requests left over is a queue.
const BEHIND: f64 = 0.01;

/// The most that Larder's CPU time ÷ the floor's may be, at one request a time.
const FLOOR_BAR: f64 = 1.2;

const CPU: &str = "server_cpu_micros_per_operation";

/// The table of CPU times, with the bars.
fn print_cpu(found: &[Found], versions: &[String]) {
    let [larder, memcached] = versions else {
        return;
    };
    println!(
        "{larder} beside {memcached}, one worker each; uniform keys; medians of interleaved rounds.\n"
    );
    println!(
        "| work | Larder CPU µs/op | memcached CPU µs/op | ÷ | bar | | floor CPU µs/op | ÷ floor \
         | Larder op/s | memcached op/s |"
    );
    println!("|---|---:|---:|---:|---:|---|---:|---:|---:|---:|");
    for row in found {
        println!("{}", cpu_line(row));
    }
}

fn cpu_line(found: &Found) -> String {
    let (ratio, bar, floor) = (found.ratio(1), found.bar(), found.ratio(2));
    let above_floor = match digits(floor, 2) {
        text if found.is_one_at_a_time() && floor.is_finite() => {
            format!("{text} (≤ {FLOOR_BAR:.2} {})", verdict(floor, FLOOR_BAR))
        }
        text => text,
    };
    format!(
        "| {} | {} | {} | {} | ≤ {bar:.2} | {} | {} | {above_floor} | {:.0} | {:.0} |",
        found.row.work,
        digits(found.peak(0, CPU), 3),
        digits(found.peak(1, CPU), 3),
        digits(ratio, 3),
        verdict(ratio, bar),
        digits(found.peak(2, CPU), 3),
        found.peak(0, "operations_per_second"),
        found.peak(1, "operations_per_second"),
    )
}

/// Whether a figure is within its bar; what could not be measured is not.
fn verdict(found: f64, bar: f64) -> &'static str {
    if found <= bar { "met" } else { "missed" }
}

/// The table of latencies under the same offered load. "behind": the server did not keep up in every
/// round, so the latencies are partly those of a queue.
fn print_latency(found: &[Found]) {
    if found.is_empty() {
        return;
    }
    println!("\nLatency in µs from when a request is due, at 70 % of memcached's peak.\n");
    println!(
        "| work | offered op/s | Larder p50 | p99 | p99.9 | memcached p50 | p99 | p99.9 |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|"
    );
    for row in found {
        let mut line = format!("| {} | {:.0} |", row.row.work, row.offered);
        for server in [0, 1] {
            let kept = if row.is_behind(server) { " (behind)" } else { "" };
            for figure in ["p50_micros", "p99_micros", "p999_micros"] {
                line += &format!(" {}{kept} |", digits(row.paced(server, figure), 0));
            }
        }
        println!("{line}");
    }
}

/// The memory of idle connections, Larder's first.
fn idle(programs: &Programs) -> anyhow::Result<[f64; 2]> {
    let kib = |rival| idle_kib(&Running::start(rival, programs, false)?, IDLE);
    let (larder, memcached) = (kib(Rival::Larder)?, kib(Rival::Memcached)?);
    let verdict = verdict(larder, 1.0);
    println!("\n| memory of {IDLE} idle connections | Larder | memcached | bar | |");
    println!("|---|---:|---:|---:|---|");
    println!("| KiB for each | {larder:.2} | {memcached:.2} | ≤ 1.00 | {verdict} |");
    Ok([larder, memcached])
}

/// A number with some decimals, or a dash if it is not known.
fn digits(x: f64, decimals: usize) -> String {
    if x.is_finite() { format!("{x:.decimals$}") } else { "–".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(errors: u64, lost: u64) -> Value {
        json!({ "version": "v", "errors": errors, "first_error": "why", "rounds": [{ "lost": lost }] })
    }

    #[test]
    fn rows_are_chosen_by_name() {
        assert_eq!(chosen(&[], false).unwrap().len(), ROWS.len());
        let rows = chosen(&["set".into(), "get-16".into(), "idle".into()], true).unwrap();
        assert_eq!(rows.iter().map(|row| row.name).collect::<Vec<_>>(), ["get-16", "set"]);
        assert!(rows.iter().all(|row| row.unix));
        let error = chosen(&["gets".into()], false).unwrap_err().to_string();
        assert!(error.contains("gets") && error.contains("multiget-1k"), "{error}");
    }

    #[test]
    fn rows_that_share_servers_stand_together() {
        let groups = ROWS.chunk_by(|a, b| (a.data, a.unix) == (b.data, b.unix));
        assert_eq!(groups.count(), 5);
    }

    #[test]
    fn only_the_floor_may_answer_wrongly() {
        let measured = |servers: &[Value]| right(&json!({ "servers": servers }));
        assert!(measured(&[server(0, 0), server(0, 0), server(9, 0)]).is_ok());
        assert!(measured(&[server(0, 0), server(0, 0), server(9, 1)]).is_err());
        let error = measured(&[server(0, 0), server(3, 0)]).unwrap_err().to_string();
        assert!(error.contains("3 errors") && error.contains("why"), "{error}");
    }

    #[test]
    fn a_row_without_a_floor_has_dashes() {
        let figures = |cpu: f64, ratio: f64| {
            json!({
                "median": { CPU: cpu, "operations_per_second": 1000.0 },
                "first_divided_by_this": { CPU: ratio },
            })
        };
        let mut peak =
            json!({ "servers": [figures(4.0, 1.0), figures(5.0, 0.8), figures(3.2, 1.25)] });
        peak["servers"][1]["version"] = json!("1.6.18");
        let found = Found { row: ROWS[0], peak, offered: 700.0, paced: Value::Null };
        let work = "| one get at a time, 16 connections | 4.000 | 5.000 | 0.800 | ≤ 0.85 | met |";
        assert_eq!(
            cpu_line(&found),
            format!("{work} 3.200 | 1.25 (≤ 1.20 missed) | 1000 | 1000 |")
        );
        let mut without = found;
        without.peak["servers"].as_array_mut().unwrap().pop();
        assert_eq!(cpu_line(&without), format!("{work} – | – | 1000 | 1000 |"));
        let unknown = Found { peak: Value::Null, ..without };
        assert!(cpu_line(&unknown).contains("missed"), "what is not measured is not met");
    }

    #[test]
    fn who_did_not_keep_up_is_marked() {
        let rounds = |behind: u64| json!({ "rounds": [{ "behind": behind, "commands": 1000 }] });
        let paced = json!({ "servers": [rounds(10), rounds(11)] });
        let found = Found { row: ROWS[0], peak: Value::Null, offered: 0.0, paced };
        assert_eq!([0, 1, 2].map(|server| found.is_behind(server)), [false, true, false]);
    }

    #[test]
    fn newer_memcacheds_have_bars_of_their_own() {
        let bar = |version: &str| {
            let peak = json!({ "servers": [{}, { "version": version }] });
            let row = ROWS[3];
            Found { row, peak, offered: 0.0, paced: Value::Null }.bar()
        };
        assert_eq!((bar("1.6.18"), bar("1.6.45")), (0.06, 0.25));
    }
}
