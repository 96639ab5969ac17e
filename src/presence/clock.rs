//! The engine's own time, and how dates lie to it. The engine's time is the wall clock as it was at the start plus what has
//! passed since, so that a step of the wall clock moves nothing that happens on the floor. A box that starts in 1970 stays
//! there until it is started anew; what leaves the engine is told in dates of the wall clock as it is then.

use std::time::Duration;

use crate::domain::{ClockQuality, OpenVisit, Stamp, Timestamp};

/// What is less is the time between reading two clocks.
const STEP_US: u64 = 50_000;

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

    /// The date of a moment of the engine's time, by the wall clock as it is `now`.
    #[must_use]
    pub fn date(&self, moment: Timestamp, now: Stamp) -> Timestamp {
        let lead_us = self.lead_us(now.wall, now);
        if lead_us.unsigned_abs() < STEP_US { moment } else { moment.plus_micros(lead_us) }
    }

    /// A visit of another start, in the time of this one: its tag was last heard `age` ago, or is taken to be heard just now
    /// when nobody knows how long the box was away. What it lasted so far stays what it is.
    #[must_use]
    pub fn resume(&self, open: OpenVisit, age: Option<Duration>, now: Stamp) -> OpenVisit {
        let ago_us = age.map_or(0, |age| i64::try_from(age.as_micros()).unwrap_or(i64::MAX));
        let last_at = self.at(now).plus_micros(ago_us.saturating_neg());
        let shift_us = last_at.micros().saturating_sub(open.last_at.micros());
        OpenVisit { last_at, entered_at: open.entered_at.plus_micros(shift_us), ..open }
    }

    /// What is to be added to the engine's time to get to `date`, when that is now.
    fn lead_us(&self, date: Timestamp, now: Stamp) -> i64 {
        date.micros().saturating_sub(self.at(now).micros())
    }
}

/// How far dates are ahead of the engine's time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Lead {
    /// To the wall clock, for whoever reads what the engine tells.
    pub(super) shown_us: i64,
    /// To the date by which a tag's `until` is judged; `None` while there is none, and then nothing ends.
    ///
    /// That is a proven wall clock. It is gone on with by the monotonic clock when nobody vouches for the wall clock any
    /// more; a start that has none yet takes the floor, before which no date can be.
    pub(super) ends_us: Option<i64>,
}

impl Lead {
    /// Looks at the clock again: as it is shown, as it is proven a moment later, and its floor. Two readings that do not
    /// agree are of a process that was held up between them, and count for nothing.
    pub(super) fn look(&mut self, steady: &SteadyClock, now: Stamp, proven: Stamp, floor: Option<Timestamp>) {
        let lead_us = steady.lead_us(now.wall, now);
        if steady.lead_us(proven.wall, proven).abs_diff(lead_us) >= STEP_US {
            return;
        }
        if lead_us.abs_diff(self.shown_us) >= STEP_US {
            self.shown_us = lead_us;
        }
        self.ends_us = match proven.quality {
            ClockQuality::Synced => Some(self.shown_us),
            ClockQuality::Unsynced => self.ends_us.max(floor.map(|floor| steady.lead_us(floor, now))),
        };
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{BootId, VisitId};
    use ClockQuality::{Synced, Unsynced};

    const SECOND: i64 = 1_000_000;
    const NOW: i64 = 1_790_000_000;

    fn stamp(wall_s: i64, mono_s: i64, quality: ClockQuality) -> Stamp {
        let wall = Timestamp::from_micros(wall_s * SECOND);
        Stamp { wall, mono_ns: mono_s * 1_000_000_000, boot: BootId(Uuid::nil()), quality }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * SECOND)
    }

    #[test]
    fn a_step_of_the_wall_clock_is_not_seen_and_dates_what_leaves() {
        let steady = SteadyClock { start: stamp(0, 5, Unsynced) };
        let now = stamp(NOW, 7, Synced);
        assert_eq!(steady.at(now), at(2));
        assert_eq!(steady.date(at(1), now), at(NOW - 1));
        let close = Stamp { wall: at(2).plus_micros(49_000), ..now };
        assert_eq!(steady.date(at(1), close), at(1), "no step: whole seconds stay whole");
    }

    #[test]
    fn a_visit_goes_on_in_the_time_of_the_next_start_and_has_lasted_what_it_lasted() {
        let open = OpenVisit {
            visit: VisitId(Uuid::nil()),
            tag: "t".parse().expect("id"),
            customer: None,
            entered_at: at(100),
            last_at: at(160),
            zone: None,
            x: 0.0,
            y: 0.0,
        };
        let steady = SteadyClock { start: stamp(NOW, 5, Synced) };
        let now = stamp(NOW + 10, 15, Synced);
        for (age, last) in [(Some(Duration::from_secs(90)), NOW - 80), (None, NOW + 10)] {
            let resumed = steady.resume(open.clone(), age, now);
            assert_eq!((resumed.entered_at, resumed.last_at), (at(last - 60), at(last)), "{age:?}");
        }
    }

    #[test]
    fn tags_end_by_a_proven_clock_or_by_what_is_sure() {
        let steady = SteadyClock { start: stamp(60, 60, Unsynced) };
        let mut lead = Lead::default();
        let mut look = |wall_s, mono_s, proven, floor: Option<i64>| {
            let now = stamp(wall_s, mono_s, proven);
            lead.look(&steady, now, now, floor.map(at));
            (lead.shown_us / SECOND, lead.ends_us.map(|us| us / SECOND))
        };
        assert_eq!(look(61, 61, Unsynced, None), (0, None));
        assert_eq!(look(62, 62, Unsynced, Some(NOW - 100)), (0, Some(NOW - 162)), "it is later than the floor");
        assert_eq!(look(72, 72, Unsynced, Some(NOW - 100)), (0, Some(NOW - 162)), "and time goes on from there");
        assert_eq!(look(NOW, 80, Synced, Some(NOW - 100)), (NOW - 80, Some(NOW - 80)));
        assert_eq!(look(NOW * 2, 81, Unsynced, Some(NOW - 100)), (NOW * 2 - 81, Some(NOW - 80)), "a leap ends nothing");
        assert_eq!(look(NOW - 600, 82, Synced, Some(NOW - 1_000)), (NOW - 682, Some(NOW - 682)), "a step back counts");
    }

    #[test]
    fn a_process_that_was_held_up_between_two_readings_sees_no_step() {
        let steady = SteadyClock { start: stamp(NOW, 0, Synced) };
        let mut lead = Lead::default();
        lead.look(&steady, stamp(NOW + 11, 10, Synced), stamp(NOW + 11, 11, Synced), None);
        assert_eq!(lead, Lead::default());
    }
}
