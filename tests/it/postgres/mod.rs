//! The collector with PostgreSQL as Debian has it.

mod deaths;
mod lives;
mod manual;
mod server;
mod tls;

pub use server::{Collecting, Postgres};
