//! The text protocol as a server reads it: what each line is, which words an error has, and how the
//! parser gets back in step.

mod server_support;

use larder_proto::server::text::{self, Command, MAX_LINE_LEN, Scan, parse};
use larder_proto::server::{Parsed, Request, meta};
use server_support::{LIMITS, at_once, in_pieces};

const FORMAT: &str = "CLIENT_ERROR bad command line format";

/// What the bytes are, at once and split at every byte.
#[track_caller]
fn check(input: &[u8], expected: &[&str]) {
    assert_eq!(at_once(input), expected, "{:?}", input.escape_ascii().to_string());
    for at in 1..input.len() {
        assert_eq!(in_pieces(&[&input[..at], &input[at..]]), expected, "split at {at}");
    }
}

#[test]
fn lines() {
    for (input, expected) in [
        ("get a\r\n", "get a"),
        ("get a\n", "get a"),
        ("get  a   b \r\n", "get a b"),
        ("gets a b\r\n", "gets a b"),
        ("get a\tb\r\n", "get a\\tb"),
        ("get a\0b\r\n", "get a\\x00b"),
        ("get a\rb\r\n", "get a\\rb"),
        ("get / HTTP/1.1\r\n", "get / HTTP/1.1"),
        ("get noreply\r\n", "get noreply"),
        ("gat 10 a b\r\n", "gat 10 a b"),
        ("gats -1 a\r\n", "gats -1 a"),
        ("delete a\r\n", "delete a"),
        ("delete a 0\r\n", "delete a"),
        ("delete a noreply\r\n", "delete a noreply"),
        ("delete a 0 noreply  \r\n", "delete a noreply"),
        ("delete noreply\r\n", "delete noreply noreply"),
        ("incr a 1\r\n", "incr a 1"),
        ("incr a 18446744073709551615\r\n", "incr a 18446744073709551615"),
        ("decr a 0 noreply\r\n", "decr a 0 noreply"),
        ("touch a 10\r\n", "touch a 10"),
        ("touch a -1 noreply\r\n", "touch a -1 noreply"),
        ("touch a 2147483647\r\n", "touch a 2147483647"),
        ("version\r\n", "version"),
        ("version noreply\r\n", "version"),
        ("quit\r\n", "quit"),
        ("quit foo\n", "quit"),
        ("stats\r\n", "stats []"),
        ("stats  detail on\r\n", "stats [detail on]"),
        ("flush_all\r\n", "FlushAll []"),
        ("flush_all 10 noreply\r\n", "FlushAll [10 noreply] noreply"),
        ("verbosity 1\r\n", "Verbosity [1]"),
        ("cache_memlimit 64\r\n", "CacheMemlimit [64]"),
        ("shutdown graceful\r\n", "Shutdown [graceful]"),
        ("slabs automove 1\r\n", "Slabs [automove 1]"),
        ("lru mode flat\r\n", "Lru [mode flat]"),
        ("lru_crawler metadump all\r\n", "LruCrawler [metadump all]"),
        ("watch fetchers\r\n", "Watch [fetchers]"),
        ("refresh_certs\r\n", "RefreshCerts []"),
        ("debugtime 10\r\n", "DebugTime [10]"),
    ] {
        check(input.as_bytes(), &[expected]);
    }
}

#[test]
fn stores() {
    for (input, expected) in [
        ("set a 1 2 3\r\nxyz\r\n", "set a 1 2 xyz"),
        ("set a 1 2 3\nxyz\r\n", "set a 1 2 xyz"),
        ("set a 1 2 0\r\n\r\n", "set a 1 2 "),
        ("set a 1 2 2\r\n\r\n\r\n", "set a 1 2 \\r\\n"),
        ("set a 1 2 3 foo\r\nxyz\r\n", "set a 1 2 xyz"),
        ("set a 1 2 3 noreply\r\nxyz\r\n", "set a 1 2 xyz noreply"),
        ("set a 4294967295 0 1\r\nx\r\n", "set a 4294967295 0 x"),
        ("set a 4294967296 0 1\r\nx\r\n", "set a 0 0 x"),
        ("set a 0 -1 1\r\nx\r\n", "set a 0 -1 x"),
        ("set a 0 4294967296 1\r\nx\r\n", "set a 0 4294967296 x"),
        // -1 and -2 of clients that send 32 bits without the sign, and a date in 2038.
        ("set a 0 4294967295 1\r\nx\r\n", "set a 0 -1 x"),
        ("set a 0 4294967294 1\r\nx\r\n", "set a 0 -2 x"),
        ("set a 0 2147483648 1\r\nx\r\n", "set a 0 2147483648 x"),
        ("add a 1 2 1\r\nx\r\n", "add a 1 2 x"),
        ("replace a 1 2 1\r\nx\r\n", "replace a 1 2 x"),
        ("append a 1 2 1\r\nx\r\n", "append a 1 2 x"),
        ("prepend a 1 2 1\r\nx\r\n", "prepend a 1 2 x"),
        ("cas a 1 2 1 7\r\nx\r\n", "cas 7 a 1 2 x"),
        (
            "cas a 1 2 1 18446744073709551615 noreply\r\nx\r\n",
            "cas 18446744073709551615 a 1 2 x noreply",
        ),
    ] {
        check(input.as_bytes(), &[expected]);
    }
}

