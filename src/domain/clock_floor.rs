//! How far the kernel's word about its clock is believed.
//!
//! The kernel says "synced" when a time daemon told it so, and that daemon may be wrong. Two things are known better: the
//! program was built before it runs, and a record was written before now. So there is a **floor**: what is before it is
//! never believed, whatever the kernel says.
//!
//! A floor that is wrong must not keep the truth out for ever, and one wrong hour must not make it so. So the floor follows
//! only a clock that has **stood**: called synced, and not stepped, for [`STANDS`] of running time. Then it is [`BEHIND`] it,
//! whether that is up or down, but never before the build. Thus a leap into the future that is taken back soon leaves no
//! trace; one that stays for longer lifts the floor, and the truth, when it comes back, is believed again after it has
//! stood. Small steps back never meet the floor.
//!
//! A time that is far above the floor (over [`LEAP`]) may be the truth for a box that lay in a cupboard, or nonsense. It is
//! believed, so that events get dates, but it is not **proven** until it has stood: nothing ends by it before.

use super::{ClockQuality, Stamp, Timestamp};

const HOUR_US: i64 = 3_600 * 1_000_000;
/// So long a clock must not step to be trusted more than what was known before: less than a day of a showroom, so that a box
/// that is switched off at night gets there.
const STANDS_NS: i64 = 6 * HOUR_US * 1_000;
/// The floor is so far behind the clock that made it: steps back of less are believed at once.
const BEHIND_US: i64 = 24 * HOUR_US;
/// What is farther above the floor is not proven by the kernel's word alone.
const LEAP_US: i64 = 31 * 24 * HOUR_US;
/// Less than this is no other time, but the same corrected.
const STEP_US: i64 = 60 * 1_000_000;

/// How far a wall clock is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Belief {
    /// Not at all.
    Unsynced,
    /// It dates what happens, and ends nothing.
    Synced,
    /// In everything.
    Proven,
}

/// The time that the kernel stands by: since when, on the monotonic clock, and what it adds to that.
#[derive(Debug, Clone, Copy)]
struct Claim {
    offset_us: i64,
    since_ns: i64,
}

/// The floor, and what it takes to move it. For the clocks of one boot.
#[derive(Debug, Clone)]
pub struct ClockFloor {
    built: Timestamp,
    at: Timestamp,
    claim: Option<Claim>,
}

impl ClockFloor {
    /// Nothing is known but when the program was built.
    #[must_use]
    pub fn new(built: Timestamp) -> Self {
        Self { built, at: built, claim: None }
    }

    /// Goes on with the floor that was kept over a restart.
    pub fn restore(&mut self, kept: Timestamp) {
        self.at = self.built.max(kept);
    }

    /// What is before this is not believed.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// Whether `wall` is before the program was built, which nothing makes good.
    #[must_use]
    pub fn is_before_build(&self, wall: Timestamp) -> bool {
        wall < self.built
    }

    /// Judges what the kernel says, and moves the floor by it.
    pub fn judge(&mut self, said: &Stamp) -> Belief {
        if said.quality == ClockQuality::Unsynced {
            return Belief::Unsynced;
        }
        let stood = self.has_stood(said);
        if self.is_before_build(said.wall) {
            return Belief::Unsynced;
        }
        if stood {
            self.at = self.built.max(said.wall.plus_micros(-BEHIND_US));
        }
        if said.wall < self.at {
            return Belief::Unsynced;
        }
        let near = said.wall <= self.at.plus_micros(LEAP_US);
        if stood || near { Belief::Proven } else { Belief::Synced }
    }

