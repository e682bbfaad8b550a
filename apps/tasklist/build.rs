//! Build script: rebuilds the crate when a migration is added or changed, because the migrations
//! are embedded in the binary. It owns nothing else, and must generate no code.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
