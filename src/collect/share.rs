//! How collectors divide their boxes. Pure.
//!
//! Each counts the living with the same list and takes up to its share, rounded up, of the boxes that nobody holds; who
//! holds more gives the rest away. So all boxes are held as long as one lives, nobody holds more than one more than its
//! share, and few change hands when one comes or goes.

/// What a collector should do about its boxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Take up to so many that are free.
    Take(usize),
    /// Give so many away.
    Give(usize),
}

/// For a collector that holds `held` of `listed` boxes while `living` collectors, itself included, share them.
#[must_use]
pub(super) fn change(listed: usize, living: usize, held: usize) -> Change {
    let share = listed.div_ceil(living.max(1));
    if held > share { Change::Give(held - share) } else { Change::Take(share - held) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets collectors act in turn until nothing changes; returns what each holds.
    fn settle(listed: usize, mut held: Vec<usize>) -> Vec<usize> {
        for _ in 0..3 {
            let living = held.len();
            for index in 0..living {
                let free = listed - held.iter().sum::<usize>();
                match change(listed, living, held[index]) {
                    Change::Take(most) => held[index] += most.min(free),
                    Change::Give(some) => held[index] -= some,
                }
            }
        }
        held
    }

    #[test]
    fn all_boxes_are_held_and_evenly_whoever_comes_or_goes() {
        for listed in [1, 7, 200, 10_000] {
            for before in [vec![listed], vec![0, 0, 0], vec![listed / 2, 0, listed / 3], vec![0]] {
                let living = before.len();
                let after = settle(listed, before.clone());
                assert_eq!(after.iter().sum::<usize>(), listed, "{before:?} of {listed}");
                assert!(after.iter().all(|held| *held <= listed.div_ceil(living)), "{after:?} of {listed}");
            }
        }
    }

    #[test]
    fn nothing_moves_when_all_is_even() {
        assert_eq!(change(10, 3, 4), Change::Take(0));
        assert_eq!(change(10, 3, 2), Change::Take(2));
        assert_eq!(change(0, 0, 0), Change::Take(0));
    }
}
