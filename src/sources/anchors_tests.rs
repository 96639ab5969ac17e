//! Intake without a transport: what is taken, what is refused, and what is counted for it.

use std::sync::Arc;

use super::{AnchorBook, AnchorSeen, Stamping, anchors_intake::Intake};
use crate::{
    domain::{AnchorId, Reading, Timestamp},
    telemetry::{Count, Telemetry},
};

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const GOOD: &str = r#"{"id":"iBeacon:u-1-7","rssi":-71.5,"t":1581252411.25}"#;
const TOPIC: &str = "espresense/devices/x/n";

fn intake(stamping: Stamping) -> Intake {
    let book = Arc::new(AnchorBook::new([AnchorId::new("n").expect("valid")]));
    Intake { stamping, now: Arc::new(|| NOW), telemetry: Telemetry::default(), book, batch: Vec::new() }
}

fn page(intake: &Intake) -> AnchorSeen {
    intake.book.snapshot().remove(0).1
}

fn times(readings: &[Reading]) -> Vec<i64> {
    readings.iter().map(|reading| reading.at.micros()).collect()
}

#[test]
fn arrival_or_payload_dates_a_reading_and_its_age_is_taken_off() {
    let batch = r#"{"seq":1,"t":1581252411.25,"adverts":[{"mac":"aabbccddeeff","rssi":-71,"age_ms":250}]}"#;
    for (stamping, expected) in [
        (Stamping::Arrival, [1_700_000_000_000_000, 1_699_999_999_750_000]),
        (Stamping::Payload, [1_581_252_411_250_000, 1_581_252_411_000_000]),
    ] {
        let mut intake = intake(stamping);
        intake.take(TOPIC, GOOD.as_bytes(), false);
        intake.take("showfloor/anchor/n/adverts", batch.as_bytes(), false);
        assert_eq!(times(&intake.batch), expected, "{stamping:?}");
        assert_eq!(intake.telemetry.get(Count::Readings), 2);
        let page = page(&intake);
        assert_eq!((page.messages, page.adverts, page.bad, page.last), (2, 2, 0, Some(NOW)));
    }
}

#[test]
fn every_bad_message_has_its_counter_and_makes_no_reading() {
    let (bad, unknown, reading) = (Count::AnchorMessagesBad, Count::AnchorUnknown, Count::ReadingsBad);
    let cases: [(&str, &str, bool, Count); 13] = [
        (TOPIC, "{", false, bad),
        (TOPIC, "[]", false, bad),
        ("espresense/devices/x/living room", GOOD, false, bad),
        ("showfloor/anchor/n/state", "perhaps", false, bad),
        (TOPIC, GOOD, true, bad),
        ("espresense/devices/x/elsewhere", GOOD, false, unknown),
        ("showfloor/anchor/elsewhere/state", "online", false, unknown),
        ("showfloor/anchor/elsewhere/health", "{}", false, unknown),
        (TOPIC, r#"{"id":"x","rssi":300,"t":1581252411}"#, false, reading),
        (TOPIC, r#"{"id":"x","rssi":"-70","t":1581252411}"#, false, reading),
        (TOPIC, r#"{"id":"x","rssi":-70}"#, false, reading),
        (TOPIC, r#"{"id":"x","rssi":-70,"t":3.5}"#, false, reading),
        (TOPIC, r#"{"id":"x","rssi":-70,"t":4102444801}"#, false, reading),
    ];
    for (topic, payload, retained, expected) in cases {
        let mut intake = intake(Stamping::Payload);
        intake.take(topic, payload.as_bytes(), retained);
        for count in [bad, unknown, reading] {
            assert_eq!(intake.telemetry.get(count), u64::from(count == expected), "{topic} {payload} {count:?}");
        }
        assert!(intake.batch.is_empty(), "{topic} {payload}");
        intake.take(TOPIC, GOOD.as_bytes(), false);
        assert_eq!(intake.batch.len(), 1, "the rest goes on after {payload}");
    }
}

#[test]
fn a_megabyte_is_refused_and_a_batch_loses_only_its_bad_items() {
    let mut intake = intake(Stamping::Arrival);
    intake.take(TOPIC, &vec![b' '; 1024 * 1024 + 1], false);
    assert_eq!(intake.telemetry.get(Count::AnchorMessagesBad), 1);
    let batch = r#"{"adverts":[{"mac":"aabbccddeeff","rssi":-71},{"mac":"aabbccddeeff","rssi":127},{"rssi":-1}]}"#;
    intake.take("showfloor/anchor/n/adverts", batch.as_bytes(), false);
    assert_eq!((intake.batch.len(), intake.telemetry.get(Count::ReadingsBad)), (1, 2));
    let page = page(&intake);
    assert_eq!((page.messages, page.adverts, page.bad), (2, 1, 3));
}

#[test]
fn a_last_will_says_offline_and_is_no_sign_of_life() {
    let mut intake = intake(Stamping::Arrival);
    intake.take("showfloor/anchor/n/state", b"online", true);
    assert_eq!((page(&intake).online, page(&intake).last), (Some(true), None));
    intake.take("showfloor/anchor/n/state", b"online", false);
    assert_eq!(page(&intake).last, Some(NOW));
    intake.take("showfloor/anchor/n/state", b"offline", false);
    intake.take("showfloor/anchor/n/health", br#"{"uptime_ms":5}"#, false);
    assert_eq!((page(&intake).online, page(&intake).health.and_then(|h| h.uptime_ms)), (Some(false), Some(5.0)));
}
