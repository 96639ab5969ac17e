//! The LAN's WebSocket: kiosks and tablets (`docs/protocol.md` §7).
//!
//! One follower reads the log and makes the frames of each event once, for everybody; a session sends those that its
//! client may see, in order of position, none twice. What a client asks for goes to the store and is answered after the
//! commit. State (positions, heat) is only ever the newest. A client that does not read is closed; it holds nobody up.
//!
//! `rooms`, `frames`, `messages`, `limits`, `near` and `silence` are pure. Kiosks are sent types that have no field for a
//! customer.

mod connection;
mod feed;
mod follower;
mod frame;
mod frames;
mod front;
mod limits;
mod messages;
mod near;
mod payloads;
mod rooms;
mod session;
mod silence;

pub use front::{Hub, HubError, Opened, Options, Parts};
