//! How far a cache is with changing its primary credential for another.

use serde::Serialize;

use crate::view::CredentialView;

/// Seconds without a command after which a credential is called silent. When it was last used is noted
/// every minute, so one that was never used is not called silent as soon as it is made.
const SILENT: u64 = 600;

/// How far a rotation is, as far as the credentials tell.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Rotation {
    primary: String,
    /// What a new one must be allowed.
    capabilities: Vec<&'static str>,
    /// The new one, if there is one.
    fresh: Option<CredentialView>,
    /// Whether that is the primary already.
    is_promoted: bool,
    /// What is left to be revoked then.
    old: Option<CredentialView>,
    /// Whether nobody has used that for a while.
    old_is_safe: bool,
}

impl Rotation {
    /// A credential can take the primary's place, or had it, if it may do as much with all keys.
    pub(super) fn of(credentials: &[CredentialView], now: u64) -> Rotation {
        let Some(primary) = credentials.iter().find(|one| one.is_primary) else {
            return Rotation::default();
        };
        let is_equal = |one: &&CredentialView| {
            !one.is_primary
                && one.key_prefix.is_none()
                && !one.has_expired
                && primary.capabilities.iter().all(|name| one.capabilities.contains(name))
        };
        let others = || credentials.iter().filter(is_equal);
        let newer = others().filter(|one| one.created > primary.created);
        let fresh = newer.max_by_key(|one| one.created);
        let older = others().filter(|one| one.created <= primary.created);
        let old = older.max_by_key(|one| one.created).filter(|_| fresh.is_none());
        let is_silent = |one: &CredentialView| one.last_used.unwrap_or(one.created) + SILENT < now;
        Rotation {
            primary: primary.username.clone(),
            capabilities: primary.capabilities.clone(),
            fresh: fresh.or(old.map(|_| primary)).cloned(),
            is_promoted: old.is_some(),
            old_is_safe: old.is_some_and(is_silent),
            old: old.cloned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(username: &str, created: u64, last_used: Option<u64>) -> CredentialView {
        CredentialView {
            username: username.to_owned(),
            capabilities: vec!["read", "write"],
            is_primary: false,
            key_prefix: None,
            expires: None,
            has_expired: false,
            note: String::new(),
            is_chosen: false,
            created,
            last_used,
        }
    }

    #[test]
    fn a_rotation_goes_its_three_steps() {
        let now = 10_000;
        let mut old = CredentialView { is_primary: true, ..credential("old", 1, Some(9_990)) };
        let mut new = credential("new", 100, None);
        let before = Rotation::of(&[old.clone()], now);
        assert_eq!(
            (before.primary.as_str(), before.fresh.is_none(), before.old.is_none()),
            ("old", true, true)
        );

        let made = Rotation::of(&[old.clone(), new.clone()], now);
        assert_eq!(made.fresh.map(|one| one.username).as_deref(), Some("new"));
        assert!(!made.is_promoted && made.old.is_none());

        (old.is_primary, new.is_primary) = (false, true);
        let promoted = Rotation::of(&[new.clone(), old.clone()], now);
        assert!(promoted.is_promoted && !promoted.old_is_safe);
        assert_eq!(promoted.old.map(|one| one.username).as_deref(), Some("old"));
        assert!(Rotation::of(&[new.clone(), old.clone()], now + SILENT).old_is_safe);
        let unused = |created| CredentialView { created, last_used: None, ..old.clone() };
        new.created = now;
        assert!(!Rotation::of(&[new.clone(), unused(now - 30)], now).old_is_safe);
        assert!(Rotation::of(&[new, unused(now - SILENT - 1)], now).old_is_safe);
    }

    #[test]
    fn credentials_for_something_else_are_no_part_of_it() {
        let primary = CredentialView { is_primary: true, ..credential("main", 1, None) };
        let reader = CredentialView { capabilities: vec!["read"], ..credential("reader", 5, None) };
        let scoped =
            CredentialView { key_prefix: Some("a:".into()), ..credential("scoped", 6, None) };
        let gone = CredentialView { has_expired: true, ..credential("gone", 7, None) };
        let rotation = Rotation::of(&[primary, reader, scoped, gone], 10);
        assert_eq!((rotation.fresh, rotation.old), (None, None));
        assert_eq!(Rotation::of(&[], 10), Rotation::default());
    }
}
