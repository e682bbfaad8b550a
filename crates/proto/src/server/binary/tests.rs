//! Tables of requests and replies, and what holds for any bytes.

use proptest::prelude::*;

use super::*;

/// A request's bytes from its parts, with lengths that fit them.
fn frame(opcode: u8, extras: &[u8], key: &[u8], value: &[u8]) -> Vec<u8> {
    let body = extras.len() + key.len() + value.len();
    let mut bytes = lengths(opcode, key.len(), extras.len(), body);
    bytes.extend_from_slice(&[extras, key, value].concat());
    bytes
}

/// A header that says these lengths.
fn lengths(opcode: u8, key: usize, extras: usize, body: usize) -> Vec<u8> {
    let mut bytes = vec![0x80, opcode];
    bytes.extend_from_slice(&u16::try_from(key).unwrap().to_be_bytes());
    // The last three: a type of data and a virtual bucket, which mean nothing.
    bytes.extend_from_slice(&[u8::try_from(extras).unwrap(), 1, 2, 3]);
    bytes.extend_from_slice(&u32::try_from(body).unwrap().to_be_bytes());
    bytes.extend_from_slice(&[0xde, 0xad, 0xbe, 0xef]);
    bytes.extend_from_slice(&7_u64.to_be_bytes());
    bytes
}

fn command(input: &[u8]) -> Command<'_> {
    match parse(input) {
        Parsed::Ready { request: Request::Binary(command), used } if used == input.len() => command,
        other => panic!("{other:?}"),
    }
}

/// What is answered to a request that is none: the reply's status, the bytes skipped, whether closed.
fn refused(input: &[u8]) -> (Status, usize, u64, bool) {
    match parse(input) {
        Parsed::Bad(Bad { reply: Reply::Binary(refusal), used, swallow, close }) => {
            assert_eq!(refusal.head, Head { opcode: input[1], opaque: 0xdead_beef });
            (refusal.status, used, swallow, close.is_some())
        }
        other => panic!("{other:?}"),
    }
}

const CLOSED: (Status, usize, u64, bool) = (Status::Invalid, 24, 0, true);

/// Opcode, extras, key and value; whether it is quiet, and what is asked for.
type Row<'r> = (u8, &'r [u8], &'r [u8], &'r [u8], bool, Action<'r>);

#[test]
fn the_likely_key_is_where_a_key_is() {
    let set = [&[0x80, 1, 0, 3, 8, 0, 0, 0, 0, 0, 0, 12][..], &[0; 20], b"keyv"].concat();
    assert_eq!(likely_key(&set), Some(&b"key"[..]));
    assert_eq!(likely_key(&set[..35]), Some(&b"key"[..]), "the value need not be there");
    for part in [0, 23, 24, 34] {
        assert_eq!(likely_key(&set[..part]), None, "{part}");
    }
    for len in [0_u16, 250, 251, u16::MAX] {
        let get = [&[0x80, 0][..], &len.to_be_bytes(), &[0; 20], &[b'k'; 300]].concat();
        assert_eq!(likely_key(&get).map(<[u8]>::len), (len == 250).then_some(250));
    }
}

