//! Events, gaps and questions for tests, and a look into answers.

use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::messages::PullRequest;
use crate::domain::{
    BootId, ClockMark, ClockQuality, Epoch, Event, EventBody, EventId, Gap, GapReason, KioskCalled, Lane, LaneItem,
    Revealed, SessionId, Subjects, Timestamp,
};

pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) fn epoch() -> Epoch {
    Epoch(Uuid::from_u128(9))
}

pub(super) fn event(seq: u64) -> LaneItem {
    let body = EventBody::KioskCalled(KioskCalled {
        kiosk: "K1".parse().expect("id"),
        session: SessionId(Uuid::from_u128(3)),
    });
    LaneItem::Event(Box::new(Event {
        pos: seq * 2,
        lane: Lane::Sales,
        seq,
        id: EventId(Uuid::from_u64_pair(7, seq)),
        at: Timestamp::UNIX_EPOCH,
        clock: ClockMark { boot: BootId(Uuid::nil()), mono_ns: 1, quality: ClockQuality::Synced },
        subjects: Subjects::default(),
        body,
        personal: Revealed::Absent,
        origin: None,
        version: 1,
    }))
}

pub(super) fn gap(from: u64, to: u64) -> LaneItem {
    let (count, reason, at) = (to - from + 1, GapReason::Retention, Timestamp::UNIX_EPOCH);
    LaneItem::Gap(Gap { from, to, count, reason, at })
}

pub(super) fn ask(id: &str, after: u64, wait: Duration) -> PullRequest {
    let epoch = (after > 0).then(epoch);
    let (max_events, max_bytes) = (500, 262_144);
    PullRequest { id: id.into(), lane: Lane::Sales, epoch, after, max_events, max_bytes, zstd: false, wait }
}

/// The header of an answer, and its body as it is before compression.
pub(super) fn open(payload: &[u8]) -> (Value, Vec<u8>) {
    let end = payload.iter().position(|byte| *byte == b'\n').unwrap_or(payload.len());
    let header: Value = serde_json::from_slice(&payload[..end]).expect("a header");
    let body = payload.get(end + 1..).unwrap_or_default();
    let body = if header["encoding"] == "zstd" { zstd::decode_all(body).expect("zstd") } else { body.to_vec() };
    if header.get("error").is_none() {
        assert_eq!(header["bytes"], body.len());
        assert_eq!(header["sha256"], hex::encode(Sha256::digest(&body)));
    }
    (header, body)
}

pub(super) fn page_of(lane: &[LaneItem], after: u64) -> Vec<LaneItem> {
    lane.iter().filter(|item| item.last_seq() > after).cloned().collect()
}
