//! Who waits for what: a state machine without sockets, clock or database.
//!
//! It is told of pulls, new heads, pages that were read and the time, and says what to read and what to answer.
//! Invariants: every pull of a configured consumer gets exactly one answer, but that a pull sent again under the id of
//! the one that waits is the same pull; at most one waits per consumer and lane, the newer one wins; at most
//! `max_held` wait in all, of which at most `max_reading` have a page read for them, so that memory is bounded.
//! Unknown consumers are answered too, but only now and then: anybody can make up names.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use super::{
    allowance::Allowance,
    batch::{self, Source},
    messages::{PullRequest, refused_pull},
    refusal::{Code, Refusal},
};
use crate::{
    domain::{ConsumerId, Lane, LaneItem},
    store::{Heads, LaneQuery},
};

/// What a [`SyncState`] serves.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The database.
    pub(super) source: Source,
    /// Who may ask.
    pub(super) consumers: HashSet<ConsumerId>,
    /// Pulls that may wait at the same time.
    pub(super) max_held: usize,
    /// Pages that may be read at the same time.
    pub(super) max_reading: usize,
}

/// A page that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket(u64);

/// What to do now.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Output {
    /// Read a page and bring it with [`SyncState::page`].
    Read {
        /// Under this ticket.
        ticket: Ticket,
        /// Which.
        query: LaneQuery,
    },
    /// Tell a consumer.
    Answer {
        /// Whom.
        consumer: ConsumerId,
        /// What, as it is sent.
        payload: Vec<u8>,
        /// The class of the refusal, if it is one.
        refused: Option<Code>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// There is nothing to tell yet.
    Waiting,
    /// There is, and a page has to be read.
    Due,
    /// The page is being read.
    Reading(Ticket),
}

#[derive(Debug)]
struct Held {
    request: PullRequest,
    deadline: Duration,
    order: u64,
    phase: Phase,
}

/// The state. Times are those of one monotonic clock.
#[derive(Debug)]
pub(super) struct SyncState {
    settings: Settings,
    heads: Heads,
    held: BTreeMap<(ConsumerId, Lane), Held>,
    reading: BTreeSet<Ticket>,
    counter: u64,
    strangers: Allowance,
}

impl SyncState {
    /// Nobody waits yet.
    #[must_use]
    pub(super) fn new(settings: Settings, heads: Heads) -> Self {
        let (held, reading, strangers) = (BTreeMap::new(), BTreeSet::new(), Allowance::default());
        Self { settings, heads, held, reading, counter: 0, strangers }
    }

    /// A consumer asks.
    pub(super) fn pull(&mut self, consumer: &ConsumerId, request: PullRequest, now: Duration) -> Vec<Output> {
        if let Err(refusal) = self.admit(consumer, &request) {
            let stranger = refusal.code == Code::UnknownConsumer;
            let silent = stranger && !self.strangers.take(now);
            return if silent { Vec::new() } else { vec![refuse(consumer, &request.id, &refusal)] };
        }
        let mut outputs = Vec::new();
        let key = (consumer.clone(), request.lane);
        if let Some(old) = self.held.remove(&key) {
            if old.request.id != request.id {
                let message = format!("pull {} of this consumer and lane took its place", request.id);
                outputs.push(refuse(consumer, &old.request.id, &Refusal::new(Code::Superseded, message)));
            }
        } else if self.held.len() >= self.settings.max_held {
            let message = format!("{} pulls are waiting already; ask later", self.held.len());
            return vec![refuse(consumer, &request.id, &Refusal::new(Code::TooManyRequests, message))];
        }
        let due = self.heads.of(request.lane) > request.after;
        if !due && request.wait.is_zero() {
            outputs.push(self.nothing(consumer, &request));
            return outputs;
        }
        let phase = if due { Phase::Due } else { Phase::Waiting };
        let deadline = now.saturating_add(request.wait);
        self.counter += 1;
        self.held.insert(key, Held { request, deadline, order: self.counter, phase });
        self.start_reading(&mut outputs);
        outputs
    }

    /// Something was committed.
    pub(super) fn heads(&mut self, heads: Heads) -> Vec<Output> {
        self.heads.pos = self.heads.pos.max(heads.pos);
        for lane in Lane::ALL {
            self.raise_head(lane, heads.of(lane));
        }
        let mut outputs = Vec::new();
        self.start_reading(&mut outputs);
        outputs
    }

