//! The one thread that writes. It takes jobs off the queue and commits them in groups: when the queue is empty, 20 ms
//! after the transaction's first job, or after 1000 events.
//!
//! Nobody is answered, and no head is shown, before the commit. A job that fails is undone alone; a commit that fails is
//! answered to everybody in it, and its facts are written again with the next. It never panics on what a disk does.

use std::{
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rusqlite::config::DbConfig;
use tokio::sync::{
    broadcast,
    mpsc::{self, error::TryRecvError},
    oneshot, watch,
};

use super::{
    DiskState, Heads, Job, LogEntry, Receipt, StoreError,
    batch::{Answer, Backlog, Batch, GroupCommit},
    clock_floor,
    error::DbError,
    ledger::{Added, DatedFact, Ledger},
    mark::Marker,
    pool::Pool,
    queries, requests,
    salvage::Alarm,
    schema,
    upkeep::{Gone, Upkeep},
    wiping::Wiping,
};
use crate::{
    domain::{Clock, Registry, Stamp, Timestamp},
    telemetry::{Ailments, Count, Gauge, Telemetry},
};

const SOURCE: &str = "store";
/// How often a failing disk is tried while facts wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// How often the queue is looked at while facts wait: then it cannot be slept on.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const PRUNE_EVERY_NS: i64 = 3_600_000_000_000;

/// The writer before and while its thread runs.
pub struct Writer {
    desk: Option<Box<Desk>>,
    thread: Option<JoinHandle<()>>,
    progress: Arc<AtomicU64>,
}

impl Writer {
    pub(super) fn new(desk: Desk) -> Self {
        let progress = Arc::clone(&desk.progress);
        Self { desk: Some(Box::new(desk)), thread: None, progress }
    }

    /// Starts the thread; until then, jobs wait. It ends after [`super::StoreHandle::close`], or when every handle is gone.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn run_thread(&mut self) -> Result<(), StoreError> {
        let Some(desk) = self.desk.take() else { return Ok(()) };
        let thread = thread::Builder::new().name("store".into()).spawn(move || desk.run());
        self.thread = Some(thread.map_err(StoreError::Thread)?);
        Ok(())
    }

    /// Rises with each transaction that ends, also with one that fails: the thread lives.
    #[must_use]
    pub fn progress(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.progress)
    }

    /// Whether the thread has ended; no job is done from then on.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.desk.is_none() && self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the thread to end. Blocks: not for async threads.
    ///
    /// # Errors
    /// When it ended by a panic.
    pub fn join(self) -> Result<(), StoreError> {
        self.thread.map_or(Ok(()), |thread| thread.join().map_err(|_| StoreError::Died))
    }
}

/// What is next to be done.
#[allow(clippy::large_enum_variant)] // lives for a moment on the stack; a box for each job would cost more
enum Next {
    Job(Job),
    Retry,
    Stop,
}

/// How the transaction goes on after a job.
enum Flow {
    On,
    Close(oneshot::Sender<()>),
    /// It is gone.
    Lost(String),
}

/// The thread's own things.
pub(super) struct Desk {
    pub(super) ledger: Ledger,
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) heads: watch::Sender<Heads>,
    pub(super) registry: watch::Sender<Arc<Registry>>,
    pub(super) site_tags: Registry,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) telemetry: Telemetry,
    pub(super) group: GroupCommit,
    pub(super) pool: Arc<Pool>,
    pub(super) progress: Arc<AtomicU64>,
    pub(super) backlog: Backlog,
    pub(super) upkeep: Upkeep,
    pub(super) disk: watch::Sender<DiskState>,
    pub(super) unstored: broadcast::Sender<Arc<LogEntry>>,
    /// The disk takes nothing since.
    pub(super) failing_since: Option<Timestamp>,
    /// The last failure was one of room.
    pub(super) is_full: bool,
    /// When requests were last pruned: boot time, nanoseconds.
    pub(super) pruned_at: Option<i64>,
    /// The floor of the clock as it stands in the file; `None` when it is not known to.
    pub(super) floor_kept: Option<Timestamp>,
    /// How far the log is, for the next start.
    pub(super) marker: Marker,
    /// What is left of whoever was erased.
    pub(super) wiping: Wiping,
    pub(super) ailments: Ailments,
    /// Raised when the file is found damaged: nothing is written then.
    pub(super) alarm: Arc<Alarm>,
    /// Held as long as the file is ours.
    pub(super) lock: File,
}

