//! `larder serve`.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use larder_peers::Running;

use crate::{
    LARDER, PATIENCE, exchange, larder, login, read_all, refusal, says, signal, wait, write,
};

fn args(flags: &str) -> Vec<String> {
    std::iter::once("serve").chain(flags.split_whitespace()).map(str::to_owned).collect()
}

/// A server on a free port of 127.0.0.1, and its address as the banner has it.
fn start(flags: &str, vars: &[(&str, &str)]) -> (Running, SocketAddr) {
    let running = larder(&args(&format!("--listen 127.0.0.1:0 {flags}")), vars).start();
    let address = wait("banner", || {
        let output = running.output();
        let (_, rest) = output.split_once("Listening  ")?;
        rest.split_once('\n')?.0.trim().parse().ok()
    });
    (running, address)
}

#[test]
fn it_does_not_start_open_by_accident() {
    let told = refusal(&["serve"], &[], 1);
    let places = ["--data DIR", "--auth-file FILE", "--open"].map(|words| told.find(words));
    assert!(places[0].is_some() && places.is_sorted(), "{told}");
    let told = refusal(&args("--open --auth-file /tmp/x"), &[], 1);
    assert!(told.contains("--open") && told.contains("--auth-file"), "{told}");
    let told = refusal(&args("--open"), &[("LARDER_AUTH_FILE", "/tmp/x")], 1);
    assert!(told.contains("LARDER_AUTH_FILE"), "{told}");
    for (flags, names) in [
        ("--open --data /tmp/x", ["--open", "--data"]),
        ("--auth-file /tmp/x --data /tmp/x", ["--auth-file", "--data"]),
        ("--open --database-url postgres://a/b", ["--open", "--database-url"]),
        ("--open --console 127.0.0.1:0", ["--console", "--data DIR"]),
        ("--open --advertise a:1", ["--advertise", "--data DIR"]),
        ("--data /tmp/x --console 8001", ["--console", "127.0.0.1:8001"]),
        ("--data /tmp/x --console-url console", ["--console-url", "https://"]),
        ("--data /tmp/x --database-url mysql://a/b", ["--database-url", "postgres://"]),
        ("--data /tmp/x --advertise a:b", ["--advertise", "a host and a port"]),
    ] {
        let told = refusal(&args(flags), &[], 1);
        assert!(names.iter().all(|name| told.contains(name)), "{flags}: {told}");
    }
    let told = refusal(&["serve"], &[("LARDER_OPEN", "perhaps")], 1);
    assert!(told.contains("LARDER_OPEN") && told.contains("true or false"), "{told}");
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    // There are machines that let root have so many.
    let files = std::fs::read_to_string("/proc/sys/fs/nr_open").unwrap();
    let most = files.trim().parse::<u64>().unwrap();
    let files = (most < 9_999_999).then_some(("--max-connections 9999999", "open files"));
    for (flags, words) in [
        ("--memory 1x", "--memory: \"1x\" will not do: want a size"),
        ("--memory 512k", "from 1m to"),
        ("--memory 1000000t", "of this machine"),
        ("--memory 64m --max-item-size 16m", "an eighth of the memory, 8 MiB"),
        ("--threads 0", "--threads: \"0\" will not do: want a number from 1"),
        ("--max-connections many", "--max-connections: \"many\""),
        ("--idle-timeout 30", "want a duration such as 500ms, 30s"),
        (
            "--accept-rate 0",
            "--accept-rate: \"0\" will not do: want a number above 0, or unlimited",
        ),
        ("--buffer-memory 1", "at least 1m"),
        ("--request-timeout 60", "want a duration such as"),
        ("--stop-timeout never", "want a duration such as"),
        ("--listen 127.0.0.1", "127.0.0.1:11211"),
        ("--listen 127.0.0.1:x", "\"x\" is no port"),
        ("--listen no.such.host.invalid:1", "no.such.host.invalid"),
        ("--unix /tmp/x --unix-mode 9", "--unix-mode: \"9\""),
        ("--unix-mode 770", "--unix-mode without --unix"),
        ("--tls-cert /tmp/x", "--tls-cert without --tls-listen"),
        ("--tls-listen 127.0.0.1:0", "--tls-cert FILE"),
        ("--config /nonexistent.toml", "/nonexistent.toml"),
    ]
    .into_iter()
    .chain(files)
    {
        let told = refusal(&args(&format!("--open {flags}")), &[], 1);
        assert!(told.contains(words), "{flags}: {told}");
        assert_eq!(told.lines().count(), 1, "{flags}: {told}");
    }
}

