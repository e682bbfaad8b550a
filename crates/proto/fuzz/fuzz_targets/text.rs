//! Requests of the text protocol: `cargo xtask fuzz`.

#![no_main]

#[path = "../src/connection.rs"]
mod connection;

use larder_proto::server::{Limits, Parsed, Request, meta, text};

/// Short, so that inputs reach it.
const LIMITS: Limits = Limits { max_keys_line: 3000 };

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    connection::check(bytes, text::Scan::default, parse);
});

/// What is plain is the same to the parser.
fn parse<'b>(input: &'b [u8], scan: &mut text::Scan) -> Parsed<'b> {
    let parsed = text::parse(input, scan, &LIMITS);
    if let Some((key, used)) = text::plain_get(input) {
        let request = Request::Text(text::Command::get(key));
        assert_eq!(parsed, Parsed::Ready { request, used });
    }
    if let Some((command, used)) = meta::plain_get(input) {
        assert_eq!(parsed, Parsed::Ready { request: Request::Meta(command), used });
    }
    if let Some((store, used)) = text::plain_set(input) {
        let request = Request::Text(text::Command::Store(store));
        assert_eq!(parsed, Parsed::Ready { request, used });
    }
    parsed
}
