//! One line of a body, taken apart as far as the collector looks into it. What it does not look into is kept as it came,
//! byte for byte, fields that this program does not know included. Pure.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{dating::Word, verify::Broken};
use crate::domain::{ClockMark, ClockSynced, Gap, Lane, Timestamp};

/// An event.
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
    /// Whom it is about.
    pub(super) visit: Option<Uuid>,
    /// Whom it is about.
    pub(super) customer: Option<Uuid>,
    /// Which car.
    pub(super) vehicle: Option<String>,
    /// Which member of the staff.
    pub(super) staff: Option<String>,
    /// What is personal about it, as JSON.
    pub(super) personal: Option<String>,
    /// The rest of it, as a JSON object: `data`, `v`, `origin`, and what this program does not know.
    pub(super) body: String,
    /// What it says of the box's clock, as a `clock.synced`.
    pub(super) word: Option<Word>,
}

/// One line of a body.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    /// An event.
    Event(Box<EventRow>),
    /// Numbers without events.
    Gap(Gap),
}

impl Item {
    /// The first and the last number that it covers.
    pub(super) fn span(&self) -> (u64, u64) {
        match self {
            Self::Event(event) => (event.seq, event.seq),
            Self::Gap(gap) => (gap.from, gap.to),
        }
    }
}

/// The fields of a line, each as it came.
struct Fields<'a>(BTreeMap<Cow<'a, str>, &'a RawValue>);

impl Fields<'_> {
    fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Broken> {
        let Some(raw) = self.0.remove(name) else { return Ok(None) };
        serde_json::from_str(raw.get()).map_err(|error| Broken::Line(format!("{name}: {error}")))
    }

    fn need<T: DeserializeOwned>(&mut self, name: &str) -> Result<T, Broken> {
        self.take(name)?.ok_or_else(|| Broken::Line(format!("{name} is missing")))
    }

    /// What was not taken, as one JSON object.
    fn rest(&self) -> String {
        let mut text = String::with_capacity(64 + self.0.values().map(|raw| raw.get().len()).sum::<usize>());
        for (name, raw) in &self.0 {
            text.push(if text.is_empty() { '{' } else { ',' });
            // A text is always encoded.
            text.push_str(&serde_json::to_string(name).unwrap_or_default());
            text.push(':');
            text.push_str(raw.get());
        }
        text.push_str(if text.is_empty() { "{}" } else { "}" });
        text
    }
}

/// Reads one line of a body of `lane`.
///
/// # Errors
/// When it is not understood or of another lane.
pub(super) fn read(text: &[u8], lane: Lane) -> Result<Item, Broken> {
    let fields: BTreeMap<Key<'_>, &RawValue> =
        serde_json::from_slice(text).map_err(|error| Broken::Line(error.to_string()))?;
    let mut fields = Fields(fields.into_iter().map(|(key, raw)| (key.0, raw)).collect());
    if let Some(gap) = fields.take("gap")? {
        return Ok(Item::Gap(gap));
    }
    if fields.need::<Lane>("lane")? != lane {
        return Err(Broken::Line("it is of another lane".into()));
    }
    let kind: String = fields.need("kind")?;
    let clock: ClockMark = fields.need("clock")?;
    let word = match fields.0.get("data") {
        Some(data) if kind == "clock.synced" => {
            let synced: ClockSynced = serde_json::from_str(data.get())
                .map_err(|error| Broken::Line(format!("data of clock.synced: {error}")))?;
            Word::new(&clock, &synced)
        }
        _ => None,
    };
    let personal = fields.0.remove("personal").map(|raw| raw.get().to_owned()).filter(|text| text != "null");
    let mut event = EventRow {
        seq: fields.need("seq")?,
        pos: fields.need("pos")?,
        id: fields.need("id")?,
        kind,
        at: fields.need("at")?,
        clock,
        visit: fields.take("visit")?,
        customer: fields.take("customer")?,
        vehicle: fields.take("vehicle")?,
        staff: fields.take("staff")?,
        personal,
        body: String::new(),
        word,
    };
    event.body = fields.rest();
    Ok(Item::Event(Box::new(event)))
}

/// A name of a field, which is copied only where it is escaped.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"pos":7,"lane":"sales","seq":3,"id":"01990000-0000-7000-8000-000000000001","kind":"x.y",
        "at":"2026-11-24T10:00:00.000000Z","clock":{"boot":"00000000-0000-0000-0000-000000000000","mono_ns":5,
        "quality":"unsynced"},"vehicle":"V1","data":{"b":1.50,"a":[ 2 ]},"v":1,"new\"field":{"x":null}}"#;

    #[test]
    fn what_is_not_looked_into_is_kept_as_it_came() {
        let Ok(Item::Event(event)) = read(LINE.as_bytes(), Lane::Sales) else { panic!("an event") };
        assert_eq!((event.seq, event.pos, event.clock.mono_ns, event.vehicle.as_deref()), (3, 7, 5, Some("V1")));
        assert_eq!(event.body, r#"{"data":{"b":1.50,"a":[ 2 ]},"new\"field":{"x":null},"v":1}"#);
        assert_eq!((event.personal, event.visit, event.word), (None, None, None));
    }

    #[test]
    fn what_is_looked_into_has_to_make_sense() {
        for (from, to) in [
            (r#""seq":3,"#, ""),
            (r#""seq":3"#, r#""seq":-3"#),
            ("2026-11-24T10", "yesterday"),
            (r#""lane":"sales""#, r#""lane":"trace""#),
            (r#""vehicle":"V1""#, r#""visit":"V1""#),
            ("x.y", "clock.synced"),
            ("unsynced", "perhaps"),
        ] {
            let line = LINE.replacen(from, to, 1);
            assert!(matches!(read(line.as_bytes(), Lane::Sales), Err(Broken::Line(_))), "{to}");
        }
    }
}
