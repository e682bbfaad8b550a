//! Checking and hashing passwords that people chose: slow on purpose, so bounded.

use larder_tenancy::{Digest, Salt};
use tokio::sync::Semaphore;

use crate::error::AccountsError;
use crate::secrets;

/// How many run at once; each takes 19 MiB and tens of milliseconds of a core.
const AT_ONCE: usize = 2;
/// How many may run or wait; who comes then is turned away at once.
const WAITING: usize = 32;

/// A digest that costs as much as one of ours.
const DECOY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$\
    AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The checks of passwords that are under way in this process.
#[derive(Debug)]
pub(crate) struct Checks {
    running: Semaphore,
    waiting: Semaphore,
}

/// Too many passwords are being checked.
#[derive(Debug)]
pub(crate) struct Busy;

impl Default for Checks {
    fn default() -> Self {
        Self { running: Semaphore::new(AT_ONCE), waiting: Semaphore::new(WAITING) }
    }
}

impl Checks {
    /// Whether `digest` is that of `password`. Without a digest it is not, and takes as long.
    pub(crate) async fn verify(
        &self,
        digest: Option<Digest>,
        password: &str,
    ) -> Result<bool, Busy> {
        let password = password.to_owned();
        let exists = digest.is_some();
        let digest = digest.unwrap_or_else(|| Digest::Argon2id(DECOY.into()));
        self.run(move || digest.verify(password.as_bytes()) && exists).await
    }

    /// The Argon2id digest of a password.
    pub(crate) async fn argon2id(&self, password: &str) -> Result<Digest, AccountsError> {
        let salt = Salt::random().map_err(secrets::no_randomness)?;
        let password = password.to_owned();
        let made = self.run(move || Digest::argon2id(salt, password.as_bytes())).await;
        made.map_err(AccountsError::from)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let _place = self.waiting.try_acquire().map_err(|_| Busy)?;
        let _turn = self.running.acquire().await.map_err(|_| Busy)?;
        tokio::task::spawn_blocking(work).await.map_err(|_| Busy)
    }
}

#[cfg(test)]
impl Checks {
    /// As many checks as may run or wait, for as long as the value is held.
    pub(crate) fn flood(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.waiting.try_acquire_many(u32::try_from(WAITING).unwrap()).unwrap()
    }
}

impl From<Busy> for AccountsError {
    fn from(_: Busy) -> Self {
        let says = "too many passwords are being checked at once; try again in a few seconds";
        AccountsError::Unavailable(says.to_owned())
    }
}
