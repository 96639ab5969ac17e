//! Recordings: readings as JSON lines, plain or `.gz`, from a file or (`-`) standard input.
//!
//! A line that is no good reading is told with its number and does not end the recording; a file whose first line is no
//! JSON object is no recording at all. Lines are bounded, so that no file can take all memory.

use std::{
    borrow::Cow,
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, de::IgnoredAny};

use crate::domain::{AnchorId, Dbm, Reading, TagId, Timestamp};

/// Longer lines are no readings.
const MAX_LINE: u64 = 64 * 1024;
/// Names remembered, so that each is allocated once; beyond, the memory starts anew.
const MAX_NAMES: usize = 16 * 1024;

/// Why a recording cannot be read (on).
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// It could not be opened.
    #[error("recording {path} could not be opened")]
    Open {
        /// As given.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It broke off.
    #[error("recording {path} could not be read after line {line}")]
    Read {
        /// As given.
        path: String,
        /// The last good line.
        line: u64,
        /// Why.
        source: io::Error,
    },
    /// It is something else.
    #[error(
        "{path}:{line}: this is no recording: a JSON object with t, anchor, tag and rssi is expected on every line"
    )]
    NotRecording {
        /// As given.
        path: String,
        /// Its first line that is not empty.
        line: u64,
    },
}

/// A line of a recording.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// A tag was heard.
    Reading(Reading),
    /// A reading of a sensor; the presence engine has no use for it.
    Sensor,
    /// No reading; the file, the line and what is wrong with it.
    Bad(String),
}

#[derive(Deserialize)]
struct RawReading<'a> {
    t: f64,
    #[serde(borrow)]
    anchor: Option<Cow<'a, str>>,
    #[serde(borrow)]
    tag: Option<Cow<'a, str>>,
    rssi: Option<f32>,
    kind: Option<IgnoredAny>,
}

/// A recording being read.
pub struct Recording {
    path: String,
    lines: Box<dyn BufRead>,
    buffer: Vec<u8>,
    line: u64,
    /// Whether any line was a JSON object so far.
    known: bool,
    ended: bool,
    anchors: HashMap<String, AnchorId>,
    tags: HashMap<String, TagId>,
}

impl Recording {
    /// Opens `path`; `-` is standard input.
    ///
    /// # Errors
    /// When there is no such file, or it may not be read.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let shown = path.display().to_string();
        let reader: Box<dyn Read> = if shown == "-" {
            Box::new(io::stdin())
        } else {
            let file = File::open(path).map_err(|source| RecordingError::Open { path: shown.clone(), source })?;
            if path.extension().is_some_and(|it| it == "gz") {
                Box::new(MultiGzDecoder::new(file))
            } else {
                Box::new(file)
            }
        };
        Ok(Self::over(shown, Box::new(BufReader::with_capacity(128 * 1024, reader))))
    }

    fn over(path: String, lines: Box<dyn BufRead>) -> Self {
        let (anchors, tags) = (HashMap::new(), HashMap::new());
        Self { path, lines, buffer: Vec::new(), line: 0, known: false, ended: false, anchors, tags }
    }

    /// Puts the next line that is not empty into the buffer; `false` at the end.
    fn fill(&mut self) -> Result<bool, RecordingError> {
        loop {
            self.buffer.clear();
            let read = (&mut self.lines).take(MAX_LINE).read_until(b'\n', &mut self.buffer);
            match read.and_then(|read| self.skip_rest(read)) {
                Ok(0) => return Ok(false),
                Ok(_) => self.line += 1,
                Err(source) => {
                    let (path, line) = (self.path.clone(), self.line);
                    return Err(RecordingError::Read { path, line, source });
                }
            }
            if !self.buffer.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }

    /// Passes over what is left of a line that is too long.
    fn skip_rest(&mut self, read: usize) -> io::Result<usize> {
        if (read as u64) < MAX_LINE || self.buffer.ends_with(b"\n") {
            return Ok(read);
        }
        self.buffer = b"a line of over 64 KiB".to_vec();
        loop {
            let chunk = self.lines.fill_buf()?;
            let end = chunk.iter().position(|b| *b == b'\n');
            let (length, done) = end.map_or((chunk.len(), chunk.is_empty()), |end| (end + 1, true));
            self.lines.consume(length);
            if done {
                return Ok(read);
            }
        }
    }

    fn item(&mut self) -> Result<Item, String> {
        let raw: RawReading<'_> = serde_json::from_slice(&self.buffer).map_err(|e| e.to_string())?;
        if raw.kind.is_some() {
            return Ok(Item::Sensor);
        }
        let missing = |what: &str| format!("{what} is missing");
        let at = Timestamp::from_unix_seconds(raw.t).ok_or_else(|| format!("t {:e} is no time", raw.t))?;
        let rssi = Dbm::new(raw.rssi.ok_or_else(|| missing("rssi"))?).map_err(|e| format!("rssi {e}"))?;
        let anchor = known(&mut self.anchors, &raw.anchor.ok_or_else(|| missing("anchor"))?)?;
        let tag = known(&mut self.tags, &raw.tag.ok_or_else(|| missing("tag"))?)?;
        Ok(Item::Reading(Reading { at, anchor, tag, rssi }))
    }
}

