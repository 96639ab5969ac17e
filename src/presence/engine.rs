//! The engine: keeps time, tells tags apart, and asks each track what a second means for it.
//!
//! Invariants: ticks fire once each, in order; at a tick only readings with time ≤ it have been taken in; seconds in which
//! nothing can happen are skipped, so a jump of hours costs no more than what ends in it; tracks fire in the order in which
//! their slots were given, so the same readings give the same outputs.
//! Refuses, by its [`Verdict`]: what comes too late, leaps far ahead alone, is of an unknown anchor, of an unregistered tag,
//! or of one tag too many.

use std::{collections::HashMap, sync::Arc};

use super::{
    belief::{Evidence, Workbench},
    departures::Departures,
    floor::Floor,
    heat::HeatMap,
    settings::{Settings, Track as Follow, micros},
    track::{Shared, Track},
    visit::{Moment, Visit},
};
use crate::domain::{Fact, FloorSnapshot, OpenVisit, Presence, Reading, Registry, Site, TagId, Timestamp, ZoneId};

/// A reading may be this much older than the last tick that fired.
const LATE_US: i64 = 3_000_000;
/// A reading farther ahead than this is believed only when …
const LEAP_US: i64 = 3_600_000_000;
/// … so many in a row are: one broken time must not take the engine to another century.
const LEAPS: u8 = 8;
const SECOND_US: i64 = 1_000_000;

/// What became of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It counts.
    Taken,
    /// Nobody registered its tag; not kept.
    Unregistered,
    /// The site has no such anchor.
    UnknownAnchor,
    /// Older than the last tick by more than three seconds.
    Late,
    /// More than an hour ahead of the last tick, and the only one.
    Ahead,
    /// As many tags as are allowed are followed already.
    Crowded,
}

/// Where a tag is at a whole second.
#[derive(Debug, Clone, PartialEq)]
pub struct Position {
    /// Unix seconds.
    pub t: i64,
    /// Which tag.
    pub tag: TagId,
    /// Metres.
    pub x: f64,
    /// Metres.
    pub y: f64,
    /// Standard deviation per axis, metres.
    pub sigma: f64,
    /// Zone, with hysteresis.
    pub zone: Option<ZoneId>,
    /// How it came about.
    pub method: &'static str,
}

/// What the engine found out, in order; the caller empties it.
#[derive(Debug, Default)]
pub struct Output {
    /// For the store.
    pub facts: Vec<Fact>,
    /// State at whole seconds.
    pub positions: Vec<Position>,
}

/// The presence engine of one site.
pub struct Engine {
    floor: Floor,
    settings: Settings,
    registry: Arc<Registry>,
    slots: HashMap<TagId, usize>,
    tracks: Vec<Option<Box<Track>>>,
    free: Vec<usize>,
    shared: Shared,
    /// Visits of an earlier run whose tag has a newer one: they end with the first tick.
    orphans: Vec<Visit>,
    /// The first tick that has not fired; `None` before anything told the time.
    next_tick: Option<i64>,
    leaps: u8,
}

impl Engine {
    /// An engine that has heard nothing yet.
    #[must_use]
    pub fn new(site: Arc<Site>, settings: Settings, registry: Arc<Registry>) -> Self {
        let floor = Floor::new(site, &settings);
        let shared = Shared {
            bench: Workbench::new(&floor),
            evidence: Evidence::default(),
            heat: HeatMap::default(),
            departures: Departures::new(settings.returning_within),
        };
        Self {
            floor,
            settings,
            registry,
            slots: HashMap::new(),
            tracks: Vec::new(),
            free: Vec::new(),
            shared,
            orphans: Vec::new(),
            next_tick: None,
            leaps: 0,
        }
    }

    /// Goes on with visits that were open when the box stopped. To be called before the first reading.
    pub fn restore(&mut self, mut visits: Vec<OpenVisit>) {
        visits.sort_by_key(|open| (open.last_at, open.visit));
        for open in visits {
            let slot = self.give_slot(&open.tag, open.last_at);
            let visit = Visit::resume(&open, &self.floor);
            if let Some(track) = self.tracks.get_mut(slot).and_then(Option::as_mut) {
                track.register(&self.registry, open.last_at);
                self.orphans.extend(track.visit.replace(visit));
            }
        }
    }

    /// Takes in a reading, after the ticks before it. Ticks are driven by readings of unregistered tags as well.
    pub fn reading(&mut self, reading: &Reading, out: &mut Output) -> Verdict {
        let Some(anchor) = self.floor.anchor(&reading.anchor) else { return Verdict::UnknownAnchor };
        if let Some(refusal) = self.keep_time(reading.at, out) {
            return refusal;
        }
        let registered_only = self.settings.track == Follow::Registered;
        let slot = match self.slots.get(&reading.tag) {
            Some(&slot) => slot,
            None if registered_only && self.registry.get(&reading.tag, reading.at).is_none() => {
                return Verdict::Unregistered;
            }
            None if self.slots.len() >= self.settings.max_tags => return Verdict::Crowded,
            None => {
                let slot = self.give_slot(&reading.tag, reading.at);
                if let Some(track) = self.tracks.get_mut(slot).and_then(Option::as_mut) {
                    track.register(&self.registry, reading.at);
                }
                slot
            }
        };
        match self.tracks.get_mut(slot).and_then(Option::as_mut) {
            Some(track) if !registered_only || track.is_registered(reading.at) => {
                track.hear(anchor, reading.rssi.get(), reading.at);
                Verdict::Taken
            }
            _ => Verdict::Unregistered,
        }
    }

