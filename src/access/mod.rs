//! Who may connect: tokens, stored hashed.

mod book;
mod gate;
mod tickets;

pub use book::{AccessBook, AccessError, Identity, TokenInfo, TokenRole};
pub use gate::Gate;
pub use tickets::Tickets;
