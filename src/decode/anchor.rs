//! Which format a topic speaks. A topic that is none of ours is [`Message::Ignored`]; one that could be ours but names
//! something that is no anchor is an error.

use serde::Deserialize;

use super::{DecodeError, Message, espresense, health, own_batch};
use crate::domain::AnchorId;

/// What is read of one message at most; a batch of 1,000 advertisements is about 150 KiB.
pub const MAX_PAYLOAD_BYTES: usize = 1024 * 1024;

/// Reads one message of an anchor.
///
/// # Errors
/// When it is over [`MAX_PAYLOAD_BYTES`], broken, or its only reading is refused. Batches lose only their bad items.
pub fn anchor_message(topic: &str, payload: &[u8]) -> Result<Message, DecodeError> {
    let Some(route) = Route::of(topic) else { return Ok(Message::Ignored) };
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Err(DecodeError::TooLarge { bytes: payload.len(), limit: MAX_PAYLOAD_BYTES });
    }
    let id = |text: &str| AnchorId::new(text).map_err(DecodeError::Anchor);
    match route {
        Route::Adverts(anchor) => own_batch::decode(id(anchor)?, payload),
        Route::Health(anchor) => health::health(id(anchor)?, payload),
        Route::State(anchor) => health::state(id(anchor)?, payload),
        Route::Espresense { device, room } => espresense::decode(id(room)?, device, payload),
    }
}

/// Reads a JSON object. serde would take a list for one, its values in the order of our fields.
pub(super) fn object<'a, T: Deserialize<'a>>(payload: &'a [u8]) -> Result<T, DecodeError> {
    match payload.trim_ascii_start().first() {
        None | Some(b'{') => Ok(serde_json::from_slice(payload)?),
        Some(_) => Err(DecodeError::NotAnObject),
    }
}

enum Route<'a> {
    Adverts(&'a str),
    Health(&'a str),
    State(&'a str),
    Espresense { device: &'a str, room: &'a str },
}

impl<'a> Route<'a> {
    fn of(topic: &'a str) -> Option<Self> {
        let mut levels = topic.split('/');
        let levels =
            [levels.next()?, levels.next()?, levels.next()?, levels.next()?, levels.next().unwrap_or_default()];
        match levels {
            ["espresense", "devices", device, room, ""] => Some(Self::Espresense { device, room }),
            ["showfloor", "anchor", anchor, "adverts", ""] => Some(Self::Adverts(anchor)),
            ["showfloor", "anchor", anchor, "health", ""] => Some(Self::Health(anchor)),
            ["showfloor", "anchor", anchor, "state", ""] => Some(Self::State(anchor)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn topics_of_others_are_ignored_and_bad_anchors_are_errors() {
        for topic in
            ["", "espresense/rooms/kitchen/telemetry", "espresense/devices/x", "a/b/c/d", "showfloor/anchor/n/ota"]
        {
            assert!(matches!(anchor_message(topic, b"{"), Ok(Message::Ignored)), "{topic}");
        }
        let bad = anchor_message("espresense/devices/x/living room", br#"{"id":"x","rssi":-7}"#);
        assert!(matches!(bad, Err(DecodeError::Anchor(_))), "{bad:?}");
        let big = anchor_message("showfloor/anchor/n/adverts", &vec![b' '; MAX_PAYLOAD_BYTES + 1]);
        assert!(matches!(big, Err(DecodeError::TooLarge { bytes: 1_048_577, .. })), "{big:?}");
    }

    #[test]
    fn states_and_health_are_read() {
        let anchor = AnchorId::new("n").expect("valid");
        for (payload, online) in [("online", true), ("offline", false), ("", false)] {
            let message = anchor_message("showfloor/anchor/n/state", payload.as_bytes()).expect("valid");
            assert_eq!(message, Message::State { anchor: anchor.clone(), online });
        }
        assert!(matches!(anchor_message("showfloor/anchor/n/state", b"dunno"), Err(DecodeError::State)));
        let json = br#"{"uptime_ms":61000,"heap":120000,"adverts_per_s":42.5,"version":"1.2"}"#;
        let Ok(Message::Health { health, .. }) = anchor_message("showfloor/anchor/n/health", json) else {
            panic!("no health");
        };
        assert_eq!(health.uptime_ms, Some(61_000.0));
        assert_eq!(health.adverts_per_s, Some(42.5));
    }

    fn topics() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("showfloor/anchor/n/adverts".to_owned()),
            Just("showfloor/anchor/n/health".to_owned()),
            Just("showfloor/anchor/n/state".to_owned()),
            Just("espresense/devices/x/n".to_owned()),
            ".*",
        ]
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(topic in topics(), payload in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = anchor_message(&topic, &payload);
        }

        #[test]
        fn any_values_in_known_fields_are_answered(
            topic in topics(),
            fields in proptest::collection::vec(("id|rssi|t|seq|adverts|mac|age_ms|data", "[-0-9\"a-f\\[\\]{}:,.eE]{0,12}|null|1e999|-?[0-9]{1,30}|\"[0-9a-f]{0,70}\""), 0..6),
        ) {
            let object: Vec<String> = fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
            let object = format!("{{{}}}", object.join(","));
            let _ = anchor_message(&topic, object.as_bytes());
            let _ = anchor_message(&topic, format!("{{\"adverts\":[{object}]}}").as_bytes());
        }
    }
}
