//! A credential, and the digest that is all that is kept of its password.
//!
//! Every kind of digest there is takes a few microseconds at most to check, so a storm of connections
//! needs no memory of who was verified before: the digest is checked each time, on the thread that
//! serves the connection. A kind that is slow on purpose must not be checked there. Its place is beside
//! these as another variant, turned into a fast one by whoever verified it first.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::capabilities::Capabilities;
use crate::tenant::TenantId;

/// Random bytes that go into a digest, so that equal passwords of two processes (or two accounts) have
/// nothing in common and no table of digests helps.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt([u8; 16]);

impl Salt {
    /// A new one, from the operating system's generator.
    ///
    /// # Errors
    ///
    /// If the system has no randomness to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }
}

/// What is kept of a password. Two digests are equal if salt and password are.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Digest {
    /// SHA-256 of salt and password. Enough for a secret that was made at random, and for one that is
    /// in clear text in a file beside the process anyway.
    Sha256 {
        /// Comes before the password.
        salt: Salt,
        /// SHA-256 of both.
        hash: [u8; 32],
    },
}

impl Digest {
    /// No password is known to have this one. An unknown user's password is checked against it.
    pub(crate) const DECOY: Digest = Digest::Sha256 { salt: Salt([0; 16]), hash: [0; 32] };

    /// The digest of `password`.
    #[must_use]
    pub fn sha256(salt: Salt, password: &[u8]) -> Self {
        Digest::Sha256 { salt, hash: hash(salt, password) }
    }

    /// Whether this is the digest of `password`. Takes the same time for every digest and every
    /// password of one length.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        match self {
            Digest::Sha256 { salt, hash: expected } => hash(*salt, password).ct_eq(expected).into(),
        }
    }
}

/// Names the kind, and nothing that would help to find the password.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Digest::Sha256 { .. } => f.write_str("Sha256(..)"),
        }
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(..)")
    }
}

/// A username and what it opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// What a client says it is. Bytes, as on the wire.
    pub username: Arc<[u8]>,
    /// Of the password.
    pub digest: Digest,
    /// The cache that it opens.
    pub tenant: TenantId,
    /// What it may do there.
    pub capabilities: Capabilities,
    /// The beginning of every key it may use; none: all keys. A credential with one may not flush,
    /// whatever its capabilities say.
    pub key_prefix: Option<Arc<[u8]>>,
    /// The unix time in seconds from which on it is refused; none: never.
    pub expires: Option<u64>,
}

impl Credential {
    /// Whether its time is over at the unix time `now`.
    pub(crate) fn has_expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|expires| now >= expires)
    }
}

/// SHA-256 of salt and password.
fn hash(salt: Salt, password: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(salt.0).chain_update(password).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_knows_its_password_and_no_other() {
        let salt = Salt::random().unwrap();
        let digest = Digest::sha256(salt, b"s3cret");
        assert!(digest.verify(b"s3cret"));
        for wrong in [&b""[..], b"s3cre", b"s3cret ", b"S3cret", b"s3cret\0"] {
            assert!(!digest.verify(wrong), "{wrong:?}");
        }
        assert!(!Digest::DECOY.verify(b""));
    }

    #[test]
    fn equal_passwords_show_only_under_one_salt() {
        let (one, other) = (Salt::random().unwrap(), Salt::random().unwrap());
        assert_eq!(Digest::sha256(one, b"x"), Digest::sha256(one, b"x"));
        assert_ne!(Digest::sha256(one, b"x"), Digest::sha256(other, b"x"));
    }

    #[test]
    fn nothing_secret_is_printed() {
        let salt = Salt([7; 16]);
        let Digest::Sha256 { hash, .. } = Digest::sha256(salt, b"s3cret");
        let credential = Credential {
            username: (*b"shop").into(),
            digest: Digest::Sha256 { salt, hash },
            tenant: TenantId::DEFAULT,
            capabilities: Capabilities::USE,
            key_prefix: None,
            expires: None,
        };
        let printed = format!("{credential:?} {credential:#?} {salt:?}");
        assert!(printed.contains("Sha256(..)") && printed.contains("Salt(..)"), "{printed}");
        for byte in hash {
            assert!(!printed.contains(&format!("{byte}, ")), "{printed}");
        }
    }
}
