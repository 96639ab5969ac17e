//! Whether a tag stands or moves, told from its levels alone: while it stands, what an anchor hears of it keeps its mean,
//! wherever that may be on the map; once it moves half a metre, fading and shadows change it by several decibels.
//!
//! A hidden Markov model of two states with the levels' own spread, learnt an anchor at a time while the tag stands. It needs
//! no map, so it is right where the map is wrong: that is what keeps zones from flapping. On office12 it holds 95 % of the
//! seconds of walking for walking and 2 % of those of standing.

use super::approx::{exp, ln};

/// Chance that who stands begins to move within a second, and that who moves stops.
const STARTS: f32 = 0.1;
const STOPS: f32 = 0.05;
/// How far a level goes from its mean when the tag moves, standard deviation in dB: fading and shadows. Less takes the stir
/// of a room for walks (4 dB: five changes of zone an hour of tags that stand still), more misses slow walks.
const SHIFT_DB: f32 = 5.0;
/// Spread of single packets about their mean at one place: three channels fade differently. dB
const PACKET_DB: f32 = 2.5;
/// Spread of a second's mean that no number of packets takes away, dB.
const SECOND_DB: f32 = 1.0;
/// Nothing is farther out than so many squared standard deviations: one broken packet is no walk.
const FARTHEST: f32 = 16.0;
/// Anchors do not err independently; a second's word counts so much.
const BELIEVED: f32 = 0.7;
/// The mean of a stay is taken over so many seconds at most.
const STAY_S: f32 = 30.0;
/// Seconds of standing after which what was learnt of an anchor's spread weighs as much as the assumption, and at most.
const SPREAD_ASSUMED_S: f32 = 10.0;
const SPREAD_KEPT_S: f32 = 60.0;

/// Variance of the mean of so many packets about the mean of a stay, dB².
pub(super) fn variance(packets: f32) -> f32 {
    SECOND_DB * SECOND_DB + PACKET_DB * PACKET_DB / packets
}

/// What one anchor hears while the tag stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steady {
    mean: f32,
    /// Seconds in it; none: nothing is known.
    seconds: f32,
    /// Variance about the mean as a multiple of [`variance`], and the seconds it was learnt in.
    spread: f32,
    learnt: f32,
}

impl Default for Steady {
    fn default() -> Self {
        Self { mean: 0.0, seconds: 0.0, spread: 1.0, learnt: SPREAD_ASSUMED_S }
    }
}

impl Steady {
    /// How much likelier this second's mean of `packets` is if the tag moved, as a logarithm.
    pub(super) fn moved(&self, mean: f32, packets: f32) -> f32 {
        if self.seconds <= 0.0 {
            return 0.0;
        }
        let standing = self.spread * variance(packets) * (1.0 + 1.0 / self.seconds);
        let moving = standing + SHIFT_DB * SHIFT_DB;
        let square = (mean - self.mean) * (mean - self.mean);
        0.5 * ((square / standing).min(FARTHEST) - (square / moving).min(FARTHEST) - ln(moving / standing))
    }

    /// Takes in a second's mean.
    pub(super) fn learn(&mut self, mean: f32, packets: f32, moving: f32) {
        if self.seconds > 0.0 {
            let standing = 1.0 - moving;
            self.learnt = (self.learnt + standing).min(SPREAD_KEPT_S);
            let square = (mean - self.mean) * (mean - self.mean) * self.seconds / (self.seconds + 1.0);
            let seen = (square / variance(packets)).min(9.0 * self.spread);
            self.spread += standing * (seen - self.spread) / self.learnt;
        }
        self.seconds = (self.seconds * (1.0 - moving)).min(STAY_S) + 1.0;
        self.mean += (mean - self.mean) / self.seconds;
    }

    /// A second without a packet.
    pub(super) fn miss(&mut self, moving: f32) {
        self.seconds *= 0.97 * (1.0 - 0.3 * moving);
    }
}

/// The probability that the tag moves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Motion(f32);

impl Default for Motion {
    fn default() -> Self {
        Self(0.5)
    }
}

impl Motion {
    /// A second passes.
    pub(super) fn pass(&mut self) {
        self.0 = self.0 * (1.0 - STOPS) + (1.0 - self.0) * STARTS;
    }

    /// Takes in the sum of [`Steady::moved`] of the anchors.
    pub(super) fn weigh(&mut self, moved: f32) {
        let odds = exp((BELIEVED * moved).clamp(-15.0, 15.0));
        self.0 = self.0 * odds / (self.0 * odds + 1.0 - self.0);
    }

    pub(super) fn moving(self) -> f32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays seconds of six anchors with a repeatable noise; `at` gives the mean level of an anchor in a second.
    fn play(seconds: usize, at: impl Fn(usize, usize) -> f32) -> Vec<f32> {
        let (mut motion, mut steady) = (Motion::default(), [Steady::default(); 6]);
        let mut noise = 1_u32;
        let mut told = Vec::new();
        for second in 0..seconds {
            let heard: Vec<f32> = (0..6)
                .map(|anchor| {
                    noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    at(second, anchor) + (noise >> 24) as f32 / 42.0 - 3.0
                })
                .collect();
            motion.pass();
            motion.weigh(steady.iter().zip(&heard).map(|(steady, level)| steady.moved(*level, 2.0)).sum());
            for (steady, level) in steady.iter_mut().zip(&heard) {
                steady.learn(*level, 2.0, motion.moving());
            }
            told.push(motion.moving());
        }
        told
    }

    #[test]
    fn who_stands_is_told_from_who_goes() {
        let told = play(
            60,
            |second, anchor| if second < 40 { -70.0 } else { -70.0 + [6.0, -5.0, 4.0][(second + anchor) % 3] },
        );
        assert!(told[10..40].iter().all(|moving| *moving < 0.2), "{told:?}");
        assert!(told[42..].iter().all(|moving| *moving > 0.8), "{told:?}");
    }

    #[test]
    fn one_anchor_that_breaks_down_is_no_walk() {
        let told = play(60, |second, anchor| if second == 40 && anchor == 0 { 20.0 } else { -70.0 });
        assert!(told[10..].iter().all(|moving| *moving < 0.6), "{told:?}");
    }
}
