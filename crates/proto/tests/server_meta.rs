//! The meta protocol as a server reads it.

mod server_support;

use larder_proto::server::meta::{
    MAX_DECODED_LEN, decode, put_echo, put_flag, put_key, put_number,
};
use larder_proto::server::text::{self, Scan};
use larder_proto::server::{Class, Parsed, Request};
use server_support::{LIMITS, at_once, in_pieces};

const FORMAT: &str = "CLIENT_ERROR bad command line format";
const TOKEN: &str = "CLIENT_ERROR bad token in command line format";
const EITHER: &str = "CLIENT_ERROR invalid or duplicate flag";

#[track_caller]
fn check(input: &str, expected: &[&str]) {
    assert_eq!(at_once(input.as_bytes()), expected, "{input:?}");
    for at in 1..input.len() {
        let (before, after) = input.as_bytes().split_at(at);
        assert_eq!(in_pieces(&[before, after]), expected, "split at {at}");
    }
}

#[test]
fn commands() {
    for (input, expected) in [
        ("mn\r\n", "Noop   []"),
        ("mn foo\r\n", "Noop   []"),
        ("mg a\r\n", "Get a  []"),
        ("mg a  v \r\n", "Get a v []"),
        ("mg a vfoo\r\n", "Get a vfoo []"),
        ("mg a s v t f c k h l u q O77\r\n", "Get a s v t f c k h l u q O77 []"),
        ("mg a P/x Lfoo v\r\n", "Get a P/x Lfoo v []"),
        ("mg a\tb v\n", "Get a\\tb v []"),
        ("mg \0a v k\r\n", "Get \\x00a v k []"),
        (
            "mg a N30 R-1 T2147483647 E5 C18446744073709551615\r\n",
            "Get a N30 R-1 T2147483647 E5 C18446744073709551615 []",
        ),
        ("mg Zm9vYg== b k\r\n", "Get Zm9vYg== b k []"),
        ("md a q C1 I T0 x\r\n", "Delete a q C1 I T0 x []"),
        ("md a v N5 M\r\n", "Delete a v N5 M []"),
        ("ma a N0 J13 D2 MD\r\n", "Arith a N0 J13 D2 MD []"),
        ("ma a M+\r\n", "Arith a M+ []"),
        ("ma a Minc\r\n", "ma"),
        ("me a\r\n", "Debug a  []"),
        ("me a foo !\r\n", "Debug a foo ! []"),
        ("me Zm9v b\r\n", "Debug Zm9v b []"),
        ("ms a 3\r\nxyz\r\n", "Set a  [xyz]"),
        ("ms a 0 T0\r\n\r\n", "Set a T0 []"),
        ("ms a 3 q F4294967295 MEset\nxyz\r\n", "Set a q F4294967295 MEset [xyz]"),
    ] {
        match expected {
            "ma" => check(input, &["CLIENT_ERROR invalid mode for ma M token"]),
            expected => check(input, &[expected]),
        }
    }
}