/// What is answered to bad lines, and that what follows them is understood.
#[test]
fn errors_keep_step() {
    let delta = "CLIENT_ERROR invalid numeric delta argument";
    let exptime = "CLIENT_ERROR invalid exptime argument";
    let chunk = "CLIENT_ERROR bad data chunk";
    let delete = "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]";
    for (input, expected) in [
        // Lines that are too short.
        ("\r\n", vec![FORMAT]),
        ("\n", vec![FORMAT]),
        ("a\r\n", vec![FORMAT]),
        ("mn\n", vec![FORMAT]),
        ("ab\r\n", vec!["ERROR"]),
        // Not a command.
        ("foo\r\n", vec!["ERROR"]),
        ("foo noreply\r\n", vec![""]),
        (" get a\r\n", vec!["ERROR"]),
        ("   \r\n", vec!["ERROR"]),
        ("GET a\r\n", vec!["ERROR"]),
        ("get\ta\r\n", vec!["ERROR"]),
        ("extstore item_size 512\r\n", vec!["ERROR"]),
        // Words that are missing; no noreply counts then.
        ("get\r\n", vec![FORMAT]),
        ("get \r\n", vec![FORMAT]),
        ("gets\r\n", vec![FORMAT]),
        ("gat\r\n", vec![FORMAT]),
        ("gat 10\r\n", vec![FORMAT]),
        ("gat 10 \r\n", vec![FORMAT]),
        ("delete\r\n", vec![FORMAT]),
        ("incr a\r\n", vec![FORMAT]),
        ("incr noreply\r\n", vec![FORMAT]),
        ("touch a\r\n", vec![FORMAT]),
        // Words that are wrong.
        ("gat abc a\r\n", vec![exptime]),
        ("gat 2147483648 a\r\n", vec![exptime]),
        ("touch a abc\r\n", vec![exptime]),
        ("touch a noreply\r\n", vec![""]),
        ("delete a 10\r\n", vec![delete]),
        ("delete a foo\r\n", vec![delete]),
        ("delete a 0 0\r\n", vec![delete]),
        ("delete a noreply 0\r\n", vec![delete]),
        ("delete a 0 noreply x\r\n", vec![delete]),
        ("delete a 10 noreply\r\n", vec![""]),
        ("incr a abc\r\n", vec![delta]),
        ("incr a -1\r\n", vec![delta]),
        ("incr a 18446744073709551616\r\n", vec![delta]),
        ("decr a abc noreply\r\n", vec![""]),
        // No length: the value is a line of its own.
        ("set a 0 0\r\nxyz\r\n", vec![FORMAT, "ERROR"]),
        ("set a 0 0 noreply\r\n", vec![FORMAT]),
        ("set a 0 0 abc\r\n", vec![FORMAT]),
        ("set a 0 0 -1\r\n", vec![FORMAT]),
        ("set a 0 0 2147483646\r\n", vec![FORMAT]),
        ("set a 0 0 18446744073709551615\r\n", vec![FORMAT]),
        ("set a 0 0 99999999999999999999999999\r\n", vec![FORMAT]),
        // A length: the value is swallowed.
        ("set a abc 0 1\r\nx\r\n", vec![FORMAT]),
        ("set a -1 0 1\r\nx\r\n", vec![FORMAT]),
        ("set a 0 abc 1\r\nx\r\n", vec![FORMAT]),
        ("set a 0 abc 1 noreply\r\nx\r\n", vec![""]),
        ("cas a 0 0 1\r\nx\r\n", vec![FORMAT]),
        ("cas a 0 0 1 abc\r\nx\r\n", vec![FORMAT]),
        ("cas a 0 0 1 18446744073709551616\r\nx\r\n", vec![FORMAT]),
        ("cas a 0 0 1 noreply\r\nx\r\n", vec![""]),
        // A value of another length than announced.
        ("set a 0 0 3\r\nabcd\r\n", vec![chunk, FORMAT]),
        ("set a 0 0 3\r\nabcde\r\n", vec![chunk, FORMAT]),
        ("set a 0 0 3\r\nabc\n!", vec![chunk]),
        ("set a 0 0 3 noreply\r\nabcd\r\n", vec!["", FORMAT]),
        ("set a 0 0 3\r\nab\r\nxyz\r\n", vec![chunk, "ERROR"]),
    ] {
        let mut input = input.as_bytes().to_vec();
        if input.last() == Some(&b'\n') {
            input.extend_from_slice(b"get next\r\n");
            let mut expected = expected;
            expected.push("get next");
            check(&input, &expected);
        } else {
            check(&input, &expected);
        }
    }
}