#[test]
fn every_opcode_is_read_into_its_parts() {
    let extras20 = [&1_u64.to_be_bytes()[..], &2_u64.to_be_bytes(), &3_u32.to_be_bytes()].concat();
    let no_create = [&extras20[..16], &[0xff; 4]].concat();
    let extras8 = [0, 0, 0xab, 0xcd, 0, 0, 0, 9];
    let key: &[u8] = b"k";
    let get = |with_key, exptime| Action::Get { key, with_key, exptime };
    let store = |mode, flags, exptime| Action::Store { mode, key, flags, exptime, value: b"v" };
    let cas = StoreMode::Cas(7);
    let arith = |direction, initial| Action::Arith { key, direction, delta: 1, initial };
    let (up, down) = (Direction::Incr, Direction::Decr);
    let table: &[Row<'_>] = &[
        (0x00, &[], key, &[], false, get(false, None)),
        (0x09, &[], key, &[], true, get(false, None)),
        (0x0c, &[], key, &[], false, get(true, None)),
        (0x0d, &[], key, &[], true, get(true, None)),
        (0x1d, &[0, 0, 0, 5], key, &[], false, get(false, Some(5))),
        (0x1e, &[0, 0, 0, 5], key, &[], true, get(false, Some(5))),
        (0x23, &[0, 0, 0, 5], key, &[], false, get(true, Some(5))),
        (0x24, &[0, 0, 0, 5], key, &[], true, get(true, Some(5))),
        (0x1c, &[0, 0, 0, 5], key, &[], false, Action::Touch { key, exptime: 5 }),
        (0x01, &extras8, key, b"v", false, store(cas, 0xabcd, 9)),
        (0x11, &extras8, key, b"v", true, store(cas, 0xabcd, 9)),
        (0x02, &extras8, key, b"v", false, store(cas, 0xabcd, 9)),
        (0x12, &extras8, key, b"v", true, store(cas, 0xabcd, 9)),
        (0x03, &extras8, key, b"v", false, store(cas, 0xabcd, 9)),
        (0x13, &extras8, key, b"v", true, store(cas, 0xabcd, 9)),
        (0x0e, &[], key, b"v", false, store(StoreMode::Append, 0, 0)),
        (0x19, &[], key, b"v", true, store(StoreMode::Append, 0, 0)),
        (0x0f, &[], key, b"v", false, store(StoreMode::Prepend, 0, 0)),
        (0x1a, &[], key, b"v", true, store(StoreMode::Prepend, 0, 0)),
        (0x04, &[], key, &[], false, Action::Delete { key }),
        (0x14, &[], key, &[], true, Action::Delete { key }),
        (0x05, &extras20, key, &[], false, arith(up, Some((2, 3)))),
        (0x15, &no_create, key, &[], true, arith(up, None)),
        (0x06, &extras20, key, &[], false, arith(down, Some((2, 3)))),
        (0x16, &no_create, key, &[], true, arith(down, None)),
        (0x07, &[], &[], &[], false, Action::Quit),
        (0x17, &[], &[], &[], true, Action::Quit),
        (0x08, &[], &[], &[], false, Action::Flush { exptime: 0 }),
        (0x18, &[0, 0, 0, 5], &[], &[], true, Action::Flush { exptime: 5 }),
        (0x0a, &[], &[], &[], false, Action::Noop),
        (0x0b, &[], &[], &[], false, Action::Version),
        (0x10, &[], &[], &[], false, Action::Stat { name: &[] }),
        (0x10, &[], b"detail on", &[], false, Action::Stat { name: b"detail on" }),
        (0x1b, &[0, 0, 0, 2], &[], &[], false, Action::Verbosity { level: 2 }),
        (0x20, &[], &[], &[], false, Action::SaslList),
        (
            0x21,
            &[],
            b"PLAIN",
            b"\0u\0p",
            false,
            Action::SaslAuth { mechanism: b"PLAIN", data: b"\0u\0p" },
        ),
        (0x22, &[], b"PLAIN", &[], false, Action::SaslStep { mechanism: b"PLAIN", data: &[] }),
    ];
    for (opcode, extras, key, value, quiet, action) in table {
        let bytes = frame(*opcode, extras, key, value);
        let head = Head { opcode: *opcode, opaque: 0xdead_beef };
        let expected = Command { head, quiet: *quiet, cas: 7, action: *action };
        assert_eq!(command(&bytes), expected, "opcode {opcode:#x}");
    }
    let known: std::collections::HashSet<u8> = table.iter().map(|row| row.0).collect();
    assert!((0..=255).all(|opcode| Form::of(opcode).is_some() == known.contains(&opcode)));
}

#[test]
fn a_store_without_a_cas_number_keeps_its_mode() {
    for (opcode, expected) in
        [(0x01, StoreMode::Set), (0x02, StoreMode::Add), (0x03, StoreMode::Replace)]
    {
        let mut bytes = frame(opcode, &[0; 8], b"k", b"v");
        bytes[16..24].fill(0);
        let Action::Store { mode, .. } = command(&bytes).action else { panic!("no store") };
        assert_eq!(mode, expected);
    }
}

#[test]
fn a_body_that_cannot_hold_its_parts_closes_as_unknown() {
    let unknown = (Status::UnknownCommand, 24, 0, true);
    for (key, extras, body) in [(10, 0, 5), (3, 8, 10), (1, 0, 0), (65_535, 255, 65_535)] {
        for opcode in [0x00, 0x01, 0x50, 0xff] {
            assert_eq!(refused(&lengths(opcode, key, extras, body)), unknown);
        }
    }
}

