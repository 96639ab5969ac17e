//! What was handed to the client library and is not acknowledged yet; notices a connection that is up and gets nowhere.
//!
//! To the library "published" means queued: here nothing counts as sent before the broker's own acknowledgement. Packet
//! ids are learnt from the library, in the order in which letters were handed over. The clock is an argument.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// So many bytes of bulk lanes may be under way before the next batch of them has to wait: what else is to be said then
/// waits for that much and one batch at most.
const BULK_BYTES: usize = 256 * 1024;
/// What is smaller shows how long the way is, and not how wide.
const SMALL: usize = 2 * 1024;
/// So much longer than for any acknowledgement is waited for one particular.
const PASSED_OVER: u32 = 3;

/// A letter under way.
#[derive(Debug)]
pub(super) struct Sent<T> {
    /// When it was handed over.
    pub(super) at: Duration,
    /// Its size.
    pub(super) bytes: usize,
    /// Whether it is a batch of a bulk lane.
    pub(super) bulk: bool,
    /// What is given back with the acknowledgement.
    pub(super) cargo: T,
}

/// Everything under way on one connection.
#[derive(Debug)]
pub(super) struct Flight<T> {
    patience: Duration,
    queued: VecDeque<Sent<T>>,
    flying: BTreeMap<u16, Sent<T>>,
    acknowledged: Duration,
    way: Option<Duration>,
}

impl<T> Flight<T> {
    /// Nothing is under way; `patience` is how long the oldest letter may wait for any acknowledgement.
    pub(super) fn new(patience: Duration) -> Self {
        let (queued, flying) = (VecDeque::new(), BTreeMap::new());
        Self { patience, queued, flying, acknowledged: Duration::ZERO, way: None }
    }

    /// A letter was handed to the library.
    pub(super) fn handed(&mut self, sent: Sent<T>) {
        self.queued.push_back(sent);
    }

    /// The library gave the next of them a packet id.
    pub(super) fn departed(&mut self, id: u16) {
        if let Some(sent) = self.queued.pop_front() {
            self.flying.insert(id, sent);
        }
    }

    /// The broker acknowledged a packet: its cargo, and how much longer than a small one it was on its way.
    pub(super) fn acknowledged(&mut self, id: u16, now: Duration) -> Option<(T, Duration)> {
        let Sent { at, bytes, cargo, .. } = self.flying.remove(&id)?;
        self.acknowledged = now;
        let took = now.saturating_sub(at);
        if bytes <= SMALL {
            self.way = Some(self.way.map_or(took, |way| way.min(took)));
        }
        Some((cargo, took.saturating_sub(self.way.unwrap_or_default())))
    }

    /// Whether another batch of a bulk lane may be handed over.
    #[must_use]
    pub(super) fn takes_bulk(&self) -> bool {
        let bulk = |sent: &&Sent<T>| sent.bulk;
        self.all().filter(bulk).map(|sent| sent.bytes).sum::<usize>() < BULK_BYTES
    }

    /// Whether everything is acknowledged.
    #[must_use]
    pub(super) fn is_clear(&self) -> bool {
        self.queued.is_empty() && self.flying.is_empty()
    }

    /// Whether the connection should be given up: nothing is acknowledged, or one letter is passed over for ever, which
    /// blocks the library when its packet id comes round again.
    #[must_use]
    pub(super) fn is_stalled(&self, now: Duration) -> bool {
        let Some(oldest) = self.all().map(|sent| sent.at).min() else { return false };
        now.saturating_sub(oldest.max(self.acknowledged)) > self.patience
            || now.saturating_sub(oldest) > self.patience * PASSED_OVER
    }

    fn all(&self) -> impl Iterator<Item = &Sent<T>> {
        self.queued.iter().chain(self.flying.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn second(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn letter(at: u64, bytes: usize, bulk: bool) -> Sent<u64> {
        Sent { at: second(at), bytes, bulk, cargo: at }
    }

    #[test]
    fn only_the_brokers_acknowledgement_ends_a_letters_flight() {
        let mut flight = Flight::new(second(120));
        flight.handed(letter(1, 10, false));
        flight.handed(letter(2, 10, false));
        assert!(!flight.is_clear(), "handed over is not sent");
        flight.departed(7);
        assert_eq!(flight.acknowledged(8, second(3)), None, "an acknowledgement of nothing");
        assert_eq!(flight.acknowledged(7, second(3)), Some((1, Duration::ZERO)));
        assert_eq!(flight.acknowledged(7, second(3)), None, "twice");
        flight.departed(8);
        assert!(!flight.is_clear());
        assert_eq!(flight.acknowledged(8, second(9)), Some((2, second(5))), "5 s more than the quickest");
        assert!(flight.is_clear());
    }

    #[test]
    fn waiting_without_any_acknowledgement_is_a_stall_and_so_is_being_passed_over() {
        let mut flight = Flight::new(second(120));
        assert!(!flight.is_stalled(second(1_000)));
        flight.handed(letter(1_000, 10, false));
        flight.handed(letter(1_100, 10, false));
        assert!(!flight.is_stalled(second(1_120)));
        assert!(flight.is_stalled(second(1_121)));
        flight.departed(1);
        flight.departed(2);
        flight.acknowledged(2, second(1_121));
        assert!(!flight.is_stalled(second(1_241)) && flight.is_stalled(second(1_242)));
        for n in 3..400 {
            flight.handed(letter(1_000 + n, 10, false));
            flight.departed(n as u16);
            flight.acknowledged(n as u16, second(1_000 + n));
            assert_eq!(flight.is_stalled(second(1_000 + n)), n > 360, "the first is passed over, {n}");
        }
    }

    #[test]
    fn bulk_waits_while_enough_of_it_is_under_way() {
        let mut flight = Flight::new(second(120));
        flight.handed(letter(1, 10 * BULK_BYTES, false));
        assert!(flight.takes_bulk(), "what is not bulk does not count");
        flight.handed(letter(1, BULK_BYTES - 1, true));
        assert!(flight.takes_bulk());
        flight.departed(1);
        flight.handed(letter(1, 1, true));
        assert!(!flight.takes_bulk());
        flight.departed(2);
        flight.departed(3);
        flight.acknowledged(2, second(2));
        assert!(flight.takes_bulk());
    }
}
