//! The reference cloud: pulls the log of any number of boxes into a database (`docs/protocol.md` §6).
//!
//! Invariants: a batch is believed after it was checked and acknowledged after it was committed; each event is stored
//! once, whatever is lost, repeated or begun anew. It uses the contract only, nothing of the box's inside.

mod clock_rows;
mod dating;
mod error;
mod flow;
mod ledger;
mod options;
mod session;
mod task;
mod verify;

pub use error::CollectError;
pub use options::{OptionError, Options, Target};
pub use task::Collector;
pub use verify::Broken;
