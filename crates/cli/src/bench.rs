//! `larder bench`: load for any server that speaks memcached's protocols, or for several of them side by
//! side. The flags are here; what they do is in `larder-load`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use larder_load::compare::Turn;
use larder_load::load::{Choice, Mix, Sizes};
use larder_load::{
    Address, Compared, Generator, Load, Login, LoginForm, Protocol, Server, Step, Tls, compare,
    cpu, report,
};

/// What the password is taken from if no flag gives it: a command line can be seen by others.
const PASSWORD_VARIABLE: &str = "LARDER_BENCH_PASSWORD";

const EXAMPLES: &str = "\
Examples:
  larder bench --fill                             a local server, a million keys, 90 % gets
  larder bench cache.example:11211 --rate 50000   latencies at 50,000 operations/s
  larder bench --fill --pipeline 64 --mix 1:0 127.0.0.1:11211 127.0.0.1:11212
                                                  two servers side by side
  larder bench --protocol binary --user alice --tls cache.example:11211

Every reply is checked to the last byte; errors are counted, and make the command fail. Figures are
medians of the rounds. Where a server runs on this machine, its CPU time per operation is told.";

/// Flags of `larder bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// host[:port], [IPv6]:port, unix:PATH or a path with a slash; several take turns, and the first
    /// is compared with each other
    #[arg(value_name = "SERVER", default_value = "127.0.0.1:11211")]
    servers: Vec<Address>,

    /// How many commands are gets and how many are sets
    #[arg(long, value_name = "GETS:SETS", default_value = "90:10", help_heading = "Work")]
    mix: Mix,
    /// How many different keys there are; 100k and 1m are possible
    #[arg(long, value_name = "N", default_value = "1m", value_parser = count, help_heading = "Work")]
    keys: u32,
    /// Length of the keys in bytes, 12 to 250
    #[arg(long, value_name = "BYTES", default_value_t = 30, help_heading = "Work",
        value_parser = clap::value_parser!(u16).range(12..=250))]
    key_size: u16,
    /// Which keys are asked for: uniform, zipf, or zipf:EXPONENT
    #[arg(long, value_name = "LAW", default_value = "zipf:0.99", help_heading = "Work")]
    choice: Choice,
    /// Size of the values, or a range of sizes: 32, 4k, 10-200
    #[arg(long, value_name = "BYTES", default_value = "32", help_heading = "Work")]
    values: Sizes,
    /// What is stored lives so many seconds; 0: for ever
    #[arg(long, value_name = "SECONDS", default_value_t = 0, help_heading = "Work",
        value_parser = clap::value_parser!(u32).range(0..=2_592_000))]
    ttl: u32,
    /// Keys of one get command
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Work",
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    multiget: u32,
    /// Commands sent together on a connection; the next follow when all are answered
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Work",
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pipeline: u32,
    /// Stores every key once before anything is measured
    #[arg(long, help_heading = "Work")]
    fill: bool,

    /// Connections, shared out among the threads
    #[arg(short, long, value_name = "N", default_value_t = 16, help_heading = "Load",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
    /// Threads of the generator
    #[arg(short, long, value_name = "N", default_value_t = 1, help_heading = "Load",
        value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: u32,
    /// Cores the threads are pinned to, in turns: 1, 0,2 or 4-7
    #[arg(long, value_name = "LIST", value_parser = cores, help_heading = "Load")]
    cores: Option<Cores>,
    /// Operations per second that become due whether or not the server keeps up; latencies count from
    /// then on  [default: the next request follows a reply]
    #[arg(long, value_name = "N", value_parser = rate, help_heading = "Load")]
    rate: Option<f64>,
    /// Seconds of measurement in each round
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds, help_heading = "Load")]
    seconds: Duration,
    /// Seconds of load before each measurement
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds, help_heading = "Load")]
    warmup: Duration,
    /// Rounds, in each of which every server has its turn  [default: 1, or 5 for several servers]
    #[arg(long, value_name = "N", help_heading = "Load",
        value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,

    /// The language of the wire: text, meta or binary
    #[arg(long, value_name = "NAME", default_value = "text", help_heading = "Connection")]
    protocol: Protocol,
    /// Who to be, for servers that ask; the password is in LARDER_BENCH_PASSWORD, or --password
    #[arg(long, value_name = "NAME", help_heading = "Connection")]
    user: Option<String>,
    /// The password (others on this machine may see it here)
    #[arg(long, value_name = "TEXT", requires = "user", help_heading = "Connection")]
    password: Option<String>,
    /// How to log in: sasl (binary only), text (memcached -Y), memcachier
    /// [default: sasl if binary, else text]
    #[arg(long, value_name = "FORM", requires = "user", help_heading = "Connection")]
    login: Option<LoginForm>,
    /// Speaks TLS
    #[arg(long, help_heading = "Connection")]
    tls: bool,
    /// PEM file of the authorities to believe  [default: those that browsers believe]
    #[arg(long, value_name = "FILE", requires = "tls", help_heading = "Connection")]
    tls_ca: Option<PathBuf>,
    /// The name the certificate must be for  [default: the host]
    #[arg(long, value_name = "NAME", requires = "tls", help_heading = "Connection")]
    tls_name: Option<String>,
    /// Believes any certificate: for tests
    #[arg(long, requires = "tls", conflicts_with = "tls_ca", help_heading = "Connection")]
    tls_insecure: bool,
    /// PEM file of our own certificate, for servers that ask for it
    #[arg(long, value_name = "FILE", requires_all = ["tls", "tls_key"], help_heading = "Connection")]
    tls_cert: Option<PathBuf>,
    /// PEM file of its private key
    #[arg(long, value_name = "FILE", requires = "tls_cert", help_heading = "Connection")]
    tls_key: Option<PathBuf>,

    /// Process whose CPU time is measured, one for each server  [default: who listens there]
    #[arg(long, value_name = "PID", help_heading = "Output")]
    pid: Vec<u32>,
    /// Prints every figure of every round as JSON
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// Cores in the order in which threads get them.
#[derive(Debug, Clone)]
struct Cores(Vec<usize>);

