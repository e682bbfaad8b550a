//! A password's digest as text, for the database and the snapshot: `sha256:SALT:HASH` in hex, or an
//! Argon2id string of the PHC format.

use larder_tenancy::{Digest, Salt};

/// The digest as text.
pub(crate) fn encode(digest: &Digest) -> Option<String> {
    match digest {
        Digest::Sha256 { salt, hash } => {
            Some(format!("sha256:{}:{}", hex::encode(salt.bytes()), hex::encode(hash)))
        }
        Digest::Argon2id(phc) => Some(phc.to_string()),
        _ => None,
    }
}

/// The digest that `text` is; none if it is none.
pub(crate) fn decode(text: &str) -> Option<Digest> {
    if text.starts_with("$argon2id$") {
        return Some(Digest::Argon2id(text.into()));
    }
    let (salt, hash) = text.strip_prefix("sha256:")?.split_once(':')?;
    Some(Digest::Sha256 { salt: Salt::from_bytes(bytes(salt)?), hash: bytes(hash)? })
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_back_as_it_was() {
        let salt = Salt::random().unwrap();
        for digest in [Digest::sha256(salt, b"s3cret"), Digest::argon2id(salt, b"s3cret")] {
            let text = encode(&digest).unwrap();
            assert_eq!(decode(&text), Some(digest));
            assert!(!text.contains("s3cret"));
        }
        let good = encode(&Digest::sha256(salt, b"x")).unwrap();
        for text in ["", "sha256:", "sha256:00:11", "plain", &good[..good.len() - 1], &good[1..]] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
