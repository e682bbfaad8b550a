//! Logins of both protocols, and what one tenant, or one credential, must not reach.

use larder_store::Clock;
use larder_tenancy::{
    Capabilities, Credential, Digest, Directory, Grant, Salt, SharedDirectory, Tenant, TenantId,
    TenantName,
};

use crate::exec::binary::frames::{Answer, ask, item, request, sum};
use crate::settings::{ProtocolPin, Settings};
use crate::testing::{Bench, Wire};

/// A user of the shared tenant, who may do everything.
fn user(name: &str, password: &str) -> Credential {
    Credential {
        username: name.as_bytes().into(),
        digest: Digest::sha256(Salt::random().unwrap(), password.as_bytes()),
        tenant: TenantId::DEFAULT,
        capabilities: Capabilities::ALL,
        key_prefix: None,
        expires: None,
    }
}

/// A server of two tenants, the shared one and number 1.
fn server(users: impl IntoIterator<Item = Credential>) -> Bench {
    let name = TenantName::new("other").unwrap();
    let other = Tenant { id: TenantId::new(1), name, ..Tenant::shared() };
    let directory = Directory::new(1, [Tenant::shared(), other], users, None).unwrap();
    bench(directory)
}

fn bench(directory: Directory) -> Bench {
    let settings = Settings { clock: Clock::manual(1_800_000_000_000), ..Settings::new(64 << 20) };
    Bench::new(settings, SharedDirectory::new(directory)).unwrap()
}

fn foo() -> Bench {
    server([user("foo", "bar"), user("baaaz", "quux"), user("a b", "c d")])
}

/// Sends to a new connection; the replies, and `<EOF>` if it was closed.
fn once(bench: &mut Bench, bytes: &[u8]) -> String {
    let mut wire = bench.wire(ProtocolPin::Negotiated);
    let mut replies = bench.send(&mut wire, bytes);
    if wire.is_closed() {
        replies.extend_from_slice(b"<EOF>");
    }
    String::from_utf8(replies).unwrap()
}

fn plain(user: &str, password: &str) -> Vec<u8> {
    request(0x21, &[], b"PLAIN", format!("\0{user}\0{password}").as_bytes())
}

fn noop() -> Vec<u8> {
    request(0x0a, &[], &[], &[])
}

fn statuses(bench: &mut Bench, wire: &mut Wire, requests: &[u8]) -> Vec<u16> {
    ask(bench, wire, requests).iter().map(|answer| answer.status).collect()
}

/// memcached's replies, but for its one that overwrites another after a failure.
#[test]
fn a_text_connection_must_log_in_first() {
    let mut bench = foo();
    let unauthenticated = "CLIENT_ERROR unauthenticated\r\n";
    let long_line = [&[b'A'; 2049][..]].concat();
    for (sent, expected) in [
        (&b"get foo\r\n"[..], unauthenticated),
        (b"version\r\n", unauthenticated),
        (b"stats\r\n", unauthenticated),
        (b"mg foo v\r\n", unauthenticated),
        (b"ms a 7\r\n", unauthenticated),
        (b" set a 0 0 7\r\n", unauthenticated),
        (b"set a 0 0 x\r\n", unauthenticated),
        (b"set a 0 0 -1\r\n", unauthenticated),
        (b"set a 0 0 4294967296\r\n", unauthenticated),
        (b"set a 0 0\r\n", unauthenticated),
        (b"add a 0 0 7\r\nfoo bar\r\n", &unauthenticated.repeat(2)),
        (b"quit\r\n", "<EOF>"),
        (b"mn\r\n", "<EOF>"),
        (b"\r\n", "<EOF>"),
        (&long_line, "<EOF>"),
        (b"set a 0 0 7\r\nfoo bar\r\nversion\r\n", "STORED\r\nVERSION 1.6.45\r\n"),
        (b"set a 0 0 7\nfoo bar\r\nversion\r\n", "STORED\r\nVERSION 1.6.45\r\n"),
        (b"set a 0 0 7 noreply\r\nfoo bar\r\nversion\r\n", "STORED\r\nVERSION 1.6.45\r\n"),
        (b"set a 0 0 10\r\nbaaaz quux\r\n", "STORED\r\n"),
        (
            b"set a 0 0 7\r\nfoo baz\r\nversion\r\n",
            "CLIENT_ERROR authentication failure\r\nCLIENT_ERROR unauthenticated\r\n",
        ),
        (b"set a 0 0 6\r\nfoobar\r\n", "CLIENT_ERROR bad authentication token format\r\n"),
        (b"set a 0 0 0\r\n\r\n", "CLIENT_ERROR bad authentication token format\r\n"),
        (b"set a 0 0 99999\r\n", "CLIENT_ERROR auth token too long\r\n"),
        (b"set a 0 0 2147483646\r\n", "CLIENT_ERROR auth token too long\r\n"),
        (b"set a 0 0 7\r\nfoo barXX", "CLIENT_ERROR bad command line termination\r\n"),
        (b"set a 0 0 16384\r\nfoo bar\r\n", ""),
    ] {
        assert_eq!(once(&mut bench, sent), expected, "{}", sent.escape_ascii());
    }
}

