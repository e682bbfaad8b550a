//! Clients that others wrote, in Python and JavaScript: where they are installed, and which.
//!
//! They come from the package registries of their languages, in exactly these versions, into
//! `target/clients` of the workspace: `python` is a virtual environment, `node_modules` lies beside.
//! `cargo xtask test` installs them.

use std::path::{Path, PathBuf};

use crate::requirements;

/// The Python packages, as `pip` takes them.
pub const PYTHON_PACKAGES: &[&str] = &[
    "Django==5.2.19",
    "django-bmemcached==0.3.0",
    "pylibmc==1.6.3",
    "pymemcache==4.0.0",
    "python-binary-memcached==0.33.0",
];

/// The Node.js packages, as `npm` takes them.
pub const NODE_PACKAGES: &[&str] = &["memjs@1.3.2"];

/// Where the packages are; there may be nothing yet.
#[must_use]
pub fn clients_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/clients")
}

/// What the file `installed` in that directory says when the packages are there.
#[must_use]
pub fn clients_mark() -> String {
    let packages = PYTHON_PACKAGES.iter().chain(NODE_PACKAGES);
    packages.map(|package| format!("{package}\n")).collect()
}

/// A Python that has the packages.
///
/// # Panics
///
/// When they are not installed.
#[must_use]
pub fn python() -> PathBuf {
    clients().join("python/bin/python3")
}

/// Node.js, and the directory whose `node_modules` has the packages.
///
/// # Panics
///
/// When they are not installed.
#[must_use]
pub fn node() -> (PathBuf, PathBuf) {
    (requirements::program("node"), clients())
}

/// The directory of the SASL mechanisms. The library in pylibmc's package looks for them where other
/// distributions have them, unless the variable `SASL_PATH` names it.
///
/// # Panics
///
/// When they are not installed.
#[must_use]
pub fn sasl_mechanisms() -> PathBuf {
    let plain = requirements::library("sasl2/libplain.so");
    plain.parent().expect("a file is in a directory").to_path_buf()
}

fn clients() -> PathBuf {
    let directory = clients_directory();
    let mark = std::fs::read_to_string(directory.join("installed")).unwrap_or_default();
    assert!(
        mark == clients_mark(),
        "this test needs client libraries of Python and Node.js: run `cargo xtask test`, which installs them"
    );
    directory.canonicalize().expect("it is there")
}

/// libmemcached's test of a server's protocols.
///
/// # Panics
///
/// When it is not installed.
#[must_use]
pub fn memccapable() -> PathBuf {
    requirements::program("memccapable")
}
