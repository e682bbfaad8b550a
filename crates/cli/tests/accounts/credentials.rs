//! `larder credentials`: what each may do, on all three protocols, and how a password is replaced.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::{
    Connection, Login, Node, command, directory, larder, provision, refusal, wait,
};

/// A request of the binary protocol.
fn binary(opcode: u8, extras: &[u8], key: &str, value: &[u8]) -> Vec<u8> {
    let mut request = vec![0x80, opcode];
    request.extend(u16::try_from(key.len()).unwrap().to_be_bytes());
    request.extend([u8::try_from(extras.len()).unwrap(), 0, 0, 0]);
    let length = u32::try_from(extras.len() + key.len() + value.len()).unwrap();
    request.extend(length.to_be_bytes());
    request.extend([0; 12]);
    request.extend(extras);
    request.extend(key.as_bytes());
    request.extend(value);
    request
}

/// The status of the answer to a request of the binary protocol.
fn status(connection: &mut Connection, request: &[u8]) -> u16 {
    let header = connection.exchange(request, 24);
    let length = u32::from_be_bytes(header[8..12].try_into().unwrap());
    connection.exchange(&[], length as usize);
    u16::from_be_bytes([header[6], header[7]])
}

#[test]
fn a_read_only_credential_is_refused_on_three_protocols_and_counted() {
    let (_dir, path) = directory();
    let node = Node::start(&path, "");
    let owner = provision(&path, "shop");
    let reader = larder(&path, "credentials create shop --can read --note reports --format json");
    let reader = Login::of(&reader);
    assert_eq!(node.log_in(&owner).set("a", "1"), "STORED");

    let mut text = node.log_in(&reader);
    assert_eq!(text.set("a", "2"), "CLIENT_ERROR set not allowed");
    assert_eq!(text.ask("ms a 1\r\n2\r\n"), "CLIENT_ERROR ms not allowed");
    assert_eq!(text.ask("md a\r\n"), "CLIENT_ERROR md not allowed");
    assert_eq!(text.ask("flush_all\r\n"), "CLIENT_ERROR flush_all not allowed");
    assert_eq!(text.ask("mn\r\n"), "MN", "it goes on");

    let mut wire = Connection::open(node.address);
    let token = format!("\0{}\0{}", reader.user, reader.password);
    assert_eq!(status(&mut wire, &binary(0x21, &[], "PLAIN", token.as_bytes())), 0);
    let refused = status(&mut wire, &binary(0x01, &[0; 8], "a", b"2"));
    assert!(refused != 0 && refused != 1, "{refused:#x}");
    assert_eq!(status(&mut wire, &binary(0x00, &[], "a", b"")), 0);

    assert_eq!(text.get("a").as_deref(), Some("1"));
    let figures = node.api("/api/v1/tenants/shop/stats", &owner.basic());
    assert_eq!(figures["figures"]["denied"], 5);
    node.stop();
}

#[test]
fn an_unknown_connection_can_do_nothing_but_say_who_it_is() {
    let (_dir, path) = directory();
    let node = Node::start(&path, "");
    let login = provision(&path, "shop");
    let mut connection = Connection::open(node.address);
    let refused = connection.ask("get a\r\n");
    assert!(refused.starts_with("CLIENT_ERROR unauthenticated"), "{refused}");
    let mut connection = Connection::open(node.address);
    assert!(connection.log_in(&login.user, "a guess").starts_with("CLIENT_ERROR"));
    node.stop();
}

#[test]
fn what_a_credential_may_do_changes_under_an_open_connection() {
    let (_dir, path) = directory();
    let node = Node::start(&path, "");
    provision(&path, "shop");
    let worker = Login::of(&larder(&path, "credentials create shop --format json"));
    let mut connection = node.log_in(&worker);
    assert_eq!(connection.set("a", "1"), "STORED");
    let change =
        |flags: &str| larder(&path, &format!("credentials change shop {} {flags}", worker.user));
    change("--can read");
    assert_eq!(connection.set("a", "2"), "CLIENT_ERROR set not allowed");
    change("--can read,write --prefix shop:");
    assert_eq!(connection.set("a", "2"), "CLIENT_ERROR set not allowed");
    assert_eq!(connection.set("shop:a", "2"), "STORED");
    assert_eq!(connection.ask("flush_all\r\n"), "CLIENT_ERROR flush_all not allowed");
    change("--no-prefix --note all");
    assert_eq!(connection.get("a").as_deref(), Some("1"));
    larder(&path, &format!("credentials revoke shop {} --yes", worker.user));
    assert_eq!(connection.ask("get a\r\n"), "", "it is closed");
    node.stop();
}

