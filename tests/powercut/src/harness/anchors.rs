//! Two anchors that hear two tags: visitors who come, walk, stand and leave, on a clock of their own.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use fastrand::Rng;
use rumqttc::QoS;
use serde_json::json;

use super::cloud::{Cloud, Knowledge, locked};

pub(super) const TAG: &str = "ibeacon:74278bda-b644-4520-8f0c-720eaf059935:1:7";
const TAGS: [&str; 2] =
    ["iBeacon:74278bda-b644-4520-8f0c-720eaf059935-1-7", "iBeacon:74278bda-b644-4520-8f0c-720eaf059935-1-8"];
/// Between two readings of a tag.
const STEP: f64 = 3.0;
const BEGIN: f64 = 1_700_000_000.0;
/// Longer than any silence that ends a visit.
const LONG: f64 = 200.0;

/// Plays the floor, many seconds of it in each real one, until `stop`.
pub(super) fn walk(cloud: &Cloud, outside: &Knowledge, rng: &mut Rng, stop: &AtomicBool) {
    let mut places = [0.2, 0.8];
    while !stop.load(Ordering::Relaxed) {
        let t = {
            let mut knows = locked(outside);
            let passed = if rng.u8(0..60) == 0 { LONG } else { STEP };
            knows.floor_t = knows.floor_t.max(BEGIN) + passed;
            knows.floor_t
        };
        for (tag, place) in TAGS.iter().zip(&mut places) {
            if rng.u8(0..12) == 0 {
                *place = rng.f64();
            }
            for (anchor, distance) in [("west", *place * 26.0), ("east", (1.0 - *place) * 26.0)] {
                let rssi = -59.0 - 20.0 * distance.max(0.5).log10();
                let topic = format!("espresense/devices/{tag}/{anchor}");
                let text = json!({"id": tag, "rssi": rssi.round(), "t": t}).to_string();
                cloud.publish(&topic, text, QoS::AtMostOnce);
            }
        }
        thread::sleep(Duration::from_millis(2));
    }
}
