//! What a credential may do.

use std::fmt;
use std::ops::{BitAnd, BitOr, Sub};
use std::str::FromStr;

/// A set of things that a credential may do. The commands of the wire protocols need one each.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Capabilities(u8);

/// Each capability and its name, in the order in which they are listed.
const NAMES: [(Capabilities, &str); 4] = [
    (Capabilities::READ, "read"),
    (Capabilities::WRITE, "write"),
    (Capabilities::FLUSH, "flush"),
    (Capabilities::ADMIN, "admin"),
];

impl Capabilities {
    /// None at all.
    pub const NONE: Capabilities = Capabilities(0);
    /// To read items.
    pub const READ: Capabilities = Capabilities(1);
    /// To store, change, touch and delete items.
    pub const WRITE: Capabilities = Capabilities(2);
    /// To flush the tenant.
    pub const FLUSH: Capabilities = Capabilities(4);
    /// To change more than the tenant's items: its settings, or the node's where there is one tenant.
    pub const ADMIN: Capabilities = Capabilities(8);
    /// What an application needs of its cache: everything but [`ADMIN`](Capabilities::ADMIN).
    pub const USE: Capabilities = Capabilities(7);
    /// Everything, as memcached has it.
    pub const ALL: Capabilities = Capabilities(15);

    /// Whether all of `wanted` is in the set.
    #[must_use]
    #[inline]
    pub const fn contains(self, wanted: Capabilities) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// The names of what is in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().filter(move |(one, _)| self.contains(*one)).map(|(_, name)| name)
    }
}

impl BitOr for Capabilities {
    type Output = Capabilities;

    fn bitor(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 | other.0)
    }
}

impl BitAnd for Capabilities {
    type Output = Capabilities;

    fn bitand(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 & other.0)
    }
}

impl Sub for Capabilities {
    type Output = Capabilities;

    fn sub(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 & !other.0)
    }
}

/// Names separated by commas; `none` for the empty set. What [`FromStr`] reads.
impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Capabilities::NONE {
            return f.write_str("none");
        }
        for (at, name) in self.names().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Capabilities({self})")
    }
}

/// A name that is no capability's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no capability: use a comma-separated list of read, write, flush, admin")]
pub struct UnknownCapability(pub String);

impl FromStr for Capabilities {
    type Err = UnknownCapability;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim() == "none" {
            return Ok(Capabilities::NONE);
        }
        text.split(',').map(str::trim).try_fold(Capabilities::NONE, |all, name| {
            let known = NAMES.iter().find(|(_, known)| *known == name);
            known.map(|(one, _)| all | *one).ok_or_else(|| UnknownCapability(name.to_owned()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_is_read_back_as_it_is_written() {
        for bits in 0..=Capabilities::ALL.0 {
            let set = Capabilities(bits);
            assert_eq!(set.to_string().parse(), Ok(set));
            assert_eq!(set.names().count(), bits.count_ones() as usize);
        }
        assert_eq!(Capabilities::ALL.to_string(), "read,write,flush,admin");
        assert_eq!(Capabilities::NONE.to_string(), "none");
    }

    #[test]
    fn sets_contain_what_was_put_in() {
        let read_only = Capabilities::ALL - Capabilities::WRITE - Capabilities::FLUSH;
        assert!(read_only.contains(Capabilities::READ));
        assert!(read_only.contains(Capabilities::NONE));
        assert!(!read_only.contains(Capabilities::READ | Capabilities::WRITE));
        assert_eq!(read_only & Capabilities::USE, Capabilities::READ);
    }

    #[test]
    fn unknown_names_are_refused() {
        assert_eq!("read, write".parse(), Ok(Capabilities::READ | Capabilities::WRITE));
        for (text, name) in [("", ""), ("Read", "Read"), ("read,,write", ""), ("read,none", "none")]
        {
            assert_eq!(text.parse::<Capabilities>(), Err(UnknownCapability(name.to_owned())));
        }
    }
}
