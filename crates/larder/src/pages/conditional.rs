//! Answers about a page instead of the page: 304 to a browser that has it, and HEAD.

use bytes::Bytes;
use http::header::{
    AGE, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_LOCATION, ETAG, EXPIRES, HeaderName, HeaderValue,
    IF_NONE_MATCH, VARY,
};
use http::{HeaderMap, Method, Response, StatusCode};
use sha2::{Digest, Sha256};

use super::entry::Page;

/// What a 304 repeats of the page's headers (RFC 9110, 15.4.5).
const IN_NOT_MODIFIED: [HeaderName; 5] = [CACHE_CONTROL, CONTENT_LOCATION, ETAG, EXPIRES, VARY];

/// The page as this request wants it: whole, as a 304, or without its body. `now` is in Unix
/// seconds.
pub(super) fn answer(
    mut page: Page,
    method: &Method,
    request: &HeaderMap,
    now: u64,
) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let len = HeaderValue::from(page.body.len());
    if is_known(request, page.headers.get(ETAG)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        for name in IN_NOT_MODIFIED {
            for value in page.headers.get_all(&name) {
                response.headers_mut().append(name.clone(), value.clone());
            }
        }
        if method == Method::HEAD {
            // Else the server would say 0, which is not the length that GET would have.
            response.headers_mut().insert(CONTENT_LENGTH, len);
        }
        return response;
    }
    *response.status_mut() = page.status;
    page.headers.insert(CONTENT_LENGTH, len);
    page.headers.insert(AGE, HeaderValue::from(now.saturating_sub(page.made)));
    *response.headers_mut() = page.headers;
    if method != Method::HEAD {
        *response.body_mut() = page.body;
    }
    response
}

/// A strong validator: two bodies with the same tag are the same.
pub(super) fn etag_of(body: &[u8]) -> HeaderValue {
    let digest = hex::encode(&Sha256::digest(body)[..16]);
    HeaderValue::try_from(format!("\"{digest}\"")).expect("hexadecimal digits fit a header")
}

/// Whether `If-None-Match` names `etag`; compared weakly, as GET and HEAD want it (RFC 9110,
/// 13.1.2).
fn is_known(request: &HeaderMap, etag: Option<&HeaderValue>) -> bool {
    let Some(etag) = etag.and_then(|etag| etag.to_str().ok()) else {
        return false;
    };
    fn strong(tag: &str) -> &str {
        tag.trim().trim_start_matches("W/")
    }
    request.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.trim() == "*" || value.split(',').any(|known| strong(known) == strong(etag))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(method: &Method, if_none_match: Option<&str>) -> Response<Bytes> {
        let body = Bytes::from_static(b"<p>hello");
        let page = Page::new(StatusCode::OK, &HeaderMap::new(), body, 100, Vec::new());
        let mut request = HeaderMap::new();
        if let Some(tag) = if_none_match {
            request.insert(IF_NONE_MATCH, HeaderValue::from_str(tag).unwrap());
        }
        answer(page, method, &request, 107)
    }

    #[test]
    fn a_browser_that_has_the_page_is_told_so() {
        let whole = ask(&Method::GET, None);
        assert_eq!((whole.status(), whole.body().len()), (StatusCode::OK, 8));
        assert_eq!(whole.headers()[CACHE_CONTROL], "no-cache");
        assert_eq!(whole.headers()[AGE], "7");
        let etag = whole.headers()[ETAG].to_str().unwrap().to_owned();
        for known in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
            let answer = ask(&Method::GET, Some(&known));
            assert_eq!(answer.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert!(answer.body().is_empty() && answer.headers().contains_key(ETAG));
        }
        assert_eq!(ask(&Method::GET, Some("\"other\"")).status(), StatusCode::OK);
    }

    #[test]
    fn head_tells_the_length_and_sends_nothing() {
        let head = ask(&Method::HEAD, None);
        assert_eq!(head.headers()[CONTENT_LENGTH], "8");
        assert!(head.body().is_empty());
    }
}
