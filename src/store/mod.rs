//! The log and its projections: the one place that writes, the one place with SQLite.
//!
//! Invariants: one writer thread; an event and what it changes commit together; nobody is told a position before its
//! commit; a consumer's cursor only goes forward.

mod handle;
mod read;

pub use handle::{AckError, Heads, Job, Receipt, RequestKey, StoreClosed, StoreHandle, SubmitError};
pub use read::{About, LaneQuery, LogEntry, Picture, ReadError, Reader, VisitContext};
