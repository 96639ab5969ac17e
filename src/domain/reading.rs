//! One advertisement of one tag as one anchor heard it. Perishable: it may be dropped and counted.

use super::{AnchorId, Dbm, TagId, Timestamp};

/// A tag heard by an anchor.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// When it was heard, on the clock that drives the engine.
    pub at: Timestamp,
    /// Who heard it.
    pub anchor: AnchorId,
    /// Who was heard.
    pub tag: TagId,
    /// How loud.
    pub rssi: Dbm,
}
