//! What outlives a visit: when a tag left, for telling who comes back. Bounded; the one who left first is forgotten first.

use std::{collections::HashMap, time::Duration};

use crate::domain::{CustomerId, TagId, Timestamp};

const MOST: usize = 4096;

/// Who left when.
pub(super) struct Departures {
    within: Duration,
    left: HashMap<TagId, (Timestamp, Option<CustomerId>)>,
}

impl Departures {
    pub(super) fn new(within: Duration) -> Self {
        Self { within, left: HashMap::new() }
    }

    pub(super) fn note(&mut self, tag: TagId, customer: Option<CustomerId>, at: Timestamp) {
        if self.left.len() >= MOST {
            self.left.retain(|_, (left, _)| at.since(*left) <= self.within);
        }
        if self.left.len() >= MOST
            && let Some(first) = self.left.iter().min_by(|a, b| (a.1.0, a.0).cmp(&(b.1.0, b.0)))
        {
            let first = first.0.clone();
            self.left.remove(&first);
        }
        self.left.insert(tag, (at, customer));
    }

    /// Whether this tag, in the same hands, left not long ago.
    pub(super) fn is_back(&self, tag: &TagId, customer: Option<CustomerId>, now: Timestamp) -> bool {
        self.left.get(tag).is_some_and(|(left, before)| {
            let same = before.is_none() || customer.is_none() || *before == customer;
            same && now >= *left && now.since(*left) <= self.within
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_back_is_known_for_a_while_and_never_more_than_the_bound() {
        let mut departures = Departures::new(Duration::from_mins(1));
        let at = |s: i64| Timestamp::from_micros(s * 1_000_000);
        let tag = |i: i64| TagId::new(format!("t{i}")).expect("id");
        for i in 0..5000 {
            departures.note(tag(i), None, at(i / 1000));
        }
        assert!(departures.left.len() <= MOST);
        assert!(departures.is_back(&tag(4999), None, at(64)));
        assert!(!departures.is_back(&tag(4999), None, at(65)), "too long ago");
        assert!(!departures.is_back(&tag(0), None, at(6)), "forgotten first");
        let (anna, bert) = (CustomerId(uuid::Uuid::from_u128(1)), CustomerId(uuid::Uuid::from_u128(2)));
        departures.note(tag(1), Some(anna), at(6));
        assert!(!departures.is_back(&tag(1), Some(bert), at(7)), "handed to somebody else");
    }
}