    /// Whether it has said the same for long enough.
    fn has_stood(&mut self, said: &Stamp) -> bool {
        let offset_us = said.wall.micros().saturating_sub(said.mono_ns / 1_000);
        let same = self.claim.filter(|claim| claim.offset_us.abs_diff(offset_us) < STEP_US as u64);
        let claim = *self.claim.insert(same.unwrap_or(Claim { offset_us, since_ns: said.mono_ns }));
        said.mono_ns.saturating_sub(claim.since_ns) >= STANDS_NS
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::domain::{BootId, age};
    use Belief::{Proven, Synced, Unsynced};

    const HOUR: i64 = 3_600;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    /// When the program was built, seconds since 1970.
    const BUILT: i64 = 56 * YEAR;
    const NOW: i64 = BUILT + 10 * DAY;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    /// The kernel says that it is `wall_s` now, and `mono_s` seconds after the boot.
    fn said(wall_s: i64, mono_s: i64, quality: ClockQuality) -> Stamp {
        Stamp { wall: at(wall_s), mono_ns: mono_s * 1_000_000_000, boot: BootId(Uuid::nil()), quality }
    }

    fn synced(wall_s: i64, mono_s: i64) -> Stamp {
        said(wall_s, mono_s, ClockQuality::Synced)
    }

    /// A floor that has seen the clock be `NOW` for a day, and the monotonic time of that.
    fn settled() -> (ClockFloor, i64) {
        let mut floor = ClockFloor::new(at(BUILT));
        assert_eq!([0, DAY].map(|s| floor.judge(&synced(NOW - DAY + s, s))), [Proven; 2]);
        assert_eq!(floor.at(), at(NOW - DAY));
        (floor, DAY)
    }

    #[test]
    fn what_is_before_the_build_is_never_believed_however_long_it_stands() {
        let mut floor = ClockFloor::new(at(BUILT));
        for s in (0..90 * DAY).step_by(HOUR as usize) {
            assert_eq!(floor.judge(&synced(s, s)), Unsynced);
        }
        assert_eq!(floor.at(), at(BUILT));
        assert_eq!(floor.judge(&said(NOW, 90 * DAY, ClockQuality::Unsynced)), Unsynced, "nor what nobody vouches for");
    }

    #[test]
    fn a_leap_from_1970_dates_at_once_and_ends_things_when_it_has_stood() {
        let mut floor = ClockFloor::new(at(BUILT));
        assert_eq!(floor.judge(&said(60, 60, ClockQuality::Unsynced)), Unsynced);
        assert_eq!(floor.judge(&synced(NOW, 120)), Proven, "a program as old as a week");
        let late = BUILT + YEAR;
        for (after, belief) in [(0, Synced), (5 * HOUR, Synced), (6 * HOUR, Proven)] {
            assert_eq!(floor.judge(&synced(late + after, 180 + after)), belief, "{after}");
        }
        assert_eq!(floor.at(), at(late + 6 * HOUR - DAY));
    }

    #[test]
    fn a_wrong_future_that_is_taken_back_soon_leaves_no_trace() {
        let (mut floor, mono) = settled();
        let before = floor.at();
        for s in 0..5 {
            assert_eq!(floor.judge(&synced(NOW + 50 * YEAR + s * HOUR, mono + s * HOUR)), Synced);
        }
        assert_eq!(floor.at(), before);
        assert_eq!(floor.judge(&synced(NOW + 5 * HOUR, mono + 5 * HOUR)), Proven, "the truth is back");
    }

    #[test]
    fn a_wrong_future_that_stayed_does_not_lock_the_truth_out_for_ever() {
        let (mut floor, mono) = settled();
        for s in 0..=7 {
            floor.judge(&synced(NOW + 50 * YEAR + s * HOUR, mono + s * HOUR));
        }
        assert_eq!(floor.at(), at(NOW + 50 * YEAR + 7 * HOUR - DAY));
        for (after, belief) in [(8, Unsynced), (13, Unsynced), (14, Proven)] {
            assert_eq!(floor.judge(&synced(NOW + after * HOUR, mono + after * HOUR)), belief, "{after} hours later");
        }
        assert_eq!(floor.at(), at(NOW + 14 * HOUR - DAY));
    }

    #[test]
    fn a_restart_begins_with_the_floor_that_was_kept_and_with_no_claim() {
        let (floor, _) = settled();
        let mut next = ClockFloor::new(at(BUILT));
        next.restore(floor.at());
        assert_eq!(
            next.judge(&synced(NOW - 2 * DAY, 5)),
            Unsynced,
            "the kernel calls it synced, and records are newer"
        );
        assert_eq!(next.judge(&synced(NOW - DAY + 1, 6)), Proven);
        next.restore(at(0));
        assert_eq!(next.at(), at(BUILT), "a newer program knows better");
    }

    #[test]
    fn a_step_of_minutes_in_either_direction_is_believed_at_once() {
        let (mut floor, mono) = settled();
        for (step, belief) in [(-600, Proven), (600, Proven), (-23 * HOUR, Proven), (30 * DAY, Proven)] {
            assert_eq!(floor.judge(&synced(NOW + step, mono)), belief, "{step}");
        }
    }

    proptest! {
        #[test]
        fn nothing_below_the_floor_is_believed_and_the_truth_always_comes_back(
            lies in prop::collection::vec((0_i64..150 * YEAR, 1_i64..40 * HOUR, any::<bool>()), 0..12),
        ) {
            let mut floor = ClockFloor::new(at(BUILT));
            let mut mono = 0;
            for (wall, lasts, vouched) in lies {
                let quality = if vouched { ClockQuality::Synced } else { ClockQuality::Unsynced };
                for s in (0..lasts).step_by(HOUR as usize) {
                    let stamp = said(wall + s, mono + s, quality);
                    let belief = floor.judge(&stamp);
                    prop_assert!(belief == Unsynced || stamp.wall >= floor.at());
                    prop_assert!(floor.at() >= at(BUILT));
                }
                mono += lasts;
            }
            floor.judge(&synced(NOW, mono));
            prop_assert_eq!(floor.judge(&synced(NOW + 6 * HOUR, mono + 6 * HOUR)), Proven);
        }

        /// A clock that lies again and again, by decades and through reboots, but never for long, makes no record much older
        /// than it is to whoever decides by the proven clock.
        #[test]
        fn nothing_ends_because_of_a_leap(
            lies in prop::collection::vec((-60 * YEAR..150 * YEAR, 1_i64..6, 1_i64..10, any::<bool>()), 1..12),
        ) {
            let (mut floor, mut mono) = settled();
            let (mut truth, mut boot, mut records) = (NOW, 0_u128, Vec::new());
            for (lie, lies_for, tells_for, reboots) in lies {
                for hour in 0..lies_for + tells_for {
                    let wall = if hour < lies_for { truth + lie } else { truth };
                    let kernel = Stamp { boot: BootId(Uuid::from_u128(boot)), ..synced(wall, mono) };
                    let belief = floor.judge(&kernel);
                    let as_of = |enough: Belief| {
                        let quality = if belief >= enough { ClockQuality::Synced } else { ClockQuality::Unsynced };
                        Stamp { quality, ..kernel }
                    };
                    records.push((truth, as_of(Synced)));
                    for (written, record) in &records {
                        let slack = if record.boot == kernel.boot { 0 } else { 45 * DAY };
                        let most = truth - written + slack;
                        let seems = age(record, None, &as_of(Proven));
                        prop_assert!(seems.is_none_or(|age| age.as_secs() <= most as u64), "{:?} {}", seems, most);
                    }
                    (truth, mono) = (truth + HOUR, mono + HOUR);
                }
                if reboots {
                    let kept = floor.at();
                    floor = ClockFloor::new(at(BUILT));
                    floor.restore(kept);
                    (mono, boot) = (0, boot + 1);
                }
            }
        }
    }
}
