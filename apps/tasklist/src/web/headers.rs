//! Security headers, the same on every reply, cached or not.
//!
//! The policy allows what the pages are made of and no more: our stylesheet, the inline icon, forms
//! to ourselves; no script at all.

use axum::response::Response;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};

const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; \
             base-uri 'none'; frame-ancestors 'none'",
        ),
    ),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    // Not `no-referrer`: with it browsers send `Origin: null` with forms, which the CSRF check of
    // requests without `Sec-Fetch-Site` refuses.
    (REFERRER_POLICY, HeaderValue::from_static("same-origin")),
];

/// Adds the headers to a reply. One that says nothing of caching is not to be kept by browsers
/// unasked: they cannot be told when it changes.
pub fn secure(response: &mut Response) {
    let headers = response.headers_mut();
    headers.extend(HEADERS);
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache"));
}
