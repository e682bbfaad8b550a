//! `larder memcached`.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use larder_peers::{Program, Running};

use crate::{
    LARDER, connect, exchange, expect, larder, login, read_all, refusal, says, signal, wait, write,
};

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout == b"0\n"
}

/// `larder memcached` and `flags`, with what root has to add.
fn args(flags: &str) -> Vec<String> {
    let mut args = vec!["memcached".to_owned()];
    if is_root() {
        args.extend(["-u", "root"].map(str::to_owned));
    }
    args.extend(flags.split_whitespace().map(str::to_owned));
    args
}

/// A server on a free port of 127.0.0.1.
fn start(flags: &str, vars: &[(&str, &str)]) -> (Running, SocketAddr) {
    let dir = tempfile::tempdir().unwrap();
    // The server may have become somebody else when it writes there.
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
    let ports = dir.path().join("ports");
    let path = ports.display().to_string();
    let mut vars = vars.to_vec();
    vars.push(("MEMCACHED_PORT_FILENAME", &path));
    let flags = format!("-l 127.0.0.1 -p -1 {flags}");
    let running = larder(&args(&flags), &vars).start();
    let address = first_port(&ports);
    (running, address)
}

fn first_port(ports: &Path) -> SocketAddr {
    let text = wait("file of ports", || std::fs::read_to_string(ports).ok());
    let port = text.lines().next().and_then(|line| line.strip_prefix("TCP INET: ")).unwrap();
    SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()))
}

#[test]
fn what_is_wrong_ends_it_before_it_listens() {
    for (flags, words) in [
        ("-c 0", "-c 0"),
        ("-c -1", "-c -1"),
        ("-t 0", "-t 0"),
        ("-B http", "-B http"),
        ("-I 1000", "-I 1000"),
        ("-I 256m", "-I"),
        ("-o fooble", "fooble"),
        ("--fooble", "--fooble"),
        ("-S -B ascii", "-S"),
        ("-o ext_path=/tmp/x:1G", "ext_path"),
        ("-e /tmp/x", "-e"),
        ("-S", "LARDER_AUTH_FILE"),
        ("-Y /nonexistent", "/nonexistent"),
        ("-Z -o ssl_chain_cert=/nonexistent.pem,ssl_key=/nonexistent.key", "/nonexistent.pem"),
    ] {
        let told = refusal(&args(&format!("-p -1 {flags}")), &[], 64);
        assert!(told.contains(words), "{flags}: {told}");
        assert_eq!(told.lines().count(), 1, "{flags}: {told}");
    }
    let told = refusal(&args("-l no.such.host.invalid -p -1"), &[], 71);
    assert!(told.contains("no.such.host.invalid"), "{told}");
    let told = refusal(&args("-s /nonexistent/sock"), &[], 71);
    assert!(told.contains("/nonexistent/sock"), "{told}");
}

#[test]
fn root_must_say_whom_it_becomes() {
    if !is_root() {
        // Others may say what they like.
        let (mut running, _) = start("-u no-such-user", &[]);
        running.signal("INT");
        assert!(running.ends().success());
        return;
    }
    let told = refusal(&["memcached", "-p", "-1"], &[], 64);
    assert!(told.contains("-u"), "{told}");
    let told = refusal(&["memcached", "-p", "-1", "-u", "no-such-user"], &[], 67);
    assert!(told.contains("no-such-user"), "{told}");

    let (running, address) = start("-u nobody", &[]);
    assert!(exchange(address, "version\r\n").starts_with("VERSION "));
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    for name in ["Uid:", "Gid:", "Groups:"] {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(line.split_whitespace().skip(1).all(|id| id != "0"), "{line}");
    }

    let dir = tempfile::tempdir().unwrap();
    let sock = dir.path().join("sock");
    let running = larder(&args(&format!("-s {} -u nobody", sock.display())), &[]).start();
    wait("socket", || sock.metadata().ok().filter(|found| found.uid() != 0));
    drop(running);
}

#[test]
fn a_busy_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let flags = format!("-l 127.0.0.1 -p {}", address.port());
    for flags in [flags.clone(), format!("{flags} -d")] {
        let told = refusal(&args(&flags), &[], 71);
        assert!(told.contains(&format!("{address} is in use")), "{told}");
    }
}

