//! One transaction's worth of jobs: what their sources are told after the commit, and which facts wait for the next.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    AckError, Receipt, SubmitError,
    ledger::{DatedFact, Effects},
    upkeep::Gone,
};
use crate::domain::Presence;

/// Facts that wait for a disk that fails; some minutes of a busy floor.
const BACKLOG: usize = 10_000;

/// When a transaction is committed though more jobs wait.
#[derive(Debug, Clone, Copy)]
pub struct GroupCommit {
    /// Since its first job.
    pub max_wait: Duration,
    /// Events in it.
    pub max_events: u64,
}

impl Default for GroupCommit {
    fn default() -> Self {
        Self { max_wait: Duration::from_millis(20), max_events: 1_000 }
    }
}

/// What a source is told once its job is on disk.
pub(super) enum Answer {
    Submitted(oneshot::Sender<Result<Receipt, SubmitError>>, Result<Receipt, SubmitError>),
    Acknowledged(oneshot::Sender<Result<u64, AckError>>, Result<u64, AckError>),
}

impl Answer {
    /// Says it; a source that went away is told nothing.
    pub(super) fn send(self) {
        match self {
            Self::Submitted(done, answer) => drop(done.send(answer)),
            Self::Acknowledged(done, answer) => drop(done.send(answer)),
        }
    }

    /// Says instead that it was not stored.
    pub(super) fn fail(self, cause: &str) {
        match self {
            Self::Submitted(done, _) => drop(done.send(Err(SubmitError::NotStored(cause.to_owned())))),
            Self::Acknowledged(done, _) => drop(done.send(Err(AckError::NotStored(cause.to_owned())))),
        }
    }
}

/// The jobs of the open transaction.
pub(super) struct Batch {
    began: Instant,
    pub(super) effects: Effects,
    pub(super) refused: u64,
    /// What went beside them.
    pub(super) gone: Gone,
    pub(super) answers: Vec<Answer>,
    /// Facts written in it, to be written again should it fail.
    pub(super) facts: Vec<DatedFact>,
    /// Facts whose statement failed: for the next one in any case.
    pub(super) unwritten: Vec<DatedFact>,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            effects: Effects::default(),
            refused: 0,
            gone: Gone::default(),
            answers: Vec::new(),
            facts: Vec::new(),
            unwritten: Vec::new(),
        }
    }

    pub(super) fn is_full(&self, group: GroupCommit) -> bool {
        self.effects.events >= group.max_events || self.began.elapsed() >= group.max_wait
    }
}

/// Facts that could not be written yet, in order. When there is no more room, positions and heat go first.
#[derive(Default)]
pub(super) struct Backlog(VecDeque<DatedFact>);

impl Backlog {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// All of them, for another attempt.
    pub(super) fn take(&mut self) -> VecDeque<DatedFact> {
        std::mem::take(&mut self.0)
    }

    /// Puts facts at the end; returns how many had to go for them.
    pub(super) fn extend(&mut self, facts: impl IntoIterator<Item = DatedFact>) -> u64 {
        let mut lost = 0;
        for fact in facts {
            if self.0.len() >= BACKLOG {
                let sheddable =
                    |dated: &DatedFact| matches!(dated.fact.presence, Presence::Traced { .. } | Presence::Heated(_));
                let victim = self.0.iter().position(sheddable).unwrap_or(0);
                self.0.remove(victim);
                lost += 1;
            }
            self.0.push_back(fact);
        }
        lost
    }
}
