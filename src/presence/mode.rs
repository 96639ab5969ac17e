//! Whose clock drives the engine, and what follows from it at its borders: ids, dates, and visits of an earlier start.

use uuid::Uuid;

use super::SteadyClock;
use crate::{
    domain::{OpenVisit, Stamp, Timestamp, age},
    store::StoredVisit,
};

/// Whose clock drives the engine.
#[derive(Debug, Clone, Copy)]
pub enum Mode {
    /// The box's own: readings were stamped with it as they arrived, and time passes without them.
    Arrival(SteadyClock),
    /// That of the readings: recordings and simulations. Without readings it stands still.
    Payload,
}

impl Mode {
    /// From which the ids of visits are derived, made of a secret. The box's own time may be one that it was before (without
    /// a battery clock each boot begins in 1970), so that each start has names of its own; a recording has the same ones
    /// each time it is played.
    #[must_use]
    pub fn visit_namespace(&self, secret: Uuid) -> Uuid {
        match self {
            Self::Arrival(SteadyClock { start }) => {
                Uuid::new_v5(&secret, format!("{}\n{}", start.boot.0, start.mono_ns).as_bytes())
            }
            Self::Payload => secret,
        }
    }

    /// The date of a moment of the engine's time, by the wall clock as it is `now`.
    #[must_use]
    pub fn date(&self, moment: Timestamp, now: Stamp) -> Timestamp {
        match self {
            Self::Arrival(steady) => steady.date(moment, now),
            Self::Payload => moment,
        }
    }

    /// A visit that was open when the box stopped, in the time of this start. `now` is of the proven clock.
    #[must_use]
    pub fn resume(&self, stored: StoredVisit, now: Stamp) -> OpenVisit {
        let StoredVisit { open, heard, word } = stored;
        match (self, heard) {
            (Self::Arrival(steady), Some(heard)) => steady.resume(open, age(&heard, word.as_ref(), &now), now),
            _ => open,
        }
    }
}
