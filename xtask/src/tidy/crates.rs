//! Rules about the crates: who may depend on whom, and that all have the same lints.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use serde_json::Value;

use super::File;
use crate::test::cargo;

/// A crate of the workspace and its direct dependencies.
#[derive(Debug)]
pub(super) struct Package {
    name: String,
    dependencies: Vec<Dependency>,
    /// Of its `Cargo.toml`, relative to the root.
    manifest: String,
}

#[derive(Debug)]
struct Dependency {
    name: String,
    /// For tests only.
    dev: bool,
}

/// Which crates of the workspace a crate may depend on. Arrows point down only.
const ALLOWED: &[(&str, &[&str])] = &[
    ("larder-proto", &[]),
    ("larder-store", &[]),
    ("larder-tenancy", &[]),
    ("larder-peers", &[]),
    ("larder-sim", &[]),
    ("larder-load", &[]),
    ("larder-bench-store", &["larder-load", "larder-sim", "larder-store"]),
    ("larder-insight", &["larder-tenancy"]),
    ("larder-server", &["larder-insight", "larder-proto", "larder-store", "larder-tenancy"]),
    ("larder-control", &["larder-tenancy"]),
    ("larder-console", &["larder-control", "larder-tenancy"]),
    ("larder-client", &["larder-proto"]),
    ("larder", &["larder-client", "larder-store"]),
    ("tasklist", &["larder"]),
    (
        "larder-cli",
        &[
            "larder",
            "larder-client",
            "larder-console",
            "larder-control",
            "larder-load",
            "larder-proto",
            "larder-server",
            "larder-store",
            "larder-tenancy",
            "tasklist",
        ],
    ),
];

/// What CI runs may depend on anything.
const FREE: &str = "xtask";

/// Every crate's tests may use it, and nothing else.
const FOR_TESTS: &str = "larder-peers";

/// Crates that know nothing of sockets, and what would tell them.
const SANS_IO: [&str; 4] = ["larder-insight", "larder-proto", "larder-store", "larder-tenancy"];
const IO: [&str; 3] = ["tokio", "mio", "hyper"];

/// The one crate that may have unsafe code. It repeats the workspace's lints, for it cannot inherit them
/// all but one: where they forbid unsafe code, it denies it, so that a block can be allowed.
const UNSAFE: &str = "larder-store";
const FORBIDDEN: &str = "unsafe_code = \"forbid\"";
const DENIED: &str = "unsafe_code = \"deny\"";

/// Asks cargo for the workspace's crates.
pub(super) fn read() -> anyhow::Result<Vec<Package>> {
    let output = cargo()
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    parse(&serde_json::from_slice(&output.stdout)?)
}

/// Reads the packages out of `cargo metadata`.
fn parse(metadata: &Value) -> anyhow::Result<Vec<Package>> {
    let text =
        |value: &Value| value.as_str().map(str::to_owned).context("cargo metadata lacks a name");
    let list = |value: &Value| value.as_array().cloned().context("cargo metadata lacks a list");
    let root = text(&metadata["workspace_root"])?;
    list(&metadata["packages"])?
        .iter()
        .map(|package| {
            let manifest = text(&package["manifest_path"])?;
            let dependencies = list(&package["dependencies"])?
                .iter()
                .map(|d| Ok(Dependency { name: text(&d["name"])?, dev: d["kind"] == "dev" }))
                .collect::<anyhow::Result<_>>()?;
            let inside = manifest.strip_prefix(&root).unwrap_or(&manifest);
            let manifest = inside.trim_start_matches('/').to_owned();
            Ok(Package { name: text(&package["name"])?, dependencies, manifest })
        })
        .collect()
}

