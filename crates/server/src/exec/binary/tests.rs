//! Every command of the binary protocol, with the replies of memcached's.

use larder_store::Clock;
use larder_tenancy::{Directory, SharedDirectory};
use std::time::Duration;

use super::frames::{Answer, answers, ask, item, request, request_cas, sum};
use crate::settings::{ProtocolPin, Settings};
use crate::testing::{Bench, Wire};

const NOW: u64 = 1_800_000_000;

/// An open server whose clock stands still, and a connection.
struct Server {
    bench: Bench,
    wire: Wire,
    clock: Clock,
}

impl Server {
    fn new() -> Server {
        Server::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut Settings)) -> Server {
        let clock = Clock::manual(NOW * 1000);
        let mut settings = Settings { clock: clock.clone(), ..Settings::new(64 << 20) };
        change(&mut settings);
        let mut bench = Bench::new(settings, SharedDirectory::new(Directory::open())).unwrap();
        let wire = bench.wire(ProtocolPin::Negotiated);
        Server { bench, wire, clock }
    }

    fn all(&mut self, requests: &[u8]) -> Vec<Answer> {
        ask(&mut self.bench, &mut self.wire, requests)
    }

    /// The one reply to one request.
    fn one(&mut self, request: &[u8]) -> Answer {
        let mut all = self.all(request);
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> u64 {
        let stored = self.one(&request(0x01, &item(0, 0), key, value));
        assert_eq!(stored.status, 0);
        stored.cas
    }

    fn get(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        let got = self.one(&request(0x00, &[], key, &[]));
        (got.status == 0).then_some(got.value)
    }

    fn closed_by(mut self, request: &[u8]) -> Vec<Answer> {
        let all = self.all(request);
        assert!(self.wire.is_closed());
        all
    }
}

fn refusal(opcode: u8, status: u16, text: &str) -> Answer {
    let value = text.as_bytes().to_vec();
    Answer { opcode, status, extras: vec![], key: vec![], value, cas: 0 }
}

fn noop() -> Vec<u8> {
    request(0x0a, &[], &[], &[])
}

#[test]
fn gets_answer_in_their_four_forms() {
    let mut server = Server::new();
    let stored = server.one(&request(0x01, &item(0xabcd, 0), b"k", b"hello"));
    assert_eq!((stored.status, stored.value.len(), stored.extras.len()), (0, 0, 0));
    for (opcode, key) in [(0x00, &b""[..]), (0x09, b""), (0x0c, b"k"), (0x0d, b"k")] {
        let got = server.one(&request(opcode, &[], b"k", &[]));
        let expected = Answer {
            opcode,
            status: 0,
            extras: vec![0, 0, 0xab, 0xcd],
            key: key.to_vec(),
            value: b"hello".to_vec(),
            cas: stored.cas,
        };
        assert_eq!(got, expected);
        assert_ne!(got.cas, 0);
    }
}

#[test]
fn misses_are_words_or_the_key_and_silent_if_quiet() {
    let mut server = Server::new();
    assert_eq!(server.one(&request(0x00, &[], b"nope", &[])), refusal(0x00, 1, "Not found"));
    let with_key = Answer { key: b"nope".to_vec(), ..refusal(0x0c, 1, "") };
    assert_eq!(server.one(&request(0x0c, &[], b"nope", &[])), with_key);
    let gat = [0, 0, 0, 5];
    assert_eq!(server.one(&request(0x1d, &gat, b"nope", &[])), refusal(0x1d, 1, "Not found"));
    let with_key = Answer { key: b"nope".to_vec(), ..refusal(0x23, 1, "") };
    assert_eq!(server.one(&request(0x23, &gat, b"nope", &[])), with_key);
    assert_eq!(server.one(&request(0x1c, &gat, b"nope", &[])), refusal(0x1c, 1, "Not found"));
    for (opcode, extras) in [(0x09, &[][..]), (0x0d, &[]), (0x1e, &gat), (0x24, &gat)] {
        let quiet = [request(opcode, extras, b"nope", &[]), noop()].concat();
        assert_eq!(server.one(&quiet), refusal(0x0a, 0, ""));
    }
}

