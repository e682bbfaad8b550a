//! Lists of keys: their lines, their limits, their pieces, and whose keys they are.

use std::collections::HashSet;

use larder_store::Clock;
use larder_tenancy::{
    Capabilities, Credential, Digest, Directory, Salt, SharedDirectory, Tenant, TenantId,
    TenantName,
};

use crate::cx::{Cx, Flow};
use crate::exec::binary::frames::{ask, item, request};
use crate::node::Node;
use crate::settings::{ProtocolPin, Settings};
use crate::testing::{Bench, Wire};

const NOW: u64 = 1_800_000_000;

fn settings() -> Settings {
    Settings { clock: Clock::manual(NOW * 1000), ..Settings::new(64 << 20) }
}

fn open() -> (Bench, Wire) {
    let mut bench = Bench::new(settings(), SharedDirectory::new(Directory::open())).unwrap();
    let wire = bench.wire(ProtocolPin::Negotiated);
    (bench, wire)
}

fn send(bench: &mut Bench, wire: &mut Wire, lines: &str) -> String {
    let replies = bench.send(wire, lines.replace('\n', "\r\n").as_bytes());
    String::from_utf8(replies).unwrap().replace("\r\n", "\n")
}

/// The lines between the first and the last.
fn listed(bench: &mut Bench, wire: &mut Wire, command: &str, ends: (&str, &str)) -> Vec<String> {
    let all = send(bench, wire, command);
    let lines = all.strip_prefix(ends.0).and_then(|all| all.strip_suffix(ends.1)).expect(&all);
    let mut lines: Vec<String> = lines.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn a_metadump_tells_of_every_item() {
    let (mut bench, mut wire) = open();
    assert_eq!(send(&mut bench, &mut wire, "lru_crawler metadump all\n"), "OK\nEND\n");
    send(
        &mut bench,
        &mut wire,
        "set foo:a 7 100 2\nhi\nset b 0 0 1\nx\nset gone 0 -1 1\nx\nget b\n",
    );
    send(&mut bench, &mut wire, "ms Zm9vIA== 2 b\nhi\n");
    let lines = listed(&mut bench, &mut wire, "lru_crawler metadump all\n", ("OK\n", "END\n"));
    assert_eq!(lines.len(), 3, "{lines:?}");
    let fields = |line: &str| -> Vec<(String, String)> {
        let pair = |word: &str| word.split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned()));
        line.split_whitespace().filter_map(pair).collect()
    };
    let b = fields(&lines[0]);
    let names: Vec<&str> = b.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["key", "exp", "la", "cas", "fetch", "cls", "size", "flags"]);
    let values = |line: &str, names: &[&str]| -> Vec<String> {
        let fields = fields(line);
        names
            .iter()
            .map(|name| fields.iter().find(|field| field.0 == *name).unwrap().1.clone())
            .collect()
    };
    let some = ["key", "exp", "fetch", "cls", "flags"];
    assert_eq!(values(&lines[0], &some), ["b", "-1", "yes", "1", "0"]);
    let exp = (NOW + 100).to_string();
    assert_eq!(values(&lines[1], &some), ["foo%20", "-1", "no", "1", "0"]);
    assert_eq!(values(&lines[2], &some), ["foo%3Aa", &exp, "no", "1", "7"]);
    assert!(values(&lines[0], &["size"])[0].parse::<u64>().unwrap() >= 2);
}

#[test]
fn an_mgdump_can_be_sent_back_as_it_is() {
    let (mut bench, mut wire) = open();
    send(&mut bench, &mut wire, "set foo:a 0 0 2\nhi\nms Zm9vIA== 2 b\nhi\nms YWI= 2 b\nhi\n");
    let mut binary = bench.wire(ProtocolPin::Negotiated);
    ask(&mut bench, &mut binary, &request(0x01, &item(0, 0), b"a\r\nEN", b"hi"));
    let lines = listed(&mut bench, &mut wire, "lru_crawler mgdump all\n", ("OK\n", "EN\n"));
    assert_eq!(lines, ["mg YQ0KRU4= b", "mg YWI= b", "mg Zm9vIA== b", "mg foo:a"]);
    for line in lines {
        assert_eq!(send(&mut bench, &mut wire, &format!("{line} v\n")), "VA 2\nhi\n".to_owned());
    }
}

