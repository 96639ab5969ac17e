//! A batch: one line of JSON about it, then the body, as `docs/protocol.md` §6 has it.
//!
//! Invariants: every number from `after` + 1 to `upto` is one event or inside one gap; the body holds at most
//! `max_events` lines and at most `max_bytes` bytes before compression, or one line that alone is longer. A page of the
//! log that does not go on where `after` ends is refused: a consumer must never take a hole for an end.

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::messages::PullRequest;
use crate::{
    domain::{Epoch, Gap, Lane, LaneItem, SiteId},
    wire::event::{gap_line, line},
};

/// Under this size compression is not worth its frame, bytes.
const WORTH_COMPRESSING: usize = 256;
/// Level 3 of zstd: about 5 times smaller on events at over 100 MB/s.
const LEVEL: i32 = 3;

/// Where a batch comes from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// The showroom.
    pub(super) site: SiteId,
    /// The database.
    pub(super) epoch: Epoch,
}

/// A finished answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    /// Header and body as they are sent.
    pub(super) payload: Vec<u8>,
    /// The next `after`.
    pub(super) upto: u64,
}

/// The log does not go on where it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("lane {} does not go on at seq {due}", lane.as_str())]
pub(super) struct Hole {
    /// Where.
    pub(super) lane: Lane,
    /// The number that should be next.
    pub(super) due: u64,
}

#[derive(Serialize)]
struct Header<'a> {
    id: &'a str,
    site: &'a SiteId,
    lane: Lane,
    epoch: Epoch,
    after: u64,
    upto: u64,
    count: usize,
    head: u64,
    encoding: &'static str,
    bytes: usize,
    sha256: String,
}

/// The answer to `request` from a page of its lane that begins after `request.after`; `head` is the lane's last number.
///
/// # Errors
/// When the page does not begin at the number that is due, has a hole, or is empty.
pub(super) fn build(source: &Source, request: &PullRequest, head: u64, page: &[LaneItem]) -> Result<Batch, Hole> {
    let mut body = Vec::new();
    let mut upto = request.after;
    let mut count = 0;
    for item in page.iter().take(request.max_events) {
        let text = render(item, request.lane, upto + 1)?;
        if count > 0 && body.len() + text.len() + 1 > request.max_bytes {
            break;
        }
        body.extend_from_slice(text.as_bytes());
        body.push(b'\n');
        upto = item.last_seq();
        count += 1;
    }
    if count == 0 {
        return Err(Hole { lane: request.lane, due: request.after + 1 });
    }
    Ok(finish(source, request, head.max(upto), upto, count, body))
}

/// The answer when there is nothing after `request.after`.
#[must_use]
pub(super) fn empty(source: &Source, request: &PullRequest, head: u64) -> Batch {
    finish(source, request, head, request.after, 0, Vec::new())
}

/// The line of an item that has to cover the number `due` first.
fn render(item: &LaneItem, lane: Lane, due: u64) -> Result<String, Hole> {
    match item {
        LaneItem::Event(event) if event.seq == due => Ok(line(event)),
        // Gaps that were merged may begin before a cursor that stood between them: say the part that is due.
        LaneItem::Gap(gap) if gap.from <= due && due <= gap.to => {
            let count = gap.count.min(gap.to - due + 1);
            Ok(gap_line(&Gap { from: due, count, ..gap.clone() }))
        }
        _ => Err(Hole { lane, due }),
    }
}

fn finish(source: &Source, request: &PullRequest, head: u64, upto: u64, count: usize, body: Vec<u8>) -> Batch {
    let (bytes, sha256) = (body.len(), hex::encode(Sha256::digest(&body)));
    let (encoding, body) = encode(body, request.zstd);
    let header = Header {
        id: &request.id,
        site: &source.site,
        lane: request.lane,
        epoch: source.epoch,
        after: request.after,
        upto,
        count,
        head,
        encoding,
        bytes,
        sha256,
    };
    // The header is texts and numbers: encoding it cannot fail.
    let mut payload = serde_json::to_vec(&header).unwrap_or_default();
    payload.push(b'\n');
    payload.extend_from_slice(&body);
    Batch { payload, upto }
}

fn encode(body: Vec<u8>, accepted: bool) -> (&'static str, Vec<u8>) {
    if accepted && body.len() >= WORTH_COMPRESSING {
        match zstd::bulk::compress(&body, LEVEL) {
            Ok(small) if small.len() < body.len() => return ("zstd", small),
            // Not smaller, or no memory for it: as it is.
            _ => {}
        }
    }
    ("identity", body)
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