#[test]
fn a_run_of_quiet_gets_answers_hits_in_order_and_then_the_noop() {
    let mut server = Server::new();
    for at in (0..200_u32).step_by(2) {
        server.set(format!("key{at}").as_bytes(), format!("value{at}").as_bytes());
    }
    let gets = |key: u32| request(0x0d, &[], format!("key{key}").as_bytes(), &[]);
    let run: Vec<u8> = (0..200).flat_map(gets).chain(noop()).collect();
    let all = server.all(&run);
    assert_eq!(all.len(), 101);
    for (answer, at) in all.iter().zip((0..200).step_by(2)) {
        assert_eq!(answer.key, format!("key{at}").as_bytes());
        assert_eq!(answer.value, format!("value{at}").as_bytes());
    }
    assert_eq!(all[100].opcode, 0x0a);
}

#[test]
fn stores_say_why_they_do_not() {
    let mut server = Server::new();
    let exists = "Data exists for key.";
    let cas = server.set(b"k", b"v");
    let add = |opcode| request(opcode, &item(0, 0), b"k", b"x");
    assert_eq!(server.one(&add(0x02)), refusal(0x02, 2, exists));
    assert_eq!(server.one(&add(0x12)), refusal(0x12, 2, exists));
    let replace = request(0x03, &item(0, 0), b"none", b"x");
    assert_eq!(server.one(&replace), refusal(0x03, 1, "Not found"));
    let append = request(0x0e, &[], b"none", b"x");
    assert_eq!(server.one(&append), refusal(0x0e, 5, "Not stored."));
    let prepend = request(0x0f, &[], b"none", b"x");
    assert_eq!(server.one(&prepend), refusal(0x0f, 5, "Not stored."));
    // With a CAS number set, add and replace are all the same.
    for opcode in [0x01, 0x02, 0x03] {
        let other = request_cas(opcode, &item(0, 0), b"k", b"x", cas + 1);
        assert_eq!(server.one(&other), refusal(opcode, 2, exists));
        let none = request_cas(opcode, &item(0, 0), b"none", b"x", 1);
        assert_eq!(server.one(&none), refusal(opcode, 1, "Not found"));
    }
    let other = request_cas(0x0e, &[], b"k", b"x", cas + 1);
    assert_eq!(server.one(&other), refusal(0x0e, 2, exists));
    assert_eq!(server.get(b"k").unwrap(), b"v");
    let same = server.one(&request_cas(0x01, &item(0, 0), b"k", b"w", cas));
    assert!(same.status == 0 && same.cas > cas);
}

#[test]
fn appended_values_are_joined_and_keep_their_flags() {
    let mut server = Server::new();
    server.one(&request(0x01, &item(7, 0), b"k", b"y"));
    assert_ne!(server.one(&request(0x0e, &[], b"k", b"zz")).cas, 0);
    assert_eq!(server.one(&request(0x0f, &[], b"k", b"x")).status, 0);
    let got = server.one(&request(0x00, &[], b"k", &[]));
    assert_eq!((&got.value[..], &got.extras[..]), (&b"xyzz"[..], &[0, 0, 0, 7][..]));
}

#[test]
fn quiet_changes_are_silent_and_done() {
    let mut server = Server::new();
    server.set(b"n", b"5");
    let run = [
        request(0x11, &item(0, 0), b"set", b"a"),
        request(0x12, &item(0, 0), b"add", b"a"),
        request(0x13, &item(0, 0), b"set", b"b"),
        request(0x19, &[], b"set", b"c"),
        request(0x1a, &[], b"set", b"a"),
        request(0x15, &sum(2, 0, u32::MAX), b"n", &[]),
        request(0x16, &sum(1, 0, u32::MAX), b"n", &[]),
        request(0x14, &[], b"add", &[]),
        noop(),
    ];
    assert_eq!(server.one(&run.concat()), refusal(0x0a, 0, ""));
    assert_eq!(server.get(b"set").unwrap(), b"abc");
    assert_eq!(server.get(b"n").unwrap(), b"6");
    assert_eq!(server.get(b"add"), None);
    // What went wrong is said.
    let all = server.all(&[request(0x14, &[], b"none", &[]), noop()].concat());
    assert_eq!(all, [refusal(0x14, 1, "Not found"), refusal(0x0a, 0, "")]);
    assert_eq!(server.one(&[request(0x18, &[], &[], &[]), noop()].concat()).opcode, 0x0a);
    assert_eq!(server.get(b"set"), None);
}