#[test]
fn errors_keep_step() {
    let chunk = "CLIENT_ERROR bad data chunk";
    let decoding = "CLIENT_ERROR error decoding key";
    let opaque = "CLIENT_ERROR opaque token too long";
    let set_mode = "CLIENT_ERROR invalid mode for ms M token";
    let arith_mode = "CLIENT_ERROR invalid mode for ma M token";
    let too_many = "CLIENT_ERROR options flags are too long";
    let invalid = "CLIENT_ERROR invalid flag";
    for (input, expected) in [
        ("mx a\r\n", "ERROR"),
        ("mgx a\r\n", "ERROR"),
        ("mg\r\n", FORMAT),
        ("ms\r\n", FORMAT),
        ("ms a\r\n", FORMAT),
        ("md\r\n", FORMAT),
        ("ma\r\n", FORMAT),
        ("me\r\n", FORMAT),
        ("mg a v v\r\n", "CLIENT_ERROR duplicate flag"),
        ("mg a A\r\n", invalid),
        ("mg a 1\r\n", invalid),
        ("mg a W\r\n", invalid),
        ("mg a !\r\n", FORMAT),
        ("mg a {\r\n", FORMAT),
        ("mg a \u{e9}\r\n", FORMAT),
        ("mg a N\r\n", TOKEN),
        ("mg a Nabc\r\n", TOKEN),
        ("mg a Tabc\r\n", TOKEN),
        ("mg a T2147483648\r\n", TOKEN),
        ("mg a R\r\n", TOKEN),
        ("mg a Cx\r\n", TOKEN),
        ("mg a C18446744073709551616\r\n", TOKEN),
        ("mg a E-1\r\n", TOKEN),
        ("mg a Jx\r\n", "CLIENT_ERROR invalid numeric initial value"),
        ("mg a Dx\r\n", "CLIENT_ERROR invalid numeric delta value"),
        ("mg a k O123 b v\r\n", decoding),
        ("mg Zm9 b\r\n", decoding),
        ("mg Zm9! b\r\n", decoding),
        ("mg a b c f h k q s t u v\r\n", decoding),
        ("mg a Oxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n", opaque),
        ("mg a c f h k l s t u v O1 q P L E5 R30 T30 N30 C5 I x F1 J1 D1\r\n", too_many),
        ("me ! b\r\n", FORMAT),
        ("ma a v v\r\n", EITHER),
        ("ma a a\r\n", EITHER),
        ("ma a Dx\r\n", EITHER),
        ("ma a D-1\r\n", EITHER),
        ("ma a D18446744073709551616\r\n", EITHER),
        ("ma a Jx N0\r\n", EITHER),
        ("ma a N\r\n", EITHER),
        ("ma a b\r\n", EITHER),
        ("ma a MX\r\n", arith_mode),
        ("ma a M\r\n", arith_mode),
        // The value is swallowed if its length could be read.
        ("ms a x\r\n", FORMAT),
        ("ms a -1\r\n", FORMAT),
        ("ms a S2000000\r\n", FORMAT),
        ("ms a 2147483646\r\n", FORMAT),
        ("ms a 2 MZ\r\nhi\r\n", set_mode),
        ("ms a 2 Mset\r\nhi\r\n", set_mode),
        ("ms a 2 M\r\nhi\r\n", set_mode),
        ("ms a 2 M+\r\nhi\r\n", set_mode),
        ("ms a 2 me\r\nhi\r\n", invalid),
        ("ms a 2 !\r\nhi\r\n", FORMAT),
        ("ms a 2 F4294967296\r\nhi\r\n", FORMAT),
        ("ms a 2 F-1 q\r\nhi\r\n", FORMAT),
        ("ms a 2 Fx\r\nhi\r\n", FORMAT),
        ("ms a 2 T4000000000\r\nhi\r\n", TOKEN),
        ("ms %%% 2 b\r\nhi\r\n", decoding),
        ("ms a 2 Oxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\nhi\r\n", opaque),
        ("ms a 2 q q\r\nhi\r\n", "CLIENT_ERROR duplicate flag"),
    ] {
        check(&format!("{input}mg next\r\n"), &[expected, "Get next  []"]);
    }
    // An error about a value is shown, however quiet the command.
    check("ms a 3 q\r\nabcd\r\nmn\r\n", &[chunk, FORMAT, "Noop   []"]);
}

#[test]
fn a_line_has_20_words_at_most() {
    let flags = "c f h k l s t u v O1 q P L E5 R30 T30 N30 C5";
    assert_eq!(flags.split(' ').count(), 18);
    check(&format!("mg a {flags}\r\n"), &[&format!("Get a {flags} []")]);
    let too_many = "CLIENT_ERROR options flags are too long";
    check(&format!("mg a {flags} I\r\n"), &[too_many]);
    check(&format!("ms a 1 {flags}\r\nx\r\n"), &[too_many]);
    check(&format!("ma a {flags} I\r\n"), &[EITHER]);
}

#[test]
fn keys_have_250_bytes_at_most() {
    let (longest, too_long) = ("k".repeat(250), "k".repeat(251));
    for (line, after) in [("mg", ""), ("md", ""), ("ma", ""), ("me", ""), ("ms", " 1\r\nx")] {
        assert_ne!(at_once(format!("{line} {longest}{after}\r\n").as_bytes()), [FORMAT]);
        let bad = format!("{line} {too_long}{after}\r\nmn\r\n");
        assert_eq!(at_once(bad.as_bytes()), [FORMAT, "Noop   []"], "{line}");
    }
}

