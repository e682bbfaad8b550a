//! The stylesheet, embedded and served under a name that changes with its content.
//!
//! Under its current name it never changes, so browsers keep it for good. Under an older name, which
//! a page cached before a deployment may still carry, the current stylesheet is served, but not to
//! be kept: such a page must not lose its looks.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

/// The stylesheet.
pub const STYLE: &str = include_str!("static/style.css");

static STYLE_NAME: LazyLock<String> = LazyLock::new(|| format!("style.{:016x}.css", fnv1a(STYLE)));

/// The path of the stylesheet, for the layout.
pub fn style_path() -> String {
    format!("/static/{}", *STYLE_NAME)
}

/// The handler of `/static/{file}`.
pub async fn serve(Path(file): Path<String>) -> Response {
    let cache_control = if file == *STYLE_NAME {
        "public, max-age=31536000, immutable"
    } else if file.starts_with("style.") && file.ends_with(".css") {
        "no-cache"
    } else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers =
        [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, cache_control)];
    (headers, STYLE).into_response()
}

/// FNV-1a, 64 bits: a fingerprint that differs when the content does; nothing relies on its
/// strength. <http://www.isthe.com/chongo/tech/comp/fnv/>
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::fnv1a;

    #[test]
    fn published_vectors() {
        assert_eq!(fnv1a(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a("foobar"), 0x8594_4171_f739_67e8);
    }
}
