//! `cargo xtask fuzz`: random bytes for the parsers and the engine.
//!
//! Not part of `cargo xtask test`: it needs a nightly compiler and cargo-fuzz.

use anyhow::{Context, ensure};

/// What there is to install if it is missing.
const INSTALL: &str = "rustup toolchain install nightly; cargo install cargo-fuzz";

/// A target: the crate it belongs to, its name, and whether it has a dictionary.
struct Target {
    package: &'static str,
    name: &'static str,
    dictionary: bool,
}

const TARGETS: &[Target] = &[
    Target { package: "proto", name: "text", dictionary: true },
    Target { package: "proto", name: "meta", dictionary: true },
    Target { package: "proto", name: "binary", dictionary: true },
    Target { package: "store", name: "operations", dictionary: false },
];

/// Which targets to run, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only targets whose name contains this
    filter: Option<String>,
    /// How long to run each of them, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

/// Runs one after the other; fails at the first that finds something.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let chosen =
        |target: &&Target| args.filter.as_ref().is_none_or(|part| target.name.contains(part));
    let targets: Vec<&Target> = TARGETS.iter().filter(chosen).collect();
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    ensure!(!targets.is_empty(), "no such target: there are {}", names.join(", "));
    for target in targets {
        println!("\n=== {} for {} s ===", target.name, args.seconds);
        target.run(args.seconds)?;
    }
    Ok(())
}

impl Target {
    fn run(&self, seconds: u32) -> anyhow::Result<()> {
        let folder = crate::root().join("crates").join(self.package);
        let mut fuzz = std::process::Command::new("rustup");
        fuzz.current_dir(&folder).args(["run", "nightly", "cargo", "fuzz", "run", self.name, "--"]);
        fuzz.arg(format!("-max_total_time={seconds}"));
        if self.dictionary {
            let path = folder.join("fuzz/dictionaries").join(self.name).with_extension("dict");
            fuzz.arg(format!("-dict={}", path.display()));
        }
        let status =
            fuzz.status().context("cannot run rustup, which finds the nightly compiler")?;
        ensure!(status.success(), "fuzzing {}: {status}; it needs: {INSTALL}", self.name);
        Ok(())
    }
}