/// Dependencies that point the wrong way, and crates the table does not know.
pub(super) fn directions(packages: &[Package]) -> Vec<String> {
    let mut faults = Vec::new();
    for package in packages.iter().filter(|package| package.name != FREE) {
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| *name == package.name) else {
            faults.push(format!("{}: not in the table of allowed dependencies", package.name));
            continue;
        };
        for dependency in &package.dependencies {
            let ours = packages.iter().any(|other| other.name == dependency.name);
            let fine = match dependency.name.as_str() {
                FOR_TESTS => dependency.dev,
                name if ours => allowed.contains(&name),
                name => !(SANS_IO.contains(&&*package.name) && IO.contains(&name)),
            };
            if !fine {
                faults.push(format!("{}: may not depend on {}", package.name, dependency.name));
            }
        }
    }
    faults
}

/// Crates that do not have the workspace's lints, or a workspace that does not forbid unsafe code.
pub(super) fn lints(packages: &[Package], files: &[File]) -> Vec<String> {
    let text =
        |path: &str| files.iter().find(|file| file.path == path).map_or("", |file| &*file.text);
    let mut faults = Vec::new();
    for Package { name, manifest, .. } in packages {
        if name == UNSAFE {
            let theirs = listed(text("Cargo.toml"), "[workspace.lints.");
            let theirs: BTreeSet<_> =
                theirs.into_iter().map(|lint| lint.replace(FORBIDDEN, DENIED)).collect();
            let own = listed(text(manifest), "[lints.");
            let lacks = theirs.difference(&own).map(|lint| format!("lacks {lint}"));
            let more = own.difference(&theirs).map(|lint| format!("has {lint}"));
            let differs = |how| format!("{manifest}: {how}, unlike the workspace's lints");
            faults.extend(lacks.chain(more).map(differs));
        } else if !section(text(manifest), "[lints]").any(|line| line == "workspace = true") {
            faults.push(format!("{manifest}: does not inherit the workspace's lints"));
        }
    }
    if !section(text("Cargo.toml"), "[workspace.lints.rust]").any(|line| line == FORBIDDEN) {
        faults.push(format!("Cargo.toml: lacks {FORBIDDEN}"));
    }
    faults
}

/// The lints that a TOML file lists in tables whose headings begin with `prefix`, each as
/// `table: line`.
fn listed(toml: &str, prefix: &str) -> BTreeSet<String> {
    let mut lints = BTreeSet::new();
    let mut table = None;
    for line in toml.lines().map(str::trim) {
        if line.starts_with('[') {
            table = line.strip_prefix(prefix).and_then(|name| name.strip_suffix(']'));
        } else if let Some(table) = table
            && !line.is_empty()
            && !line.starts_with('#')
        {
            lints.insert(format!("{table}: {line}"));
        }
    }
    lints
}

