//! Requests of the meta protocol: every input is the rest of a meta command. `cargo xtask fuzz`.

#![no_main]

#[path = "../src/connection.rs"]
mod connection;

use larder_proto::server::{Limits, text};

/// Short, so that inputs reach it.
const LIMITS: Limits = Limits { max_keys_line: 3000 };

const VERBS: [&[u8]; 6] = [b"mg ", b"ms ", b"md ", b"ma ", b"me ", b"mn "];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&verb, rest)) = bytes.split_first() else { return };
    let line = [VERBS[usize::from(verb) % VERBS.len()], rest].concat();
    connection::check(&line, text::Scan::default, |input, scan| text::parse(input, scan, &LIMITS));
});
