//! Peers that send anything: no panic, and no demand for more bytes than the limits allow. And what
//! a server that keeps the rules would store is what was sent.

mod support;

use bytes::{Bytes, BytesMut};
use larder_proto::{
    Codec, Command, Direction, Key, Progress, Protocol, StoreMode, sasl, text_auth,
};
use proptest::prelude::*;
use support::binary;

const LIMIT: usize = 4096;

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Text), Just(Protocol::Meta), Just(Protocol::Binary)]
}

fn key() -> impl Strategy<Value = Key> {
    let byte = any::<u8>().prop_filter("allowed", |&byte| byte > 0x20 && byte != 0x7f);
    prop::collection::vec(byte, 1..=250).prop_map(|bytes| Key::new(bytes).unwrap())
}

fn command() -> impl Strategy<Value = Command> {
    let value = prop::collection::vec(any::<u8>(), 0..100).prop_map(Bytes::from);
    prop_oneof![
        key().prop_map(|key| Command::Get { key }),
        key().prop_map(|key| Command::Delete { key }),
        (key(), any::<u32>()).prop_map(|(key, exptime)| Command::Touch { key, exptime }),
        (key(), any::<u64>()).prop_map(|(key, delta)| Command::Arith {
            key,
            delta,
            direction: Direction::Decr
        }),
        (key(), value, any::<u32>(), any::<u32>()).prop_map(|(key, value, flags, exptime)| {
            Command::Store { mode: StoreMode::Set, key, value, flags, exptime }
        }),
        Just(Command::FlushAll),
        Just(Command::Version),
    ]
}

/// Beginnings that lead deep into the parsers.
fn beginning() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        Just(b"VALUE a 0 3 1\r\nxyz\r\n".to_vec()),
        Just(b"VA 3 f0 c1 ka O1\r\nxy".to_vec()),
        Just(b"VA ".to_vec()),
        Just(b"HD O1 ".to_vec()),
        Just(b"CLIENT_ERROR ".to_vec()),
        Just(b"SERVER_ERROR".to_vec()),
        (any::<u8>(), any::<u16>(), any::<[u8; 3]>()).prop_map(|(opcode, status, extras)| binary(
            opcode % 16,
            status,
            &extras,
            b"v",
            1
        )),
    ]
}

proptest! {
    #[test]
    fn random_bytes_do_no_harm(
        protocol in protocol(),
        command in command(),
        start in beginning(),
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..8),
    ) {
        let mut codec = Codec::new(protocol, LIMIT);
        let mut buf = BytesMut::new();
        buf.extend_from_slice(&start);
        for piece in pieces {
            buf.extend_from_slice(&piece);
            let before = buf.len();
            match codec.parse(&command, 1, &mut buf) {
                Ok(Progress::NeedMore(missing)) => {
                    prop_assert!((1..=LIMIT + 1024).contains(&missing));
                }
                Ok(Progress::Ready(_)) => prop_assert!(buf.len() < before),
                Err(_) => break,
            }
        }
    }

    #[test]
    fn random_bytes_in_a_handshake_do_no_harm(
        start in beginning(),
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut bytes = start;
        bytes.extend(rest);
        let _ = sasl::parse(&mut BytesMut::from(&bytes[..]));
        let _ = text_auth::parse_probe(&mut BytesMut::from(&bytes[..]), LIMIT);
        let _ = text_auth::parse_login(&mut BytesMut::from(&bytes[..]));
    }

    /// No command, whatever its key, is more than one line (and a data block).
    #[test]
    fn one_command_is_one_command(command in command()) {
        for protocol in [Protocol::Text, Protocol::Meta] {
            let mut out = BytesMut::new();
            Codec::new(protocol, LIMIT).encode(&command, &mut out).unwrap();
            let line = out.windows(2).position(|pair| pair == b"\r\n").unwrap() + 2;
            let data = match &command {
                Command::Store { value, .. } => value.len() + 2,
                _ => 0,
            };
            prop_assert_eq!(out.len(), line + data);
            prop_assert!(out[..line - 2].iter().all(|&byte| byte >= 0x20));
        }
    }

    /// A value comes back as it was sent, however the bytes are cut.
    #[test]
    fn values_come_back(
        protocol in protocol(),
        key in key(),
        value in prop::collection::vec(any::<u8>(), 0..300),
        flags in any::<u32>(),
        cas in any::<u64>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let reply = match protocol {
            Protocol::Text => {
                let mut reply = b"VALUE ".to_vec();
                reply.extend(key.as_bytes());
                reply.extend(format!(" {flags} {} {cas}\r\n", value.len()).bytes());
                reply.extend(&value);
                reply.extend(b"\r\nEND\r\n");
                reply
            }
            Protocol::Meta => {
                let mut reply = format!("VA {} f{flags} c{cas} k", value.len()).into_bytes();
                reply.extend(key.as_bytes());
                reply.extend(b" O1\r\n");
                reply.extend(&value);
                reply.extend(b"\r\n");
                reply
            }
            Protocol::Binary => binary(0, 0, &flags.to_be_bytes(), &value, cas),
        };
        let cut = cut.index(reply.len());
        let command = Command::Get { key };
        let mut codec = Codec::new(protocol, LIMIT);
        let mut buf = BytesMut::from(&reply[..cut]);
        let early = codec.parse(&command, 1, &mut buf).unwrap();
        prop_assert!(matches!(early, Progress::NeedMore(_)));
        buf.extend_from_slice(&reply[cut..]);
        let Progress::Ready(answer) = codec.parse(&command, 1, &mut buf).unwrap() else {
            return Err(TestCaseError::fail("not complete"));
        };
        let Ok(larder_proto::Reply::Item(Some(item))) = answer.reply else {
            return Err(TestCaseError::fail("no item"));
        };
        prop_assert_eq!((&item.value[..], item.flags, item.cas), (&value[..], flags, cas));
    }
}
