//! Which clock dates a reading. Pure.

use crate::domain::Timestamp;

/// 2000-01-01 and 2100-01-01: what a sender claims outside of them is a clock that was never set, or broken.
const EARLIEST: f64 = 946_684_800.0;
const LATEST: f64 = 4_102_444_800.0;

/// Whose clock is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stamping {
    /// Ours, when the message arrives: receivers have no clock worth the name.
    #[default]
    Arrival,
    /// The sender's `t`: only for recordings that are played through a broker.
    Payload,
}

/// A message whose time cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub(super) enum TimeError {
    #[error("no time in a message of a recording")]
    Missing,
    #[error("time of {0} is not between the years 2000 and 2100")]
    Absurd(f64),
}

impl Stamping {
    /// When a message was sent: `arrived` by our clock, `at` by its own word (Unix seconds).
    pub(super) fn sent(self, arrived: Timestamp, at: Option<f64>) -> Result<Timestamp, TimeError> {
        match (self, at) {
            (Self::Arrival, _) => Ok(arrived),
            (Self::Payload, None) => Err(TimeError::Missing),
            (Self::Payload, Some(t)) => {
                let known = Some(t).filter(|t| (EARLIEST..LATEST).contains(t));
                known.and_then(Timestamp::from_unix_seconds).ok_or(TimeError::Absurd(t))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_recordings_are_believed_and_only_between_2000_and_2100() {
        let now = Timestamp::from_micros(1_700_000_000_000_000);
        assert_eq!(Stamping::Arrival.sent(now, Some(5.0)), Ok(now));
        assert_eq!(Stamping::Arrival.sent(now, None), Ok(now));
        let sent = Stamping::Payload.sent(now, Some(1_581_252_411.243_8));
        assert_eq!(sent, Ok(Timestamp::from_micros(1_581_252_411_243_800)));
        assert_eq!(Stamping::Payload.sent(now, None), Err(TimeError::Missing));
        for absurd in [0.0, -1.0, 946_684_799.9, 4_102_444_800.0, 1e300, f64::INFINITY, f64::NAN] {
            assert!(matches!(Stamping::Payload.sent(now, Some(absurd)), Err(TimeError::Absurd(_))), "{absurd}");
        }
    }
}
