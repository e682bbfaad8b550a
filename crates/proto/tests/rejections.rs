//! Replies that must not be accepted: to another request, out of bounds, or no replies at all.

mod support;

use larder_proto::{Command, Protocol};
use support::{LIMIT, binary, delete, get, incr, parse, touch};

#[test]
fn replies_to_something_else_are_not_accepted() {
    let wrong_opaque = {
        let mut bytes = binary(0, 0, &[0; 4], b"x", 1);
        bytes[15] = 2;
        bytes
    };
    let cases: [(Protocol, Command, Vec<u8>, &str); 16] = [
        (Protocol::Text, get("a"), b"VALUE b 0 1 1\r\nx\r\nEND\r\n".to_vec(), "its key is b, a"),
        (Protocol::Text, get("a"), b"STORED\r\n".to_vec(), "VALUE or END"),
        (Protocol::Text, get("a"), b"VALUE a 0 1\r\nx\r\nEND\r\n".to_vec(), "<cas>"),
        (Protocol::Text, get("a"), b"VALUE a 0 -1 1\r\n".to_vec(), "<bytes>"),
        (Protocol::Text, get("a"), b"VALUE a 0 1 1\r\nxyz\r\n".to_vec(), "line ending"),
        (Protocol::Text, get("a"), b"VALUE a 0 1 1\r\nx\r\nVALUE".to_vec(), ""),
        (Protocol::Text, incr("a", 1), b"12x\r\n".to_vec(), "a number"),
        (Protocol::Text, touch("a", 1), b"\r\n".to_vec(), "TOUCHED"),
        (Protocol::Meta, get("a"), b"VA 1 f0 c1 ka O2\r\nx\r\n".to_vec(), "its opaque is 2, 1"),
        (Protocol::Meta, get("a"), b"VA 1 f0 c1 kb O1\r\nx\r\n".to_vec(), "its key is b, a"),
        (Protocol::Meta, delete("a"), b"HD\r\n".to_vec(), "its opaque is absent"),
        (Protocol::Meta, delete("a"), b"EN O1\r\n".to_vec(), "a meta reply"),
        (Protocol::Meta, get("a"), b"VA x f0 c1 ka O1\r\n".to_vec(), "VA <bytes>"),
        (Protocol::Binary, get("a"), wrong_opaque, "its opaque is 0x2, 0x1"),
        (Protocol::Binary, get("a"), binary(1, 0, &[0; 4], b"x", 1), "its opcode is 0x1, 0x0"),
        (Protocol::Binary, get("a"), b"END\r\nEND\r\nEND\r\nEND\r\nEND\r\n".to_vec(), "0x81"),
    ];
    for (protocol, command, bytes, expected) in cases {
        match parse(protocol, &command, &bytes, &[]) {
            Err(error) => assert!(error.to_string().contains(expected), "{error}"),
            // An incomplete line is no error yet.
            Ok(other) => assert!(expected.is_empty() && other.is_none(), "{other:?}"),
        }
    }
}

#[test]
fn lengths_are_checked_before_they_are_believed() {
    let over = LIMIT + 1;
    let mut huge = binary(0, 0, &[0; 4], b"", 1);
    huge[8..12].copy_from_slice(&u32::MAX.to_be_bytes());
    let mut inconsistent = binary(0, 0, &[0; 4], b"", 1);
    inconsistent[2..4].copy_from_slice(&100_u16.to_be_bytes());
    let long_line = vec![b'x'; 4000];
    let cases = [
        (Protocol::Text, format!("VALUE a 0 {over} 1\r\n").into_bytes(), "value of 1001 bytes"),
        (Protocol::Text, b"VALUE a 0 18446744073709551615 1\r\n".to_vec(), "the limit is 1000"),
        (Protocol::Text, b"VALUE a 0 18446744073709551616 1\r\n".to_vec(), "VALUE <key>"),
        (Protocol::Text, b"VALUE a 4294967296 1 1\r\n".to_vec(), "VALUE <key>"),
        (Protocol::Text, long_line.clone(), "the limit is 2048"),
        (Protocol::Meta, format!("VA {over} f0 c1 ka O1\r\n").into_bytes(), "value of 1001 bytes"),
        (Protocol::Meta, b"VA 18446744073709551615 f0 c1 ka O1\r\n".to_vec(), "the limit is 1000"),
        (Protocol::Meta, long_line, "the limit is 2048"),
        (Protocol::Binary, huge, "value of 4294967295 bytes"),
        (Protocol::Binary, inconsistent, "extras and key"),
        (Protocol::Binary, binary(0, 0, &[0; 4], &[b'x'; LIMIT + 1], 1), "value of 1001 bytes"),
        (Protocol::Binary, binary(0, 0, &[0; 3], b"x", 1), "4 bytes of flags"),
    ];
    for (protocol, bytes, expected) in cases {
        let error = parse(protocol, &get("a"), &bytes, &[]).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let at_limit = "v".repeat(LIMIT);
    let bytes = format!("VALUE a 0 {LIMIT} 1\r\n{at_limit}\r\nEND\r\n").into_bytes();
    assert!(parse(Protocol::Text, &get("a"), &bytes, &[]).unwrap().is_some());
}