#[test]
fn deletes_compare() {
    let mut server = Server::new();
    let cas = server.set(b"k", b"v");
    let delete = |cas| request_cas(0x04, &[], b"k", &[], cas);
    assert_eq!(server.one(&delete(cas + 1)), refusal(0x04, 2, "Data exists for key."));
    assert_eq!(server.one(&delete(cas)), refusal(0x04, 0, ""));
    assert_eq!(server.one(&delete(0)), refusal(0x04, 1, "Not found"));
}

#[test]
fn numbers_go_up_and_down_and_begin_where_they_are_told_to() {
    let mut server = Server::new();
    let up = |delta, initial, exptime| request(0x05, &sum(delta, initial, exptime), b"n", &[]);
    let number = |answer: Answer| {
        assert_eq!((answer.status, answer.extras.len(), answer.key.len()), (0, 0, 0));
        assert_ne!(answer.cas, 0);
        u64::from_be_bytes(answer.value.try_into().unwrap())
    };
    assert_eq!(server.one(&up(5, 10, u32::MAX)), refusal(0x05, 1, "Not found"));
    assert_eq!(number(server.one(&up(5, 10, 0))), 10);
    assert_eq!(number(server.one(&up(5, 10, 0))), 15);
    assert_eq!(server.get(b"n").unwrap(), b"15");
    assert_eq!(number(server.one(&request(0x06, &sum(100, 0, 0), b"n", &[]))), 0);
    server.set(b"n", u64::MAX.to_string().as_bytes());
    assert_eq!(number(server.one(&up(2, 0, 0))), 1);
    let cas = server.set(b"n", b"x");
    let words = "Non-numeric server-side value for incr or decr";
    assert_eq!(server.one(&up(1, 0, 0)), refusal(0x05, 6, words));
    let other = request_cas(0x05, &sum(1, 0, 0), b"n", &[], cas + 1);
    assert_eq!(server.one(&other), refusal(0x05, 2, "Data exists for key."));
}

#[test]
fn an_initial_number_expires_as_it_is_told_to() {
    let mut server = Server::new();
    server.one(&request(0x05, &sum(1, 7, 10), b"n", &[]));
    server.clock.advance(Duration::from_secs(9));
    assert_eq!(server.get(b"n").unwrap(), b"7");
    server.clock.advance(Duration::from_secs(2));
    assert_eq!(server.get(b"n"), None);
}

#[test]
fn negative_times_expire_at_once_and_late_ones_do_not() {
    for negative in [0xffff_ffff_u32, 0xffff_fffe, 0xffff_ff00] {
        let mut server = Server::new();
        assert_eq!(server.one(&request(0x01, &item(0, negative), b"k", b"v")).status, 0);
        assert_eq!(server.get(b"k"), None, "{negative:#x}");
        for opcode in [0x1c, 0x1d, 0x1e, 0x23, 0x24] {
            server.set(b"k", b"v");
            let touched = server.one(&request(opcode, &negative.to_be_bytes(), b"k", &[]));
            let value = if opcode == 0x1c { &b""[..] } else { b"v" };
            assert_eq!((touched.status, &touched.value[..]), (0, value), "{opcode:#x}");
            assert_eq!(server.get(b"k"), None, "{opcode:#x}");
        }
    }
    let mut server = Server::new();
    for (exptime, lives) in [(0x8000_0000, true), (2_592_001, false), (2_592_000, true), (0, true)]
    {
        assert_eq!(server.one(&request(0x01, &item(0, exptime), b"k", b"v")).status, 0);
        assert_eq!(server.get(b"k").is_some(), lives, "{exptime}");
    }
}

#[test]
fn touches_move_the_expiry_and_leave_the_cas_number() {
    let mut server = Server::new();
    let cas = server.set(b"k", b"v");
    let touched = server.one(&request(0x1c, &10_u32.to_be_bytes(), b"k", &[]));
    let expected = Answer { extras: vec![0; 4], cas, ..refusal(0x1c, 0, "") };
    assert_eq!(touched, expected);
    server.clock.advance(Duration::from_secs(8));
    for (opcode, key) in [(0x1d, &b""[..]), (0x1e, b""), (0x23, b"k"), (0x24, b"k")] {
        let got = server.one(&request(opcode, &10_u32.to_be_bytes(), b"k", &[]));
        let expected =
            Answer { extras: vec![0; 4], key: key.to_vec(), cas, ..refusal(opcode, 0, "v") };
        assert_eq!(got, expected);
    }
    server.clock.advance(Duration::from_secs(9));
    assert!(server.get(b"k").is_some());
    server.clock.advance(Duration::from_secs(2));
    assert_eq!(server.get(b"k"), None);
}

