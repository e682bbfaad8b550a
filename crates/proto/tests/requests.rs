//! The bytes of every request in every protocol, and what cannot be sent.

mod support;

use bytes::BytesMut;
use larder_proto::{Codec, Command, CommandError, Key, KeyError, Protocol, StoreMode};
use support::{decr, delete, get, incr, key, store, touch};

fn encoded(protocol: Protocol, command: &Command) -> String {
    let mut codec = Codec::new(protocol, 1000);
    let mut out = BytesMut::new();
    codec.encode(command, &mut out).unwrap();
    out.escape_ascii().to_string()
}

#[test]
fn text_and_meta() {
    let cases = [
        (get("a"), "gets a\\r\\n", "mg a v f c k O1\\r\\n"),
        (
            store(StoreMode::Set, "a", "xy"),
            "set a 5 60 2\\r\\nxy\\r\\n",
            "ms a 2 MS F5 T60 c O1\\r\\nxy\\r\\n",
        ),
        (
            store(StoreMode::Add, "a", ""),
            "add a 5 60 0\\r\\n\\r\\n",
            "ms a 0 ME F5 T60 c O1\\r\\n\\r\\n",
        ),
        (
            store(StoreMode::Replace, "a", "x"),
            "replace a 5 60 1\\r\\nx\\r\\n",
            "ms a 1 MR F5 T60 c O1\\r\\nx\\r\\n",
        ),
        (
            store(StoreMode::Append, "a", "x"),
            "append a 5 60 1\\r\\nx\\r\\n",
            "ms a 1 MA F5 T60 c O1\\r\\nx\\r\\n",
        ),
        (
            store(StoreMode::Prepend, "a", "x"),
            "prepend a 5 60 1\\r\\nx\\r\\n",
            "ms a 1 MP F5 T60 c O1\\r\\nx\\r\\n",
        ),
        (
            store(StoreMode::Cas(u64::MAX), "a", "x"),
            "cas a 5 60 1 18446744073709551615\\r\\nx\\r\\n",
            "ms a 1 MS C18446744073709551615 F5 T60 c O1\\r\\nx\\r\\n",
        ),
        (delete("a"), "delete a\\r\\n", "md a O1\\r\\n"),
        (touch("a", 7), "touch a 7\\r\\n", "mg a T7 O1\\r\\n"),
        (incr("a", 3), "incr a 3\\r\\n", "ma a v MI D3 O1\\r\\n"),
        (decr("a", 3), "decr a 3\\r\\n", "ma a v MD D3 O1\\r\\n"),
        (Command::FlushAll, "flush_all\\r\\n", "flush_all\\r\\n"),
        (Command::Version, "version\\r\\n", "version\\r\\n"),
        // Servers read later times as negative numbers, which would mean "expired".
        (touch("a", u32::MAX), "touch a 2147483647\\r\\n", "mg a T2147483647 O1\\r\\n"),
    ];
    for (command, text, meta) in cases {
        assert_eq!(encoded(Protocol::Text, &command), text);
        assert_eq!(encoded(Protocol::Meta, &command), meta);
    }
}

#[test]
fn binary() {
    // Header: magic, opcode, key length, extras length, type, vbucket, body length, opaque, CAS.
    let header = |opcode: u8, key: u16, extras: u8, body: u32, cas: u64| {
        let mut bytes = vec![0x80, opcode];
        bytes.extend(key.to_be_bytes());
        bytes.extend([extras, 0, 0, 0]);
        bytes.extend(body.to_be_bytes());
        bytes.extend([0, 0, 0, 1]);
        bytes.extend(cas.to_be_bytes());
        bytes
    };
    let stored = [0, 0, 0, 5, 0, 0, 0, 60, b'a', b'x', b'y'];
    let added = [0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, b'a'];
    let cases: [(Command, Vec<u8>, &[u8]); 13] = [
        (get("a"), header(0, 1, 0, 1, 0), b"a"),
        (store(StoreMode::Set, "a", "xy"), header(1, 1, 8, 11, 0), &stored),
        (store(StoreMode::Add, "a", "xy"), header(2, 1, 8, 11, 0), &stored),
        (store(StoreMode::Replace, "a", "xy"), header(3, 1, 8, 11, 0), &stored),
        (store(StoreMode::Cas(9), "a", "xy"), header(1, 1, 8, 11, 9), &stored),
        (store(StoreMode::Append, "a", "xy"), header(0x0e, 1, 0, 3, 0), b"axy"),
        (store(StoreMode::Prepend, "a", "xy"), header(0x0f, 1, 0, 3, 0), b"axy"),
        (delete("a"), header(4, 1, 0, 1, 0), b"a"),
        (touch("a", 258), header(0x1c, 1, 4, 5, 0), b"\0\0\x01\x02a"),
        (incr("a", 3), header(5, 1, 20, 21, 0), &added),
        (decr("a", 3), header(6, 1, 20, 21, 0), &added),
        (Command::FlushAll, header(8, 0, 0, 0, 0), b""),
        (Command::Version, header(0x0b, 0, 0, 0, 0), b""),
    ];
    for (command, mut expected, body) in cases {
        expected.extend(body);
        let expected = expected.escape_ascii().to_string();
        assert_eq!(encoded(Protocol::Binary, &command), expected, "{command:?}");
    }
}

#[test]
fn what_cannot_be_sent_leaves_the_buffer_alone() {
    for protocol in [Protocol::Text, Protocol::Meta, Protocol::Binary] {
        let mut codec = Codec::new(protocol, 3);
        let mut out = BytesMut::from("before");
        let long = codec.encode(&store(StoreMode::Set, "a", "four"), &mut out);
        assert_eq!(long, Err(CommandError::ValueTooLarge { len: 4, limit: 3 }));
        let zero = codec.encode(&store(StoreMode::Cas(0), "a", "x"), &mut out);
        assert_eq!(zero, Err(CommandError::ZeroCas));
        assert_eq!(&out[..], b"before");
    }
}

#[test]
fn opaques_count_up_over_a_connection() {
    let mut codec = Codec::new(Protocol::Meta, 10);
    let mut out = BytesMut::new();
    for expected in 1..=3 {
        assert_eq!(codec.encode(&get("a"), &mut out), Ok(expected));
    }
    assert_eq!(&out[..], b"mg a v f c k O1\r\nmg a v f c k O2\r\nmg a v f c k O3\r\n");
}

#[test]
fn a_key_containing_crlf_is_refused() {
    let refused = Key::new("a\r\nflush_all\r\n");
    assert_eq!(refused, Err(KeyError::Byte { byte: b'\r', index: 1 }));
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("0x0d") && message.contains("index 1"), "{message}");
}

#[test]
fn keys_at_their_limits() {
    assert_eq!(Key::new(""), Err(KeyError::Length { len: 0 }));
    assert_eq!(Key::new([b'k'; 251]), Err(KeyError::Length { len: 251 }));
    assert_eq!(Key::new([b'k'; 250]).unwrap().as_bytes().len(), 250);
    for byte in 0..=255_u8 {
        let allowed = byte > 0x20 && byte != 0x7f;
        assert_eq!(Key::new([b'k', byte]).is_ok(), allowed, "{byte:#x}");
    }
    let unicode = key("clé");
    assert_eq!(unicode.to_string(), "cl\\xc3\\xa9");
    assert_eq!(format!("{unicode:?}"), "Key(cl\\xc3\\xa9)");
    assert!(key("a") < key("b"));
}