    /// Fires the ticks up to `now` that have not fired.
    pub fn advance(&mut self, now: Timestamp, out: &mut Output) {
        self.begin(now);
        self.fire_through(now.whole_second(), out);
    }

    /// Tags mean something else from now on.
    pub fn set_registry(&mut self, registry: Arc<Registry>) {
        self.registry = registry;
        let now = self.now().at();
        for track in self.tracks.iter_mut().flatten() {
            track.register(&self.registry, now);
        }
    }

    /// Where every visitor is, as of the newest tick.
    #[must_use]
    pub fn snapshot(&self) -> FloorSnapshot {
        let now = self.now();
        let visits = self.tracks.iter().flatten().filter_map(|track| track.visit.as_ref());
        FloorSnapshot {
            at: self.next_tick.is_some().then(|| now.at()),
            visits: visits.map(|visit| visit.snapshot(&now)).collect(),
            heat: self.shared.heat.picture(&self.floor, now.k.div_euclid(60)),
        }
    }

    /// The newest whole second that has passed; `None` before anything told the time.
    #[must_use]
    pub fn last_tick(&self) -> Option<i64> {
        self.next_tick.map(|next| next - 1)
    }

    fn now(&self) -> Moment<'_> {
        Moment { floor: &self.floor, settings: &self.settings, k: self.last_tick().unwrap_or(0) }
    }

    fn begin(&mut self, at: Timestamp) -> i64 {
        if let Some(next) = self.next_tick {
            return next;
        }
        let first = second_at_or_after(at);
        let grace = micros(self.settings.restart_grace);
        for track in self.tracks.iter_mut().flatten() {
            track.begin(at, grace);
        }
        self.next_tick = Some(first);
        first
    }

    /// Fires the ticks before `at`; says so when `at` is no time for a reading.
    fn keep_time(&mut self, at: Timestamp, out: &mut Output) -> Option<Verdict> {
        let last_us = (self.begin(at) - 1).saturating_mul(SECOND_US);
        let ahead_us = at.micros().saturating_sub(last_us);
        if ahead_us < -LATE_US {
            return Some(Verdict::Late);
        }
        if ahead_us > LEAP_US {
            self.leaps += 1;
            if self.leaps < LEAPS {
                return Some(Verdict::Ahead);
            }
        }
        self.leaps = 0;
        self.fire_through(second_at_or_after(at) - 1, out);
        None
    }

    fn fire_through(&mut self, limit: i64, out: &mut Output) {
        while let Some(next) = self.next_tick.filter(|next| *next <= limit) {
            let due = self.earliest_due(next).filter(|due| *due <= limit);
            if let Some(k) = due {
                self.tick(k, out);
            }
            self.next_tick = Some(due.unwrap_or(limit) + 1);
        }
    }

    /// The first second from `next` on in which anything can happen; `None` when nothing can without a reading.
    fn earliest_due(&self, next: i64) -> Option<i64> {
        if !self.orphans.is_empty() {
            return Some(next);
        }
        let now = Moment { floor: &self.floor, settings: &self.settings, k: next };
        let minute_end = next + (-next).rem_euclid(60);
        let mut due = (!self.shared.heat.is_empty()).then_some(minute_end);
        for track in self.tracks.iter().flatten() {
            if track.is_lively(&now) {
                return Some(next);
            }
            let Some(visit) = &track.visit else { continue };
            let end = second_at_or_after(visit.deadline(&self.floor, &self.settings)).max(next);
            let end = if visit.is_traced() { end.min(minute_end) } else { end };
            due = Some(due.map_or(end, |due| due.min(end)));
        }
        due
    }

    fn tick(&mut self, k: i64, out: &mut Output) {
        let now = Moment { floor: &self.floor, settings: &self.settings, k };
        for orphan in self.orphans.drain(..) {
            orphan.exit(&now, &mut out.facts);
        }
        if k.rem_euclid(60) == 0 {
            for track in self.tracks.iter_mut().flatten() {
                if let Some(visit) = &mut track.visit {
                    visit.flush(&now, &mut out.facts);
                }
            }
            if let Some(heat) = self.shared.heat.turn(&self.floor, k.div_euclid(60)) {
                out.facts.push(Fact { at: now.at(), presence: Presence::Heated(heat) });
            }
        }
        for (slot, place) in self.tracks.iter_mut().enumerate() {
            let Some(track) = place else { continue };
            track.step(&now, &mut self.shared, out);
            if track.is_gone(&now) {
                self.slots.remove(&track.tag);
                self.free.push(slot);
                *place = None;
            }
        }
    }

    fn give_slot(&mut self, tag: &TagId, at: Timestamp) -> usize {
        if let Some(&slot) = self.slots.get(tag) {
            return slot;
        }
        let track = Some(Box::new(Track::new(tag.clone(), &self.floor, at)));
        let slot = self.free.pop().unwrap_or(self.tracks.len());
        match self.tracks.get_mut(slot) {
            Some(place) => *place = track,
            None => self.tracks.push(track),
        }
        self.slots.insert(tag.clone(), slot);
        slot
    }
}

fn second_at_or_after(at: Timestamp) -> i64 {
    let floor = at.whole_second();
    if at.micros().rem_euclid(SECOND_US) == 0 { floor } else { floor + 1 }
}
