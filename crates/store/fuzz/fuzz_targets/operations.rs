//! `cargo fuzz run operations`, in `crates/store`: see `interpret`.

#![no_main]

#[path = "../src/interpret.rs"]
mod interpret;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| interpret::run(bytes));
