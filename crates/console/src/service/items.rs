//! One item of a cache, for its administrator.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use larder_control::TenantRecord;
use larder_tenancy::Capabilities;

use crate::console::App;
use crate::front::Who;
use crate::problem::Problem;
use crate::view::{DoneView, ItemView};

/// The longest key that there is, in bytes.
const MOST_KEY: usize = 250;

/// So much of a value is shown, in bytes.
const MOST_VALUE: usize = 4096;

/// What is known of the item under `key`, without counting as a use of it. Its value too if the operator
/// lets values be shown and who asks may read items.
pub(crate) fn look_up(
    app: &App,
    who: &Who,
    tenant: &TenantRecord,
    key: &[u8],
) -> Result<ItemView, Problem> {
    let facts = app.node.look_up(tenant.id, key).ok_or_else(missing)?;
    let may_see = app.settings.show_values && who.capabilities().contains(Capabilities::READ);
    let value = may_see.then(|| app.node.value(tenant.id, key, MOST_VALUE)).flatten();
    Ok(ItemView::new(key, &facts, value.as_deref()))
}

/// Removes an item from this node.
pub(crate) async fn delete(
    app: &App,
    who: &Who,
    tenant: &TenantRecord,
    key: &[u8],
) -> Result<DoneView, Problem> {
    if !who.capabilities().contains(Capabilities::WRITE) {
        return Err(Problem::beyond("to delete an item needs the capability write as well"));
    }
    if !app.node.delete(tenant.id, key) {
        return Err(missing());
    }
    let detail = format!("key {:?}", String::from_utf8_lossy(key));
    app.accounts.note(&who.actor(), Some(&tenant.name), "item.delete", &detail).await?;
    Ok(DoneView { waiting_for: Vec::new() })
}

/// The key that a query names: `key=` percent-encoded bytes, or `key_base64=`.
pub(crate) fn key_of(query: &str) -> Result<Vec<u8>, Problem> {
    let mut pairs = query.split('&').filter(|pair| !pair.is_empty());
    let wanted = "give the key as ?key=KEY, percent-encoded, or as ?key_base64=KEY";
    let (Some(pair), None) = (pairs.next(), pairs.next()) else {
        return Err(Problem::invalid(wanted));
    };
    let key = match pair.split_once('=') {
        Some(("key", value)) => unescaped(value),
        Some(("key_base64", value)) => {
            unescaped(value).and_then(|text| BASE64_STANDARD.decode(text).ok())
        }
        _ => return Err(Problem::invalid(wanted)),
    };
    let key = key.ok_or_else(|| Problem::invalid(format!("the key is badly encoded: {wanted}")))?;
    match key.len() {
        1..=MOST_KEY => Ok(key),
        len => Err(Problem::invalid(format!("a key has 1 to {MOST_KEY} bytes, not {len}"))),
    }
}

fn missing() -> Problem {
    let message = "there is no such item on this node, or its time is over";
    Problem::new(StatusCode::NOT_FOUND, "no_item", message)
}

/// Percent-decoded bytes, where `+` is a space as in a form; none if a `%` is not followed by two hex
/// digits.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
                u8::try_from(high * 16 + low).ok()?
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_bytes() {
        for (query, key) in [
            ("key=task:1", &b"task:1"[..]),
            ("key=a%20b+c", b"a b c"),
            ("key=%ff%00", b"\xff\0"),
            ("key=%C3%A4", "ä".as_bytes()),
            ("key_base64=/wA=", b"\xff\0"),
            ("key_base64=%2FwA%3D", b"\xff\0"),
            ("key=a=b", b"a=b"),
        ] {
            assert_eq!(key_of(query).unwrap(), key, "{query}");
        }
        let long = format!("key={}", "x".repeat(251));
        for query in [
            "",
            "key",
            "key=",
            "other=x",
            "key=a&key=b",
            "key=%f",
            "key=%zz",
            "key_base64=?",
            &long,
        ] {
            assert_eq!(key_of(query).unwrap_err().status, StatusCode::BAD_REQUEST, "{query}");
        }
    }
}
