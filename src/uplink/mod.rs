//! The cloud's side: consumers pull the log by cursor over MQTT, and send commands down (`docs/protocol.md` §6).
//!
//! `sync`, `batch`, `messages`, `command`, `status`, `flight`, `vigil`, `pace`, `places` and `rounds` are pure; `session` is the only file that feeds the MQTT client.
//! Only a consumer's own acknowledgement moves its cursor: what the broker acknowledges means nothing to the log.

mod acks;
mod allowance;
mod batch;
mod command;
mod commands;
mod fields;
mod flight;
mod inbox;
mod link;
mod messages;
mod pace;
mod places;
mod post;
mod pulls;
mod refusal;
mod reporter;
mod rounds;
mod session;
mod status;
mod sync;
mod task;
mod topics;
mod vigil;

#[cfg(test)]
mod testing;

pub use link::Line;
pub use task::{Options, Uplink, UplinkError};
