//! The directory: everything a node knows of tenants and credentials at one moment, and who is let in.
//!
//! A directory never changes. A change of any account is a new directory with a higher version, and
//! every open connection asks it whether its grant still stands ([`Directory::renew`]).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::capabilities::Capabilities;
use crate::check::{Check, SlowCheck};
use crate::credential::{Credential, Digest};
use crate::tenant::{Tenant, TenantId, TenantName};

/// A snapshot of all tenants and credentials. Immutable, and meant to be shared.
#[derive(Debug, Default)]
pub struct Directory {
    version: u64,
    tenants: BTreeMap<TenantId, Tenant>,
    credentials: HashMap<Arc<[u8]>, Arc<Credential>>,
    anonymous: Option<Grant>,
}

impl Directory {
    /// A directory of `tenants` and `credentials`. `anonymous` is what a connection holds that has
    /// not authenticated; none: it may do nothing else first.
    ///
    /// # Errors
    ///
    /// [`DirectoryError`] if two tenants or two credentials have the same name, or a credential is of
    /// a tenant that is not there.
    pub fn new(
        version: u64,
        tenants: impl IntoIterator<Item = Tenant>,
        credentials: impl IntoIterator<Item = Credential>,
        anonymous: Option<Grant>,
    ) -> Result<Self, DirectoryError> {
        let mut directory = Self { version, anonymous, ..Self::default() };
        let mut names = HashSet::new();
        for tenant in tenants {
            if !names.insert(tenant.name.clone()) {
                return Err(DirectoryError::TenantTwice(tenant.name));
            }
            if let Some(other) = directory.tenants.insert(tenant.id, tenant) {
                return Err(DirectoryError::TenantTwice(other.name));
            }
        }
        for credential in credentials {
            directory.add(credential)?;
        }
        match &directory.anonymous {
            Some(grant) if !directory.tenants.contains_key(&grant.tenant) => {
                Err(DirectoryError::NoSuchTenant("anonymous".into(), grant.tenant))
            }
            _ => Ok(directory),
        }
    }

    /// A directory of what is known not to contradict itself.
    pub(crate) fn of_parts(
        version: u64,
        tenants: BTreeMap<TenantId, Tenant>,
        credentials: Vec<Credential>,
    ) -> Self {
        let named = |credential: Credential| (credential.username.clone(), Arc::new(credential));
        let credentials = credentials.into_iter().map(named).collect();
        Self { version, tenants, credentials, anonymous: None }
    }

    /// The directory of a server without accounts: everybody may do everything in one tenant.
    #[must_use]
    pub fn open() -> Self {
        let tenant = Tenant::shared();
        let anonymous = Some(Grant::anonymous(tenant.id, Capabilities::ALL));
        let tenants = BTreeMap::from([(tenant.id, tenant)]);
        Self { version: 1, tenants, anonymous, ..Self::default() }
    }

    /// Counts up with every change; 0 is the empty directory, which lets nobody in.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// All tenants, by id.
    pub fn tenants(&self) -> impl Iterator<Item = &Tenant> {
        self.tenants.values()
    }

    /// The tenant with this id.
    #[must_use]
    pub fn tenant(&self, id: TenantId) -> Option<&Tenant> {
        self.tenants.get(&id)
    }

    /// The tenant with this name. Looks through all of them.
    #[must_use]
    pub fn tenant_named(&self, name: &TenantName) -> Option<&Tenant> {
        self.tenants.values().find(|tenant| tenant.name == *name)
    }

    /// All credentials, in no order.
    pub fn credentials(&self) -> impl Iterator<Item = &Credential> {
        self.credentials.values().map(|credential| &**credential)
    }

    /// The credential of this username.
    #[must_use]
    pub fn credential(&self, username: &[u8]) -> Option<&Credential> {
        self.credentials.get(username).map(|credential| &**credential)
    }

    /// What a connection holds that has not authenticated; none: it must.
    #[must_use]
    pub fn anonymous(&self) -> Option<&Grant> {
        self.anonymous.as_ref()
    }

