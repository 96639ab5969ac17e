//! In which zone a tag is, without flapping: a zone is left for another when that has been believed more, for long enough.
//!
//! The logarithms of how much more add up from second to second, as in a sequential test. A tag that moves needs next to
//! nothing, so that a change is seen at once; one that stands needs much, for then a change of the belief is a change of the
//! air, and a wrong entry in the log costs more than a late one.

use super::floor::NOWHERE;

/// What must have added up while the tag moves, and while it stands.
const NEEDED_MOVING: f32 = 0.05;
const NEEDED_STANDING: f32 = 3.05;
/// Seconds after which the full need applies: at first nothing is known that would be worth holding on to.
const SETTLED_S: u8 = 10;
/// What a second in which the zone itself is believed most takes away.
const RETURNS: f32 = 1.0;
/// Belief that every zone has at least: what is out of the question counts no more than that.
const LEAST: f32 = 1e-3;

/// The zone of one tag.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Zoning {
    zone: Option<u16>,
    challenger: u16,
    /// What has added up for the challenger.
    sum: f32,
    /// Seconds since the beginning, up to [`SETTLED_S`].
    age: u8,
}

impl Zoning {
    /// Takes in one second's belief by zone and says which zone it is; `moving` is the probability that the tag moves.
    pub(super) fn settle(&mut self, mass: &[f32], moving: f32) -> u16 {
        let most = |best: (u16, f32), (&mass, zone): (&f32, u16)| if mass > best.1 { (zone, mass) } else { best };
        let (best, most) = mass.iter().zip(0u16..).fold((NOWHERE, -1.0_f32), most);
        let zone = *self.zone.get_or_insert(best);
        let settled = f32::from(self.age) / f32::from(SETTLED_S);
        self.age = (self.age + 1).min(SETTLED_S);
        if best == zone {
            self.sum = (self.sum - RETURNS).max(0.0);
            return zone;
        }
        if best != self.challenger {
            self.sum *= 0.5;
            self.challenger = best;
        }
        let held = mass.get(usize::from(zone)).copied().unwrap_or(0.0);
        self.sum += super::approx::ln((most + LEAST) / (held + LEAST));
        if self.sum < NEEDED_MOVING + (1.0 - moving) * settled * (NEEDED_STANDING - NEEDED_MOVING) {
            return zone;
        }
        (self.zone, self.sum) = (Some(best), 0.0);
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(mass: &[f32]) -> Zoning {
        let mut zoning = Zoning::default();
        for _ in 0..SETTLED_S {
            zoning.settle(mass, 0.0);
        }
        zoning
    }

    #[test]
    fn who_moves_is_followed_at_once_and_who_stands_only_when_it_is_clear() {
        let mut zoning = settled(&[0.0, 0.6, 0.4]);
        assert_eq!(zoning.settle(&[0.0, 0.45, 0.55], 1.0), 2);
        assert_eq!(zoning.settle(&[0.0, 0.55, 0.45], 0.0), 2, "standing, and hardly more");
        assert_eq!(zoning.settle(&[0.0, 0.45, 0.55], 0.0), 2);
        let told: Vec<_> = (0..4).map(|_| zoning.settle(&[0.0, 0.75, 0.25], 0.0)).collect();
        assert_eq!(told, [2, 2, 1, 1], "three times as much, three times");
        assert_eq!(zoning.settle(&[0.0, 0.0, 1.0], 0.0), 2, "beyond doubt");
    }

    #[test]
    fn a_first_guess_is_soon_given_up() {
        let mut zoning = Zoning::default();
        assert_eq!(zoning.settle(&[0.0, 0.6, 0.4], 0.5), 1);
        assert_eq!(zoning.settle(&[0.0, 0.4, 0.6], 0.5), 2);
    }

    #[test]
    fn challengers_that_take_turns_do_not_add_up() {
        let mut zoning = settled(&[0.0, 1.0, 0.0, 0.0]);
        for _ in 0..50 {
            assert_eq!(zoning.settle(&[0.0, 0.25, 0.4, 0.35], 0.0), 1);
            assert_eq!(zoning.settle(&[0.0, 0.4, 0.25, 0.35], 0.0), 1);
        }
    }
}
