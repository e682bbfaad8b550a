//! Random secrets, and the digests that are kept of tokens.

use sha2::{Digest as _, Sha256};

use crate::error::AccountsError;

/// `BYTES` random bytes from the operating system, in hex.
pub(crate) fn random_hex<const BYTES: usize>() -> Result<String, AccountsError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(no_randomness)?;
    Ok(hex::encode(bytes))
}

/// What is said when the operating system has no random bytes.
pub(crate) fn no_randomness(cause: getrandom::Error) -> AccountsError {
    AccountsError::Unavailable(format!("no random bytes from the operating system: {cause}"))
}

/// SHA-256 of a token, in hex: all that is kept of 256 random bits.
pub(crate) fn digest(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

/// What names a token or a session without giving it away: 64 bits of its digest.
pub(crate) fn id(token: &str) -> String {
    let mut id = digest(token);
    id.truncate(16);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_random_and_their_digests_are_not() {
        let (one, other) = (random_hex::<16>().unwrap(), random_hex::<16>().unwrap());
        assert_ne!(one, other);
        assert_eq!((one.len(), digest(&one).len(), id(&one).len()), (32, 64, 16));
        assert!(digest(&one).starts_with(&id(&one)) && digest(&one) == digest(&one));
        let of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest("abc"), of_abc);
    }
}