    /// A page was read, or could not be. What nobody waits for any more is dropped.
    pub(super) fn page<E>(&mut self, ticket: Ticket, page: Result<Vec<LaneItem>, E>) -> Vec<Output> {
        self.reading.remove(&ticket);
        let mut outputs = Vec::new();
        let holder = self.held.iter().find(|(_, held)| held.phase == Phase::Reading(ticket));
        if let Some(key) = holder.map(|(key, _)| key.clone())
            && let Some(held) = self.held.remove(&key)
        {
            outputs.push(self.answer(&key.0, &held.request, page));
        }
        self.start_reading(&mut outputs);
        outputs
    }

    /// Time has passed: answers whoever has waited long enough.
    pub(super) fn tick(&mut self, now: Duration) -> Vec<Output> {
        let late = |held: &Held| held.phase == Phase::Waiting && held.deadline <= now;
        let keys: Vec<_> = self.held.iter().filter(|(_, held)| late(held)).map(|(key, _)| key.clone()).collect();
        let mut outputs = Vec::new();
        for key in keys {
            if let Some(held) = self.held.remove(&key) {
                outputs.push(self.nothing(&key.0, &held.request));
            }
        }
        outputs
    }

    /// When [`Self::tick`] has something to do next.
    #[must_use]
    pub(super) fn next_deadline(&self) -> Option<Duration> {
        self.held.values().filter(|held| held.phase == Phase::Waiting).map(|held| held.deadline).min()
    }

    fn admit(&self, consumer: &ConsumerId, request: &PullRequest) -> Result<(), Refusal> {
        if !self.settings.consumers.contains(consumer) {
            let message = format!("consumer {consumer} is not in this box's configuration ([uplink] consumers)");
            return Err(Refusal::new(Code::UnknownConsumer, message));
        }
        let epoch = self.settings.source.epoch;
        if request.epoch.is_some_and(|asked| asked != epoch) {
            return Err(Refusal::epoch_changed(epoch));
        }
        let head = self.heads.of(request.lane);
        if request.after > head {
            let message = format!("lane {} is at {head}, not at {}", request.lane.as_str(), request.after);
            return Err(Refusal::new(Code::AfterBeyondHead, message));
        }
        Ok(())
    }

    fn raise_head(&mut self, lane: Lane, head: u64) {
        let known = &mut self.heads.lanes[lane as usize];
        *known = head.max(*known);
        for ((_, of), held) in &mut self.held {
            if *of == lane && held.phase == Phase::Waiting && held.request.after < *known {
                held.phase = Phase::Due;
            }
        }
    }

    fn start_reading(&mut self, outputs: &mut Vec<Output>) {
        while self.reading.len() < self.settings.max_reading {
            let due = self.held.values_mut().filter(|held| held.phase == Phase::Due);
            let Some(held) = due.min_by_key(|held| held.order) else { return };
            self.counter += 1;
            let ticket = Ticket(self.counter);
            held.phase = Phase::Reading(ticket);
            self.reading.insert(ticket);
            let PullRequest { lane, after, max_events, max_bytes, .. } = held.request;
            outputs.push(Output::Read { ticket, query: LaneQuery { lane, after, max_items: max_events, max_bytes } });
        }
    }

    fn answer<E>(&mut self, consumer: &ConsumerId, request: &PullRequest, page: Result<Vec<LaneItem>, E>) -> Output {
        let unreadable = |message: String| refuse(consumer, &request.id, &Refusal::new(Code::Unreadable, message));
        let Ok(page) = page else {
            return unreadable("the lane could not be read; the box's log says why; ask later".into());
        };
        let head = self.heads.of(request.lane);
        match batch::build(&self.settings.source, request, head, &page) {
            Ok(batch) => {
                // The page may be newer than the newest head that was told; what follows must not be beyond it.
                self.raise_head(request.lane, batch.upto);
                Output::Answer { consumer: consumer.clone(), payload: batch.payload, refused: None }
            }
            Err(hole) => unreadable(hole.to_string()),
        }
    }

    fn nothing(&self, consumer: &ConsumerId, request: &PullRequest) -> Output {
        let batch = batch::empty(&self.settings.source, request, self.heads.of(request.lane));
        Output::Answer { consumer: consumer.clone(), payload: batch.payload, refused: None }
    }
}

fn refuse(consumer: &ConsumerId, id: &str, refusal: &Refusal) -> Output {
    let payload = refused_pull(id, refusal);
    Output::Answer { consumer: consumer.clone(), payload, refused: Some(refusal.code) }
}

#[cfg(test)]
#[path = "sync_tests.rs"]
mod tests;
