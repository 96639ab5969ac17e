//! One lane of one box: what to ask next, when to ask again, what to acknowledge. No sockets, no
//! database; the clock is an argument.
//!
//! Invariants: one question is open at a time; nothing is acknowledged that was not committed (only [`Flow::committed`]
//! moves the cursor, and only cursors are acknowledged); an answer that comes late is as good as one in time, because it
//! says itself which question it answers.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    error::CollectError,
    verify::{Broken, Header, Refusal},
};
use crate::domain::{Epoch, Lane, SiteId};

/// Lines asked for at once.
const MAX_EVENTS: u32 = 2_000;
/// Bytes asked for at once.
const MAX_BYTES: u32 = 512 * 1024;
/// How long the box may hold an answer while it has nothing to tell.
const WAIT: Duration = Duration::from_secs(30);
/// How long an answer may take on its way.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Before asking again after something that may pass.
const PAUSE: Duration = Duration::from_secs(1);
/// Before asking again after something that somebody has to repair.
const LONG_PAUSE: Duration = Duration::from_mins(1);
/// So many failures in a row are not passing.
const PATIENCE: u32 = 4;

/// How far the database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cursor {
    /// In which database of the box; `None` at the very start.
    pub(super) epoch: Option<Epoch>,
    /// The last number that is stored.
    pub(super) after: u64,
}

/// What to send to the box.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outgoing {
    /// On the topic of pulls.
    Pull(Value),
    /// On the topic of acknowledgements.
    Ack(Value),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    id: String,
    until: Duration,
}

/// The state of one lane of one box.
#[derive(Debug)]
pub(super) struct Flow {
    /// Which box.
    pub(super) site: SiteId,
    /// Which lane.
    pub(super) lane: Lane,
    once: bool,
    cursor: Cursor,
    acked: Option<u64>,
    head: Option<u64>,
    asked: Option<Asked>,
    acking: Option<(Duration, u64)>,
    not_before: Duration,
    failures: u32,
}

impl Flow {
    /// Goes on at `cursor`; with `once`, failures that do not pass are errors and not only told.
    #[must_use]
    pub(super) fn new(site: SiteId, lane: Lane, cursor: Cursor, once: bool) -> Self {
        Self {
            site,
            lane,
            once,
            cursor,
            acked: None,
            head: None,
            asked: None,
            acking: None,
            not_before: Duration::ZERO,
            failures: 0,
        }
    }

    /// What to send now. `fresh` makes ids.
    ///
    /// # Errors
    /// When the box has not answered too often.
    pub(super) fn due(&mut self, now: Duration, fresh: impl FnOnce() -> String) -> Result<Vec<Outgoing>, CollectError> {
        let mut outgoing = Vec::new();
        if self.asked.as_ref().is_some_and(|asked| asked.until <= now) {
            self.asked = None;
            let silent = CollectError::NoAnswer { site: self.site.to_string(), lane: self.lane.as_str() };
            self.fail(now, Duration::ZERO, silent)?;
        }
        if self.acking.is_some_and(|(until, _)| until <= now) {
            self.acking = None;
        }
        if now < self.not_before {
            return Ok(outgoing);
        }
        if let Some(epoch) = self.unacknowledged() {
            self.acking = Some((now + ANSWER_WITHIN, self.cursor.after));
            outgoing.push(Outgoing::Ack(json!({"lane": self.lane, "epoch": epoch, "upto": self.cursor.after})));
        }
        if self.asked.is_none() && !(self.once && self.is_at_head()) {
            let wait = if self.once { Duration::ZERO } else { WAIT };
            let id = fresh();
            self.asked = Some(Asked { id: id.clone(), until: now + wait + ANSWER_WITHIN });
            outgoing.push(Outgoing::Pull(json!({"id": id, "lane": self.lane, "epoch": self.cursor.epoch,
                "after": self.cursor.after, "max_events": MAX_EVENTS, "max_bytes": MAX_BYTES, "accept": ["zstd"],
                "wait_ms": u64::try_from(wait.as_millis()).unwrap_or(0)})));
        }
        Ok(outgoing)
    }

    /// Whether a batch goes on where the database ends.
    #[must_use]
    pub(super) fn wants(&self, header: &Header) -> bool {
        let known = self.cursor.epoch.is_none_or(|epoch| epoch == header.epoch);
        self.lane == header.lane && self.site == header.site && self.cursor.after == header.after && known
    }