    /// Lets a client in that says it is `user`, at the unix time `now` in seconds; or says that checking
    /// its password is slow on purpose, and is to be done elsewhere.
    ///
    /// Constant time in the password. An unknown user costs what one with a random secret costs, and looks
    /// the same; only that a user has *chosen* a password can be told from the time. It would be hidden by
    /// an Argon2 run for every name that anybody makes up, which is more than a node should do for
    /// strangers. A directory that is open and has no credentials lets everybody in who tries: clients
    /// that are configured with credentials then work in development, too.
    pub fn check(&self, user: &[u8], password: &[u8], now: u64) -> Check {
        if let (Some(anonymous), true) = (&self.anonymous, self.credentials.is_empty()) {
            return Check::Granted(anonymous.clone());
        }
        let credential = self.credentials.get(user);
        if let Some(credential) = credential.filter(|credential| credential.digest.is_slow()) {
            return Check::Slow(SlowCheck::new(credential, password, now));
        }
        let digest = credential.map_or(&Digest::DECOY, |credential| &credential.digest);
        let verified = digest.verify(password);
        let granted = credential.map(|credential| Grant::verified(credential, verified, now));
        match granted.unwrap_or(Err(AuthError::Refused)) {
            Ok(grant) => Check::Granted(grant),
            Err(error) => Check::Refused(error),
        }
    }

    /// The same, waiting for what is slow: not for threads that serve others.
    ///
    /// # Errors
    ///
    /// [`AuthError::Refused`] for an unknown user as for a wrong password, and
    /// [`AuthError::Expired`] for those who know the password of a credential whose time is over.
    pub fn authenticate(&self, user: &[u8], password: &[u8], now: u64) -> Result<Grant, AuthError> {
        match self.check(user, password, now) {
            Check::Granted(grant) => Ok(grant),
            Check::Refused(error) => Err(error),
            Check::Slow(slow) => slow.run(),
        }
    }

    /// What `grant`, made by an earlier directory, is now; none if the credential was removed, has
    /// another password, or has expired. Its connection is then to be closed.
    #[must_use]
    pub fn renew(&self, grant: &Grant, now: u64) -> Option<Grant> {
        let Some(held) = &grant.credential else { return self.anonymous.clone() };
        let current = self.credentials.get(&held.username)?;
        let stands = current.digest == held.digest && !current.has_expired(now);
        stands.then(|| Grant::of(current))
    }

    fn add(&mut self, credential: Credential) -> Result<(), DirectoryError> {
        let username = credential.username.clone();
        let shown = || String::from_utf8_lossy(&username).into_owned();
        if !self.tenants.contains_key(&credential.tenant) {
            return Err(DirectoryError::NoSuchTenant(shown(), credential.tenant));
        }
        match self.credentials.insert(username.clone(), Arc::new(credential)) {
            Some(_) => Err(DirectoryError::UserTwice(shown())),
            None => Ok(()),
        }
    }
}

/// What does not expire has this instead of a time.
const NEVER: u64 = u64::MAX;

/// What a connection may do, and where. Cheap to copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    tenant: TenantId,
    capabilities: Capabilities,
    // Of the credential, so that what every request asks needs no look at it.
    has_prefix: bool,
    /// [`NEVER`], or when its time is over.
    expires: u64,
    /// None: anonymous.
    credential: Option<Arc<Credential>>,
}

impl Grant {
    /// For connections that have not authenticated.
    #[must_use]
    pub fn anonymous(tenant: TenantId, capabilities: Capabilities) -> Self {
        Self { tenant, capabilities, has_prefix: false, expires: NEVER, credential: None }
    }

    /// Of a credential whose password was `verified`, or not, at the unix time `now`.
    ///
    /// # Errors
    ///
    /// As [`Directory::authenticate`].
    pub(crate) fn verified(
        credential: &Arc<Credential>,
        verified: bool,
        now: u64,
    ) -> Result<Self, AuthError> {
        match verified {
            true if credential.has_expired(now) => Err(AuthError::Expired),
            true => Ok(Grant::of(credential)),
            false => Err(AuthError::Refused),
        }
    }

    fn of(credential: &Arc<Credential>) -> Self {
        // A flush would reach keys that the credential may not.
        let denied = match credential.key_prefix {
            Some(_) => Capabilities::FLUSH,
            None => Capabilities::NONE,
        };
        Self {
            tenant: credential.tenant,
            capabilities: credential.capabilities - denied,
            has_prefix: credential.key_prefix.is_some(),
            expires: credential.expires.unwrap_or(NEVER),
            credential: Some(credential.clone()),
        }
    }

