//! What came of a password, and a check that is slow on purpose, on its way to whoever has the time.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::credential::{Credential, Digest, Salt};
use crate::directory::{AuthError, Grant};

/// What came of a username and a password.
#[derive(Debug)]
#[must_use]
pub enum Check {
    /// The client is let in.
    Granted(Grant),
    /// It is not.
    Refused(AuthError),
    /// That is still to be found out, which takes tens of milliseconds.
    Slow(SlowCheck),
}

/// A password that is to be compared with a digest of a slow kind. Made by a directory, and true of it: ask
/// the directory again when time has passed, and use what was found out meanwhile.
#[derive(Clone)]
pub struct SlowCheck {
    credential: Arc<Credential>,
    password: Box<[u8]>,
    now: u64,
}

/// A name for a digest and a password together, by which the outcome of a check can be remembered. Without
/// the salt it says nothing of either.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl SlowCheck {
    pub(crate) fn new(credential: &Arc<Credential>, password: &[u8], now: u64) -> Self {
        Self { credential: Arc::clone(credential), password: password.into(), now }
    }

    /// What the outcome may be remembered under. Another password has another one, and so has another
    /// digest: what is remembered of a password that was changed is never found again.
    #[must_use]
    pub fn fingerprint(&self, salt: Salt) -> Fingerprint {
        let digest = match &self.credential.digest {
            Digest::Argon2id(phc) => phc.as_bytes(),
            Digest::Sha256 { hash, .. } => hash,
        };
        let hash = Sha256::new()
            .chain_update(salt.0)
            .chain_update((digest.len() as u64).to_le_bytes())
            .chain_update(digest)
            .chain_update(&self.password);
        Fingerprint(hash.finalize().into())
    }

    /// Whether the password is right. This is what is slow.
    #[must_use]
    pub fn verify(&self) -> bool {
        self.credential.digest.verify(&self.password)
    }

    /// What is granted to one whose password was `verified`, by this check or one of the same
    /// [fingerprint](Self::fingerprint).
    ///
    /// # Errors
    ///
    /// As [`Directory::authenticate`](crate::Directory::authenticate).
    pub fn granted(&self, verified: bool) -> Result<Grant, AuthError> {
        Grant::verified(&self.credential, verified, self.now)
    }

    /// Both.
    ///
    /// # Errors
    ///
    /// As [`granted`](Self::granted).
    pub fn run(&self) -> Result<Grant, AuthError> {
        self.granted(self.verify())
    }
}

/// Names the user, and nothing of the password.
impl fmt::Debug for SlowCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlowCheck").field("credential", &self.credential).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capabilities::Capabilities;
    use crate::directory::Directory;
    use crate::tenant::{Tenant, TenantId};

    fn directory(username: &str, digest: Digest, expires: Option<u64>) -> Directory {
        let credential = Credential {
            username: username.as_bytes().into(),
            digest,
            tenant: TenantId::DEFAULT,
            capabilities: Capabilities::USE,
            key_prefix: None,
            expires,
        };
        Directory::new(1, [Tenant::shared()], [credential], None).unwrap()
    }

    fn slow(directory: &Directory, password: &[u8], now: u64) -> SlowCheck {
        match directory.check(b"ann", password, now) {
            Check::Slow(slow) => slow,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_chosen_password_is_checked_by_whoever_has_the_time() {
        let digest = Digest::argon2id(Salt::random().unwrap(), b"correct horse");
        let directory = directory("ann", digest, Some(100));
        let check = slow(&directory, b"correct horse", 99);
        assert_eq!(check.run().unwrap().username(), Some(&b"ann"[..]));
        assert_eq!(check.granted(false), Err(AuthError::Refused));
        assert_eq!(slow(&directory, b"wrong", 99).run(), Err(AuthError::Refused));
        assert_eq!(slow(&directory, b"correct horse", 100).run(), Err(AuthError::Expired));
        assert_eq!(directory.authenticate(b"ann", b"wrong", 99), Err(AuthError::Refused));
        let unknown = directory.check(b"bob", b"correct horse", 99);
        assert!(matches!(unknown, Check::Refused(AuthError::Refused)));
        let printed = format!("{check:?}");
        assert!(!printed.contains("horse") && !printed.contains("$argon"), "{printed}");
    }

    #[test]
    fn what_is_remembered_is_of_one_digest_and_one_password() {
        let salt = Salt::random().unwrap();
        let digest = Digest::Argon2id("$one".into());
        let print = |digest: &Digest, password: &[u8], salt| {
            slow(&directory("ann", digest.clone(), None), password, 0).fingerprint(salt)
        };
        let first = print(&digest, b"p", salt);
        assert_eq!(first, print(&digest, b"p", salt));
        for other in [
            print(&digest, b"q", salt),
            print(&Digest::Argon2id("$two".into()), b"p", salt),
            print(&Digest::Argon2id("$onep".into()), b"", salt),
            print(&digest, b"p", Salt::random().unwrap()),
        ] {
            assert_ne!(first, other);
        }
    }
}
