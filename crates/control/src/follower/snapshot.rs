//! The last directory of a node, in a file: the node can start while the accounts are down.
//!
//! A JSON object with the number of the format, SHA-256 of the directory's own text, and the directory.
//! It holds digests of passwords as the database does, and is for its owner alone.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use larder_tenancy::{Credential, Directory, Tenant, TenantId, TenantLimits, TenantName};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::data_dir::replace;
use crate::digest;
use crate::error::AccountsError;
use crate::secrets;

/// The format that is written, and the only one that is read.
const FORMAT: u32 = 1;

/// A directory from a file.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) directory: Directory,
    /// Of the accounts that it is of.
    pub(super) installation: String,
}

/// Where it is.
#[derive(Debug, Clone)]
pub(super) struct SnapshotFile(PathBuf);

#[derive(Serialize, Deserialize)]
struct Envelope {
    format: u32,
    sha256: String,
    directory: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
struct Content {
    version: u64,
    installation: String,
    tenants: Vec<TenantEntry>,
    credentials: Vec<CredentialEntry>,
}

#[derive(Serialize, Deserialize)]
struct TenantEntry {
    id: u32,
    name: String,
    floor: u64,
    ceiling: u64,
    flushes: u64,
}

#[derive(Serialize, Deserialize)]
struct CredentialEntry {
    username: String,
    tenant: u32,
    digest: String,
    capabilities: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
}

impl SnapshotFile {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The directory in the file; none if there is no file. The error names the file.
    pub(super) async fn read(&self) -> Result<Option<Snapshot>, String> {
        let path = self.0.clone();
        let read = tokio::task::spawn_blocking(move || match std::fs::read_to_string(&path) {
            Ok(text) => decode(&text).map(Some).map_err(|says| (path, says)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err((path, error.to_string())),
        });
        match read.await {
            Ok(read) => read.map_err(|(path, says)| {
                format!("the node's last directory, {}, cannot be used: {says}", path.display())
            }),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Replaces the file.
    pub(super) async fn write(
        &self,
        directory: Arc<Directory>,
        installation: String,
    ) -> Result<(), AccountsError> {
        let path = self.0.clone();
        let written = tokio::task::spawn_blocking(move || {
            let text = encode(&directory, installation).map_err(io::Error::other)?;
            replace(&path, text.as_bytes())
        });
        let written = written.await.map_err(io::Error::other).flatten();
        written.map_err(|error| {
            AccountsError::Unavailable(format!(
                "{} cannot be written: {error}; the node obeys the new directory, but would start with an older one",
                self.0.display()
            ))
        })
    }
}

fn encode(directory: &Directory, installation: String) -> Result<String, String> {
    let tenants = directory.tenants().map(TenantEntry::of).collect();
    let credentials = directory.credentials().map(CredentialEntry::of).collect::<Option<_>>();
    let content = Content {
        version: directory.version(),
        installation,
        tenants,
        credentials: credentials.ok_or("a credential that is no text")?,
    };
    let content = serde_json::value::to_raw_value(&content).map_err(|error| error.to_string())?;
    let sha256 = secrets::digest(content.get());
    let envelope = Envelope { format: FORMAT, sha256, directory: content };
    serde_json::to_string(&envelope).map_err(|error| error.to_string())
}

fn decode(text: &str) -> Result<Snapshot, String> {
    let envelope: Envelope = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if envelope.format != FORMAT {
        return Err(format!("it has format {}, not {FORMAT}", envelope.format));
    }
    if secrets::digest(envelope.directory.get()) != envelope.sha256 {
        return Err("it does not match its checksum".to_owned());
    }
    let content: Content =
        serde_json::from_str(envelope.directory.get()).map_err(|error| error.to_string())?;
    let tenants: Option<Vec<_>> = content.tenants.into_iter().map(TenantEntry::tenant).collect();
    let credentials: Option<Vec<_>> =
        content.credentials.into_iter().map(CredentialEntry::credential).collect();
    let (Some(tenants), Some(credentials)) = (tenants, credentials) else {
        return Err("it has a tenant or a credential that cannot be".to_owned());
    };
    let directory = Directory::new(content.version, tenants, credentials, None);
    let directory = directory.map_err(|error| error.to_string())?;
    Ok(Snapshot { directory, installation: content.installation })
}

impl TenantEntry {
    fn of(tenant: &Tenant) -> Self {
        let Tenant { id, name, limits, flushes } = tenant;
        let TenantLimits { floor, ceiling } = *limits;
        Self { id: id.get(), name: name.to_string(), floor, ceiling, flushes: *flushes }
    }

    fn tenant(self) -> Option<Tenant> {
        Some(Tenant {
            id: TenantId::new(self.id),
            name: TenantName::new(&self.name).ok()?,
            limits: TenantLimits { floor: self.floor, ceiling: self.ceiling },
            flushes: self.flushes,
        })
    }
}

impl CredentialEntry {
    fn of(credential: &Credential) -> Option<Self> {
        let text = |bytes: &Arc<[u8]>| String::from_utf8(bytes.to_vec()).ok();
        Some(Self {
            username: text(&credential.username)?,
            tenant: credential.tenant.get(),
            digest: digest::encode(&credential.digest)?,
            capabilities: credential.capabilities.to_string(),
            key_prefix: match &credential.key_prefix {
                Some(prefix) => Some(text(prefix)?),
                None => None,
            },
            expires: credential.expires,
        })
    }

    fn credential(self) -> Option<Credential> {
        Some(Credential {
            username: self.username.into_bytes().into(),
            digest: digest::decode(&self.digest)?,
            tenant: TenantId::new(self.tenant),
            capabilities: self.capabilities.parse().ok()?,
            key_prefix: self.key_prefix.map(|prefix| prefix.into_bytes().into()),
            expires: self.expires,
        })
    }
}

#[cfg(test)]
mod tests {
    use larder_tenancy::{Capabilities, Digest, Salt};

    use super::*;

    fn directory() -> Directory {
        let limits = TenantLimits { floor: 1 << 20, ceiling: u64::MAX };
        let name = TenantName::new("shop").unwrap();
        let tenant = Tenant { id: TenantId::new(7), name, limits, flushes: 3 };
        let digest = Digest::sha256(Salt::random().unwrap(), b"password");
        let all = Credential {
            username: (*b"15f38e").into(),
            digest,
            tenant: tenant.id,
            capabilities: Capabilities::ALL,
            key_prefix: None,
            expires: None,
        };
        let scoped = Credential {
            username: (*b"ann").into(),
            capabilities: Capabilities::READ,
            key_prefix: Some((*b"a:\"\\").into()),
            expires: Some(u64::MAX),
            ..all.clone()
        };
        Directory::new(42, [tenant], [all, scoped], None).unwrap()
    }

    #[test]
    fn a_directory_is_read_back_as_it_was() {
        let text = encode(&directory(), "abc".to_owned()).unwrap();
        assert!(!text.contains("password"));
        let read = decode(&text).unwrap();
        assert_eq!((read.directory.version(), &*read.installation), (42, "abc"));
        let again = encode(&read.directory, "abc".to_owned()).unwrap();
        let read_again = decode(&again).unwrap();
        assert!(read_again.directory.tenants().eq(read.directory.tenants()));
        let grant = read.directory.authenticate(b"ann", b"password", 0).unwrap();
        assert_eq!(grant.key_prefix(), Some(&b"a:\"\\"[..]));
        assert!(read.directory.authenticate(b"15f38e", b"Password", 0).is_err());
    }

    #[test]
    fn every_damage_is_noticed() {
        let text = encode(&directory(), "abc".to_owned()).unwrap();
        for at in 0..text.len() {
            if !text.is_char_boundary(at) || !text.is_char_boundary(at + 1) {
                continue;
            }
            assert!(decode(&text[..at]).is_err(), "cut at {at}");
            let other = if &text[at..=at] == "1" { "2" } else { "1" };
            let changed = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert!(decode(&changed).is_err(), "changed at {at}: {changed}");
        }
        let newer = text.replacen("\"format\":1", "\"format\":2", 1);
        assert!(decode(&newer).unwrap_err().contains("format 2"));
    }
}
