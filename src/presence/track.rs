//! One tag: what is heard of it, where it is believed to be, and its visit when a visitor carries it.

use super::{
    belief::{Belief, Estimate, Evidence, Workbench},
    departures::Departures,
    engine::{Output, Position},
    floor::Floor,
    heat::HeatMap,
    radio::Radio,
    settings::{Settings, Visitors, micros},
    visit::{Moment, Visit},
    zoning::Zoning,
};
use crate::domain::{CustomerId, Registration, Registry, Role, TagId, Timestamp};

/// A tag that nobody hears for so long is forgotten, with its loudness, unless it has a visit.
const FORGET_AFTER_US: i64 = 120_000_000;
/// How positions are told to come about: from what was heard within the last second, or from what went before.
const HEARD: &str = "grid";
const ASSUMED: &str = "grid-held";

/// What all tracks of an engine share.
pub(super) struct Shared {
    pub(super) bench: Workbench,
    pub(super) evidence: Evidence,
    pub(super) heat: HeatMap,
    pub(super) departures: Departures,
}

/// A tag that is followed.
pub(super) struct Track {
    pub(super) tag: TagId,
    registration: Option<Registration>,
    radio: Radio,
    belief: Option<Belief>,
    zoning: Zoning,
    /// Belief by zone, where zones are known by what is heard in them.
    known: Option<Vec<f32>>,
    last_at: Timestamp,
    /// The newest tick in which it was heard.
    heard_tick: Option<i64>,
    /// Heard in two ticks close together: not a stray reading.
    confirmed: bool,
    pub(super) visit: Option<Visit>,
}

impl Track {
    pub(super) fn new(tag: TagId, floor: &Floor, last_at: Timestamp) -> Self {
        Self {
            tag,
            registration: None,
            radio: Radio::new(floor),
            belief: None,
            zoning: Zoning::default(),
            known: None,
            last_at,
            heard_tick: None,
            confirmed: false,
            visit: None,
        }
    }

    /// Looks up what the tag means now.
    pub(super) fn register(&mut self, registry: &Registry, now: Timestamp) {
        self.registration = registry.get(&self.tag, now).cloned();
    }

    pub(super) fn is_registered(&self, now: Timestamp) -> bool {
        self.registration.as_ref().is_some_and(|it| it.until.is_none_or(|until| now < until))
    }

    pub(super) fn hear(&mut self, anchor: usize, level: f32, at: Timestamp) {
        self.radio.hear(anchor, level);
        self.last_at = self.last_at.max(at);
    }

    /// The engine's time begins at `start`: nothing was heard after it, and a visit gets `grace` to be heard again.
    pub(super) fn begin(&mut self, start: Timestamp, grace_us: i64) {
        self.last_at = self.last_at.min(start);
        if let Some(visit) = &mut self.visit {
            visit.last_at = visit.last_at.min(start);
            visit.not_before = start.plus_micros(grace_us);
        }
    }

    /// One second passes.
    pub(super) fn step(&mut self, now: &Moment<'_>, shared: &mut Shared, out: &mut Output) {
        if !self.is_registered(now.at()) {
            self.registration = None;
        }
        self.mind_owner(now, shared, out);
        if micros(now.at().since(self.last_at)) <= micros(now.settings.position_for) {
            self.locate(now, shared, out);
        } else if self.belief.take().is_some() {
            self.radio.forget();
            (self.zoning, self.known) = (Zoning::default(), None);
            (self.confirmed, self.heard_tick) = (false, None);
        }
        if self.visit.as_ref().is_some_and(|visit| now.at() >= visit.deadline(now.floor, now.settings)) {
            self.leave(now, shared, out);
        }
    }

    /// Whether this second matters to it: it has a position, or has just lost it.
    pub(super) fn is_lively(&self, now: &Moment<'_>) -> bool {
        self.belief.is_some() || micros(now.at().since(self.last_at)) <= micros(now.settings.position_for)
    }

    /// Whether it may be dropped.
    pub(super) fn is_gone(&self, now: &Moment<'_>) -> bool {
        self.visit.is_none() && micros(now.at().since(self.last_at)) > FORGET_AFTER_US
    }