    /// The tenant whose items it reaches.
    #[must_use]
    #[inline]
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// What it allows.
    #[must_use]
    #[inline]
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// Whether it allows all of `wanted`.
    #[must_use]
    #[inline]
    pub fn allows(&self, wanted: Capabilities) -> bool {
        self.capabilities.contains(wanted)
    }

    /// The beginning of every key it may use; none: all keys.
    #[must_use]
    #[inline]
    pub fn key_prefix(&self) -> Option<&[u8]> {
        self.credential.as_ref()?.key_prefix.as_deref()
    }

    /// Whether `key` is one that it may use.
    #[must_use]
    #[inline]
    pub fn allows_key(&self, key: &[u8]) -> bool {
        !self.has_prefix || self.key_prefix().is_none_or(|prefix| key.starts_with(prefix))
    }

    /// Who authenticated; none: nobody did.
    #[must_use]
    pub fn username(&self) -> Option<&[u8]> {
        self.credential.as_ref().map(|credential| &*credential.username)
    }

    /// Whether its time is over at the unix time `now` in seconds. Its connection is then to be
    /// closed.
    #[must_use]
    #[inline]
    pub fn has_expired(&self, now: u64) -> bool {
        now >= self.expires && self.expires != NEVER
    }
}

/// Why a client is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AuthError {
    /// No such user, or not its password: which of them is nobody's business.
    #[error("unknown user or wrong password")]
    Refused,
    /// The password is right, the credential's time is over.
    #[error("the credential has expired")]
    Expired,
}