#[test]
fn ports_are_written_where_tests_look_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let ports = dir.path().join("ports");
    let vars = [("MEMCACHED_PORT_FILENAME", ports.to_str().unwrap())];
    let running = larder(&args("-l 127.0.0.1,127.0.0.2 -p -1 -U -1"), &vars).start();
    let text = wait("file of ports", || std::fs::read_to_string(&ports).ok());
    assert_eq!(text.matches("TCP INET: ").count(), 2, "{text}");
    assert!(!text.contains("UDP"), "{text}");
    drop(running);

    std::fs::remove_file(&ports).unwrap();
    let _none = larder(&args("-p 0"), &vars).start();
    let text = wait("file of ports", || std::fs::read_to_string(&ports).ok());
    assert_eq!(text, "");
}

#[test]
fn flags_reach_the_server() {
    let (_running, address) = start("-C -b 8675 -m 128 -I 2m -c 100 -t 1 -F -X -D .", &[]);
    let answer = exchange(address, "stats settings\r\nflush_all\r\n");
    for line in [
        "cas_enabled no",
        "tcp_backlog 8675",
        "maxbytes 134217728",
        "item_size_max 2097152",
        "maxconns 100",
        "num_threads 1",
        "flush_enabled no",
        "dump_enabled no",
        "stat_key_prefix .",
        "detail_enabled yes",
        "inter 127.0.0.1",
    ] {
        assert!(answer.contains(&format!("STAT {line}\r\n")), "{line}: {answer}");
    }
    assert!(answer.contains(&format!("STAT tcpport {}\r\n", address.port())), "{answer}");
    assert!(answer.ends_with("CLIENT_ERROR flush_all not allowed\r\n"), "{answer}");
}

#[test]
fn what_has_no_meaning_is_said_if_it_is_to_talk() {
    let idle = "-f 1.5 -o slab_reassign,modern -U 0 start";
    let (quiet, address) = start(idle, &[]);
    exchange(address, "");
    assert_eq!(quiet.output(), "");
    let (loud, address) = start(&format!("{idle} -v"), &[]);
    exchange(address, "");
    let output = loud.output();
    for words in ["-f has", "-o slab_reassign has", "-o modern has", "\"start\""] {
        assert!(output.contains(words), "{words}: {output}");
    }
}

#[test]
fn what_will_be_missed_is_said_in_any_case() {
    let (running, address) = start("-U 11211 -m 64 -I 9m", &[]);
    exchange(address, "");
    let output = running.output();
    let lines =
        ["-U has no meaning here: UDP is not served", "-I: items above 8 MiB are not stored"];
    for words in lines {
        assert!(output.contains(words), "{words}: {output}");
    }
    assert_eq!(output.lines().count(), 2, "{output}");
}

#[test]
fn two_signals_at_once_are_one_wish_to_stop() {
    let (mut running, address) = start("-v", &[]);
    let mut client = connect(address);
    // More than the sockets hold: the server has to wait for the client.
    let value = "v".repeat(1 << 20);
    client
        .write_all(format!("set k 0 0 1000000\r\n{}\r\n", &value[..1_000_000]).as_bytes())
        .unwrap();
    expect(&mut client, "STORED\r\n");
    client.write_all("get k\r\n".repeat(20).as_bytes()).unwrap();
    expect(&mut client, "VALUE");
    let pid = running.pid();
    // It finds both when it goes on: between two commands of a shell there may be more than a second.
    let twice = format!("kill -STOP {pid}; kill -TERM {pid}; kill -INT {pid}; kill -CONT {pid}");
    assert!(Command::new("sh").args(["-c", &twice]).status().unwrap().success());
    says(&running, "stopping");
    let answer = read_all(&mut client);
    assert!(answer.ends_with("END\r\n"), "{}", &answer[answer.len() - 20..]);
    assert!(running.ends().success(), "{}", running.output());
}

#[test]
fn help_and_version_are_printed_under_either_name() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("memcached-debug");
    symlink(LARDER, &link).unwrap();
    for (flag, words) in [("-h", "--enable-ssl"), ("-V", "memcached 1.6."), ("-i", "MIT")] {
        let (status, output) = Program::new(&link).args([flag]).run();
        assert!(status.success() && output.contains(words), "{output}");
        let (status, same) = larder(&["memcached", flag], &[]).run();
        assert!(status.success());
        assert_eq!(same, output);
    }
}

