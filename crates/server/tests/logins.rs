//! Passwords that people have chosen, whose digests are slow on purpose: no event loop waits for one.

mod support;

use std::net::TcpStream;
use std::time::Duration;

use larder_server::Settings;
use larder_tenancy::{Capabilities, Credential, Digest, Node, Salt, TenantId};
use support::{Client, Running, directory, eventually, set, settings, start_with, tenant, user};

const ONE: TenantId = TenantId::new(1);

/// A user of tenant 1 who has chosen a password.
fn chooser(name: &str, password: &str) -> Credential {
    let digest = Digest::argon2id(Salt::random().unwrap(), password.as_bytes());
    Credential { digest, ..user(name, 1, Capabilities::ALL) }
}

fn start(users: Vec<Credential>) -> Running {
    start_with(settings(), directory(1, [tenant(1)], users), |tcp| vec![tcp])
}

fn text(user: &str, password: &str) -> Vec<u8> {
    set("auth", format!("{user} {password}").as_bytes())
}

fn binary(user: &str, password: &str) -> Vec<u8> {
    let message = format!("\0{user}\0{password}");
    let body = u32::try_from(5 + message.len()).unwrap().to_be_bytes();
    let head = [&[0x80, 0x21, 0, 5, 0, 0, 0, 0][..], &body, &[0; 12]].concat();
    [&head[..], b"PLAIN", message.as_bytes()].concat()
}

const REFUSED: &[u8] = b"CLIENT_ERROR authentication failure\r\n";

/// The status of the next binary reply, which is read whole.
fn status(client: &mut Client<TcpStream>) -> u16 {
    use std::io::Read;
    let mut head = [0; 24];
    client.stream.read_exact(&mut head).unwrap();
    let len = u32::from_be_bytes(head[8..12].try_into().unwrap());
    client.stream.read_exact(&mut vec![0; len as usize]).unwrap();
    u16::from_be_bytes([head[6], head[7]])
}

#[test]
fn a_chosen_password_opens_the_tenant_on_both_protocols() {
    let server = start(vec![chooser("ann", "correct horse")]);
    let mut client = server.connect();
    // What follows the login waits with it, and is answered in order.
    let pipeline = [text("ann", "correct horse"), set("k", b"v"), b"get k\r\n".to_vec()].concat();
    client.ask(&pipeline, b"STORED\r\nSTORED\r\nVALUE k 0 1\r\nv\r\nEND\r\n");
    // MemCachier's form: the user is the key.
    server.connect().ask(&set("ann", b"correct horse"), b"STORED\r\n");
    let mut client = server.connect();
    client.send(&[binary("ann", "correct horse"), binary("ann", "wrong")].concat());
    assert_eq!((status(&mut client), status(&mut client)), (0, 0x20));
    let figures = server.handle.figures(Some(ONE));
    assert_eq!((figures.auth_commands, figures.auth_errors), (4, 1));
}

#[test]
fn wrong_passwords_and_unknown_users_are_refused_alike() {
    let server = start(vec![chooser("ann", "correct horse")]);
    let mut client = server.connect();
    for (user, password) in
        [("ann", "wrong"), ("bob", "correct horse"), ("ann", ""), ("ann", "wrong")]
    {
        client.ask(&text(user, password), REFUSED);
    }
    client.ask(&text("ann", "correct horse"), b"STORED\r\n");
}

#[test]
fn a_storm_with_one_password_costs_one_check_and_nobody_else_waits() {
    let server = start(vec![chooser("ann", "correct horse"), user("bob", 1, Capabilities::ALL)]);
    let mut bob = server.log_in("bob");
    let mut clients: Vec<_> = (0..400).map(|_| server.connect()).collect();
    for (client, number) in clients.iter_mut().zip(0..) {
        client.send(&if number % 2 == 0 {
            text("ann", "correct horse")
        } else {
            binary("ann", "correct horse")
        });
    }
    // Whether or not the check is done by now: those who are in are served.
    bob.ask(&set("k", b"v"), b"STORED\r\n");
    for (client, number) in clients.iter_mut().zip(0..) {
        if number % 2 == 0 {
            client.expect(b"STORED\r\n");
        } else {
            assert_eq!(status(client), 0);
        }
        if number % 2 == 0 {
            client.ask(b"mn\r\n", b"MN\r\n");
        }
    }
    assert_eq!(server.handle.slow_checks(), 1);
}