#[test]
fn after_the_login_a_set_is_a_set() {
    let mut bench = foo();
    let sent = b"set x 0 0 7\r\nfoo bar\r\nset x 0 0 7\r\nfoo bar\r\nget x\r\n";
    let expected = "STORED\r\nSTORED\r\nVALUE x 0 7\r\nfoo bar\r\nEND\r\n";
    assert_eq!(once(&mut bench, sent), expected);
    let sent = b"set y 0 0 7\r\nfoo bar\r\nget y\r\n";
    assert_eq!(once(&mut bench, sent), "STORED\r\nEND\r\n", "the login's value is not stored");
}

#[test]
fn memcachiers_form_is_user_as_key_and_password_as_value() {
    let mut bench = foo();
    assert_eq!(
        once(&mut bench, b"set foo 0 0 3\r\nbar\r\nversion\r\n"),
        "STORED\r\nVERSION 1.6.45\r\n"
    );
    for wrong in [&b"set foo 0 0 3\r\nbaz\r\n"[..], b"set nobody 0 0 3\r\nbar\r\n"] {
        let expected = "CLIENT_ERROR bad authentication token format\r\n";
        assert_eq!(once(&mut bench, wrong), expected);
    }
    // A password with a space in it, which looks like the other form.
    let mut bench = server([user("u", "two words")]);
    assert_eq!(once(&mut bench, b"set u 0 0 9\r\ntwo words\r\n"), "STORED\r\n");
    assert_eq!(once(&mut bench, b"set k 0 0 11\r\nu two words\r\n"), "STORED\r\n");
}

#[test]
fn a_text_login_may_be_split_anywhere() {
    let mut bench = foo();
    let sent = b"get x\r\nset a 0 0 7\r\nfoo baz\r\nset a 0 0 7\r\nfoo bar\r\nversion\r\n";
    let whole = once(&mut bench, sent);
    assert!(whole.ends_with("STORED\r\nVERSION 1.6.45\r\n"));
    for at in 0..=sent.len() {
        let mut wire = bench.wire(ProtocolPin::Negotiated);
        let mut replies = bench.send(&mut wire, &sent[..at]);
        replies.extend(bench.send(&mut wire, &sent[at..]));
        assert_eq!(String::from_utf8(replies).unwrap(), whole, "split at {at}");
    }
}

#[test]
fn a_binary_connection_must_log_in_first() {
    let mut bench = foo();
    let mut wire = bench.wire(ProtocolPin::Negotiated);
    let list = ask(&mut bench, &mut wire, &request(0x20, &[], &[], &[]));
    assert_eq!((list[0].status, list[0].text()), (0, "PLAIN"));
    let version = ask(&mut bench, &mut wire, &request(0x0b, &[], &[], &[]));
    assert_eq!((version[0].status, version[0].text()), (0, "1.6.45"));
    assert!(!wire.is_closed());
    // A header is enough, whatever it announces.
    let set = request(0x01, &item(0, 0), b"k", &[b'x'; 1000]);
    for bytes in [
        &request(0x00, &[], b"k", &[])[..],
        &noop(),
        &request(0x07, &[], &[], &[]),
        &request(0x10, &[], &[], &[]),
        &request(0x50, &[], &[], &[]),
        &set[..24],
        &set,
    ] {
        let mut wire = bench.wire(ProtocolPin::Negotiated);
        let all = ask(&mut bench, &mut wire, bytes);
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].status, all[0].text()), (0x20, "Auth failure."));
        assert!(wire.is_closed());
    }
}

