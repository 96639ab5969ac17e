//! What decoding costs: one ESPresense message, and one of our batches of 20 advertisements.
//! `cargo bench --bench decode`

use divan::{Bencher, black_box, counter::ItemsCount};
use showfloor::decode::{Message, anchor_message};

const TOPIC: &str = "espresense/devices/iBeacon:74278bda-b644-4520-8f0c-720eaf059935-1-7/north-door";
const ESPRESENSE: &str = r#"{"mac":"aabbccddeeff","id":"iBeacon:74278bda-b644-4520-8f0c-720eaf059935-1-7","rssi@1m":-59,"rssi":-71.25,"rxAdj":0,"rssiVar":2.5,"distance":3.12,"var":0.21,"int":250}"#;
const ADVERT: &str = r#"{"mac":"aabbccddeeff","rnd":true,"rssi":-71,"age_ms":120,"data":"0201061aff4c00021574278bdab64445208f0c720eaf05993500010007c5"}"#;
const BATCH: usize = 20;

fn readings(topic: &str, payload: &[u8]) -> usize {
    match anchor_message(topic, payload) {
        Ok(Message::Heard { items, .. }) => items.len(),
        _ => 0,
    }
}

#[divan::bench]
fn espresense(bencher: Bencher<'_, '_>) {
    assert_eq!(readings(TOPIC, ESPRESENSE.as_bytes()), 1);
    bencher.counter(ItemsCount::new(1_usize)).bench(|| readings(black_box(TOPIC), black_box(ESPRESENSE.as_bytes())));
}

#[divan::bench]
fn own_batch(bencher: Bencher<'_, '_>) {
    let payload = format!(r#"{{"seq":17,"uptime_ms":52000,"adverts":[{}]}}"#, vec![ADVERT; BATCH].join(","));
    let topic = "showfloor/anchor/north-door/adverts";
    assert_eq!(readings(topic, payload.as_bytes()), BATCH);
    bencher.counter(ItemsCount::new(BATCH)).bench(|| readings(black_box(topic), black_box(payload.as_bytes())));
}

fn main() {
    divan::main();
}
