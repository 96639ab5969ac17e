//! The opening handshake of a WebSocket (RFC 6455 §4.2), and the connection behind it.

use axum::{
    body::Body,
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header, request::Parts},
};
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::problem::Problem;

/// A request that asks for a WebSocket, understood.
pub(super) struct Handshake {
    accept: HeaderValue,
    offered: Vec<String>,
    /// The connection, once the answer is on its way.
    pub(super) upgrade: OnUpgrade,
}

impl<S: Sync> FromRequestParts<S> for Handshake {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let headers = &parts.headers;
        let asks = parts.method == Method::GET
            && lists(headers, &header::CONNECTION, "upgrade")
            && lists(headers, &header::UPGRADE, "websocket");
        if !asks {
            return Err(Problem::new(400, "this address takes WebSockets only"));
        }
        if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            return Err(Problem::new(400, "version 13 of the WebSocket protocol is spoken here"));
        }
        let key = headers.get(header::SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
        let accept = key.and_then(|key| HeaderValue::try_from(key).ok());
        let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|list| list.to_str().ok());
        let offered = offered.flat_map(|list| list.split(',')).map(|name| name.trim().to_owned()).collect();
        match (accept, parts.extensions.remove::<OnUpgrade>()) {
            (Some(accept), Some(upgrade)) => Ok(Self { accept, offered, upgrade }),
            _ => Err(Problem::new(400, "the handshake has no Sec-WebSocket-Key")),
        }
    }
}

impl Handshake {
    /// The subprotocols that the client offers.
    pub(super) fn offered(&self) -> &[String] {
        &self.offered
    }

    /// The answer that switches protocols; `protocol` is chosen if it was offered.
    pub(super) fn answer(&self, protocol: &'static str) -> Response<Body> {
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = answer.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        if self.offered.iter().any(|name| name == protocol) {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        }
        answer
    }
}

fn lists(headers: &HeaderMap, name: &header::HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
}
