//! One visit from entering to leaving, as facts in a legal order: entered; moves, dwells and traces; the last dwells and the
//! last trace; exited. Nothing follows an exit.

use uuid::Uuid;

use super::{
    belief::Estimate,
    floor::{Floor, NOWHERE},
    settings::{Settings, micros},
    trace::Packing,
};
use crate::domain::{CustomerId, ExitReason, Fact, OpenVisit, Presence, TagId, Timestamp, VisitId, VisitSnapshot};

/// A stay beside a spot ends this much farther out than it begins, metres, and another spot must be nearer by as much.
const SPOT_SLACK_M: f64 = 0.75;
/// Spots told as near in a snapshot, metres: what the contract calls near.
const NEAR_M: f64 = 5.0;
/// Standard deviation told for a visit that was restored and not heard since, metres.
const RESTORED_SIGMA_M: f64 = 3.0;

/// One tick and what it happens on.
pub(super) struct Moment<'a> {
    pub(super) floor: &'a Floor,
    pub(super) settings: &'a Settings,
    /// The whole second.
    pub(super) k: i64,
}

impl Moment<'_> {
    pub(super) fn at(&self) -> Timestamp {
        Timestamp::from_micros(self.k.saturating_mul(1_000_000))
    }

    fn tell(&self, presence: Presence, facts: &mut Vec<Fact>) {
        facts.push(Fact { at: self.at(), presence });
    }
}

/// A stay beside a spot.
#[derive(Debug, Clone, Copy)]
struct Beside {
    spot: usize,
    since: Timestamp,
}

/// An open visit.
#[derive(Debug)]
pub(super) struct Visit {
    pub(super) id: VisitId,
    pub(super) customer: Option<CustomerId>,
    entered_at: Timestamp,
    /// When its tag was heard last.
    pub(super) last_at: Timestamp,
    /// It does not end before this moment, however long it was silent: the box may have been the one who was away.
    pub(super) not_before: Timestamp,
    zone: u16,
    zone_since: Timestamp,
    beside: Option<Beside>,
    packing: Packing,
    place: Estimate,
}

impl Visit {
    /// Begins a visit; its id follows from the tag and the moment, so that the same readings give the same ids.
    pub(super) fn enter(
        now: &Moment<'_>,
        (tag, customer, returning): (&TagId, Option<CustomerId>, bool),
        (zone, place): (u16, Estimate),
        facts: &mut Vec<Fact>,
    ) -> Self {
        let at = now.at();
        let name = format!("{tag}\n{}", at.micros());
        let id = VisitId(Uuid::new_v5(&now.settings.visit_namespace, name.as_bytes()));
        let (x, y) = (place.x, place.y);
        let (told, tag) = (now.floor.zone_id(zone), tag.clone());
        now.tell(Presence::Entered { visit: id, customer, zone: told, x, y, returning, tag }, facts);
        Self {
            id,
            customer,
            entered_at: at,
            last_at: at,
            not_before: at,
            zone,
            zone_since: at,
            beside: None,
            packing: Packing::default(),
            place,
        }
    }

    /// Goes on with a visit of an earlier run.
    pub(super) fn resume(open: &OpenVisit, floor: &Floor) -> Self {
        Self {
            id: open.visit,
            customer: open.customer,
            entered_at: open.entered_at,
            last_at: open.last_at,
            not_before: open.last_at,
            zone: floor.zone_number(open.zone.as_ref()),
            zone_since: open.last_at,
            beside: None,
            packing: Packing::default(),
            place: Estimate { x: open.x, y: open.y, sigma: RESTORED_SIGMA_M },
        }
    }

    /// One second at a place.
    pub(super) fn stay(&mut self, now: &Moment<'_>, zone: u16, place: Estimate, facts: &mut Vec<Fact>) {
        self.place = place;
        self.mind_spots(now, facts);
        if zone != self.zone {
            self.end_zone(now, now.at(), facts);
            let (from, to) = (now.floor.zone_id(self.zone), now.floor.zone_id(zone));
            now.tell(Presence::Moved { visit: self.id, from, to, x: place.x, y: place.y }, facts);
            (self.zone, self.zone_since) = (zone, now.at());
        }
        if let Some(trace) = self.packing.push(now.k, place.x, place.y) {
            now.tell(Presence::Traced { visit: self.id, trace }, facts);
        }
    }