#[test]
fn plain_lets_in_who_knows_the_password() {
    let mut bench = foo();
    let mut wire = bench.wire(ProtocolPin::Negotiated);
    let failed = ask(&mut bench, &mut wire, &plain("foo", "baz"));
    assert_eq!((failed[0].status, failed[0].text()), (0x20, "Auth failure."));
    assert!(!wire.is_closed());
    let run = [plain("foo", "bar"), request(0x01, &item(0, 0), b"k", b"v"), noop()].concat();
    let all = ask(&mut bench, &mut wire, &run);
    assert_eq!((all[0].status, all[0].text()), (0, "Authenticated"));
    assert_eq!((all[1].status, all[2].status, all.len()), (0, 0, 3));
    let get = ask(&mut bench, &mut wire, &request(0x00, &[], b"k", &[]));
    assert_eq!(got(&get[0]), Some(&b"v"[..]));
}

fn got(answer: &Answer) -> Option<&[u8]> {
    (answer.status == 0).then_some(&answer.value)
}

#[test]
fn odd_sasl_is_refused_and_the_connection_stays() {
    let mut bench = foo();
    let mut wire = bench.wire(ProtocolPin::Negotiated);
    let mut status = |bytes: Vec<u8>| {
        let all = statuses(&mut bench, &mut wire, &bytes);
        assert!(all.len() == 1 && !wire.is_closed(), "{all:?}");
        all[0]
    };
    let message = b"\0foo\0bar";
    assert_eq!(status(request(0x21, &[], &[b'X'; 40], message)), 4);
    assert_eq!(status(request(0x21, &[], b"PLAIN", &[0; 16_385])), 4);
    assert_eq!(status(request(0x21, &[], b"CRAM-MD5", b"")), 0x20);
    assert_eq!(status(request(0x22, &[], b"PLAIN", message)), 0x20, "a step before the start");
    assert_eq!(status(request(0x21, &[], b"PLAIN", b"foo bar")), 0x20);
    assert_eq!(status(request(0x21, &[], b"PLAIN", b"\0foo\0bar\0")), 0x20);
    assert_eq!(status(request(0x21, &[], b"PLAIN", b"baaaz\0foo\0bar")), 0x20, "in another's role");
    assert_eq!(status(request(0x21, &[], b"PLAIN", b"")), 0x21);
    assert_eq!(status(request(0x22, &[], b"PLAIN", message)), 0, "the step after the start");
    assert_eq!(status(noop()), 0);
    assert_eq!(status(request(0x21, &[], b"plain", b"foo\0foo\0bar")), 0, "in one's own role");
}

#[test]
fn passwords_are_not_tried_for_ever() {
    let mut bench = foo();
    let mut wire = bench.wire(ProtocolPin::Negotiated);
    let all = statuses(&mut bench, &mut wire, &plain("foo", "x").repeat(100));
    assert_eq!(all, [0x20; 11]);
    assert!(wire.is_closed());
    let text = once(&mut bench, &b"set a 0 0 5\r\nfoo x\r\n".repeat(100));
    assert_eq!(text, "CLIENT_ERROR authentication failure\r\n".repeat(11) + "<EOF>");
}

#[test]
fn nobody_talks_for_ever_without_a_login() {
    let mut bench = foo();
    let text = once(&mut bench, &b"get x1234\r\n".repeat(1000));
    assert_eq!(text, "CLIENT_ERROR unauthenticated\r\n".repeat(101) + "<EOF>");
    let mut wire = bench.wire(ProtocolPin::Negotiated);
    let versions = statuses(&mut bench, &mut wire, &request(0x0b, &[], &[], &[]).repeat(1000));
    assert_eq!(versions, [0; 101]);
    assert!(wire.is_closed());
}

