//! The log as one session hears it: in order, each event once, also when it fell behind.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::broadcast::{self, error::RecvError};

use super::{frame::Told, front::Shared};
use crate::{store::ReadError, telemetry::Count};

/// Events that are read at once for one session; many sessions may be behind at the same time.
const PAGE: usize = 128;

/// Why a session hears no more.
#[derive(Debug)]
pub(super) enum FeedError {
    /// What was missed cannot be read.
    Unread,
    /// Some of what was missed is not in the log any more.
    Gone,
    /// The hub is gone.
    Closed,
}

/// What comes after a position.
pub(super) struct Feed {
    shared: Arc<Shared>,
    live: broadcast::Receiver<Arc<Told>>,
    missed: VecDeque<Arc<Told>>,
    /// Some of what comes next is in the log only.
    behind: bool,
    pos: u64,
}

impl Feed {
    /// Everything from now on; [`begin`](Self::begin) says after which position it counts.
    pub(super) fn subscribe(shared: Arc<Shared>) -> Self {
        let live = shared.told.subscribe();
        Self { shared, live, missed: VecDeque::new(), behind: false, pos: 0 }
    }

    /// Counts from after `pos`, which was current after the subscription.
    pub(super) fn begin(&mut self, pos: u64) {
        self.pos = pos;
    }

    /// The next event; safe to drop half way.
    pub(super) async fn next(&mut self) -> Result<Arc<Told>, FeedError> {
        loop {
            while let Some(told) = self.missed.pop_front() {
                if told.pos > self.pos {
                    self.pos = told.pos;
                    return Ok(told);
                }
            }
            if self.behind {
                let page = self.shared.told_after(self.pos).await?;
                if page.gone {
                    return Err(FeedError::Gone);
                }
                self.behind = !page.at_head;
                // What has nothing to say is passed over, too.
                self.pos = if page.told.is_empty() { page.upto } else { self.pos };
                self.missed = page.told.into();
                continue;
            }
            match self.live.recv().await {
                Ok(told) => self.missed.push_back(told),
                Err(RecvError::Lagged(_)) => self.behind = true,
                Err(RecvError::Closed) => return Err(FeedError::Closed),
            }
        }
    }

    /// Up to where everything was heard: beyond the newest event that had anything to say, if nothing waits.
    pub(super) fn pos(&self) -> u64 {
        let followed = self.shared.followed();
        let idle = self.missed.is_empty() && self.live.is_empty() && !self.behind;
        if idle { self.pos.max(followed) } else { self.pos }
    }
}

/// A part of the log, told.
pub(super) struct Page {
    /// Events that have something to say, or that end a session.
    pub(super) told: Vec<Arc<Told>>,
    /// Position of the last event that was read.
    pub(super) upto: u64,
    /// Whether there was nothing after it.
    pub(super) at_head: bool,
    /// Whether events after the position may be gone that people are told of.
    pub(super) gone: bool,
}

impl Shared {
    fn unread(&self, error: &ReadError) -> FeedError {
        self.telemetry.problem(Count::StoreErrors, "hub", error);
        FeedError::Unread
    }

    /// What is said of the next events after `pos`.
    pub(super) async fn told_after(&self, pos: u64) -> Result<Page, FeedError> {
        let entries = self.store.reader().entries_after(pos, PAGE).await.map_err(|error| self.unread(&error))?;
        // Asked after reading: what was there then is on the page.
        let gone = self.store.reader().told_gone().await.map_err(|error| self.unread(&error))? > pos;
        let upto = entries.last().map_or(pos, |entry| entry.event.pos);
        let told = entries.iter().map(|entry| self.tell(entry));
        let told = told.filter(|told| !told.frames.is_empty()).map(Arc::new).collect();
        Ok(Page { told, upto, at_head: entries.len() < PAGE, gone })
    }
}
