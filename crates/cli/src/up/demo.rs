//! The tenant of the task list: made when it is missing, with a password that outlives a restart.
//!
//! Accounts keep digests only, so the password is in a file beside them, which nobody else may read. The
//! file is what a shell would be given: `. ./larder-data/demo.env`.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use larder_control::{
    Access, Accounts, AccountsError, Actor, Form, NewCredential, NewTenant, Secret,
};
use larder_tenancy::{Capabilities, TenantName};

/// The tenant's name.
pub(super) const NAME: &str = "demo";

/// The size of the smallest cache that is sold elsewhere.
const MEMORY: u64 = 25 << 20;

/// The username and the password in the file, if it has them.
pub(super) fn read(path: &Path) -> Option<Secret> {
    let text = fs::read_to_string(path).ok()?;
    let value = |name: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix("export "));
        let found = lines.filter_map(|line| line.split_once('=')).find(|(one, _)| *one == name);
        found.map(|(_, value)| value.to_owned())
    };
    let username = value("MEMCACHIER_USERNAME")?;
    Some(Secret { username, password: value("MEMCACHIER_PASSWORD")? })
}

/// Writes the file anew, whole or not at all.
pub(super) fn write(path: &Path, access: &Access) -> anyhow::Result<()> {
    let beside = path.with_extension("env.tmp");
    let written = || -> std::io::Result<()> {
        // What is left of an earlier try may have other rights.
        let _ = fs::remove_file(&beside);
        let mut file: File =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(access.text(Form::Env).as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

/// Makes the tenant or, if it is there and its password is not known any more, a new credential for it;
/// with the version of the accounts that has it.
pub(super) async fn provision(accounts: &Accounts) -> Result<(Secret, u64), AccountsError> {
    let by = Actor { who: "larder up".to_owned(), from: "cli".to_owned() };
    let wanted = |_| AccountsError::Conflict(format!("{NAME} is no tenant's name"));
    let name = TenantName::new(NAME).map_err(wanted)?;
    match accounts.create_tenant(&by, NewTenant::new(name.clone(), MEMORY)).await {
        Ok(made) => return Ok((made.value.1, made.version)),
        Err(AccountsError::Exists { .. }) => {}
        Err(error) => return Err(error),
    }
    let new = NewCredential {
        capabilities: Capabilities::ALL,
        key_prefix: None,
        expires: None,
        note: "larder up".to_owned(),
        chosen: None,
    };
    let made = accounts.create_credential(&by, &name, new).await?;
    let promoted = accounts.promote_credential(&by, &name, &made.value.username).await?;
    Ok((made.value, promoted.version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_read_back_and_nobody_else_may() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("demo.env");
        assert_eq!(read(&path), None);
        let access = Access {
            servers: vec!["[::1]:11211".to_owned()],
            username: "15f38e".to_owned(),
            password: Some("0123456789abcdef".to_owned()),
        };
        for _ in 0..2 {
            write(&path, &access).unwrap();
            let mode = path.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let secret = read(&path).unwrap();
            assert_eq!(secret.username, access.username);
            assert_eq!(Some(secret.password), access.password);
        }
        fs::write(&path, "export MEMCACHIER_USERNAME=x\n").unwrap();
        assert_eq!(read(&path), None);
    }
}
