//! Who may connect: tokens, stored hashed.

mod book;

pub use book::{AccessBook, AccessError, Identity, TokenInfo, TokenRole};