    /// Tells the trace so far.
    pub(super) fn flush(&mut self, now: &Moment<'_>, facts: &mut Vec<Fact>) {
        if let Some(trace) = self.packing.take() {
            now.tell(Presence::Traced { visit: self.id, trace }, facts);
        }
    }

    /// Whether there is a trace to be told at the end of the minute.
    pub(super) fn is_traced(&self) -> bool {
        !self.packing.is_empty()
    }

    /// When it ends if its tag is not heard again.
    pub(super) fn deadline(&self, floor: &Floor, settings: &Settings) -> Timestamp {
        let patience = settings.patience_us(floor.is_door(self.zone));
        self.last_at.plus_micros(patience).max(self.not_before)
    }

    /// Ends it.
    pub(super) fn exit(mut self, now: &Moment<'_>, facts: &mut Vec<Fact>) {
        let last_at = self.last_at;
        self.end_spot(now, last_at, facts);
        self.end_zone(now, last_at, facts);
        self.flush(now, facts);
        let reason = if now.floor.is_door(self.zone) { ExitReason::Door } else { ExitReason::Silence };
        let duration_s = seconds(self.entered_at, last_at);
        now.tell(Presence::Exited { visit: self.id, duration_s, reason }, facts);
    }

    /// Where it is, as of `now`.
    pub(super) fn snapshot(&self, now: &Moment<'_>) -> VisitSnapshot {
        let near = now.floor.spots_near(self.place.x, self.place.y, NEAR_M);
        let near =
            near.into_iter().filter_map(|(spot, d)| Some((now.floor.spot_id(spot)?, (d * 100.0).round() / 100.0)));
        VisitSnapshot {
            visit: self.id,
            x: self.place.x,
            y: self.place.y,
            sigma: self.place.sigma,
            zone: now.floor.zone_id(self.zone),
            stale: now.at().since(self.last_at) > now.settings.position_for,
            near: near.collect(),
        }
    }

    fn mind_spots(&mut self, now: &Moment<'_>, facts: &mut Vec<Fact>) {
        let radius = now.settings.spot_radius_m;
        let near = now.floor.spots_near(self.place.x, self.place.y, radius + SPOT_SLACK_M);
        let held = self.beside.and_then(|beside| near.iter().find(|(spot, _)| *spot == beside.spot));
        let nearest = near.first().filter(|(_, distance)| *distance <= radius);
        if let Some((_, held)) = held
            && nearest.is_none_or(|(_, distance)| distance + SPOT_SLACK_M >= *held)
        {
            return;
        }
        let next = nearest.map(|&(spot, _)| Beside { spot, since: now.at() });
        self.end_spot(now, now.at(), facts);
        self.beside = next;
    }

    fn end_spot(&mut self, now: &Moment<'_>, until: Timestamp, facts: &mut Vec<Fact>) {
        let Some(Beside { spot, since }) = self.beside.take() else { return };
        let Some(site_spot) = now.floor.site.spots.get(spot) else { return };
        if micros(until.since(since)) >= micros(now.settings.dwell_at_least) {
            let zone = site_spot.zone.clone().or_else(|| now.floor.zone_id(self.zone));
            let (spot, seconds) = (Some(site_spot.id.clone()), seconds(since, until));
            now.tell(Presence::Dwelled { visit: self.id, zone, spot, seconds }, facts);
        }
    }

    fn end_zone(&self, now: &Moment<'_>, until: Timestamp, facts: &mut Vec<Fact>) {
        if self.zone != NOWHERE && until.since(self.zone_since) >= now.settings.dwell_at_least {
            let zone = now.floor.zone_id(self.zone);
            let seconds = seconds(self.zone_since, until);
            now.tell(Presence::Dwelled { visit: self.id, zone, spot: None, seconds }, facts);
        }
    }
}

/// From one moment to another in seconds, to the millisecond; zero when it is not after.
fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    (to.since(from).as_secs_f64() * 1e3).round() / 1e3
}
