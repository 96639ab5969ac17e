//! Zones by what is heard in them, where somebody showed the engine each zone: no map, no borders, only how loud every
//! anchor hears a tag there, and how that changes within three seconds, for in a door or a lane the way tells the zone.
//!
//! A hidden Markov model of the zones that have prints; the chance to leave one follows from how long stays in it last.
//! Invariants: probabilities are finite and sum to one.

use super::approx::{exp, ln};
use crate::domain::Site;

/// An error of this many squared standard deviations is as bad as any.
const FARTHEST: f32 = 16.0;
/// A change of zone is never impossible, nor certain.
const LEAVES: (f32, f32) = (0.002, 0.5);

/// What one anchor heard in this second, and by how much more than three seconds before.
#[derive(Debug, Clone, Copy)]
pub(super) struct Second {
    pub(super) anchor: usize,
    pub(super) level: f32,
    pub(super) change: Option<f32>,
}

/// A mean and a standard deviation, ready to weigh.
#[derive(Debug, Clone, Copy)]
struct Normal {
    mean: f32,
    precision: f32,
    log_spread: f32,
}

impl Normal {
    fn new(mean: f64, spread: f64) -> Self {
        let spread = spread.max(0.1) as f32;
        Self { mean: mean as f32, precision: 1.0 / (spread * spread), log_spread: ln(spread) }
    }

    fn weigh(self, value: f32) -> f32 {
        let off = value - self.mean;
        -0.5 * (off * off * self.precision).min(FARTHEST) - self.log_spread
    }
}

/// One way of being in a zone.
struct Pattern {
    zone: usize,
    log_share: f32,
    /// By anchor: level and change.
    heard: Vec<Option<(Normal, Normal)>>,
}

/// The prints of a site.
pub(super) struct Prints {
    patterns: Vec<Pattern>,
    /// By number of zone: the chance to leave within a second; `None`: it has no prints.
    leaves: Vec<Option<f32>>,
}

impl Prints {
    /// `None` when fewer than two zones have any.
    pub(super) fn new(site: &Site) -> Option<Self> {
        let mut prints = Self { patterns: Vec::new(), leaves: vec![None; site.zones.len() + 1] };
        for (number, zone) in (1..).zip(&site.zones) {
            for print in &zone.prints.prints {
                let find = |id| print.heard.iter().find(|heard| heard.anchor == id);
                let normals = |it: &crate::domain::PrintHeard| {
                    (Normal::new(it.level, it.level_spread), Normal::new(it.change, it.change_spread))
                };
                let heard = site.anchors.iter().map(|anchor| find(anchor.id.clone()).map(normals)).collect();
                let log_share = ln((print.share as f32).clamp(1e-3, 1.0));
                prints.patterns.push(Pattern { zone: number, log_share, heard });
                let leaves = (1.0 / zone.prints.stay_s.max(1.0)) as f32;
                prints.leaves[number] = Some(leaves.clamp(LEAVES.0, LEAVES.1));
            }
        }
        (prints.leaves.iter().flatten().count() >= 2).then_some(prints)
    }

    /// Anywhere in the zones with prints.
    pub(super) fn begin(&self) -> Vec<f32> {
        let share = 1.0 / self.leaves.iter().flatten().count().max(1) as f32;
        self.leaves.iter().map(|leaves| leaves.map_or(0.0, |_| share)).collect()
    }

    /// One second passes; `heard` in it.
    pub(super) fn pass(&self, belief: &mut [f32], heard: &[Second]) {
        let others = (self.leaves.iter().flatten().count() - 1).max(1) as f32;
        let leaving = |(p, leaves): (&f32, &Option<f32>)| leaves.map_or(0.0, |leaves| p * leaves);
        let gone: f32 = belief.iter().zip(&self.leaves).map(leaving).sum();
        for (p, leaves) in belief.iter_mut().zip(&self.leaves) {
            let Some(leaves) = leaves else { continue };
            let from_others = (gone - *p * leaves) / others;
            *p = *p * (1.0 - leaves) + from_others;
        }
        if heard.is_empty() {
            return;
        }
        let words: Vec<f32> = self.patterns.iter().map(|pattern| pattern.weigh(heard)).collect();
        let most = words.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut likely = vec![0.0_f32; belief.len()];
        for (pattern, word) in self.patterns.iter().zip(&words) {
            likely[pattern.zone] += exp(word - most);
        }
        for (p, likely) in belief.iter_mut().zip(&likely) {
            *p = (*p * likely).max(0.0);
        }
        let total: f32 = belief.iter().sum();
        if total.is_finite() && total > f32::MIN_POSITIVE {
            for p in belief.iter_mut() {
                *p /= total;
            }
        } else {
            belief.copy_from_slice(&self.begin());
        }
    }
}

impl Pattern {
    fn weigh(&self, heard: &[Second]) -> f32 {
        let one = |second: &Second| {
            let Some((level, change)) = self.heard.get(second.anchor).copied().flatten() else { return 0.0 };
            level.weigh(second.level) + second.change.map_or(0.0, |by| change.weigh(by))
        };
        self.log_share + heard.iter().map(one).sum::<f32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{Print, PrintHeard, ZonePrints},
        presence::testing::square_site,
    };

    fn site() -> Site {
        let mut site = (*square_site()).clone();
        let anchor = site.anchors[0].id.clone();
        let print = |level, change| Print {
            share: 1.0,
            heard: vec![PrintHeard { anchor: anchor.clone(), level, level_spread: 4.0, change, change_spread: 2.0 }],
        };
        site.zones[0].prints = ZonePrints { stay_s: 20.0, prints: vec![print(-60.0, 0.0), print(-70.0, -5.0)] };
        site.zones[1].prints = ZonePrints { stay_s: 20.0, prints: vec![print(-70.0, 0.0)] };
        site
    }

    #[test]
    fn a_zone_is_known_by_its_levels_and_by_the_way_they_change() {
        let prints = Prints::new(&site()).expect("two zones");
        let mut belief = prints.begin();
        let mut hear = |level, change| {
            for _ in 0..3 {
                prints.pass(&mut belief, &[Second { anchor: 0, level, change }]);
            }
            assert!((belief.iter().sum::<f32>() - 1.0).abs() < 1e-3, "{belief:?}");
            belief[1]
        };
        assert!(hear(-60.0, Some(0.0)) > 0.9);
        assert!(hear(-70.0, Some(0.0)) < 0.1);
        assert!(hear(-70.0, Some(-6.0)) > 0.9, "on the way out");
        assert!(hear(500.0, None).is_finite());
    }

    #[test]
    fn silence_forgets_slowly_and_a_site_without_prints_has_none() {
        let prints = Prints::new(&site()).expect("two zones");
        let mut belief = vec![0.0, 1.0, 0.0];
        prints.pass(&mut belief, &[]);
        assert!((belief[1] - 0.95).abs() < 1e-3 && (belief[2] - 0.05).abs() < 1e-3, "{belief:?}");
        assert!(Prints::new(&square_site()).is_none());
    }
}