#[test]
fn who_is_in_and_fails_is_out_again() {
    let mut bench = foo();
    let mut wire = bench.wire(ProtocolPin::Negotiated);
    let run = [plain("foo", "bar"), noop(), plain("foo", "x")].concat();
    assert_eq!(statuses(&mut bench, &mut wire, &run), [0, 0, 0x20]);
    let again = [plain("baaaz", "quux"), noop()].concat();
    assert_eq!(statuses(&mut bench, &mut wire, &again), [0, 0]);
    assert_eq!(statuses(&mut bench, &mut wire, &[plain("foo", "x"), noop()].concat()), [0x20; 2]);
    assert!(wire.is_closed());
}

/// What a refused login carries stays its own, also if meanwhile nobody has to log in any more.
#[test]
fn the_rest_of_a_refused_login_is_never_a_request() {
    let closed = Directory::new(1, [Tenant::shared()], [user("foo", "bar")], None).unwrap();
    let directory = SharedDirectory::new(closed);
    let settings = Settings { clock: Clock::manual(1_800_000_000_000), ..Settings::new(64 << 20) };
    let mut bench = Bench::new(settings, directory.clone()).unwrap();
    let mut wire = bench.wire(ProtocolPin::Negotiated);

    // Too long a name of a mechanism, and a message that looks like a request.
    let refused = request(0x21, &[], &[b'x'; 33], &request(0x01, &item(0, 0), b"k", b"v"));
    let (head, rest) = refused.split_at(24 + 33);
    assert_eq!(statuses(&mut bench, &mut wire, head), [4]);
    let anonymous = Grant::anonymous(TenantId::DEFAULT, Capabilities::ALL);
    let open = Directory::new(2, [Tenant::shared()], [], Some(anonymous)).unwrap();
    directory.publish(open).unwrap();
    let next = request(0x00, &[], b"k", &[]);
    assert_eq!(statuses(&mut bench, &mut wire, &[rest, &next].concat()), [1]);
}

#[test]
fn an_open_server_takes_any_credentials_on_binary_and_a_set_is_a_set() {
    let mut bench = bench(Directory::open());
    let mut wire = bench.wire(ProtocolPin::Negotiated);
    let run = [
        request(0x20, &[], &[], &[]),
        plain("any", "thing"),
        request(0x21, &[], b"PLAIN", b""),
        request(0x22, &[], b"PLAIN", b"\0any\0thing"),
        request(0x01, &item(0, 0), b"k", b"v"),
        request(0x00, &[], b"k", &[]),
    ];
    assert_eq!(statuses(&mut bench, &mut wire, &run.concat()), [0, 0, 0x21, 0, 0, 0]);
    let sent = b"set any 0 0 5\r\nthing\r\nget any\r\n";
    let expected = "STORED\r\nVALUE any 0 5\r\nthing\r\nEND\r\n";
    assert_eq!(once(&mut bench, sent), expected);
}

/// Those of a node with one tenant; where there are several, who fails is none of them.
#[test]
fn attempts_are_counted() {
    let users = [user("foo", "bar")];
    let mut bench = bench(Directory::new(1, [Tenant::shared()], users, None).unwrap());
    once(&mut bench, b"set a 0 0 5\r\nfoo x\r\nset a 0 0 7\r\nfoo bar\r\nset k 0 0 1\r\nv\r\n");
    let mut wire = bench.wire(ProtocolPin::Negotiated);
    let run = [plain("foo", "x"), plain("no", "bar"), plain("foo", "bar")].concat();
    ask(&mut bench, &mut wire, &run);
    let stats = ask(&mut bench, &mut wire, &request(0x10, &[], &[], &[]));
    let figure = |name: &str| {
        stats.iter().find(|stat| stat.key == name.as_bytes()).map(|stat| stat.text().to_owned())
    };
    assert_eq!(figure("auth_cmds").as_deref(), Some("5"));
    assert_eq!(figure("auth_errors").as_deref(), Some("3"));
}

