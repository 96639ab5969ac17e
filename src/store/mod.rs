//! The log and its projections: the one place that writes, the one place with SQLite.
//!
//! Invariants: one writer thread; an event and what it changes commit together; nobody is told a position before its
//! commit; a consumer's cursor only goes forward. Personal data stands sealed in the log, in clear only in the projections
//! of customers, staff and tags and beside open visits; erasing a customer leaves none of it in any file.
//!
//! What is not here: retention and shedding of old events.

mod audit;
mod batch;
mod clock_floor;
mod error;
mod handle;
mod ids;
mod ledger;
mod mark;
mod open;
mod pages;
mod pool;
mod projections;
mod queries;
mod read;
mod requests;
mod rows;
mod salvage;
mod schema;
mod seal;
mod sum;
mod tokens;
mod view;
mod visits;
mod wiping;
mod writer;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use audit::{Audit, audit};
pub use batch::GroupCommit;
pub use error::StoreError;
pub use handle::{AckError, Heads, Job, Receipt, RequestKey, StoreClosed, StoreHandle, SubmitError};
pub use open::{Options, Store};
pub use read::{About, LaneQuery, LogEntry, Picture, ReadError, Reader, StoredVisit, VisitContext};
pub use salvage::Salvage;
pub use tokens::{TokenRow, TokenTable};
pub use writer::Writer;
