//! How old a record is, and when it was, as far as that can be known of a box whose wall clock may be anything.
//!
//! Within one boot the monotonic clock says it, whatever the wall clock does. Across boots only two wall times that are
//! both believed say it. What cannot be known is `None`, and nothing may end because of it. Records are in order: one that
//! cannot be dated is at least as old as any that was written after it.
//!
//! `now` is to be [`super::Clock::proven`]: a wall clock that leapt a moment ago dates records, and ends none.

use std::time::Duration;

use super::{ClockQuality, ClockSynced, Stamp, Timestamp};

/// When `record` was: by its own wall clock where that was believed, else by what was learnt of the clock of its boot since
/// (`word`, the newest `clock.synced` of that boot); `None` where neither is.
#[must_use]
pub fn dated(record: &Stamp, word: Option<&ClockSynced>) -> Option<Timestamp> {
    match (record.quality, word) {
        (ClockQuality::Synced, _) => Some(record.wall),
        (ClockQuality::Unsynced, Some(word)) if word.boot == record.boot.0 => Some(word.wall_of(record.mono_ns)),
        (ClockQuality::Unsynced, _) => None,
    }
}

/// How old `record` is. `None` when that cannot be known: one of the wall clocks is not believed, or they contradict each
/// other and `record` is from the future.
#[must_use]
pub fn age(record: &Stamp, word: Option<&ClockSynced>, now: &Stamp) -> Option<Duration> {
    if record.boot == now.boot {
        let passed = now.mono_ns.saturating_sub(record.mono_ns);
        return Some(Duration::from_nanos(u64::try_from(passed).unwrap_or(0)));
    }
    let then = dated(record, word).filter(|then| now.quality == ClockQuality::Synced && *then <= now.wall)?;
    Some(now.wall.since(then))
}

impl ClockSynced {
    /// Wall time of a monotonic time of its boot.
    #[must_use]
    pub fn wall_of(&self, mono_ns: i64) -> Timestamp {
        Timestamp::from_micros(self.offset_ns.saturating_add(mono_ns).div_euclid(1_000))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::BootId;
    use ClockQuality::{Synced, Unsynced};

    const YEAR_S: i64 = 31_536_000;
    const TRUE_S: i64 = 57 * YEAR_S;

    fn stamp(boot: u128, wall_s: i64, mono_s: i64, quality: ClockQuality) -> Stamp {
        let wall = Timestamp::from_micros(wall_s * 1_000_000);
        Stamp { wall, mono_ns: mono_s * 1_000_000_000, boot: BootId(Uuid::from_u128(boot)), quality }
    }

    fn word(boot: u128, offset_s: i64) -> ClockSynced {
        ClockSynced { boot: Uuid::from_u128(boot), offset_ns: offset_s * 1_000_000_000, step_ns: 0 }
    }

    #[test]
    fn within_a_boot_no_wall_clock_counts() {
        let record = stamp(1, 100, 100, Unsynced);
        for (wall, quality) in [(160, Unsynced), (TRUE_S, Synced), (TRUE_S + 50 * YEAR_S, Synced), (-5, Synced)] {
            let now = stamp(1, wall, 160, quality);
            assert_eq!(age(&record, None, &now), Some(Duration::from_mins(1)), "{now:?}");
        }
        let ahead = stamp(1, 0, 99, Synced);
        assert_eq!(age(&record, None, &ahead), Some(Duration::ZERO), "never less than nothing");
    }

    #[test]
    fn across_boots_both_wall_clocks_have_to_be_believed() {
        let hour = Duration::from_hours(1);
        let now = |quality| stamp(2, TRUE_S + 3_600, 10, quality);
        let good = stamp(1, TRUE_S, 7, Synced);
        assert_eq!(age(&good, None, &now(Synced)), Some(hour));
        assert_eq!(age(&good, None, &now(Unsynced)), None);
        let poor = stamp(1, 7, 7, Unsynced);
        assert_eq!(age(&poor, None, &now(Synced)), None);
        assert_eq!(age(&poor, Some(&word(1, TRUE_S - 7)), &now(Synced)), Some(hour), "its boot learnt the time later");
        assert_eq!(age(&poor, Some(&word(3, TRUE_S - 7)), &now(Synced)), None, "a word about another boot");
        let late = stamp(1, TRUE_S + 50 * YEAR_S, 7, Synced);
        assert_eq!(age(&late, None, &now(Synced)), None, "from the future: one of the clocks is wrong");
    }

    #[test]
    fn absurd_numbers_do_no_harm() {
        let record = Stamp { mono_ns: i64::MAX, ..stamp(1, 0, 0, Unsynced) };
        let huge = ClockSynced { boot: Uuid::from_u128(1), offset_ns: i64::MAX, step_ns: 0 };
        assert!(dated(&record, Some(&huge)).is_some());
        assert_eq!(age(&record, Some(&huge), &stamp(2, TRUE_S, 0, Synced)), None);
    }
}
