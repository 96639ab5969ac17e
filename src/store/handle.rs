//! The front of the store: what others may ask of the writer. Every request waits for its commit, but a fact, which
//! waits only for room in the queue.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use uuid::Uuid;

use super::{
    DiskState, LogEntry, Reader, StoreError,
    salvage::{Alarm, Salvage},
};
use crate::{
    domain::{ConsumerId, Epoch, Fact, Lane, Registry, Timestamp},
    showroom::{Command, Dating, Refusal},
};

/// Who asks and under which id: the same pair is answered with the same receipt and done once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestKey {
    /// `kiosk:K1`, `staff:anna`, `cloud`.
    pub source: String,
    /// The id that the source chose.
    pub id: String,
}

/// A command that is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Position of its newest event; of the newest event of the log when it changed nothing.
    pub pos: u64,
    /// Whether it had been done before, under the same key.
    pub repeated: bool,
}

/// Why a command was not done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SubmitError {
    /// It may not be done, whenever it is asked again (also remembered under its key).
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The disk did not take it; asking again later may do.
    #[error("the event could not be stored: {0}")]
    NotStored(String),
    /// The daemon is stopping.
    #[error("the store is closed")]
    Closed,
}

/// The store takes nothing any more: the daemon is stopping.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the store is closed")]
pub struct StoreClosed;

/// Why a consumer's cursor was not moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AckError {
    /// It is about another database.
    #[error("the epoch of this database is {epoch}")]
    EpochChanged {
        /// The right one.
        epoch: Epoch,
    },
    /// Nobody was sent that far.
    #[error("the lane is at {head}")]
    BeyondHead {
        /// Last seq of the lane.
        head: u64,
    },
    /// The cursor could not be written.
    #[error("the cursor could not be stored: {0}")]
    NotStored(String),
    /// The daemon is stopping.
    #[error("the store is closed")]
    Closed,
}

/// How far the log is, in what is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heads {
    /// The whole log.
    pub pos: u64,
    /// Each lane, in the order of [`Lane::ALL`].
    pub lanes: [u64; 3],
}

impl Heads {
    /// Last seq of a lane; 0 when it is empty.
    #[must_use]
    pub fn of(&self, lane: Lane) -> u64 {
        self.lanes[lane as usize]
    }
}

/// What the writer thread is asked.
#[derive(Debug)]
pub enum Job {
    /// A fact of the engine.
    Record {
        /// What.
        fact: Fact,
        /// When.
        dating: Dating,
    },
    /// A command whose source waits.
    Submit {
        /// For answering a repetition.
        key: Option<RequestKey>,
        /// What.
        command: Command,
        /// Told after the commit.
        done: oneshot::Sender<Result<Receipt, SubmitError>>,
    },
    /// A consumer has it.
    Acknowledge {
        /// Who.
        consumer: ConsumerId,
        /// Of which lane.
        lane: Lane,
        /// Of which database.
        epoch: Epoch,
        /// Up to which seq.
        upto: u64,
        /// Told after the commit: where the cursor is now.
        done: oneshot::Sender<Result<u64, AckError>>,
    },
    /// Nothing: whether the thread lives.
    Nudge,
    /// Commit what came before and close the database.
    Close {
        /// Told when it is closed.
        done: oneshot::Sender<()>,
    },
}

/// A clonable front of the store.
#[derive(Clone)]
pub struct StoreHandle {
    pub(super) jobs: mpsc::Sender<Job>,
    pub(super) heads: watch::Receiver<Heads>,
    pub(super) registry: watch::Receiver<Arc<Registry>>,
    pub(super) disk: watch::Receiver<DiskState>,
    pub(super) unstored: broadcast::Sender<Arc<LogEntry>>,
    pub(super) epoch: Epoch,
    pub(super) visit_namespace: Uuid,
    pub(super) progress: Arc<AtomicU64>,
    pub(super) clock_floor: Option<Timestamp>,
    pub(super) reader: Reader,
    pub(super) salvage: Option<Arc<Salvage>>,
    pub(super) alarm: Arc<Alarm>,
    pub(super) path: PathBuf,
}

/// Rows that a patrol reads at once, and how long it rests after them.
const PATROL_ROWS: usize = 500;
const PATROL_REST: Duration = Duration::from_millis(50);
/// From one patrol to the next.
const PATROL_EVERY: Duration = Duration::from_hours(24);

impl StoreHandle {
    /// Has a command decided, written and committed.
    ///
    /// # Errors
    /// When it is refused, not stored, or the store is closed.
    pub async fn submit(&self, key: Option<RequestKey>, command: Command) -> Result<Receipt, SubmitError> {
        self.queue(key, command).await?.await
    }

