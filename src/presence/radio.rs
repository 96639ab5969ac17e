//! What the anchors hear of one tag: levels gathered between ticks, how far each anchor is off, how much louder or softer the
//! tag is than the site file says, and how far its levels are from the map altogether.
//!
//! A reading costs a short search and an addition; everything else happens once a second. Silence of an anchor says little
//! and is taken to say nothing. Bounded: the loudest [`MOST_EARS`] anchors count.

use super::{
    belief::{Evidence, Heard},
    floor::Floor,
    motion::{Motion, Steady, variance},
    prints::Second,
};

/// Anchors that count for one tag, the loudest ones.
pub(super) const MOST_EARS: usize = 20;
/// How far the level of a second goes from the mean towards the loudest reading: fading takes away far more than it adds.
const TOWARDS_LOUDEST: f32 = 0.5;
/// Share of what an anchor's level is made of that stays for the next second, while the tag moves and while it stands.
const KEPT_MOVING: f32 = 0.2;
const KEPT_STANDING: f32 = 0.97;
/// A level made of less than so much of a packet is none.
const FAINT: f32 = 0.15;
/// What fading adds to a second's level of a moving tag, dB².
const FADING: f32 = 9.0;

/// A tag's own loudness is taken for real only beyond this, dB: less than that is bodies, walls and turned tags.
const LOUDNESS_DOUBT_DB: f32 = 3.0;
const LOUDNESS_SHARE: f32 = 0.9;
const LOUDNESS_RATE: f32 = 0.05;

/// How fast an anchor's own error is learnt, how much of it is believed, how far one second can pull, and how much of a
/// second counts while the tag stands: then shadows are taken for the anchor's error.
const ERROR_RATE: f32 = 0.02;
const ERROR_SHARE: f32 = 0.6;
const ERROR_MOST_DB: f32 = 12.0;
const ERROR_STANDING: f32 = 0.2;

/// Seconds that the assumed persistent error weighs, and what is remembered of it at most.
const PERSISTENT_ASSUMED_S: f32 = 40.0;
const PERSISTENT_KEPT_S: f32 = 100.0;
/// What is fitted to the levels of a second, in parameters: a place, and part of a loudness.
const FITTED: f32 = 2.5;
const LEAST_PERSISTENT: f32 = 0.5;
/// Evidence of one second adds up with that of the next as far as errors do not persist: they do where their variance is
/// well over this, dB².
const PERSISTS: f32 = 4.0;

/// The level of one second, from the mean of its readings and the loudest; for surveys as for tags.
#[must_use]
pub fn second_level(mean: f32, loudest: f32) -> f32 {
    mean + TOWARDS_LOUDEST * (loudest - mean)
}

/// One anchor that heard the tag.
#[derive(Debug, Clone, Copy, Default)]
struct Ear {
    anchor: u16,
    /// The second being gathered.
    count: u16,
    sum: f32,
    loudest: f32,
    /// The level so far and the packets in it.
    level: f32,
    packets: f32,
    steady: Steady,
    /// The levels of the three seconds before, the oldest last.
    before: [Option<f32>; 3],
    /// How much louder than on the map this anchor hears, dB.
    error: f32,
}

impl Ear {
    fn add(&mut self, level: f32) {
        self.loudest = if self.count == 0 { level } else { self.loudest.max(level) };
        // A tag that shouts 65,535 times a second is heard well enough.
        if self.count < u16::MAX {
            self.sum += level;
            self.count += 1;
        }
    }

    /// The mean of the second and its packets.
    fn second(&self) -> Option<(f32, f32)> {
        let packets = f32::from(self.count);
        (self.count > 0).then(|| (self.sum / packets, packets))
    }

    /// Takes the second in, gives its level and what has changed, and begins the next one.
    fn turn(&mut self, moving: f32, kept: f32) -> Option<Second> {
        let mut now = None;
        self.packets *= kept;
        if let Some((mean, packets)) = self.second() {
            self.steady.learn(mean, packets, moving);
            self.packets += packets;
            let level = second_level(mean, self.loudest);
            self.level += (level - self.level) * packets / self.packets;
            now = Some(level);
        } else {
            self.steady.miss(moving);
        }
        (self.sum, self.count) = (0.0, 0);
        let [one, two, three] = self.before;
        self.before = [now, one, two];
        let anchor = usize::from(self.anchor);
        now.map(|level| Second { anchor, level, change: three.map(|before| level - before) })
    }
}

/// The anchors that hear one tag.
pub(super) struct Radio {
    ears: Vec<Ear>,
    motion: Motion,
    fresh: bool,
    loudness: f32,
    /// Variance of what stays wrong with the map while the tag stays where it is, dB², and the seconds in it.
    persistent: f32,
    persistent_s: f32,
}

impl Radio {
    pub(super) fn new(floor: &Floor) -> Self {
        Self {
            ears: Vec::new(),
            motion: Motion::default(),
            fresh: false,
            loudness: 0.0,
            persistent: floor.doubt,
            persistent_s: PERSISTENT_ASSUMED_S,
        }
    }

