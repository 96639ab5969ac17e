//! The presence engine alone: readings taken in per second, positions once a second included.
//!
//! `cargo bench --bench engine`. 200 tags walk a floor of 30 by 20 metres; each is heard by 8 anchors ten times a second.

#![allow(clippy::expect_used)] // a bench has nobody to tell

use std::sync::Arc;

use divan::{Bencher, counter::ItemsCount};
use showfloor::{
    domain::{
        Anchor, Dbm, Reading, Registration, Registry, Role, Site, Survey, TagId, Timestamp, Zone, ZoneKind, ZonePrints,
    },
    presence::{Engine, Output, Settings},
};

const TAGS: usize = 200;
const PER_SECOND: usize = 10;
const SECONDS: usize = 10;

fn main() {
    divan::main();
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn readings_of_200_moving_tags_at_8_anchors(bencher: Bencher) {
    let site = floor();
    let (registry, readings) = (registry(), readings(&site));
    let count = ItemsCount::new(readings.len());
    let setup = || (Engine::new(site.clone(), Settings::default(), registry.clone()), Output::default());
    bencher.counter(count).with_inputs(setup).bench_local_values(|(mut engine, mut out)| {
        for reading in &readings {
            engine.reading(reading, &mut out);
            out.positions.clear();
        }
        assert!(!out.facts.is_empty(), "nobody entered");
        (engine, out)
    });
}

fn tag(i: usize) -> TagId {
    TagId::new(format!("ibeacon:74278bda-b644-4520-8f0c-720eaf059935:1:{i}")).expect("a good id")
}

fn registry() -> Arc<Registry> {
    let mut registry = Registry::default();
    for i in 0..TAGS {
        registry.assign(tag(i), Registration { role: Role::Visitor, subject: None, until: None });
    }
    Arc::new(registry)
}

fn floor() -> Arc<Site> {
    let anchor = |i: usize| Anchor {
        id: format!("anchor-{i}").parse().expect("a good id"),
        x: 5.0 + 20.0 / 3.0 * (i % 4) as f64,
        y: 4.0 + 12.0 * (i / 4) as f64,
        z: 2.6,
        rssi_at_1m: None,
        path_loss: None,
        survey: Survey::default(),
    };
    let zone = |i: usize| {
        let (x, y) = (7.5 * (i % 4) as f64, 5.0 * (i / 4) as f64);
        Zone {
            id: format!("zone-{i}").parse().expect("a good id"),
            name: format!("zone {i}"),
            kind: if i == 0 { ZoneKind::Entrance } else { ZoneKind::Vehicle },
            polygon: vec![[x, y], [x + 7.5, y], [x + 7.5, y + 5.0], [x, y + 5.0]],
            prints: ZonePrints::default(),
        }
    };
    Arc::new(Site {
        id: "bench".parse().expect("a good id"),
        name: "bench".into(),
        timezone: "Etc/UTC".into(),
        bounds: [0.0, 0.0, 30.0, 20.0],
        tag_height_m: 1.2,
        anchors: (0..8).map(anchor).collect(),
        zones: (0..16).map(zone).collect(),
        spots: Vec::new(),
        tags: Registry::default(),
    })
}

/// In order of time; every tag walks a circle of its own and its levels have a repeatable noise of some decibels.
fn readings(site: &Site) -> Vec<Reading> {
    let tags: Vec<_> = (0..TAGS).map(tag).collect();
    let mut readings = Vec::with_capacity(TAGS * 8 * PER_SECOND * SECONDS);
    let mut noise = 1_u32;
    for step in 0..SECONDS * PER_SECOND {
        let t = 1_700_000_000.0 + step as f64 / PER_SECOND as f64;
        for (i, tag) in tags.iter().enumerate() {
            let angle = t / 8.0 + i as f64;
            let (x, y) = (15.0 + (6.0 + (i % 7) as f64) * angle.cos(), 10.0 + (3.0 + (i % 5) as f64) * angle.sin());
            for anchor in &site.anchors {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let off = f64::from(noise >> 24) / 32.0 - 4.0;
                let distance = (x - anchor.x).hypot(y - anchor.y).hypot(1.4);
                let rssi = Dbm::new((-60.0 - 18.0 * distance.log10() + off) as f32).expect("in range");
                let at = Timestamp::from_unix_seconds(t).expect("in range");
                readings.push(Reading { at, anchor: anchor.id.clone(), tag: tag.clone(), rssi });
            }
        }
    }
    readings
}
