//! Requests of the meta protocol: every input is the rest of a meta command. `cargo xtask fuzz`.

#![no_main]

#[path = "../src/connection.rs"]
mod connection;
#[path = "../src/plain.rs"]
mod plain;

use larder_proto::server::text;

const VERBS: [&[u8]; 6] = [b"mg ", b"ms ", b"md ", b"ma ", b"me ", b"mn "];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&verb, rest)) = bytes.split_first() else { return };
    let line = [VERBS[usize::from(verb) % VERBS.len()], rest].concat();
    connection::check(&line, text::Scan::default, plain::parse);
});