#[test]
fn it_goes_to_the_background_and_tells_its_process_id() {
    let dir = tempfile::tempdir().unwrap();
    let (pid_file, ports) = (dir.path().join("pid"), dir.path().join("ports"));
    let vars = [("MEMCACHED_PORT_FILENAME", ports.to_str().unwrap())];
    let flags = format!("-l 127.0.0.1 -p -1 -d -P {}", pid_file.display());
    let (status, output) = larder(&args(&flags), &vars).run();
    assert!(status.success(), "{output}");
    // When the command has returned, the server serves.
    let pid = std::fs::read_to_string(&pid_file).unwrap();
    let stats = exchange(first_port(&ports), "stats\r\n");
    assert!(stats.contains(&format!("STAT pid {}\r\n", pid.trim())), "{pid}: {stats}");
    let there = format!("/proc/{}", pid.trim());
    assert_eq!(std::fs::read_link(format!("{there}/cwd")).unwrap(), Path::new("/"));
    signal(pid.trim(), "TERM");
    wait("end", || (!pid_file.exists()).then_some(()));
}

#[test]
fn a_unix_socket_has_its_mode_and_goes_with_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("sock");
    let mut running = larder(&args(&format!("-s {} -a 660", path.display())), &[]).start();
    let mut stream = wait("socket", || UnixStream::connect(&path).ok());
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o660);
    stream.write_all(b"version\r\nquit\r\n").unwrap();
    assert!(read_all(&mut stream).starts_with("VERSION "));
    running.signal("INT");
    assert!(running.ends().success());
    assert!(!path.exists());
}

#[test]
fn signals_stop_it() {
    for name in ["INT", "TERM", "USR1"] {
        let (mut running, address) = start("", &[]);
        let mut open = connect(address);
        open.write_all(b"set k 0 0 1\r\nv\r\n").unwrap();
        expect(&mut open, "STORED\r\n");
        running.signal(name);
        assert!(running.ends().success(), "{name}: {}", running.output());
        assert_eq!(read_all(&mut open), "");
    }
}

#[test]
fn a_client_stops_it_if_it_may() {
    let (mut running, address) = start("-A", &[]);
    let mut stream = connect(address);
    stream.write_all(b"shutdown\r\n").unwrap();
    assert!(running.ends().success());

    let (_running, address) = start("", &[]);
    let answer = exchange(address, "shutdown\r\n");
    assert!(answer.contains("shutdown not enabled"), "{answer}");
}

#[test]
fn users_of_a_file_are_asked_and_the_file_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("users");
    let path = write(&file, "ann:a:b\nbob:b\n");
    let (running, address) = start(&format!("-v -Y {path}"), &[]);
    let refused = "CLIENT_ERROR unauthenticated\r\n";
    assert_eq!(exchange(address, "get key\r\n"), refused);
    let answer = exchange(address, &format!("{}get key\r\n", login("ann", "a:b")));
    assert_eq!(answer, "STORED\r\nEND\r\n");

    let mut bob = connect(address);
    bob.write_all(login("bob", "b").as_bytes()).unwrap();
    expect(&mut bob, "STORED\r\n");
    let mut ann = connect(address);
    ann.write_all(login("ann", "a:b").as_bytes()).unwrap();
    expect(&mut ann, "STORED\r\n");

    // A file with a mistake changes nothing.
    write(&file, "ann:a:b\nsecret");
    running.signal("HUP");
    says(&running, "line 2");
    assert!(!running.output().contains("secret"));
    let answer = exchange(address, &format!("{}get key\r\n", login("bob", "b")));
    assert_eq!(answer, "STORED\r\nEND\r\n");

    write(&file, "ann:a:b\ncy:c\n");
    running.signal("HUP");
    says(&running, "users=2");
    assert_eq!(exchange(address, &login("cy", "c")), "STORED\r\n");
    let answer = exchange(address, &login("bob", "b"));
    assert!(answer.contains("CLIENT_ERROR authentication failure"), "{answer}");
    // Who is still welcome stays; whose credential is gone does not.
    ann.write_all(b"get key\r\nquit\r\n").unwrap();
    assert_eq!(read_all(&mut ann), "END\r\n");
    // Even if it says nothing.
    assert_eq!(read_all(&mut bob), "");
}

