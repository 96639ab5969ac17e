//! One-time tickets: a page fetches one with its token and opens its WebSocket with it, so that the token stands in no
//! address and in no log. Kept in memory only. Pure but for their randomness.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{AccessError, Identity, book::random};

/// From the answer to the upgrade.
const VALID_FOR: Duration = Duration::from_secs(30);
/// More are not waiting at once, unless somebody plays.
const MAX_OPEN: usize = 256;
const TICKET_BYTES: usize = 24;

/// Tickets that nobody used yet; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Tickets(Arc<Mutex<HashMap<String, (Identity, Instant)>>>);

impl Tickets {
    /// A new ticket for `identity`, which held a good token at `now`. When too many are open, the oldest goes.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn issue(&self, identity: Identity, now: Instant) -> Result<String, AccessError> {
        let ticket = hex::encode(random::<TICKET_BYTES>()?);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|_, (_, since)| now.duration_since(*since) < VALID_FOR);
        if open.len() >= MAX_OPEN {
            let oldest = open.iter().min_by_key(|(_, (_, since))| *since).map(|(ticket, _)| ticket.clone());
            oldest.and_then(|oldest| open.remove(&oldest));
        }
        open.insert(ticket.clone(), (identity, now));
        Ok(ticket)
    }

    /// Whose ticket it is; it is used up by asking.
    #[must_use]
    pub fn redeem(&self, ticket: &str, now: Instant) -> Option<Identity> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (identity, since) = open.remove(ticket)?;
        (now.duration_since(since) < VALID_FOR).then_some(identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::TokenRole;

    fn anna() -> Identity {
        Identity { role: TokenRole::Staff, name: "anna".into(), subject: None, token_id: "t".into() }
    }

    #[test]
    fn a_ticket_works_once_and_not_for_long() {
        let (tickets, now) = (Tickets::default(), Instant::now());
        let ticket = tickets.issue(anna(), now).expect("issues");
        assert_eq!(tickets.redeem(&ticket, now), Some(anna()));
        assert_eq!(tickets.redeem(&ticket, now), None);
        let late = tickets.issue(anna(), now).expect("issues");
        assert_eq!(tickets.redeem(&late, now + VALID_FOR), None);
        assert_eq!(tickets.redeem("", now), None);
    }

    #[test]
    fn only_so_many_are_open() {
        let (tickets, begin) = (Tickets::default(), Instant::now());
        let at = |n: usize| begin + Duration::from_millis(n as u64);
        let all: Vec<_> = (0..=MAX_OPEN).map(|n| tickets.issue(anna(), at(n)).expect("issues")).collect();
        assert_eq!(tickets.redeem(&all[0], at(300)), None, "the oldest made room");
        assert_eq!(tickets.redeem(&all[1], at(300)), Some(anna()));
    }
}
