//! The log and its projections: the one place that writes, the one place with SQLite.
//!
//! Invariants: one writer thread; an event and what it changes commit together; nobody is told a position before its
//! commit; a consumer's cursor only goes forward. Personal data stands sealed in the log, in clear only in the projections
//! of customers, staff and tags and beside open visits; erasing a customer leaves none of it in any file.
//!
//! Events leave from the front of a lane, by retention or by shedding, and leave a gap; what the showroom still rests on
//! settles beside the log. A damaged file is set aside, and what can be read of it lives on.

mod audit;
mod batch;
mod clock_floor;
mod error;
mod forecast;
mod gaps;
mod growth;
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
mod removal;
mod requests;
mod reserve;
mod retention;
mod room;
mod rows;
mod salvage;
mod schema;
mod seal;
mod settled;
mod storage;
mod sum;
mod tokens;
mod upkeep;
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
pub use storage::{DiskState, StorageOptions};
pub use tokens::{TokenRow, TokenTable};
pub use writer::Writer;