#[test]
fn a_cachedump_is_limited() {
    let (mut bench, mut wire) = open();
    send(&mut bench, &mut wire, "set foo 0 100 6\nfooval\nset b 0 0 1\nx\nms Zm9vIA== 2 b\nhi\n");
    let expires = NOW + 100;
    let lines = listed(&mut bench, &mut wire, "stats cachedump 1 0\n", ("", "END\n"));
    assert_eq!(lines, ["ITEM b [1 b; 0 s]".to_owned(), format!("ITEM foo [6 b; {expires} s]")]);
    let lines = listed(&mut bench, &mut wire, "stats cachedump 1 1\n", ("", "END\n"));
    assert_eq!(lines.len(), 1);
    for (line, reply) in [
        ("stats cachedump 2 1", "END\n"),
        ("stats cachedump 64 1", "CLIENT_ERROR Illegal slab id\n"),
        ("stats cachedump 1", "CLIENT_ERROR bad command line\n"),
        ("stats cachedump x 1", "CLIENT_ERROR bad command line format\n"),
        ("stats cachedump -1 1", "CLIENT_ERROR bad command line format\n"),
        ("stats cachedump 1 4294967296", "CLIENT_ERROR bad command line format\n"),
    ] {
        assert_eq!(send(&mut bench, &mut wire, &format!("{line}\n")), reply, "{line}");
    }
    for at in 0..40_000 {
        let key = format!("{at:0>200}");
        send(&mut bench, &mut wire, &format!("set {key} 0 0 1 noreply\nx\n"));
    }
    let bytes = bench.send(&mut wire, b"stats cachedump 1 0\r\n").len();
    assert!(((2 << 20) - 400..(2 << 20) + 10).contains(&bytes), "{bytes}");
}

#[test]
fn classes_are_memcacheds_and_ours_is_the_first() {
    let (mut bench, mut wire) = open();
    send(&mut bench, &mut wire, "set a 0 0 1\nx\n");
    for (classes, reply) in [
        ("all", "OK\nmg a\nEN\n"),
        ("hash", "OK\nmg a\nEN\n"),
        ("1", "OK\nmg a\nEN\n"),
        ("2,1", "OK\nmg a\nEN\n"),
        ("2", "OK\nEN\n"),
        ("63", "OK\nEN\n"),
        ("0", "BADCLASS invalid class id\n"),
        ("64", "BADCLASS invalid class id\n"),
        ("1,x", "BADCLASS invalid class id\n"),
        ("1,", "BADCLASS invalid class id\n"),
        ("all foo", "ERROR\n"),
        ("", "ERROR\n"),
    ] {
        let line = format!("lru_crawler mgdump {classes}\n");
        assert_eq!(send(&mut bench, &mut wire, &line), reply, "{classes:?}");
    }
}

#[test]
fn nothing_is_pipelined_before_a_dump_and_what_comes_after_waits() {
    let (mut bench, mut wire) = open();
    send(&mut bench, &mut wire, "set a 0 0 1\nx\n");
    let refused = "ERROR cannot pipeline other commands before mgdump\n";
    let sent = "version\nlru_crawler mgdump all\n";
    assert_eq!(send(&mut bench, &mut wire, sent), format!("VERSION 1.6.45\n{refused}"));
    let sent = "lru_crawler mgdump all\nversion\n";
    assert_eq!(send(&mut bench, &mut wire, sent), "OK\nmg a\nEN\nVERSION 1.6.45\n");
}