#[test]
fn keys_have_250_bytes_at_most() {
    let (longest, too_long) = ("k".repeat(250), "k".repeat(251));
    for line in
        ["get {}", "gets {}", "get a {} b", "gat 0 {}", "delete {}", "incr {} 1", "touch {} 1"]
    {
        let good = at_once(
            line.replace("{}", &longest)
                .as_bytes()
                .iter()
                .chain(b"\r\n")
                .copied()
                .collect::<Vec<_>>()
                .as_slice(),
        );
        assert_eq!(good, [line.replace("{}", &longest)]);
        let bad = line.replace("{}", &too_long) + "\r\nversion\r\n";
        assert_eq!(at_once(bad.as_bytes()), [FORMAT, "version"], "{line}");
    }
    check(format!("set {longest} 0 0 1\r\nx\r\n").as_bytes(), &[&format!("set {longest} 0 0 x")]);
    check(format!("set {too_long} 0 0 1\r\nx\r\nversion\r\n").as_bytes(), &[FORMAT, "version"]);
    check(format!("set {too_long} 0 0 1 noreply\r\nx\r\nversion\r\n").as_bytes(), &["", "version"]);
}

/// A key that is too long is found wherever it stands in a long line.
#[test]
fn a_long_key_is_found_in_a_long_line() {
    let keys = |before: usize, len: usize, after: usize| {
        let (short, long) = ("abc ".repeat(before), "k".repeat(len));
        format!("get {short}{long} {}\r\n", "d ".repeat(after)).into_bytes()
    };
    for before in 0..130 {
        for after in [0, 1, 130] {
            assert_ne!(at_once(&keys(before, 250, after)), [FORMAT]);
            assert_eq!(at_once(&keys(before, 251, after)), [FORMAT]);
        }
    }
}