    /// A batch that was wanted is on disk.
    pub(super) fn committed(&mut self, header: &Header) {
        self.cursor = Cursor { epoch: Some(header.epoch), after: header.upto };
        (self.head, self.asked, self.failures) = (Some(header.head), None, 0);
    }

    /// The box says how far it knows us to be. Less than was acknowledged is no answer: that is said again later.
    pub(super) fn acknowledged(&mut self, epoch: Epoch, upto: u64) {
        let answered = self.acking.is_some_and(|(_, said)| upto >= said);
        if self.cursor.epoch == Some(epoch) && answered {
            (self.acked, self.acking) = (self.acked.max(Some(upto)), None);
        }
    }

    /// The open question, or an acknowledgement (`id` is `None`), was refused. Returns the epoch to begin anew with.
    ///
    /// # Errors
    /// When that does not pass by itself and the collector is to end.
    pub(super) fn refused(
        &mut self,
        id: Option<&str>,
        refusal: Refusal,
        now: Duration,
    ) -> Result<Option<Epoch>, CollectError> {
        let mine = id.is_none_or(|id| self.asked.as_ref().is_some_and(|asked| asked.id == id));
        if !mine {
            return Ok(None);
        }
        if let ("epoch_changed", Some(epoch)) = (refusal.code.as_str(), refusal.epoch) {
            return Ok((self.cursor.epoch != Some(epoch)).then_some(epoch));
        }
        (self.asked, self.acking) = (None, None);
        let passing = matches!(refusal.code.as_str(), "superseded" | "too_many_requests" | "unreadable" | "not_stored");
        let Refusal { code, message, .. } = refusal;
        let error = CollectError::Refused { site: self.site.to_string(), lane: self.lane.as_str(), code, message };
        if !passing && self.once {
            return Err(error);
        }
        self.fail(now, if passing { PAUSE } else { LONG_PAUSE }, error).map(|()| None)
    }

    /// The box has another database now, and ours knows it: begin there from 0.
    pub(super) fn began_epoch(&mut self, epoch: Epoch) {
        self.cursor = Cursor { epoch: Some(epoch), after: 0 };
        (self.acked, self.head, self.asked, self.acking) = (None, None, None, None);
    }

    /// An answer that was wanted is not as it should be.
    ///
    /// # Errors
    /// When that is so again and again and the collector is to end.
    pub(super) fn broken(&mut self, source: Broken, now: Duration) -> Result<(), CollectError> {
        self.asked = None;
        let error = CollectError::Broken { site: self.site.to_string(), lane: self.lane.as_str(), source };
        self.fail(now, PAUSE, error)
    }

    /// The connection is a new one: answers to old questions may never come.
    pub(super) fn reconnected(&mut self) {
        (self.asked, self.acking) = (None, None);
    }

    /// Whether everything that the box had is stored and acknowledged.
    #[must_use]
    pub(super) fn is_done(&self) -> bool {
        self.is_at_head() && self.unacknowledged().is_none() && self.acking.is_none()
    }

    /// When [`Self::due`] may have something next.
    #[must_use]
    pub(super) fn next_deadline(&self) -> Duration {
        let waiting = [self.asked.as_ref().map(|asked| asked.until), self.acking.map(|(until, _)| until)];
        waiting.into_iter().flatten().min().map_or(self.not_before, |until| until.max(self.not_before))
    }

    fn is_at_head(&self) -> bool {
        self.head.is_some_and(|head| self.cursor.after >= head)
    }

    fn unacknowledged(&self) -> Option<Epoch> {
        let behind = self.cursor.after > self.acked.unwrap_or(0) && self.acking.is_none();
        self.cursor.epoch.filter(|_| behind)
    }

    fn fail(&mut self, now: Duration, pause: Duration, error: CollectError) -> Result<(), CollectError> {
        self.failures += 1;
        let lasting = self.failures >= PATIENCE;
        if lasting && self.once {
            return Err(error);
        }
        let pause = if lasting { LONG_PAUSE } else { pause };
        tracing::warn!(site = %self.site, lane = self.lane.as_str(), ?pause, "{error}");
        self.not_before = now + pause;
        Ok(())
    }
}

#[cfg(test)]
#[path = "flow_tests.rs"]
mod tests;
