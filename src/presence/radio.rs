//! What the anchors hear of one tag: levels gathered between ticks, and how much louder or softer the tag is than the site
//! file says.
//!
//! A reading costs an addition here; everything else happens once a second. Silence of an anchor says nothing.

use super::floor::Floor;

/// Anchors that count in one second, the loudest ones: the weakest add noise, and the filter's product stays in range.
pub(super) const MAX_HEARD: usize = 16;
/// How far the level of a second goes from the mean towards the loudest reading: a stronger one is nearly always truer.
const TOWARDS_LOUDEST: f32 = 0.25;
/// A tag's own loudness is taken for real only beyond this, dB: less than that is bodies, walls and turned tags.
const OFFSET_DOUBT_DB: f32 = 3.0;
/// What is plausible for it, standard deviation in dB, against [`LEVEL_NOISE_DB`].
const OFFSET_DB: f32 = 6.0;
const LEVEL_NOISE_DB: f32 = 2.0;
/// Share of a second's evidence in it.
const OFFSET_RATE: f32 = 0.05;

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    sum: f32,
    count: u16,
    loudest: f32,
}

impl Bucket {
    fn add(&mut self, level: f32) {
        self.loudest = if self.count == 0 { level } else { self.loudest.max(level) };
        // A tag that shouts 65,535 times a second is heard well enough.
        if self.count < u16::MAX {
            self.sum += level;
            self.count += 1;
        }
    }

    fn join(self, other: Self) -> Option<f32> {
        let count = u32::from(self.count) + u32::from(other.count);
        let loudest = match (self.count, other.count) {
            (0, 0) => return None,
            (_, 0) => self.loudest,
            (0, _) => other.loudest,
            _ => self.loudest.max(other.loudest),
        };
        let mean = (self.sum + other.sum) / count as f32;
        Some(mean + TOWARDS_LOUDEST * (loudest - mean))
    }
}

/// The newest two seconds of every anchor, and the tag's own loudness.
pub(super) struct Radio {
    /// By anchor: the second being gathered, and the one before.
    buckets: Vec<[Bucket; 2]>,
    fresh: bool,
    offset: f32,
}

impl Radio {
    pub(super) fn new(anchors: usize) -> Self {
        Self { buckets: vec![[Bucket::default(); 2]; anchors], fresh: false, offset: 0.0 }
    }

    pub(super) fn hear(&mut self, anchor: usize, level: f32) {
        if let Some([now, _]) = self.buckets.get_mut(anchor) {
            now.add(level);
            self.fresh = true;
        }
    }

    /// Puts the levels of the second that ends now into `heard`, freed of the tag's own loudness, and begins the next.
    /// False, and nothing in `heard`, when the tag was not heard in it.
    pub(super) fn turn(&mut self, heard: &mut Vec<(usize, f32)>) -> bool {
        heard.clear();
        let fresh = std::mem::take(&mut self.fresh);
        for (anchor, [now, before]) in self.buckets.iter_mut().enumerate() {
            if fresh && let Some(level) = now.join(*before) {
                heard.push((anchor, level - self.offset));
            }
            *before = std::mem::take(now);
        }
        if heard.len() > MAX_HEARD {
            heard.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            heard.truncate(MAX_HEARD);
        }
        fresh
    }

    /// Learns the tag's loudness from what was `heard` at the place where it is now believed to be.
    pub(super) fn learn(&mut self, floor: &Floor, cell: usize, heard: &mut [(usize, f32)]) {
        for (anchor, level) in heard.iter_mut() {
            *level -= floor.levels[*anchor][cell];
        }
        heard.sort_unstable_by(|a, b| a.1.total_cmp(&b.1));
        let Some(&(_, median)) = heard.get(heard.len() / 2) else { return };
        // The levels were freed of the offset already: it is what they had before that is looked at.
        let whole = median + self.offset;
        let believed = whole.signum() * (whole.abs() - OFFSET_DOUBT_DB).max(0.0);
        let plausible = OFFSET_DB * OFFSET_DB / (OFFSET_DB * OFFSET_DB + LEVEL_NOISE_DB * LEVEL_NOISE_DB);
        self.offset += OFFSET_RATE * (believed * plausible - self.offset);
    }

    /// Forgets what was heard: the tag was silent for long. Its loudness stays its own.
    pub(super) fn forget(&mut self) {
        self.buckets.fill([Bucket::default(); 2]);
        self.fresh = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_its_mean_drawn_towards_its_loudest() {
        let (mut radio, mut heard) = (Radio::new(2), Vec::new());
        radio.hear(1, -80.0);
        radio.hear(1, -70.0);
        assert!(radio.turn(&mut heard));
        assert_eq!(heard, [(1, -73.75)]);
        assert!(!radio.turn(&mut heard), "nothing new was heard");
        assert_eq!(heard, []);
        radio.hear(0, -60.0);
        assert!(radio.turn(&mut heard));
        assert_eq!(heard, [(0, -60.0)], "what is two seconds old is gone");
    }

    #[test]
    fn only_the_loudest_count_in_a_crowd_of_anchors() {
        let (mut radio, mut heard) = (Radio::new(40), Vec::new());
        for anchor in 0..40 {
            radio.hear(anchor, -100.0 + anchor as f32);
        }
        radio.turn(&mut heard);
        assert_eq!(heard.len(), MAX_HEARD);
        assert!(heard.iter().all(|&(anchor, _)| anchor >= 24));
    }
}