/// Everything that memcached's binary protocol can do to a key.
fn every_command(key: &[u8]) -> Vec<Vec<u8>> {
    let exptime = [0, 0, 0, 0];
    let mut all = Vec::new();
    for opcode in [0x00, 0x09, 0x0c, 0x0d, 0x04, 0x14] {
        all.push(request(opcode, &[], key, &[]));
    }
    for opcode in [0x1c, 0x1d, 0x1e, 0x23, 0x24] {
        all.push(request(opcode, &exptime, key, &[]));
    }
    for opcode in [0x01, 0x11, 0x02, 0x12, 0x03, 0x13] {
        all.push(request(opcode, &item(0, 0), key, b"7"));
    }
    for opcode in [0x0e, 0x19, 0x0f, 0x1a] {
        all.push(request(opcode, &[], key, b"7"));
    }
    for opcode in [0x05, 0x15, 0x06, 0x16] {
        all.push(request(opcode, &sum(1, 1, 0), key, &[]));
        all.push(request(opcode, &sum(1, 1, u32::MAX), key, &[]));
    }
    for opcode in [0x08, 0x18] {
        all.push(request(opcode, &[], &[], &[]));
    }
    for name in [&b""[..], b"settings", b"items", b"slabs", b"sizes", b"conns", b"reset"] {
        all.push(request(0x10, &[], name, &[]));
    }
    for name in [&b"detail on"[..], b"detail off", b"detail dump"] {
        all.push(request(0x10, &[], name, &[]));
    }
    all.push(request(0x1b, &exptime, &[], &[]));
    all.extend([request(0x0b, &[], &[], &[]), request(0x20, &[], &[], &[]), noop()]);
    all
}

/// Bob's items, figures and replies are the same whatever Ann does.
#[test]
fn nothing_that_one_tenant_does_is_seen_by_another() {
    let of = |tenant, user| Credential { tenant: TenantId::new(tenant), ..user };
    let users = || [of(0, user("ann", "a")), of(1, user("bob", "b"))];
    let secret = b"only bob knows";
    for command in every_command(b"shared:key") {
        let mut bench = server(users());
        let mut ann = bench.wire(ProtocolPin::Negotiated);
        let mut bob = bench.wire(ProtocolPin::Negotiated);
        ask(&mut bench, &mut ann, &plain("ann", "a"));
        let on = [plain("bob", "b"), request(0x10, &[], b"detail on", &[])].concat();
        ask(&mut bench, &mut bob, &on);
        let stored = request(0x01, &item(9, 0), b"shared:key", secret);
        let cas = ask(&mut bench, &mut bob, &stored)[0].cas;
        let items = |bench: &mut Bench, bob: &mut Wire| {
            let dump = [request(0x10, &[], b"detail dump", &[]), request(0x10, &[], b"items", &[])];
            ask(bench, bob, &dump.concat())
        };
        let before = items(&mut bench, &mut bob);

        let replies = bench.send(&mut ann, &[&command[..], &noop()].concat());
        let seen = |bytes: &[u8]| replies.windows(bytes.len()).any(|window| window == bytes);
        assert!(!seen(secret), "{}", command.escape_ascii());
        assert!(!seen(b"PREFIX shared") || command[1] != 0x10, "{}", command.escape_ascii());

        assert_eq!(items(&mut bench, &mut bob), before, "{}", command.escape_ascii());
        let got = ask(&mut bench, &mut bob, &request(0x00, &[], b"shared:key", &[]));
        assert_eq!((&got[0].value[..], got[0].cas), (&secret[..], cas));
    }
}

