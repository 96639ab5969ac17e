//! The collector's database on a server of PostgreSQL, which several collectors of one consumer share.
//!
//! What is not promised here: that an erased text is gone from the server's files at once. Rows lose it in the
//! transaction; the server's own leftovers go with its vacuum, its write-ahead log and its backups (`docs/cloud.md`).

mod address;
mod leases;
mod link;
mod password;
mod rows;
mod ssl;
mod store;

pub use address::Address;
pub(super) use leases::Leases;
pub(super) use store::{Postgres, WRITERS};
