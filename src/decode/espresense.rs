//! ESPresense: one reading a message, `espresense/devices/{id}/{room}`, `{"id":"iBeacon:U-1-7","rssi":-71.5,…}`.
//!
//! This is the fast path: fields are borrowed from the payload, and only the names and the one-element list are allocated.
//! Names that mean a beacon or an address become ours; any other is `espresense:<id>` in lower case. A recording played
//! through a broker may add `"t"`, Unix seconds; real receivers send no time.

use serde::Deserialize;

use super::{DecodeError, Heard, ItemError, Mac, Message, Rejected, anchor::object, own_batch, scalar::Scalar};
use crate::domain::{AnchorId, TagId};

#[derive(Deserialize)]
struct RawDevice<'a> {
    #[serde(borrow, default)]
    id: Scalar<'a>,
    #[serde(borrow, default)]
    rssi: Scalar<'a>,
    #[serde(borrow, default)]
    t: Scalar<'a>,
}

pub(super) fn decode(anchor: AnchorId, device: &str, payload: &[u8]) -> Result<Message, DecodeError> {
    let raw: RawDevice<'_> = object(payload)?;
    // The payload's id is the truer one: a topic cannot hold every character.
    let id = raw.id.text().unwrap_or(device);
    let heard = Heard { tag: tag(id)?, rssi: own_batch::rssi(&raw.rssi)?, age: std::time::Duration::ZERO };
    Ok(Message::Heard { anchor, items: vec![heard], at: raw.t.number(), seq: None, rejected: Rejected::default() })
}

/// Our name for what ESPresense calls `id`.
///
/// # Errors
/// When `id` is empty, over 117 bytes, or holds control characters.
pub fn tag(id: &str) -> Result<TagId, ItemError> {
    let known = match id.split_once(':') {
        Some(("iBeacon", rest)) => ibeacon(rest),
        Some(("altBeacon", rest)) => altbeacon(rest),
        Some(("eddy", rest)) => eddystone(rest),
        Some(("known", rest)) => mac(rest),
        Some(_) => None,
        None => mac(id),
    };
    if id.is_empty() {
        return Err(ItemError::Tag);
    }
    let text = known.unwrap_or_else(|| format!("espresense:{}", id.to_ascii_lowercase()));
    TagId::new(text).map_err(|_| ItemError::Tag)
}

fn split_numbers(rest: &str) -> Option<(&str, u16, u16)> {
    let mut parts = rest.rsplitn(3, '-');
    let minor = parts.next()?.parse().ok()?;
    let major = parts.next()?.parse().ok()?;
    parts.next().filter(|uuid| !uuid.is_empty()).map(|uuid| (uuid, major, minor))
}

fn ibeacon(rest: &str) -> Option<String> {
    let (uuid, major, minor) = split_numbers(rest)?;
    Some(format!("ibeacon:{}:{major}:{minor}", uuid.to_ascii_lowercase()))
}

fn altbeacon(rest: &str) -> Option<String> {
    let (uuid, major, minor) = split_numbers(rest)?;
    let uuid = uuid::Uuid::try_parse(uuid).ok()?;
    Some(format!("altbeacon:{}{major:04x}{minor:04x}", uuid.simple()))
}

/// Namespace and instance, 20 and 12 digits, joined with or without a dash.
fn eddystone(rest: &str) -> Option<String> {
    let digits: String = rest.chars().filter(|c| *c != '-').collect();
    if digits.len() != 32 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let (namespace, instance) = digits.split_at_checked(20)?;
    Some(format!("eddystone:{}:{}", namespace.to_ascii_lowercase(), instance.to_ascii_lowercase()))
}

fn mac(text: &str) -> Option<String> {
    Some(Mac::parse(text)?.tag().ok()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::anchor_message;

    #[test]
    fn ids_become_our_tags_where_they_mean_the_same() {
        let cases = [
            ("iBeacon:U-1-7", "ibeacon:u:1:7"),
            (
                "iBeacon:74278BDA-B644-4520-8F0C-720EAF059935-1-65535",
                "ibeacon:74278bda-b644-4520-8f0c-720eaf059935:1:65535",
            ),
            (
                "altBeacon:2f234454-cf6d-4a0f-adf2-f4911ba9ffa6-1-2",
                "altbeacon:2f234454cf6d4a0fadf2f4911ba9ffa600010002",
            ),
            ("eddy:00010203040506070809010203040506", "eddystone:00010203040506070809:010203040506"),
            ("eddy:00010203040506070809-01020304AABB", "eddystone:00010203040506070809:01020304aabb"),
            ("known:AABBCCDDEEFF", "mac:aabbccddeeff"),
            ("aabbccddeeff", "mac:aabbccddeeff"),
            ("name:Tile", "espresense:name:tile"),
            ("iBeacon:no-numbers-x", "espresense:ibeacon:no-numbers-x"),
            ("iBeacon:u-1-70000", "espresense:ibeacon:u-1-70000"),
            ("straight-01", "espresense:straight-01"),
        ];
        for (id, expected) in cases {
            assert_eq!(tag(id).expect(id).as_str(), expected);
        }
        assert_eq!(tag(""), Err(ItemError::Tag));
        assert_eq!(tag("a\u{7}"), Err(ItemError::Tag));
        assert_eq!(tag(&"x".repeat(120)), Err(ItemError::Tag));
    }

    #[test]
    fn a_message_is_one_reading() {
        let payload = br#"{"mac":"aabbccddeeff","id":"iBeacon:U-1-7","name":"K\u00e4ytt\u00f6","rssi@1m":-59,"rssi":-71.25,"raw":3.5,"distance":3.1,"var":0.2,"close":true,"int":250,"t":1581252411.2438}"#;
        let message = anchor_message("espresense/devices/iBeacon:U-1-7/north-door", payload).expect("valid");
        let Message::Heard { anchor, items, at, seq: None, rejected } = message else { panic!("{message:?}") };
        assert_eq!((anchor.as_str(), items.len(), rejected.count), ("north-door", 1, 0));
        assert_eq!((items[0].tag.as_str(), items[0].rssi.get()), ("ibeacon:u:1:7", -71.25));
        assert_eq!(at, Some(1_581_252_411.243_8));
    }

    #[test]
    fn the_topic_names_the_device_when_the_payload_does_not() {
        let message = anchor_message("espresense/devices/aabbccddeeff/n", br#"{"rssi":-71}"#).expect("valid");
        let Message::Heard { items, at: None, .. } = message else { panic!("{message:?}") };
        assert_eq!(items[0].tag.as_str(), "mac:aabbccddeeff");
    }

    #[test]
    fn bad_messages_are_refused_with_a_reason() {
        let cases = [
            ("{\"id\":\"x\",\"rssi\":NaN}", "broken payload: expected value at line 1 column 18"),
            ("", "broken payload: EOF while parsing a value at line 1 column 0"),
            ("[\"x\",-70]", "payload is no JSON object"),
            ("{\"id\":\"x\"}", "rssi is missing or no number"),
            ("{\"id\":\"x\",\"rssi\":\"-70\"}", "rssi is missing or no number"),
            ("{\"id\":\"x\",\"rssi\":127}", "rssi of 127 dBm is outside -127 to 20"),
            ("{\"id\":\"\",\"rssi\":-70}", "id makes no tag of 1 to 128 bytes without control characters"),
        ];
        for (payload, why) in cases {
            let error = anchor_message("espresense/devices/x/n", payload.as_bytes()).expect_err(payload);
            assert_eq!(error.to_string(), why, "{payload}");
        }
    }
}