#[test]
fn lengths_that_do_not_fit_the_opcode_close_as_invalid() {
    let wrong: &[(u8, usize, usize, usize)] = &[
        (0x00, 0, 0, 0),     // get without a key
        (0x00, 251, 0, 251), // with a longer one than any item has
        (0x50, 251, 0, 251), // whatever the opcode
        (0x00, 1, 4, 5),     // with extras
        (0x00, 1, 0, 2),     // with a value
        (0x01, 1, 0, 2),     // set without extras
        (0x01, 0, 8, 8),     // without a key
        (0x04, 1, 0, 2),     // delete with a value
        (0x05, 1, 12, 13),   // increment with too few extras
        (0x08, 0, 3, 3),     // flush with some
        (0x08, 1, 0, 1),     // with a key
        (0x07, 0, 0, 1),     // quit, noop, version, list with a body
        (0x0a, 0, 0, 4),
        (0x0b, 1, 0, 1),
        (0x20, 0, 0, 1),
        (0x0e, 1, 8, 10), // append with extras
        (0x10, 1, 0, 2),  // stat with a value
        (0x1b, 0, 0, 0),  // verbosity without its level
        (0x1c, 1, 4, 6),  // touch and gat with a value: memcached loses its place here
        (0x1d, 1, 4, 6),
        (0x21, 0, 0, 4), // a SASL message without a mechanism
        (0x01, 1, 8, (1 << 30) + 1),
        (0x50, 0, 0, u32::MAX as usize),
    ];
    for (opcode, key, extras, body) in wrong {
        let seen = refused(&lengths(*opcode, *key, *extras, *body));
        assert_eq!(seen, CLOSED, "opcode {opcode:#x}, {key}, {extras}, {body}");
    }
}

#[test]
fn an_unknown_opcode_is_skipped_with_its_whole_body_and_no_more() {
    for opcode in [0x1f, 0x25, 0x30, 0x50, 0xff] {
        let seen = refused(&lengths(opcode, 3, 4, 107));
        assert_eq!(seen, (Status::UnknownCommand, 24, 107, false));
    }
}

#[test]
fn credentials_have_a_limit_and_their_mechanism_too() {
    let skipped = |body| (Status::Invalid, 24, body, false);
    assert_eq!(refused(&lengths(0x21, 33, 0, 40)), skipped(40));
    assert_eq!(refused(&lengths(0x21, 5, 0, 5 + 16_385)), skipped(5 + 16_385));
    assert!(matches!(
        parse(&lengths(0x21, 32, 0, 32 + 16_384)),
        Parsed::NeedMore { missing: 16_416 }
    ));
}

#[test]
fn a_value_may_come_later_and_anything_else_is_waited_for() {
    let bytes = frame(0x01, &[0; 8], b"key", b"value");
    for len in 0..bytes.len() {
        match parse(&bytes[..len]) {
            Parsed::NeedMore { missing } if len < 24 => assert_eq!(missing, 24 - len),
            Parsed::NeedMore { missing } if len < 35 => assert_eq!(missing, 35 - len),
            Parsed::Partial {
                request: Request::Binary(command),
                head: 35,
                value_len: 5,
                tail: 0,
            } if len >= 35 => {
                let Action::Store { key, value, .. } = command.action else { panic!("no store") };
                assert_eq!((key, value), (&b"key"[..], &b""[..]));
            }
            other => panic!("{len}: {other:?}"),
        }
    }
    // A head alone is partial again, however long the value is to be.
    let head = lengths(0x01, 3, 8, 1 << 30);
    let parsed = parse(&head);
    assert!(matches!(parsed, Parsed::NeedMore { missing: 11 }), "{parsed:?}");
}

#[test]
fn an_empty_value_is_whole_with_its_head() {
    let bytes = frame(0x01, &[0; 8], b"key", b"");
    let Action::Store { value, .. } = command(&bytes).action else { panic!("no store") };
    assert!(value.is_empty());
}

#[test]
fn another_first_byte_closes_without_a_word() {
    for input in [&b"\x81"[..], b"get a\r\n", &[0; 24]] {
        let parsed = parse(input);
        assert!(
            matches!(
                parsed,
                Parsed::Bad(Bad { reply: Reply::Nothing, used: 0, swallow: 0, close: Some(_) })
            ),
            "{parsed:?}"
        );
    }
    assert!(matches!(parse(b""), Parsed::NeedMore { missing: 24 }));
}

