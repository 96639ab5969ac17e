//! What the engine may be told to do otherwise. The defaults suit a showroom; every one is a plain value, checked by
//! whoever read it from a configuration.

use std::time::Duration;

use uuid::Uuid;

/// Which tags are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Track {
    /// All, as a replay wants it.
    All,
    /// Only registered ones; the others are counted by their verdict and not kept.
    Registered,
}

/// Whose stays are visits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visitors {
    /// Tags registered as visitors.
    Registered,
    /// Every tag that is not registered as something else: for recordings whose tags nobody registered.
    All,
}

/// How the engine decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Which tags are followed.
    pub track: Track,
    /// Whose stays are visits.
    pub visitors: Visitors,
    /// From which the ids of visits are derived: the same tag entering at the same moment gives the same id.
    pub visit_namespace: Uuid,
    /// Level of a tag one metre away at an anchor that was not calibrated, dBm.
    pub rssi_at_1m: f64,
    /// Path-loss exponent of an anchor that was not calibrated.
    pub path_loss: f64,
    /// A tag not heard for longer has no position.
    pub position_for: Duration,
    /// A visit begins when a tag is heard in two different seconds that are at most this far apart.
    pub enter_within: Duration,
    /// A visitor last seen at an entrance or outside has left after this silence.
    pub door_after: Duration,
    /// A visitor last seen anywhere else has left after this silence.
    pub silence_after: Duration,
    /// After a restart, visits that were open are given at least this long to be heard again.
    pub restart_grace: Duration,
    /// Coming back within this time of leaving is `returning`.
    pub returning_within: Duration,
    /// Shorter stays in a zone or beside a spot are not told.
    pub dwell_at_least: Duration,
    /// Who is within this distance of a spot stays beside it, metres.
    pub spot_radius_m: f64,
    /// Tags followed at once; more are refused.
    pub max_tags: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            track: Track::Registered,
            visitors: Visitors::Registered,
            visit_namespace: Uuid::NAMESPACE_OID,
            rssi_at_1m: -59.0,
            path_loss: 1.9,
            position_for: Duration::from_secs(10),
            enter_within: Duration::from_secs(5),
            door_after: Duration::from_secs(15),
            silence_after: Duration::from_mins(2),
            restart_grace: Duration::from_secs(15),
            returning_within: Duration::from_mins(15),
            dwell_at_least: Duration::from_secs(5),
            spot_radius_m: 2.5,
            max_tags: 4096,
        }
    }
}

impl Settings {
    /// Silence, in microseconds, after which a visitor has left.
    pub(super) fn patience_us(&self, by_door: bool) -> i64 {
        micros(if by_door { self.door_after } else { self.silence_after })
    }
}

/// A duration in microseconds, as times are counted; a day of an age at most.
pub(super) fn micros(duration: Duration) -> i64 {
    const LONGEST: i64 = 1_000 * 365 * 86_400 * 1_000_000;
    i64::try_from(duration.as_micros()).unwrap_or(LONGEST).min(LONGEST)
}
