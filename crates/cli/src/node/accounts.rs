//! Who may use a server: everybody, the users of a file, or whom the accounts know.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};
use larder_tenancy::{AuthFile, Capabilities, Directory, Layout, Salt, SharedDirectory};

/// Longer files are none that people write.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// Where a server's users come from.
#[derive(Debug)]
pub(crate) enum Accounts {
    /// Nobody is asked.
    Open,
    /// From a file, which is read again when it is told to.
    File(UserFile),
    /// From a database, by somebody else, who publishes what changes.
    Followed,
}

/// A file of users.
#[derive(Debug)]
pub(crate) struct UserFile {
    pub(crate) path: PathBuf,
    layout: Layout,
    capabilities: Capabilities,
    salt: Salt,
}

impl UserFile {
    /// Users who may do what `capabilities` say, from a file that is read by [`Accounts::load`].
    pub(crate) fn new(
        path: PathBuf,
        layout: Layout,
        capabilities: Capabilities,
    ) -> anyhow::Result<Self> {
        let salt = Salt::random().context("the system has no randomness")?;
        Ok(Self { path, layout, capabilities, salt })
    }

    fn read(&self, previous: &Directory) -> anyhow::Result<Directory> {
        let Self { path, layout, capabilities, salt } = self;
        let shown = path.display();
        let length = fs::metadata(path).with_context(|| format!("cannot read {shown}"))?.len();
        if length > MAX_FILE_BYTES {
            bail!("{shown} has {length} bytes; a file of users has at most {MAX_FILE_BYTES}");
        }
        let text = fs::read(path).with_context(|| format!("cannot read {shown}"))?;
        let file = AuthFile::parse(&text, *layout, *salt).with_context(|| shown.to_string())?;
        Ok(file.directory(previous, *capabilities))
    }
}

impl Accounts {
    /// The first directory.
    pub(crate) fn load(&self) -> anyhow::Result<Directory> {
        match self {
            Accounts::Open => Ok(Directory::open()),
            Accounts::File(file) => file.read(&Directory::default()),
            Accounts::Followed => Ok(Directory::default()),
        }
    }

    /// Reads the users again, and publishes them; how many there are now.
    ///
    /// # Errors
    ///
    /// If the file cannot be read. The users stay as they were.
    pub(crate) fn reload(&self, directory: &SharedDirectory) -> anyhow::Result<Option<usize>> {
        let Accounts::File(file) = self else { return Ok(None) };
        let next = file.read(&directory.load())?;
        let users = next.credentials().count();
        directory.publish(next)?;
        Ok(Some(users))
    }
}
