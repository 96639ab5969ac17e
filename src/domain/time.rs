//! Time as the rest of the code sees it: microseconds since 1970 and the monotonic clock of one boot.
//!
//! Nobody reads the real clock but the implementations of [`Clock`] in `telemetry` and tests; everything else is
//! told what time it is.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A moment, microseconds since 1970-01-01T00:00:00Z. Written as RFC 3339 UTC with six decimals.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Timestamp(i64);

/// A text that is no RFC 3339 time, or a number of seconds outside the years 1 to 9999.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no RFC 3339 time")]
pub struct TimestampError(String);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self(0);
    /// 9999-12-31T00:00:00Z: what is later is no time of ours.
    const MAX_MICROS: i64 = 253_402_214_400_000_000;
    const MIN_MICROS: i64 = -62_135_596_800_000_000;

    /// From microseconds since 1970, clamped to the years 1 to 9999.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        if micros > Self::MAX_MICROS {
            Self(Self::MAX_MICROS)
        } else if micros < Self::MIN_MICROS {
            Self(Self::MIN_MICROS)
        } else {
            Self(micros)
        }
    }

    /// From Unix seconds as recordings write them; `None` when not finite or outside the years 1 to 9999.
    #[must_use]
    pub fn from_unix_seconds(seconds: f64) -> Option<Self> {
        let micros = (seconds * 1e6).round();
        let known = micros.is_finite() && micros >= Self::MIN_MICROS as f64 && micros <= Self::MAX_MICROS as f64;
        known.then_some(Self(micros as i64))
    }

    /// Microseconds since 1970.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Unix seconds as recordings write them.
    #[must_use]
    pub fn unix_seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The last whole second at or before this moment, in Unix seconds.
    #[must_use]
    pub const fn whole_second(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// How long after `earlier` this is; zero when it is before.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This moment moved by `micros`.
    #[must_use]
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self::from_micros(self.0.saturating_add(micros))
    }

    /// Reads RFC 3339 with any offset and any number of decimals.
    ///
    /// # Errors
    /// When `text` is no such time.
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        let parsed: Result<jiff::Timestamp, _> = text.parse();
        parsed.map(|t| Self(t.as_microsecond())).map_err(|_| TimestampError(text.chars().take(80).collect()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(t) => write!(f, "{t:.6}"),
            Err(_) => f.write_str("1970-01-01T00:00:00.000000Z"),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Timestamp {
    type Error = TimestampError;
    fn try_from(text: String) -> Result<Self, TimestampError> {
        Self::parse(&text)
    }
}

impl From<Timestamp> for String {
    fn from(t: Timestamp) -> Self {
        t.to_string()
    }
}

/// One boot of the box: what its monotonic times belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(pub Uuid);

/// Whether the wall clock may be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockQuality {
    /// The kernel says that it is disciplined by NTP or the like.
    Synced,
    /// It may be anything, 1970 included.
    Unsynced,
}

/// What the clock said at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Wall time.
    pub wall: Timestamp,
    /// `CLOCK_BOOTTIME`, nanoseconds since the boot.
    pub mono_ns: i64,
    /// The boot that `mono_ns` counts from.
    pub boot: BootId,
    /// Whether `wall` may be believed.
    pub quality: ClockQuality,
}

/// Where time comes from.
pub trait Clock: Send + Sync {
    /// What time it is.
    fn now(&self) -> Stamp;

    /// The same for whoever decides that something is over (an expiry, a retention, an `until`): `synced` only when the
    /// wall clock did not come by a leap that still has to prove itself. Differs from [`now`](Self::now) in nothing else.
    fn proven(&self) -> Stamp {
        self.now()
    }

    /// What is before this is not believed; kept over restarts. `None` for a clock without a floor.
    fn floor(&self) -> Option<Timestamp> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_six_decimals_and_read_back() {
        let t = Timestamp::from_unix_seconds(1_581_252_411.243_8).expect("in range");
        assert_eq!(t.to_string(), "2020-02-09T12:46:51.243800Z");
        assert_eq!(Timestamp::parse("2020-02-09T14:46:51.2438+02:00"), Ok(t));
        assert!(Timestamp::parse("yesterday").is_err());
    }

    #[test]
    fn seconds_that_are_no_time_are_refused() {
        for bad in [f64::NAN, f64::INFINITY, 1e18, -1e18] {
            assert_eq!(Timestamp::from_unix_seconds(bad), None, "{bad}");
        }
        assert_eq!(Timestamp::from_unix_seconds(-0.5).map(Timestamp::whole_second), Some(-1));
    }
}
