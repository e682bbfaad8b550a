//! Clients that people use, against our server: each a script in its own language, run without
//! authentication and with it. And memccapable, libmemcached's test of servers.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use larder_peers::{Program, Running, free_address, memccapable, node, python, sasl_mechanisms};
use tempfile::TempDir;

const USER: &str = "alice";
const PASSWORD: &str = "s3cret pass";

/// A server of ours, with or without the account of [`USER`].
struct Server {
    address: String,
    account: bool,
    _running: Running,
    _files: TempDir,
}

impl Server {
    fn start(account: bool) -> Server {
        let files = tempfile::tempdir().unwrap();
        let accounts = files.path().join("accounts");
        std::fs::write(&accounts, format!("{USER}:{PASSWORD}\n")).unwrap();
        let address = free_address();
        let port = address.port().to_string();
        let mut program = Program::new(env!("CARGO_BIN_EXE_larder"))
            .args(["memcached", "-u", "root", "-l", "127.0.0.1", "-p", &port])
            .envs([("LARDER_DEBUG_COMMANDS", "1")]);
        if account {
            program = program.args(["-S"]).envs([("MEMCACHED_SASL_PWDB", accounts)]);
        }
        let running = program.start();
        let patience = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < patience, "{}", running.output());
            std::thread::sleep(Duration::from_millis(5));
        }
        Server { address: address.to_string(), account, _running: running, _files: files }
    }

    /// Runs a client's script against it.
    fn serves(&self, client: Program) {
        let mut client = client.args([&self.address]);
        if self.account {
            client = client.args([USER, PASSWORD]);
        }
        let (status, output) = client.run();
        assert!(status.success(), "with an account: {}\n{output}", self.account);
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

fn python_script(name: &str) -> Program {
    Program::new(python())
        .args([script(name)])
        .envs([("PYTHONDONTWRITEBYTECODE", "1".into()), ("SASL_PATH", sasl_mechanisms())])
}

#[test]
fn pylibmc() {
    for account in [false, true] {
        Server::start(account).serves(python_script("with_pylibmc.py"));
    }
}

#[test]
fn python_binary_memcached() {
    for account in [false, true] {
        Server::start(account).serves(python_script("with_bmemcached.py"));
    }
}

#[test]
fn pymemcache() {
    for account in [false, true] {
        Server::start(account).serves(python_script("with_pymemcache.py"));
    }
}

#[test]
fn memjs() {
    for account in [false, true] {
        let (node, packages) = node();
        let client = Program::new(node).args([script("with_memjs.js")]);
        Server::start(account).serves(client.envs([("CLIENTS_DIRECTORY", packages)]));
    }
}

#[test]
fn libmemcached_finds_every_command() {
    let server = Server::start(false);
    let (host, port) = server.address.rsplit_once(':').unwrap();
    let (status, output) =
        Program::new(memccapable()).args(["-h", host, "-p", port, "-t", "5"]).run();
    assert!(status.success() && output.contains("All tests passed"), "{output}");
}
