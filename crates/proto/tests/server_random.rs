//! Clients that send anything, cut anywhere: no panic, and the same requests however it comes.

mod server_support;

use larder_proto::StoreMode;
use larder_proto::server::text::{Command, Scan, Store, parse, put_value_head};
use larder_proto::server::{Parsed, Request};
use proptest::prelude::*;
use server_support::{Hearer, LIMITS, at_once};

/// Pieces of lines that lead deep into the parser.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "get",
        "gets",
        "gat",
        "gats",
        "set",
        "add",
        "cas",
        "append",
        "delete",
        "incr",
        "touch",
        "mg",
        "ms",
        "md",
        "ma",
        "me",
        "mn",
        "stats",
        "flush_all",
        "noreply",
        "version",
        "HTTP/1.1",
        "a",
        "Zm9v",
        "b",
        "v",
        "0",
        "1",
        "3",
        "-1",
        "2147483645",
        "2147483646",
        "4294967296",
        "18446744073709551615",
        "18446744073709551616",
        "T30",
        "N",
        "C1",
        "MS",
        "Oxyz",
        "q",
        "F1",
    ]);
    prop_oneof![
        4 => word.prop_map(|word| word.as_bytes().to_vec()),
        4 => Just(b" ".to_vec()),
        2 => Just(b"\r\n".to_vec()),
        1 => Just(b"\n".to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..8),
        1 => (240_usize..260).prop_map(|len| vec![b'k'; len]),
        1 => (0_usize..3000).prop_map(|len| vec![b'z'; len]),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(piece(), 0..60).prop_map(|pieces| pieces.concat())
}

fn word() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("in a word", |byte| !b" \n\r".contains(byte));
    prop::collection::vec(byte, 1..=250)
}

proptest! {
    #[test]
    fn cut_anywhere_is_the_same(stream in stream(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        at.sort_unstable();
        let mut hearer = Hearer::default();
        let mut from = 0;
        for to in at.into_iter().chain([stream.len()]) {
            hearer.hear(&stream[from..to]);
            from = to;
        }
        prop_assert_eq!(hearer.heard, at_once(&stream));
    }

    #[test]
    fn anything_is_answered(stream in prop::collection::vec(any::<u8>(), 0..3000)) {
        at_once(&stream);
    }

    #[test]
    fn a_store_is_what_was_sent(
        key in word(),
        flags: u32,
        exptime: i64,
        cas: u64,
        value in prop::collection::vec(any::<u8>(), 0..3000),
        noreply: bool,
    ) {
        let mut line = [b"cas ", &key[..]].concat();
        line.extend_from_slice(format!(" {flags} {exptime} {} {cas}", value.len()).as_bytes());
        line.extend_from_slice(if noreply { b" noreply\r\n" } else { b"\r\n" });
        line.extend_from_slice(&value);
        line.extend_from_slice(b"\r\nrest");
        let mode = StoreMode::Cas(cas);
        let sent = Store { mode, key: &key, flags, exptime, noreply, value: &value };
        let request = Request::Text(Command::Store(sent));
        let used = line.len() - 4;
        prop_assert_eq!(parse(&line, &mut Scan::default(), &LIMITS), Parsed::Ready { request, used });
    }

    /// The quick way to read a plain `set` reads the same as the other, which a space more leads to.
    #[test]
    fn a_plain_set_is_read_as_any_other(
        key in word(),
        numbers in prop::collection::vec(prop_oneof![Just("0".to_owned()), "[0-9]{1,12}", "-?[0-9]{1,3}", "[0-9a]{2}"], 2..4),
        value in prop::collection::vec(any::<u8>(), 0..50),
        cut in 0_usize..60,
        more in prop::sample::select(vec!["", " noreply", " x", " "]),
    ) {
        let line = |space: &str| {
            let head = format!(" {} {}{more}\r\n", numbers.join(" "), value.len());
            let line = [b"set ", space.as_bytes(), &key[..], head.as_bytes(), &value, b"\r\n"].concat();
            line[..line.len().saturating_sub(cut)].to_vec()
        };
        prop_assert_eq!(at_once(&line("")), at_once(&line(" ")));
    }

    #[test]
    fn keys_are_what_was_sent(keys in prop::collection::vec(word(), 1..20)) {
        let line = [b"get ", &keys.join(&b' ')[..], b"\r\n"].concat();
        match parse(&line, &mut Scan::default(), &LIMITS) {
            Parsed::Ready { request: Request::Text(Command::Get { keys: heard, .. }), used } => {
                prop_assert_eq!(used, line.len());
                prop_assert!(heard.eq(keys.iter().map(|key| &key[..])));
                prop_assert_eq!(heard.single().is_some(), keys.len() == 1);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn a_value_head_is_read_back(key in word(), flags: u32, len: usize, cas: Option<u64>) {
        let mut out = Vec::new();
        put_value_head(&mut out, &key, flags, len, cas);
        let words: Vec<_> = out.strip_suffix(b"\r\n").unwrap().split(|&byte| byte == b' ').collect();
        let numbers: Vec<u64> =
            words[2..].iter().map(|word| str::from_utf8(word).unwrap().parse().unwrap()).collect();
        prop_assert_eq!((words[0], words[1]), (&b"VALUE"[..], &key[..]));
        let mut expected = vec![u64::from(flags), len as u64];
        expected.extend(cas);
        prop_assert_eq!(numbers, expected);
    }
}
