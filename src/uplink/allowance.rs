//! How often strangers are answered: ten at once, then one a second. A token bucket; the clock is an argument.

use std::time::Duration;

const BURST: f64 = 10.0;
const PER_SECOND: f64 = 1.0;

/// Answers that may still be given.
#[derive(Debug, Clone)]
pub(super) struct Allowance {
    left: f64,
    at: Duration,
}

impl Default for Allowance {
    fn default() -> Self {
        Self { left: BURST, at: Duration::ZERO }
    }
}

impl Allowance {
    /// Takes one, if there is one at `now` of some monotonic clock.
    pub(super) fn take(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = now.max(self.at);
        self.left = (self.left + passed * PER_SECOND).min(BURST);
        let allowed = self.left >= 1.0;
        if allowed {
            self.left -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_answered_ten_times_then_once_a_second() {
        let mut allowance = Allowance::default();
        let second = Duration::from_secs;
        let mut answered = |at: Duration| (0..100).filter(|_| allowance.take(at)).count();
        assert_eq!(answered(second(5)), 10);
        assert_eq!(answered(second(5)), 0);
        assert_eq!(answered(second(8)), 3);
        assert_eq!(answered(second(7)), 0);
        assert_eq!(answered(second(3_600)), 10);
    }
}
