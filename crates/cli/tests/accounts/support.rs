//! Commands, servers and connections for the tests.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use larder_peers::{Program, Running};
use serde_json::Value;

/// How long anything may take that should be there at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const LARDER: &str = env!("CARGO_BIN_EXE_larder");

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command in `dir` with no variables but these.
pub(crate) fn run<A: AsRef<OsStr>>(
    dir: &Path,
    args: impl IntoIterator<Item = A>,
    vars: &[(&str, &str)],
) -> Said {
    let output = command(dir, args, vars).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

pub(crate) fn command<A: AsRef<OsStr>>(
    dir: &Path,
    args: impl IntoIterator<Item = A>,
    vars: &[(&str, &str)],
) -> Command {
    let mut command = Command::new(LARDER);
    command.args(args).env_clear().envs(vars.iter().copied()).current_dir(dir);
    command.stdin(std::process::Stdio::null());
    command
}

/// Runs a line of words that must go well; what it printed on standard output.
#[track_caller]
pub(crate) fn larder(dir: &Path, line: &str) -> String {
    let said = run(dir, line.split_whitespace(), &[]);
    assert_eq!(said.code, Some(0), "{line}: {said:?}");
    said.out
}

/// Runs a line of words that must fail; what it printed on standard error.
#[track_caller]
pub(crate) fn refusal(dir: &Path, line: &str) -> String {
    let said = run(dir, line.split_whitespace(), &[]);
    assert!(said.code != Some(0) && said.out.is_empty(), "{line}: {said:?}");
    assert!(!said.err.contains("panicked"), "{line}: {said:?}");
    said.err
}

/// How a tenant is reached, as `--format json` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) server: String,
    pub(crate) user: String,
    pub(crate) password: String,
}

impl Login {
    pub(crate) fn of(json: &str) -> Login {
        let all: BTreeMap<String, String> = serde_json::from_str(json).unwrap();
        let value = |name: &str| all[&format!("MEMCACHIER_{name}")].clone();
        Login { server: value("SERVERS"), user: value("USERNAME"), password: value("PASSWORD") }
    }

    pub(crate) fn vars(&self) -> [(&str, &str); 3] {
        [
            ("MEMCACHIER_SERVERS", &self.server),
            ("MEMCACHIER_USERNAME", &self.user),
            ("MEMCACHIER_PASSWORD", &self.password),
        ]
    }

    /// The header of HTTP Basic.
    pub(crate) fn basic(&self) -> String {
        let pair = format!("{}:{}", self.user, self.password);
        format!("Basic {}", BASE64_STANDARD.encode(pair))
    }
}

/// Makes a tenant.
#[track_caller]
pub(crate) fn provision(dir: &Path, line: &str) -> Login {
    Login::of(&larder(dir, &format!("provision {line} --format json")))
}

/// `larder serve --data DIR` on free ports.
pub(crate) struct Node {
    pub(crate) running: Running,
    pub(crate) address: SocketAddr,
    pub(crate) console: SocketAddr,
}

impl Node {
    /// Starts it in `dir`, with its data in `larder-data` there unless `flags` say otherwise.
    #[track_caller]
    pub(crate) fn start(dir: &Path, flags: &str) -> Node {
        let running = Node::spawn(dir, flags);
        let address = banner(&running, "Listening  ");
        let console = banner(&running, "Console    http://");
        Node { running, address, console }
    }

    /// The same, without waiting until it serves.
    pub(crate) fn spawn(dir: &Path, flags: &str) -> Running {
        let usual = [
            ("--listen", "127.0.0.1:0"),
            ("--console", "127.0.0.1:0"),
            ("--memory", "256m"),
            ("--threads", "2"),
            ("--data", "./larder-data"),
        ];
        let usual = usual.iter().filter(|(flag, _)| !flags.contains(&format!("{flag} ")));
        let usual: String = usual.map(|(flag, value)| format!(" {flag} {value}")).collect();
        let line = format!("serve{usual} {flags}");
        let args: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        Program::new(LARDER).directory(dir).args(args).start()
    }

    /// A connection that has said who it is.
    #[track_caller]
    pub(crate) fn log_in(&self, login: &Login) -> Connection {
        let mut connection = Connection::open(self.address);
        assert_eq!(connection.log_in(&login.user, &login.password), "STORED");
        connection
    }

    /// Asks the console's API; its answer must be well.
    #[track_caller]
    pub(crate) fn api(&self, path: &str, authorization: &str) -> Value {
        let (status, body) = http(self.console, "GET", path, authorization);
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Stops it in order.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.running.signal("INT");
        assert!(self.running.ends().success(), "{}", self.running.output());
        assert!(self.running.output().ends_with("Stopped.\n"), "{}", self.running.output());
    }
}

/// The address after some words of a banner.
#[track_caller]
pub(crate) fn banner(running: &Running, words: &str) -> SocketAddr {
    let end = Instant::now() + PATIENCE;
    loop {
        let output = running.output();
        let found = || {
            let (_, rest) = output.split_once(words)?;
            rest.split_once('\n')?.0.split_whitespace().next()?.parse().ok()
        };
        if let Some(address) = found() {
            return address;
        }
        assert!(Instant::now() < end, "no {words:?} in {output}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until `what` is there.
#[track_caller]
pub(crate) fn wait<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "no {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A client of the text protocol.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(crate) fn open(address: impl std::net::ToSocketAddrs) -> Connection {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection(BufReader::new(stream))
    }

    pub(crate) fn log_in(&mut self, user: &str, password: &str) -> String {
        let token = format!("{user} {password}");
        self.ask(&format!("set auth 0 0 {}\r\n{token}\r\n", token.len()))
    }

    /// One line that is answered to a request; empty if the server has closed.
    pub(crate) fn ask(&mut self, request: &str) -> String {
        if self.0.get_mut().write_all(request.as_bytes()).is_err() {
            return String::new();
        }
        self.line()
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        // A connection that was reset is closed, too.
        let _ = self.0.read_line(&mut line);
        line.trim_end().to_owned()
    }

    pub(crate) fn set(&mut self, key: &str, value: &str) -> String {
        self.ask(&format!("set {key} 0 0 {}\r\n{value}\r\n", value.len()))
    }

    pub(crate) fn get(&mut self, key: &str) -> Option<String> {
        match self.ask(&format!("get {key}\r\n")).as_str() {
            "END" => None,
            line => {
                assert!(line.starts_with("VALUE "), "{line:?}");
                let value = self.line();
                assert_eq!(self.line(), "END");
                Some(value)
            }
        }
    }

    /// Bytes as they are.
    pub(crate) fn exchange(&mut self, request: &[u8], answer: usize) -> Vec<u8> {
        self.0.get_mut().write_all(request).unwrap();
        let mut read = vec![0; answer];
        self.0.read_exact(&mut read).unwrap();
        read
    }
}

/// One HTTP exchange: the status and the body.
pub(crate) fn http(
    address: SocketAddr,
    method: &str,
    path: &str,
    authorization: &str,
) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Authorization: {authorization}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = match head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        true => unchunked(body),
        false => body.to_owned(),
    };
    (status, body)
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        whole += &rest[..length];
        body = rest[length..].trim_start_matches("\r\n");
    }
    whole
}

/// An empty directory, and its path.
pub(crate) fn directory() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_path_buf();
    (dir, path)
}
