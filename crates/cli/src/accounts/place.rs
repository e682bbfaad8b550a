//! Where the accounts are: a directory of this machine, or a PostgreSQL database.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use larder_control::{Accounts, AccountsUrl, DataDir};

/// The directory, if nothing names another.
pub(crate) const DEFAULT_DATA: &str = "./larder-data";

/// The accounts, in the directory.
const FILE: &str = "accounts.db";

const DATA_VARIABLE: &str = "LARDER_DATA";
const URL_VARIABLE: &str = "LARDER_DATABASE_URL";

/// Flags that say where the accounts are.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Place {
    /// The data directory of the servers  [default: LARDER_DATA, else ./larder-data]
    #[arg(long, value_name = "DIR", global = true, help_heading = "Where the accounts are")]
    data: Option<PathBuf>,
    /// The database of the accounts, if it is not in there: postgres://USER:PASSWORD@HOST/DATABASE
    /// [default: LARDER_DATABASE_URL]
    #[arg(long, value_name = "URL", global = true, help_heading = "Where the accounts are")]
    database_url: Option<String>,
}

impl Place {
    /// Opens the accounts, and makes them if there are none.
    pub(crate) async fn open(&self) -> anyhow::Result<Accounts> {
        let url = self.url()?;
        not_lost(&url, &self.data())?;
        Ok(Accounts::open(&url).await?)
    }

    /// Opens the accounts that must be there.
    pub(crate) async fn open_existing(&self) -> anyhow::Result<Accounts> {
        if !self.is_there()? {
            bail!(
                "there are no accounts in {}: larder provision NAME makes the first; --data DIR or \
                 {DATA_VARIABLE} names another directory, --database-url or {URL_VARIABLE} a database",
                self.data().display()
            );
        }
        self.open().await
    }

    /// Whether there are accounts, as far as that is known without a database server.
    pub(crate) fn is_there(&self) -> anyhow::Result<bool> {
        Ok(self.database_url()?.is_some() || self.data().join(FILE).exists())
    }

    /// What to add to another command so that it finds the same accounts.
    pub(crate) fn flags(&self) -> String {
        match (&self.data, &self.database_url) {
            (_, Some(_)) => " --database-url …".to_owned(),
            (Some(data), None) => {
                format!(" --data {}", larder_control::quoted(&data.display().to_string()))
            }
            (None, None) => String::new(),
        }
    }

    fn url(&self) -> anyhow::Result<AccountsUrl> {
        match self.database_url()? {
            Some((name, url)) => parse(&name, &url),
            None => Ok(DataDir::accounts_url(&self.data())),
        }
    }

    /// The URL that was given, and by what.
    fn database_url(&self) -> anyhow::Result<Option<(String, String)>> {
        if let Some(url) = &self.database_url {
            return Ok(Some(("--database-url".to_owned(), url.clone())));
        }
        // A directory that is named on the command line is meant, whatever the environment says.
        if self.data.is_some() {
            return Ok(None);
        }
        let set = std::env::var_os(URL_VARIABLE).filter(|value| !value.is_empty());
        let text = |value: std::ffi::OsString| {
            value.into_string().ok().with_context(|| format!("{URL_VARIABLE} is no text"))
        };
        Ok(set.map(text).transpose()?.map(|url| (URL_VARIABLE.to_owned(), url)))
    }

    fn data(&self) -> PathBuf {
        let set = || std::env::var_os(DATA_VARIABLE).filter(|value| !value.is_empty());
        self.data
            .clone()
            .or_else(|| set().map(PathBuf::from))
            .unwrap_or_else(|| Path::new(DEFAULT_DATA).to_owned())
    }
}

/// Refuses to make accounts anew where there were some: an empty database beside what is left of the old
/// one would be worse than none.
pub(crate) fn not_lost(accounts: &AccountsUrl, data: &Path) -> anyhow::Result<()> {
    let (file, snapshot) = (data.join(FILE), data.join("directory.json"));
    let is_here = accounts.to_string() == file.display().to_string();
    if is_here && !file.exists() && snapshot.exists() {
        bail!(
            "{} is gone, and there were accounts in it: {} knows them; put it back, or remove the \
             latter to begin anew",
            file.display(),
            snapshot.display()
        );
    }
    Ok(())
}

/// The database of a URL that `name` gave.
pub(crate) fn parse(name: &str, url: &str) -> anyhow::Result<AccountsUrl> {
    AccountsUrl::parse(url).with_context(|| name.to_owned())
}