impl Iterator for Recording {
    type Item = Result<Item, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        match self.fill() {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                self.ended = true;
                return Some(Err(error));
            }
        }
        if !self.known && serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&self.buffer).is_err() {
            self.ended = true;
            return Some(Err(RecordingError::NotRecording { path: self.path.clone(), line: self.line }));
        }
        self.known = true;
        let item = self.item().unwrap_or_else(|problem| Item::Bad(format!("{}:{}: {problem}", self.path, self.line)));
        Some(Ok(item))
    }
}

/// The identifier of that name, the same allocation each time.
fn known<Id: Clone + std::str::FromStr<Err = E>, E: ToString>(
    names: &mut HashMap<String, Id>,
    name: &str,
) -> Result<Id, String> {
    if let Some(id) = names.get(name) {
        return Ok(id.clone());
    }
    let id: Id = name.parse().map_err(|e: E| e.to_string())?;
    if names.len() >= MAX_NAMES {
        names.clear();
    }
    names.insert(name.to_owned(), id.clone());
    Ok(id)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;

    fn read(text: &str) -> Vec<Result<Item, RecordingError>> {
        Recording::over("r.jsonl".into(), Box::new(Cursor::new(text.to_owned().into_bytes()))).collect()
    }

    #[test]
    fn bad_lines_are_told_and_passed_over() {
        let long = format!("{{\"t\":1,\"x\":\"{}\"}}", "x".repeat(200_000));
        let text = [
            r#"{"t":1581252411.2438,"anchor":"north-door","tag":"a","rssi":-72}"#,
            "",
            r#"{"t":1,"kind":"temperature","value":21}"#,
            r#"{"t":1,"anchor":"a/b","tag":"a","rssi":-72}"#,
            r#"{"t":1,"anchor":"a","tag":"a","rssi":127}"#,
            r#"{"t":1e300,"anchor":"a","tag":"a","rssi":-7}"#,
            "rubbish",
            &long,
            r#"{"t":2,"anchor":"a","tag":"a","rssi":-72.5}"#,
        ]
        .join("\n");
        let items: Vec<_> = read(&text).into_iter().map(|item| item.expect("reads on")).collect();
        let kinds = items.iter().map(|item| match item {
            Item::Reading(reading) => reading.at.to_string(),
            Item::Sensor => "sensor".into(),
            Item::Bad(problem) => problem.clone(),
        });
        insta::assert_snapshot!(kinds.collect::<Vec<_>>().join("\n"), @r#"
        2020-02-09T12:46:51.243800Z
        sensor
        r.jsonl:4: "a/b" is no anchor id: 1 to 64 of A-Z, a-z, 0-9, _, . and -
        r.jsonl:5: rssi 127 dBm is outside -127 to 20
        r.jsonl:6: t 1e300 is no time
        r.jsonl:7: expected value at line 1 column 1
        r.jsonl:8: expected value at line 1 column 1
        1970-01-01T00:00:02.000000Z
        "#);
    }

    #[test]
    fn what_is_no_recording_is_refused_at_once() {
        for text in ["hello\nworld", "[1,2]", "\n\n<html>"] {
            let items = read(text);
            assert!(matches!(&items[..], [Err(RecordingError::NotRecording { .. })]), "{items:?}");
        }
        assert!(read("").is_empty());
    }

    #[test]
    fn compressed_recordings_are_read_and_torn_ones_say_where() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("r.jsonl.gz");
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        for i in 0..1000 {
            writeln!(gz, "{{\"t\":{i},\"anchor\":\"a\",\"tag\":\"t{}\",\"rssi\":-{}}}", i * 7919 % 997, i % 90)
                .expect("writes");
        }
        let bytes = gz.finish().expect("finishes");
        std::fs::write(&path, &bytes).expect("writes");
        assert_eq!(Recording::open(&path).expect("opens").flatten().count(), 1000);
        std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("writes");
        let last = Recording::open(&path).expect("opens").last();
        assert!(matches!(last, Some(Err(RecordingError::Read { line: 1.., .. }))), "{last:?}");
        assert!(matches!(Recording::open(&folder.path().join("none")), Err(RecordingError::Open { .. })));
    }
}
