//! What the operator says about the disk, and what the store says back.

use std::time::Duration;

use crate::domain::{Lane, Timestamp};

/// How much the store may take, and how long it keeps what everybody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageOptions {
    /// Bytes that database, write-ahead log and reserve may take together.
    pub limit_bytes: u64,
    /// Bytes of the reserve file; none is made when 0.
    pub reserve_bytes: u64,
    /// How long an event stays at least, in the order of [`Lane::ALL`].
    pub keep: [Duration; 3],
    /// Newest positions of the log that stay, whatever happens: ids go on from the newest event, and who follows the log is
    /// not outrun by what makes room.
    pub tail: u64,
}

impl StorageOptions {
    /// How long an event of `lane` stays at least.
    #[must_use]
    pub const fn keep_of(&self, lane: Lane) -> Duration {
        self.keep[lane as usize]
    }
}

const DAY: Duration = Duration::from_hours(24);

impl Default for StorageOptions {
    fn default() -> Self {
        Self {
            limit_bytes: 4 << 30,
            reserve_bytes: 16 << 20,
            keep: [DAY.saturating_mul(90), DAY.saturating_mul(30), DAY.saturating_mul(7)],
            tail: 256,
        }
    }
}

/// How the disk is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct DiskState {
    /// Bytes that the store may take in all.
    pub limit: u64,
    /// Days until something that is not acknowledged would have to go, if nobody acknowledged anything from now on; `None`
    /// until a day was measured.
    pub days_left: Option<f64>,
    /// Old events go, to make room.
    pub shedding: bool,
    /// Since when the disk takes nothing.
    pub failing_since: Option<Timestamp>,
}

impl DiskState {
    /// Its name on the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match (self.failing_since, self.shedding) {
            (Some(_), _) => "not_stored",
            (None, true) => "shedding",
            (None, false) => "ok",
        }
    }
}
