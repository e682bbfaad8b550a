//! Stylesheets, script and icon, embedded and served under names that change with their content.
//!
//! Under its current name a file never changes, so browsers keep it for good. Under an older name, which a
//! page from before an upgrade may still carry, the current file is served, but not to be kept.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;

use crate::problem::Problem;

/// One file.
struct Asset {
    /// Its name, before and after the fingerprint.
    stem: &'static str,
    extension: &'static str,
    kind: &'static str,
    text: &'static str,
}

static BASE: Asset = style("base", include_str!("../static/base.css"));
static CONSOLE: Asset = style("console", include_str!("../static/console.css"));
static SCRIPT: Asset = Asset {
    stem: "console",
    extension: "js",
    kind: "text/javascript; charset=utf-8",
    text: include_str!("../static/console.js"),
};
static ICON: Asset = Asset {
    stem: "icon",
    extension: "svg",
    kind: "image/svg+xml",
    text: include_str!("../static/icon.svg"),
};

const fn style(stem: &'static str, text: &'static str) -> Asset {
    Asset { stem, extension: "css", kind: "text/css; charset=utf-8", text }
}

impl Asset {
    fn name(&self) -> String {
        let Asset { stem, extension, text, .. } = self;
        format!("{stem}.{:016x}.{extension}", fnv1a(text))
    }

    /// Whether `file` is its name, or was.
    fn is_called(&self, file: &str) -> bool {
        let middle =
            file.strip_prefix(self.stem).and_then(|rest| rest.strip_suffix(self.extension));
        let middle = middle.and_then(|rest| rest.strip_prefix('.')?.strip_suffix('.'));
        middle.is_some_and(|mark| {
            !mark.is_empty() && mark.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    }
}

/// The paths of the files, for the layout.
#[derive(Debug, Serialize)]
pub(super) struct Paths {
    base: String,
    console: String,
    script: String,
    icon: String,
}

/// The paths of the files.
pub(super) static PATHS: LazyLock<Paths> = LazyLock::new(|| {
    let path = |asset: &Asset| format!("/static/{}", asset.name());
    Paths { base: path(&BASE), console: path(&CONSOLE), script: path(&SCRIPT), icon: path(&ICON) }
});

/// The handler of `/static/{file}`.
pub(super) async fn serve(Path(file): Path<String>) -> Response {
    let all = [&BASE, &CONSOLE, &SCRIPT, &ICON];
    let Some(asset) = all.into_iter().find(|asset| asset.is_called(&file)) else {
        return Problem::new(StatusCode::NOT_FOUND, "not_found", "there is no such file")
            .into_response();
    };
    let keep =
        if file == asset.name() { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [(header::CONTENT_TYPE, asset.kind), (header::CACHE_CONTROL, keep)];
    (headers, asset.text).into_response()
}

/// FNV-1a, 64 bits: a fingerprint that differs when the content does; nothing relies on its strength.
/// <http://www.isthe.com/chongo/tech/comp/fnv/>
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        assert_eq!(fnv1a(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("foobar"), 0x8594_4171_f739_67e8);
    }

    #[tokio::test]
    async fn the_current_name_is_kept_and_an_older_one_is_not() {
        let asked = async |file: &str| {
            let response = serve(Path(file.to_owned())).await;
            let keep = response.headers().get(header::CACHE_CONTROL).cloned();
            (response.status(), keep.map(|keep| keep.to_str().unwrap().to_owned()))
        };
        let (status, keep) = asked(&BASE.name()).await;
        assert_eq!((status, keep.unwrap().contains("immutable")), (StatusCode::OK, true));
        let (status, keep) = asked("console.0123456789abcdef.js").await;
        assert_eq!((status, keep.as_deref()), (StatusCode::OK, Some("no-cache")));
        for file in ["", "base.css", "base..css", "x.0123.css", "../Cargo.toml", "console.js"] {
            assert_eq!(asked(file).await.0, StatusCode::NOT_FOUND, "{file}");
        }
    }

    /// The policy allows nothing else, and nothing may leave the machine.
    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        for asset in [&BASE, &CONSOLE, &SCRIPT] {
            assert!(!asset.text.contains("url("), "{}", asset.name());
            assert!(!asset.text.contains("@import"), "{}", asset.name());
        }
        let addresses = SCRIPT.text.matches("://").count();
        assert_eq!(addresses, SCRIPT.text.matches("http://www.w3.org/2000/svg").count());
    }
}