    /// Hands over a command; commands are decided in the order in which they were handed over. What is returned waits
    /// for the commit.
    ///
    /// # Errors
    /// When the store is closed.
    pub async fn queue(
        &self,
        key: Option<RequestKey>,
        command: Command,
    ) -> Result<impl Future<Output = Result<Receipt, SubmitError>> + Send + use<>, SubmitError> {
        let (done, answer) = oneshot::channel();
        self.jobs.send(Job::Submit { key, command, done }).await.map_err(|_| SubmitError::Closed)?;
        Ok(async { answer.await.map_err(|_| SubmitError::Closed)? })
    }

    /// Hands over a fact; waits while the queue is full, not for the commit.
    ///
    /// # Errors
    /// When the store is closed.
    pub async fn record(&self, fact: Fact, dating: Dating) -> Result<(), StoreClosed> {
        self.jobs.send(Job::Record { fact, dating }).await.map_err(|_| StoreClosed)
    }

    /// Moves a consumer's cursor forward and returns where it is.
    ///
    /// # Errors
    /// When the epoch is another, `upto` is beyond the head, or it could not be stored.
    pub async fn acknowledge(
        &self,
        consumer: ConsumerId,
        lane: Lane,
        epoch: Epoch,
        upto: u64,
    ) -> Result<u64, AckError> {
        let (done, answer) = oneshot::channel();
        let job = Job::Acknowledge { consumer, lane, epoch, upto, done };
        self.jobs.send(job).await.map_err(|_| AckError::Closed)?;
        answer.await.map_err(|_| AckError::Closed)?
    }

    /// How far the log is; changes after each commit.
    #[must_use]
    pub fn heads(&self) -> watch::Receiver<Heads> {
        self.heads.clone()
    }

    /// What each tag means: the site file's tags and those assigned since.
    #[must_use]
    pub fn registry(&self) -> watch::Receiver<Arc<Registry>> {
        self.registry.clone()
    }

    /// How the disk is.
    #[must_use]
    pub fn disk(&self) -> watch::Receiver<DiskState> {
        self.disk.clone()
    }

    /// Events of visits that the disk did not take yet, from now on: without position and number, told once. They come
    /// again, in the log, when it did.
    #[must_use]
    pub fn unstored(&self) -> broadcast::Receiver<Arc<LogEntry>> {
        self.unstored.subscribe()
    }

    /// The id of this database.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The floor of the wall clock as it was kept before this start; later ones are kept with the newest records.
    #[must_use]
    pub fn clock_floor(&self) -> Option<Timestamp> {
        self.clock_floor
    }

    /// A secret of this database, under which ids of visits may be derived from tags without telling the tags.
    #[must_use]
    pub fn visit_namespace(&self) -> Uuid {
        self.visit_namespace
    }

    /// Rises with each transaction that ends, also with one that fails: what the watchdog looks at, after a
    /// [`nudge`](Self::nudge).
    #[must_use]
    pub fn progress(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.progress)
    }

    /// Gives the thread a transaction to do with nothing in it, so that `progress` rises if it lives. Waits for nothing: a
    /// queue that is full shows by itself whether it is worked off.
    pub fn nudge(&self) {
        let _ = self.jobs.try_send(Job::Nudge);
    }

    /// The readers.
    #[must_use]
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// What came of the newest damaged database, if there ever was one.
    #[must_use]
    pub fn salvage(&self) -> Option<&Salvage> {
        self.salvage.as_deref()
    }

    /// Whether damage was met: nothing is written from then on, and only a new start helps.
    #[must_use]
    pub fn damage(&self) -> Option<StoreError> {
        let cause = self.alarm.raised()?.to_owned();
        Some(StoreError::DamageMet { path: self.path.clone(), cause })
    }

    /// Reads the whole log through once a day, a little at a time, so that damage is found while there is a cloud that has
    /// what it took. Never ends by itself.
    pub async fn patrol(&self) {
        loop {
            for lane in Lane::ALL {
                let mut after = Some(0);
                while let Some(from) = after {
                    // Damage raises the alarm; what cannot be read just now is read the next day.
                    after = self.reader.patrol(lane, from, PATROL_ROWS).await.ok().flatten();
                    tokio::time::sleep(PATROL_REST).await;
                }
            }
            tokio::time::sleep(PATROL_EVERY).await;
        }
    }

    /// Commits what was handed over, closes the database and returns then.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.jobs.send(Job::Close { done }).await.is_ok() {
            // An error means that the writer is gone, which is what was asked for.
            let _ = closed.await;
        }
    }
}
