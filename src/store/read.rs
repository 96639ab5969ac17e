//! Read-only questions, each answered from one snapshot of the database.

use std::sync::Arc;

use super::{RequestKey, pages, pool::Pool, queries, requests};
use crate::domain::{
    BootId, ClockSynced, ConsumerId, CustomerId, Event, Lane, LaneItem, OpenVisit, StaffId, Stamp, Timestamp, Vehicle,
    VisitId, ZoneId,
};
use crate::showroom::{Customer, Interest, KioskSession, Refusal, StaffMember};

/// A question that could not be answered.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the database could not be read while {doing}: {cause}")]
pub struct ReadError {
    /// What was asked.
    pub doing: &'static str,
    /// What SQLite said.
    pub cause: String,
}

/// What the business knows about a visit, as of now.
#[derive(Debug, Clone, PartialEq)]
pub struct VisitContext {
    /// Which.
    pub id: VisitId,
    /// Whose, when known.
    pub customer: Option<CustomerId>,
    /// Their name, when known and not erased.
    pub customer_name: Option<String>,
    /// When it began.
    pub entered_at: Timestamp,
    /// Where they are, or were last.
    pub zone: Option<ZoneId>,
    /// Metres, at the newest event.
    pub x: f64,
    /// Metres, at the newest event.
    pub y: f64,
    /// Whose guest it is.
    pub assigned_to: Option<StaffId>,
    /// Cars they showed interest in, strongest first.
    pub interests: Vec<Interest>,
    /// What the customer's profile says they look for (makes, models, types), as `vehicle_interest`.
    pub wishes: Vec<String>,
}

/// A visit that was open at the last commit, in the engine's time of then.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredVisit {
    /// As the engine told it.
    pub open: OpenVisit,
    /// What the clocks of the box said at its `last_at`; `None` when the engine ran on the readings' own clock.
    pub heard: Option<Stamp>,
    /// What was learnt of the clock of that boot since.
    pub word: Option<ClockSynced>,
}

/// What a reader of an event needs beside it, as of now.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct About {
    /// Its visit.
    pub visit: Option<VisitContext>,
    /// Name of its customer, when known and not erased.
    pub customer_name: Option<String>,
    /// Its car.
    pub vehicle: Option<Vehicle>,
    /// Name of its member of the staff.
    pub staff_name: Option<String>,
}

/// An event with what is needed to tell people of it.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry {
    /// The event.
    pub event: Event,
    /// What it is about.
    pub about: About,
}

/// Which part of a lane to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneQuery {
    /// The lane.
    pub lane: Lane,
    /// What is before the first.
    pub after: u64,
    /// Items at most.
    pub max_items: usize,
    /// Stop after so many bytes of `data` and sealed parts; at least one item is read.
    pub max_bytes: usize,
}

/// The showroom as of one position of the log.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Picture {
    /// As of here.
    pub pos: u64,
    /// Open visits, oldest first.
    pub visits: Vec<VisitContext>,
    /// The inventory by id.
    pub vehicles: Vec<Vehicle>,
    /// The staff by id.
    pub staff: Vec<StaffMember>,
    /// Sessions that are open at kiosks.
    pub sessions: Vec<KioskSession>,
}

/// A clonable pool of read-only connections.
#[derive(Clone)]
pub struct Reader {
    pool: Arc<Pool>,
}

impl Reader {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }
}

#[allow(clippy::missing_errors_doc)] // every one fails only when the database cannot be read, or is closed
impl Reader {
    /// Events after `pos`, in order, at most `limit`, with what they are about.
    pub async fn entries_after(&self, pos: u64, limit: usize) -> Result<Vec<LogEntry>, ReadError> {
        self.pool.ask("reading the log", move |conn| pages::entries_after(conn, pos, limit)).await
    }

    /// The newest `limit` events of lanes `sales` and `presence` at or before `upto`, oldest first.
    pub async fn recent(&self, upto: u64, limit: usize) -> Result<Vec<LogEntry>, ReadError> {
        self.pool.ask("reading the newest events", move |conn| pages::recent(conn, upto, limit)).await
    }

    /// One page of a lane, gaps included.
    pub async fn lane_page(&self, query: LaneQuery) -> Result<Vec<LaneItem>, ReadError> {
        self.pool.ask("reading a lane", move |conn| pages::lane_page(conn, query)).await
    }

    /// First seq that a lane still holds or has a gap for; 0 when it is empty.
    pub async fn lane_first(&self, lane: Lane) -> Result<u64, ReadError> {
        self.pool.ask("reading the start of a lane", move |conn| pages::lane_first(conn, lane)).await
    }

    /// Up to which position events of `sales` and `presence` may be gone: who missed one before it cannot be told what.
    pub async fn told_gone(&self) -> Result<u64, ReadError> {
        self.pool.ask("reading what is gone", pages::told_gone).await
    }

    /// The showroom now.
    pub async fn picture(&self) -> Result<Picture, ReadError> {
        self.pool.ask("reading the showroom", pages::picture).await
    }

    /// Visits that were open at the last commit, with their tags, for the engine to go on with.
    pub async fn open_visits(&self) -> Result<Vec<StoredVisit>, ReadError> {
        self.pool.ask("reading the open visits", queries::open_visits).await
    }

    /// A customer who is not erased.
    pub async fn customer(&self, id: CustomerId) -> Result<Option<Customer>, ReadError> {
        self.pool.ask("reading a customer", move |conn| queries::customer(conn, id)).await
    }

    /// What the log last said about the clock of `boot`.
    pub async fn clock_of(&self, boot: BootId) -> Result<Option<ClockSynced>, ReadError> {
        self.pool.ask("reading what is known of the clock", move |conn| queries::clock_of(conn, boot)).await
    }

    /// Where a consumer's cursors are, in the order of [`Lane::ALL`].
    pub async fn cursors(&self, consumer: &ConsumerId) -> Result<[u64; 3], ReadError> {
        let consumer = consumer.clone();
        self.pool.ask("reading cursors", move |conn| pages::cursors(conn, &consumer)).await
    }

    /// What became of a request, as long as that is remembered: its position, or why it was refused.
    pub async fn outcome(&self, key: RequestKey) -> Result<Option<Result<u64, Refusal>>, ReadError> {
        self.pool.ask("reading what was answered", move |conn| requests::find(conn, &key)).await
    }

    /// Reads on in a lane to find damage; where to go on from, `None` at its end.
    pub(super) async fn patrol(&self, lane: Lane, after: u64, items: usize) -> Result<Option<u64>, ReadError> {
        self.pool.ask("reading a lane through", move |conn| pages::patrol(conn, lane, after, items)).await
    }

    /// Bytes of the database and its write-ahead log on disk.
    pub async fn bytes(&self) -> Result<u64, ReadError> {
        let doing = "measuring the database";
        let failed = |cause: std::io::Error| ReadError { doing, cause: cause.to_string() };
        let path = self.pool.path();
        let database = tokio::fs::metadata(path).await.map_err(failed)?.len();
        let log = tokio::fs::metadata(path.with_extension("sqlite-wal")).await.map_or(0, |log| log.len());
        Ok(database + log)
    }
}
