//! How many messages a token may send. Pure: `now` is an argument. Kept by token and not by connection, so that nobody
//! begins anew by connecting again.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

const WINDOW: Duration = Duration::from_mins(1);
/// Tokens are issued by hand; more than these do not exist.
const MAX_TOKENS: usize = 4_096;

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is taken.
    Taken,
    /// It is one too many: refused, as is what follows.
    Blocked,
    /// It comes while the token is refused.
    Refused,
}

#[derive(Debug)]
struct Count {
    since: Instant,
    messages: u32,
    blocked_until: Option<Instant>,
}

/// The counts of all tokens.
#[derive(Debug)]
pub(super) struct Limits {
    per_minute: u32,
    blocked: Duration,
    counts: HashMap<String, Count>,
}

impl Limits {
    pub(super) fn new(per_minute: u32, blocked: Duration) -> Self {
        Self { per_minute, blocked, counts: HashMap::new() }
    }

    /// Counts a message of `token`.
    pub(super) fn take(&mut self, token: &str, now: Instant) -> Verdict {
        if self.counts.len() >= MAX_TOKENS {
            self.counts.retain(|_, count| count.blocked_until.is_some_and(|until| until > now));
        }
        let fresh = Count { since: now, messages: 0, blocked_until: None };
        let count = self.counts.entry(token.to_owned()).or_insert(fresh);
        match count.blocked_until {
            Some(until) if now < until => return Verdict::Refused,
            Some(_) => *count = Count { since: now, messages: 0, blocked_until: None },
            None if now.duration_since(count.since) >= WINDOW => {
                (count.since, count.messages) = (now, 0);
            }
            None => {}
        }
        count.messages += 1;
        if count.messages <= self.per_minute {
            return Verdict::Taken;
        }
        count.blocked_until = Some(now + self.blocked);
        Verdict::Blocked
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_too_many_blocks_for_a_while_and_other_tokens_go_on() {
        let mut limits = Limits::new(3, Duration::from_mins(5));
        let begin = Instant::now();
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        for (token, second, verdict) in [
            ("a", 0, Verdict::Taken),
            ("a", 1, Verdict::Taken),
            ("a", 59, Verdict::Taken),
            ("a", 60, Verdict::Taken),
            ("a", 61, Verdict::Taken),
            ("a", 62, Verdict::Taken),
            ("a", 63, Verdict::Blocked),
            ("b", 63, Verdict::Taken),
            ("a", 362, Verdict::Refused),
            ("a", 363, Verdict::Taken),
        ] {
            assert_eq!(limits.take(token, at(second)), verdict, "{token} at {second} s");
        }
    }

    proptest! {
        #[test]
        fn never_more_than_twice_the_limit_in_any_minute(gaps in prop::collection::vec(0_u64..30_000, 1..400)) {
            let mut limits = Limits::new(10, Duration::from_mins(5));
            let (mut now, mut taken) = (Instant::now(), Vec::new());
            for gap in gaps {
                now += Duration::from_millis(gap);
                if limits.take("a", now) == Verdict::Taken {
                    taken.push(now);
                }
            }
            for (n, first) in taken.iter().enumerate() {
                let within = taken[n..].iter().take_while(|at| at.duration_since(*first) < WINDOW).count();
                prop_assert!(within <= 20, "{within}");
            }
        }
    }
}
