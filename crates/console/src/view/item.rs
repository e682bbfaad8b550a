//! One item, looked up for an administrator.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use larder_tenancy::ItemFacts;
use serde::Serialize;

use super::KeyView;

/// What is known of an item, without counting as a use of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ItemView {
    /// Its key; its fields stand beside the others.
    #[serde(flatten)]
    pub key: KeyView,
    /// Bytes of its value.
    pub value_bytes: u64,
    /// Bytes that it takes in memory, with its key and header.
    pub bytes: u64,
    /// The client's flags.
    pub flags: u32,
    /// Its CAS number.
    pub cas: u64,
    /// Seconds left; null: it does not expire.
    pub ttl_seconds: Option<f64>,
    /// Seconds since it was last used.
    pub idle_seconds: f64,
    /// Whether it was read since it was stored.
    pub fetched: bool,
    /// The beginning of its value, if the operator lets values be shown.
    pub value: Option<ValueView>,
}

impl ItemView {
    /// What is known of the item under `key`; its value's first bytes, if they may be shown.
    #[must_use]
    pub fn new(key: &[u8], facts: &ItemFacts, value: Option<&[u8]>) -> Self {
        Self {
            key: KeyView::from(key),
            value_bytes: facts.value_bytes,
            bytes: facts.bytes,
            flags: facts.flags,
            cas: facts.cas,
            ttl_seconds: facts.ttl.map(|ttl| ttl.as_secs_f64()),
            idle_seconds: facts.idle.as_secs_f64(),
            fetched: facts.fetched,
            value: value.map(|value| ValueView::new(value, facts.value_bytes)),
        }
    }
}

/// The beginning of a value: text or base64, whichever it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ValueView {
    /// As text, if it is UTF-8.
    pub text: Option<String>,
    /// In base64, if it is not.
    pub base64: Option<String>,
    /// Whether there is more of it.
    pub is_cut: bool,
}

impl ValueView {
    /// A view of the first bytes of a value of `total` bytes. Text that was cut within a character is
    /// text still.
    fn new(value: &[u8], total: u64) -> Self {
        let is_cut = (value.len() as u64) < total;
        match std::str::from_utf8(value) {
            Ok(text) => Self { text: Some(text.to_owned()), base64: None, is_cut },
            Err(error) if is_cut && error.error_len().is_none() => {
                let whole = &value[..error.valid_up_to()];
                let text = String::from_utf8_lossy(whole).into_owned();
                Self { text: Some(text), base64: None, is_cut }
            }
            Err(_) => Self { text: None, base64: Some(BASE64_STANDARD.encode(value)), is_cut },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_text_where_they_can_be() {
        let whole = ValueView::new("grün".as_bytes(), 5);
        assert_eq!((whole.text.as_deref(), whole.is_cut), (Some("grün"), false));
        let cut_in_a_character = ValueView::new(&"grün".as_bytes()[..3], 5);
        assert_eq!(
            (cut_in_a_character.text.as_deref(), cut_in_a_character.is_cut),
            (Some("gr"), true)
        );
        let bytes = ValueView::new(b"\x80\x04", 2);
        assert_eq!((bytes.text, bytes.base64.as_deref()), (None, Some("gAQ=")));
        let ends_badly = ValueView::new(&"grün".as_bytes()[..3], 3);
        assert!(ends_badly.base64.is_some(), "nothing was cut, so it is no text");
    }
}
