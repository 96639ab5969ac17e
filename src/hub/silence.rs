//! Which kiosks have a session that nobody touches. Pure: `now` is an argument.
//!
//! A kiosk's page ends its sessions itself; this is for a kiosk that is switched off, or whose page hangs.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::domain::{EventBody, KioskId, SessionId};

/// Sessions that are open, and when somebody last touched them.
#[derive(Debug)]
pub(super) struct Silence {
    patience: Duration,
    open: HashMap<KioskId, (SessionId, Instant)>,
}

impl Silence {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, open: HashMap::new() }
    }

    /// A session is open: it began, or was open when the box started.
    pub(super) fn begin(&mut self, kiosk: KioskId, session: SessionId, now: Instant) {
        self.open.insert(kiosk, (session, now));
    }

    /// Something happened.
    pub(super) fn follow(&mut self, body: &EventBody, now: Instant) {
        let touched = match body {
            EventBody::KioskStarted(started) => {
                self.begin(started.kiosk.clone(), started.session, now);
                return;
            }
            EventBody::KioskEnded(ended) => {
                self.open.remove(&ended.kiosk);
                return;
            }
            EventBody::KioskViewed(viewed) => Some(&viewed.kiosk),
            EventBody::KioskCalled(called) => Some(&called.kiosk),
            EventBody::CustomerInterested(interested) => interested.kiosk.as_ref(),
            EventBody::TestDriveScheduled(drive) => drive.kiosk.as_ref(),
            _ => None,
        };
        if let Some((_, last)) = touched.and_then(|kiosk| self.open.get_mut(kiosk)) {
            *last = now;
        }
    }

    /// Sessions that nobody touched for too long. Said again at the next look, until they end.
    pub(super) fn overdue(&self, now: Instant) -> Vec<(KioskId, SessionId)> {
        let late = self.open.iter().filter(|(_, (_, last))| now.duration_since(*last) >= self.patience);
        late.map(|(kiosk, (session, _))| (kiosk.clone(), *session)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{KioskCalled, KioskEnded, SessionEnd};

    #[test]
    fn a_touch_counts_and_an_end_is_an_end() {
        let mut silence = Silence::new(Duration::from_mins(1));
        let (kiosk, session): (KioskId, _) = ("K1".parse().expect("id"), SessionId(uuid::Uuid::nil()));
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        silence.begin(kiosk.clone(), session, at(0));
        let call = EventBody::KioskCalled(KioskCalled { kiosk: kiosk.clone(), session });
        silence.follow(&call, at(50));
        assert_eq!(silence.overdue(at(109)), []);
        assert_eq!(silence.overdue(at(110)), [(kiosk.clone(), session)]);
        silence.follow(&EventBody::KioskEnded(KioskEnded { kiosk, session, reason: SessionEnd::Silence }), at(111));
        assert_eq!(silence.overdue(at(999)), []);
    }
}
