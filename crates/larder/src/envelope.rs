//! What a cached value looks like on a server.
//!
//! The description of a value travels in the item's 32-bit flags, so that the value itself stays
//! what it is: a counter is ASCII digits, raw bytes are the bytes. From the high end: 16 bits of
//! magic, 8 bits of format version, then the codec and one bit that says whether the value begins
//! with its full key (a key that had to be hashed; `u32` length, big-endian, then the key).
//! Flags 0 are *plain*: raw bytes and integers, as any other language writes and reads them.
//!
//! A value whose envelope is not understood is a miss, never an error and never a guess.

use bytes::{BufMut, Bytes, BytesMut};
use larder_client::Item;

use crate::key::WireKey;

const MAGIC: u32 = 0x4C52_0000;
const MAGIC_MASK: u32 = 0xFFFF_0000;
/// Raised whenever the meaning of any byte changes: older and newer programs then miss.
const FORMAT: u32 = 1 << 8;
const FORMAT_MASK: u32 = 0xFF00;
const KEYED: u32 = 0x80;
const CODEC_MASK: u32 = 0x7F;

/// How the payload is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    /// Raw bytes or ASCII digits; bare, unless the key had to be hashed.
    Plain,
    /// A serde value as JSON.
    Json,
    /// Bytes with a layout of their own: fragments, pages.
    Blob,
    /// No value: somebody is computing one (see [`crate::cache::guard`]).
    Lease,
}

impl Codec {
    fn bits(self) -> u32 {
        match self {
            Self::Json => 1,
            Self::Blob => 2,
            Self::Lease => 3,
            Self::Plain => 4,
        }
    }

    fn of(bits: u32) -> Option<Self> {
        [Self::Json, Self::Blob, Self::Lease, Self::Plain]
            .into_iter()
            .find(|codec| codec.bits() == bits)
    }
}

/// A value taken out of its envelope, or about to be put into one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) codec: Codec,
    pub(crate) bytes: Bytes,
}

/// Why an item that was there is not the value asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Written by another version of this format, or with flags of somebody else's.
    UnknownFormat,
    /// Another key with the same digest, or a value too short to hold its key.
    OtherKey,
}

/// Puts `payload` into the envelope for `key`: the item's flags and value.
pub(crate) fn seal(key: &WireKey, payload: Payload) -> (u32, Bytes) {
    if payload.codec == Codec::Plain && key.full.is_none() {
        return (0, payload.bytes);
    }
    let flags = MAGIC | FORMAT | payload.codec.bits();
    let Some(full) = &key.full else {
        return (flags, payload.bytes);
    };
    let len = u32::try_from(full.len()).expect("keys are shorter than 4 GiB");
    let mut value = BytesMut::with_capacity(4 + full.len() + payload.bytes.len());
    value.put_u32(len);
    value.put_slice(full.as_bytes());
    value.put_slice(&payload.bytes);
    (flags | KEYED, value.freeze())
}

/// Takes an item's value out of its envelope, checking that it belongs to `key`.
pub(crate) fn open(key: &WireKey, item: &Item) -> Result<Payload, Unreadable> {
    if item.flags == 0 {
        // A plain value carries no key to compare, so a digest must not be trusted with it.
        return match key.full {
            None => Ok(Payload { codec: Codec::Plain, bytes: item.value.clone() }),
            Some(_) => Err(Unreadable::OtherKey),
        };
    }
    if item.flags & (MAGIC_MASK | FORMAT_MASK) != MAGIC | FORMAT {
        return Err(Unreadable::UnknownFormat);
    }
    let codec = Codec::of(item.flags & CODEC_MASK).ok_or(Unreadable::UnknownFormat)?;
    let bytes = match (&key.full, item.flags & KEYED != 0) {
        (None, false) => item.value.clone(),
        (Some(full), true) => strip_key(full, &item.value).ok_or(Unreadable::OtherKey)?,
        _ => return Err(Unreadable::OtherKey),
    };
    Ok(Payload { codec, bytes })
}

fn strip_key(full: &str, value: &Bytes) -> Option<Bytes> {
    let (len, rest) = value.split_first_chunk::<4>()?;
    let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
    (rest.get(..len)? == full.as_bytes()).then(|| value.slice(4 + len..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{CacheKey, Namespace};

    fn wire(part: &str) -> WireKey {
        CacheKey::new(part).wire(&Namespace::new("t", 1).unwrap())
    }

    fn item(flags: u32, value: Bytes) -> Item {
        Item { value, flags, cas: 1 }
    }

    #[test]
    fn what_was_sealed_opens() {
        for part in ["short", "needs hashing"] {
            let key = wire(part);
            for codec in [Codec::Plain, Codec::Json, Codec::Blob, Codec::Lease] {
                let payload = Payload { codec, bytes: Bytes::from_static(b"[]") };
                let (flags, value) = seal(&key, payload.clone());
                assert_eq!(open(&key, &item(flags, value)), Ok(payload));
            }
        }
    }

    #[test]
    fn plain_bytes_travel_bare() {
        let payload = Payload { codec: Codec::Plain, bytes: Bytes::from_static(b"41") };
        assert_eq!(seal(&wire("n"), payload), (0, Bytes::from_static(b"41")));
    }

    #[test]
    fn a_digest_collision_is_not_a_hit() {
        let payload = Payload { codec: Codec::Json, bytes: Bytes::from_static(b"1") };
        let (flags, value) = seal(&wire("alice's key"), payload);
        assert_eq!(open(&wire("bob's key"), &item(flags, value)), Err(Unreadable::OtherKey));
        let bare = item(0, Bytes::from_static(b"1"));
        assert_eq!(open(&wire("bob's key"), &bare), Err(Unreadable::OtherKey));
    }

    #[test]
    fn foreign_and_damaged_envelopes_are_refused() {
        let key = wire("k");
        for flags in [1, MAGIC, MAGIC | 0x200 | 1, MAGIC | FORMAT | 9, u32::MAX] {
            let opened = open(&key, &item(flags, Bytes::from_static(b"x")));
            assert_eq!(opened, Err(Unreadable::UnknownFormat), "{flags:#x}");
        }
        let hashed = wire("needs hashing");
        for value in [&b""[..], b"\0\0", b"\xff\xff\xff\xff", b"\0\0\0\x40short"] {
            let damaged = item(MAGIC | FORMAT | KEYED | 1, Bytes::from_static(value));
            assert_eq!(open(&hashed, &damaged), Err(Unreadable::OtherKey), "{value:?}");
        }
    }
}