impl Desk {
    fn run(mut self) {
        let closed = loop {
            let closed = match self.next() {
                Next::Job(job) => self.transact(Some(job)),
                Next::Retry => self.transact(None),
                Next::Stop => break None,
            };
            if closed.is_some() {
                break closed;
            }
        };
        self.finish();
        if let Some(done) = closed {
            // Whoever asked may have gone.
            let _ = done.send(());
        }
    }

    fn next(&mut self) -> Next {
        if self.backlog.is_empty() && self.failing_since.is_none() && !self.wiping.is_due() {
            return self.jobs.blocking_recv().map_or(Next::Stop, Next::Job);
        }
        let since = Instant::now();
        while since.elapsed() < RETRY_AFTER {
            match self.jobs.try_recv() {
                Ok(job) => return Next::Job(job),
                Err(TryRecvError::Disconnected) => return Next::Stop,
                Err(TryRecvError::Empty) => thread::sleep(LOOK_EVERY),
            }
        }
        Next::Retry
    }

    /// One transaction, with whatever waits; whom to tell that it was the last.
    fn transact(&mut self, first: Option<Job>) -> Option<oneshot::Sender<()>> {
        let mut batch = Batch::new();
        let mut flow = match self.begin() {
            Ok(()) => self.settle(&mut batch),
            Err(cause) => Flow::Lost(cause),
        };
        let mut job = first;
        while matches!(flow, Flow::On) {
            let Some(next) = job.take() else { break };
            flow = self.perform(next, &mut batch);
            if matches!(flow, Flow::On) && !batch.is_full(self.group) {
                job = self.jobs.try_recv().ok();
            }
        }
        let lost = match &flow {
            Flow::Lost(cause) => Some(cause.clone()),
            Flow::On | Flow::Close(_) => self.commit(&mut batch).err().map(|cause| self.failed(&cause)),
        };
        match lost {
            None => self.publish(batch),
            Some(cause) => self.undo(batch, &cause),
        }
        // A transaction that did not begin leaves its first job.
        let rest = job.map(|job| self.turn_away(job));
        self.progress.fetch_add(1, Ordering::Relaxed);
        match flow {
            Flow::Close(done) => Some(done),
            Flow::On | Flow::Lost(_) => rest.flatten(),
        }
    }

