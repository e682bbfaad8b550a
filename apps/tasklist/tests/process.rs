//! The binary as a process: its messages, its listening and its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

use tasklist::config::VARIABLES;

fn tasklist(vars: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tasklist"));
    for variable in VARIABLES {
        command.env_remove(variable.name);
    }
    command.env_remove("RUST_LOG").envs(vars.iter().copied());
    command
}

fn run(vars: &[(&str, &str)], args: &[&str]) -> Output {
    tasklist(vars).args(args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn help_lists_every_variable() {
    let output = run(&[], &["--help"]);
    let help = String::from_utf8(output.stdout).unwrap();
    for variable in VARIABLES {
        assert!(help.contains(variable.name) && help.contains(variable.default), "{help}");
    }
}

#[test]
fn a_wrong_variable_ends_it_with_a_message() {
    let output = run(&[("TASKLIST_LOG", "xml")], &["migrate"]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("TASKLIST_LOG is \"xml\"; valid is text or json"));
    let output = run(&[("RUST_LOG", "tasklist=loud")], &["migrate"]);
    assert!(stderr(&output).contains("RUST_LOG is \"tasklist=loud\""), "{}", stderr(&output));
}

#[test]
fn a_port_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let vars =
        [("DATABASE_URL", "sqlite::memory:"), ("PORT", &port), ("TASKLIST_LISTEN", "127.0.0.1")];
    let output = run(&vars, &["serve"]);
    assert!(!output.status.success());
    let message = stderr(&output);
    assert!(
        message.contains(&format!("127.0.0.1:{port}")) && message.contains("PORT"),
        "{message}"
    );
}

#[test]
fn migrate_makes_the_file_and_ends() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("data/tasks.db");
    let url = format!("sqlite:{}", file.display());
    for _ in 0..2 {
        assert!(run(&[("DATABASE_URL", &url)], &["migrate"]).status.success());
        assert!(file.exists());
    }
}

/// A served app; killed when dropped.
struct Served {
    child: Child,
    address: String,
}

impl Served {
    /// Starts the app on a free port, which its log names.
    fn start(vars: &[(&str, &str)]) -> Served {
        let fixed = [("PORT", "0"), ("TASKLIST_LISTEN", "127.0.0.1"), ("TASKLIST_LOG", "json")];
        let mut child = tasklist(vars).envs(fixed).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
            (line["message"] == "listening").then(|| line["address"].as_str().unwrap().to_owned())
        });
        // Keeps the pipe empty, so that the app never waits for it.
        std::thread::spawn(move || lines.for_each(drop));
        Served { child, address: address.unwrap() }
    }

    fn get(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        )
        .unwrap();
        stream
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(mut stream: TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_signal_ends_it_after_the_request_in_flight() {
    for name in ["TERM", "INT"] {
        let vars = [("DATABASE_URL", "sqlite::memory:"), ("TASKLIST_SLOW_QUERY_MS", "600")];
        let mut served = Served::start(&vars);
        assert!(read(served.get("/healthz")).ends_with("ok\n"));
        let slow = served.get("/");
        // The request must have arrived before the signal does: a second one has been answered.
        assert!(read(served.get("/healthz")).ends_with("ok\n"));
        served.signal(name);
        let page = read(slow);
        assert!(page.starts_with("HTTP/1.1 200") && page.contains("Current tasks"), "{page}");
        assert!(served.child.wait().unwrap().success());
    }
}
