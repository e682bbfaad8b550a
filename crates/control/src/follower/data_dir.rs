//! The data directory of a node: locked while a node runs on it.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::error::AccountsError;
use crate::secrets;
use crate::url::AccountsUrl;

/// The data directory of a node, locked: no other process runs a node on it.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    node_id: String,
    /// Holds the lock until it is closed, which the system does when the process is gone.
    _lock: File,
}

impl DataDir {
    /// Makes the directory if it is missing, locks it and reads, or makes, the node's id.
    ///
    /// # Errors
    ///
    /// [`AccountsError::Conflict`] if another process has it, [`AccountsError::Unavailable`] if it
    /// cannot be written, [`AccountsError::Damaged`] if the id is none.
    pub fn open(path: &Path) -> Result<Self, AccountsError> {
        let unusable = |error| unusable(path, &error);
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
        let lock = lock(path)?;
        let node_id = node_id(path)?;
        Ok(Self { path: path.to_owned(), node_id, _lock: lock })
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The id of the node, random and kept.
    #[must_use]
    pub fn node_id(&self) -> &str {
        &self.node_id
    }

    /// The accounts in `path`, where no other database is asked for: `accounts.db`.
    #[must_use]
    pub fn accounts_url(path: &Path) -> AccountsUrl {
        AccountsUrl::file(&path.join("accounts.db"))
    }

    /// The file of the last directory: `directory.json`.
    #[must_use]
    pub fn snapshot_path(&self) -> PathBuf {
        self.path.join("directory.json")
    }

    /// The file of the node's history: `history.db`.
    #[must_use]
    pub fn history_path(&self) -> PathBuf {
        self.path.join("history.db")
    }
}

/// Locks the file `lock`, which holds the number of the process that has the lock.
fn lock(directory: &Path) -> Result<File, AccountsError> {
    let unusable = |error| unusable(directory, &error);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(directory.join("lock")).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).map_err(unusable)?;
            write!(file, "{}", std::process::id()).map_err(unusable)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // For the message alone; unreadable is as good as empty.
            let _ = file.read_to_string(&mut holder);
            Err(AccountsError::Conflict(format!(
                "another node (process {holder}) runs on {}: stop it, or use another directory",
                directory.display()
            )))
        }
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

/// The id in the file `node-id`, made if there is none.
fn node_id(directory: &Path) -> Result<String, AccountsError> {
    let path = directory.join("node-id");
    match std::fs::read_to_string(&path) {
        Ok(text) if is_id(text.trim()) => Ok(text.trim().to_owned()),
        Ok(_) => Err(AccountsError::Damaged(format!(
            "{} is no node's id (16 hex digits): remove it to have a new one made",
            path.display()
        ))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = secrets::random_hex::<8>()?;
            replace(&path, id.as_bytes()).map_err(|error| unusable(directory, &error))?;
            Ok(id)
        }
        Err(error) => Err(unusable(directory, &error)),
    }
}

/// Writes a file, for its owner alone, so that after a crash at any moment it is either as it was or as
/// it should be.
pub(super) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let unfinished = Path::new(&name);
    // Not what another user may have put there.
    match std::fs::remove_file(unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(unfinished, path)?;
    // The new name is on the disk only when its directory is.
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn is_id(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn unusable(path: &Path, error: &io::Error) -> AccountsError {
    AccountsError::Unavailable(format!(
        "the data directory {} cannot be used: {error}; name one that this user may write",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_directory_is_one_nodes_and_keeps_its_id() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let first = DataDir::open(&path).unwrap();
        let id = first.node_id().to_owned();
        assert!(is_id(&id));
        let error = DataDir::open(&path).unwrap_err().to_string();
        let process = format!("process {}", std::process::id());
        assert!(error.contains(&process) && error.contains("a/b"), "{error}");
        drop(first);
        assert_eq!(DataDir::open(&path).unwrap().node_id(), id);
        let mode = |name: &str| path.join(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("."), mode("lock"), mode("node-id")), (0o700, 0o600, 0o600));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = DataDir::open(&file.join("inside")).unwrap_err().to_string();
        assert!(error.contains("file/inside") && error.contains("cannot be used"), "{error}");
        std::fs::write(parent.path().join("node-id"), "garbage").unwrap();
        let error = DataDir::open(parent.path()).unwrap_err();
        assert!(matches!(&error, AccountsError::Damaged(says) if says.contains("node-id")));
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("file");
        std::fs::write(parent.path().join("file.new"), "left by a crash").unwrap();
        for content in ["long content", "x"] {
            replace(&path, content.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
        }
        assert!(!parent.path().join("file.new").exists());
    }
}
