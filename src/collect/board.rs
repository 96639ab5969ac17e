//! All lanes of all boxes that this collector holds: which of them is due, and how many may ask for much at once. No
//! sockets, no database; the clock is an argument.
//!
//! Invariants: what is asked for with much room never exceeds [`ROOM`], so that memory does not grow with the number of
//! boxes; who waits for room gets it in the order of the lanes' worth, then of asking; a lane costs nothing while nothing
//! is due. Lanes of boxes whose subscriptions do not stand ask nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    error::CollectError,
    flow::{Cursor, Flow, Outgoing},
    verify::Header,
};
use crate::domain::{Lane, SiteId};

/// Questions for much, and their answers until they are on disk: at half a megabyte each, some tens of megabytes.
const ROOM: usize = 32;

struct Held {
    flows: [Flow; 3],
    /// What stands in `Board::due`.
    next: [Option<Duration>; 3],
    /// Its places in `Board::starved`.
    places: [Option<u64>; 3],
    ready: bool,
}

/// How far behind everything is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Lag {
    /// Events that boxes are known to have and the database has not, by lane.
    pub(super) events: [u64; 3],
    /// Boxes that are behind.
    pub(super) sites_behind: u64,
    /// Boxes that do not answer or answer wrongly.
    pub(super) sites_failing: u64,
    /// The box that is behind most, and by how much.
    pub(super) worst: Option<(SiteId, u64)>,
}

/// The lanes.
#[derive(Default)]
pub(super) struct Board {
    once: bool,
    boxes: BTreeMap<SiteId, Held>,
    due: BTreeSet<(Duration, SiteId, Lane)>,
    taken: usize,
    /// Who waits for room, the worthiest and longest first.
    starved: BTreeSet<(Lane, u64, SiteId)>,
    counter: u64,
}

impl Board {
    /// Nothing is held yet.
    #[must_use]
    pub(super) fn new(once: bool) -> Self {
        Self { once, ..Self::default() }
    }

    /// Takes a box, whose lanes go on at `cursors`.
    pub(super) fn add(&mut self, site: &SiteId, cursors: [Cursor; 3]) {
        let flow = |lane: Lane| Flow::new(site.clone(), lane, cursors[lane as usize], self.once);
        let flows = Lane::ALL.map(flow);
        self.remove(site);
        self.boxes.insert(site.clone(), Held { flows, next: [None; 3], places: [None; 3], ready: false });
    }

    /// Lets a box go; what is on its way from it is not wanted any more.
    pub(super) fn remove(&mut self, site: &SiteId) {
        let Some(gone) = self.boxes.remove(site) else { return };
        for (lane, (flow, next)) in Lane::ALL.into_iter().zip(gone.flows.iter().zip(gone.next)) {
            self.taken -= flow.room_taken();
            if let Some(at) = next {
                self.due.remove(&(at, site.clone(), lane));
            }
            if let Some(place) = gone.places[lane as usize] {
                self.starved.remove(&(lane, place, site.clone()));
            }
        }
        self.feed();
    }

    /// Which boxes are held.
    pub(super) fn sites(&self) -> impl Iterator<Item = &SiteId> {
        self.boxes.keys()
    }

    /// Whether a box is held.
    pub(super) fn holds(&self, site: &SiteId) -> bool {
        self.boxes.contains_key(site)
    }

    /// The subscriptions of a box stand: it may be asked.
    pub(super) fn ready(&mut self, site: &SiteId) {
        if let Some(of) = self.boxes.get_mut(site) {
            of.ready = true;
        }
        for lane in Lane::ALL {
            self.touch(site, lane, |_| ());
        }
    }

    /// The connection is gone: nobody may be asked.
    pub(super) fn disconnected(&mut self) {
        let sites: Vec<_> = self.sites().cloned().collect();
        for site in sites {
            if let Some(of) = self.boxes.get_mut(&site) {
                of.ready = false;
            }
            for lane in Lane::ALL {
                self.touch(&site, lane, Flow::reconnected);
            }
        }
    }

