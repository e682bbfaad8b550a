//! The two hashes of libmemcached's rings.

use md5::{Digest, Md5};

/// Bob Jenkins's one-at-a-time hash, libmemcached's default. Its C source reads the key as signed
/// characters, so a byte from 0x80 up is added as a negative number; keys in UTF-8 depend on it.
pub(crate) fn one_at_a_time(key: &[u8]) -> u32 {
    let mut hash = 0_u32;
    for &byte in key {
        hash = hash.wrapping_add_signed(i32::from(byte.cast_signed()));
        hash = hash.wrapping_add(hash << 10);
        hash ^= hash >> 6;
    }
    hash = hash.wrapping_add(hash << 3);
    hash ^= hash >> 11;
    hash.wrapping_add(hash << 15)
}

/// The little-endian 32-bit word number `word` (0 to 3) of the MD5 digest.
pub(crate) fn md5_word(bytes: &[u8], word: usize) -> u32 {
    md5_words(bytes)[word % 4]
}

/// The MD5 digest as four little-endian words.
pub(crate) fn md5_words(bytes: &[u8]) -> [u32; 4] {
    let digest: [u8; 16] = Md5::digest(bytes).into();
    std::array::from_fn(|word| {
        let at = word * 4;
        u32::from_le_bytes([digest[at], digest[at + 1], digest[at + 2], digest[at + 3]])
    })
}
