//! Replies as memcached sends them (transcripts of 1.6.18 and 1.6.45), whole and split at every
//! byte.

mod support;

use bytes::BytesMut;
use larder_proto::{
    Answer, Codec, Command, Progress, Protocol, RefusalKind, Reply, StoreMode, StoreOutcome,
};
use support::{LIMIT, binary, decr, delete, done, get, incr, item, parse, refused, store, touch};

/// A transcript means the same however the network cuts it.
fn check(protocol: Protocol, command: &Command, bytes: &[u8], expected: &Answer) {
    let context = format!("{protocol:?} {command:?} {}", bytes.escape_ascii());
    let whole = parse(protocol, command, bytes, &[]);
    assert_eq!(whole.as_ref().unwrap().as_ref(), Some(expected), "{context}");
    for cut in 0..bytes.len() {
        assert_eq!(parse(protocol, command, bytes, &[cut]), whole, "{context} cut at {cut}");
        assert_eq!(parse(protocol, command, &bytes[..cut], &[]), Ok(None), "{context} to {cut}");
    }
    let every: Vec<usize> = (0..bytes.len()).collect();
    assert_eq!(parse(protocol, command, bytes, &every), whole, "{context} byte by byte");
}

fn stored(cas: Option<u64>) -> Answer {
    done(Reply::Store(StoreOutcome::Stored { cas }))
}

fn outcome(outcome: StoreOutcome) -> Answer {
    done(Reply::Store(outcome))
}

#[test]
fn text() {
    use RefusalKind::{NonNumeric, Other, OutOfMemory, TooLarge, Unauthenticated, UnknownCommand};
    let set = store(StoreMode::Set, "a", "x");
    let cases = [
        (get("a"), "VALUE a 5 3 77\r\nxyz\r\nEND\r\n", item("xyz", 5, 77)),
        (get("a"), "VALUE a 4294967295 0 1\r\n\r\nEND\r\n", item("", u32::MAX, 1)),
        (get("a"), "VALUE a 0 7 1\r\nEND\r\n\r\n\r\nEND\r\n", item("END\r\n\r\n", 0, 1)),
        (get("a"), "END\r\n", done(Reply::Item(None))),
        (set.clone(), "STORED\r\n", stored(None)),
        (set.clone(), "NOT_STORED\r\n", outcome(StoreOutcome::NotStored)),
        (set.clone(), "EXISTS\r\n", outcome(StoreOutcome::Exists)),
        (set.clone(), "NOT_FOUND\r\n", outcome(StoreOutcome::NotFound)),
        (delete("a"), "DELETED\r\n", done(Reply::Deleted(true))),
        (delete("a"), "NOT_FOUND\r\n", done(Reply::Deleted(false))),
        (touch("a", 1), "TOUCHED\r\n", done(Reply::Touched(true))),
        (touch("a", 1), "NOT_FOUND\r\n", done(Reply::Touched(false))),
        (incr("a", 1), "18446744073709551615\r\n", done(Reply::Number(Some(u64::MAX)))),
        (decr("a", 1), "9 \r\n", done(Reply::Number(Some(9)))),
        (decr("a", 1), "NOT_FOUND\r\n", done(Reply::Number(None))),
        (Command::FlushAll, "OK\r\n", done(Reply::Flushed)),
        (Command::Version, "VERSION 1.6.18\r\n", done(Reply::Version("1.6.18".into()))),
        (
            set.clone(),
            "SERVER_ERROR object too large for cache\r\n",
            refused(TooLarge, "object too large for cache", true),
        ),
        (
            set.clone(),
            "SERVER_ERROR out of memory storing object\r\n",
            refused(OutOfMemory, "out of memory storing object", true),
        ),
        (set.clone(), "CLIENT_ERROR bad data chunk\r\n", refused(Other, "bad data chunk", false)),
        (set, "ERROR\r\n", refused(UnknownCommand, "ERROR", false)),
        (
            get("a"),
            "SERVER_ERROR out of memory writing get response\r\n",
            refused(Other, "out of memory writing get response", true),
        ),
        (
            get("a"),
            "CLIENT_ERROR unauthenticated\r\n",
            refused(Unauthenticated, "unauthenticated", true),
        ),
        (
            incr("a", 1),
            "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
            refused(NonNumeric, "cannot increment or decrement non-numeric value", true),
        ),
        (
            get("a"),
            "ERROR Too many open connections\r\n",
            refused(Other, "ERROR Too many open connections", true),
        ),
    ];
    for (command, bytes, expected) in cases {
        check(Protocol::Text, &command, bytes.as_bytes(), &expected);
    }
}

