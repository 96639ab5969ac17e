//! One lane of one box: what to ask next, when to ask again, what to acknowledge. No sockets, no
//! database; the clock is an argument.
//!
//! Invariants: one question is open at a time; nothing is acknowledged that was not committed (only [`Flow::committed`]
//! moves the cursor, and only cursors are acknowledged); an answer that comes late is as good as one in time, because it
//! says itself which question it answers. While a batch is being written the next is asked for, but never more than
//! [`AHEAD`] are on their way to the disk.
//!
//! Who is behind asks for much at once and needs room for it, of which there is so much for all lanes together
//! (`board.rs`); who is at the head, or does not know, asks for little and lets the box hold the question.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    error::CollectError,
    verify::{Broken, Header, Refusal},
};
use crate::domain::{Epoch, Lane, SiteId};

/// Lines and bytes asked for at once by who is behind.
const MUCH: (u32, u32) = (2_000, 512 * 1024);
/// Lines and bytes asked for at once by who is at the head, as far as it knows.
const LITTLE: (u32, u32) = (200, 64 * 1024);
/// How long the box may hold an answer while it has nothing to tell.
const WAIT: Duration = Duration::from_mins(1);
/// How long an answer may take on its way.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Before asking again after something that may pass.
const PAUSE: Duration = Duration::from_secs(1);
/// Before asking again after something that somebody has to repair.
const LONG_PAUSE: Duration = Duration::from_mins(1);
/// So many failures in a row are not passing.
const PATIENCE: u32 = 4;
/// Batches that may wait for their commit.
const AHEAD: u32 = 2;

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
    much: bool,
}

