//! Our own anchors: many advertisements a message.
//!
//! ```json
//! {"seq":17,"uptime_ms":52000,"adverts":[{"mac":"aabbccddeeff","rnd":true,"rssi":-71,"age_ms":120,"data":"0201061aff4c…"}]}
//! ```
//! A recording played through a broker may add `"t"`, Unix seconds of the batch. Items are judged one by one while they
//! are read: at most [`MAX_ADVERTS`] are kept, what is refused is counted with its first reason. Broken JSON, an item
//! that is no object, or a number beyond 64-bit floating point refuse the whole message.

use std::{fmt, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, SeqAccess, Visitor},
};

use super::{DecodeError, Heard, ItemError, Mac, Message, Rejected, advert, anchor::object, scalar::Scalar};
use crate::domain::{AnchorId, Dbm, TagId};

/// Advertisements kept of one message.
pub const MAX_ADVERTS: usize = 1000;
/// What is older when it is sent is history, not presence.
pub const MAX_AGE: Duration = Duration::from_mins(1);
/// An extended advertisement chain (Core specification 6.B.2.3.4.9).
const MAX_DATA_BYTES: usize = 1650;

pub(super) fn decode(anchor: AnchorId, payload: &[u8]) -> Result<Message, DecodeError> {
    let batch: Batch<'_> = object(payload)?;
    let Adverts { items, rejected } = batch.adverts;
    let seq = batch.seq.number().filter(|n| *n >= 0.0).map(|n| n as u64);
    Ok(Message::Heard { anchor, items, at: batch.t.number(), seq, rejected })
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow, default)]
    seq: Scalar<'a>,
    #[serde(borrow, default)]
    t: Scalar<'a>,
    adverts: Adverts,
}

#[derive(Deserialize)]
struct RawAdvert<'a> {
    #[serde(borrow, default)]
    mac: Scalar<'a>,
    #[serde(borrow, default)]
    rssi: Scalar<'a>,
    #[serde(borrow, default)]
    age_ms: Scalar<'a>,
    #[serde(borrow, default)]
    data: Scalar<'a>,
}

impl RawAdvert<'_> {
    fn check(&self) -> Result<Heard, ItemError> {
        Ok(Heard { rssi: rssi(&self.rssi)?, age: self.age()?, tag: self.tag()? })
    }

    fn age(&self) -> Result<Duration, ItemError> {
        let ms = match self.age_ms {
            Scalar::Absent => 0.0,
            Scalar::Number(ms) => ms,
            Scalar::Text(_) | Scalar::Other => return Err(ItemError::Age),
        };
        let known = Duration::try_from_secs_f64(ms / 1000.0).ok().filter(|age| *age <= MAX_AGE);
        known.ok_or(ItemError::Age)
    }

    fn tag(&self) -> Result<TagId, ItemError> {
        let tag = match self.beacon()? {
            Some(beacon) => beacon.tag(),
            None => self.mac.text().and_then(Mac::parse).ok_or(ItemError::Sender)?.tag(),
        };
        tag.map_err(|_| ItemError::Tag)
    }

    fn beacon(&self) -> Result<Option<advert::Beacon>, ItemError> {
        let text = match &self.data {
            Scalar::Absent => return Ok(None),
            Scalar::Text(text) => text.as_bytes(),
            Scalar::Number(_) | Scalar::Other => return Err(ItemError::Data),
        };
        let mut bytes = [0; MAX_DATA_BYTES];
        let bytes = bytes.get_mut(..text.len() / 2).ok_or(ItemError::Data)?;
        hex::decode_to_slice(text, bytes).map_err(|_| ItemError::Data)?;
        Ok(advert::beacon(bytes))
    }
}

/// The level of any format, checked.
pub(super) fn rssi(raw: &Scalar<'_>) -> Result<Dbm, ItemError> {
    let number = raw.number().ok_or(ItemError::NoRssi)?;
    Dbm::new(number as f32).map_err(ItemError::Rssi)
}

/// The list, judged as it is read.
#[derive(Default)]
struct Adverts {
    items: Vec<Heard>,
    rejected: Rejected,
}

impl<'de> Deserialize<'de> for Adverts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(AdvertsVisitor)
    }
}

struct AdvertsVisitor;