#[test]
fn more_wrong_passwords_than_can_wait_are_refused_for_now() {
    let server = start(vec![chooser("ann", "correct horse")]);
    let mut clients: Vec<_> = (0..200).map(|_| server.connect()).collect();
    for (client, number) in clients.iter_mut().zip(0..) {
        client.send(&text("ann", &format!("guess {number}")));
    }
    let replies: Vec<_> = clients.iter_mut().map(Client::line).collect();
    let busy = "SERVER_ERROR too many logins at once, try again";
    let of = |line: &str| replies.iter().filter(|reply| *reply == line).count();
    let refused = of("CLIENT_ERROR authentication failure");
    assert_eq!(refused + of(busy), 200);
    assert!(refused >= 64 && of(busy) > 0, "{refused} refused");
    assert_eq!(server.handle.slow_checks(), refused as u64);
    clients[199].ask(&text("ann", "correct horse"), b"STORED\r\n");
}

#[test]
fn who_hangs_up_meanwhile_is_forgotten() {
    let server = start(vec![chooser("ann", "correct horse")]);
    for number in 0..30 {
        let mut client = server.connect();
        client.send(&text("ann", &format!("guess {number}")));
    }
    eventually("all are gone", || server.handle.connections() == 0);
    server.connect().ask(&text("ann", "correct horse"), b"STORED\r\n");
}

#[test]
fn who_waits_too_long_is_closed() {
    let users = vec![chooser("ann", "correct horse")];
    let settings = Settings { request_deadline: Duration::from_millis(100), ..settings() };
    let server = start_with(settings, directory(1, [tenant(1)], users), |tcp| vec![tcp]);
    let mut clients: Vec<_> = (0..60).map(|_| server.connect()).collect();
    for (client, number) in clients.iter_mut().zip(0..) {
        client.send(&text("ann", &format!("guess {number}")));
    }
    // Sixty checks take longer than that on any machine of today.
    let replies: Vec<_> = clients.iter_mut().map(Client::rest).collect();
    assert!(replies.iter().any(Vec::is_empty), "nobody had to wait");
    assert!(replies.iter().all(|reply| reply.is_empty() || reply == REFUSED));
}

#[test]
fn a_password_that_was_changed_is_not_remembered() {
    let server = start(vec![chooser("ann", "correct horse")]);
    let mut old = server.connect();
    old.ask(&text("ann", "correct horse"), b"STORED\r\n");
    let changed = chooser("ann", "battery staple");
    server.directory.publish(directory(2, [tenant(1)], [changed])).unwrap();
    assert_eq!(old.rest(), b"", "who was let in by the old one is closed");
    let mut client = server.connect();
    client.ask(&text("ann", "correct horse"), REFUSED);
    client.ask(&text("ann", "battery staple"), b"STORED\r\n");
}

#[test]
fn a_credential_that_is_revoked_while_its_password_is_checked_opens_nothing() {
    // If this thread is held up, the password is checked before: then it is tried again.
    eventually("it is revoked meanwhile", || {
        let server = start(vec![chooser("ann", "correct horse")]);
        let mut clients: Vec<_> = (0..10).map(|_| server.connect()).collect();
        for (client, number) in clients.iter_mut().zip(0..) {
            client.send(&text("ann", &format!("guess {number}")));
        }
        let mut last = server.connect();
        last.send(&text("ann", "correct horse"));
        server.directory.publish(directory(2, [tenant(1)], [])).unwrap();
        let line = last.line();
        let is_refused = line.as_bytes() == REFUSED.trim_ascii();
        if !is_refused {
            assert_eq!((line.as_str(), last.rest()), ("STORED", Vec::new()), "it is closed");
        }
        is_refused
    });
}

#[test]
fn a_server_stops_although_passwords_wait() {
    let server = start(vec![chooser("ann", "correct horse")]);
    let mut clients: Vec<_> = (0..60).map(|_| server.connect()).collect();
    for (client, number) in clients.iter_mut().zip(0..) {
        client.send(&text("ann", &format!("guess {number}")));
    }
    server.stop().unwrap();
}
