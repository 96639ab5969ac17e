//! What an anchor said, whichever format it speaks.

use std::time::Duration;

use super::ItemError;
use crate::domain::{AnchorId, Dbm, TagId};

/// One advertisement, before it is known which clock dates it.
#[derive(Debug, Clone, PartialEq)]
pub struct Heard {
    /// Who was heard: the best identity that the advertisement holds.
    pub tag: TagId,
    /// How loud.
    pub rssi: Dbm,
    /// How long before the message was sent.
    pub age: Duration,
}

/// What was refused in a message whose rest is good.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rejected {
    /// How many items.
    pub count: u64,
    /// Why the first of them.
    pub first: Option<ItemError>,
}

impl Rejected {
    pub(super) fn add(&mut self, why: ItemError) {
        self.count += 1;
        self.first.get_or_insert(why);
    }
}

/// What an anchor says of itself; every field may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Deserialize)]
#[serde(default)]
pub struct Health {
    /// Since its start, milliseconds.
    pub uptime_ms: Option<f64>,
    /// Free memory, bytes.
    pub heap: Option<f64>,
    /// Advertisements heard a second.
    pub adverts_per_s: Option<f64>,
}

/// One message of an anchor.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// Advertisements.
    Heard {
        /// Who heard them; not yet checked against the site.
        anchor: AnchorId,
        /// What was heard, in the order of the message.
        items: Vec<Heard>,
        /// The sender's clock, Unix seconds as sent: unchecked, and believed only when recordings are played.
        at: Option<f64>,
        /// Number of the batch, for formats that count.
        seq: Option<u64>,
        /// What was refused.
        rejected: Rejected,
    },
    /// How the anchor is.
    Health {
        /// Which anchor.
        anchor: AnchorId,
        /// What it says.
        health: Health,
    },
    /// The anchor came or went (its last will).
    State {
        /// Which anchor.
        anchor: AnchorId,
        /// Whether it is there.
        online: bool,
    },
    /// A topic that is none of ours, such as ESPresense's telemetry.
    Ignored,
}
