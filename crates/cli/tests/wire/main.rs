//! The wire, byte by byte: scripts that run against our server and against stock memcached.
//!
//! A script (`scripts/*.wire`; `script.rs` has its language) says what is sent and what must come
//! back. What memcached 1.6.45 does is expected of everyone. Where an older memcached is known to
//! differ, the script names the drift; where we differ, it names a line of docs/protocol.md. Our
//! server also gets every request byte by byte, and all requests of a section at once.
//!
//! `LARDER_PEER_MEMCACHED` may name another memcached than the installed one.

mod binary;
mod figures;
mod pattern;
mod run;
mod script;
mod server;

use std::collections::BTreeSet;

use run::{Cut, Runner};
use script::{Action, Section};
use server::Target;

/// The scripts, each run by two tests.
macro_rules! scripts {
    ($($name:ident)*) => {
        const SCRIPTS: &[(&str, &str)] =
            &[$((stringify!($name), include_str!(concat!("scripts/", stringify!($name), ".wire")))),*];
        $(
            mod $name {
                #[test]
                fn larder() {
                    crate::against_larder(stringify!($name));
                }

                #[test]
                fn memcached() {
                    crate::against_memcached(stringify!($name));
                }
            }
        )*
    };
}

scripts! {
    lines storage retrieval exptime arithmetic noreply flush
    meta_get meta_base64 meta_set meta_delete meta_arithmetic meta_stale
    binary_commands binary_errors auth sasl admin stats limits deviations
}

fn against_larder(name: &str) {
    let sections = sections(name);
    let mut failures = Vec::new();
    for (target, cut) in [
        (Target::LarderTcp, Cut::Stepwise),
        (Target::LarderUnix, Cut::Piped),
        (Target::LarderUnix, Cut::Split),
    ] {
        failures.extend(Runner::new(target, cut, None).run(name, &sections));
    }
    report(&failures);
}

fn against_memcached(name: &str) {
    let version = server::stock_version();
    let mut runner = Runner::new(Target::Stock, Cut::Stepwise, Some(version));
    report(&runner.run(name, &sections(name)));
}

fn sections(name: &str) -> Vec<Section> {
    let (_, text) = SCRIPTS.iter().find(|(known, _)| *known == name).expect("a script");
    script::parse(text).unwrap_or_else(|error| panic!("{name}.wire: {error}"))
}

fn report(failures: &[String]) {
    assert!(failures.is_empty(), "{} sections failed\n\n{}", failures.len(), failures.join("\n\n"));
}

#[test]
fn every_script_is_run() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire/scripts");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| {
        let name = entry.unwrap().file_name().into_string().unwrap();
        name.strip_suffix(".wire").expect("scripts end in .wire").to_owned()
    });
    let files: BTreeSet<String> = files.collect();
    let run: BTreeSet<String> = SCRIPTS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(files, run);
}

/// A deviation is a line of docs/protocol.md that begins with its name, and says "wire" if a script
/// holds it.
#[test]
fn deviations_are_documented_and_documented_ones_are_tested() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol.md");
    let text = std::fs::read_to_string(path).unwrap();
    let named = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let documented: BTreeSet<&str> = named
        .filter(|(_, rest)| rest.trim_end().ends_with("| wire |"))
        .map(|(name, _)| name)
        .collect();
    let mut used = BTreeSet::new();
    let scripts: Vec<Vec<Section>> = SCRIPTS.iter().map(|(name, _)| sections(name)).collect();
    for section in scripts.iter().flatten() {
        used.extend(section.only_larder.as_deref());
        for step in &section.steps {
            if let Action::Expect(reply) = &step.action {
                used.extend(reply.larder.as_ref().map(|(anchor, _)| anchor.as_str()));
            }
        }
    }
    assert_eq!(used, documented, "left: in the scripts; right: in docs/protocol.md");
}
