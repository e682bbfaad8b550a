//! TLS as listeners use it: certificates read from files, and read again without a restart.
//!
//! A [`Tls`] holds the current configuration. A new connection takes what is current when it is accepted
//! and keeps it; [`Tls::reload`] changes only what comes after. No process-wide crypto provider is
//! installed: that is for an application to choose.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache, WebPkiClientVerifier};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion};

use crate::budget::Budget;
use crate::cx::CloseReason;
use crate::records::Records;

/// TLS sessions remembered for clients that come again without a ticket: some hundred bytes each.
const SESSIONS: usize = 4096;

/// Which files TLS is made of, and what it asks of clients.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// The server's certificate in PEM, those that vouch for it after it.
    pub certificate: PathBuf,
    /// Its private key in PEM.
    pub key: PathBuf,
    /// The authorities that client certificates must come from, in PEM. Needed to ask for any.
    pub client_ca: Option<PathBuf>,
    /// Whether clients must show a certificate.
    pub client_certificates: ClientCertificates,
    /// The oldest version that is spoken.
    pub min_version: MinVersion,
    /// Whether a client that comes again may resume its session.
    pub resumption: bool,
}

impl TlsSettings {
    /// Of these files; no client certificates, TLS 1.2 and 1.3, no resumption.
    #[must_use]
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> TlsSettings {
        TlsSettings {
            certificate: certificate.into(),
            key: key.into(),
            client_ca: None,
            client_certificates: ClientCertificates::None,
            min_version: MinVersion::Tls12,
            resumption: false,
        }
    }
}

/// Whether clients must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientCertificates {
    /// None is asked for.
    #[default]
    None,
    /// Asked for; a client may have none, but not a bad one.
    Request,
    /// A client without a good one is turned away.
    Require,
}

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MinVersion {
    /// TLS 1.2.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl MinVersion {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        static BOTH: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
        match self {
            MinVersion::Tls12 => &BOTH,
            MinVersion::Tls13 => &BOTH[1..],
        }
    }
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read, or holds something else.
    #[error("{}: {reason}: want {wanted} in PEM", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What should be in it.
        wanted: &'static str,
    },
    /// The private key is not that of the certificate, or cannot be used.
    #[error("{} with {}: {reason}", .certificate.display(), .key.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The private key's file.
        key: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Client certificates are asked for, and nobody is trusted to vouch for them.
    #[error("client certificates are asked for, but no file of client authorities is given")]
    NoClientCa,
}

/// TLS, ready for connections.
pub struct Tls {
    settings: TlsSettings,
    config: ArcSwap<ServerConfig>,
    /// When the files were last read, in seconds since 1970.
    loaded: AtomicU64,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// [`TlsError`] says which file is wrong, and how.
    pub fn load(settings: TlsSettings) -> Result<Tls, TlsError> {
        let config = ArcSwap::from_pointee(server_config(&settings)?);
        Ok(Tls { settings, config, loaded: AtomicU64::new(unix_now()) })
    }

    /// Reads the files again. Connections from now on use what they hold; open ones stay as they are.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load); then everything stays as it was.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.config.store(Arc::new(server_config(&self.settings)?));
        self.loaded.store(unix_now(), Ordering::Relaxed);
        Ok(())
    }

    /// What it was made of.
    #[must_use]
    pub fn settings(&self) -> &TlsSettings {
        &self.settings
    }

    /// When the files were last read, in seconds since 1970.
    #[must_use]
    pub fn loaded(&self) -> u64 {
        self.loaded.load(Ordering::Relaxed)
    }

    /// The server's end of a new connection, if the budget has room for what it takes.
    pub(crate) fn records(&self, budget: &Budget) -> Result<Box<Records>, CloseReason> {
        let connection = ServerConnection::new(self.config.load_full());
        let connection = connection.map_err(|_| CloseReason::Tls)?;
        Ok(Box::new(Records::new(connection, budget)?))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("settings", &self.settings).finish_non_exhaustive()
    }
}

fn server_config(settings: &TlsSettings) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let pair = |reason: rustls::Error| TlsError::Pair {
        certificate: settings.certificate.clone(),
        key: settings.key.clone(),
        reason: reason.to_string(),
    };
    let certificates = certificates(&settings.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&settings.key)
        .map_err(|reason| file(&settings.key, &reason, "a private key"))?;
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(settings.min_version.versions())
        .map_err(pair)?;
    let builder = match settings.client_certificates {
        ClientCertificates::None => builder.with_no_client_auth(),
        asked => builder.with_client_cert_verifier(client_verifier(settings, asked, &provider)?),
    };
    let mut config = builder.with_single_cert(certificates, key).map_err(pair)?;
    // Replies are small, and each is wanted at once.
    config.send_half_rtt_data = true;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if settings.resumption {
        if settings.client_certificates == ClientCertificates::None {
            // A session has the client's certificates in it, which may be large: then only clients
            // that keep it themselves, in a ticket, can resume it.
            config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
        }
        config.ticketer = rustls::crypto::ring::Ticketer::new().map_err(pair)?;
    } else {
        config.send_tls13_tickets = 0;
    }
    Ok(config)
}

fn client_verifier(
    settings: &TlsSettings,
    asked: ClientCertificates,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let path = settings.client_ca.as_deref().ok_or(TlsError::NoClientCa)?;
    let refused = |reason: &dyn fmt::Display| file(path, reason, "certificates of authorities");
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|reason| refused(&reason))?;
    }
    let provider = Arc::clone(provider);
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match asked {
        ClientCertificates::Require => builder,
        _ => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|reason| refused(&reason))
}

/// The certificates in a PEM file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wanted = "a certificate";
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|reason| file(path, &reason, wanted))?;
    if found.is_empty() {
        return Err(file(path, &"there is none in it", wanted));
    }
    Ok(found)
}

fn file(path: &Path, reason: &dyn fmt::Display, wanted: &'static str) -> TlsError {
    TlsError::File { path: path.to_owned(), reason: reason.to_string(), wanted }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
