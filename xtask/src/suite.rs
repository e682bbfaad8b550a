//! `cargo xtask suite`: memcached's own wire suite against our server.
//!
//! The suite is memcached's property and not a part of this project: the user names a directory with
//! its source, of which only `t/` is used. Its scripts start `./memcached-debug` of the directory
//! they run in; here that is a shell script which starts `larder memcached`. `docs/protocol.md` has
//! the results, and says why a file is not expected to pass.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::{root, test};

/// Arguments of `cargo xtask suite`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The source of memcached 1.6.45, as released or cloned
    #[arg(long)]
    dir: PathBuf,
    /// A built `larder` to test instead of the workspace's
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Show everything that the files print
    #[arg(long)]
    verbose: bool,
    /// Files to run, without `.t`; all that mean something to a compatible server if none is named
    files: Vec<String>,
}

/// A file of the suite.
struct File {
    name: &'static str,
    class: Class,
}

/// What a file is about.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Class {
    /// What every compatible server should do.
    Server,
    /// The same, and statistics of memcached's memory management.
    Figures,
    /// Over TLS.
    Tls,
    /// Something that we do not offer.
    Other,
}

/// Every file that is not about memcached's inside, its proxy or its storage on disks.
const FILES: &[(Class, &str)] = &[
    (
        Class::Server,
        "00-startup ascii-auth ascii-auth2 binary-get binary bogus-commands cas chunked-items \
         daemonize dash-M evictions expirations flags flush-all getandtouch getset idle-timeout \
         incrdecr issue_104 issue_108 issue_14 issue_152 issue_192 issue_3 issue_41 issue_50 \
         issue_61 issue_68 issue_70 item_size_max malicious-commands maxconns metaget misbehave \
         multiversioning noreply quit shutdown stats-conns stats-detail strtol-testing touch \
         unixsocket",
    ),
    (
        Class::Tls,
        "ssl_cert_refresh ssl_ports ssl_proto_version ssl_session_resumption ssl_settings \
         ssl_verify_modes",
    ),
    (
        Class::Figures,
        "conn-limits dyn-maxbytes issue_163 issue_183 issue_22 issue_29 issue_42 lru-crawler \
         lru-maintainer lru restart stats",
    ),
    (Class::Other, "binary-sasl issue_67 udp watcher watcher_connid"),
];

/// How a file went.
struct Outcome {
    passed: usize,
    total: usize,
    ended_well: bool,
    time: Duration,
}

/// Runs the files and prints a table; fails if one that must pass did not.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let suite = args.dir.join("t").canonicalize().context("--dir: no directory t in it")?;
    let binary = match &args.binary {
        Some(binary) => binary.canonicalize().context("--binary")?,
        None => build()?,
    };
    let stage = stage(&suite, &binary)?;
    let mut failed = Vec::new();
    println!("{:<24}{:<9}{:>13}{:>9}", "file", "class", "passed", "time");
    for file in chosen(&args.files)? {
        let outcome = file.run(stage.path(), args.verbose)?;
        println!("{}", row(&file, &outcome));
        if file.must_pass() && outcome.passed + file.out_of_reach() < outcome.total.max(1) {
            failed.push(file.name);
        }
    }
    if !failed.is_empty() {
        bail!("suite: {} must pass and did not: {}", failed.len(), failed.join(", "));
    }
    Ok(())
}

impl File {
    /// Runs it in `stage`; a file that takes minutes is ended.
    fn run(&self, stage: &Path, verbose: bool) -> anyhow::Result<Outcome> {
        let start = Instant::now();
        let log = stage.join("log");
        let file = fs::File::create(&log)?;
        let mut command = Command::new("timeout");
        command.args(["--kill-after=5", "240", "perl"]).arg(format!("t/{}.t", self.name));
        command.current_dir(stage).stdin(Stdio::null()).process_group(0);
        command.stdout(file.try_clone()?).stderr(file);
        if self.class == Class::Tls {
            command.env("SSL_TEST", "1");
        }
        let mut child = command.spawn().context("cannot run timeout")?;
        let status = child.wait()?;
        // A test that died may have left its servers.
        let kill = format!("kill -s KILL -- -{} 2>/dev/null", child.id());
        Command::new("sh").args(["-c", &kill]).status()?;
        let text = String::from_utf8_lossy(&fs::read(log)?).into_owned();
        let (passed, total) = count(&text);
        let ended_well = status.success();
        if verbose || !ended_well || passed < total {
            print!("{}", telling(&text, verbose));
        }
        Ok(Outcome { passed, total, ended_well, time: start.elapsed() })
    }
}

