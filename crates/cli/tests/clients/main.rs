//! Clients that people use, against our server: each a script in its own language, run without
//! authentication and with it. And memccapable, libmemcached's test of servers.

use std::net::{SocketAddr, TcpStream};
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
        answers(address, &running);
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

/// Waits until a server answers.
fn answers(address: SocketAddr, running: &Running) {
    let patience = Instant::now() + Duration::from_secs(60);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < patience, "{}", running.output());
        std::thread::sleep(Duration::from_millis(5));
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

/// Django's cache is configured by what `larder provision` prints, before a server runs.
#[test]
fn django_as_the_tutorials_have_it_and_flask() {
    let files = tempfile::tempdir().unwrap();
    let larder = |line: &str| {
        let args = line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        Program::new(env!("CARGO_BIN_EXE_larder")).directory(files.path()).args(args)
    };
    let address = free_address();
    let provisioned = |name: &str, format: &str| {
        let line = format!("provision {name} --servers {address} --format {format}");
        let (status, output) = larder(&line).run();
        assert!(status.success(), "{output}");
        output
    };
    let snippet = files.path().join("settings.py");
    std::fs::write(&snippet, provisioned("snippet", "django")).unwrap();
    let flask = files.path().join("flask.py");
    std::fs::write(&flask, provisioned("flask", "flask")).unwrap();
    let logins = ["bmemcached", "pylibmc"].map(|name| {
        let json = provisioned(name, "json");
        serde_json::from_str::<std::collections::BTreeMap<String, String>>(&json).unwrap()
    });
    let server = larder(&format!("serve --data larder-data --console off --listen {address}"));
    let running = server.start();
    answers(address, &running);
    let [bmemcached, pylibmc] = logins;
    let none = std::collections::BTreeMap::new();
    for (which, vars) in
        [("tutorial", bmemcached), ("tutorial-pylibmc", pylibmc), (snippet.to_str().unwrap(), none)]
    {
        let (status, output) = python_script("with_django.py").args([which]).envs(vars).run();
        assert!(status.success(), "{which}: {output}");
    }
    let (status, output) = python_script("with_flask.py").args([flask]).run();
    assert!(status.success(), "{output}");
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
        Program::new(memccapable()).args(["-h", host, "-p", port, "-t", "60"]).run();
    assert!(status.success() && output.contains("All tests passed"), "{output}");
}
