//! Notices a connection that is up and gets nowhere: the broker answers pings, but acknowledges nothing we send.
//!
//! Seen in the wild with the client library (its reconnect livelocks) and with overloaded brokers. The clock is an
//! argument.

use std::time::Duration;

/// So long may the oldest message wait for any acknowledgement: a megabyte over a bad mobile line takes over a minute.
const PATIENCE: Duration = Duration::from_mins(2);

/// What was handed over and not acknowledged yet.
#[derive(Debug, Default)]
pub(super) struct Progress {
    outstanding: u64,
    since: Duration,
}

impl Progress {
    /// Something that the broker has to acknowledge was handed over.
    pub(super) fn sent(&mut self, now: Duration) {
        if self.outstanding == 0 {
            self.since = now;
        }
        self.outstanding += 1;
    }

    /// The broker acknowledged something.
    pub(super) fn acknowledged(&mut self, now: Duration) {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.since = now;
    }

    /// Whether everything is acknowledged.
    #[must_use]
    pub(super) fn is_clear(&self) -> bool {
        self.outstanding == 0
    }

    /// Whether the connection should be given up.
    #[must_use]
    pub(super) fn is_stalled(&self, now: Duration) -> bool {
        self.outstanding > 0 && now.saturating_sub(self.since) > PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_waiting_without_any_acknowledgement_is_a_stall() {
        let second = Duration::from_secs;
        let mut progress = Progress::default();
        assert!(!progress.is_stalled(second(1_000)));
        progress.sent(second(1_000));
        progress.sent(second(1_100));
        assert!(!progress.is_stalled(second(1_120)));
        assert!(progress.is_stalled(second(1_121)));
        progress.acknowledged(second(1_121));
        assert!(!progress.is_stalled(second(1_241)) && !progress.is_clear());
        assert!(progress.is_stalled(second(1_242)));
        progress.acknowledged(second(1_242));
        assert!(progress.is_clear() && !progress.is_stalled(second(9_999)));
    }
}
