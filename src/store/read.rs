//! Read-only questions, each answered from one snapshot of the database.

use crate::domain::{
    ConsumerId, CustomerId, Event, Lane, LaneItem, OpenVisit, StaffId, Timestamp, Vehicle, VisitId, ZoneId,
};
use crate::showroom::{Customer, Interest, StaffMember};

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
}

/// A clonable pool of read-only connections.
#[derive(Clone)]
pub struct Reader {}

#[allow(clippy::missing_errors_doc, clippy::unused_async)] // every one fails only when the database cannot be read
impl Reader {
    /// Events after `pos`, in order, at most `limit`, with what they are about.
    pub async fn entries_after(&self, pos: u64, limit: usize) -> Result<Vec<LogEntry>, ReadError> {
        let _ = (pos, limit);
        Err(ReadError { doing: "reading", cause: "not yet".into() })
    }

    /// The newest `limit` events of lanes `sales` and `presence` at or before `upto`, oldest first.
    pub async fn recent(&self, upto: u64, limit: usize) -> Result<Vec<LogEntry>, ReadError> {
        let _ = (upto, limit);
        Err(ReadError { doing: "reading", cause: "not yet".into() })
    }

    /// One page of a lane, gaps included.
    pub async fn lane_page(&self, query: LaneQuery) -> Result<Vec<LaneItem>, ReadError> {
        let _ = query;
        Err(ReadError { doing: "reading", cause: "not yet".into() })
    }

    /// First seq that a lane still holds or has a gap for; 0 when it is empty.
    pub async fn lane_first(&self, lane: Lane) -> Result<u64, ReadError> {
        let _ = lane;
        Err(ReadError { doing: "reading", cause: "not yet".into() })
    }

    /// The showroom now.
    pub async fn picture(&self) -> Result<Picture, ReadError> {
        Err(ReadError { doing: "reading", cause: "not yet".into() })
    }

    /// Visits that were open at the last commit, with their tags, for the engine to go on with.
    pub async fn open_visits(&self) -> Result<Vec<OpenVisit>, ReadError> {
        Err(ReadError { doing: "reading", cause: "not yet".into() })
    }

    /// A customer who is not erased.
    pub async fn customer(&self, id: CustomerId) -> Result<Option<Customer>, ReadError> {
        let _ = id;
        Err(ReadError { doing: "reading", cause: "not yet".into() })
    }

    /// Where a consumer's cursors are, in the order of [`Lane::ALL`].
    pub async fn cursors(&self, consumer: &ConsumerId) -> Result<[u64; 3], ReadError> {
        let _ = consumer;
        Err(ReadError { doing: "reading", cause: "not yet".into() })
    }

    /// Bytes of the database and its write-ahead log on disk.
    pub async fn bytes(&self) -> Result<u64, ReadError> {
        Err(ReadError { doing: "reading", cause: "not yet".into() })
    }
}
