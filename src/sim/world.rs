//! Visitors on a site's floor and what its receivers hear of them.
//!
//! Radio: log-distance path loss with an exponent of 1.8 to 2.2 per receiver (the site's calibrated values where it has
//! them), normal noise of 4 dB, a tenth of all packets lost, nothing below -98 dBm. Heights count.

use crate::domain::{AnchorId, IdError, Site, TagId, ZoneKind};

use super::{
    random::Random,
    visitor::{Places, Visitor},
};

const FLEET: &str = "5a0f1007-0000-4000-8000-73686f77726d";
const LEVEL_AT_1M: f64 = -59.0;
const EXPONENT: (f64, f64) = (1.8, 2.2);
const NOISE_DB: f64 = 4.0;
const LOST: f64 = 0.1;
const SENSITIVITY: f64 = -98.0;
/// ESPresense reports a device about once a second; its filter is not simulated.
const REPORT_INTERVAL: f64 = 1.0;

/// The tag of the `n`-th simulated visitor, as it must be registered.
///
/// # Errors
/// Never in practice: what is written is always a tag.
pub fn tag(n: usize) -> Result<TagId, IdError> {
    TagId::new(format!("ibeacon:{FLEET}:1:{n}"))
}

/// The same as ESPresense names it.
#[must_use]
pub fn device_id(n: usize) -> String {
    format!("iBeacon:{FLEET}-1-{n}")
}

/// One reading of one receiver.
#[derive(Debug, Clone, PartialEq)]
pub struct Emission {
    /// Who heard it.
    pub anchor: AnchorId,
    /// Which visitor.
    pub visitor: usize,
    /// How loud, dBm.
    pub rssi: f64,
}

#[derive(Debug, Clone)]
struct Receiver {
    anchor: AnchorId,
    at: [f64; 3],
    level_at_1m: f64,
    exponent: f64,
}

/// A running simulation.
#[derive(Debug, Clone)]
pub struct World {
    places: Places,
    tag_height: f64,
    receivers: Vec<Receiver>,
    visitors: Vec<Visitor>,
    /// Seconds until each visitor's tag is reported next.
    due: Vec<f64>,
    random: Random,
}

impl World {
    /// `visitors` people outside of `site`, who come in one after the other.
    #[must_use]
    pub fn new(site: &Site, visitors: usize, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let places = places(site);
        let receivers = site.anchors.iter().map(|anchor| Receiver {
            anchor: anchor.id.clone(),
            at: [anchor.x, anchor.y, anchor.z],
            level_at_1m: anchor.rssi_at_1m.unwrap_or(LEVEL_AT_1M),
            exponent: anchor.path_loss.unwrap_or_else(|| random.between(EXPONENT.0, EXPONENT.1)),
        });
        let receivers = receivers.collect();
        let people = (0..visitors).map(|n| Visitor::new(n, &places, seed)).collect();
        let due = (0..visitors).map(|_| random.between(0.0, REPORT_INTERVAL)).collect();
        Self { places, tag_height: site.tag_height_m, receivers, visitors: people, due, random }
    }

    /// Lets `dt` seconds pass; what was heard meanwhile, visitor by visitor.
    pub fn step(&mut self, dt: f64) -> Vec<Emission> {
        let mut heard = Vec::new();
        for (n, (visitor, due)) in self.visitors.iter_mut().zip(&mut self.due).enumerate() {
            visitor.step(dt, &self.places);
            *due -= dt;
            if *due > 0.0 {
                continue;
            }
            // A step longer than the interval reports once: receivers do not repeat what they missed.
            *due = (*due + REPORT_INTERVAL).max(0.0);
            let Some([x, y]) = visitor.position() else { continue };
            for receiver in &self.receivers {
                let level = receiver.level([x, y, self.tag_height]) + NOISE_DB * self.random.normal();
                if !self.random.chance(LOST) && level >= SENSITIVITY {
                    heard.push(Emission { anchor: receiver.anchor.clone(), visitor: n, rssi: level.min(-20.0) });
                }
            }
        }
        heard
    }

    /// Where each visitor truly is, metres; `None` for those who are away.
    #[must_use]
    pub fn truth(&self) -> Vec<Option<[f64; 2]>> {
        self.visitors.iter().map(Visitor::position).collect()
    }
}

impl Receiver {
    fn level(&self, tag: [f64; 3]) -> f64 {
        let square: f64 = self.at.iter().zip(tag).map(|(a, b)| (a - b).powi(2)).sum();
        // Nearer than 30 cm the model means nothing.
        self.level_at_1m - 10.0 * self.exponent * square.sqrt().max(0.3).log10()
    }
}

fn places(site: &Site) -> Places {
    let [min_x, min_y, max_x, max_y] = site.bounds;
    let centre = |kind| site.zones.iter().filter(move |zone| zone.kind == kind).map(|zone| middle(&zone.polygon));
    let entrance = centre(ZoneKind::Entrance).next().unwrap_or([f64::midpoint(min_x, max_x), min_y]);
    let mut targets: Vec<[f64; 2]> = site.spots.iter().map(|spot| [spot.x, spot.y]).collect();
    if targets.is_empty() {
        targets.extend(centre(ZoneKind::Vehicle));
    }
    targets.extend(centre(ZoneKind::Desk).chain(centre(ZoneKind::Lounge)));
    Places { entrance, targets, bounds: [min_x, min_y, max_x, max_y] }
}

fn middle(polygon: &[[f64; 2]]) -> [f64; 2] {
    let n = polygon.len().max(1) as f64;
    let sum = polygon.iter().fold([0.0, 0.0], |[x, y], corner| [x + corner[0], y + corner[1]]);
    [sum[0] / n, sum[1] / n]
}

#[cfg(test)]
#[path = "world_tests.rs"]
mod tests;