impl File {
    fn must_pass(&self) -> bool {
        matches!(self.class, Class::Server | Class::Tls)
    }

    /// How many of its tests want what we do not offer: one wants a UDP socket among the connections.
    fn out_of_reach(&self) -> usize {
        usize::from(self.name == "stats-conns")
    }
}

impl Outcome {
    fn is_good(&self) -> bool {
        self.ended_well && self.passed == self.total
    }
}

/// The files of these names, or all.
fn chosen(names: &[String]) -> anyhow::Result<Vec<File>> {
    let all = || {
        let each = |&(class, names): &(Class, &'static str)| {
            names.split_whitespace().map(move |name| File { name, class })
        };
        FILES.iter().flat_map(each)
    };
    if names.is_empty() {
        return Ok(all().filter(|file| file.class != Class::Other).collect());
    }
    let find = |name: &String| {
        let name = name.trim_end_matches(".t");
        all().find(|file| file.name == name).with_context(|| format!("no file is called {name:?}"))
    };
    names.iter().map(find).collect()
}

/// Builds our server.
fn build() -> anyhow::Result<PathBuf> {
    if !test::cargo().args(["build", "--package=larder-cli"]).status()?.success() {
        bail!("the build failed");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), PathBuf::from);
    Ok(target.join("debug/larder"))
}

/// A directory that looks to the suite like the one memcached was built in.
fn stage(suite: &Path, binary: &Path) -> anyhow::Result<tempfile::TempDir> {
    let stage = tempfile::tempdir()?;
    symlink(suite, stage.path().join("t"))?;
    let server = format!(
        "#!/bin/sh\nLARDER_DEBUG_COMMANDS=1 exec '{}' memcached \"$@\"\n",
        binary.display()
    );
    script(&stage.path().join("memcached-debug"), &server)?;
    // The suite's own program of this name ends a server after the seconds in its first argument.
    script(&stage.path().join("timedrun"), "#!/bin/sh\nshift\nexec \"$@\"\n")?;
    Ok(stage)
}

fn script(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Tests passed, and tests there are, in a file's output: the greater of those planned and those
/// seen.
fn count(output: &str) -> (usize, usize) {
    let results = |start| output.lines().filter(|line| line.starts_with(start)).count();
    let (passed, failed) = (results("ok "), results("not ok "));
    let plan = output.lines().find_map(|line| {
        line.strip_prefix("1..")?.split_whitespace().next()?.parse::<usize>().ok()
    });
    (passed, plan.unwrap_or(0).max(passed + failed))
}

/// The lines that matter: all of them, or those about failed tests.
fn telling(output: &str, verbose: bool) -> String {
    let lines = output
        .lines()
        .filter(|line| verbose || !["ok ", "1.."].iter().any(|good| line.starts_with(good)));
    lines.map(|line| format!("{}\n", line.get(..200).unwrap_or(line))).collect()
}

fn row(file: &File, outcome: &Outcome) -> String {
    let class = match file.class {
        Class::Server => "a",
        Class::Tls => "a, TLS",
        Class::Figures => "a*",
        Class::Other => "other",
    };
    let counts = format!("{}/{}", outcome.passed, outcome.total);
    let ending = if outcome.is_good() { "" } else { "  FAILED" };
    format!("{:<24}{class:<9}{counts:>13}{:>7.1} s{ending}", file.name, outcome.time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_counted() {
        assert_eq!(count("1..3\nok 1 - a\nnot ok 2 - b\nok 3\n"), (2, 3));
        assert_eq!(count("ok 1\nok 2\n1..2\n"), (2, 2));
        // It died after the first.
        assert_eq!(count("1..5\nok 1\n"), (1, 5));
        assert_eq!(count("1..0 # SKIP no such thing\n"), (0, 0));
    }

    #[test]
    fn files_are_chosen_by_name() {
        let chosen = chosen(&["udp.t".into(), "stats".into()]).unwrap();
        assert!(chosen[0].class == Class::Other && chosen[1].class == Class::Figures);
        assert!(super::chosen(&["nonsense".into()]).is_err());
        assert!(super::chosen(&[]).unwrap().iter().all(|file| file.class != Class::Other));
    }
}