#[test]
fn who_was_revoked_is_out_at_once_even_if_idle() {
    let (_dir, path) = directory();
    let node = Node::start(&path, "");
    provision(&path, "shop");
    let worker = Login::of(&larder(&path, "credentials create shop --format json"));
    let mut idle = node.log_in(&worker);
    larder(&path, &format!("credentials revoke shop {} --yes", worker.user));
    // Nothing was asked: the server closes it by itself.
    assert_eq!(idle.line(), "");
    let told = refusal(&path, &format!("credentials revoke shop {} --yes", worker.user));
    assert!(told.contains("no credential"), "{told}");
    node.stop();
}

#[test]
fn the_primary_credential_is_revoked_only_after_another_was_promoted() {
    let (_dir, path) = directory();
    let owner = provision(&path, "shop");
    let told = refusal(&path, &format!("credentials revoke shop {} --yes", owner.user));
    assert!(told.contains("promote"), "{told}");
    let other = Login::of(&larder(&path, "credentials create shop --format json"));
    larder(&path, &format!("credentials promote shop {}", other.user));
    larder(&path, &format!("credentials revoke shop {} --yes", owner.user));
    let list: serde_json::Value =
        serde_json::from_str(&larder(&path, "credentials list shop --format json")).unwrap();
    let all = list.as_array().unwrap();
    assert_eq!(
        (all.len(), &all[0]["username"], &all[0]["is_primary"]),
        (1, &other.user.into(), &true.into())
    );
}

#[test]
fn a_password_that_somebody_chose_is_not_shown() {
    let (_dir, path) = directory();
    let node = Node::start(&path, "");
    provision(&path, "shop");
    let create = |password: &str| {
        let args = ["credentials", "create", "shop", "--username", "ann", "--format", "json"];
        let mut child = command(&path, args, &[])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), text)
    };
    let (made, told) = create("short");
    assert!(!made && told.contains("12"), "{told}");
    let (made, told) = create("correct horse battery");
    assert!(made && !told.contains("horse") && told.contains("ann"), "{told}");
    let mut connection = Connection::open(node.address);
    assert_eq!(connection.log_in("ann", "correct horse battery"), "STORED");
    assert_eq!(connection.set("a", "1"), "STORED");
    node.stop();
}

#[test]
fn a_rotation_under_load_fails_no_request() {
    let (_dir, path) = directory();
    let node = Node::start(&path, "");
    let old = provision(&path, "shop");
    let current = Arc::new(Mutex::new(old.clone()));
    let (stop, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let switched = Arc::new(AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (current, stop) = (current.clone(), stop.clone());
            let (requests, switched) = (requests.clone(), switched.clone());
            let (node, old) = (&node, &old);
            scope.spawn(move || {
                let mut held = old.clone();
                let mut connection = node.log_in(&held);
                let mut told = false;
                for at in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    // As a process does that is started anew with other variables; half of the time,
                    // with a new connection as short-lived ones do.
                    let now = current.lock().unwrap().clone();
                    if now != held || at % 64 == 0 {
                        held = now;
                        connection = node.log_in(&held);
                    }
                    if held != *old && !told {
                        told = true;
                        switched.fetch_add(1, Ordering::Relaxed);
                    }
                    let key = format!("{worker}-{}", at % 100);
                    assert_eq!(connection.set(&key, "v"), "STORED");
                    assert_eq!(connection.get(&key).as_deref(), Some("v"));
                    requests.fetch_add(2, Ordering::Relaxed);
                }
            });
        }
        let busy = || requests.load(Ordering::Relaxed);
        wait("load", || (busy() > 500).then_some(()));
        let new = Login::of(&larder(&path, "credentials rotate shop --format json"));
        assert_ne!(new.user, old.user);
        let before = busy();
        wait("load by the old one", || (busy() > before + 500).then_some(()));
        *current.lock().unwrap() = new;
        wait("switch", || (switched.load(Ordering::Relaxed) == 4).then_some(()));
        larder(&path, &format!("credentials revoke shop {} --yes", old.user));
        let before = busy();
        wait("load by the new one", || (busy() > before + 500).then_some(()));
        stop.store(true, Ordering::Relaxed);
    });
    assert!(
        Connection::open(node.address).log_in(&old.user, &old.password).starts_with("CLIENT_ERROR")
    );
    node.stop();
}

#[test]
fn when_a_credential_was_used_is_known() {
    let (_dir, path) = directory();
    let node = Node::start(&path, "");
    let owner = provision(&path, "shop");
    let used = || {
        let list: serde_json::Value =
            serde_json::from_str(&larder(&path, "credentials list shop --format json")).unwrap();
        list[0]["last_used"].as_u64()
    };
    assert_eq!(used(), None);
    assert_eq!(node.log_in(&owner).set("a", "1"), "STORED");
    // It is noted now and then, and at the end.
    node.stop();
    assert!(used().is_some());
}
