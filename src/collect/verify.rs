//! What a box sends, believed only after it was checked: size, sha256, number of lines, and that every number of the
//! lane from `after` + 1 to `upto` is one event or inside one gap. Pure.

use std::{borrow::Cow, io::Read};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::row::{self, Item};
use crate::domain::{Epoch, Lane, SiteId};

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
    /// It is well formed, and the database does not take it.
    #[error("the database does not take it: {0}")]
    Unfit(String),
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
        let item = row::read(line, header.lane)?;
        let (first, upto) = item.span();
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

fn unpack<'a>(header: &Header, body: &'a [u8]) -> Result<Cow<'a, [u8]>, Broken> {
    match header.encoding.as_str() {
        "identity" => Ok(Cow::Borrowed(body)),
        "zstd" => {
            let failed = |error: std::io::Error| Broken::Encoding(error.to_string());
            // One byte more than announced is enough to see that it is too long.
            let limit = header.bytes.min(MAX_BODY) + 1;
            let mut unpacked = Vec::new();
            let decoder = zstd::Decoder::new(body).map_err(failed)?;
            decoder.take(limit).read_to_end(&mut unpacked).map_err(failed)?;
            Ok(Cow::Owned(unpacked))
        }
        other => Err(Broken::Encoding(format!("{other:?} is not known"))),
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
pub(super) mod tests;
