//! Cache keys: what the program calls a value, and how that name travels.
//!
//! A [`CacheKey`] is a list of parts. On the wire it becomes `prefix:version` followed by
//! `:length:part` for every part, so no two lists of parts, prefixes or versions can collide.
//! A key that would be longer than memcached's 250 bytes, or that holds a byte the protocol cannot
//! carry, is replaced by its SHA-256; the value then carries the full key, which is compared on
//! every read (see [`crate::envelope`]).

use std::fmt::{self, Display, Write as _};

use larder_client::{Key, KeyError};
use sha2::{Digest, Sha256};

use crate::error::ConfigError;

/// The longest prefix, in bytes: leaves room for the version and a digest within 250 bytes.
pub const MAX_PREFIX_LEN: usize = 64;

/// The name of a cached value: one or more parts, compared part by part.
///
/// ```
/// use larder::CacheKey;
/// let all = CacheKey::new("tasks.all");
/// let row = CacheKey::new("task").with(42);
/// assert_ne!(CacheKey::new("ab").with("c"), CacheKey::new("a").with("bc"));
/// # let _ = (all, row);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CacheKey(Repr);

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Repr {
    /// Every part as `:length:part`, the length in decimal bytes.
    Parts(String),
    Verbatim(Key),
}

impl CacheKey {
    /// A key of one part. Any text will do, of any length, the empty one included.
    pub fn new(part: impl Display) -> Self {
        Self(Repr::Parts(String::with_capacity(32))).with(part)
    }

    /// The same key with one more part.
    ///
    /// On a [verbatim](Self::verbatim) key, which has no parts, the result is an ordinary key whose
    /// first part is the verbatim name.
    #[must_use]
    pub fn with(self, part: impl Display) -> Self {
        let mut encoded = match self.0 {
            Repr::Parts(encoded) => encoded,
            Repr::Verbatim(key) => return Self::new(key).with(part),
        };
        let start = encoded.len();
        // Written once: a part need not print the same twice. Writing to a String cannot fail.
        let _ = write!(encoded, "{part}");
        let length = format!(":{}:", encoded.len() - start);
        encoded.insert_str(start, &length);
        Self(Repr::Parts(encoded))
    }

    /// A key that goes over the wire exactly as written, without prefix, version or hashing: for
    /// values shared with programs in other languages.
    ///
    /// # Errors
    /// If memcached could not carry it: empty, over 250 bytes, or with a space or control byte.
    pub fn verbatim(name: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        Key::new(name).map(|key| Self(Repr::Verbatim(key)))
    }

    /// A key of the framework's own, which no program's key can equal: its first part is a letter
    /// where theirs have a length.
    pub(crate) fn reserved(family: Family) -> Self {
        Self(Repr::Parts(format!(":{}", family as u8 as char)))
    }

    /// What is sent to the servers for this key under `namespace`.
    pub(crate) fn wire(&self, namespace: &Namespace) -> WireKey {
        let parts = match &self.0 {
            Repr::Verbatim(key) => {
                return WireKey { key: key.clone(), full: None };
            }
            Repr::Parts(parts) => parts,
        };
        let mut full = String::with_capacity(namespace.head.len() + parts.len());
        full.push_str(&namespace.head);
        full.push_str(parts);
        let plain = full.bytes().all(|byte| byte.is_ascii_graphic());
        if plain && let Ok(key) = Key::new(&full) {
            return WireKey { key, full: None };
        }
        // `h` cannot be confused with a length, so a digest never meets a plain key.
        let digest = hex::encode(Sha256::digest(&full));
        let hashed = format!("{}:h:{digest}", namespace.head);
        let key = Key::new(hashed).expect("a checked prefix and a digest fit the wire");
        WireKey { key, full: Some(full.into_boxed_str()) }
    }
}

/// The families of keys that the framework makes. `h`, a digest, is not for these.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Family {
    Fragment = b'f',
    Page = b'p',
    Session = b's',
    Tag = b't',
}

impl<T: Display> From<T> for CacheKey {
    fn from(part: T) -> Self {
        Self::new(part)
    }
}