#[test]
fn flushes_take_effect_now_or_later() {
    let mut server = Server::new();
    server.set(b"k", b"v");
    assert_eq!(server.one(&request(0x08, &[], &[], &[])), refusal(0x08, 0, ""));
    assert_eq!(server.get(b"k"), None);
    server.set(b"k", b"v");
    assert_eq!(server.one(&request(0x08, &5_u32.to_be_bytes(), &[], &[])).status, 0);
    assert!(server.get(b"k").is_some());
    server.clock.advance(Duration::from_secs(6));
    assert_eq!(server.get(b"k"), None);
    let mut server = Server::with(|settings| settings.allow_flush = false);
    server.set(b"k", b"v");
    let refused = refusal(0x08, 0x20, "Auth failure.");
    assert_eq!(server.one(&request(0x08, &[], &[], &[])), refused);
    assert!(server.get(b"k").is_some());
}

#[test]
fn the_small_commands_answer() {
    let mut server = Server::new();
    assert_eq!(server.one(&noop()), refusal(0x0a, 0, ""));
    assert_eq!(server.one(&request(0x0b, &[], &[], &[])), refusal(0x0b, 0, "1.6.45"));
    assert_eq!(server.one(&request(0x1b, &[0, 0, 0, 1], &[], &[])), refusal(0x1b, 0, ""));
    let quit = [request(0x07, &[], &[], &[]), noop()].concat();
    assert_eq!(server.closed_by(&quit), [refusal(0x07, 0, "")]);
    assert_eq!(Server::new().closed_by(&request(0x17, &[], &[], &[])), []);
}

#[test]
fn what_is_malformed_is_answered_and_closes() {
    let invalid = |opcode| vec![refusal(opcode, 4, "Invalid arguments")];
    let long = [b'k'; 251];
    for (opcode, extras, key, value) in [
        (0x00, &[][..], &[][..], &[][..]),
        (0x00, &[], &long, &[]),
        (0x00, &[0; 4], b"k", &[]),
        (0x00, &[], b"k", b"v"),
        (0x01, &[], b"k", b"v"),
        (0x05, &[0; 12], b"k", &[]),
        (0x08, &[0; 3], &[], &[]),
        (0x0a, &[], &[], b"x"),
        (0x0b, &[], &[], b"x"),
    ] {
        let bytes = [request(opcode, extras, key, value), noop()].concat();
        assert_eq!(Server::new().closed_by(&bytes), invalid(opcode), "{opcode:#x}");
    }
    let mut short = request(0x00, &[], b"key", &[]);
    short[11] = 1;
    assert_eq!(Server::new().closed_by(&short), [refusal(0x00, 0x81, "Unknown command")]);
    assert_eq!(Server::new().closed_by(&[&noop()[..], b"get a\r\n"].concat()).len(), 1);
}

#[test]
fn unknown_opcodes_are_skipped_exactly() {
    let mut server = Server::new();
    for opcode in [0x1f, 0x25, 0x30, 0x50, 0xff] {
        let run = [request(opcode, &[1; 7], b"key", &[b'x'; 100_000]), noop()].concat();
        let expected = [refusal(opcode, 0x81, "Unknown command"), refusal(0x0a, 0, "")];
        assert_eq!(server.all(&run), expected);
    }
}

#[test]
fn what_is_too_large_is_skipped_and_a_set_removes_what_was_there() {
    let mut server = Server::with(|settings| settings.max_item_bytes = 200_000);
    let large = vec![b'x'; 200_001];
    for (opcode, kept) in [(0x01, false), (0x11, false), (0x02, true), (0x03, true), (0x0e, true)] {
        server.set(b"k", b"v");
        let extras = if opcode == 0x0e { vec![] } else { item(0, 0) };
        let all = server.all(&[request(opcode, &extras, b"k", &large), noop()].concat());
        assert_eq!(all, [refusal(opcode, 3, "Too large."), refusal(0x0a, 0, "")]);
        assert_eq!(server.get(b"k").is_some(), kept, "{opcode:#x}");
    }
    // Without anything to join it to, too.
    assert_eq!(server.one(&request(0x0e, &[], b"none", &large)).status, 3);
    // A joined value counts as a whole.
    server.set(b"k", &vec![b'x'; 150_000]);
    assert_eq!(server.one(&request(0x0e, &[], b"k", &vec![b'x'; 100_000])).status, 3);
    assert_eq!(server.get(b"k").unwrap().len(), 150_000);
}

