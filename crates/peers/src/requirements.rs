//! The one table of what the tests and benches need from the distribution.
//!
//! `cargo xtask test` installs from it; the peers look their programs up through it, so that a
//! missing one is reported with its package.

use std::path::{Path, PathBuf};

/// One thing that must be installed.
#[derive(Debug, Clone, Copy)]
pub struct Requirement {
    /// What it is for, in a few words.
    pub what: &'static str,
    /// How its presence is found out.
    pub probe: Probe,
    /// The Debian package that brings it.
    pub package: &'static str,
}

/// How the presence of a [`Requirement`] is found out.
#[derive(Debug, Clone, Copy)]
pub enum Probe {
    /// An executable of this name, in `PATH`, the `sbin` directories or PostgreSQL's own.
    Program(&'static str),
    /// A file below `/usr/lib` or `/usr/lib/<architecture>`.
    Library(&'static str),
}

impl Requirement {
    /// Where it is installed, or `None` if it is missing.
    #[must_use]
    pub fn find(&self) -> Option<PathBuf> {
        match self.probe {
            Probe::Program(name) => find_program(name),
            Probe::Library(name) => find_library(name),
        }
    }
}

/// Everything the tests and benches need, in the order in which it is reported.
#[must_use]
pub fn required() -> &'static [Requirement] {
    const fn program(what: &'static str, name: &'static str, package: &'static str) -> Requirement {
        Requirement { what, probe: Probe::Program(name), package }
    }
    const fn library(what: &'static str, name: &'static str, package: &'static str) -> Requirement {
        Requirement { what, probe: Probe::Library(name), package }
    }
    const REQUIRED: &[Requirement] = &[
        program("ties peers to the test process", "setpriv", "util-linux"),
        program("the cache server others use", "memcached", "memcached"),
        program("memcached's SASL accounts", "saslpasswd2", "sasl2-bin"),
        library("SASL PLAIN", "sasl2/libplain.so", "libsasl2-modules"),
        library("SASL account files", "sasl2/libsasldb.so", "libsasl2-modules-db"),
        program("memcached's protocol test", "memccapable", "libmemcached-tools"),
        program("clients in Python", "python3", "python3"),
        library("their virtual environment", "ensurepip/__init__.py", "python3-venv"),
        program("clients in JavaScript", "node", "nodejs"),
        program("their packages", "npm", "npm"),
        program("PostgreSQL server", "postgres", "postgresql"),
        program("PostgreSQL cluster set-up", "initdb", "postgresql"),
        program("PostgreSQL client", "psql", "postgresql"),
        program("MariaDB server", "mariadbd", "mariadb-server"),
        program("MariaDB data directory set-up", "mariadb-install-db", "mariadb-server"),
        program("MariaDB client", "mariadb", "mariadb-client"),
        program("browser", "chromium", "chromium"),
        program("browser remote control", "chromedriver", "chromium-driver"),
        program("HTTP load generator", "wrk", "wrk"),
    ];
    REQUIRED
}

/// The path of a program of [`required`].
///
/// # Panics
///
/// When it is not installed, or not in the table.
pub(crate) fn program(name: &str) -> PathBuf {
    let requirement = required()
        .iter()
        .find(|r| matches!(r.probe, Probe::Program(p) if p == name))
        .unwrap_or_else(|| panic!("{name} is missing from larder_peers::required()"));
    must_have(requirement)
}

/// The path of a library of [`required`].
///
/// # Panics
///
/// When it is not installed, or not in the table.
pub(crate) fn library(name: &str) -> PathBuf {
    let requirement = required()
        .iter()
        .find(|r| matches!(r.probe, Probe::Library(p) if p == name))
        .unwrap_or_else(|| panic!("{name} is missing from larder_peers::required()"));
    must_have(requirement)
}

fn must_have(requirement: &Requirement) -> PathBuf {
    requirement.find().unwrap_or_else(|| {
        let (Probe::Program(name) | Probe::Library(name)) = requirement.probe;
        panic!(
            "this test needs {name} ({}): install the Debian package {}, or run `cargo xtask test`, which does",
            requirement.what, requirement.package
        )
    })
}

fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let postgres = children(Path::new("/usr/lib/postgresql")).into_iter().map(|v| v.join("bin"));
    // PostgreSQL's own directory comes first: Debian's wrappers in PATH choose a cluster by themselves.
    postgres
        .chain(std::env::split_paths(&path))
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

fn find_library(name: &str) -> Option<PathBuf> {
    let usr_lib = Path::new("/usr/lib");
    std::iter::once(usr_lib.to_path_buf())
        .chain(children(usr_lib))
        .map(|dir| dir.join(name))
        .find(|file| file.is_file())
}

/// The entries of a directory, the highest name first (so the newest version); none if unreadable.
fn children(dir: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> =
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
    entries.sort();
    entries.reverse();
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_exists_is_found_and_one_that_does_not_is_not() {
        assert!(find_program("sh").is_some());
        assert!(find_program("larder-no-such-program").is_none());
        assert!(find_library("larder-no-such-library.so").is_none());
    }

    #[test]
    fn a_missing_program_is_named_with_its_package_and_the_cure() {
        let missing = Requirement {
            what: "nothing",
            probe: Probe::Program("larder-no-such-program"),
            package: "larder-no-such-package",
        };
        let panic = std::panic::catch_unwind(|| must_have(&missing)).unwrap_err();
        let text = panic.downcast_ref::<String>().unwrap();
        for part in ["larder-no-such-program", "larder-no-such-package", "cargo xtask test"] {
            assert!(text.contains(part), "{text:?} should name {part:?}");
        }
    }
}
