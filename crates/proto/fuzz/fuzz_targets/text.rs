//! Requests of the text protocol: `cargo xtask fuzz`.

#![no_main]

#[path = "../src/connection.rs"]
mod connection;

use larder_proto::server::{Limits, text};

/// Short, so that inputs reach it.
const LIMITS: Limits = Limits { max_keys_line: 3000 };

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    connection::check(bytes, text::Scan::default, |input, scan| text::parse(input, scan, &LIMITS));
});
