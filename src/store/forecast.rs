//! How long the room lasts if nobody acknowledged anything from now on. Pure.

/// Longer than this is not foretold, days.
const FAR: f64 = 3_650.0;
const STEP: f64 = 1.0 / 24.0;

/// One lane as it is and as it grows. Bytes as they lie on the disk.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LaneLoad {
    /// Of events that everybody has.
    pub(super) acked: f64,
    /// Of the others.
    pub(super) unacked: f64,
    /// Growth of a day.
    pub(super) per_day: f64,
    /// How many days events stay at least.
    pub(super) keep_days: f64,
    /// Age of the oldest acknowledged event, days; they are taken to be spread evenly over it.
    pub(super) oldest_days: f64,
    /// Whether what is acknowledged may be shed before its time: nothing unacknowledged is before it.
    pub(super) gives_way: bool,
    /// Whether new events go by their age though nobody acknowledges them: a lane that nobody pulls.
    pub(super) expires: bool,
}

impl LaneLoad {
    /// Bytes that must be on the disk `days` from now.
    fn after(&self, days: f64) -> f64 {
        let stays =
            if self.gives_way { 0.0 } else { ((self.keep_days - days) / self.oldest_days.max(STEP)).clamp(0.0, 1.0) };
        let grown = if self.expires { days.min(self.keep_days) } else { days };
        self.acked * stays + self.unacked + self.per_day * grown
    }
}

/// Days until `lanes` and what is beside them (`other` bytes) need more than `ceiling` bytes.
pub(super) fn days_left(other: f64, lanes: &[LaneLoad; 3], ceiling: f64) -> f64 {
    let fits = |days: f64| other + lanes.iter().map(|lane| lane.after(days)).sum::<f64>() <= ceiling;
    let mut days = 0.0;
    while days < FAR && fits(days) {
        days += STEP;
    }
    (days * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const LANE: LaneLoad = LaneLoad {
        acked: 0.0,
        unacked: 0.0,
        per_day: 10.0,
        keep_days: 30.0,
        oldest_days: 30.0,
        gives_way: false,
        expires: false,
    };

    fn days(lane: LaneLoad) -> f64 {
        let quiet = LaneLoad { per_day: 0.0, ..LANE };
        days_left(100.0, &[lane, quiet, quiet], 1_100.0)
    }

    #[test]
    fn room_over_growth_is_time() {
        assert_eq!(days(LANE).to_bits(), 100.0_f64.to_bits());
        assert!((days(LaneLoad { unacked: 500.0, ..LANE }) - 50.0).abs() < 0.11);
        assert!((days(LaneLoad { unacked: 2_000.0, ..LANE })).abs() < 0.11);
        assert_eq!(days(LaneLoad { per_day: 0.0, ..LANE }).to_bits(), FAR.to_bits());
    }

    #[test]
    fn what_is_acknowledged_goes_in_its_time_or_at_once() {
        let acked = LaneLoad { acked: 300.0, ..LANE };
        assert_eq!(days(LaneLoad { gives_way: true, ..acked }).to_bits(), 100.0_f64.to_bits());
        assert_eq!(days(acked).to_bits(), 100.0_f64.to_bits(), "it is gone before the room is");
        let crowded = LaneLoad { acked: 900.0, per_day: 20.0, oldest_days: 10.0, ..LANE };
        assert!((days(crowded) - 5.0).abs() < 0.11, "young, it stays for a while");
    }

    #[test]
    fn a_lane_that_goes_by_age_alone_stops_growing() {
        let lane = LaneLoad { expires: true, ..LANE };
        assert_eq!(days(lane).to_bits(), FAR.to_bits());
        assert!((days(LaneLoad { per_day: 50.0, ..lane }) - 20.0).abs() < 0.11);
    }
}
