//! A credential, and the digest that is all that is kept of its password.
//!
//! There are two kinds of digest. SHA-256 is for secrets that were made at random, which nobody can guess
//! whatever a guess costs: it takes a microsecond, so a storm of connections needs no memory of who was
//! verified before, and is checked on the thread that serves the connection. Argon2id is for passwords
//! that people choose. It is slow on purpose, takes 19 MiB while it runs, and must not be checked there: a
//! [`SlowCheck`](crate::SlowCheck) carries it elsewhere.

use std::fmt;
use std::sync::Arc;

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::capabilities::Capabilities;
use crate::tenant::TenantId;

/// What an Argon2id digest of ours costs: 19 MiB, two passes, one lane, as OWASP recommends at least.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// The most memory that checking a digest may take, in KiB: one that asks for more fits no password.
const MOST_MEMORY_KIB: u32 = 256 * 1024;
/// The most passes.
const MOST_PASSES: u32 = 16;

/// Random bytes that go into a digest, so that equal passwords of two processes (or two accounts) have
/// nothing in common and no table of digests helps.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub(crate) [u8; 16]);

impl Salt {
    /// These bytes, as they were kept with a digest.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes, to be kept with a digest.
    #[must_use]
    pub const fn bytes(&self) -> [u8; 16] {
        self.0
    }

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
    /// Argon2id, for a password that somebody has chosen: parameters, salt and hash in a string of the
    /// PHC format, as [`Digest::argon2id`] makes it. One that cannot be read fits no password.
    Argon2id(Arc<str>),
}

impl Digest {
    /// No password is known to have this one. An unknown user's password is checked against it.
    pub(crate) const DECOY: Digest = Digest::Sha256 { salt: Salt([0; 16]), hash: [0; 32] };

    /// The digest of `password`.
    #[must_use]
    pub fn sha256(salt: Salt, password: &[u8]) -> Self {
        Digest::Sha256 { salt, hash: hash(salt, password) }
    }

    /// The Argon2id digest of a password that somebody has chosen. Takes tens of milliseconds.
    ///
    /// # Panics
    ///
    /// When the password is longer than 4 GiB.
    #[must_use]
    pub fn argon2id(salt: Salt, password: &[u8]) -> Self {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("they are in bounds");
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let salt = SaltString::encode_b64(&salt.0).expect("16 bytes are a salt");
        let hash = argon2.hash_password(password, &salt).expect("shorter than 4 GiB");
        Digest::Argon2id(hash.to_string().into())
    }

    /// Whether checking it is slow on purpose, so that it has to be done off the threads that serve.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        matches!(self, Digest::Argon2id(_))
    }

    /// Whether this is the digest of `password`. Takes the same time for every digest of a kind and every
    /// password of one length.
    #[must_use]
    pub fn verify(&self, password: &[u8]) -> bool {
        match self {
            Digest::Sha256 { salt, hash: expected } => hash(*salt, password).ct_eq(expected).into(),
            Digest::Argon2id(phc) => is_argon2id_of(phc, password),
        }
    }
}

/// Whether `phc` is an Argon2id digest of the password, and none that costs more than it should.
fn is_argon2id_of(phc: &str, password: &[u8]) -> bool {
    let Ok(expected) = PasswordHash::new(phc) else { return false };
    let Ok(params) = Params::try_from(&expected) else { return false };
    expected.algorithm == Algorithm::Argon2id.ident()
        && params.m_cost() <= MOST_MEMORY_KIB
        && params.t_cost() <= MOST_PASSES
        && Argon2::default().verify_password(password, &expected).is_ok()
}

/// Names the kind, and nothing that would help to find the password.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Digest::Sha256 { .. } => f.write_str("Sha256(..)"),
            Digest::Argon2id(_) => f.write_str("Argon2id(..)"),
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
    fn a_chosen_password_is_known_by_its_argon2id() {
        let digest = Digest::argon2id(Salt::random().unwrap(), b"correct horse");
        let Digest::Argon2id(phc) = &digest else { unreachable!() };
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(digest.is_slow() && digest.verify(b"correct horse"));
        assert!(!digest.verify(b"correct horsf") && !digest.verify(b""));
        assert_eq!(format!("{digest:?}"), "Argon2id(..)");
    }

    #[test]
    fn a_digest_that_cannot_be_read_or_costs_too_much_fits_nothing() {
        let digest = Digest::argon2id(Salt([3; 16]), b"x");
        let Digest::Argon2id(phc) = &digest else { unreachable!() };
        let dear = phc.replace("m=19456", "m=4000000");
        let slow = phc.replace("t=2", "t=4000000000");
        let other_kind = phc.replace("argon2id", "argon2d");
        for phc in ["", "x", "$argon2id$", &phc[..phc.len() - 9], &dear, &slow, &other_kind] {
            assert!(!Digest::Argon2id(phc.into()).verify(b"x"), "{phc}");
        }
    }

    #[test]
    fn nothing_secret_is_printed() {
        let salt = Salt([7; 16]);
        let Digest::Sha256 { hash, .. } = Digest::sha256(salt, b"s3cret") else { unreachable!() };
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
