//! `-Z` and the options of `-o` that begin with `ssl_`.

use std::path::PathBuf;

use anyhow::{Context, bail};
use larder_server::{ClientCertificates, MinVersion, TlsSettings};

use super::options::{absolute, show_path, yes_or_no};

/// memcached's names of the versions, by its numbers for them.
const VERSIONS: [&str; 4] = ["tlsv1.0", "tlsv1.1", "tlsv1.2", "tlsv1.3"];
const TLS12: usize = 2;
const TLS13: usize = 3;

/// What was asked of TLS.
#[derive(Debug)]
pub(super) struct Ssl {
    /// `-Z`
    pub(super) enabled: bool,
    /// An option that means nothing without it.
    asked_by: Option<&'static str>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    ca: Option<PathBuf>,
    verify_mode: u8,
    min_version: usize,
    resumption: bool,
    wbuf_kb: u64,
    ciphers: Option<String>,
}

impl Default for Ssl {
    fn default() -> Self {
        Self {
            enabled: false,
            asked_by: None,
            certificate: None,
            key: None,
            ca: None,
            verify_mode: 0,
            min_version: TLS12,
            resumption: false,
            wbuf_kb: 16,
            ciphers: None,
        }
    }
}

impl Ssl {
    /// Takes an option, whose value the table has checked. Others than those of TLS are nothing to it.
    pub(super) fn take(&mut self, name: &'static str, value: &str) -> anyhow::Result<()> {
        match name {
            "ssl_chain_cert" => self.certificate = Some(absolute(value)?),
            "ssl_key" => self.key = Some(absolute(value)?),
            "ssl_ca_cert" => self.ca = Some(absolute(value)?),
            "ssl_verify_mode" => self.verify_mode = value.parse()?,
            "ssl_min_version" => self.min_version = value.parse()?,
            "ssl_session_cache" => self.resumption = true,
            "ssl_wbuf_size" => self.wbuf_kb = value.parse()?,
            "ssl_ciphers" => self.ciphers = Some(value.to_owned()),
            "ssl_keyformat" | "ssl_kernel_tls" => {}
            _ => return Ok(()),
        }
        self.asked_by = Some(name);
        Ok(())
    }

    /// Whether versions are wanted that are too old to be spoken.
    pub(super) fn is_old_wanted(&self) -> bool {
        self.min_version < TLS12
    }

    /// TLS as the server is to speak it, if it is.
    ///
    /// # Errors
    ///
    /// If files are missing, or nothing would be encrypted although TLS is talked of.
    pub(super) fn settings(&self) -> anyhow::Result<Option<TlsSettings>> {
        if !self.enabled {
            return match self.asked_by {
                Some(name) => {
                    bail!(
                        "-o {name} without -Z: nothing would be encrypted; add -Z, or leave it out"
                    )
                }
                None => Ok(None),
            };
        }
        let need = |path: &Option<PathBuf>, name: &str, what: &str| {
            path.clone().with_context(|| format!("-Z needs -o {name}=FILE, {what} in PEM"))
        };
        let certificate = need(&self.certificate, "ssl_chain_cert", "the server's certificate")?;
        let key = need(&self.key, "ssl_key", "its private key")?;
        if self.verify_mode > 0 && self.ca.is_none() {
            bail!("-o ssl_verify_mode={} needs -o ssl_ca_cert=FILE", self.verify_mode);
        }
        let mut tls = TlsSettings::new(certificate, key);
        tls.client_ca.clone_from(&self.ca);
        tls.client_certificates = match self.verify_mode {
            0 => ClientCertificates::None,
            2 => ClientCertificates::Require,
            _ => ClientCertificates::Request,
        };
        let only_new = self.min_version >= TLS13;
        tls.min_version = if only_new { MinVersion::Tls13 } else { MinVersion::Tls12 };
        tls.resumption = self.resumption;
        Ok(Some(tls))
    }

    /// What `stats settings` says of it.
    pub(super) fn shown(&self) -> [(&'static str, String); 11] {
        let version = VERSIONS.get(self.min_version).unwrap_or(&VERSIONS[TLS12]);
        [
            ("ssl_enabled", yes_or_no(self.enabled)),
            ("ssl_chain_cert", show_path(self.certificate.as_ref(), "(null)")),
            ("ssl_key", show_path(self.key.as_ref(), "(null)")),
            ("ssl_verify_mode", self.verify_mode.to_string()),
            ("ssl_keyformat", "1".to_owned()),
            ("ssl_ciphers", self.ciphers.clone().unwrap_or_else(|| "NULL".to_owned())),
            ("ssl_ca_cert", show_path(self.ca.as_ref(), "NULL")),
            ("ssl_wbuf_size", (self.wbuf_kb << 10).to_string()),
            ("ssl_session_cache", yes_or_no(self.resumption)),
            ("ssl_kernel_tls", "no".to_owned()),
            ("ssl_min_version", (*version).to_owned()),
        ]
    }
}