    /// Does something with a lane that is held, and sees what follows from it.
    pub(super) fn touch<T>(&mut self, site: &SiteId, lane: Lane, act: impl FnOnce(&mut Flow) -> T) -> Option<T> {
        let of = self.boxes.get_mut(site)?;
        let flow = &mut of.flows[lane as usize];
        let before = flow.room_taken();
        let outcome = act(flow);
        let after = flow.room_taken();
        let next = flow.next_deadline().filter(|_| of.ready);
        let known = std::mem::replace(&mut of.next[lane as usize], next);
        let place = &mut of.places[lane as usize];
        if flow.starved && place.is_none() {
            self.counter += 1;
            *place = Some(self.counter);
            self.starved.insert((lane, self.counter, site.clone()));
        }
        self.taken = self.taken + after - before;
        if known != next {
            if let Some(at) = known {
                self.due.remove(&(at, site.clone(), lane));
            }
            if let Some(at) = next {
                self.due.insert((at, site.clone(), lane));
            }
        }
        if after < before {
            self.feed();
        }
        Some(outcome)
    }

    /// Whether a batch is wanted.
    #[must_use]
    pub(super) fn wants(&self, site: &SiteId, header: &Header) -> bool {
        self.boxes.get(site).is_some_and(|of| of.flows[header.lane as usize].wants(header))
    }

    /// What to send now. `fresh` makes ids.
    ///
    /// # Errors
    /// When a box has not answered too often.
    pub(super) fn step(
        &mut self,
        now: Duration,
        fresh: impl Fn() -> String,
    ) -> Result<Vec<(SiteId, Outgoing)>, CollectError> {
        let mut outgoing = Vec::new();
        while let Some((at, site, lane)) = self.due.first().cloned().filter(|(at, _, _)| *at <= now) {
            let room = self.taken < ROOM;
            let sent = self.touch(&site, lane, |flow| flow.due(now, room, &fresh));
            let sent = sent.transpose()?.unwrap_or_default();
            let stuck = sent.is_empty() && self.due.contains(&(at, site.clone(), lane));
            outgoing.extend(sent.into_iter().map(|message| (site.clone(), message)));
            if stuck {
                // It said that it was due and did nothing: a bug, which must not become a loop.
                self.due.remove(&(at, site.clone(), lane));
                if let Some(of) = self.boxes.get_mut(&site) {
                    of.next[lane as usize] = None;
                }
            }
        }
        Ok(outgoing)
    }

    /// When [`Self::step`] has something to do next.
    #[must_use]
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.due.first().map(|(at, _, _)| *at)
    }

    /// Whether everything that the held boxes had is stored and acknowledged.
    #[must_use]
    pub(super) fn is_done(&self) -> bool {
        self.boxes.values().flat_map(|of| &of.flows).all(Flow::is_done)
    }

    /// How far behind everything is.
    #[must_use]
    pub(super) fn lag(&self) -> Lag {
        let mut lag = Lag::default();
        for (site, of) in &self.boxes {
            let behind = of.flows.each_ref().map(Flow::behind);
            let sum: u64 = behind.iter().sum();
            for (total, behind) in lag.events.iter_mut().zip(behind) {
                *total += behind;
            }
            lag.sites_behind += u64::from(sum > 0);
            lag.sites_failing += u64::from(of.flows.iter().any(Flow::is_failing));
            if sum > lag.worst.as_ref().map_or(0, |(_, most)| *most) {
                lag.worst = Some((site.clone(), sum));
            }
        }
        lag
    }

    /// Gives room to those who wait for it.
    fn feed(&mut self) {
        let mut free = ROOM.saturating_sub(self.taken);
        while free > 0 {
            let Some((lane, _, site)) = self.starved.pop_first() else { return };
            if let Some(of) = self.boxes.get_mut(&site) {
                of.places[lane as usize] = None;
            }
            self.touch(&site, lane, |flow| flow.starved = false);
            free -= 1;
        }
    }
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