#[test]
fn a_busy_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let told = refusal(&args(&format!("--open --listen {address}")), &[], 1);
    assert!(told.contains(&format!("{address} is in use")), "{told}");
}

#[test]
fn the_banner_says_what_it_is_and_ctrl_c_stops_it() {
    let dir = tempfile::tempdir().unwrap();
    let sock = dir.path().join("sock");
    let flags = format!(
        "--open --unix {} --unix-mode 660 --memory 64m --threads 1 --max-connections 77",
        sock.display()
    );
    let (mut running, address) = start(&flags, &[]);
    let output = running.output();
    for words in [
        format!("Listening  {address}\n"),
        format!("{}  (unix socket, 660)\n", sock.display()),
        "64 MiB, items up to 1 MiB\n".to_owned(),
        "1 thread, up to 77 connections\n".to_owned(),
        "everybody, without a password (--open)\n".to_owned(),
        "Ctrl-C stops it, and waits up to 5s for clients".to_owned(),
    ] {
        assert!(output.contains(&words), "{words}: {output}");
    }
    assert!(!output.contains("Everybody who can reach"), "{output}");
    assert!(exchange(address, "version\r\n").starts_with("VERSION "));
    let mut stream = UnixStream::connect(&sock).unwrap();
    stream.write_all(b"get a\r\nquit\r\n").unwrap();
    assert_eq!(read_all(&mut stream), "END\r\n");
    running.signal("INT");
    assert!(running.ends().success(), "{}", running.output());
    assert!(running.output().ends_with("Stopped.\n") && !sock.exists());
}

#[test]
fn it_obeys_when_nobody_reads_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("users");
    let users = write(&file, "ann:a\n");
    let flags = format!("--listen 127.0.0.1:0 --auth-file {users} --stop-timeout 30s");
    let mut server = Command::new(LARDER)
        .args(args(&flags))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(server.stderr.take());
    let banner = BufReader::new(server.stdout.take().unwrap());
    // Nobody reads on after the banner.
    let lines: Vec<_> = banner
        .lines()
        .map_while(Result::ok)
        .take_while(|line| !line.starts_with("Ctrl-C"))
        .collect();
    let address = lines.iter().find_map(|line| line.trim().strip_prefix("Listening"));
    let address: SocketAddr = address.unwrap().trim().parse().unwrap();
    let pid = server.id().to_string();
    // It logs that it has read them, to nobody, and hears the next signal all the same.
    for user in ["bob", "cy"] {
        write(&file, &format!("{user}:x\n"));
        signal(&pid, "HUP");
        wait(user, || (exchange(address, &login(user, "x")) == "STORED\r\n").then_some(()));
    }
    signal(&pid, "TERM");
    let end = Instant::now() + PATIENCE;
    while server.try_wait().unwrap().is_none() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    // If it has ended, this does nothing.
    let _ = server.kill();
    let status = server.wait().unwrap();
    assert!(status.success(), "{status}");
}

#[test]
fn who_is_open_to_the_network_is_warned() {
    let running = larder(&args("--open --listen 0.0.0.0:0"), &[]).start();
    says(&running, "Everybody who can reach these addresses");
}