#[test]
fn large_values_are_stored_in_every_mode_as_they_come() {
    let mut server = Server::new();
    let value: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8).collect();
    let cas = server.set(b"k", &value);
    assert_eq!(server.get(b"k").unwrap(), value);
    let add = request(0x02, &item(0, 0), b"k", &value);
    assert_eq!(server.one(&add), refusal(0x02, 2, "Data exists for key."));
    let replace = request(0x03, &item(0, 0), b"none", &value);
    assert_eq!(server.one(&replace), refusal(0x03, 1, "Not found"));
    let other = request_cas(0x01, &item(0, 0), b"k", &value, cas + 1);
    assert_eq!(server.one(&other), refusal(0x01, 2, "Data exists for key."));
    assert_eq!(server.one(&request(0x0e, &[], b"k", &value)).status, 0);
    let prepend = [request(0x1a, &[], b"k", b"<>"), noop()].concat();
    assert_eq!(server.one(&prepend).opcode, 0x0a);
    let whole = [b"<>", &value[..], &value[..]].concat();
    assert_eq!(server.get(b"k").unwrap(), whole);
    let gat = server.one(&request(0x23, &[0; 4], b"k", &[]));
    assert_eq!((&gat.key[..], &gat.value[..]), (&b"k"[..], &whole[..]));
}

#[test]
fn keys_may_hold_any_byte() {
    let mut server = Server::new();
    for key in [&b"a b\n"[..], b"\0", b"\r\nset x 0 0 1\r\n", &[0xff; 250]] {
        server.set(key, b"v");
        let got = server.one(&request(0x0c, &[], key, &[]));
        assert_eq!((got.key, got.value), (key.to_vec(), b"v".to_vec()));
    }
}

#[test]
fn without_cas_the_numbers_are_zero() {
    let mut server = Server::with(|settings| settings.cas = false);
    assert_eq!(server.set(b"k", b"1"), 0);
    assert_eq!(server.one(&request(0x00, &[], b"k", &[])).cas, 0);
    assert_eq!(server.one(&request(0x05, &sum(1, 0, 0), b"k", &[])).cas, 0);
    assert_eq!(server.one(&request(0x1d, &[0; 4], b"k", &[])).cas, 0);
}

/// However the bytes come, the replies are the same.
#[test]
fn a_conversation_may_be_split_anywhere() {
    let conversation = [
        request(0x01, &item(1, 0), b"k", b"value"),
        request(0x50, &[1, 2], b"key", b"swallowed"),
        request(0x0d, &[], b"k", &[]),
        request(0x0e, &[], b"k", b"!"),
        request(0x05, &sum(1, 5, 0), b"n", &[]),
        request(0x1d, &[0; 4], b"k", &[]),
        request(0x10, &[], b"sizes", &[]),
        request(0x21, &[], b"PLAIN", b"\0u\0p"),
        request(0x04, &[], b"k", &[]),
        noop(),
    ]
    .concat();
    let whole: Vec<Answer> = cas_away(Server::new().all(&conversation));
    assert_eq!(whole.len(), 11);
    for at in 0..=conversation.len() {
        let mut server = Server::new();
        let mut bytes = server.bench.send(&mut server.wire, &conversation[..at]);
        bytes.extend(server.bench.send(&mut server.wire, &conversation[at..]));
        assert_eq!(cas_away(answers(&bytes)), whole, "split at {at}");
    }
    let mut server = Server::new();
    let one_by_one = conversation
        .iter()
        .flat_map(|byte| server.bench.send(&mut server.wire, std::slice::from_ref(byte)));
    assert_eq!(cas_away(answers(&one_by_one.collect::<Vec<_>>())), whole);
}

/// CAS numbers are of a store, and each server here has its own.
fn cas_away(mut all: Vec<Answer>) -> Vec<Answer> {
    all.iter_mut().for_each(|answer| answer.cas = 0);
    all
}