#[test]
fn flags_have_values() {
    let command =
        |line: &'static str| match text::parse(line.as_bytes(), &mut Scan::default(), &LIMITS) {
            Parsed::Ready { request: Request::Meta(command), .. } => command,
            other => panic!("{other:?}"),
        };
    let all = command("mg a C1 E2 D3 J4 F5 T6 N-7 R8 Mx Oyz\r\n").flags;
    assert_eq!((all.cas(), all.new_cas(), all.delta(), all.initial()), (Some(1), Some(2), 3, 4));
    assert_eq!((all.client_flags(), all.exptime()), (5, Some(6)));
    assert_eq!((all.vivify(), all.recache(), all.mode()), (Some(-7), Some(8), Some(b'x')));
    assert_eq!(all.opaque().map(|flag| flag.argument()), Some(&b"yz"[..]));
    let none = command("mg a v\r\n").flags;
    assert_eq!((none.cas(), none.new_cas(), none.delta(), none.initial()), (None, None, 1, 0));
    assert_eq!((none.client_flags(), none.exptime(), none.vivify()), (0, None, None));
    assert_eq!((none.recache(), none.mode(), none.opaque()), (None, None, None));
    assert!(none.has(b'v') && !none.has(b'V') && !none.has(b'q') && !none.has(b'!'));
    assert!(!command("me a foo bar\r\n").flags.has(b'f'));
}

#[test]
fn what_carrying_out_needs() {
    for (line, class, key) in [
        ("mn\r\n", Class::Read, None),
        ("mg a v R30\r\n", Class::Read, Some("a")),
        ("mg a T30\r\n", Class::Write, Some("a")),
        ("mg a N30\r\n", Class::Write, Some("a")),
        ("mg Zm9v b\r\n", Class::Read, None),
        ("me a\r\n", Class::Read, Some("a")),
        ("ms a 0\r\n\r\n", Class::Write, Some("a")),
        ("md a\r\n", Class::Write, Some("a")),
        ("ma a\r\n", Class::Write, Some("a")),
        ("get a\r\n", Class::Read, Some("a")),
        ("get a b\r\n", Class::Read, None),
        ("gat 0 a\r\n", Class::Write, Some("a")),
        ("set a 0 0 0\r\n\r\n", Class::Write, Some("a")),
        ("delete a\r\n", Class::Write, Some("a")),
        ("incr a 1\r\n", Class::Write, Some("a")),
        ("touch a 1\r\n", Class::Write, Some("a")),
        ("flush_all\r\n", Class::Write, None),
        ("version\r\n", Class::Read, None),
        ("stats\r\n", Class::Control, None),
        ("quit\r\n", Class::Control, None),
    ] {
        let Parsed::Ready { request, used } =
            text::parse(line.as_bytes(), &mut Scan::default(), &LIMITS)
        else {
            panic!("{line:?}");
        };
        assert_eq!(
            (request.class(), request.single_key(), used),
            (class, key.map(str::as_bytes), line.len()),
            "{line:?}"
        );
    }
}

#[test]
fn replies() {
    let mut out = b"HD".to_vec();
    out.extend_from_slice(b" t-1");
    put_number(&mut out, b'c', u64::MAX);
    put_flag(&mut out, b'W');
    put_key(&mut out, b"foo", false);
    put_key(&mut out, b"f\no", true);
    let line = b"mg a Oxyz\r\n";
    if let Parsed::Ready { request: Request::Meta(command), .. } =
        text::parse(line, &mut Scan::default(), &LIMITS)
    {
        put_echo(&mut out, command.flags.opaque().unwrap());
    }
    assert_eq!(out.escape_ascii().to_string(), "HD t-1 c18446744073709551615 W kfoo kZgpv b Oxyz");
    assert_eq!(decode(b"Zgpv", &mut [0; MAX_DECODED_LEN]), Some(&b"f\no"[..]));
}
