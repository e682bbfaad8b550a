//! What is left when processes are killed and files break.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use larder_peers::free_address;

use crate::support::{
    Connection, Login, Node, command, directory, larder, provision, refusal, wait,
};

#[test]
fn two_servers_do_not_share_a_directory() {
    let (_dir, path) = directory();
    let node = Node::start(&path, "");
    let mut second = Node::spawn(&path, "");
    assert_eq!(second.ends().code(), Some(1));
    let told = second.output();
    assert!(
        told.contains("./larder-data") && told.contains(&node.running.pid().to_string()),
        "{told}"
    );
    node.stop();
    Node::start(&path, "").stop();
}

#[test]
fn a_busy_port_is_named_with_what_to_do() {
    let (_dir, path) = directory();
    let node = Node::start(&path, "");
    let (cache, console) = (node.address, node.console);
    for (flags, words) in [
        (format!("--data other --listen {cache}"), format!("{cache} is in use")),
        (format!("--data other --console {console}"), format!("{console} is in use")),
        (format!("--data other --console {console}"), "--console names another address".to_owned()),
    ] {
        let mut second = Node::spawn(&path, &flags);
        assert_eq!(second.ends().code(), Some(1));
        assert!(second.output().contains(&words), "{flags}: {}", second.output());
    }
    node.stop();
}

const ROUNDS: u64 = 8;

/// Everything that a command said it did is there, whenever it or the server was killed.
#[test]
fn what_was_acknowledged_outlives_kills() {
    let (_dir, path) = directory();
    let address = free_address();
    let flags = format!("--listen {address}");
    let mut acknowledged: Vec<Login> = Vec::new();
    for round in 0..ROUNDS {
        let mut node = Node::start(&path, &flags);
        for (at, login) in acknowledged.iter().enumerate() {
            assert_eq!(node.log_in(login).set("a", "1"), "STORED", "{at} in round {round}");
        }
        // One command is killed after a time that differs; one is awaited while the server is killed.
        let mut killed = command(&path, ["provision", &format!("killed-{round}")], &[])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(round * 7));
        killed.kill().unwrap();
        killed.wait().unwrap();
        let name = format!("kept-{round}");
        let kept = command(&path, ["provision", &name, "--memory", "1m", "--format", "json"], &[])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(round * 5));
        node.running.signal("KILL");
        assert!(!node.running.ends().success());
        let output = kept.wait_with_output().unwrap();
        assert!(output.status.success(), "{name}");
        acknowledged.push(Login::of(&String::from_utf8(output.stdout).unwrap()));
    }
    let list = larder(&path, "tenants");
    for round in 0..ROUNDS {
        assert!(list.contains(&format!("kept-{round} ")), "{list}");
    }
    let node = Node::start(&path, &flags);
    for login in &acknowledged {
        assert_eq!(node.log_in(login).set("a", "1"), "STORED");
    }
    // A tenant of which only half the news came out is a whole tenant, or none.
    for round in 0..ROUNDS {
        let name = format!("killed-{round}");
        if list.contains(&format!("{name} ")) {
            larder(&path, &format!("credentials rotate {name}"));
        }
    }
    node.stop();
}

fn accounts(path: &Path) -> std::path::PathBuf {
    path.join("larder-data/accounts.db")
}

/// Puts another file in the place of the database.
fn replace(path: &Path, text: &[u8]) {
    let beside = path.join("replacement");
    std::fs::write(&beside, text).unwrap();
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", accounts(path).display()));
    }
    std::fs::rename(beside, accounts(path)).unwrap();
}

#[test]
fn a_server_goes_on_when_its_database_breaks() {
    let (_dir, path) = directory();
    let node = Node::start(&path, "");
    let login = provision(&path, "shop");
    let mut connection = node.log_in(&login);
    replace(&path, &b"no database at all ".repeat(1000));
    let told = refusal(&path, "tenants");
    assert!(told.contains("accounts.db"), "{told}");
    for _ in 0..20 {
        assert_eq!(connection.set("a", "1"), "STORED");
        assert_eq!(node.log_in(&login).get("a").as_deref(), Some("1"));
        std::thread::sleep(Duration::from_millis(50));
    }
    node.stop();
    let mut again = Node::spawn(&path, "");
    assert_eq!(again.ends().code(), Some(1));
    let told = again.output();
    assert!(told.contains("accounts.db") && !told.contains("panicked"), "{told}");
}

#[test]
fn a_database_that_is_gone_is_not_made_anew_over_what_is_known() {
    let (_dir, path) = directory();
    let node = Node::start(&path, "");
    let login = provision(&path, "shop");
    assert_eq!(node.log_in(&login).set("a", "1"), "STORED");
    node.stop();
    std::fs::rename(accounts(&path), path.join("moved.db")).unwrap();
    let mut again = Node::spawn(&path, "");
    assert_eq!(again.ends().code(), Some(1));
    let told = again.output();
    assert!(told.contains("accounts.db") && told.contains("directory.json"), "{told}");
    let told = refusal(&path, "provision blog");
    assert!(told.contains("accounts.db") && told.contains("directory.json"), "{told}");
    assert!(!accounts(&path).exists());
    std::fs::rename(path.join("moved.db"), accounts(&path)).unwrap();
    let node = Node::start(&path, "");
    assert_eq!(node.log_in(&login).get("a"), None);
    node.stop();
}

#[test]
fn a_locked_database_delays_changes_and_not_the_server() {
    let (_dir, path) = directory();
    let node = Node::start(&path, "");
    let login = provision(&path, "shop");
    let script = "import sqlite3, sys\n\
                  db = sqlite3.connect(sys.argv[1], isolation_level=None)\n\
                  db.execute('BEGIN EXCLUSIVE')\n\
                  print('locked', flush=True)\n\
                  sys.stdin.read()\n";
    let mut holder = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(accounts(&path))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut said = std::io::BufReader::new(holder.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    assert_eq!(line, "locked\n");
    assert_eq!(node.log_in(&login).set("a", "1"), "STORED");
    let told = refusal(&path, "provision blog");
    assert!(told.contains("accounts.db") && told.contains("locked"), "{told}");
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    let blog = provision(&path, "blog");
    assert_eq!(node.log_in(&blog).get("a"), None);
    node.stop();
}

#[test]
fn a_closed_terminal_does_not_stop_a_server() {
    let (_dir, path) = directory();
    let node = Node::start(&path, "");
    let login = provision(&path, "shop");
    node.running.signal("HUP");
    wait("certificates", || {
        Connection::open(node.address)
            .log_in(&login.user, &login.password)
            .eq("STORED")
            .then_some(())
    });
    node.stop();
}
