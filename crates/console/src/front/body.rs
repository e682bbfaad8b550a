//! What a request says: its JSON body, its query, the names in its path.

use std::collections::BTreeMap;
use std::fmt;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use http::request::Parts;
use http::{StatusCode, header};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _, Unexpected, Visitor};

use crate::problem::Problem;

/// A JSON body. Fields that are not known are refused by the types themselves.
#[derive(Debug, Clone)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/json") {
            let message = format!(
                "the body is {kind:?}; it must be JSON, with Content-Type: application/json"
            );
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid", message));
        }
        let bytes = Bytes::from_request(request, state).await?;
        let read = serde_json::from_slice(&bytes);
        read.map(Body)
            .map_err(|error| Problem::invalid(format!("the body is not as it should be: {error}")))
    }
}

/// The query. Parameters that are not known are refused by the types themselves.
#[derive(Debug, Clone)]
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(query) = Query::from_request_parts(parts, state).await?;
        Ok(Self(query))
    }
}

/// The names in a path under a cache, without that of the cache.
#[derive(Debug, Clone)]
pub(crate) struct TenantPath(BTreeMap<String, String>);

impl TenantPath {
    /// The value of `{name}`; empty if the path has none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TenantPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::from_request_parts(parts, state).await;
        path.map(|Path(names)| Self(names)).map_err(|error| Problem::invalid(error.body_text()))
    }
}

/// Bytes: a number, or text such as `"25m"` with a unit of powers of 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl Size {
    /// What is right, for messages.
    const RIGHT: &str =
        "a number of bytes, or a whole number with a unit such as \"512k\", \"25m\" or \"1g\"";

    /// Reads `25m`, `25MB`, `25 MiB` or `26214400`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit = unit.trim_start().to_ascii_lowercase();
        let unit = unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit);
        let factor = match unit {
            "" => 1,
            "k" => 1 << 10,
            "m" => 1 << 20,
            "g" => 1 << 30,
            "t" => 1 << 40,
            _ => return None,
        };
        number.parse::<u64>().ok()?.checked_mul(factor).map(Self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Size;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(Size::RIGHT)
            }

            fn visit_u64<E>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Size, E> {
                Size::parse(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// For a field of which absent and null are not the same: `Some(None)` is null.
pub(crate) fn present<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// Capabilities as a list of their names.
pub(crate) fn capabilities<'de, D>(
    deserializer: D,
) -> Result<Option<larder_tenancy::Capabilities>, D::Error>
where
    D: Deserializer<'de>,
{
    let Some(names) = Option::<Vec<String>>::deserialize(deserializer)? else { return Ok(None) };
    if names.is_empty() {
        return Ok(Some(larder_tenancy::Capabilities::NONE));
    }
    names.join(",").parse().map(Some).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_or_have_units() {
        let read = |json: &str| serde_json::from_str::<Size>(json).map(|size| size.0);
        for (json, bytes) in [
            ("26214400", 26_214_400),
            ("\"25m\"", 26_214_400),
            ("\"25 MiB\"", 26_214_400),
            ("\"512KB\"", 524_288),
            ("\"1g\"", 1 << 30),
            ("\"7\"", 7),
        ] {
            assert_eq!(read(json).unwrap(), bytes, "{json}");
        }
        for json in
            ["-1", "1.5", "\"\"", "\"m\"", "\"1x\"", "\"-1m\"", "\"99999999999t\"", "null", "[]"]
        {
            let error = read(json).unwrap_err().to_string();
            assert!(error.contains("25m"), "{json}: {error}");
        }
    }

    #[test]
    fn null_and_absent_differ() {
        #[derive(Deserialize)]
        struct Patch {
            #[serde(default, deserialize_with = "present")]
            field: Option<Option<u64>>,
        }
        let read = |json: &str| serde_json::from_str::<Patch>(json).unwrap().field;
        assert_eq!(
            (read("{}"), read("{\"field\":null}"), read("{\"field\":1}")),
            (None, Some(None), Some(Some(1)))
        );
    }
}