#[test]
fn capabilities_and_prefixes_hold_for_every_command() {
    let reader = Credential { capabilities: Capabilities::READ, ..user("reader", "r") };
    let scoped = Credential { key_prefix: Some((*b"shop:").into()), ..user("scoped", "s") };
    let mut bench = server([reader, scoped, user("all", "a")]);
    let mut all = bench.wire(ProtocolPin::Negotiated);
    let stored = [plain("all", "a"), request(0x01, &item(0, 0), b"k", b"5")].concat();
    ask(&mut bench, &mut all, &stored);

    let mut reader = bench.wire(ProtocolPin::Negotiated);
    ask(&mut bench, &mut reader, &plain("reader", "r"));
    let mut scoped = bench.wire(ProtocolPin::Negotiated);
    ask(&mut bench, &mut scoped, &plain("scoped", "s"));
    let is_read = |opcode: u8| matches!(opcode, 0x00 | 0x09 | 0x0c | 0x0d);
    let has_key = |command: &[u8]| command[3] > 0 && command[1] != 0x10;
    for command in every_command(b"k") {
        let bytes = [&command[..], &noop()].concat();
        let refused = |all: Vec<u16>| all == [0x20, 0];
        let (opcode, is_flush) = (command[1], matches!(command[1], 0x08 | 0x18));
        let by_reader = refused(statuses(&mut bench, &mut reader, &bytes));
        let changes = has_key(&command) && !is_read(opcode) || is_flush;
        let admin = [&b"reset"[..], b"detail on", b"detail off"]
            .iter()
            .any(|name| opcode == 0x10 && command.ends_with(name));
        let others = opcode == 0x10 && command.ends_with(b"conns") || opcode == 0x1b;
        assert_eq!(by_reader, changes || admin || others, "{}", command.escape_ascii());
        let by_scoped = refused(statuses(&mut bench, &mut scoped, &bytes));
        assert_eq!(
            by_scoped,
            has_key(&command) || is_flush || others,
            "{}",
            command.escape_ascii()
        );
    }
    // An upload is refused before its value comes, and the value is skipped.
    let large = [request(0x01, &item(0, 0), b"k", &vec![b'x'; 100_000]), noop()].concat();
    assert_eq!(statuses(&mut bench, &mut reader, &large), [0x20, 0]);
    assert_eq!(statuses(&mut bench, &mut scoped, &large), [0x20, 0]);
    let get = ask(&mut bench, &mut all, &request(0x00, &[], b"k", &[]));
    assert_eq!(got(&get[0]), Some(&b"5"[..]));
    let own = request(0x01, &item(0, 0), b"shop:1", b"v");
    assert_eq!(statuses(&mut bench, &mut scoped, &own), [0]);
}

#[test]
fn a_storm_of_connections_is_let_in_one_by_one() {
    let mut bench = server((0..50).map(|at| user(&format!("user{at}"), &format!("word{at}"))));
    let mut wires: Vec<Wire> = Vec::new();
    for at in 0..1000 {
        let mut wire = bench.wire(ProtocolPin::Negotiated);
        let (name, word) = (format!("user{}", at % 50), format!("word{}", at % 50));
        let right = at % 10 != 0;
        let password = if right { &word[..] } else { "x" };
        let all = statuses(&mut bench, &mut wire, &plain(&name, password));
        assert_eq!(all, [if right { 0 } else { 0x20 }]);
        wires.push(wire);
    }
    for (at, wire) in wires.iter_mut().enumerate() {
        let status = if at % 10 != 0 { 0 } else { 0x20 };
        assert_eq!(statuses(&mut bench, wire, &noop()), [status]);
    }
}

/// Whatever comes before a login: it is refused, answered in whole replies, and never waited for without
/// an end.
#[test]
fn garbage_lets_nobody_in() {
    let mut bench = foo();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below as u64).unwrap()
    };
    let pieces: [&[u8]; 12] = [
        b"set a 0 0 7\r\n",
        b"set a 0 0 7",
        b"foo baz\r\n",
        b"get foo\r\n",
        b"\r\n",
        b"\n",
        b"\0\xff\x80",
        &plain("foo", "baz"),
        &plain("foo", "baz")[..30],
        &request(0x22, &[], b"PLAIN", b"\0foo\0baz"),
        &request(0x21, &[], b"PLAIN", b""),
        &[b'x'; 5000],
    ];
    for _ in 0..3000 {
        let mut wire = bench.wire(ProtocolPin::Negotiated);
        for _ in 0..6 {
            let mut bytes = pieces[next(pieces.len())].to_vec();
            if next(3) == 0 {
                let at = next(bytes.len());
                bytes[at] = u8::try_from(next(256)).unwrap();
            }
            let replies = bench.send(&mut wire, &bytes);
            for granted in [&b"STORED"[..], b"Authenticated", b"END", b"VALUE"] {
                let is_there = replies.windows(granted.len()).any(|window| window == granted);
                assert!(!is_there, "{}", replies.escape_ascii());
            }
            assert!(wire.unused() < 40_000, "{} bytes are kept", wire.unused());
        }
    }
}
