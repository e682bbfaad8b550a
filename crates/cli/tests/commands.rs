//! The `larder` command as a process: what it says, what it serves, and how it ends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitStatus;

use larder_peers::{Memcached, Program, Running};

const USER: &str = "15F38e";
const PASSWORD: &str = "s3cret/pass";

fn larder(args: &[&str], vars: &[(&str, &str)]) -> Program {
    Program::new(env!("CARGO_BIN_EXE_larder")).args(args.iter().copied()).envs(vars.iter().copied())
}

/// Runs a command that must go well; what it said.
fn says(args: &[&str], vars: &[(&str, &str)]) -> String {
    let (status, output) = larder(args, vars).run();
    assert!(status.success(), "{output}");
    output
}

/// Runs a command that must fail; what it said, on one line.
fn refusal(args: &[&str], vars: &[(&str, &str)]) -> String {
    refused(larder(args, vars).run())
}

/// What a command that failed said, on one line.
fn refused((status, output): (ExitStatus, String)) -> String {
    assert_eq!(status.code(), Some(1), "{output}");
    let told: Vec<_> = output.lines().filter(|line| line.starts_with("larder: ")).collect();
    assert_eq!(told.len(), 1, "{output}");
    assert!(!output.contains(PASSWORD) && !output.contains("panicked"), "{output}");
    told[0].to_owned()
}

/// What `larder check` says to these variables. It gives a server 250 ms, which a machine that is busy may
/// take: then it is asked again.
fn check(vars: &[(&str, &str)]) -> (ExitStatus, String) {
    let asked = std::iter::repeat_with(|| larder(&["check"], vars).run());
    let in_time = |(_, output): &(_, String)| !output.contains("no answer within");
    asked.take(100).find(in_time).expect("an answer in time")
}

/// One exchange on a connection of its own; the answer as it came.
fn exchange(addr: SocketAddr, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    let length = body.len();
    let request = format!(
        "{head} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\nContent-Length: {length}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn help_names_the_commands_and_the_variables() {
    let help = says(&["--help"], &[]);
    let words = [
        "up",
        "serve",
        "provision",
        "tenants",
        "credentials",
        "sign-in",
        "flush",
        "stats",
        "top",
        "check",
        "MEMCACHIER_SERVERS",
        "LARDER_URL",
        "LARDER_DATA",
        "DATABASE_URL",
        "PORT",
    ];
    for word in words {
        assert!(help.contains(word), "{word}: {help}");
    }
}

#[test]
fn check_without_a_server_says_that_the_cache_is_in_process() {
    let output = says(&["check"], &[]);
    assert!(output.contains("in this process") && output.contains("  ok  "), "{output}");
    assert!(output.contains("MEMCACHIER_SERVERS"), "{output}");
}

#[test]
fn check_asks_every_server() {
    let servers = [Memcached::plain(), Memcached::plain()];
    let addrs = servers.each_ref().map(|server| server.addr().to_string());
    let (status, output) = check(&[("MEMCACHE_SERVERS", &addrs.join(","))]);
    assert!(status.success(), "{output}");
    for addr in addrs {
        assert!(output.contains(&format!("  ok  {addr}: set and got a value back")), "{output}");
    }
}

#[test]
fn check_logs_in() {
    let server = Memcached::sasl(USER, PASSWORD);
    let addr = server.addr().to_string();
    let vars = [
        ("MEMCACHIER_SERVERS", addr.as_str()),
        ("MEMCACHIER_USERNAME", USER),
        ("MEMCACHIER_PASSWORD", PASSWORD),
    ];
    let (status, output) = check(&vars);
    assert!(status.success() && output.contains(&format!("  ok  {addr}")), "{output}");

    let mut wrong = vars;
    wrong[2].1 = "a guess";
    let told = refused(check(&wrong));
    assert!(told.contains(&addr) && told.contains("authentication failed"), "{told}");
    assert!(told.contains(USER) && !told.contains("a guess"), "{told}");
}

#[test]
fn check_says_that_nobody_answers() {
    // Bound, so that nobody else gets it, and nobody listens.
    let silent = tokio::net::TcpSocket::new_v4().unwrap();
    silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = silent.local_addr().unwrap().to_string();
    let told = refused(check(&[("MEMCACHIER_SERVERS", &addr)]));
    assert!(told.contains(&format!("{addr}: cannot connect")), "{told}");
}

#[test]
fn check_says_that_a_server_does_not_answer_in_time() {
    let server = Memcached::plain();
    server.freeze();
    let told = refusal(&["check"], &[("MEMCACHIER_SERVERS", &server.addr().to_string())]);
    assert!(told.contains(&format!("{}: no answer within 250ms", server.addr())), "{told}");
}

#[test]
fn a_wrong_environment_is_named_by_every_command() {
    for (name, value, named) in [
        ("MEMCACHIER_USERNAME", USER, "MEMCACHIER_PASSWORD"),
        ("MEMCACHIER_PASSWORD", PASSWORD, "MEMCACHIER_USERNAME"),
        ("MEMCACHIER_SERVERS", "mc1:port", "mc1:port"),
        ("MEMCACHIER_SERVERS", "127.0.0.1:99999", "99999"),
        ("LARDER_URL", "redis://mc1", "memcached://"),
        ("LARDER_URL", "memcached://mc1/?timeout=5", "250ms"),
    ] {
        for command in ["check", "up"] {
            let told = refusal(&[command], &[(name, value)]);
            assert!(told.contains(name) && told.contains(named), "{told}");
        }
    }
}

/// `larder up` on a free port, in a directory.
fn up(directory: &std::path::Path) -> (Running, SocketAddr) {
    let vars = [
        ("PORT", "0"),
        ("TASKLIST_LISTEN", "127.0.0.1"),
        ("LARDER_LISTEN", "127.0.0.1:0"),
        ("LARDER_CONSOLE", "127.0.0.1:0"),
    ];
    let mut running = larder(&["up"], &vars).directory(directory).start();
    let addr = running.address();
    (running, addr)
}

#[test]
fn up_serves_from_an_empty_directory_and_keeps_the_tasks() {
    let directory = tempfile::tempdir().unwrap();
    let (mut running, addr) = up(directory.path());
    let added = exchange(addr, "POST /add", "name=Flour");
    assert!(added.starts_with("HTTP/1.1 303"), "{added}");
    assert!(exchange(addr, "GET /", "").contains(">Flour</td>"));
    assert!(exchange(addr, "GET /caches", "").contains("What the caches did"));
    let output = running.output();
    for line in [format!("http://{addr}\n"), format!("http://{addr}/caches\n")] {
        assert!(output.contains(&line), "{output}");
    }
    running.signal("INT");
    assert!(running.ends().success(), "{}", running.output());
    assert!(running.output().contains("Stopping."));

    let (mut again, addr) = up(directory.path());
    assert!(exchange(addr, "GET /", "").contains(">Flour</td>"));
    again.signal("TERM");
    assert!(again.ends().success(), "{}", again.output());
}

#[test]
fn no_command_is_up_and_a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let told = refusal(&[], &[("PORT", &port), ("TASKLIST_LISTEN", "127.0.0.1")]);
    assert!(told.contains(&format!("127.0.0.1:{port}")) && told.contains("PORT="), "{told}");
}
