//! The engine's own time: the wall clock as it was at the start plus what has passed since, so that a step of the wall
//! clock moves nothing that happens on the floor.

use crate::domain::{Stamp, Timestamp};

/// Time that only goes forward, beginning at the wall time of its start.
#[derive(Debug, Clone, Copy)]
pub struct SteadyClock {
    /// What the clock said at the start.
    pub start: Stamp,
}

impl SteadyClock {
    /// Engine time at the moment `now` of the same boot.
    #[must_use]
    pub fn at(&self, now: Stamp) -> Timestamp {
        let passed_ns = now.mono_ns.saturating_sub(self.start.mono_ns).max(0);
        self.start.wall.plus_micros(passed_ns / 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BootId, ClockQuality};

    #[test]
    fn a_step_of_the_wall_clock_is_not_seen() {
        let boot = BootId(uuid::Uuid::nil());
        let stamp = |wall: i64, mono_ns: i64| {
            let wall = Timestamp::from_micros(wall);
            Stamp { wall, mono_ns, boot, quality: ClockQuality::Synced }
        };
        let steady = SteadyClock { start: stamp(0, 5_000_000_000) };
        let at = steady.at(stamp(1_700_000_000_000_000, 6_500_000_000));
        assert_eq!(at, Timestamp::from_micros(1_500_000));
    }
}