/// Loads the servers and prints what was found.
///
/// # Errors
///
/// When a flag does not fit the others, a server cannot be reached, or a reply was wrong.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let servers = servers(&args)?;
    let rounds = args.rounds.unwrap_or(if servers.len() > 1 { 5 } else { 1 });
    let (fill, json) = (args.fill, args.json);
    let generator = Generator::new(load(args))?;
    let mut bar = Bar::new(servers.len() > 1, rounds);
    let compared = compare(&generator, &servers, rounds, fill, &mut |turn| bar.draw(&turn));
    bar.clear();
    let compared = compared?;
    if json {
        println!("{:#}", report::json(generator.load(), &compared));
    } else {
        print!("{}", report::table(generator.load(), &compared));
    }
    if !fill && compared.iter().all(looks_empty) {
        eprintln!("Most keys were not there: --fill stores them first.");
    }
    let errors: u64 = compared.iter().map(Compared::errors).sum();
    let first = compared.iter().find_map(Compared::first_error).unwrap_or_default();
    ensure!(errors == 0, "{errors} errors, the first: {first}");
    Ok(())
}

/// Whether most look-ups found nothing.
fn looks_empty(server: &Compared) -> bool {
    server.rounds.iter().any(|figures| figures.tally.misses > figures.tally.hits)
}

fn load(args: Args) -> Load {
    Load {
        protocol: args.protocol,
        keys: args.keys,
        key_size: args.key_size.into(),
        choice: args.choice,
        values: args.values,
        mix: args.mix,
        ttl: args.ttl,
        multiget: args.multiget,
        pipeline: args.pipeline,
        connections: args.connections,
        threads: args.threads,
        cores: args.cores.map_or_else(Vec::new, |cores| cores.0),
        rate: args.rate,
        warmup: args.warmup,
        duration: args.seconds,
        seed: 1,
    }
}

fn servers(args: &Args) -> anyhow::Result<Vec<Server>> {
    let (pids, count) = (args.pid.len(), args.servers.len());
    ensure!(
        pids == 0 || pids == count,
        "--pid is given {pids} times for {count} servers: give one for each, or none"
    );
    let login = args.user.as_ref().map(|user| login(args, user)).transpose()?;
    let tls = args.tls.then(|| Tls {
        ca: args.tls_ca.clone(),
        name: args.tls_name.clone(),
        insecure: args.tls_insecure,
        identity: args.tls_cert.clone().zip(args.tls_key.clone()),
    });
    let server = |(index, address): (usize, &Address)| Server {
        address: address.clone(),
        tls: tls.clone(),
        login: login.clone(),
        pid: args.pid.get(index).copied().or_else(|| cpu::listener(address)),
    };
    Ok(args.servers.iter().enumerate().map(server).collect())
}

fn login(args: &Args, user: &str) -> anyhow::Result<Login> {
    let binary = args.protocol == Protocol::Binary;
    let form = args.login.unwrap_or(if binary { LoginForm::Sasl } else { LoginForm::Text });
    if (form == LoginForm::Sasl) != binary {
        bail!(
            "--login {} does not go with --protocol {}: sasl is for binary, text and memcachier are \
             for text and meta",
            if form == LoginForm::Sasl { "sasl" } else { "text or memcachier" },
            args.protocol
        );
    }
    let password = args.password.clone().or_else(|| std::env::var(PASSWORD_VARIABLE).ok());
    let password = password
        .with_context(|| format!("--user {user}: set {PASSWORD_VARIABLE}, or give --password"))?;
    Ok(Login { form, user: user.to_owned(), password })
}

