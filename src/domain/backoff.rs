//! How long to wait before the next attempt: 1 s, doubling to 60 s, each shortened by up to a quarter that depends on who
//! waits, so that a thousand boxes do not come back to a broker in the same second.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(1);
/// What lasted so long was good.
const GOOD: Duration = Duration::from_secs(10);

/// Counts the failures of one thing that is tried again and again. The clock is an argument, randomness is the name.
#[derive(Debug, Clone)]
pub struct Backoff {
    seed: u64,
    failures: u32,
    longest: Duration,
}

impl Backoff {
    /// For whoever is called `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self::up_to(name, LONGEST)
    }

    /// The same with another longest wait.
    #[must_use]
    pub fn up_to(name: &str, longest: Duration) -> Self {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        Self { seed: hasher.finish(), failures: 0, longest }
    }

    /// What had lasted `lasted` (zero when it did not come about) is over: how long to wait now. Ten seconds are a
    /// success, after which counting begins anew.
    pub fn after(&mut self, lasted: Duration) -> Duration {
        if lasted >= GOOD {
            self.failures = 0;
        }
        let whole = FIRST.saturating_mul(1 << self.failures.min(6)).min(self.longest);
        // SplitMix64's step: neighbouring attempts and names give unrelated shares.
        let mixed = (self.seed.wrapping_add(u64::from(self.failures))).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let share = (mixed >> 32) as f64 / f64::from(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        whole.mul_f64(1.0 - share / 4.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_doubles_to_a_minute_and_forgets_after_a_success() {
        let mut backoff = Backoff::new("hel-01");
        for whole in [1, 2, 4, 8, 16, 32, 60, 60] {
            let wait = backoff.after(Duration::ZERO).as_secs_f64();
            assert!(wait <= f64::from(whole) && wait >= f64::from(whole) * 0.75, "{wait} of {whole}");
        }
        assert!(backoff.after(Duration::from_secs(9)) > Duration::from_secs(40));
        assert!(backoff.after(Duration::from_secs(10)) <= Duration::from_secs(1));
        assert_ne!(Backoff::new("a").after(Duration::ZERO), Backoff::new("b").after(Duration::ZERO));
    }
}
