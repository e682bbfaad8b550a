//! Requests and replies, however they are cut into pieces: over sockets, and without.

mod support;

use std::net::{Shutdown, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};

use larder_server::testing::Bench;
use larder_server::{Listener, ProtocolPin, Settings};
use larder_store::Clock;
use larder_tenancy::{Directory, SharedDirectory};
use support::{Client, hit, set, settings, start, start_with, value};

fn bench() -> Bench {
    let settings = Settings { clock: Clock::manual(1_700_000_000_000), ..Settings::new(16 << 20) };
    Bench::new(settings, SharedDirectory::new(Directory::open())).unwrap()
}

/// Text and meta of every kind, good and bad.
fn script() -> Vec<u8> {
    let mut script = Vec::new();
    for part in [
        &b"set a 5 0 3\r\nabc\r\nget a\r\nget a b a\r\ngets nothing\r\n"[..],
        b"add a 0 0 1\r\nx\r\nappend a 0 0 2\r\nde\r\nget a\r\n",
        b"set n 0 0 2\r\n10\r\nincr n 5\r\ndecr n 100\r\ntouch a 100\r\ngat 100 a\r\n",
        b"nonsense\r\n\r\nget\r\nset x 0 0 -1\r\nset x 0 0 2\r\nabcd\r\nset y a b 5\r\nhello\r\n",
        b"ms m 3\r\nabc\r\nmg m v t f\r\nmn\r\nmd m q\r\nmg m v\r\nset q 0 0 2 noreply\r\nzz\r\nget q\r\n",
        b"delete a\r\ndelete a\r\nflush_all\r\nget n\r\nversion\r\n",
    ] {
        script.extend_from_slice(part);
    }
    script.extend_from_slice(&set("big", &value("big", 40_000)));
    script.extend_from_slice(b"get big\r\n");
    script
}

#[test]
fn requests_in_any_two_pieces_are_the_same() {
    let script = script();
    let mut whole = bench();
    let mut wire = whole.wire(ProtocolPin::Negotiated);
    let expected = whole.send(&mut wire, &script);
    assert!(!wire.is_closed());
    assert_eq!(wire.unused(), 0);
    assert!(expected.len() > 40_000);
    // The large value is cut at its ends and somewhere in the middle.
    let value_at = script.len() - 40_000;
    let cuts = (0..value_at + 10).chain([value_at + 20_000]).chain(script.len() - 20..script.len());
    for cut in cuts {
        let mut split = bench();
        let mut wire = split.wire(ProtocolPin::Negotiated);
        let mut got = split.send(&mut wire, &script[..cut]);
        got.extend(split.send(&mut wire, &script[cut..]));
        assert!(got == expected, "cut at {cut}: {} instead of {}", got.len(), expected.len());
    }
}

#[test]
fn requests_byte_by_byte_are_the_same() {
    let script = script();
    let expected = {
        let mut whole = bench();
        let mut wire = whole.wire(ProtocolPin::Negotiated);
        whole.send(&mut wire, &script)
    };
    let mut bench = bench();
    let mut wire = bench.wire(ProtocolPin::Negotiated);
    let got: Vec<u8> = script.iter().flat_map(|byte| bench.send(&mut wire, &[*byte])).collect();
    assert!(got == expected);
}

#[test]
fn a_request_sees_what_the_one_before_it_did() {
    let mut bench = bench();
    let mut wire = bench.wire(ProtocolPin::Negotiated);
    let mut request = Vec::new();
    let mut expected = Vec::new();
    for round in 0..200 {
        let value = round.to_string();
        request.extend(set("k", value.as_bytes()));
        request.extend_from_slice(b"get k\r\n");
        expected.extend_from_slice(b"STORED\r\n");
        expected.extend(hit("k", value.as_bytes()));
        expected.extend_from_slice(b"END\r\n");
    }
    assert_eq!(bench.send(&mut wire, &request), expected);
}

#[test]
fn a_connection_is_what_its_first_byte_says_or_its_listener() {
    let noop = [&[0x80, 0x0a][..], &[0; 22]].concat();
    for (pin, text, binary) in [
        (ProtocolPin::Negotiated, true, true),
        (ProtocolPin::Text, true, false),
        (ProtocolPin::Binary, false, true),
    ] {
        let mut bench = bench();
        let mut wire = bench.wire(pin);
        let replied = bench.send(&mut wire, b"mn\r\n") == b"MN\r\n";
        assert_eq!((replied, wire.is_closed()), (text, !text), "{pin:?}");
        let mut wire = bench.wire(pin);
        let reply = bench.send(&mut wire, &noop);
        assert_eq!(reply.first() == Some(&0x81), binary, "{pin:?}");
        // And stays so: the other's requests are none, be they ever so plain.
        for plain in [&b"get k\r\n"[..], b"mg k v\r\n"] {
            let mut wire = bench.wire(pin);
            bench.send(&mut wire, &noop);
            let reply = bench.send(&mut wire, plain);
            assert!(!reply.starts_with(b"E") && wire.is_closed(), "{pin:?} {reply:?}");
        }
        assert_eq!(wire.is_closed(), !binary, "{pin:?}");
    }
}

