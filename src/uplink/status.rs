//! What the box says of itself to the cloud: the retained message on `…/status`, and the last will.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::{BootId, ClockQuality, ConsumerId, Epoch, SiteId, Timestamp};

/// The last will, and the last word at an orderly end.
pub(super) const OFFLINE: &str = r#"{"state":"offline"}"#;

/// One lane in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(super) struct LaneStatus {
    /// First number that is still there or in a gap; 0 when the lane is empty; `None` when it could not be read.
    pub(super) first: Option<u64>,
    /// Last number.
    pub(super) last: u64,
    /// How far each consumer is.
    pub(super) acked: BTreeMap<ConsumerId, u64>,
}

/// The lanes, in the order of their worth.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(super) struct Lanes {
    /// Business.
    pub(super) sales: LaneStatus,
    /// Visits.
    pub(super) presence: LaneStatus,
    /// Positions and heat.
    pub(super) trace: LaneStatus,
}

/// The disk.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub(super) struct Storage {
    /// Bytes the log takes; `None` when that could not be read.
    pub(super) bytes: Option<u64>,
    /// Bytes it may take.
    pub(super) limit: Option<u64>,
    /// Days until something unacknowledged would have to go, if nobody acknowledged anything; `None` until it is known.
    pub(super) days_left: Option<f64>,
    /// `ok`, `shedding` or `not_stored`.
    pub(super) state: &'static str,
}

/// What changes seldom: a change of it is told at once, the rest each minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Condition {
    /// The showroom.
    pub(super) site: SiteId,
    /// The database.
    pub(super) epoch: Epoch,
    /// Of the program.
    pub(super) version: &'static str,
    /// Of the machine.
    pub(super) boot: BootId,
    /// Whether its clock is believed.
    pub(super) clock: ClockQuality,
    /// Parts that do not work as they should.
    pub(super) degraded: Vec<String>,
    /// State of the disk; told among what is said of it.
    #[serde(skip)]
    pub(super) disk: &'static str,
    /// What came of the newest damaged database, if there ever was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) salvage: Option<Salvaged>,
}

/// A database that was set aside and salvaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Salvaged {
    /// When.
    pub(super) at: Timestamp,
    /// Its epoch, as far as it could be read.
    pub(super) from: Option<Epoch>,
    /// Events that live on.
    pub(super) kept: u64,
    /// Events that are lost.
    pub(super) lost: u64,
}

/// The whole of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Status {
    /// What changes seldom.
    pub(super) condition: Condition,
    /// When this was so.
    pub(super) at: Timestamp,
    /// How far the log is.
    pub(super) lanes: Lanes,
    /// How full the disk is.
    pub(super) storage: Storage,
}

impl Status {
    /// As it is sent.
    #[must_use]
    pub(super) fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Message<'a> {
            state: &'static str,
            #[serde(flatten)]
            condition: &'a Condition,
            at: Timestamp,
            lanes: &'a Lanes,
            storage: &'a Storage,
        }
        let Self { condition, at, lanes, storage } = self;
        // Texts and numbers only: encoding it cannot fail.
        serde_json::to_vec(&Message { state: "online", condition, at: *at, lanes, storage }).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_golden() {
        let nil = uuid::Uuid::nil();
        let lane = |last| LaneStatus { first: Some(1), last, acked: [("cloud".parse().expect("id"), 7)].into() };
        let status = Status {
            condition: Condition {
                site: "hel-01".parse().expect("id"),
                epoch: Epoch(nil),
                version: "0.1.0",
                boot: BootId(nil),
                clock: ClockQuality::Synced,
                degraded: vec!["ble".into()],
                disk: "ok",
                salvage: None,
            },
            at: Timestamp::UNIX_EPOCH,
            lanes: Lanes { sales: lane(9), presence: lane(8), trace: LaneStatus::default() },
            storage: Storage { bytes: Some(65_536), limit: Some(4_294_967_296), days_left: Some(41.5), state: "ok" },
        };
        let text = String::from_utf8(status.to_json()).expect("text");
        insta::assert_snapshot!(text, @r#"{"state":"online","site":"hel-01","epoch":"00000000-0000-0000-0000-000000000000","version":"0.1.0","boot":"00000000-0000-0000-0000-000000000000","clock":"synced","degraded":["ble"],"at":"1970-01-01T00:00:00.000000Z","lanes":{"sales":{"first":1,"last":9,"acked":{"cloud":7}},"presence":{"first":1,"last":8,"acked":{"cloud":7}},"trace":{"first":null,"last":0,"acked":{}}},"storage":{"bytes":65536,"limit":4294967296,"days_left":41.5,"state":"ok"}}"#);
    }

    #[test]
    fn a_salvage_is_told() {
        let salvaged = Salvaged { at: Timestamp::UNIX_EPOCH, from: Some(Epoch(uuid::Uuid::nil())), kept: 7, lost: 2 };
        let text = serde_json::to_string(&salvaged).expect("encodes");
        insta::assert_snapshot!(text, @r#"{"at":"1970-01-01T00:00:00.000000Z","from":"00000000-0000-0000-0000-000000000000","kept":7,"lost":2}"#);
    }

    #[test]
    fn the_will_is_json() {
        let will: serde_json::Value = serde_json::from_str(OFFLINE).expect("json");
        assert_eq!(will["state"], "offline");
    }
}
