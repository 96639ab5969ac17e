//! Positions of one visit, packed: centimetres, first value then differences, one a second, a minute at most.

use crate::domain::{Timestamp, Trace};

const STEP_MS: u32 = 1000;
const LONGEST: usize = 60;

/// A trace being written.
#[derive(Debug, Default)]
pub(super) struct Packing {
    begun: i64,
    /// The second after the newest position.
    next: i64,
    last: [i32; 2],
    x_cm: Vec<i32>,
    y_cm: Vec<i32>,
}

impl Packing {
    /// Adds the position at second `k`. Gives the trace before it when the step between them is not even, or it is full.
    pub(super) fn push(&mut self, k: i64, x: f64, y: f64) -> Option<Trace> {
        let before = if k != self.next || self.x_cm.len() >= LONGEST { self.take() } else { None };
        let now = [(x * 100.0).round() as i32, (y * 100.0).round() as i32];
        if self.x_cm.is_empty() {
            self.begun = k;
            self.last = [0, 0];
        }
        self.x_cm.push(now[0] - self.last[0]);
        self.y_cm.push(now[1] - self.last[1]);
        (self.last, self.next) = (now, k + 1);
        before
    }

    /// What there is; `None` when there is nothing.
    pub(super) fn take(&mut self) -> Option<Trace> {
        if self.x_cm.is_empty() {
            return None;
        }
        let t0 = Timestamp::from_micros(self.begun.saturating_mul(1_000_000));
        let (x_cm, y_cm) = (std::mem::take(&mut self.x_cm), std::mem::take(&mut self.y_cm));
        Some(Trace { t0, step_ms: STEP_MS, x_cm, y_cm })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.x_cm.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_become_a_first_value_and_differences() {
        let mut packing = Packing::default();
        for (k, x) in [(100, 1.0), (101, 1.25), (102, 1.2)] {
            assert_eq!(packing.push(k, x, -0.5), None);
        }
        let trace = packing.push(104, 9.0, 9.0).expect("a gap ends it");
        assert_eq!((trace.t0.whole_second(), trace.step_ms), (100, 1000));
        assert_eq!(trace.x_cm, [100, 25, -5]);
        assert_eq!(trace.y_cm, [-50, 0, 0]);
        assert_eq!(packing.take().map(|trace| trace.x_cm), Some(vec![900]));
        assert_eq!(packing.take(), None);
    }

    #[test]
    fn a_trace_is_never_longer_than_a_minute() {
        let mut packing = Packing::default();
        let full: Vec<_> = (0..100).filter_map(|k| packing.push(k, 0.0, 0.0)).collect();
        assert_eq!(full.iter().map(|trace| trace.x_cm.len()).collect::<Vec<_>>(), [60]);
    }
}
