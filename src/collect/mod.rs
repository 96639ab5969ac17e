//! The reference cloud: pulls the log of any number of boxes into a database (`docs/protocol.md` §6, `docs/cloud.md`).
//!
//! Invariants: a batch is believed after it was checked and acknowledged after it was committed; each event is stored
//! once, whatever is lost, repeated or begun anew, and however many collectors share the boxes. It uses the contract only,
//! nothing of the box's inside. `board`, `flow`, `row`, `share`, `subscriptions`, `verify` and `dating` are pure.

mod board;
mod clock_rows;
mod dating;
mod desk;
mod error;
mod flow;
mod ledger;
mod options;
#[cfg(feature = "collect-postgres")]
mod postgres;
mod row;
mod session;
mod share;
mod sqlite;
mod subscriptions;
mod tally;
mod task;
mod verify;
mod writer;

pub use error::CollectError;
pub use options::{OptionError, Options, Target};
#[cfg(feature = "collect-postgres")]
pub use postgres::Address;
pub use tally::{Tallies, Tally};
pub use task::Collector;
pub use verify::Broken;
