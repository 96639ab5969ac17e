//! What is known of each receiver of the site: when it was last heard, how much it said, how much of it was bad.
//!
//! Only the site's receivers have a page, so that no sender of invented names can fill the memory.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tokio::sync::watch;

use crate::{
    decode::Health,
    domain::{AnchorId, Timestamp},
};

/// Batches come once a second or so: more than some hours of them are not lost at once.
const MAX_GAP: u64 = 10_000;

/// One receiver's page.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AnchorSeen {
    /// When its last message came, on the engine's clock; `None` while it was never heard.
    pub last: Option<Timestamp>,
    /// Messages of any kind.
    pub messages: u64,
    /// Advertisements taken.
    pub adverts: u64,
    /// Messages and advertisements refused.
    pub bad: u64,
    /// Batches that are missing by their numbers; formats without numbers stay at 0.
    pub lost: u64,
    /// What it or its last will said; `None` when it says no such thing (ESPresense).
    pub online: Option<bool>,
    /// What it last said of itself.
    pub health: Option<Health>,
    seq: Option<u64>,
}

impl AnchorSeen {
    /// A number that is not higher than the last, or far higher, is a restart and not a loss.
    pub(super) fn batch(&mut self, seq: Option<u64>) {
        if let (Some(last), Some(seq)) = (self.seq, seq) {
            let missing = seq.saturating_sub(last.saturating_add(1));
            if missing <= MAX_GAP {
                self.lost = self.lost.saturating_add(missing);
            }
        }
        self.seq = seq.or(self.seq);
    }
}

/// All receivers of the site, shared between the source and whoever shows them.
#[derive(Debug)]
pub struct AnchorBook {
    pages: Mutex<HashMap<AnchorId, AnchorSeen>>,
    connected: watch::Sender<bool>,
}

impl AnchorBook {
    /// A book with an empty page for each of `anchors`.
    pub fn new(anchors: impl IntoIterator<Item = AnchorId>) -> Self {
        let pages = anchors.into_iter().map(|anchor| (anchor, AnchorSeen::default())).collect();
        Self { pages: Mutex::new(pages), connected: watch::Sender::new(false) }
    }

    /// Every receiver of the site, by name.
    #[must_use]
    pub fn snapshot(&self) -> Vec<(AnchorId, AnchorSeen)> {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = pages.iter().map(|(anchor, seen)| (anchor.clone(), seen.clone())).collect();
        all.sort_by(|(a, _), (b, _)| a.cmp(b));
        all
    }

    /// Whether the broker is connected and has taken our subscription.
    #[must_use]
    pub fn connection(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    pub(super) fn set_connected(&self, connected: bool) {
        self.connected.send_replace(connected);
    }

    /// Writes on the page of `anchor`; false when the site has no such receiver.
    pub(super) fn note(&self, anchor: &str, write: impl FnOnce(&mut AnchorSeen)) -> bool {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.get_mut(anchor).map(write).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_sites_receivers_have_a_page() {
        let book = AnchorBook::new([AnchorId::new("b").expect("valid"), AnchorId::new("a").expect("valid")]);
        assert!(book.note("b", |seen| seen.messages += 1));
        assert!(!book.note("x", |seen| seen.messages += 1));
        let pages: Vec<_> = book.snapshot().into_iter().map(|(id, seen)| (id.to_string(), seen.messages)).collect();
        assert_eq!(pages, [("a".to_owned(), 0), ("b".to_owned(), 1)]);
    }

    #[test]
    fn missing_batches_are_counted_and_a_restart_is_none() {
        let mut seen = AnchorSeen::default();
        for seq in [Some(7), Some(8), None, Some(11), Some(0), Some(1), Some(1)] {
            seen.batch(seq);
        }
        assert_eq!(seen.lost, 2);
        seen.batch(Some(u64::MAX));
        seen.batch(Some(u64::MAX));
        assert_eq!(seen.lost, 2);
    }
}
