//! Accounting for the numbers of a lane that no salvaged event has: by the gaps that were known, else by a new one. Pure.

use crate::domain::{Gap, GapReason, Timestamp};

/// What a number is said to be lost by, when nothing older says so.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loss {
    pub(super) reason: GapReason,
    pub(super) at: Timestamp,
}

/// Gaps for exactly `from` to `to`; `known` are in order of their last number and may lie anywhere.
pub(super) fn account(from: u64, to: u64, known: &[Gap], loss: Loss) -> Vec<Gap> {
    let mut gaps = Vec::new();
    let mut next = from;
    let first = known.partition_point(|gap| gap.to < from);
    for gap in &known[first..] {
        if next > to || gap.from > to {
            break;
        }
        let begin = gap.from.max(next);
        if begin > next {
            gaps.push(new(next, begin - 1, loss));
        }
        let end = gap.to.min(to);
        if begin <= end {
            gaps.push(Gap { from: begin, to: end, count: end + 1 - begin, ..gap.clone() });
            next = end + 1;
        }
    }
    if next <= to {
        gaps.push(new(next, to, loss));
    }
    gaps
}

fn new(from: u64, to: u64, Loss { reason, at }: Loss) -> Gap {
    Gap { from, to, count: to + 1 - from, reason, at }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LOSS: Loss = Loss { reason: GapReason::Corruption, at: Timestamp::UNIX_EPOCH };

    fn known(from: u64, to: u64) -> Gap {
        Gap { from, to, count: 1, reason: GapReason::Retention, at: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn what_was_known_keeps_its_reason() {
        let gaps = account(3, 20, &[known(1, 5), known(8, 9), known(19, 40)], LOSS);
        let told: Vec<_> = gaps.iter().map(|gap| (gap.from, gap.to, gap.reason == GapReason::Retention)).collect();
        assert_eq!(told, [(3, 5, true), (6, 7, false), (8, 9, true), (10, 18, false), (19, 20, true)]);
    }

    proptest! {
        #[test]
        fn every_number_is_in_one_gap(
            from in 1..30_u64,
            more in 0..30_u64,
            lies in proptest::collection::vec((1..60_u64, 0..20_u64), 0..6),
        ) {
            let mut lies: Vec<Gap> = lies.into_iter().map(|(from, more)| known(from, from + more)).collect();
            lies.sort_by_key(|gap| gap.to);
            let gaps = account(from, from + more, &lies, LOSS);
            let numbers: Vec<u64> = gaps.iter().flat_map(|gap| gap.from..=gap.to).collect();
            prop_assert_eq!(numbers, (from..=from + more).collect::<Vec<_>>());
            prop_assert!(gaps.iter().all(|gap| gap.count == gap.to + 1 - gap.from));
        }
    }
}
