//! How long to wait before the next attempt: 1 s, doubling to 60 s. Pure.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const MAX: Duration = Duration::from_mins(1);

/// The waits of one connection.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    last: Option<Duration>,
}

impl Backoff {
    /// How long to wait after an attempt whose connection lasted `connected`. One that lasted longer than the last wait
    /// starts anew at 1 s; a broker that accepts and hangs up at once does not.
    pub(super) fn after(&mut self, connected: Duration) -> Duration {
        let next = match self.last {
            Some(last) if connected <= last => (last * 2).min(MAX),
            _ => FIRST,
        };
        self.last = Some(next);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_minute_and_start_anew_after_a_good_connection() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..8).map(|_| backoff.after(Duration::ZERO).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(backoff.after(Duration::from_secs(59)).as_secs(), 60);
        assert_eq!(backoff.after(Duration::from_secs(61)).as_secs(), 1);
        assert_eq!(backoff.after(Duration::from_millis(900)).as_secs(), 2);
    }
}