/// A number of keys; `k` and `m` are powers of 1000.
fn count(text: &str) -> Result<u32, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1_000),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1_000_000),
        _ => (text, 1),
    };
    let count = digits.parse::<u32>().ok().and_then(|count| count.checked_mul(unit));
    count
        .filter(|count| (1..=larder_load::data::MOST_KEYS).contains(count))
        .ok_or_else(|| "give a number from 1 to 100m: 5000, 100k, 1m".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.strip_suffix('s').unwrap_or(text).parse::<f64>().ok();
    seconds
        .filter(|seconds| (0.0..=86_400.0).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "give a number of seconds up to a day: 5, 0.5, 60s".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let (digits, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1e3),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1e6),
        _ => (text, 1.0),
    };
    let rate = digits.parse::<f64>().ok().map(|rate| rate * unit);
    rate.filter(|rate| (1e-3..=1e9).contains(rate)).ok_or_else(|| {
        "give operations per second, above 0 and up to 1000m: 500, 50k, 1m".to_owned()
    })
}

/// A list of cores and ranges of them.
fn cores(text: &str) -> Result<Cores, String> {
    let fault = || "give cores and ranges of them, below 1024: 1, 0,2 or 4-7".to_owned();
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<usize>().ok().filter(|&core| core < 1024);
        let (first, last) = number(first).zip(number(last)).ok_or_else(fault)?;
        if first > last {
            return Err(fault());
        }
        cores.extend(first..=last);
    }
    Ok(Cores(cores))
}

/// A line on the terminal that says how far the load is; nothing where there is no terminal.
#[derive(Debug)]
struct Bar {
    terminal: bool,
    /// Whether it matters which server's turn it is.
    several: bool,
    rounds: u32,
}

impl Bar {
    fn new(several: bool, rounds: u32) -> Bar {
        Bar { terminal: std::io::stderr().is_terminal(), several, rounds }
    }

    fn draw(&mut self, turn: &Turn<'_>) {
        if self.terminal {
            // Whoever cannot be shown a bar gets none.
            let _ = write!(std::io::stderr(), "\r\x1b[K{}", self.line(turn));
        }
    }

    fn line(&self, turn: &Turn<'_>) -> String {
        const WIDTH: u32 = 24;
        let step = match turn.progress.step {
            Step::Connect => "connecting",
            Step::Fill => "filling",
            Step::WarmUp => "warming up",
            Step::Measure => "measuring",
        };
        let share = turn.progress.share;
        let done: String = (0..WIDTH)
            .map(|at| if f64::from(at) < share * f64::from(WIDTH) { '█' } else { '·' })
            .collect();
        let mut line = format!("{step:<10} {done} {:3.0} %", share * 100.0);
        if turn.round > 0 && self.rounds > 1 {
            line += &format!("  round {} of {}", turn.round, self.rounds);
        }
        if self.several {
            line += &format!("  {}", turn.server.address);
        }
        line += &format!("  {} operations", turn.progress.operations);
        line
    }

