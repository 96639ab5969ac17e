//! Ids of events: UUID version 7 of the wall time, each greater than the one before, also when the clock goes back.

use uuid::{Builder, Uuid};

use crate::domain::{EventId, Timestamp};

/// The low bits that only count: what is above is time, version and variant.
const COUNTING: u128 = (1 << 62) - 1;

/// Makes ids that rise.
pub(super) struct EventIds {
    last: u128,
}

impl EventIds {
    /// Goes on after `last`.
    pub(super) fn after(last: Option<Uuid>) -> Self {
        Self { last: last.map_or(0, |id| id.as_u128()) }
    }

    /// The next id: of `wall`, or the one after the last when that would not rise.
    pub(super) fn next(&mut self, wall: Timestamp, random: [u8; 10]) -> EventId {
        let millis = u64::try_from(wall.micros() / 1_000).unwrap_or(0);
        let of = |millis| Builder::from_unix_timestamp_millis(millis, &random).into_uuid().as_u128();
        let mut id = of(millis);
        if id <= self.last {
            let counts_on = self.last & COUNTING < COUNTING;
            id = if counts_on { self.last + 1 } else { of((self.last >> 80) as u64 + 1) };
        }
        self.last = id;
        EventId(Uuid::from_u128(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_though_the_clock_goes_back() {
        let mut ids = EventIds::after(None);
        let times = [1_700_000_000_000_000, 1_700_000_000_000_000, 0, -5, 1_700_000_000_001_000];
        let made: Vec<Uuid> = times.map(|t| ids.next(Timestamp::from_micros(t), [0xff; 10]).0).into();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]), "{made:?}");
        assert!(made.iter().all(|id| id.get_version_num() == 7 && id.get_variant() == uuid::Variant::RFC4122));
        let (secs, _) = made[0].get_timestamp().expect("has a time").to_unix();
        assert_eq!(secs, 1_700_000_000);
    }

    #[test]
    fn ids_go_on_after_a_restart() {
        let before = EventIds::after(None).next(Timestamp::from_micros(9_000_000), [7; 10]).0;
        let after = EventIds::after(Some(before)).next(Timestamp::UNIX_EPOCH, [0; 10]).0;
        assert!(after > before);
    }
}
