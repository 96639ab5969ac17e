//! Watches over one connection: is what we send acknowledged, and is what we asked for still delivered?
//!
//! A broker may answer pings for ever and do nothing else: it lost our subscriptions in a restart of its own, it is
//! overloaded, or the client library is stuck. After a while without any delivery it is asked for the subscriptions again,
//! which repairs the first; what is not answered in time ends the connection. The clock is an argument.

use std::time::Duration;

use super::flight::Flight;

/// What to do about a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Fine,
    /// Subscribe again.
    AskAgain,
    /// Leave it, for this cause.
    Leave(&'static str),
}

/// The state of the watch.
#[derive(Debug)]
pub(super) struct Vigil<T> {
    /// What is under way to the broker.
    pub(super) flight: Flight<T>,
    patience: Duration,
    heard: Duration,
    asked: Option<Duration>,
}

impl<T> Vigil<T> {
    /// Begins now.
    pub(super) fn new(patience: Duration, now: Duration) -> Self {
        Self { flight: Flight::new(patience), patience, heard: now, asked: None }
    }

    /// Something was delivered.
    pub(super) fn heard(&mut self, now: Duration) {
        self.heard = now;
    }

    /// The subscriptions were confirmed.
    pub(super) fn confirmed(&mut self, now: Duration) {
        (self.heard, self.asked) = (now, None);
    }

    /// To be asked now and then; after [`Verdict::AskAgain`] the subscriptions count as asked for.
    pub(super) fn verdict(&mut self, now: Duration) -> Verdict {
        let late = |since: Duration| now.saturating_sub(since) > self.patience;
        if self.flight.is_stalled(now) {
            return Verdict::Leave("the broker is connected, but does not acknowledge what it is sent");
        }
        match self.asked {
            Some(asked) if late(asked) => Verdict::Leave("the broker is connected, but does not answer a subscription"),
            // Else the library might give the subscription the packet id of a letter under way.
            None if late(self.heard) && self.flight.is_clear() => {
                self.asked = Some(now);
                Verdict::AskAgain
            }
            _ => Verdict::Fine,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uplink::flight::Sent;

    #[test]
    fn after_a_long_silence_subscriptions_are_asked_for_again_and_then_the_broker_is_left() {
        let second = Duration::from_secs;
        let mut vigil: Vigil<()> = Vigil::new(second(120), second(10));
        assert_eq!(vigil.verdict(second(130)), Verdict::Fine);
        vigil.heard(second(100));
        assert_eq!(vigil.verdict(second(220)), Verdict::Fine);
        vigil.flight.handed(Sent { at: second(220), bytes: 1, bulk: false, cargo: () });
        assert_eq!(vigil.verdict(second(221)), Verdict::Fine, "not while something is under way");
        vigil.flight.departed(1);
        vigil.flight.acknowledged(1, second(222));
        assert_eq!(vigil.verdict(second(222)), Verdict::AskAgain);
        assert_eq!(vigil.verdict(second(342)), Verdict::Fine, "once");
        vigil.confirmed(second(342));
        assert_eq!((vigil.verdict(second(462)), vigil.verdict(second(463))), (Verdict::Fine, Verdict::AskAgain));
        assert!(matches!(vigil.verdict(second(584)), Verdict::Leave(cause) if cause.contains("subscription")));
    }

    #[test]
    fn letters_that_are_not_acknowledged_end_it() {
        let second = Duration::from_secs;
        let mut vigil: Vigil<()> = Vigil::new(second(120), second(0));
        vigil.flight.handed(Sent { at: second(1), bytes: 1, bulk: false, cargo: () });
        vigil.heard(second(121));
        assert_eq!(vigil.verdict(second(121)), Verdict::Fine);
        assert!(matches!(vigil.verdict(second(122)), Verdict::Leave(cause) if cause.contains("acknowledge")));
    }
}