/// The state of one lane of one box.
#[derive(Debug)]
pub(super) struct Flow {
    site: SiteId,
    lane: Lane,
    once: bool,
    /// What is committed.
    cursor: Cursor,
    /// What has come: the same, or ahead of it by what is being written.
    fetched: Cursor,
    /// A batch after `fetched` is being checked; whether it is of those that take room.
    checking: Option<bool>,
    /// Batches that are being written; the room each takes.
    writing: Vec<bool>,
    acked: Option<u64>,
    head: Option<u64>,
    asked: Option<Asked>,
    /// It would ask for much, and there was no room.
    pub(super) starved: bool,
    acking: Option<(Duration, u64)>,
    not_before: Duration,
    failures: u32,
    /// Rises when what is on its way to the disk does not count any more.
    generation: u32,
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
            fetched: cursor,
            checking: None,
            writing: Vec::new(),
            acked: None,
            head: None,
            asked: None,
            starved: false,
            acking: None,
            not_before: Duration::ZERO,
            failures: 0,
            generation: 0,
        }
    }

    /// What to send now. `fresh` makes ids; `room` says whether much may be asked for.
    ///
    /// # Errors
    /// When the box has not answered too often.
    pub(super) fn due(
        &mut self,
        now: Duration,
        room: bool,
        fresh: impl FnOnce() -> String,
    ) -> Result<Vec<Outgoing>, CollectError> {
        let mut outgoing = Vec::new();
        if self.asked.as_ref().is_some_and(|asked| asked.until <= now) {
            // What it knew of the head is old: it may have gone.
            (self.asked, self.head) = (None, None);
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
        if self.may_ask() {
            let much = self.head.is_some_and(|head| self.fetched.after < head);
            self.starved = much && !room;
            if !self.starved {
                outgoing.push(self.ask(now, much, &fresh()));
            }
        }
        Ok(outgoing)
    }

    fn ask(&mut self, now: Duration, much: bool, id: &str) -> Outgoing {
        let wait = if self.once || much { Duration::ZERO } else { WAIT };
        let (max_events, max_bytes) = if much { MUCH } else { LITTLE };
        self.asked = Some(Asked { id: id.to_owned(), until: now + wait + ANSWER_WITHIN, much });
        Outgoing::Pull(json!({"id": id, "lane": self.lane, "epoch": self.fetched.epoch, "after": self.fetched.after,
            "max_events": max_events, "max_bytes": max_bytes, "accept": ["zstd"],
            "wait_ms": u64::try_from(wait.as_millis()).unwrap_or(0)}))
    }

    /// Whether a batch goes on where what has come ends.
    #[must_use]
    pub(super) fn wants(&self, header: &Header) -> bool {
        let known = self.fetched.epoch.is_none_or(|epoch| epoch == header.epoch);
        let room = self.checking.is_none() && self.writing.len() < AHEAD as usize;
        room && self.lane == header.lane && self.site == header.site && self.fetched.after == header.after && known
    }

    /// A batch that was wanted is being checked.
    pub(super) fn arrived(&mut self) {
        self.checking = Some(self.asked.take().is_some_and(|asked| asked.much));
        self.starved = false;
    }

    /// The batch that was checked is good. If there is something to write, returns the number under which
    /// [`Self::committed`] is to be told of it.
    pub(super) fn received(&mut self, header: &Header) -> Option<u32> {
        let much = self.checking.take().unwrap_or(false);
        self.fetched = Cursor { epoch: Some(header.epoch), after: header.upto };
        (self.head, self.failures) = (Some(header.head), 0);
        if header.count > 0 {
            self.writing.push(much);
        } else if self.writing.is_empty() {
            self.cursor = self.fetched;
        }
        (header.count > 0).then_some(self.generation)
    }

    /// The oldest batch that was being written is on disk.
    pub(super) fn committed(&mut self, generation: u32, epoch: Epoch, upto: u64) {
        if !self.is_current(generation) {
            return;
        }
        self.writing.drain(..1.min(self.writing.len()));
        self.cursor = Cursor { epoch: Some(epoch), after: upto };
    }

    /// Whether what was handed out under this number still counts.
    #[must_use]
    pub(super) fn is_current(&self, generation: u32) -> bool {
        self.generation == generation
    }

    /// What was on its way to the disk did not get there: goes on from where the database is.
    pub(super) fn thrown_back(&mut self, cursor: Option<Cursor>, now: Duration) {
        self.forget(cursor.unwrap_or(self.cursor));
        self.not_before = self.not_before.max(now + PAUSE);
    }

    /// There is no room to keep a batch that was checked: it is to be asked for again, a little later.
    pub(super) fn no_room(&mut self, now: Duration) {
        self.checking = None;
        self.not_before = self.not_before.max(now + PAUSE);
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
            let changed = (self.cursor.epoch != Some(epoch)).then_some(epoch);
            if changed.is_some() {
                // Nothing more is asked until the database knows it.
                (self.asked, self.acking, self.not_before) = (None, None, now + LONG_PAUSE);
            }
            return Ok(changed);
        }
        (self.asked, self.acking, self.head) = (None, None, None);
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
        self.forget(Cursor { epoch: Some(epoch), after: 0 });
        (self.acked, self.not_before) = (None, Duration::ZERO);
    }

    /// An answer that was wanted is not as it should be, or not as it was before.
    ///
    /// # Errors
    /// When that is so again and again and the collector is to end.
    pub(super) fn broken(&mut self, source: Broken, now: Duration) -> Result<(), CollectError> {
        self.forget(self.cursor);
        let pause = if matches!(source, Broken::Unfit(_)) { LONG_PAUSE } else { PAUSE };
        let error = CollectError::Broken { site: self.site.to_string(), lane: self.lane.as_str(), source };
        self.fail(now, pause, error)
    }

    /// The connection is a new one: answers to old questions may never come.
    pub(super) fn reconnected(&mut self) {
        (self.asked, self.acking, self.starved) = (None, None, false);
    }

    /// The box says that it is there, or the broker that it is not. One that is away is asked now and then only; one
    /// that came back, at once.
    pub(super) fn is_there(&mut self, there: bool, now: Duration) {
        if self.once {
            return;
        }
        if there && (self.failures > 0 || self.not_before > now) {
            (self.asked, self.acking, self.failures, self.not_before) = (None, None, 0, now);
        } else if !there {
            (self.asked, self.acking, self.head, self.starved) = (None, None, None, false);
            self.not_before = now + LONG_PAUSE;
        }
    }

    /// Whether everything that the box had is stored and acknowledged.
    #[must_use]
    pub(super) fn is_done(&self) -> bool {
        self.head.is_some_and(|head| self.cursor.after >= head)
            && self.unacknowledged().is_none()
            && self.acking.is_none()
    }

    /// When [`Self::due`] may have something next; `None` while something has to happen first.
    #[must_use]
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        let asked = self.asked.as_ref().map(|asked| asked.until);
        let acking = self.acking.map(|(until, _)| until);
        let now = (self.unacknowledged().is_some() || (self.may_ask() && !self.starved)).then_some(self.not_before);
        [asked, acking, now].into_iter().flatten().min()
    }

    /// Questions and batches that take room.
    #[must_use]
    pub(super) fn room_taken(&self) -> usize {
        let asked = usize::from(self.asked.as_ref().is_some_and(|asked| asked.much));
        asked + usize::from(self.checking == Some(true)) + self.writing.iter().filter(|much| **much).count()
    }

    /// Events that the box is known to have and the database has not.
    #[must_use]
    pub(super) fn behind(&self) -> u64 {
        self.head.map_or(0, |head| head.saturating_sub(self.cursor.after))
    }

    /// Whether it has failed lately.
    #[must_use]
    pub(super) fn is_failing(&self) -> bool {
        self.failures > 0
    }

    fn may_ask(&self) -> bool {
        let at_head = self.head.is_some_and(|head| self.fetched.after >= head);
        let free = self.asked.is_none() && self.checking.is_none() && self.writing.len() < AHEAD as usize;
        free && !(self.once && at_head)
    }

    fn unacknowledged(&self) -> Option<Epoch> {
        let behind = self.cursor.after > self.acked.unwrap_or(0) && self.acking.is_none();
        self.cursor.epoch.filter(|_| behind)
    }

    fn forget(&mut self, cursor: Cursor) {
        (self.cursor, self.fetched) = (cursor, cursor);
        (self.checking, self.head, self.asked, self.acking, self.starved) = (None, None, None, None, false);
        self.writing.clear();
        self.generation = self.generation.wrapping_add(1);
    }

    fn fail(&mut self, now: Duration, pause: Duration, error: CollectError) -> Result<(), CollectError> {
        self.failures += 1;
        let lasting = self.failures >= PATIENCE;
        if lasting && self.once {
            return Err(error);
        }
        let pause = if lasting { LONG_PAUSE } else { pause };
        // Said when it begins to last, and not for each of a thousand boxes that are switched off at night.
        if self.failures <= PATIENCE {
            tracing::warn!(site = %self.site, lane = self.lane.as_str(), ?pause, "{error}");
        }
        self.not_before = now + pause;
        Ok(())
    }
}

#[cfg(test)]
#[path = "flow_tests.rs"]
mod tests;
