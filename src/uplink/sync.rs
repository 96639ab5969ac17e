//! Who waits for what: a state machine without sockets, clock or database.
//!
//! It is told of pulls, new heads, batches that were made of pages, batches that were delivered, and the time; it says what
//! to read and what to answer. Invariants: every pull gets exactly one answer, but that a pull sent again is the same pull
//! while it waits, and nothing once a newer one waits (brokers repeat messages, and late ones); at most one waits per
//! consumer and lane, the newer one wins; at most `max_held` wait in all.
//!
//! A page is read only for who has a place among the batches under way (`places`), so that memory is bounded whatever is
//! asked, and `sales` never waits for bulk lanes; these take turns in the order of asking.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{
    batch::{self, Batch, Source},
    messages::{PullRequest, refused_pull},
    pace::Pace,
    places::{Class, Limit, Places, Ticket},
    refusal::{Code, Refusal},
};
use crate::{
    domain::{ConsumerId, Lane},
    store::Heads,
};

/// Pulls of one consumer and lane that are remembered, to know late repetitions of them.
const REMEMBERED: usize = 8;

/// What a [`SyncState`] serves.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// The database.
    pub(super) source: Source,
    /// Pulls that may wait at the same time.
    pub(super) max_held: usize,
    /// Batches that may be under way.
    pub(super) limits: [Limit; 2],
}

/// What to do now.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Output {
    /// Read a page, make a batch of it and bring that with [`SyncState::made`].
    Read {
        /// Under this ticket.
        ticket: Ticket,
        /// For this; its limits may be lower than what was asked.
        request: PullRequest,
    },
    /// Tell a consumer.
    Answer {
        /// Whom.
        consumer: ConsumerId,
        /// What, as it is sent.
        payload: Vec<u8>,
        /// The class of the refusal, if it is one.
        refused: Option<Code>,
        /// The place it keeps until [`SyncState::freed`].
        place: Option<(Ticket, Class)>,
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

type Key = (ConsumerId, Lane);

/// The state. Times are those of one monotonic clock.
#[derive(Debug)]
pub(super) struct SyncState {
    settings: Settings,
    heads: Heads,
    held: BTreeMap<Key, Held>,
    places: Places,
    past: BTreeMap<Key, VecDeque<PullRequest>>,
    pace: Pace,
    counter: u64,
}

impl SyncState {
    /// Nobody waits yet.
    #[must_use]
    pub(super) fn new(settings: Settings, heads: Heads) -> Self {
        let (held, past, places) = (BTreeMap::new(), BTreeMap::new(), Places::new(settings.limits));
        Self { settings, heads, held, places, past, pace: Pace::default(), counter: 0 }
    }

    /// A consumer of the configuration asks.
    pub(super) fn pull(&mut self, consumer: &ConsumerId, request: PullRequest, now: Duration) -> Vec<Output> {
        if let Err(refusal) = self.admit(&request) {
            return vec![refuse(consumer, &request.id, &refusal)];
        }
        let mut outputs = Vec::new();
        let key = (consumer.clone(), request.lane);
        if let Some(held) = self.held.get_mut(&key) {
            if held.request == request {
                held.deadline = now.saturating_add(request.wait);
                return outputs;
            }
            if self.past.get(&key).is_some_and(|past| past.contains(&request)) {
                return outputs;
            }
        } else if self.held.len() >= self.settings.max_held {
            let message = format!("{} pulls are waiting already; ask later", self.held.len());
            return vec![refuse(consumer, &request.id, &Refusal::new(Code::TooManyRequests, message))];
        }
        self.remember(&key, &request);
        if let Some(old) = self.held.remove(&key).filter(|old| old.request.id != request.id) {
            let message = format!("pull {} of this consumer and lane took its place", request.id);
            outputs.push(refuse(consumer, &old.request.id, &Refusal::new(Code::Superseded, message)));
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
        self.started()
    }

    /// A page was read and made a batch of, or could not be; then a sentence for the consumer. What nobody waits for any
    /// more is dropped.
    pub(super) fn made(&mut self, ticket: Ticket, batch: Result<Batch, String>) -> Vec<Output> {
        let holder = self.held.iter().find(|(_, held)| held.phase == Phase::Reading(ticket));
        let holder = holder.map(|(key, _)| key.clone()).and_then(|key| Some((self.held.remove(&key)?, key)));
        let mut outputs = Vec::new();
        match (holder, batch) {
            (Some((_, (consumer, lane))), Ok(Batch { payload, upto })) => {
                self.places.read(ticket);
                // The page may be newer than the newest head that was told; what follows must not be beyond it.
                self.raise_head(lane, upto);
                let place = Some((ticket, Class::of(lane)));
                outputs.push(Output::Answer { consumer, payload, refused: None, place });
            }
            (holder, batch) => {
                self.places.free(ticket);
                if let (Some((held, (consumer, _))), Err(message)) = (holder, batch) {
                    outputs.push(refuse(&consumer, &held.request.id, &Refusal::new(Code::Unreadable, message)));
                }
            }
        }
        self.start_reading(&mut outputs);
        outputs
    }

    /// A batch was delivered, after so much more time than a small message takes, or lost.
    pub(super) fn freed(&mut self, ticket: Ticket, excess: Option<Duration>) -> Vec<Output> {
        if let (Some(Class::Bulk), Some(excess)) = (self.places.free(ticket), excess) {
            self.pace.took(excess);
        }
        self.started()
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

    fn admit(&self, request: &PullRequest) -> Result<(), Refusal> {
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

    fn remember(&mut self, key: &Key, request: &PullRequest) {
        let past = self.past.entry(key.clone()).or_default();
        if past.len() >= REMEMBERED {
            past.pop_front();
        }
        past.push_back(request.clone());
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

    fn started(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        self.start_reading(&mut outputs);
        outputs
    }

    fn start_reading(&mut self, outputs: &mut Vec<Output>) {
        for class in Class::ALL {
            loop {
                let due = self.held.values_mut().filter(|held| held.phase == Phase::Due);
                let next = due.filter(|held| Class::of(held.request.lane) == class).min_by_key(|held| held.order);
                let Some((held, ticket)) = next.and_then(|held| Some((held, self.places.take(class)?))) else { break };
                held.phase = Phase::Reading(ticket);
                let mut request = held.request.clone();
                if class == Class::Bulk {
                    request.max_bytes = request.max_bytes.min(self.pace.limit());
                }
                outputs.push(Output::Read { ticket, request });
            }
        }
    }

    fn nothing(&self, consumer: &ConsumerId, request: &PullRequest) -> Output {
        let batch = batch::empty(&self.settings.source, request, self.heads.of(request.lane));
        Output::Answer { consumer: consumer.clone(), payload: batch.payload, refused: None, place: None }
    }
}

fn refuse(consumer: &ConsumerId, id: &str, refusal: &Refusal) -> Output {
    let payload = refused_pull(id, refusal);
    Output::Answer { consumer: consumer.clone(), payload, refused: Some(refusal.code), place: None }
}

#[cfg(test)]
#[path = "sync_tests.rs"]
mod tests;