    fn clear(&mut self) {
        if self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use larder_load::Progress;
    use larder_peers::Memcached;

    #[derive(Debug, Parser)]
    #[command(name = "bench")]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, String> {
        let words = std::iter::once("bench").chain(line.split_whitespace());
        Command::try_parse_from(words)
            .map(|command| command.args)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn without_flags_the_load_is_the_librarys() {
        let args = parse("").unwrap();
        assert_eq!(args.servers, ["127.0.0.1:11211".parse().unwrap()]);
        assert_eq!(format!("{:?}", load(args)), format!("{:?}", Load::default()));
    }

    #[test]
    fn flags_reach_the_load() {
        let load = load(parse(
            "a:1 /s --mix 1:0 --keys 100k --key-size 40 --choice uniform --values 1k-2k --ttl 60 \
             --multiget 100 --pipeline 8 -c 64 -t 2 --cores 1,3-4 --rate 1.5m --seconds 0.5 --warmup 0s \
             --protocol meta",
        ).unwrap());
        assert_eq!((load.keys, load.key_size, load.multiget, load.pipeline), (100_000, 40, 100, 8));
        assert_eq!((load.connections, load.threads, load.ttl), (64, 2, 60));
        assert_eq!((load.cores, load.rate), (vec![1, 3, 4], Some(1_500_000.0)));
        assert_eq!((load.duration, load.warmup), (Duration::from_millis(500), Duration::ZERO));
        assert_eq!(load.values, Sizes { min: 1024, max: 2048 });
    }

    #[test]
    fn a_bad_value_is_named_with_its_flag_and_what_would_be_right() {
        for (line, parts) in [
            ("--mix 0:0", ["--mix", "0:0", "90:10"]),
            ("--keys 0", ["--keys", "'0'", "100k"]),
            ("--keys 9999m", ["--keys", "9999m", "100m"]),
            ("--key-size 251", ["--key-size", "251", "12..=250"]),
            ("--choice normal", ["--choice", "normal", "zipf:EXPONENT"]),
            ("--values 9-1", ["--values", "9-1", "10-200"]),
            ("--cores 4-2", ["--cores", "4-2", "4-7"]),
            ("--cores x", ["--cores", "'x'", "4-7"]),
            ("--rate 0", ["--rate", "'0'", "50k"]),
            ("--seconds -1s", ["--seconds", "-1s", "0.5"]),
            ("--pipeline 0", ["--pipeline", "'0'", "1..=10000"]),
            ("--protocol udp", ["--protocol", "udp", "binary"]),
            ("a:b", ["SERVER", "a:b", "host:port"]),
            ("--user u --login basic", ["--login", "basic", "memcachier"]),
        ] {
            let line = line.replace("--seconds -1s", "--seconds=-1s");
            let error = parse(&line).unwrap_err();
            assert!(parts.iter().all(|part| error.contains(part)), "{line}: {error}");
        }
    }

    #[test]
    fn flags_that_need_another_say_so() {
        for (line, needed) in [
            ("--password x", "--user"),
            ("--tls-ca x", "--tls"),
            ("--tls --tls-cert x", "--tls-key"),
            ("--tls --tls-key x", "--tls-cert"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(needed), "{line}: {error}");
        }
    }

    #[test]
    fn a_login_goes_with_its_protocol() {
        let form = |line: &str| {
            let args = parse(line).unwrap();
            servers(&args).map(|servers| servers[0].login.as_ref().unwrap().form)
        };
        let user = "--user u --password p";
        assert_eq!(form(&format!("{user} --protocol binary")).unwrap(), LoginForm::Sasl);
        assert_eq!(form(&format!("{user} --protocol meta")).unwrap(), LoginForm::Text);
        assert_eq!(form(&format!("{user} --login memcachier")).unwrap(), LoginForm::Memcachier);
        let error = form(&format!("{user} --login sasl")).unwrap_err().to_string();
        assert!(error.contains("--login sasl") && error.contains("--protocol text"), "{error}");
        let error = form(&format!("{user} --login text --protocol binary")).unwrap_err();
        assert!(error.to_string().contains("--protocol binary"), "{error}");
    }

    #[test]
    fn pids_are_for_all_servers_or_none() {
        let error = servers(&parse("a b --pid 1").unwrap()).unwrap_err().to_string();
        assert!(error.contains("1 times for 2 servers"), "{error}");
        let servers = servers(&parse("a b --pid 1 --pid 2").unwrap()).unwrap();
        assert_eq!(servers.iter().map(|server| server.pid).collect::<Vec<_>>(), [Some(1), Some(2)]);
    }

    #[test]
    fn a_wrong_value_makes_the_command_fail() {
        let memcached = Memcached::plain();
        let bench = |flags: &str| {
            let server = memcached.addr();
            run(parse(&format!("{server} --keys 500 --warmup 0 {flags}")).unwrap())
        };
        bench("--seconds 0.1 --fill").unwrap();
        bench("--seconds 0.1 --json --rounds 2").unwrap();
        let error = bench("--seconds 2 --values 50 --mix 1:0").unwrap_err().to_string();
        assert!(error.contains("a value of 32 bytes, 50 were stored"), "{error}");
    }

    #[test]
    fn the_bar_says_how_far_and_whose_turn_it_is() {
        let server = Server::at("a:1".parse().unwrap());
        let progress = Progress { step: Step::Measure, share: 0.5, operations: 42 };
        let turn = Turn { server: &server, round: 2, progress };
        let line = Bar { terminal: true, several: true, rounds: 5 }.line(&turn);
        let half = format!("{}{}", "█".repeat(12), "·".repeat(12));
        assert_eq!(line, format!("measuring  {half}  50 %  round 2 of 5  a:1  42 operations"));
        let alone = Bar { terminal: true, several: false, rounds: 1 }.line(&turn);
        assert_eq!(alone, format!("measuring  {half}  50 %  42 operations"));
    }
}
