//! One line of a body, taken apart as far as the collector looks into it. What it does not look into is kept as it came,
//! byte for byte, fields that this program does not know included. Pure.

use std::{borrow::Cow, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
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

/// Reads one line of a body of `lane`.
///
/// # Errors
/// When it is not understood or of another lane.
pub(super) fn read(text: &[u8], lane: Lane) -> Result<Item, Broken> {
    let fields: Fields<'_> = serde_json::from_slice(text).map_err(|error| Broken::Line(error.to_string()))?;
    match fields.gap {
        Some(gap) => Ok(Item::Gap(gap)),
        None => Ok(Item::Event(Box::new(fields.into_event(lane)?))),
    }
}

/// The fields of a line: what is looked into, and the rest as it came.
#[derive(Default)]
struct Fields<'a> {
    gap: Option<Gap>,
    lane: Option<Lane>,
    seq: Option<u64>,
    pos: Option<u64>,
    id: Option<Uuid>,
    kind: Option<String>,
    at: Option<Timestamp>,
    clock: Option<ClockMark>,
    visit: Option<Uuid>,
    customer: Option<Uuid>,
    vehicle: Option<String>,
    staff: Option<String>,
    personal: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    /// `data` among them.
    rest: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl Fields<'_> {
    fn into_event(self, lane: Lane) -> Result<EventRow, Broken> {
        if need("lane", self.lane)? != lane {
            return Err(Broken::Line("it is of another lane".into()));
        }
        let (kind, clock) = (need("kind", self.kind)?, need("clock", self.clock)?);
        let word = match self.data {
            Some(data) if kind == "clock.synced" => {
                let synced: ClockSynced = serde_json::from_str(data.get())
                    .map_err(|error| Broken::Line(format!("data of clock.synced: {error}")))?;
                Word::new(&clock, &synced)
            }
            _ => None,
        };
        Ok(EventRow {
            seq: need("seq", self.seq)?,
            pos: need("pos", self.pos)?,
            id: need("id", self.id)?,
            kind,
            at: need("at", self.at)?,
            clock,
            visit: self.visit,
            customer: self.customer,
            vehicle: self.vehicle,
            staff: self.staff,
            personal: self.personal.map(|raw| raw.get().to_owned()).filter(|text| text != "null"),
            body: object(&self.rest),
            word,
        })
    }
}

fn need<T>(name: &str, value: Option<T>) -> Result<T, Broken> {
    value.ok_or_else(|| Broken::Line(format!("{name} is missing")))
}

/// Fields as one JSON object.
fn object(fields: &[(Cow<'_, str>, &RawValue)]) -> String {
    let size: usize = fields.iter().map(|(name, raw)| name.len() + raw.get().len() + 4).sum();
    let mut text = String::with_capacity(size + 2);
    text.push('{');
    for (name, raw) in fields {
        if text.len() > 1 {
            text.push(',');
        }
        // A text is always encoded.
        text.push_str(&serde_json::to_string(name).unwrap_or_default());
        text.push(':');
        text.push_str(raw.get());
    }
    text.push('}');
    text
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Line<'a>(PhantomData<Fields<'a>>);
        impl<'de: 'a, 'a> Visitor<'de> for Line<'a> {
            type Value = Fields<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an event or a gap")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'a>, A::Error> {
                let mut fields = Fields::default();
                while let Some(Name(name)) = map.next_key()? {
                    match &*name {
                        "gap" => fields.gap = value(&mut map, &name)?,
                        "lane" => fields.lane = value(&mut map, &name)?,
                        "seq" => fields.seq = value(&mut map, &name)?,
                        "pos" => fields.pos = value(&mut map, &name)?,
                        "id" => fields.id = value(&mut map, &name)?,
                        "kind" => fields.kind = value(&mut map, &name)?,
                        "at" => fields.at = value(&mut map, &name)?,
                        "clock" => fields.clock = value(&mut map, &name)?,
                        "visit" => fields.visit = value(&mut map, &name)?,
                        "customer" => fields.customer = value(&mut map, &name)?,
                        "vehicle" => fields.vehicle = value(&mut map, &name)?,
                        "staff" => fields.staff = value(&mut map, &name)?,
                        "personal" => fields.personal = Some(map.next_value()?),
                        _ => {
                            let raw = map.next_value()?;
                            if name == "data" {
                                fields.data = Some(raw);
                            }
                            fields.rest.push((name, raw));
                        }
                    }
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Line(PhantomData))
    }
}

/// A value that has to make sense; the error says whose it is.
fn value<'de, A: MapAccess<'de>, T: Deserialize<'de>>(map: &mut A, name: &str) -> Result<T, A::Error> {
    map.next_value().map_err(|error| A::Error::custom(format!("{name}: {error}")))
}

/// A name of a field, which is copied only where it is escaped.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

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
        assert_eq!(event.body, r#"{"data":{"b":1.50,"a":[ 2 ]},"v":1,"new\"field":{"x":null}}"#);
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
