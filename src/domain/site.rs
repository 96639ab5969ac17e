//! The floor: bounds, anchors, zones, spots. Made only by `config` after its checks, so that it is right by construction:
//! ids unique, coordinates finite, polygons simple.

use super::{AnchorId, Registry, SiteId, SpotId, ZoneId};

/// A receiver with a known place; metres on the floor's axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Anchor {
    /// Name, as in topics and readings.
    pub id: AnchorId,
    /// Place, metres.
    pub x: f64,
    /// Place, metres.
    pub y: f64,
    /// Height, metres.
    pub z: f64,
    /// Level of a tag one metre away, dBm, as calibrated.
    pub rssi_at_1m: Option<f64>,
    /// Path-loss exponent, as calibrated.
    pub path_loss: Option<f64>,
    /// What a survey found beyond these two.
    pub survey: Survey,
}

/// How far an anchor's levels were off its line of distance at known places.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Survey {
    /// `[x, y, off]`: metres on the floor's axes, and dB.
    pub points: Vec<[f64; 3]>,
    /// Standard deviation of what stays wrong at places that were not surveyed, dB.
    pub doubt_db: Option<f64>,
}

/// What a zone is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZoneKind {
    /// Doors: where visits begin and end.
    Entrance,
    /// Around cars.
    Vehicle,
    /// Where staff sit with guests.
    Desk,
    /// Waiting, coffee.
    Lounge,
    /// Workshop reception.
    Service,
    /// Not part of the showroom.
    Outside,
}

/// A named part of the floor.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    /// Name on the wire.
    pub id: ZoneId,
    /// Name for people.
    pub name: String,
    /// What it is for.
    pub kind: ZoneKind,
    /// Corners in order, metres; at least three, not crossing itself.
    pub polygon: Vec<[f64; 2]>,
    /// What is heard in it, where it was shown.
    pub prints: ZonePrints,
}

/// What anchors hear of tags in a zone.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ZonePrints {
    /// How long a stay lasts, seconds.
    pub stay_s: f64,
    /// Ways of being there.
    pub prints: Vec<Print>,
}

/// One way of being in a zone.
#[derive(Debug, Clone, PartialEq)]
pub struct Print {
    /// Share of the time.
    pub share: f64,
    /// By anchor.
    pub heard: Vec<PrintHeard>,
}

/// What one anchor hears: means and standard deviations.
#[derive(Debug, Clone, PartialEq)]
pub struct PrintHeard {
    /// Who.
    pub anchor: AnchorId,
    /// dBm.
    pub level: f64,
    /// dB.
    pub level_spread: f64,
    /// How much more than three seconds before, dB.
    pub change: f64,
    /// dB.
    pub change_spread: f64,
}

impl Zone {
    /// Whether (`x`, `y`) lies inside, by the even-odd rule.
    #[must_use]
    pub fn contains(&self, x: f64, y: f64) -> bool {
        let next = self.polygon.iter().cycle().skip(1);
        self.polygon.iter().zip(next).fold(false, |hit, (&[x0, y0], &[x1, y1])| {
            let crosses = (y0 > y) != (y1 > y) && x < (x1 - x0) * (y - y0) / (y1 - y0) + x0;
            hit != crosses
        })
    }
}

/// Where a car stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Spot {
    /// Name on the wire.
    pub id: SpotId,
    /// Place, metres.
    pub x: f64,
    /// Place, metres.
    pub y: f64,
    /// The zone around it.
    pub zone: Option<ZoneId>,
}

/// A showroom's floor, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    /// Name on the wire.
    pub id: SiteId,
    /// Name for people.
    pub name: String,
    /// IANA time zone.
    pub timezone: String,
    /// `[min_x, min_y, max_x, max_y]`, metres.
    pub bounds: [f64; 4],
    /// Height at which people carry their tags, metres.
    pub tag_height_m: f64,
    /// Receivers.
    pub anchors: Vec<Anchor>,
    /// Zones in order of precedence.
    pub zones: Vec<Zone>,
    /// Places of cars.
    pub spots: Vec<Spot>,
    /// Tags fixed in the site file.
    pub tags: Registry,
}

impl Site {
    /// The first zone listed that holds (`x`, `y`).
    #[must_use]
    pub fn zone_at(&self, x: f64, y: f64) -> Option<&Zone> {
        self.zones.iter().find(|zone| zone.contains(x, y))
    }
}