/// The lines of a section of a TOML file.
fn section<'t>(toml: &'t str, heading: &'t str) -> impl Iterator<Item = &'t str> {
    let lines = toml.lines().map(str::trim);
    lines.skip_while(move |line| *line != heading).skip(1).take_while(|line| !line.starts_with('['))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn package(name: &str, dependencies: &[(&str, bool)]) -> Package {
        Package {
            name: name.into(),
            dependencies: dependencies
                .iter()
                .map(|&(name, dev)| Dependency { name: name.into(), dev })
                .collect(),
            manifest: format!("crates/{name}/Cargo.toml"),
        }
    }

    fn check(name: &str, dependency: &str, dev: bool) -> usize {
        let others = [
            "larder-proto",
            "larder-store",
            "larder-client",
            "larder",
            "tasklist",
            "larder-peers",
            "xtask",
        ];
        let mut packages = vec![package(name, &[(dependency, dev)])];
        packages
            .extend(others.iter().filter(|&&other| other != name).map(|other| package(other, &[])));
        directions(&packages).len()
    }

    #[test]
    fn an_arrow_that_points_up_is_found() {
        for (name, dependency) in [
            ("larder-proto", "larder-store"),
            ("larder-store", "larder-proto"),
            ("larder-client", "larder-store"),
            ("larder-client", "larder"),
            ("larder", "tasklist"),
            ("larder", "larder-proto"),
            ("tasklist", "larder-client"),
            ("larder-cli", "xtask"),
            ("larder-peers", "larder-proto"),
            ("larder-store", "tokio"),
            ("larder-unknown", "serde"),
        ] {
            assert_eq!(check(name, dependency, false), 1, "{name} -> {dependency}");
        }
        assert_eq!(check("larder", "tasklist", true), 1, "tests point down, too");
    }

    #[test]
    fn what_helps_the_tests_is_for_tests_only() {
        assert_eq!(check("larder", "larder-peers", false), 1);
        assert_eq!(check("larder", "larder-peers", true), 0);
        assert_eq!(check("xtask", "larder-peers", false), 0);
    }

    #[test]
    fn arrows_that_point_down_are_fine() {
        for (name, dependency) in [
            ("larder", "larder-client"),
            ("tasklist", "larder"),
            ("larder-cli", "tasklist"),
            ("larder-client", "tokio"),
        ] {
            assert_eq!(check(name, dependency, false), 0, "{name} -> {dependency}");
        }
    }

    #[test]
    fn missing_lints_are_found() {
        let root = |text: &str| File { path: "Cargo.toml".into(), text: text.into() };
        let member = |text: &str| File { path: "crates/a/Cargo.toml".into(), text: text.into() };
        let good_root = "[workspace.lints.rust]\nunsafe_code = \"forbid\"\n";
        let good_member = "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n";
        for (root_text, member_text, expected) in [
            (good_root, good_member, 0),
            (
                good_root,
                "[package]\nlicense.workspace = true\n[lints]\n[dependencies]\nworkspace = true\n",
                1,
            ),
            ("[workspace.lints.rust]\nunsafe_code = \"allow\"\n", good_member, 1),
            ("[workspace.lints.clippy]\nunsafe_code = \"forbid\"\n", "", 2),
        ] {
            let faults = lints(&[package("a", &[])], &[root(root_text), member(member_text)]);
            assert_eq!(faults.len(), expected, "{faults:?}");
        }
    }

    #[test]
    fn the_crate_with_unsafe_code_has_the_workspaces_lints_but_for_that_one() {
        let root = "[workspace.lints.rust]\nunsafe_code = \"forbid\"\nmissing_docs = \"warn\"\n\
                    [workspace.lints.clippy]\ntodo = \"warn\"\n[profile.dev]\ndebug = 1\n";
        let good = "[package]\n[lints.rust]\n# Why.\nunsafe_code = \"deny\"\n\
                    missing_docs = \"warn\"\n\n[lints.clippy]\ntodo = \"warn\"\n[features]\na = []\n";
        for (text, expected) in [
            (good.to_owned(), 0),
            // Allowed altogether: one lint lacks, another is there.
            (good.replace("deny", "allow"), 2),
            (good.replace("missing_docs = \"warn\"\n", ""), 1),
            (good.replace("[lints.clippy]\ntodo = \"warn\"\n", ""), 1),
            (good.replace("todo = \"warn\"", "todo = \"warn\"\nall = \"allow\""), 1),
            ("[lints]\nworkspace = true\n".to_owned(), 3),
        ] {
            let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
            let files = [file("Cargo.toml", root), file("crates/larder-store/Cargo.toml", &text)];
            let faults = lints(&[package(UNSAFE, &[])], &files);
            assert_eq!(faults.len(), expected, "{text}: {faults:?}");
        }
    }

    #[test]
    fn metadata_is_read() {
        let metadata = json!({
            "workspace_root": "/r",
            "packages": [{
                "name": "a", "manifest_path": "/r/crates/a/Cargo.toml",
                "dependencies": [{"name": "b", "kind": null}, {"name": "c", "kind": "dev"}],
            }],
        });
        let packages = parse(&metadata).unwrap();
        assert_eq!(packages[0].manifest, "crates/a/Cargo.toml");
        let kinds: Vec<_> = packages[0].dependencies.iter().map(|d| (&*d.name, d.dev)).collect();
        assert_eq!(kinds, [("b", false), ("c", true)]);
        assert!(parse(&json!({"workspace_root": "/r", "packages": [{}]})).is_err());
    }
}
