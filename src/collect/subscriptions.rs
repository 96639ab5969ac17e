//! Which boxes' answers the broker passes on: asked for some boxes at a time, and the next when those stand, so that no
//! packet is too large for a broker and each answer is known to be about which question. Pure.

use std::collections::VecDeque;

use crate::domain::SiteId;

/// Boxes of one packet; each has three topics.
const CHUNK: usize = 32;

/// What is to be subscribed, and what is asked.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    wanted: VecDeque<SiteId>,
    asked: Vec<SiteId>,
}

impl Subscriptions {
    /// A new connection stands and knows nothing of these boxes.
    pub(super) fn reset(&mut self, sites: impl Iterator<Item = SiteId>) {
        self.asked.clear();
        self.wanted = sites.collect();
    }

    /// One more box.
    pub(super) fn add(&mut self, site: SiteId) {
        self.wanted.push_back(site);
    }

    /// One less.
    pub(super) fn remove(&mut self, site: &SiteId) {
        self.wanted.retain(|wanted| wanted != site);
    }

    /// The next boxes to ask for, unless an answer is waited for.
    pub(super) fn next(&mut self) -> Option<&[SiteId]> {
        if !self.asked.is_empty() || self.wanted.is_empty() {
            return None;
        }
        self.asked = self.wanted.drain(..CHUNK.min(self.wanted.len())).collect();
        Some(&self.asked)
    }

    /// The broker answered, with one word for each of the topics: which boxes were asked for, and which words are theirs.
    pub(super) fn answered(&mut self, granted: &[bool]) -> Vec<(SiteId, [bool; 3])> {
        let word = |index: usize| granted.get(index).copied().unwrap_or(false);
        let asked = std::mem::take(&mut self.asked).into_iter().enumerate();
        asked.map(|(n, site)| (site, [word(3 * n), word(3 * n + 1), word(3 * n + 2)])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(n: usize) -> SiteId {
        format!("s{n}").parse().expect("id")
    }

    #[test]
    fn one_chunk_is_asked_for_at_a_time_and_all_in_the_end() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.reset((0..70).map(site));
        subscriptions.remove(&site(40));
        let mut stand = Vec::new();
        while let Some(asked) = subscriptions.next().map(<[SiteId]>::len) {
            assert_eq!(subscriptions.next(), None, "one at a time");
            stand.extend(subscriptions.answered(&vec![true; 3 * asked]));
        }
        assert_eq!(stand.len(), 69);
        assert!(stand.iter().all(|(_, words)| *words == [true; 3]));
        subscriptions.add(site(40));
        assert_eq!(subscriptions.next(), Some(&[site(40)][..]));
        assert_eq!(subscriptions.answered(&[true, false]), [(site(40), [true, false, false])]);
    }
}
