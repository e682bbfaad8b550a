//! The two handshakes: SASL PLAIN, and the text protocol's login.

mod support;

use bytes::BytesMut;
use larder_proto::sasl::{self, SaslReply};
use larder_proto::text_auth::{self, AuthReply};
use support::binary;

/// A binary reply to the handshake, whose opaque is 0.
fn sasl_reply(status: u16, text: &[u8]) -> Vec<u8> {
    let mut bytes = binary(0x21, status, b"", text, 0);
    bytes[15] = 0;
    bytes
}

#[test]
fn sasl_plain() {
    let mut out = BytesMut::new();
    sasl::encode_plain("user", "pass", &mut out);
    assert_eq!(out[..2], [0x80, 0x21]);
    assert_eq!(&out[24..], b"PLAIN\0user\0pass");
    let cases = [
        (sasl_reply(0, b"Authenticated"), SaslReply::Authenticated),
        (sasl_reply(0x81, b"Unknown command"), SaslReply::Unsupported),
        (sasl_reply(0x20, b"Auth failure."), SaslReply::Refused("Auth failure.".into())),
        (sasl_reply(0x21, b"more"), SaslReply::Refused("more".into())),
    ];
    for (bytes, expected) in cases {
        for cut in 0..bytes.len() {
            assert_eq!(sasl::parse(&mut BytesMut::from(&bytes[..cut])), Ok(None));
        }
        let mut buf = BytesMut::from(&bytes[..]);
        assert_eq!(sasl::parse(&mut buf), Ok(Some(expected)));
        assert!(buf.is_empty());
    }
    assert!(sasl::parse(&mut BytesMut::from("CLIENT_ERROR not this protocol\r\n")).is_err());
}

#[test]
fn text_login() {
    let mut out = BytesMut::new();
    text_auth::encode_probe(&mut out);
    text_auth::encode_login("user", "pass word", &mut out);
    assert_eq!(&out[..], b"gets larder-auth\r\nset larder-auth 0 0 14\r\nuser pass word\r\n");
    let refused = |text: &str| Some(AuthReply::Refused(text.to_owned()));
    let probes = [
        ("END\r\n", Some(AuthReply::Accepted)),
        ("VALUE larder-auth 0 1 1\r\nx\r\nEND\r\n", Some(AuthReply::Accepted)),
        ("CLIENT_ERROR unauthenticated\r\n", refused("unauthenticated")),
        ("CLIENT_ERROR unauth", None),
    ];
    for (bytes, expected) in probes {
        assert_eq!(text_auth::parse_probe(&mut BytesMut::from(bytes), 10), Ok(expected));
    }
    assert!(text_auth::parse_probe(&mut BytesMut::from("STORED\r\n"), 10).is_err());
    let logins = [
        ("STORED\r\n", Some(AuthReply::Accepted)),
        ("CLIENT_ERROR authentication failure\r\n", refused("authentication failure")),
        ("STORED", None),
    ];
    for (bytes, expected) in logins {
        assert_eq!(text_auth::parse_login(&mut BytesMut::from(bytes)), Ok(expected));
    }
    assert!(text_auth::parse_login(&mut BytesMut::from("END\r\n")).is_err());
}