#[test]
fn tls_has_listeners_of_its_own() {
    let tls = concat!(env!("CARGO_MANIFEST_DIR"), "/../client/tests/tls/server");
    let flags = format!("--tls-listen 127.0.0.1:0 --tls-cert {tls}.pem --tls-key {tls}.key");
    let running = larder(&args(&format!("--open {flags}")), &[]).start();
    says(&running, "Ctrl-C");
    let output = running.output();
    let listening = output.lines().filter(|line| line.contains("127.0.0.1:"));
    // Nothing listens without TLS unless it is asked to.
    assert!(listening.clone().all(|line| line.ends_with("(TLS)")), "{output}");
    assert_eq!(listening.count(), 1, "{output}");
    let told = refusal(&args(&format!("--open {flags} --tls-key {tls}.pem")), &[], 2);
    assert!(told.contains("--tls-key"), "{told}");
    let flags = format!("--tls-listen 127.0.0.1:0 --tls-cert {tls}.pem --tls-key {tls}.pem");
    let told = refusal(&args(&format!("--open {flags}")), &[], 1);
    assert!(told.contains("TLS: ") && told.contains("server.pem"), "{told}");
}

#[test]
fn variables_and_a_file_are_as_good_as_flags() {
    let dir = tempfile::tempdir().unwrap();
    let config = "open = true\nmemory = \"32m\"\nthreads = 2\nidle-timeout = \"5m\"\n";
    let config = write(&dir.path().join("larder.toml"), config);
    let vars = [("LARDER_CONFIG", config.as_str()), ("LARDER_THREADS", "1")];
    let (running, address) = start("--max-connections 50", &vars);
    let settings = exchange(address, "stats settings\r\n");
    for line in ["maxbytes 33554432", "num_threads 1", "maxconns 50", "idle_timeout 300"] {
        assert!(settings.contains(&format!("STAT {line}\r\n")), "{line}: {settings}");
    }
    drop(running);
    let wrong = write(&dir.path().join("larder.toml"), "open = true\nmemroy = \"32m\"\n");
    let told = refusal(&args(&format!("--config {wrong}")), &[], 1);
    assert!(told.contains("memroy") && told.contains(&wrong), "{told}");
}

#[test]
fn tenants_are_kept_apart() {
    let dir = tempfile::tempdir().unwrap();
    let users = write(&dir.path().join("users"), "ann:a\nbob:b:shop\ncy:c:shop\n");
    let (running, address) = start(&format!("--auth-file {users}"), &[]);
    assert!(running.output().contains("3 users of 2 tenants"), "{}", running.output());
    let (ann, bob, cy) = (login("ann", "a"), login("bob", "b"), login("cy", "c"));
    exchange(address, &format!("{ann}set k 0 0 3\r\nann\r\n"));
    exchange(address, &format!("{bob}set k 0 0 3\r\nbob\r\n"));
    let get = |login: &str| exchange(address, &format!("{login}get k\r\n"));
    assert_eq!(get(&ann), "STORED\r\nVALUE k 0 3\r\nann\r\nEND\r\n");
    assert_eq!(get(&cy), "STORED\r\nVALUE k 0 3\r\nbob\r\nEND\r\n");
    exchange(address, &format!("{cy}flush_all\r\n"));
    assert_eq!(get(&bob), "STORED\r\nEND\r\n");
    assert_eq!(get(&ann), "STORED\r\nVALUE k 0 3\r\nann\r\nEND\r\n");
}

#[test]
fn users_are_read_again_and_mistakes_are_told_without_passwords() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("users");
    let users = write(&file, "ann:a\nbob:s3cret:No Tenant\n");
    let told = refusal(&args(&format!("--auth-file {users}")), &[], 1);
    assert!(told.contains("line 2") && told.contains(&users), "{told}");
    assert!(!told.contains("s3cret"), "{told}");

    write(&file, "ann:a\n");
    let (running, address) = start(&format!("--auth-file {users}"), &[]);
    write(&file, "ann:a\nbob:b\n");
    running.signal("HUP");
    says(&running, "users=2");
    assert_eq!(exchange(address, &login("bob", "b")), "STORED\r\n");
}
