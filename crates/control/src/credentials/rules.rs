//! What a credential, and a password that somebody chooses, may be.

use larder_tenancy::Capabilities;

use super::{Chosen, CredentialRecord};
use crate::error::AccountsError;

/// The longest key prefix, note and password, in bytes.
const LONGEST: usize = 200;

pub(super) fn check(
    capabilities: Capabilities,
    key_prefix: Option<&str>,
    note: &str,
) -> Result<(), AccountsError> {
    if let Some(prefix) = key_prefix {
        if prefix.is_empty()
            || prefix.len() > LONGEST
            || !prefix.bytes().all(|b| b.is_ascii_graphic())
        {
            let wanted = "1 to 200 visible ASCII characters; for all keys leave it out";
            return Err(invalid("key prefix", prefix, wanted));
        }
        if capabilities.contains(Capabilities::FLUSH) {
            let wanted =
                "a flush would reach keys beyond the key prefix; leave out `flush` or the prefix";
            return Err(invalid("capabilities", &capabilities.to_string(), wanted));
        }
    }
    if note.len() > LONGEST || note.chars().any(char::is_control) {
        return Err(invalid("note", note, "200 bytes at most, no control characters"));
    }
    Ok(())
}

pub(crate) fn check_expiry(expires: Option<u64>, now: u64) -> Result<(), AccountsError> {
    match expires {
        Some(expires) if expires <= now || i64::try_from(expires).is_err() => {
            let wanted = format!("in seconds since 1970, later than now, {now}");
            Err(invalid("expiry", &expires.to_string(), &wanted))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_can_be_primary(
    is_primary: bool,
    record: &CredentialRecord,
) -> Result<(), AccountsError> {
    if is_primary && record.expires.is_some() {
        return Err(AccountsError::Conflict(format!(
            "the primary credential does not expire, and {} does: remove the expiry, or use another",
            record.username
        )));
    }
    Ok(())
}

pub(super) fn check_chosen(chosen: &Chosen) -> Result<(), AccountsError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
    let username = &chosen.username;
    if !(3..=64).contains(&username.len()) || !username.bytes().all(allowed) {
        let wanted = "3 to 64 letters, digits and . _ @ -";
        return Err(invalid("username", username, wanted));
    }
    check_password(&chosen.password)
}

/// A password that somebody chooses: long enough, and one that every client can send.
pub(crate) fn check_password(password: &str) -> Result<(), AccountsError> {
    if password.chars().count() < 12
        || password.len() > LONGEST
        || password.chars().any(char::is_control)
    {
        let wanted = "12 characters at least, 200 bytes at most, no control characters";
        return Err(invalid("password", "(not shown)", wanted));
    }
    Ok(())
}

pub(crate) fn invalid(what: &'static str, value: &str, wanted: &str) -> AccountsError {
    AccountsError::Invalid { what, value: value.to_owned(), wanted: wanted.to_owned() }
}
