//! The hub as others see it, and what its sessions share.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::upgrade::OnUpgrade;
use tokio::sync::{Mutex as AsyncMutex, Semaphore, broadcast, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    connection::Connection,
    follower,
    frame::{Frame, Told},
    frames,
    limits::{Limits, Verdict},
    session::{self, Greeting},
};
use crate::{
    access::{Gate, Identity},
    domain::{Clock, Epoch, FloorSnapshot, Site},
    store::{LogEntry, ReadError, StoreHandle},
    telemetry::{Count, Telemetry},
};

/// Events that wait for sessions; who falls further behind reads them from the log.
const TOLD: usize = 2_048;
const STATE: usize = 32;
const MAX_CLIENTS: usize = 256;

/// What clients may do.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// A kiosk's page ends a session that nobody touches for so long; the box itself after twice that time.
    pub session_timeout: Duration,
    /// Messages of one token within a minute.
    pub messages_per_minute: u32,
    /// How long it is refused after more.
    pub blocked: Duration,
    /// Bytes of one message.
    pub message_bytes: usize,
    /// Without a sign of life for so long a client is closed.
    pub idle: Duration,
}

/// What the hub is connected to.
pub struct Parts {
    /// The floor.
    pub site: Arc<Site>,
    /// The log, and who decides what clients ask for.
    pub store: StoreHandle,
    /// Who is where.
    pub snapshot: watch::Receiver<Arc<FloorSnapshot>>,
    /// Whether anchors can be heard; `None` on a box without.
    pub anchors: Option<watch::Receiver<bool>>,
    /// Whether a token is still good.
    pub gate: Gate,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where to count.
    pub telemetry: Telemetry,
}

/// A client that knocks, as HTTP read it.
#[derive(Debug, Clone, Default)]
pub struct Opened {
    /// Who it is; `None` without a good token.
    pub identity: Option<Identity>,
    /// Rooms that it asks for.
    pub rooms: Vec<String>,
    /// Where it got to: a database and a position, or what it said instead.
    pub resume: Option<Result<(Epoch, u64), String>>,
    /// Whether it takes large messages as gzip.
    pub gzip: bool,
}

/// Why the hub stopped before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Nothing is written any more.
    #[error("the store is closed")]
    Closed,
}

/// What sessions and follower share.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) site: Arc<Site>,
    pub(super) store: StoreHandle,
    pub(super) snapshot: watch::Receiver<Arc<FloorSnapshot>>,
    pub(super) anchors: Option<watch::Receiver<bool>>,
    pub(super) gate: Gate,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) telemetry: Telemetry,
    pub(super) told: broadcast::Sender<Arc<Told>>,
    pub(super) state: broadcast::Sender<Frame>,
    pub(super) positions: watch::Sender<Option<Frame>>,
    /// What is to be said of sources that are quiet, of [`STALE`](super::follower::STALE).
    pub(super) stale: watch::Sender<[Option<Frame>; 2]>,
    pub(super) clients: Semaphore,
    pub(super) stop: CancellationToken,
    /// What a tablet is greeted with, as of a position: made once for all that come at the same time.
    pub(super) greeting: AsyncMutex<Option<Greeting>>,
    followed: AtomicU64,
    limits: Mutex<Limits>,
}

impl Shared {
    /// Up to which position events were told.
    pub(super) fn followed(&self) -> u64 {
        self.followed.load(Ordering::Acquire)
    }

    pub(super) fn set_followed(&self, pos: u64) {
        self.followed.store(pos, Ordering::Release);
    }

    pub(super) fn tell(&self, entry: &LogEntry) -> Told {
        frames::tell(entry, self.store.epoch(), &self.site)
    }

    /// Counts a message of the token of that id.
    pub(super) fn take(&self, token_id: &str) -> Verdict {
        let verdict = self.limits.lock().unwrap_or_else(PoisonError::into_inner).take(token_id, Instant::now());
        if verdict == Verdict::Blocked {
            self.telemetry.count(Count::ClientsRateLimited);
        }
        verdict
    }
}

/// A clonable front of the hub.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
    sessions: TaskTracker,
}

impl Hub {
    /// A hub without clients. What is in the log until now is not told anew.
    #[must_use]
    pub fn new(options: Options, parts: Parts) -> Self {
        let Parts { site, store, snapshot, anchors, gate, clock, telemetry } = parts;
        let followed = AtomicU64::new(store.heads().borrow().pos);
        let limits = Mutex::new(Limits::new(options.messages_per_minute, options.blocked));
        let shared = Shared {
            options,
            site,
            store,
            snapshot,
            anchors,
            gate,
            clock,
            telemetry,
            told: broadcast::Sender::new(TOLD),
            state: broadcast::Sender::new(STATE),
            positions: watch::Sender::new(None),
            stale: watch::Sender::new([None, None]),
            clients: Semaphore::new(MAX_CLIENTS),
            stop: CancellationToken::new(),
            greeting: AsyncMutex::new(None),
            followed,
            limits,
        };
        Self { shared: Arc::new(shared), sessions: TaskTracker::new() }
    }

    /// Serves a client whose handshake is being answered. One without a good token is served as well, and closed with
    /// 1008: a page cannot see why an upgrade was refused.
    pub fn accept(&self, upgrade: OnUpgrade, opened: Opened) {
        let shared = Arc::clone(&self.shared);
        self.sessions.spawn(async move {
            // A client that goes in the midst of the handshake needs nothing.
            let Ok(upgraded) = upgrade.await else { return };
            let connection = Connection::new(upgraded, shared.options.message_bytes, opened.gzip).await;
            session::serve(shared, connection, opened).await;
        });
    }

    /// Follows the log until `stop`; closes all clients then.
    ///
    /// # Errors
    /// When the log cannot be read at the start.
    pub async fn run(self, stop: CancellationToken) -> Result<(), HubError> {
        let ended = tokio::select! {
            () = stop.cancelled() => Ok(()),
            ended = follower::follow(&self.shared) => ended,
        };
        if stop.is_cancelled() {
            self.shared.stop.cancel();
            self.sessions.close();
            self.sessions.wait().await;
        }
        ended
    }
}
