//! Requests of the text protocol: `cargo xtask fuzz`.

#![no_main]

#[path = "../src/connection.rs"]
mod connection;
#[path = "../src/plain.rs"]
mod plain;

use larder_proto::server::text;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    connection::check(bytes, text::Scan::default, plain::parse);
});
