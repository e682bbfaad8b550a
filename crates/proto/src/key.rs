//! The [`Key`] type: bytes that every memcached protocol can carry.
//!
//! The only way to make a key is [`Key::new`], so code that holds one never has to check it again.

use std::fmt;

use bytes::Bytes;

/// The longest key in bytes that memcached accepts (`KEY_MAX_LENGTH` in its source).
pub const MAX_KEY_LEN: usize = 250;

/// A memcached key: 1 to [`MAX_KEY_LEN`] bytes, none of them a control character or a space.
///
/// memcached's text parser ends a token at a space and a line at a line feed, and its documentation
/// forbids control characters; bytes from 0x80 up are allowed, so UTF-8 text works. Cloning shares
/// the bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Bytes);

impl Key {
    /// Checks and copies `key`.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when it is empty, longer than [`MAX_KEY_LEN`] bytes, or holds a byte up to 0x20
    /// or 0x7f.
    pub fn new(key: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let bytes = key.as_ref();
        if bytes.is_empty() || bytes.len() > MAX_KEY_LEN {
            return Err(KeyError::Length { len: bytes.len() });
        }
        match bytes.iter().position(|&byte| byte <= 0x20 || byte == 0x7f) {
            Some(index) => Err(KeyError::Byte { byte: bytes[index], index }),
            None => Ok(Self(Bytes::copy_from_slice(bytes))),
        }
    }

    /// The key's bytes as they go on the wire.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Key {
    /// Writes the key with bytes outside ASCII as `\xNN` escapes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// Why [`Key::new`] refused some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The key is empty or too long.
    #[error("a memcached key has 1 to {MAX_KEY_LEN} bytes, this one has {len}")]
    Length {
        /// Its length in bytes.
        len: usize,
    },
    /// The key holds a byte that would end a token or a line, or that memcached forbids.
    #[error(
        "byte {byte:#04x} at index {index} is not allowed in a memcached key: \
         no spaces and no control characters (up to 0x20, and 0x7f)"
    )]
    Byte {
        /// The first such byte.
        byte: u8,
        /// Its position in the key, from 0.
        index: usize,
    },
}
