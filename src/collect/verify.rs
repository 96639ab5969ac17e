//! What a box sends, believed only after it was checked: size, sha256, number of lines, and that every number of the
//! lane from `after` + 1 to `upto` is one event or inside one gap. Pure.

use std::io::Read;

use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::dating::Word;
use crate::domain::{ClockMark, ClockSynced, Epoch, Gap, Lane, SiteId, Timestamp};

/// The largest body that is unpacked: far above what a box sends.
const MAX_BODY: u64 = 64 * 1024 * 1024;

/// Why an answer is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The first line.
    #[error("the header is not understood: {0}")]
    Header(String),
    /// The compression.
    #[error("the body cannot be unpacked: {0}")]
    Encoding(String),
    /// The size.
    #[error("the body has {is} bytes, the header says {should}")]
    Bytes {
        /// As it came.
        is: u64,
        /// As it was announced.
        should: u64,
    },
    /// The checksum.
    #[error("the sha256 of the body differs")]
    Checksum,
    /// The number of lines.
    #[error("the body has {is} lines, the header says {should}")]
    Count {
        /// As it came.
        is: u64,
        /// As it was announced.
        should: u64,
    },
    /// One line.
    #[error("a line is not understood: {0}")]
    Line(String),
    /// The numbers.
    #[error("seq {due} is due, but {found} comes")]
    Order {
        /// What should come.
        due: u64,
        /// What came.
        found: u64,
    },
}

/// What is said about a body.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Header {
    /// Of the pull that it answers.
    pub(super) id: String,
    /// From which box.
    pub(super) site: SiteId,
    /// Of which lane.
    pub(super) lane: Lane,
    /// Of which database.
    pub(super) epoch: Epoch,
    /// What was asked for.
    pub(super) after: u64,
    /// The last number that it covers.
    pub(super) upto: u64,
    /// Lines.
    pub(super) count: u64,
    /// The last number of the lane.
    pub(super) head: u64,
    /// `identity` or `zstd`.
    pub(super) encoding: String,
    /// Before compression.
    pub(super) bytes: u64,
    /// Before compression, hexadecimal.
    pub(super) sha256: String,
}

/// An event, taken apart as far as the collector looks into it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct EventRow {
    /// Its number in the lane.
    pub(super) seq: u64,
    /// Its position in the box's log.
    pub(super) pos: u64,
    /// Its own id.
    pub(super) id: Uuid,
    /// What happened.
    pub(super) kind: String,
    /// When, by the wall clock of then.
    pub(super) at: Timestamp,
    /// What the box's clocks said.
    pub(super) clock: ClockMark,
    /// What it says of them, as a `clock.synced`.
    pub(super) word: Option<Word>,
    /// Its subjects as they stand on the wire: visit, customer, vehicle, staff.
    pub(super) subjects: [Option<String>; 4],
    /// What is personal about it, as JSON.
    pub(super) personal: Option<String>,
    /// All of it but what is personal, as JSON.
    pub(super) body: String,
}

/// One line of a body.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    /// An event.
    Event(Box<EventRow>),
    /// Numbers without events.
    Gap(Gap),
}

/// A batch that may be believed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Batch {
    /// What it is.
    pub(super) header: Header,
    /// What is in it.
    pub(super) items: Vec<Item>,
}

/// A refusal as boxes write it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Refusal {
    /// Its class.
    pub(super) code: String,
    /// For people.
    #[serde(default)]
    pub(super) message: String,
    /// With `epoch_changed`.
    pub(super) epoch: Option<Epoch>,
}

/// What came on the topic of batches.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer<'a> {
    /// A header, and a body that is not checked yet.
    Batch(Header, &'a [u8]),
    /// The pull of that id was refused.
    Refused(String, Refusal),
}

/// Takes the first line off an answer.
///
/// # Errors
/// When that is not understood.
pub(super) fn read_answer(payload: &[u8]) -> Result<Answer<'_>, Broken> {
    #[derive(Deserialize)]
    struct Refused {
        id: String,
        error: Refusal,
    }
    let end = payload.iter().position(|byte| *byte == b'\n').unwrap_or(payload.len());
    let (first, rest) = payload.split_at(end);
    if let Ok(Refused { id, error }) = serde_json::from_slice(first) {
        return Ok(Answer::Refused(id, error));
    }
    let header = serde_json::from_slice(first).map_err(|error| Broken::Header(error.to_string()))?;
    Ok(Answer::Batch(header, rest.get(1..).unwrap_or_default()))
}

