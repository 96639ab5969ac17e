//! The log as one session hears it: in order, each event once, also when it fell behind.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::broadcast::{self, error::RecvError};

use super::{frame::Told, front::Shared};
use crate::{store::ReadError, telemetry::Count};

const PAGE: usize = 256;

/// Why a session hears no more.
#[derive(Debug)]
pub(super) enum FeedError {
    /// What was missed cannot be read.
    Unread,
    /// The hub is gone.
    Closed,
}

/// What comes after a position.
pub(super) struct Feed {
    shared: Arc<Shared>,
    live: broadcast::Receiver<Arc<Told>>,
    missed: VecDeque<Arc<Told>>,
    pos: u64,
}

impl Feed {
    /// Everything from now on; [`begin`](Self::begin) says after which position it counts.
    pub(super) fn subscribe(shared: Arc<Shared>) -> Self {
        let live = shared.told.subscribe();
        Self { shared, live, missed: VecDeque::new(), pos: 0 }
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
            match self.live.recv().await {
                Ok(told) => self.missed.push_back(told),
                Err(RecvError::Lagged(_)) => self.missed = self.shared.told_after(self.pos, usize::MAX).await?.into(),
                Err(RecvError::Closed) => return Err(FeedError::Closed),
            }
        }
    }

    /// Up to where everything was heard: beyond the newest event that had anything to say, if nothing waits.
    pub(super) fn pos(&self) -> u64 {
        let followed = self.shared.followed();
        if self.missed.is_empty() && self.live.is_empty() { self.pos.max(followed) } else { self.pos }
    }
}

impl Shared {
    fn unread(&self, error: &ReadError) -> FeedError {
        self.telemetry.problem(Count::StoreErrors, "hub", error);
        FeedError::Unread
    }

    /// What is said of the events after `pos`, up to the head; at most about `limit` events.
    pub(super) async fn told_after(&self, mut pos: u64, limit: usize) -> Result<Vec<Arc<Told>>, FeedError> {
        let (mut all, mut events) = (Vec::new(), 0);
        loop {
            let page = self.store.reader().entries_after(pos, PAGE).await.map_err(|error| self.unread(&error))?;
            let full = page.len() == PAGE;
            events += page.len();
            for entry in &page {
                pos = entry.event.pos;
                all.push(Arc::new(self.tell(entry)));
            }
            if !full || events >= limit {
                return Ok(all);
            }
        }
    }
}