#[test]
fn a_large_dump_comes_in_small_pieces_and_misses_nothing() {
    let node = Node::new(settings(), SharedDirectory::new(Directory::open())).unwrap();
    let access = node.access(0, Directory::open().anonymous().unwrap().clone());
    let tenant = node.store.tenant();
    for at in 0..30_000 {
        tenant.set(format!("key:{at:05}").as_bytes(), b"value", 0, None).unwrap();
    }
    let mut cx = Cx {
        node: &node,
        access: &access,
        worker: 0,
        fd: 0,
        now: node.now(),
        sampling: access.trace.sampling(0),
        first_in_batch: true,
        resume: 0,
    };
    let mut out = Vec::new();
    let args = larder_proto::server::Words::new(b"mgdump all");
    let Some(Flow::Dump(mut dump)) = super::lru_crawler(args, &mut cx, &mut out) else {
        panic!("no dump: {}", out.escape_ascii());
    };
    let mut keys = HashSet::new();
    let mut pieces = 0;
    loop {
        out.clear();
        let more = dump.step(&mut cx, &mut out);
        assert!(out.len() <= 64 << 10, "a piece of {} bytes", out.len());
        keys.extend(
            out.split(|byte| *byte == b'\n')
                .filter(|line| line.starts_with(b"mg "))
                .map(<[u8]>::to_vec),
        );
        pieces += 1;
        // What goes on meanwhile does not matter.
        tenant.set(format!("new:{pieces}").as_bytes(), &[b'x'; 1000], 0, None).unwrap();
        tenant.delete(format!("key:{:05}", 29_999 - pieces % 100).as_bytes());
        if !more {
            break;
        }
    }
    assert!(pieces > 20, "{pieces}");
    for at in 0..29_900 {
        assert!(keys.contains(format!("mg key:{at:05}\r").as_bytes()), "{at}");
    }
}

#[test]
fn only_what_the_credential_may_read_is_listed() {
    let other = Tenant {
        id: TenantId::new(1),
        name: TenantName::new("other").unwrap(),
        ..Tenant::shared()
    };
    let user = |name: &str, tenant| Credential {
        username: name.as_bytes().into(),
        digest: Digest::sha256(Salt::random().unwrap(), b"p"),
        tenant: TenantId::new(tenant),
        capabilities: Capabilities::USE,
        key_prefix: None,
        expires: None,
    };
    let scoped = Credential { key_prefix: Some((*b"a:").into()), ..user("sue", 0) };
    let blind = Credential { capabilities: Capabilities::WRITE, ..user("joe", 0) };
    let users = [user("ann", 0), user("bob", 1), scoped, blind];
    let directory = Directory::new(1, [Tenant::shared(), other], users, None).unwrap();
    let mut bench = Bench::new(settings(), SharedDirectory::new(directory)).unwrap();
    let mut as_user = |name: &str, lines: &str| {
        let mut wire = bench.wire(ProtocolPin::Negotiated);
        assert_eq!(send(&mut bench, &mut wire, &format!("set x 0 0 5\n{name} p\n")), "STORED\n");
        send(&mut bench, &mut wire, lines)
    };
    as_user("ann", "set a:1 0 0 1\nx\nset b:1 0 0 1\nx\n");
    as_user("bob", "set bobs 0 0 1\nx\n");
    assert_eq!(as_user("bob", "lru_crawler mgdump all\n"), "OK\nmg bobs\nEN\n");
    assert_eq!(as_user("sue", "lru_crawler mgdump all\n"), "OK\nmg a:1\nEN\n");
    assert_eq!(as_user("sue", "stats cachedump 1 0\n"), "ITEM a:1 [1 b; 0 s]\nEND\n");
    assert_eq!(as_user("ann", "lru_crawler mgdump all\n").matches("mg ").count(), 2);
    assert_eq!(as_user("joe", "lru_crawler mgdump all\n"), "ERROR key dump not allowed\n");
    assert_eq!(as_user("joe", "lru_crawler metadump all\n"), "ERROR metadump not allowed\n");
    assert_eq!(
        as_user("joe", "stats cachedump 1 0\n"),
        "CLIENT_ERROR stats cachedump not allowed\n"
    );
}
