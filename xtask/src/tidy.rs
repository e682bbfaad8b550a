//! `cargo xtask tidy`: the rules of the house that the compiler does not know.
//!
//! Each rule is a function from what it looks at to the faults it found, with a test that plants one.
//! The same rules are a test of this crate, so `cargo test` alone enforces them.

mod crates;
mod licences;
mod links;
mod text;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::root;

/// A file of the repository, its path relative to the root.
#[derive(Debug)]
struct File {
    path: String,
    text: String,
}

/// Checks the repository and prints what it found.
///
/// # Errors
///
/// When a rule is broken.
pub(crate) fn run() -> anyhow::Result<()> {
    let files = files(&root())?;
    let faults = faults(&files)?;
    for fault in &faults {
        println!("{fault}");
    }
    if !faults.is_empty() {
        bail!("tidy: {} faults", faults.len());
    }
    println!("{} files are tidy", files.len());
    Ok(())
}

/// Everything that is wrong.
fn faults(files: &[File]) -> anyhow::Result<Vec<String>> {
    let mut faults = Vec::new();
    for file in files {
        if file.path.ends_with(".rs") {
            faults.extend(text::module_docs(file));
            faults.extend(text::length(file));
            faults.extend(text::leftovers(file));
            faults.extend(text::unsafe_code(file));
        }
        if file.path.ends_with(".md") {
            faults.extend(links::broken(file, |target| root().join(target).exists()));
        }
        faults.extend(text::local_paths(file));
    }
    let packages = crates::read()?;
    faults.extend(crates::directions(&packages));
    faults.extend(crates::lints(&packages, files));
    faults.extend(licences::refused(&licences::read()?, files));
    Ok(faults)
}

/// The text files that belong to the repository: tracked, or new and not ignored.
fn files(root: &Path) -> anyhow::Result<Vec<File>> {
    let output = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .context("cannot run git")?;
    if !output.status.success() {
        bail!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let paths = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    let read = |path: &str| {
        // Images are not text; a deleted file may still be in git's list.
        let text = std::fs::read_to_string(root.join(path)).ok()?;
        Some(File { path: path.to_owned(), text })
    };
    Ok(paths.split_terminator('\0').filter_map(read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_is_tidy() {
        let files = files(&root()).unwrap();
        assert!(files.iter().any(|file| file.path == "xtask/src/tidy.rs"));
        let faults = faults(&files).unwrap();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }

    #[test]
    fn every_rule_is_applied() {
        let marker = concat!("FIX", "ME");
        let home = concat!("/ho", "me/someone");
        let allowed = concat!("allow(unsa", "fe_code");
        let files = [
            File { path: "src/b.rs".into(), text: format!("//! Doc.\n#![{allowed})]\n") },
            File { path: "src/a.rs".into(), text: format!("// {marker}\n").repeat(801) },
            File { path: "a.md".into(), text: format!("[x](no-such-file.md) {home}\n") },
            File { path: "deny.toml".into(), text: "allow = []\n".into() },
        ];
        let faults = faults(&files).unwrap().join("\n");
        for part in [
            "`//!`",
            "801 lines",
            marker,
            allowed,
            "no-such-file.md",
            home,
            "lacks unsafe_code",
            "not allowed",
        ] {
            assert!(faults.contains(part), "{part}: {faults}");
        }
    }
}
