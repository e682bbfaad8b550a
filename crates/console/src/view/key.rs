//! A key on the way to a reader of text.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;

/// A key, or a prefix of keys. Keys are bytes; most of them are text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyView {
    /// The key as text. What is not UTF-8 in it is shown as `U+FFFD`, and then `key_base64` is the key.
    pub key: String,
    /// The key in base64, if it is not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_base64: Option<String>,
}

impl From<&[u8]> for KeyView {
    fn from(key: &[u8]) -> Self {
        match std::str::from_utf8(key) {
            Ok(text) => Self { key: text.to_owned(), key_base64: None },
            Err(_) => Self {
                key: String::from_utf8_lossy(key).into_owned(),
                key_base64: Some(BASE64_STANDARD.encode(key)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_not_lost() {
        let text = KeyView::from("task:ä".as_bytes());
        assert_eq!(serde_json::to_string(&text).unwrap(), r#"{"key":"task:ä"}"#);
        let bytes = KeyView::from(&b"a\xff\x00"[..]);
        assert_eq!(bytes.key, "a\u{fffd}\0");
        assert_eq!(BASE64_STANDARD.decode(bytes.key_base64.unwrap()).unwrap(), b"a\xff\x00");
    }
}