#[test]
fn times_close_to_the_end_of_the_field_are_negative_and_no_others() {
    assert_eq!(exptime(0xffff_ffff), -1);
    assert_eq!(exptime(0xffff_fffe), -2);
    assert_eq!(exptime(u32::MAX - 2_592_000 + 1), -2_592_000);
    assert_eq!(exptime(u32::MAX - 2_592_000), i64::from(u32::MAX) - 2_592_000);
    // 2038 and after.
    assert_eq!(exptime(0x8000_0000), 0x8000_0000);
    assert_eq!(exptime(0), 0);
}

#[test]
fn replies_are_laid_out_as_the_protocol_says() {
    let head = Head { opcode: 0x0c, opaque: 0x0102_0304 };
    let of = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        out
    };
    let header = |key: u8, extras: u8, status: u8, body: u8, cas: u8| {
        [
            0x81, 0x0c, 0, key, extras, 0, 0, status, 0, 0, 0, body, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0,
            0, cas,
        ]
    };
    assert_eq!(of(&|out| head.done(out, 9)), header(0, 0, 0, 0, 9));
    assert_eq!(
        of(&|out| head.item(out, 0xabcd, b"k", 5, 9)),
        [&header(1, 4, 0, 10, 9)[..], &[0, 0, 0xab, 0xcd, b'k']].concat()
    );
    assert_eq!(
        of(&|out| head.miss_with_key(out, b"nope")),
        [&header(4, 0, 1, 4, 0)[..], b"nope"].concat()
    );
    assert_eq!(
        of(&|out| head.number(out, 10, 9)),
        [&header(0, 0, 0, 8, 9)[..], &[0, 0, 0, 0, 0, 0, 0, 10]].concat()
    );
    assert_eq!(
        of(&|out| head.stat(out, b"pid", b"1")),
        [&header(3, 0, 0, 4, 0)[..], b"pid1"].concat()
    );
    assert_eq!(
        of(&|out| head.refuse(out, Status::AuthFailed)),
        [&header(0, 0, 0x20, 13, 0)[..], b"Auth failure."].concat()
    );
}

/// Some requests, one after the other: well-formed ones, and headers with any lengths.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let bytes = |most| prop::collection::vec(any::<u8>(), 0..=most);
    let sane = (any::<u8>(), bytes(20), bytes(20), bytes(60))
        .prop_map(|(opcode, extras, key, value)| frame(opcode % 0x28, &extras, &key, &value));
    let fitting =
        (any::<prop::sample::Index>(), bytes(10), bytes(60)).prop_map(|(at, key, value)| {
            let (opcode, extras) = [(0x01, 8), (0x0e, 0), (0x21, 0), (0x50, 7)][at.index(4)];
            frame(opcode, &vec![0; extras], &[b"k", &key[..]].concat(), &value)
        });
    prop_oneof![sane, fitting, bytes(100)]
}

proptest! {
    #[test]
    fn what_is_accepted_is_within_the_limits(input in requests()) {
        match parse(&input) {
            Parsed::Ready { request: Request::Binary(command), used } => {
                prop_assert!(used <= input.len());
                prop_assert!(command.single_key().is_none_or(|key| (1..=250).contains(&key.len())));
            }
            Parsed::Partial { request: Request::Binary(command), head, value_len, tail } => {
                prop_assert!(head <= input.len() && head + value_len > input.len() && tail == 0);
                prop_assert!(command.single_key().is_some_and(|key| (1..=250).contains(&key.len())));
            }
            Parsed::NeedMore { missing } => prop_assert!(missing > 0 && missing <= 24 + 275 + 16_416),
            Parsed::Bad(Bad { used, .. }) => prop_assert!(used <= input.len()),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn however_it_is_split_it_is_the_same(input in requests()) {
        let whole = parse(&input);
        for len in 0..input.len() {
            match (parse(&input[..len]), &whole) {
                (Parsed::NeedMore { missing }, Parsed::Ready { used, .. }) => {
                    prop_assert!(len + missing <= *used);
                }
                (Parsed::NeedMore { missing }, Parsed::Partial { head, .. }) => {
                    prop_assert!(len + missing <= *head);
                }
                (Parsed::NeedMore { missing }, Parsed::NeedMore { missing: later }) => {
                    prop_assert!(len + missing <= input.len() + later);
                }
                (Parsed::NeedMore { .. }, Parsed::Bad(_)) => prop_assert!(len < 24),
                (Parsed::Partial { head, value_len, .. }, Parsed::Ready { used, .. }) => {
                    prop_assert_eq!(head + value_len, *used);
                }
                (part, whole) => prop_assert_eq!(format!("{part:?}"), format!("{whole:?}")),
            }
        }
    }
}
