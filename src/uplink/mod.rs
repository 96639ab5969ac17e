//! The cloud's side: consumers pull the log by cursor over MQTT, and send commands down (`docs/protocol.md` §6).
//!
//! `sync`, `batch`, `messages`, `command` and `status` are pure; `session` is the only file that feeds the MQTT client.
//! Only a consumer's own acknowledgement moves its cursor: what the broker acknowledges means nothing to the log.

mod acks;
mod allowance;
mod batch;
mod command;
mod commands;
mod fields;
mod inbox;
mod link;
mod messages;
mod progress;
mod pulls;
mod refusal;
mod session;
mod status;
mod sync;
mod task;
mod topics;

pub use task::{Options, Uplink, UplinkError};
