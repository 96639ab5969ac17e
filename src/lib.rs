//! The map of the code. `docs/architecture.md` tells the same at length.
//!
//! Readings come in (`sources`, decoded by `decode`), the `presence` engine turns them into facts, the `store` is the one
//! place where anything is decided (`showroom`) and written, and everybody else (`hub`, `uplink`) follows its log with a
//! cursor of their own. `app` is the only file that knows all parts.
//!
//! Invariants: nothing is acknowledged before it is committed; a reading may be dropped and counted, a fact never; nothing
//! personal leaves the sealed part of an event but through the customer projection; `now` is an argument.

pub mod access;
pub mod app;
pub mod broker;
pub mod cli;
pub mod collect;
pub mod config;
pub mod decode;
pub mod domain;
pub mod http;
pub mod hub;
pub mod presence;
pub mod showroom;
pub mod sim;
pub mod sources;
pub mod store;
pub mod supervisor;
pub mod telemetry;
pub mod tls;
pub mod uplink;
pub mod wire;