#[test]
fn values_of_all_sizes_come_back() {
    let server = start(settings());
    let mut client = server.connect();
    for len in [0, 1, 4095, 4096, 4097, 32_700, 32_768, 65_536, 100_000, 1_000_000] {
        let value = value("v", len);
        client.ask(&set("v", &value), b"STORED\r\n");
        client.ask(b"get v\r\n", &[hit("v", &value), b"END\r\n".to_vec()].concat());
    }
}

#[test]
fn a_value_that_streams_can_be_cut_anywhere() {
    let server = start(settings());
    let mut client = server.connect();
    let value = value("v", 50_000);
    let request = set("v", &value);
    let head = request.len() - 50_002;
    for cut in [1, head - 1, head, head + 1, head + 33_000, head + 49_999, head + 50_001] {
        client.send(&request[..cut]);
        // So that it comes in two pieces, mostly.
        std::thread::sleep(std::time::Duration::from_millis(10));
        client.ask(&request[cut..], b"STORED\r\n");
        client.ask(b"get v\r\n", &[hit("v", &value), b"END\r\n".to_vec()].concat());
    }
    let mut bad = request.clone();
    bad.truncate(request.len() - 2);
    bad.extend_from_slice(b"xx");
    client.ask(&bad, b"CLIENT_ERROR bad data chunk\r\n");
}

#[test]
fn a_pipeline_larger_than_any_buffer_is_answered_in_order() {
    let server = start(settings());
    let mut client = server.connect();
    let mut writer = client.stream.try_clone().unwrap();
    let count = 50_000;
    let sender = std::thread::spawn(move || {
        let mut all = Vec::new();
        for number in 0..count {
            let key = format!("k{number}");
            all.extend(set(&key, key.as_bytes()));
            all.extend_from_slice(format!("get {key} missing {key}\r\n").as_bytes());
        }
        std::io::Write::write_all(&mut writer, &all).unwrap();
    });
    for number in 0..count {
        let key = format!("k{number}");
        let one = hit(&key, key.as_bytes());
        client.expect(&[b"STORED\r\n", &one[..], &one, b"END\r\n"].concat());
    }
    sender.join().unwrap();
}

#[test]
fn a_multi_get_of_many_large_values_is_answered_whole() {
    let server = start(settings());
    let mut client = server.connect();
    let keys: Vec<_> = (0..60).map(|number| format!("k{number}")).collect();
    let mut expected = Vec::new();
    for key in &keys {
        let value = value(key, 200_000);
        client.ask(&set(key, &value), b"STORED\r\n");
        expected.extend(hit(key, &value));
    }
    expected.extend_from_slice(b"END\r\n");
    let request = format!("get {}\r\n", keys.join(" "));
    client.ask(request.as_bytes(), &expected);
    // And when the client is slow to take them.
    client.send(request.as_bytes());
    client.send(b"version\r\n");
    std::thread::sleep(std::time::Duration::from_millis(100));
    client.expect(&expected);
    assert!(client.line().starts_with("VERSION"));
}

#[test]
fn what_was_sent_before_half_closing_is_answered() {
    let server = start(settings());
    let mut client = server.connect();
    let value = value("v", 500_000);
    client.ask(&set("v", &value), b"STORED\r\n");
    client.send(&b"get v\r\n".repeat(10));
    client.stream.shutdown(Shutdown::Write).unwrap();
    let one = [hit("v", &value), b"END\r\n".to_vec()].concat();
    assert!(client.rest() == one.repeat(10));
}

#[test]
fn a_closing_error_is_seen_by_a_client_that_has_sent_more() {
    let server = start(settings());
    for _ in 0..20 {
        let mut client = server.connect();
        client.send(b"version\r\n");
        client.send(&vec![b'x'; 100_000]);
        assert!(client.rest().starts_with(b"VERSION"));
    }
}

#[test]
fn unix_sockets_and_several_listeners_share_one_store() {
    let directory = std::env::temp_dir().join(format!("larder-server-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join("socket");
    let socket = UnixListener::bind(&path).unwrap();
    let listeners = |tcp| vec![tcp, Listener::unix(socket)];
    let server = start_with(settings(), Directory::open(), listeners);
    let mut unix = Client { stream: UnixStream::connect(&path).unwrap() };
    unix.ask(&set("k", b"over unix"), b"STORED\r\n");
    let mut tcp: Client<TcpStream> = server.connect();
    tcp.ask(b"get k\r\n", &[hit("k", b"over unix"), b"END\r\n".to_vec()].concat());
    std::fs::remove_dir_all(&directory).unwrap();
}
