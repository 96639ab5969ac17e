//! The page that lists visits live: files that are built into the program.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

/// Nothing from anywhere else, nothing inline, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// They change with the program only.
const ETAG: &str = concat!("\"", env!("CARGO_PKG_VERSION"), "\"");

fn file(headers: &HeaderMap, kind: &'static str, text: &'static str) -> Response {
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|tag| tag == ETAG);
    let answer = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (header::ETAG, ETAG),
    ];
    let answer = answer.map(|(name, value)| (name, HeaderValue::from_static(value)));
    if known { (StatusCode::NOT_MODIFIED, answer).into_response() } else { (answer, text).into_response() }
}

pub(super) async fn index(headers: HeaderMap) -> Response {
    file(&headers, "text/html; charset=utf-8", include_str!("page/index.html"))
}

pub(super) async fn script(headers: HeaderMap) -> Response {
    file(&headers, "text/javascript; charset=utf-8", include_str!("page/page.js"))
}

pub(super) async fn style(headers: HeaderMap) -> Response {
    file(&headers, "text/css; charset=utf-8", include_str!("page/page.css"))
}

pub(super) async fn icon(headers: HeaderMap) -> Response {
    file(&headers, "image/svg+xml", include_str!("page/icon.svg"))
}