    fn begin(&mut self) -> Result<(), String> {
        if let Some(damage) = self.alarm.raised() {
            return Err(damage.to_owned());
        }
        let begun = self.ledger.conn.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([]));
        begun.map(drop).map_err(|cause| self.failed(&DbError::Sql(cause)))
    }

    /// Writes the facts that waited, before anything newer.
    fn settle(&mut self, batch: &mut Batch) -> Flow {
        let mut waiting = self.backlog.take();
        while let Some(dated) = waiting.pop_front() {
            if let Flow::Lost(cause) = self.record(dated, batch) {
                batch.unwritten.extend(waiting);
                return Flow::Lost(cause);
            }
        }
        Flow::On
    }

    fn perform(&mut self, job: Job, batch: &mut Batch) -> Flow {
        let now = self.clock.now();
        match job {
            Job::Nudge => {}
            Job::Close { done } => return Flow::Close(done),
            Job::Record { fact, dating } => return self.record(DatedFact { fact, dating, now, shown: false }, batch),
            Job::Submit { key, command, done } => match self.ledger.submit(key.as_ref(), &command, &now) {
                Ok(submitted) => {
                    batch.effects.add(submitted.effects);
                    batch.refused += u64::from(submitted.outcome.is_err());
                    let receipt = submitted.outcome.map(|pos| Receipt { pos, repeated: submitted.repeated });
                    batch.answers.push(Answer::Submitted(done, receipt.map_err(Into::into)));
                }
                Err(cause) => {
                    // Told with the others, when it is known how the disk is.
                    let cause = self.failed(&cause);
                    let refused = Err(super::SubmitError::NotStored(cause.clone()));
                    batch.answers.push(Answer::Submitted(done, refused));
                    return self.after_failure(cause);
                }
            },
            Job::Acknowledge { consumer, lane, epoch, upto, done } => {
                let committed = *self.heads.borrow();
                match self.ledger.acknowledge(&consumer, lane, epoch, upto, committed) {
                    Ok(answer) => {
                        self.upkeep.hurry();
                        batch.answers.push(Answer::Acknowledged(done, answer));
                    }
                    Err(cause) => {
                        let cause = self.failed(&cause);
                        let refused = Err(super::AckError::NotStored(cause.clone()));
                        batch.answers.push(Answer::Acknowledged(done, refused));
                        return self.after_failure(cause);
                    }
                }
            }
        }
        Flow::On
    }

    fn record(&mut self, dated: DatedFact, batch: &mut Batch) -> Flow {
        match self.ledger.record(&dated) {
            Ok(Ok(effects)) => {
                batch.effects.add(effects);
                batch.facts.push(dated);
                Flow::On
            }
            Ok(Err(refusal)) => {
                self.telemetry.problem(Count::CommandsRefused, SOURCE, &refusal);
                Flow::On
            }
            Err(cause) => {
                let text = self.failed(&cause);
                if cause.may_pass() {
                    batch.unwritten.push(dated);
                }
                self.after_failure(text)
            }
        }
    }

    fn failed(&mut self, cause: &DbError) -> String {
        self.alarm.hear(cause);
        self.is_full |= cause.is_full();
        let text = cause.to_string();
        self.telemetry.problem(Count::StoreErrors, SOURCE, &text);
        text
    }

    /// SQLite ends the whole transaction when a disk is full or fails in the midst of a statement; where the file is damaged,
    /// nothing of it is committed.
    fn after_failure(&self, cause: String) -> Flow {
        if self.ledger.conn.is_autocommit() || self.alarm.raised().is_some() { Flow::Lost(cause) } else { Flow::On }
    }

    fn commit(&mut self, batch: &mut Batch) -> Result<(), DbError> {
        let now = self.clock.proven();
        batch.gone = self.keep_house(&now);
        let floor = self.clock.floor().filter(|_| batch.effects.events > 0);
        let floor_moved =
            floor.map(|floor| clock_floor::keep(&self.ledger.conn, self.floor_kept, floor)).transpose()?;
        if batch.effects.events > 0 && self.pruned_at.is_none_or(|at| now.mono_ns - at >= PRUNE_EVERY_NS) {
            self.prune(&now)?;
        }
        self.ledger.keep_heads()?;
        self.ledger.conn.prepare_cached("COMMIT")?.execute([])?;
        if floor_moved == Some(true) {
            self.floor_kept = floor;
        }
        Ok(())
    }

    fn prune(&mut self, now: &Stamp) -> Result<(), DbError> {
        requests::prune(&self.ledger.conn, now)?;
        self.pruned_at = Some(now.mono_ns);
        Ok(())
    }

    /// After a commit: shows the heads and what tags mean, then answers.
    fn publish(&mut self, batch: Batch) {
        self.telemetry.count(Count::Commits);
        self.telemetry.add(Count::Events, batch.effects.events);
        self.telemetry.add(Count::CommandsRefused, batch.refused);
        let heads = self.ledger.heads;
        self.telemetry.set(Gauge::LogPos, i64::try_from(heads.pos).unwrap_or(i64::MAX));
        if batch.effects.registry {
            self.show_registry();
        }
        self.marker.write(heads);
        self.ledger.added = Added::default();
        self.look_after_disk(batch.gone);
        if batch.effects.erased {
            self.wiping.owe();
        }
        self.wipe();
        self.heads.send_if_modified(|shown| {
            let changed = *shown != heads;
            *shown = heads;
            changed
        });
        for answer in batch.answers {
            answer.send();
        }
        self.keep(batch.unwritten);
    }

    fn show_registry(&mut self) {
        match queries::registry(&self.ledger.conn, &self.site_tags) {
            Ok(registry) => {
                self.registry.send_if_modified(|shown| {
                    let changed = **shown != registry;
                    *shown = Arc::new(registry);
                    changed
                });
            }
            Err(cause) => drop(self.failed(&cause)),
        }
    }

    /// Takes what was erased out of every file, before anybody is told that it is erased, unless a reader makes it wait.
    fn wipe(&mut self) {
        if let Err(cause) = self.wiping.wipe(&self.ledger.conn) {
            self.failed(&cause);
        }
    }

    /// After a transaction that failed: nothing of it is left but its facts, which wait.
    fn undo(&mut self, batch: Batch, cause: &str) {
        tracing::debug!(cause, "a transaction failed");
        if !self.ledger.conn.is_autocommit()
            && let Err(cause) = self.ledger.conn.execute_batch("ROLLBACK")
        {
            self.telemetry.problem(Count::StoreErrors, SOURCE, &cause);
        }
        self.ledger.heads = *self.heads.borrow();
        self.ledger.added = Added::default();
        self.mark_failing();
        for answer in batch.answers {
            answer.fail(cause);
        }
        self.keep(batch.facts);
        self.keep(batch.unwritten);
        self.make_room();
    }

    fn keep(&mut self, mut facts: Vec<DatedFact>) {
        self.show_unstored(&mut facts);
        let lost = self.backlog.extend(facts);
        if lost > 0 {
            self.telemetry.add(Count::FactsLost, lost);
            tracing::error!(lost, "facts were lost: the disk has failed for too long");
        }
    }

    fn turn_away(&mut self, job: Job) -> Option<oneshot::Sender<()>> {
        let cause = "the disk does not take anything now";
        match job {
            Job::Nudge => {}
            Job::Close { done } => return Some(done),
            Job::Record { fact, dating } => {
                let now = self.clock.now();
                self.keep(vec![DatedFact { fact, dating, now, shown: false }]);
            }
            Job::Submit { done, .. } => Answer::Submitted(done, Err(super::SubmitError::Closed)).fail(cause),
            Job::Acknowledge { done, .. } => Answer::Acknowledged(done, Err(super::AckError::Closed)).fail(cause),
        }
        None
    }

    /// Writes what waits one last time, then closes readers and file. Jobs still in the queue are answered "closed".
    fn finish(mut self) {
        if !self.backlog.is_empty() {
            self.transact(None);
        }
        if !self.backlog.is_empty() {
            tracing::error!(lost = self.backlog.len(), "facts were lost: the disk did not take them before the end");
        }
        self.pool.close();
        if self.alarm.raised().is_some() {
            // Whatever more is done to the file may take away what could be salvaged from it.
            let _ = self.ledger.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        } else if let Err(cause) =
            self.upkeep.close(&self.ledger.conn).and_then(|()| schema::checkpoint(&self.ledger.conn))
        {
            self.failed(&cause);
        }
        if let Err(cause) = self.marker.sync() {
            self.telemetry.problem(Count::StoreErrors, SOURCE, &cause);
        }
        if let Err((_, cause)) = self.ledger.conn.close() {
            self.telemetry.problem(Count::StoreErrors, SOURCE, &cause);
        }
        // Only now may another process open it.
        drop(self.lock);
    }
}

mod disk;
#[cfg(test)]
mod tests;
