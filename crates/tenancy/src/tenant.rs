//! A tenant: its number, its name, and how much memory it may have.

use std::fmt;
use std::sync::Arc;

/// The number by which a node knows a tenant. It is never given to another one, not even after the
/// tenant is gone, so what is still filed under it can be nobody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(u32);

impl TenantId {
    /// The tenant of those who name none, as memcached has one cache for all.
    pub const DEFAULT: TenantId = TenantId(0);

    /// The tenant that whoever hands out the numbers calls `number`.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A tenant's name: 1 to [`TenantName::MAX_LEN`] of `a`-`z`, `0`-`9`, `-` and `_`, the first a letter
/// or a digit. So it fits a URL, a metric's label and a line of an auth file as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantName(Arc<str>);

impl TenantName {
    /// The longest name in bytes.
    pub const MAX_LEN: usize = 63;

    /// The name of [`TenantId::DEFAULT`].
    pub const DEFAULT: &'static str = "default";

    /// Checks and copies `name`.
    ///
    /// # Errors
    ///
    /// [`TenantNameError`] for anything but what a name is made of.
    pub fn new(name: &str) -> Result<Self, TenantNameError> {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let begins_well = name.bytes().next().is_some_and(good);
        let all_good = name.bytes().all(|byte| good(byte) || byte == b'-' || byte == b'_');
        if begins_well && all_good && name.len() <= Self::MAX_LEN {
            Ok(Self(name.into()))
        } else {
            Err(TenantNameError)
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for TenantName {
    fn default() -> Self {
        Self(Self::DEFAULT.into())
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What is wrong with a tenant's name. The name is not repeated: in an auth file it may be a piece of a
/// password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tenant's name is 1 to 63 of a-z, 0-9, '-' and '_', and begins with a letter or a digit")]
pub struct TenantNameError;

/// How much memory a tenant may have on a node, in bytes: items, their share of the index, everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantLimits {
    /// Below this nothing is taken from the tenant for the sake of others.
    pub floor: u64,
    /// Beyond this the tenant makes room by evicting its own items. At least the floor.
    pub ceiling: u64,
}

impl TenantLimits {
    /// Whatever the node has to spare, and nothing guaranteed.
    pub const NONE: TenantLimits = TenantLimits { floor: 0, ceiling: u64::MAX };
}

/// A cache of its own: its keys are nobody else's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its number on the wire between crates.
    pub id: TenantId,
    /// What people call it.
    pub name: TenantName,
    /// Its share of the node's memory.
    pub limits: TenantLimits,
    /// How often all its items were flushed through its account. A node that sees the number grow makes
    /// every item that the tenant has a miss.
    pub flushes: u64,
}

impl Tenant {
    /// The shared tenant of those who name none: [`TenantId::DEFAULT`], without limits of its own.
    #[must_use]
    pub fn shared() -> Self {
        Self {
            id: TenantId::DEFAULT,
            name: TenantName::default(),
            limits: TenantLimits::NONE,
            flushes: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let longest = "a".repeat(TenantName::MAX_LEN);
        for name in ["default", "a", "0", "shop-2_eu", &longest] {
            assert_eq!(TenantName::new(name).unwrap().as_str(), name);
        }
        let too_long = "a".repeat(TenantName::MAX_LEN + 1);
        for name in ["", "-a", "_a", "Shop", "a b", "a:b", "a.b", "é", "a\n", &too_long] {
            assert_eq!(TenantName::new(name), Err(TenantNameError), "{name:?}");
        }
        assert_eq!(TenantName::new(TenantName::DEFAULT), Ok(TenantName::default()));
    }
}