#[test]
fn a_browser_is_not_answered() {
    check(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", &["close Http"]);
    check(b"POST / HTTP/1.0 \r\n", &["close Http"]);
    check(b"HTTP/1.1\r\nversion\r\n", &["ERROR", "version"]);
}

#[test]
fn a_line_has_2048_bytes_at_most() {
    let line = |len: usize, end: &str| format!("{}{end}", "A".repeat(len));
    assert_eq!(at_once(line(MAX_LINE_LEN, "").as_bytes()), [""; 0]);
    assert_eq!(at_once(line(MAX_LINE_LEN, "\n").as_bytes()), ["ERROR"]);
    assert_eq!(at_once(line(MAX_LINE_LEN + 1, "").as_bytes()), ["close LongLine"]);
    assert_eq!(at_once(line(MAX_LINE_LEN, "\r\n").as_bytes()), ["close LongLine"]);
    assert_eq!(at_once(line(100_000, "\r\n").as_bytes()), ["close LongLine"]);
    let mg = format!("mg {} v\r\n", "a".repeat(MAX_LINE_LEN));
    assert_eq!(at_once(mg.as_bytes()), ["close LongLine"]);
}

#[test]
fn a_line_of_keys_has_a_limit_of_its_own() {
    for name in ["get", "gets", "gat 0", "gats 0"] {
        let keys = " a".repeat((LIMITS.max_keys_line - name.len()) / 2);
        let line = format!("{name}{keys}");
        assert_eq!(at_once(line.as_bytes()), [""; 0]);
        assert_eq!(at_once(format!("{line}\n").as_bytes()), std::slice::from_ref(&line));
        assert_eq!(at_once(format!("{line} aaaa").as_bytes()), ["close LongLine"]);
    }
}

/// Where a line was left is remembered in bytes.
#[test]
fn keys_go_on_where_they_were_left() {
    let line = "get  aa b   cc d \r\n";
    let Parsed::Ready { request: Request::Text(Command::Get { keys, .. }), .. } =
        parse(line.as_bytes(), &mut Scan::default(), &LIMITS)
    else {
        panic!("{line:?}");
    };
    let mut left = keys;
    for taken in 0..=4 {
        let again = keys.last(left.bytes_left());
        assert!(again.eq(keys.skip(taken)), "{taken}");
        assert_eq!(again.count(), 4 - taken);
        left.next();
    }
    assert!(keys.last(usize::MAX).eq(keys));
}

#[test]
fn plain_gets_are_those_with_nothing_unusual() {
    let long = "k".repeat(250);
    for key in ["k", "a\tb\0", &long] {
        let line = format!("get {key}\r\nget next\r\n");
        assert_eq!(text::plain_get(line.as_bytes()), Some((key.as_bytes(), key.len() + 6)));
        let line = format!("mg {key} v\r\nmg next v\r\n");
        let (command, used) = meta::plain_get(line.as_bytes()).unwrap();
        assert_eq!((command.key, used), (key.as_bytes(), key.len() + 7));
        assert!(command.flags.has(b'v') && command.flags.iter().count() == 1);
    }
    let all = meta::plain_get(b"mg k c f h k l q s t u v\r\n").unwrap().0;
    assert_eq!(all.flags.iter().map(|flag| flag.letter).collect::<Vec<_>>(), b"cfhklqstuv");
    let too_long = format!("get {long}k\r\n");
    for other in [
        &*too_long,
        "get k",
        "get k\r",
        "get k\n",
        "get  k\r\n",
        "get k \r\n",
        "get k l\r\n",
        "get \r\n",
        "gets k\r\n",
        "GET k\r\n",
        "",
    ] {
        assert_eq!(text::plain_get(other.as_bytes()), None, "{other:?}");
    }
    let too_long = format!("mg {long}k v\r\n");
    for other in [
        &*too_long,
        "mg k\r\n",
        "mg k v",
        "mg k v\r",
        "mg k v\n",
        "mg k  v\r\n",
        "mg k v \r\n",
        "mg k v v\r\n",
        "mg k b\r\n",
        "mg k O1\r\n",
        "mg k T1\r\n",
        "mg k N1 v\r\n",
        "mg k v\rx\r\n",
        "mg  v\r\n",
        "",
    ] {
        assert_eq!(meta::plain_get(other.as_bytes()), None, "{other:?}");
    }
}

#[test]
fn plain_sets_are_whole_and_have_nothing_unusual() {
    let long = "k".repeat(250);
    for (key, value) in [("k", ""), ("a\tb\0", "\r\n"), (&*long, "value\r\nget")] {
        let line = format!("set {key} 4294967295 2147483647 {}\r\n{value}\r\n", value.len());
        let input = format!("{line}set next 0 0 1");
        let (store, used) = text::plain_set(input.as_bytes()).unwrap();
        assert_eq!((store.key, store.value), (key.as_bytes(), value.as_bytes()));
        assert_eq!((store.flags, store.exptime, used), (u32::MAX, i32::MAX.into(), line.len()));
    }
    let too_long = format!("set {long}k 0 0 1\r\nv\r\n");
    for other in [
        &*too_long,
        "set k 0 0 1\r\nv\r",
        "set k 0 0 1\r\nvv\r\n",
        "set k 0 0 2\r\nv\r\n",
        "set k 0 0 1\nv\r\n",
        "set k 0 0 1\r\nv\n",
        "set  k 0 0 1\r\nv\r\n",
        "set  0 0 1\r\nv\r\n",
        "set k  0 0 1\r\nv\r\n",
        "set k 0 0 1 \r\nv\r\n",
        "set k 0 0 1 noreply\r\nv\r\n",
        "set k\nl 0 0 1\r\nv\r\n",
        "set k -1 0 1\r\nv\r\n",
        "set k 0 -1 1\r\nv\r\n",
        "set k 4294967296 0 1\r\nv\r\n",
        "set k 0 2147483648 1\r\nv\r\n",
        "set k 0 0 2147483646\r\nv\r\n",
        "set k 0 0 18446744073709551615\r\nv\r\n",
        "set k 0 0 \r\nv\r\n",
        "add k 0 0 1\r\nv\r\n",
        "",
    ] {
        assert_eq!(text::plain_set(other.as_bytes()), None, "{other:?}");
    }
}

#[test]
fn the_likely_key_is_the_second_word() {
    for (input, key) in [
        ("get k\r\n", Some("k")),
        ("set key 0 0 1\r\n", Some("key")),
        ("mg key v\r\n", Some("key")),
        ("prepend key 0 0 1\r\n", Some("key")),
        ("get k", None),
        ("flush_all 10\r\n", None),
        ("version\r\n", None),
        ("", None),
    ] {
        assert_eq!(text::likely_key(input.as_bytes()), key.map(str::as_bytes), "{input:?}");
    }
    let long = "k".repeat(251);
    assert_eq!(text::likely_key(format!("get {long}\r\n").as_bytes()), None);
}