/// Why tenants and credentials make no directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// Two tenants have this name, or this one's id.
    #[error("the tenant {0} is there twice")]
    TenantTwice(TenantName),
    /// Two credentials have this username.
    #[error("the user {0:?} is there twice")]
    UserTwice(String),
    /// The user's tenant is not there.
    #[error("the user {0:?} is of tenant {1}, which is not there")]
    NoSuchTenant(String, TenantId),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::Salt;
    use std::slice;

    const NOW: u64 = 1_000;

    fn tenant(id: u32, name: &str) -> Tenant {
        let name = TenantName::new(name).unwrap();
        Tenant { id: TenantId::new(id), name, ..Tenant::shared() }
    }

    fn credential(username: &str, password: &str, tenant: u32) -> Credential {
        Credential {
            username: username.as_bytes().into(),
            digest: Digest::sha256(Salt::random().unwrap(), password.as_bytes()),
            tenant: TenantId::new(tenant),
            capabilities: Capabilities::USE,
            key_prefix: None,
            expires: None,
        }
    }

    fn directory(credentials: impl IntoIterator<Item = Credential>) -> Directory {
        Directory::new(1, [tenant(1, "one"), tenant(2, "two")], credentials, None).unwrap()
    }

    #[test]
    fn the_right_password_opens_the_users_tenant() {
        let directory = directory([credential("ann", "a", 1), credential("bob", "b", 2)]);
        let grant = directory.authenticate(b"bob", b"b", NOW).unwrap();
        assert_eq!(grant.tenant(), TenantId::new(2));
        assert_eq!(grant.username(), Some(&b"bob"[..]));
        assert!(grant.allows(Capabilities::USE) && !grant.allows(Capabilities::ADMIN));
        assert!(grant.allows_key(b"anything") && !grant.has_expired(u64::MAX));
        let wrong: [(&[u8], &[u8]); 6] = [
            (b"bob", b"a"),
            (b"bob", b""),
            (b"", b""),
            (b"nobody", b"b"),
            (b"Bob", b"b"),
            (b"bob\0", b"b"),
        ];
        for (user, password) in wrong {
            assert_eq!(directory.authenticate(user, password, NOW), Err(AuthError::Refused));
        }
    }

    #[test]
    fn nobody_gets_into_the_empty_directory() {
        let nothing = Directory::default();
        assert_eq!(nothing.version(), 0);
        assert!(nothing.anonymous().is_none());
        assert_eq!(nothing.authenticate(b"", b"", NOW), Err(AuthError::Refused));
    }

    #[test]
    fn the_open_directory_takes_any_credentials_until_it_has_some() {
        let open = Directory::open();
        let anonymous = open.anonymous().unwrap();
        assert!(anonymous.allows(Capabilities::ALL) && anonymous.username().is_none());
        assert_eq!(open.authenticate(b"x", b"y", NOW).as_ref(), Ok(anonymous));
        assert_eq!(open.renew(anonymous, NOW).as_ref(), Some(anonymous));

        let anonymous = Grant::anonymous(TenantId::new(1), Capabilities::READ);
        let credentials = [credential("ann", "a", 1)];
        let both = Directory::new(2, [tenant(1, "one")], credentials, Some(anonymous)).unwrap();
        assert_eq!(both.authenticate(b"x", b"y", NOW), Err(AuthError::Refused));
        assert!(both.authenticate(b"ann", b"a", NOW).unwrap().allows(Capabilities::WRITE));
    }

    #[test]
    fn an_expired_credential_says_so_only_to_who_knows_the_password() {
        let directory = directory([Credential { expires: Some(NOW), ..credential("ann", "a", 1) }]);
        let grant = directory.authenticate(b"ann", b"a", NOW - 1).unwrap();
        assert!(!grant.has_expired(NOW - 1) && grant.has_expired(NOW));
        assert_eq!(directory.authenticate(b"ann", b"a", NOW), Err(AuthError::Expired));
        assert_eq!(directory.authenticate(b"ann", b"b", NOW), Err(AuthError::Refused));
        assert_eq!(directory.renew(&grant, NOW), None);
    }

    #[test]
    fn a_prefix_keeps_to_its_keys_and_off_the_flush() {
        let scoped = Credential {
            key_prefix: Some((*b"shop:").into()),
            capabilities: Capabilities::ALL,
            ..credential("ann", "a", 1)
        };
        let grant = directory([scoped]).authenticate(b"ann", b"a", NOW).unwrap();
        assert!(grant.allows_key(b"shop:1") && grant.allows_key(b"shop:"));
        assert!(!grant.allows_key(b"shop") && !grant.allows_key(b"xshop:1"));
        assert!(!grant.allows(Capabilities::FLUSH));
        assert!(grant.allows(Capabilities::READ | Capabilities::WRITE | Capabilities::ADMIN));
    }

    #[test]
    fn a_grant_is_renewed_while_its_credential_stands() {
        let ann = credential("ann", "a", 1);
        let held = directory([ann.clone()]).authenticate(b"ann", b"a", NOW).unwrap();

        let read_only = Credential { capabilities: Capabilities::READ, ..ann.clone() };
        let renewed = directory([read_only]).renew(&held, NOW).unwrap();
        assert!(renewed.allows(Capabilities::READ) && !renewed.allows(Capabilities::WRITE));

        let moved = Credential { tenant: TenantId::new(2), ..ann.clone() };
        assert_eq!(directory([moved]).renew(&held, NOW).unwrap().tenant(), TenantId::new(2));

        let other_password = Credential { digest: credential("", "b", 1).digest, ..ann };
        assert_eq!(directory([other_password]).renew(&held, NOW), None);
        assert_eq!(directory([]).renew(&held, NOW), None);
        assert_eq!(Directory::open().renew(&held, NOW), None, "opening is not signing in");
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let refusal = |tenants: &[Tenant], credentials: &[Credential], anonymous| {
            Directory::new(1, tenants.to_vec(), credentials.to_vec(), anonymous).unwrap_err()
        };
        let (one, ann) = (tenant(1, "one"), credential("ann", "a", 1));
        let name = TenantName::new("one").unwrap();
        let twice = DirectoryError::TenantTwice(name);
        assert_eq!(refusal(&[one.clone(), tenant(2, "one")], &[], None), twice);
        assert_eq!(refusal(&[one.clone(), tenant(1, "two")], &[], None), twice);
        assert_eq!(
            refusal(slice::from_ref(&one), &[ann.clone(), ann], None),
            DirectoryError::UserTwice("ann".into())
        );
        let missing = TenantId::new(9);
        assert_eq!(
            refusal(slice::from_ref(&one), &[credential("bob", "b", 9)], None),
            DirectoryError::NoSuchTenant("bob".into(), missing)
        );
        let anonymous = Grant::anonymous(missing, Capabilities::ALL);
        assert_eq!(
            refusal(&[one], &[], Some(anonymous)),
            DirectoryError::NoSuchTenant("anonymous".into(), missing)
        );
    }
}
