//! In which zone a tag is, without flapping: it stays where it is unless another zone has clearly more of the belief, for
//! two seconds or beyond doubt.

use super::floor::NOWHERE;

/// A challenger needs this much more belief than the zone it wants to replace …
const CLEARLY: f32 = 1.5;
/// … for so many seconds in a row …
const SECONDS: u8 = 2;
/// … or more than this share of all at once.
const BEYOND_DOUBT: f32 = 0.6;

/// The zone of one tag.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Zoning {
    zone: Option<u16>,
    challenger: u16,
    seconds: u8,
}

impl Zoning {
    /// Takes in one second's belief by zone and says which zone it is.
    pub(super) fn settle(&mut self, mass: &[f32]) -> u16 {
        let (best, most) =
            mass.iter().zip(0u16..).fold(
                (NOWHERE, -1.0_f32),
                |(best, most), (&mass, zone)| {
                    if mass > most { (zone, mass) } else { (best, most) }
                },
            );
        let Some(zone) = self.zone else {
            self.zone = Some(best);
            return best;
        };
        let held = mass.get(usize::from(zone)).copied().unwrap_or(0.0);
        if best == zone || most <= CLEARLY * held {
            self.seconds = 0;
            return zone;
        }
        self.seconds = if best == self.challenger { self.seconds.saturating_add(1) } else { 1 };
        self.challenger = best;
        if self.seconds < SECONDS && most <= BEYOND_DOUBT {
            return zone;
        }
        self.zone = Some(best);
        self.seconds = 0;
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenger_must_be_clear_twice_or_beyond_doubt() {
        let mut zoning = Zoning::default();
        assert_eq!(zoning.settle(&[0.0, 0.6, 0.4]), 1);
        assert_eq!(zoning.settle(&[0.0, 0.45, 0.55]), 1, "not clearly more");
        assert_eq!(zoning.settle(&[0.1, 0.35, 0.55]), 1, "clearly, but once");
        assert_eq!(zoning.settle(&[0.1, 0.35, 0.55]), 2);
        assert_eq!(zoning.settle(&[0.0, 0.7, 0.3]), 1, "beyond doubt");
        assert_eq!(zoning.settle(&[0.5, 0.2, 0.3]), 1);
        assert_eq!(zoning.settle(&[0.2, 0.3, 0.5]), 1, "another challenger begins anew");
    }
}
