//! The door for clients of the LAN: tokens and tickets, without holding up the async threads.

use std::time::Instant;

use super::{AccessBook, AccessError, Identity, Tickets};

/// A clonable door.
#[derive(Clone)]
pub struct Gate {
    book: AccessBook,
    tickets: Tickets,
}

impl Gate {
    /// A door that asks `book`.
    #[must_use]
    pub fn new(book: AccessBook) -> Self {
        Self { book, tickets: Tickets::default() }
    }

    /// Who presents `token`; asked anew each time, so that a revoked one is refused at once.
    ///
    /// # Errors
    /// When the book cannot be read.
    pub async fn identify(&self, token: &str) -> Result<Option<Identity>, AccessError> {
        let (book, token) = (self.book.clone(), token.to_owned());
        let asked = tokio::task::spawn_blocking(move || book.identify(&token)).await;
        // Only a runtime that is going away does not answer.
        asked.unwrap_or(Ok(None))
    }

    /// Whether the token behind `identity` is still good. A book that cannot be read throws nobody out.
    pub async fn is_valid(&self, identity: &Identity) -> bool {
        let (book, id) = (self.book.clone(), identity.token_id.clone());
        let asked = tokio::task::spawn_blocking(move || book.list()).await;
        asked.ok().and_then(Result::ok).is_none_or(|tokens| tokens.iter().any(|token| token.identity.token_id == id))
    }

    /// A one-time ticket for whoever presented a good token.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn ticket(&self, identity: Identity) -> Result<String, AccessError> {
        self.tickets.issue(identity, Instant::now())
    }

    /// Whose ticket it is; it is used up by asking.
    #[must_use]
    pub fn redeem(&self, ticket: &str) -> Option<Identity> {
        self.tickets.redeem(ticket, Instant::now())
    }
}
