//! What the presence engine finds out. A fact is never dropped: whoever sends it waits.

use super::{CustomerId, SpotId, TagId, Timestamp, VisitId, ZoneId};
use serde::{Deserialize, Serialize};

/// Why a visit ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitReason {
    /// Last seen at an entrance or outside.
    Door,
    /// Not heard any more.
    Silence,
}

/// Positions of one visit at even steps; a minute at most. Centimetres, first value then differences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Time of the first position.
    pub t0: Timestamp,
    /// Milliseconds between positions.
    pub step_ms: u32,
    /// First x, then differences, centimetres.
    pub x_cm: Vec<i32>,
    /// First y, then differences, centimetres.
    pub y_cm: Vec<i32>,
}

/// Where visitors were during one minute.
#[derive(Debug, Clone, PartialEq)]
pub struct Heat {
    /// Person-seconds by zone; zones with none left out.
    pub zones: Vec<(ZoneId, f64)>,
    /// `(column, row, person-seconds)` of cells one metre wide from the lower left of the bounds; empty cells left out.
    pub cells: Vec<(u16, u16, f64)>,
}

/// A finding of the presence engine about a visit or the floor, and the engine's time of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// When, on the clock that drives the engine.
    pub at: Timestamp,
    /// What.
    pub presence: Presence,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub enum Presence {
    /// A visitor came in.
    Entered {
        /// The visit that begins.
        visit: VisitId,
        /// Whose, when the tag is assigned to a customer.
        customer: Option<CustomerId>,
        /// Where.
        zone: Option<ZoneId>,
        /// Metres.
        x: f64,
        /// Metres.
        y: f64,
        /// Back within the grace time of an earlier visit of the same tag today.
        returning: bool,
        /// The tag, for restoring the visit after a restart; never an event's data.
        tag: TagId,
    },
    /// The visitor changed zone.
    Moved {
        /// Whose.
        visit: VisitId,
        /// Zone before.
        from: Option<ZoneId>,
        /// Zone now.
        to: Option<ZoneId>,
        /// Metres.
        x: f64,
        /// Metres.
        y: f64,
    },
    /// A stay in a zone, or beside a spot, has ended.
    Dwelled {
        /// Whose.
        visit: VisitId,
        /// Where.
        zone: Option<ZoneId>,
        /// Beside which spot, for the dwell at a car.
        spot: Option<SpotId>,
        /// How long, seconds.
        seconds: f64,
    },
    /// The visit is over.
    Exited {
        /// Whose.
        visit: VisitId,
        /// How long it was, from entering to the last time heard, seconds.
        duration_s: f64,
        /// Why.
        reason: ExitReason,
    },
    /// Packed positions of a visit.
    Traced {
        /// Whose.
        visit: VisitId,
        /// The positions.
        trace: Trace,
    },
    /// A minute of heat.
    Heated(Heat),
}

/// Where one open visit is now: state, of which only the newest counts.
#[derive(Debug, Clone, PartialEq)]
pub struct VisitSnapshot {
    /// Which visit.
    pub visit: VisitId,
    /// Metres.
    pub x: f64,
    /// Metres.
    pub y: f64,
    /// Standard deviation per axis, metres.
    pub sigma: f64,
    /// Where.
    pub zone: Option<ZoneId>,
    /// Not heard for a while: shown, but not as current.
    pub stale: bool,
    /// Spots within 5 m, nearest first, metres.
    pub near: Vec<(SpotId, f64)>,
}

/// Where everybody is now, as the engine last said.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FloorSnapshot {
    /// Engine time of the newest tick; `None` before the first.
    pub at: Option<Timestamp>,
    /// Open visits, in no order.
    pub visits: Vec<VisitSnapshot>,
    /// Heat of the last whole minutes, decayed, in the shape of one minute.
    pub heat: Option<Heat>,
}

/// A visit that was open when the box stopped: enough to go on with it.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenVisit {
    /// Which visit.
    pub visit: VisitId,
    /// Its tag.
    pub tag: TagId,
    /// Whose.
    pub customer: Option<CustomerId>,
    /// When it began, engine time.
    pub entered_at: Timestamp,
    /// The newest fact of it, engine time.
    pub last_at: Timestamp,
    /// Where.
    pub zone: Option<ZoneId>,
    /// Metres.
    pub x: f64,
    /// Metres.
    pub y: f64,
}