#[test]
fn meta() {
    use RefusalKind::{NonNumeric, Other, TooLarge};
    let set = store(StoreMode::Set, "a", "x");
    let cases = [
        (get("a"), "VA 3 f5 c77 ka O1\r\nxyz\r\n", item("xyz", 5, 77)),
        (get("a"), "VA 3 f5 c77 ka O1 W\r\nxyz\r\n", item("xyz", 5, 77)),
        (get("a"), "VA 0 f0 c1 ka O1\r\n\r\n", item("", 0, 1)),
        (get("a"), "VA 7 f0 c1 ka O1\r\nEN\r\nEN\n\r\n", item("EN\r\nEN\n", 0, 1)),
        // Whoever stored this item named it in base64.
        (get("a"), "VA 1 f0 c1 kYQ== O1 b\r\nx\r\n", item("x", 0, 1)),
        (get("a"), "EN ka O1\r\n", done(Reply::Item(None))),
        (get("a"), "EN\r\n", done(Reply::Item(None))),
        (set.clone(), "HD c71 O1\r\n", stored(Some(71))),
        (set.clone(), "HD O1\r\n", stored(None)),
        (set.clone(), "NS c0 O1\r\n", outcome(StoreOutcome::NotStored)),
        (set.clone(), "EX c0 O1\r\n", outcome(StoreOutcome::Exists)),
        (set.clone(), "NF c0 O1\r\n", outcome(StoreOutcome::NotFound)),
        (delete("a"), "HD O1\r\n", done(Reply::Deleted(true))),
        (delete("a"), "NF O1\r\n", done(Reply::Deleted(false))),
        (touch("a", 1), "HD O1\r\n", done(Reply::Touched(true))),
        (touch("a", 1), "EN O1\r\n", done(Reply::Touched(false))),
        (incr("a", 1), "VA 2 O1\r\n13\r\n", done(Reply::Number(Some(13)))),
        (incr("a", 1), "NF O1\r\n", done(Reply::Number(None))),
        (Command::FlushAll, "OK\r\n", done(Reply::Flushed)),
        (Command::Version, "VERSION 1.6.18\r\n", done(Reply::Version("1.6.18".into()))),
        (
            set.clone(),
            "SERVER_ERROR object too large for cache\r\n",
            refused(TooLarge, "object too large for cache", true),
        ),
        (set, "CLIENT_ERROR invalid flag\r\n", refused(Other, "invalid flag", false)),
        (get("a"), "CLIENT_ERROR invalid flag\r\n", refused(Other, "invalid flag", true)),
        (
            incr("a", 1),
            "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
            refused(NonNumeric, "cannot increment or decrement non-numeric value", true),
        ),
    ];
    for (command, bytes, expected) in cases {
        check(Protocol::Meta, &command, bytes.as_bytes(), &expected);
    }
}

