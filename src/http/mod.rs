//! The LAN's HTTP: the API, metrics, health, the page, and the door to the WebSocket (`docs/protocol.md` §7).
//!
//! Everything but health and the page itself asks for a token; a kiosk's opens cars and floor only. Errors are problem+json
//! (RFC 9457). Connections, headers, bodies and answers are bounded.

mod api;
mod auth;
mod handshake;
mod page;
mod problem;
mod routes;
mod server;
mod status;
mod ws;

pub use api::AnchorLine;
pub use routes::Parts;
pub use server::{Http, HttpError};
pub use status::CertificateLine;