    fn locate(&mut self, now: &Moment<'_>, shared: &mut Shared, out: &mut Output) {
        let fresh = self.radio.turn(&mut shared.evidence);
        if fresh {
            let within = i64::try_from(now.settings.enter_within.as_secs()).unwrap_or(i64::MAX);
            self.confirmed |= self.heard_tick.is_some_and(|before| now.k - before <= within);
            self.heard_tick = Some(now.k);
        }
        let (zone, place) = self.estimate(now, shared, fresh);
        out.positions.push(Position {
            t: now.k,
            tag: self.tag.clone(),
            x: place.x,
            y: place.y,
            sigma: place.sigma,
            zone: now.floor.zone_id(zone),
            method: if fresh { HEARD } else { ASSUMED },
        });
        if self.is_visitor(now.settings) {
            self.attend(now, (zone, place, fresh), shared, out);
        }
    }

    fn estimate(&mut self, now: &Moment<'_>, shared: &mut Shared, fresh: bool) -> (u16, Estimate) {
        let belief = self.belief.get_or_insert_with(|| Belief::new(now.floor));
        let (bench, moving) = (&mut shared.bench, self.radio.moving());
        let place = if fresh {
            let best = belief.hear(now.floor, &shared.evidence, bench);
            let place = belief.summary(now.floor, bench);
            self.radio.learn(now.floor, &shared.evidence, now.floor.cell_at(place.x, place.y), best);
            place
        } else {
            belief.wait(now.floor, moving, bench);
            belief.summary(now.floor, bench)
        };
        let zone = if let Some(prints) = &now.floor.prints {
            let known = self.known.get_or_insert_with(|| prints.begin());
            prints.pass(known, if fresh { &shared.evidence.seconds } else { &[] });
            // How long stays last is in that belief already.
            self.zoning.settle(known, 1.0)
        } else {
            self.zoning.settle(&bench.zone_mass, moving)
        };
        let [min_x, min_y, max_x, max_y] = now.floor.site.bounds;
        let centimetres = |v: f64| (v * 100.0).round() / 100.0;
        let (x, y) = (centimetres(place.x.max(min_x).min(max_x)), centimetres(place.y.max(min_y).min(max_y)));
        (zone, Estimate { x, y, sigma: centimetres(place.sigma) })
    }

    /// A visitor is there: enters, or stays.
    fn attend(
        &mut self,
        now: &Moment<'_>,
        (zone, place, fresh): (u16, Estimate, bool),
        shared: &mut Shared,
        out: &mut Output,
    ) {
        if self.visit.is_none() {
            if !(self.confirmed && fresh) {
                return;
            }
            let customer = self.customer();
            let returning = shared.departures.is_back(&self.tag, customer, now.at());
            self.visit = Some(Visit::enter(now, (&self.tag, customer, returning), (zone, place), &mut out.facts));
        }
        if let Some(visit) = &mut self.visit {
            if fresh {
                visit.last_at = visit.last_at.max(self.last_at);
            }
            visit.stay(now, zone, place, &mut out.facts);
            shared.heat.add(now.floor, zone, place.x, place.y);
        }
    }

    /// A tag handed to another customer is another visitor.
    fn mind_owner(&mut self, now: &Moment<'_>, shared: &mut Shared, out: &mut Output) {
        let Some(owner) = self.customer() else { return };
        let Some(visit) = &mut self.visit else { return };
        match visit.customer {
            None => visit.customer = Some(owner),
            Some(before) if before != owner => self.leave(now, shared, out),
            Some(_) => {}
        }
    }

    fn leave(&mut self, now: &Moment<'_>, shared: &mut Shared, out: &mut Output) {
        if let Some(visit) = self.visit.take() {
            shared.departures.note(self.tag.clone(), visit.customer, visit.last_at);
            visit.exit(now, &mut out.facts);
        }
    }

    fn is_visitor(&self, settings: &Settings) -> bool {
        match &self.registration {
            Some(registration) => registration.role == Role::Visitor,
            None => settings.visitors == Visitors::All,
        }
    }

    fn customer(&self) -> Option<CustomerId> {
        let registration = self.registration.as_ref().filter(|it| it.role == Role::Visitor)?;
        registration.subject.as_deref().and_then(|subject| subject.parse().ok())
    }
}