#[test]
fn binary_replies() {
    use RefusalKind::{NonNumeric, Other, OutOfMemory, TooLarge, Unauthenticated, UnknownCommand};
    let set = store(StoreMode::Set, "a", "x");
    let cas = store(StoreMode::Cas(3), "a", "x");
    let number = 13_u64.to_be_bytes();
    let cases = [
        (get("a"), binary(0, 0, &[0, 0, 0, 5], b"xyz", 77), item("xyz", 5, 77)),
        (get("a"), binary(0, 0, &[0, 0, 0, 0], b"", 1), item("", 0, 1)),
        (get("a"), binary(0, 1, b"", b"Not found", 0), done(Reply::Item(None))),
        (set.clone(), binary(1, 0, b"", b"", 71), stored(Some(71))),
        (cas.clone(), binary(1, 1, b"", b"Not found", 0), outcome(StoreOutcome::NotFound)),
        (cas, binary(1, 2, b"", b"Data exists for key.", 0), outcome(StoreOutcome::Exists)),
        (
            store(StoreMode::Add, "a", "x"),
            binary(2, 2, b"", b"Data exists for key.", 0),
            outcome(StoreOutcome::NotStored),
        ),
        (
            store(StoreMode::Replace, "a", "x"),
            binary(3, 1, b"", b"Not found", 0),
            outcome(StoreOutcome::NotStored),
        ),
        (
            store(StoreMode::Append, "a", "x"),
            binary(0x0e, 5, b"", b"Not stored.", 0),
            outcome(StoreOutcome::NotStored),
        ),
        (store(StoreMode::Prepend, "a", "x"), binary(0x0f, 0, b"", b"", 8), stored(Some(8))),
        (delete("a"), binary(4, 0, b"", b"", 0), done(Reply::Deleted(true))),
        (delete("a"), binary(4, 1, b"", b"Not found", 0), done(Reply::Deleted(false))),
        (touch("a", 1), binary(0x1c, 0, &[0; 4], b"", 9), done(Reply::Touched(true))),
        (touch("a", 1), binary(0x1c, 1, b"", b"Not found", 0), done(Reply::Touched(false))),
        (incr("a", 1), binary(5, 0, b"", &number, 9), done(Reply::Number(Some(13)))),
        (decr("a", 1), binary(6, 1, b"", b"Not found", 0), done(Reply::Number(None))),
        (Command::FlushAll, binary(8, 0, b"", b"", 0), done(Reply::Flushed)),
        (
            Command::Version,
            binary(0x0b, 0, b"", b"1.6.18", 0),
            done(Reply::Version("1.6.18".into())),
        ),
        (set.clone(), binary(1, 3, b"", b"Too large.", 0), refused(TooLarge, "Too large.", true)),
        (set.clone(), binary(1, 0x82, b"", b"", 0), refused(OutOfMemory, "status 0x0082", true)),
        (set, binary(1, 4, b"", b"Invalid", 0), refused(Other, "Invalid", false)),
        (
            incr("a", 1),
            binary(5, 6, b"", b"Non-numeric", 0),
            refused(NonNumeric, "Non-numeric", true),
        ),
        (
            get("a"),
            binary(0, 0x20, b"", b"Auth failure.", 0),
            refused(Unauthenticated, "Auth failure.", false),
        ),
        (
            touch("a", 1),
            binary(0x1c, 0x81, b"", b"Unknown command", 0),
            refused(UnknownCommand, "Unknown command", true),
        ),
        (delete("a"), binary(4, 5, b"", b"Not stored.", 0), refused(Other, "Not stored.", true)),
    ];
    for (command, bytes, expected) in cases {
        check(Protocol::Binary, &command, &bytes, &expected);
    }
}

#[test]
fn what_follows_a_reply_stays_in_the_buffer() {
    let mut buf = BytesMut::from("VALUE a 0 1 1\r\nx\r\nEND\r\nEND\r\n");
    let mut codec = Codec::new(Protocol::Text, LIMIT);
    let first = codec.parse(&get("a"), 1, &mut buf).unwrap();
    assert_eq!(first, Progress::Ready(item("x", 0, 1)));
    assert_eq!(&buf[..], b"END\r\n");
    let second = codec.parse(&get("b"), 2, &mut buf).unwrap();
    assert_eq!(second, Progress::Ready(done(Reply::Item(None))));
}
