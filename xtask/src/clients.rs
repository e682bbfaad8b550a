//! Installs the client libraries of other languages that the tests use (`larder_peers`' list), from
//! the package registries of those languages, into `target/clients`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use larder_peers::{NODE_PACKAGES, PYTHON_PACKAGES, clients_directory, clients_mark};

/// Makes sure that they are there, in the versions of the list.
///
/// # Errors
///
/// When they are missing and may not, or cannot, be installed.
pub(crate) fn make_sure(install: bool) -> anyhow::Result<()> {
    let directory = clients_directory();
    let mark = directory.join("installed");
    if fs::read_to_string(&mark).is_ok_and(|text| text == clients_mark()) {
        return Ok(());
    }
    let list = [PYTHON_PACKAGES, NODE_PACKAGES].concat().join(", ");
    if !install {
        bail!(
            "missing in {}: {list}\nnothing is installed because of --no-install",
            directory.display()
        );
    }
    println!("installing client libraries for the tests: {list}");
    if directory.exists() {
        fs::remove_dir_all(&directory).context("cannot remove the old client libraries")?;
    }
    fs::create_dir_all(&directory)?;
    let python = directory.join("python");
    run(Command::new("python3").args(["-m", "venv"]).arg(&python))?;
    run(Command::new(python.join("bin/python3"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(PYTHON_PACKAGES))?;
    run(npm(&directory).args(NODE_PACKAGES))?;
    fs::write(mark, clients_mark())?;
    Ok(())
}

/// `npm install` into a directory; no package may run anything.
fn npm(directory: &Path) -> Command {
    let mut npm = Command::new("npm");
    npm.args(["install", "--ignore-scripts", "--no-save", "--no-audit", "--no-fund", "--prefix"]);
    npm.arg(directory);
    npm
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}
