//! How large a batch of a bulk lane may be on this line: so large that it passes in about half a second, since what is
//! urgent may have to wait for the one that is just under way.

use std::time::Duration;

use super::messages::MAX_BYTES;

/// A batch on its way for so long (beyond what the way takes a small message) is too large.
const SLOW: Duration = Duration::from_millis(500);
/// One that is through so quickly may be larger.
const QUICK: Duration = Duration::from_millis(125);
const LEAST: usize = 16 * 1024;
const FIRST: usize = 256 * 1024;

/// Bytes before compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace(usize);

impl Default for Pace {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Pace {
    /// Most bytes of the next batch.
    #[must_use]
    pub(super) const fn limit(self) -> usize {
        self.0
    }

    /// A batch took so much longer than a small message.
    pub(super) fn took(&mut self, excess: Duration) {
        if excess > SLOW {
            self.0 = (self.0 / 2).max(LEAST);
        } else if excess < QUICK {
            self.0 = (self.0 * 2).min(MAX_BYTES as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_shrink_on_a_slow_line_and_grow_on_a_quick_one() {
        let mut pace = Pace::default();
        let after = |pace: &mut Pace, millis: u64| {
            pace.took(Duration::from_millis(millis));
            pace.limit()
        };
        assert_eq!((after(&mut pace, 10), after(&mut pace, 10), after(&mut pace, 10)), (524_288, 1_048_576, 1_048_576));
        assert_eq!(after(&mut pace, 300), 1_048_576, "neither slow nor quick");
        for _ in 0..20 {
            after(&mut pace, 2_000);
        }
        assert_eq!(pace.limit(), LEAST);
    }
}