#[test]
fn sasl_takes_memcacheds_file_and_ours() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(&dir.path().join("pwdb"), "ann:a:\n");
    for name in ["MEMCACHED_SASL_PWDB", "LARDER_AUTH_FILE"] {
        let (_running, address) = start("-S", &[(name, &path)]);
        assert_eq!(exchange(address, &login("ann", "a")), "STORED\r\n");
        let settings = exchange(address, &format!("{}stats settings\r\n", login("ann", "a")));
        assert!(settings.contains("STAT auth_enabled_sasl yes\r\n"), "{settings}");
    }
}

#[test]
fn who_has_a_tenant_cannot_change_what_all_share() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(&dir.path().join("users"), "ann:a:one\nbob:b:two\n");
    let (mut running, address) = start("-S -A -m 64", &[("LARDER_AUTH_FILE", &path)]);
    for command in ["cache_memlimit 8", "shutdown", "verbosity 1", "stats reset"] {
        let answer = exchange(address, &format!("{}{command}\r\n", login("bob", "b")));
        let (_, answer) = answer.split_once("STORED\r\n").unwrap();
        assert!(answer.contains("ERROR"), "{command}: {answer}");
    }
    let settings = exchange(address, &format!("{}stats settings\r\n", login("ann", "a")));
    assert!(settings.contains("STAT maxbytes 67108864\r\n"), "{settings}");

    // memcached's file has no tenants, whatever is in a password.
    running.signal("INT");
    assert!(running.ends().success());
    let (_running, address) = start("-S", &[("MEMCACHED_SASL_PWDB", &path)]);
    assert_eq!(exchange(address, &login("ann", "a:one")), "STORED\r\n");
    let answer = exchange(address, &login("ann", "a"));
    assert!(answer.contains("authentication failure"), "{answer}");
}

#[test]
fn some_listeners_may_do_without_tls() {
    let tls = concat!(env!("CARGO_MANIFEST_DIR"), "/../client/tests/tls/server");
    let dir = tempfile::tempdir().unwrap();
    let ports = dir.path().join("ports");
    let vars = [("MEMCACHED_PORT_FILENAME", ports.to_str().unwrap())];
    let flags = format!(
        "-Z -o ssl_chain_cert={tls}.pem,ssl_key={tls}.key -l notls:127.0.0.1,127.0.0.1 -p -1 -v"
    );
    let running = larder(&args(&flags), &vars).start();
    let plain = first_port(&ports);
    let text = std::fs::read_to_string(&ports).unwrap();
    let port: u16 = text.lines().nth(1).unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    let answer = exchange(plain, "stats settings\r\n");
    assert!(answer.contains("STAT ssl_enabled yes\r\n"), "{answer}");
    let mut encrypted = connect(SocketAddr::from(([127, 0, 0, 1], port)));
    encrypted.write_all(b"version\r\n").unwrap();
    let mut answer = Vec::new();
    // What is no handshake is closed, with a TLS alert at most.
    let _ = encrypted.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"VERSION"), "{answer:?}");
    running.signal("HUP");
    says(&running, "certificates again");
}

#[test]
fn a_filter_of_system_calls_lets_it_serve() {
    let dir = tempfile::tempdir().unwrap();
    let users = write(&dir.path().join("users"), "ann:a\n");
    let (mut running, address) = start(&format!("-v -o drop_privileges -Y {users}"), &[]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    assert!(status.contains("Seccomp:\t2\n") && status.contains("NoNewPrivs:\t1\n"), "{status}");
    write(&dir.path().join("users"), "bob:b\n");
    running.signal("HUP");
    says(&running, "users=1");
    let request = format!("{}set k 0 0 1\r\nv\r\nget k\r\n", login("bob", "b"));
    assert_eq!(exchange(address, &request), "STORED\r\nSTORED\r\nVALUE k 0 1\r\nv\r\nEND\r\n");
    running.signal("TERM");
    assert!(running.ends().success(), "{}", running.output());
}
