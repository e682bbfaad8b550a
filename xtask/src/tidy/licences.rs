//! Every dependency's licence is allowed by `deny.toml`.
//!
//! The same question that `cargo deny check licenses` answers in more depth, answered without a tool
//! that has to be installed.

use anyhow::{Context, bail};

use super::File;
use crate::test::cargo;

/// A dependency and the licence expression of its manifest.
#[derive(Debug)]
pub(super) struct Licensed {
    package: String,
    expression: String,
}

/// Asks cargo for everything this workspace is built from, with all features, on this platform.
pub(super) fn read() -> anyhow::Result<Vec<Licensed>> {
    let output = cargo()
        .args([
            "tree",
            "--workspace",
            "--all-features",
            "--prefix",
            "none",
            "--no-dedupe",
            "--format",
            "{p}\t{l}",
        ])
        .output()
        .context("cannot run cargo tree")?;
    if !output.status.success() {
        bail!("cargo tree: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8(output.stdout)?;
    let mut lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
    lines.sort_unstable();
    lines.dedup();
    let licensed = |line: &str| {
        let (package, expression) = line.split_once('\t').unwrap_or((line, ""));
        Licensed { package: package.to_owned(), expression: expression.to_owned() }
    };
    Ok(lines.into_iter().map(licensed).collect())
}

/// Dependencies whose licence is not covered by the list in `deny.toml`.
pub(super) fn refused(dependencies: &[Licensed], files: &[File]) -> Vec<String> {
    let Some(deny) = files.iter().find(|file| file.path == "deny.toml") else {
        return vec!["deny.toml: missing".into()];
    };
    let allowed = allowed(&deny.text);
    dependencies
        .iter()
        .filter(|dependency| !covers(&dependency.expression, &allowed))
        .map(|dependency| {
            let Licensed { package, expression } = dependency;
            format!("{package}: licence {expression:?} is not allowed by deny.toml")
        })
        .collect()
}

/// The names in the list `allow = [ … ]`.
fn allowed(deny: &str) -> Vec<&str> {
    let lines = deny.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let list =
        lines.skip_while(|line| !line.starts_with("allow = [")).take_while(|line| *line != "]");
    list.filter_map(|line| line.split('"').nth(1)).collect()
}

/// Whether an SPDX expression (or the older form with a slash for "or") can be met by `allowed`.
fn covers(expression: &str, allowed: &[&str]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    let met = any_of(&mut words, allowed);
    // Words that are left over were not understood.
    met && words.peek().is_none()
}

type Words<'w> = std::iter::Peekable<std::str::SplitWhitespace<'w>>;

fn any_of(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut met = all_of(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= all_of(words, allowed);
    }
    met
}

fn all_of(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let mut met = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

/// A licence, with its exception if it has one, or an expression in parentheses.
fn one(words: &mut Words<'_>, allowed: &[&str]) -> bool {
    let Some(word) = words.next() else {
        return false;
    };
    if word == "(" {
        let met = any_of(words, allowed);
        return met && words.next_if_eq(&")").is_some();
    }
    // An exception only adds permissions.
    if words.next_if_eq(&"WITH").is_some() {
        words.next();
    }
    allowed.contains(&word)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENY: &str = "[licenses]\nallow = [\n    \"MIT\",\n    # why\n    \"ISC\", # more\n]\n[bans]\nskip = [\"GPL-3.0\"]\n";

    #[test]
    fn a_licence_that_is_not_allowed_is_found() {
        let deny = File { path: "deny.toml".into(), text: DENY.into() };
        let dependency =
            |expression: &str| Licensed { package: "a v1".into(), expression: expression.into() };
        let dependencies = [dependency("MIT"), dependency("GPL-3.0"), dependency("")];
        let faults = refused(&dependencies, &[deny]);
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].contains("\"GPL-3.0\""));
        assert_eq!(refused(&[], &[]), ["deny.toml: missing"]);
    }

    #[test]
    fn expressions_are_read_as_spdx_reads_them() {
        let allowed = allowed(DENY);
        assert_eq!(allowed, ["MIT", "ISC"]);
        for (expression, expected) in [
            ("MIT", true),
            ("MIT OR GPL-3.0", true),
            ("GPL-3.0/MIT", true),
            ("MIT AND GPL-3.0", false),
            ("MIT AND ISC", true),
            ("(MIT OR GPL-3.0) AND ISC", true),
            ("GPL-3.0 OR MIT AND GPL-2.0", false),
            ("GPL-3.0 WITH GCC-exception-3.1 OR MIT", true),
            ("MIT WITH LLVM-exception", true),
            ("MIT ISC", false),
            ("(MIT", false),
            ("", false),
        ] {
            assert_eq!(covers(expression, &allowed), expected, "{expression:?}");
        }
    }
}