impl From<&CacheKey> for CacheKey {
    fn from(key: &CacheKey) -> Self {
        key.clone()
    }
}

/// A key as the servers see it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WireKey {
    pub(crate) key: Key,
    /// The whole name, where `key` is only its digest.
    pub(crate) full: Option<Box<str>>,
}

/// Prefix and version in front of every key of one cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Namespace {
    head: String,
}

impl Namespace {
    /// # Errors
    /// If `prefix` is over [`MAX_PREFIX_LEN`], or holds a colon, a space, a control byte or
    /// anything beyond ASCII.
    pub(crate) fn new(prefix: &str, version: u32) -> Result<Self, ConfigError> {
        let wrong = prefix.chars().find(|c| !c.is_ascii_graphic() || *c == ':');
        if prefix.len() > MAX_PREFIX_LEN || wrong.is_some() {
            return Err(ConfigError::Prefix { prefix: prefix.to_owned(), wrong });
        }
        Ok(Self { head: format!("{prefix}:{version}") })
    }
}

impl Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wire(key: &CacheKey, prefix: &str, version: u32) -> WireKey {
        key.wire(&Namespace::new(prefix, version).unwrap())
    }

    #[test]
    fn a_short_key_stays_readable() {
        let key = wire(&CacheKey::new("tasks.all").with(7), "shop", 1);
        assert_eq!(key.key.as_bytes(), b"shop:1:9:tasks.all:1:7");
        assert_eq!(key.full, None);
    }

    #[test]
    fn what_the_wire_cannot_carry_is_hashed_and_kept_whole() {
        let long = "x".repeat(300);
        for part in ["with space", "line\r\nbreak", "smörgås", long.as_str()] {
            let key = wire(&CacheKey::new(part), "shop", 1);
            assert!(key.key.as_bytes().starts_with(b"shop:1:h:"), "{part:?}");
            assert_eq!(key.full.as_deref(), Some(&*format!("shop:1:{}:{part}", part.len())));
        }
    }

    #[test]
    fn a_part_that_never_prints_the_same_has_its_right_length() {
        struct Growing(std::cell::Cell<usize>);
        impl Display for Growing {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.set(self.0.get() + 1);
                write!(f, "{}", "x".repeat(self.0.get()))
            }
        }
        let part = Growing(std::cell::Cell::new(0));
        let key = CacheKey::new(&part).with(&part).with("é");
        assert_eq!(key, CacheKey::new("x").with("xx").with("é"));
        assert_eq!(wire(&key, "t", 1).full.as_deref(), Some("t:1:1:x:2:xx:2:é"));
    }

    #[test]
    fn a_verbatim_key_travels_as_written() {
        let key = wire(&CacheKey::verbatim("counter").unwrap(), "shop", 3);
        assert_eq!(key.key.as_bytes(), b"counter");
        assert!(CacheKey::verbatim("two words").is_err());
    }

    #[test]
    fn a_prefix_that_could_be_misread_is_refused() {
        assert!(Namespace::new("shop", 1).is_ok());
        assert!(Namespace::new("", 1).is_ok());
        for prefix in ["a:b", "a b", "ä", &"p".repeat(MAX_PREFIX_LEN + 1)] {
            assert!(Namespace::new(prefix, 1).is_err(), "{prefix:?}");
        }
    }

    fn key_of(parts: &[String]) -> CacheKey {
        let mut parts = parts.iter();
        let first = CacheKey::new(parts.next().map_or("", |part| part.as_str()));
        parts.fold(first, CacheKey::with)
    }

    proptest! {
        /// Small alphabets with the separators in them look hardest for a collision.
        #[test]
        fn different_names_never_share_a_wire_key(
            a in proptest::collection::vec("[:1-3h ]{0,4}", 1..4), pa in "[1h]{0,2}", va in 0u32..20,
            b in proptest::collection::vec("[:1-3h ]{0,4}", 1..4), pb in "[1h]{0,2}", vb in 0u32..20,
        ) {
            let same = a == b && pa == pb && va == vb;
            let left = wire(&key_of(&a), &pa, va);
            let right = wire(&key_of(&b), &pb, vb);
            prop_assert_eq!(same, left.key == right.key);
        }
    }
}
