//! Requests of the binary protocol: `cargo xtask fuzz`.

#![no_main]

#[path = "../src/connection.rs"]
mod connection;

use larder_proto::server::binary;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    connection::check(bytes, || (), |input, ()| binary::parse(input));
});
