//! The servers of `bench server`: Larder, memcached, and the floor, each one worker on the servers' core
//! and with the same arguments.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tempfile::TempDir;

use super::process::SERVER_CORE;

/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(20);

/// Memory of each server: more than any row fills.
const MEGABYTES: &str = "4096";

/// Connections each server takes: more than any row makes.
const CONNECTIONS: &str = "16384";

/// What makes a server of ours answer a constant, without looking anything up.
const FLOOR: &str = "LARDER_FLOOR";

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rival {
    Larder,
    Memcached,
    /// Larder's loop without a cache: what the sockets alone cost.
    Floor,
}

/// The programs that are compared.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) larder: PathBuf,
    pub(super) memcached: PathBuf,
}

/// A running server, killed when dropped.
#[derive(Debug)]
pub(super) struct Running {
    /// What `larder bench` calls it: host and port, or the path of its socket.
    pub(super) address: String,
    /// What it says its version is.
    pub(super) version: String,
    child: Child,
    _dir: TempDir,
}

impl Running {
    /// Starts a server and waits until it answers.
    pub(super) fn start(rival: Rival, programs: &Programs, unix: bool) -> anyhow::Result<Running> {
        let dir = tempfile::tempdir()?;
        let address = if unix {
            dir.path().join("socket").display().to_string()
        } else {
            free_address()?.to_string()
        };
        let child =
            command(rival, programs, &address, unix).spawn().context("starting a server")?;
        let mut server = Running { address, version: String::new(), child, _dir: dir };
        server.version = server.first_answer().with_context(|| format!("{rival:?}"))?;
        Ok(server)
    }

    /// Memory it has resident, in KiB.
    pub(super) fn resident(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        kib.context("VmRSS in a process's status")
    }

    /// Its version, as soon as it answers.
    fn first_answer(&mut self) -> anyhow::Result<String> {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status} before it answered");
            }
            match self.version() {
                Ok(version) => return Ok(version),
                Err(error) if Instant::now() > end => {
                    return Err(error).context(format!("no answer at {}", self.address));
                }
                Err(_) => sleep(Duration::from_millis(20)),
            }
        }
    }

    fn version(&self) -> anyhow::Result<String> {
        let answer = if self.address.contains('/') {
            ask(UnixStream::connect(&self.address)?)?
        } else {
            ask(TcpStream::connect(&self.address)?)?
        };
        let version = answer.strip_prefix("VERSION ").map(str::trim_end);
        Ok(version.with_context(|| format!("an answer to \"version\": {answer:?}"))?.to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command line of a server: the same flags for all.
fn command(rival: Rival, programs: &Programs, address: &str, unix: bool) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", SERVER_CORE]);
    match rival {
        Rival::Memcached => command.arg(&programs.memcached),
        Rival::Larder | Rival::Floor => command.arg(&programs.larder).arg("memcached"),
    };
    // Only who runs as root has to say as whom.
    command.args(["-t", "1", "-m", MEGABYTES, "-c", CONNECTIONS, "-U", "0", "-u", "root"]);
    match address.rsplit_once(':') {
        Some((host, port)) if !unix => command.args(["-l", host, "-p", port]),
        _ => command.args(["-s", address]),
    };
    command.env_remove(FLOOR);
    if rival == Rival::Floor {
        command.env(FLOOR, "1");
    }
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Asks for the version and reads a line.
fn ask(mut stream: impl Read + Write) -> anyhow::Result<String> {
    stream.write_all(b"version\r\n")?;
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while answer.last() != Some(&b'\n') {
        ensure!(stream.read(&mut byte)? == 1, "it hung up");
        answer.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// An address nobody listens on just now.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("a free port")?;
    Ok(listener.local_addr()?)
}

/// Opens connections that have asked for something once and are idle since; how much memory each of them
/// costs the server, in KiB.
#[expect(clippy::cast_precision_loss, reason = "less than 2^53 KiB")]
pub(super) fn idle_kib(server: &Running, connections: usize) -> anyhow::Result<f64> {
    let connect = || -> anyhow::Result<TcpStream> {
        let stream = TcpStream::connect(&server.address);
        let mut stream = stream.context("an idle connection (ulimit -n limits their number)")?;
        ask_for_nothing(&mut stream)?;
        Ok(stream)
    };
    // What the first connections make the server allocate once is not theirs.
    let first: Vec<TcpStream> = (0..64).map(|_| connect()).collect::<anyhow::Result<_>>()?;
    let before = server.resident()?;
    let idle: Vec<TcpStream> =
        (0..connections).map(|_| connect()).collect::<anyhow::Result<_>>()?;
    let after = server.resident()?;
    drop((first, idle));
    Ok(after.saturating_sub(before) as f64 / connections as f64)
}

fn ask_for_nothing(stream: &mut TcpStream) -> anyhow::Result<()> {
    stream.write_all(b"get nothing\r\n")?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer)?;
    ensure!(&answer == b"END\r\n", "{:?} instead of END", answer.escape_ascii().to_string());
    Ok(())
}

/// Builds the `larder` program, optimised; its path.
pub(super) fn build() -> anyhow::Result<PathBuf> {
    let status = crate::test::cargo()
        .args(["build", "--release", "--package", "larder-cli"])
        .status()
        .context("cannot run cargo build")?;
    ensure!(status.success(), "the build failed: {status}");
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(|| crate::root().join("target"), PathBuf::from);
    Ok(target.join("release").join("larder"))
}

/// Runs `larder bench` and reads what it prints.
pub(super) fn bench(
    larder: &Path,
    servers: &[&Running],
    flags: &[String],
) -> anyhow::Result<serde_json::Value> {
    let output = Command::new(larder)
        .arg("bench")
        .args(["--json", "--cores", LOAD_CORE])
        .args(flags)
        .args(servers.iter().map(|server| &server.address))
        .stderr(Stdio::piped())
        .output()
        .context("cannot run larder bench")?;
    // It fails for a wrong reply, too: then its figures say which server gave it.
    serde_json::from_slice(&output.stdout).with_context(|| {
        format!("larder bench {}: {}", flags.join(" "), String::from_utf8_lossy(&output.stderr))
    })
}

/// The core of the load generator.
const LOAD_CORE: &str = "1";

#[cfg(test)]
mod tests {
    use super::*;

    fn words(rival: Rival, address: &str, unix: bool) -> String {
        let programs = Programs { larder: "l".into(), memcached: "m".into() };
        format!("{:?}", command(rival, &programs, address, unix))
    }

    #[test]
    fn all_rivals_get_the_same_flags() {
        let flags = |rival, program: &str| {
            let words = words(rival, "127.0.0.1:7", false);
            words.split_once(program).map(|(_, flags)| flags.to_owned()).unwrap()
        };
        let theirs = flags(Rival::Memcached, "\"m\"");
        assert!(theirs.ends_with(r#""-l" "127.0.0.1" "-p" "7""#), "{theirs}");
        assert_eq!(flags(Rival::Larder, r#""l" "memcached""#), theirs);
        assert_eq!(flags(Rival::Floor, r#""l" "memcached""#), theirs);
        assert!(words(Rival::Floor, "/s", true).contains("LARDER_FLOOR=\"1\""));
        assert!(words(Rival::Larder, "/s", true).ends_with(r#""-s" "/s""#));
    }
}
