//! What a box does with a database that is damaged: the file is moved aside whole, a new epoch begins, and what can be read
//! lives on under the numbers and ids it had. Nobody has to do anything, and nobody is told to delete a file.
//!
//! Damage is found at the start (a file that is empty, foreign, cut, does not open, or has gone back behind what it
//! showed), at any statement while it runs, and by the [`patrol`](super::StoreHandle::patrol) that reads the log through.
//! Rows are read page by page, without SQLite and its trees, and believed under their checksum; nothing is written to the
//! damaged files.
//!
//! Refused: the database of another site, and one of a newer program; both are left as they are.

mod alarm;
mod aside;
mod finds;
mod flow;
mod gaps;
mod images;
mod keys;
mod numbers;
mod page;
mod record;
mod report;
mod rescue;
mod scan;
mod visits;
mod wal;

pub(super) use alarm::Alarm;
pub(super) use aside::Dir;
pub(super) use flow::Salvager;
pub use report::Salvage;

#[cfg(test)]
mod tests;