    pub(super) fn hear(&mut self, anchor: usize, level: f32) {
        let Ok(anchor) = u16::try_from(anchor) else { return };
        self.fresh = true;
        if let Some(ear) = self.ears.iter_mut().find(|ear| ear.anchor == anchor) {
            ear.add(level);
            return;
        }
        let mut ear = Ear { anchor, level, ..Ear::default() };
        ear.add(level);
        if self.ears.len() < MOST_EARS {
            self.ears.reserve_exact(1);
            self.ears.push(ear);
        } else if let Some(quietest) = self.ears.iter_mut().min_by(|a, b| a.level.total_cmp(&b.level))
            && quietest.level < level
        {
            *quietest = ear;
        }
    }

    /// The probability that the tag moves.
    pub(super) fn moving(&self) -> f32 {
        self.motion.moving()
    }

    /// Ends the second; its evidence goes into `evidence`. False when the tag was not heard in it: then there is none.
    pub(super) fn turn(&mut self, evidence: &mut Evidence) -> bool {
        let fresh = std::mem::take(&mut self.fresh);
        self.motion.pass();
        if fresh {
            let moved = |ear: &Ear| ear.second().map_or(0.0, |(mean, packets)| ear.steady.moved(mean, packets));
            self.motion.weigh(self.ears.iter().map(moved).sum());
        }
        let moving = self.moving();
        let persistent = self.persistent.max(LEAST_PERSISTENT);
        let persists = persistent / (persistent + PERSISTS);
        let kept = persists * (KEPT_STANDING + moving * (KEPT_MOVING - KEPT_STANDING));
        evidence.heard.clear();
        evidence.seconds.clear();
        (evidence.moving, evidence.persists) = (moving, persists);
        for ear in &mut self.ears {
            evidence.seconds.extend(ear.turn(moving, kept));
            if fresh && ear.packets > FAINT {
                let noise = variance(ear.packets) + moving * FADING;
                let heard = Heard {
                    anchor: usize::from(ear.anchor),
                    level: ear.level - self.loudness - ear.error,
                    noise,
                    precision: 1.0 / (persistent + noise),
                };
                evidence.heard.push(heard);
            }
        }
        fresh
    }

    /// Learns from the second just believed: `place` is the cell where the tag is held to be, `best` that which suits the
    /// levels best, and `common` the loudness found there.
    pub(super) fn learn(&mut self, floor: &Floor, evidence: &Evidence, place: usize, (best, common): (usize, f32)) {
        if !floor.surveyed {
            self.learn_persistent(floor, evidence, best, common);
        }
        self.learn_loudness(floor, evidence, place);
        let weight = ERROR_STANDING + (1.0 - ERROR_STANDING) * self.moving();
        for heard in &evidence.heard {
            if let Some(ear) = self.ears.iter_mut().find(|ear| usize::from(ear.anchor) == heard.anchor) {
                let off = heard.level + ear.error - floor.levels[heard.anchor][place];
                let off = off.clamp(-ERROR_MOST_DB, ERROR_MOST_DB);
                ear.error += ERROR_RATE * weight * (ERROR_SHARE * off - ear.error);
            }
        }
    }

    fn learn_persistent(&mut self, floor: &Floor, evidence: &Evidence, best: usize, common: f32) {
        let heard = evidence.heard.len() as f32;
        if heard < 3.0 {
            return;
        }
        let (mut squares, mut noise) = (0.0, 0.0);
        for heard in &evidence.heard {
            let ear = self.ears.iter().find(|ear| usize::from(ear.anchor) == heard.anchor);
            let off = heard.level + ear.map_or(0.0, |ear| ear.error) - floor.levels[heard.anchor][best] - common;
            squares += (off * off).min(225.0);
            noise += heard.noise;
        }
        let seen = squares / (heard - FITTED).max(0.8) - noise / heard;
        self.persistent_s = (self.persistent_s + 1.0).min(PERSISTENT_KEPT_S);
        self.persistent += (seen - self.persistent) / self.persistent_s;
    }

    fn learn_loudness(&mut self, floor: &Floor, evidence: &Evidence, place: usize) {
        let mut off = [0.0_f32; MOST_EARS];
        let off = &mut off[..evidence.heard.len().min(MOST_EARS)];
        for (off, heard) in off.iter_mut().zip(&evidence.heard) {
            *off = heard.level - floor.levels[heard.anchor][place];
        }
        off.sort_unstable_by(f32::total_cmp);
        let (Some(&median), true) = (off.get(off.len() / 2), off.len() >= 3) else { return };
        // The levels were freed of the loudness already: it is what they had before that is looked at.
        let whole = median + self.loudness;
        let believed = whole.signum() * (whole.abs() - LOUDNESS_DOUBT_DB).max(0.0);
        self.loudness += LOUDNESS_RATE * (believed * LOUDNESS_SHARE - self.loudness);
    }

    /// Forgets what was heard: the tag was silent for long. Its loudness and the anchors' errors stay.
    pub(super) fn forget(&mut self) {
        for ear in &mut self.ears {
            *ear = Ear { anchor: ear.anchor, level: ear.level, error: ear.error, ..Ear::default() };
        }
        (self.motion, self.fresh) = (Motion::default(), false);
    }
}