/// Checks a body against its header.
///
/// # Errors
/// When anything differs.
pub(super) fn check(header: Header, body: &[u8]) -> Result<Batch, Broken> {
    let body = unpack(&header, body)?;
    if body.len() as u64 != header.bytes {
        return Err(Broken::Bytes { is: body.len() as u64, should: header.bytes });
    }
    if !hex::encode(Sha256::digest(&body)).eq_ignore_ascii_case(&header.sha256) {
        return Err(Broken::Checksum);
    }
    let mut last = header.after;
    let mut items = Vec::new();
    for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let (first, upto, item) = read_line(line, header.lane)?;
        if first != last + 1 || upto < first {
            return Err(Broken::Order { due: last + 1, found: first });
        }
        last = upto;
        items.push(item);
    }
    if items.len() as u64 != header.count {
        return Err(Broken::Count { is: items.len() as u64, should: header.count });
    }
    if last != header.upto || header.head < header.upto {
        return Err(Broken::Order { due: header.upto, found: last });
    }
    Ok(Batch { header, items })
}

fn unpack(header: &Header, body: &[u8]) -> Result<Vec<u8>, Broken> {
    match header.encoding.as_str() {
        "identity" => Ok(body.to_vec()),
        "zstd" => {
            let failed = |error: std::io::Error| Broken::Encoding(error.to_string());
            // One byte more than announced is enough to see that it is too long.
            let limit = header.bytes.min(MAX_BODY) + 1;
            let mut unpacked = Vec::new();
            let decoder = zstd::Decoder::new(body).map_err(failed)?;
            decoder.take(limit).read_to_end(&mut unpacked).map_err(failed)?;
            Ok(unpacked)
        }
        other => Err(Broken::Encoding(format!("{other:?} is not known"))),
    }
}

/// The first and last number of a line, and what it says.
fn read_line(text: &[u8], lane: Lane) -> Result<(u64, u64, Item), Broken> {
    let wrong = |what: &str| Broken::Line(what.to_owned());
    let mut fields: Map<String, Value> =
        serde_json::from_slice(text).map_err(|error| Broken::Line(error.to_string()))?;
    if let Some(gap) = fields.remove("gap") {
        let gap: Gap = serde_json::from_value(gap).map_err(|error| Broken::Line(error.to_string()))?;
        return Ok((gap.from, gap.to, Item::Gap(gap)));
    }
    let number = |name: &str| fields.get(name).and_then(Value::as_u64).ok_or_else(|| wrong(name));
    let field = |name: &str| fields.get(name).and_then(Value::as_str).map(str::to_owned);
    if field("lane").as_deref() != Some(lane.as_str()) {
        return Err(wrong("it is of another lane"));
    }
    let (seq, pos) = (number("seq")?, number("pos")?);
    let id = field("id").and_then(|id| Uuid::parse_str(&id).ok()).ok_or_else(|| wrong("id"))?;
    let kind = field("kind").ok_or_else(|| wrong("kind"))?;
    let at = field("at").and_then(|at| Timestamp::parse(&at).ok()).ok_or_else(|| wrong("at"))?;
    let clock = ClockMark::deserialize(fields.get("clock").unwrap_or(&Value::Null)).map_err(|_| wrong("clock"))?;
    let word = match fields.get("data") {
        Some(data) if kind == "clock.synced" => {
            Word::new(&clock, &ClockSynced::deserialize(data).map_err(|_| wrong("data of clock.synced"))?)
        }
        _ => None,
    };
    let subjects = ["visit", "customer", "vehicle", "staff"].map(field);
    let personal = fields.remove("personal").filter(|personal| !personal.is_null()).map(|fields| fields.to_string());
    let body = Value::Object(fields).to_string();
    let event = EventRow { seq, pos, id, kind, at, clock, word, subjects, personal, body };
    Ok((seq, seq, Item::Event(Box::new(event))))
}

#[cfg(test)]
#[path = "verify_tests.rs"]
pub(super) mod tests;