impl<'de> Visitor<'de> for AdvertsVisitor {
    type Value = Adverts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of advertisements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Adverts, A::Error> {
        let mut adverts = Adverts::default();
        while adverts.items.len() < MAX_ADVERTS {
            let Some(raw) = seq.next_element::<RawAdvert<'de>>()? else { return Ok(adverts) };
            match raw.check() {
                Ok(heard) => adverts.items.push(heard),
                Err(why) => adverts.rejected.add(why),
            }
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            adverts.rejected.add(ItemError::TooMany);
        }
        Ok(adverts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::anchor_message;

    fn read(payload: &str) -> (Vec<Heard>, Option<f64>, Option<u64>, Rejected) {
        match anchor_message("showfloor/anchor/north-door/adverts", payload.as_bytes()) {
            Ok(Message::Heard { anchor, items, at, seq, rejected }) => {
                assert_eq!(anchor.as_str(), "north-door");
                (items, at, seq, rejected)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_batch_is_read_with_the_best_identity_of_each_advert() {
        let (items, at, seq, rejected) = read(
            r#"{"seq":17,"uptime_ms":52000,"t":1581252411.25,"adverts":[
            {"mac":"aabbccddeeff","rnd":true,"rssi":-71,"age_ms":120,"data":"0201061aff4c00021574278bdab64445208f0c720eaf05993500010007c5"},
            {"mac":"AA:BB:CC:DD:EE:FF","rnd":false,"rssi":-80.5,"age_ms":0,"data":"020106"},
            {"mac":"aabbccddeeff","rssi":-90,"new_field":{"a":[1]}}]}"#,
        );
        assert_eq!((at, seq, rejected.count), (Some(1_581_252_411.25), Some(17), 0));
        let lines: Vec<String> = items.iter().map(|h| format!("{} {} {:?}", h.tag, h.rssi.get(), h.age)).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        ibeacon:74278bda-b644-4520-8f0c-720eaf059935:1:7 -71 120ms
        mac:aabbccddeeff -80.5 0ns
        mac:aabbccddeeff -90 0ns
        ");
    }

    #[test]
    fn a_bad_item_is_counted_and_the_rest_goes_on() {
        let good = r#"{"mac":"aabbccddeeff","rssi":-71}"#;
        let cases = [
            (r#"{"mac":"aabbccddeeff"}"#, "rssi is missing or no number"),
            (r#"{"mac":"aabbccddeeff","rssi":"-71"}"#, "rssi is missing or no number"),
            (r#"{"mac":"aabbccddeeff","rssi":127}"#, "rssi of 127 dBm is outside -127 to 20"),
            (r#"{"mac":"aabbccddeeff","rssi":-1e300}"#, "rssi of -inf dBm is outside -127 to 20"),
            (r#"{"mac":"aabbccddeeff","rssi":-71,"age_ms":60001}"#, "age is no number between 0 and 60000 ms"),
            (r#"{"mac":"aabbccddeeff","rssi":-71,"age_ms":-1}"#, "age is no number between 0 and 60000 ms"),
            (r#"{"mac":"aabbccddeeff","rssi":-71,"age_ms":1e300}"#, "age is no number between 0 and 60000 ms"),
            (r#"{"mac":"aabbccddeeff","rssi":-71,"age_ms":[]}"#, "age is no number between 0 and 60000 ms"),
            (r#"{"mac":"aabbccddee","rssi":-71}"#, "neither a beacon nor a mac of 12 hexadecimal digits"),
            (r#"{"rssi":-71,"data":"020106"}"#, "neither a beacon nor a mac of 12 hexadecimal digits"),
            (
                r#"{"mac":"aabbccddeeff","rssi":-71,"data":"0"}"#,
                "advertisement data are not hexadecimal or longer than 1650 bytes",
            ),
            (
                r#"{"mac":"aabbccddeeff","rssi":-71,"data":"zz"}"#,
                "advertisement data are not hexadecimal or longer than 1650 bytes",
            ),
            (
                r#"{"mac":"aabbccddeeff","rssi":-71,"data":7}"#,
                "advertisement data are not hexadecimal or longer than 1650 bytes",
            ),
        ];
        for (bad, why) in cases {
            let (items, _, _, rejected) = read(&format!(r#"{{"adverts":[{good},{bad},{good}]}}"#));
            assert_eq!((items.len(), rejected.count), (2, 1), "{bad}");
            assert_eq!(rejected.first.expect("a reason").to_string(), why, "{bad}");
        }
    }

    #[test]
    fn a_batch_is_bounded() {
        let many = vec![r#"{"mac":"aabbccddeeff","rssi":-71}"#; MAX_ADVERTS + 5].join(",");
        let (items, _, _, rejected) = read(&format!(r#"{{"adverts":[{many}]}}"#));
        assert_eq!((items.len(), rejected.count), (MAX_ADVERTS, 5));
        assert_eq!(rejected.first, Some(ItemError::TooMany));
    }

    #[test]
    fn what_cannot_be_understood_is_an_error() {
        for payload in ["", "{", "{}", r#"{"adverts":{}}"#, r#"{"adverts":[1]}"#, r#"{"adverts":[{"rssi":1e999}]}"#] {
            let answer = anchor_message("showfloor/anchor/n/adverts", payload.as_bytes());
            assert!(matches!(answer, Err(DecodeError::Json(_))), "{payload}: {answer:?}");
        }
    }
}
