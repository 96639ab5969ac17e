//! One message to clients: encoded once, compressed at most once, shared by all who get it.

use std::{
    io::Write as _,
    sync::{Arc, OnceLock},
};

use flate2::{Compression, write::GzEncoder};
use serde::Serialize;
use tokio_tungstenite::tungstenite::{Bytes, Utf8Bytes};

use super::rooms::Audience;
use crate::domain::Epoch;

/// Smaller messages are not worth compressing.
const WORTH_COMPRESSING: usize = 1024;

#[derive(Debug)]
struct Shared {
    text: Utf8Bytes,
    gzip: OnceLock<Option<Bytes>>,
}

/// What goes over the wire.
#[derive(Debug)]
pub(super) enum Content {
    /// JSON.
    Text(Bytes),
    /// gzip of JSON.
    Gzip(Bytes),
}

/// A message, cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Frame(Arc<Shared>);

#[derive(Serialize)]
struct Envelope<'a, P> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<Epoch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pos: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stored: Option<bool>,
    payload: &'a P,
}

impl Frame {
    /// A durable fact at `pos`, or a picture as of it.
    pub(super) fn at<P: Serialize>(kind: &'static str, epoch: Epoch, pos: u64, payload: &P) -> Self {
        Self::encode(&Envelope { kind, id: None, epoch: Some(epoch), pos: Some(pos), stored: None, payload })
    }

    /// A fact that the disk did not take yet: it comes again with its pos when it did.
    pub(super) fn unstored<P: Serialize>(kind: &'static str, payload: &P) -> Self {
        Self::encode(&Envelope { kind, id: None, epoch: None, pos: None, stored: Some(false), payload })
    }

    /// State, or a word about the connection.
    pub(super) fn state<P: Serialize>(kind: &'static str, payload: &P) -> Self {
        Self::encode(&Envelope { kind, id: None, epoch: None, pos: None, stored: None, payload })
    }

    /// An answer to the message of that id.
    pub(super) fn answer<P: Serialize>(kind: &'static str, id: Option<&str>, payload: &P) -> Self {
        Self::encode(&Envelope { kind, id, epoch: None, pos: None, stored: None, payload })
    }

    fn encode<P: Serialize>(envelope: &Envelope<'_, P>) -> Self {
        // Payloads are structs of texts and finite numbers: encoding them cannot fail.
        let text = serde_json::to_string(envelope).unwrap_or_default();
        Self(Arc::new(Shared { text: text.into(), gzip: OnceLock::new() }))
    }

    /// As JSON.
    pub(super) fn text(&self) -> &str {
        self.0.text.as_str()
    }

    /// As a client gets it; large ones compressed, if it takes that. Nothing is copied.
    pub(super) fn content(&self, gzip: bool) -> Content {
        let packed = if gzip { self.0.gzip.get_or_init(|| compress(self.text())) } else { &None };
        packed.clone().map_or_else(|| Content::Text(self.0.text.clone().into()), Content::Gzip)
    }
}

fn compress(text: &str) -> Option<Bytes> {
    if text.len() <= WORTH_COMPRESSING {
        return None;
    }
    let mut gzip = GzEncoder::new(Vec::with_capacity(text.len() / 4), Compression::fast());
    // Writing to memory cannot fail; without it the message goes as text.
    gzip.write_all(text.as_bytes()).ok()?;
    gzip.finish().ok().map(Bytes::from)
}

/// The frames of one event.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// Its position in the log.
    pub(super) pos: u64,
    /// What is said of it, and to whom.
    pub(super) frames: Vec<(Audience, Frame)>,
    /// The kiosk whose session it begins or ends: no resume goes over it.
    pub(super) boundary: Option<crate::domain::KioskId>,
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn large_messages_are_compressed_for_who_asks_and_small_ones_for_nobody() {
        let small = Frame::state("CURSOR", &"x");
        let large = Frame::state("HEATMAP", &"x".repeat(2000));
        assert!(matches!(small.content(true), Content::Text(_)));
        assert!(matches!(large.content(false), Content::Text(_)));
        let Content::Gzip(packed) = large.content(true) else { panic!("not compressed") };
        let mut text = String::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).expect("gzip");
        assert_eq!(text, large.text());
    }
}
