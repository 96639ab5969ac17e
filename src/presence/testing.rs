//! A floor and readings for tests: ten metres square, four anchors, an entrance along one wall, a lounge and two spots.

use std::sync::Arc;

use super::{Engine, Output, Settings, Track, Visitors};
use crate::domain::{
    Anchor, Dbm, Fact, Presence, Reading, Registration, Registry, Role, Site, Spot, Survey, TagId, Timestamp, Zone,
    ZoneKind, ZonePrints,
};

pub(super) fn square_site() -> Arc<Site> {
    let anchor = |id: &str, x, y| Anchor {
        id: id.parse().expect("id"),
        x,
        y,
        z: 2.4,
        rssi_at_1m: None,
        path_loss: None,
        survey: Survey::default(),
    };
    let zone = |id: &str, kind, [x0, y0, x1, y1]: [f64; 4]| Zone {
        id: id.parse().expect("id"),
        name: id.into(),
        kind,
        polygon: vec![[x0, y0], [x1, y0], [x1, y1], [x0, y1]],
        prints: ZonePrints::default(),
    };
    let spot = |id: &str, x, y| Spot { id: id.parse().expect("id"), x, y, zone: None };
    Arc::new(Site {
        id: "test".parse().expect("id"),
        name: "test".into(),
        timezone: "Etc/UTC".into(),
        bounds: [0.0, 0.0, 10.0, 10.0],
        tag_height_m: 1.2,
        anchors: vec![
            anchor("sw", 0.0, 0.0),
            anchor("se", 10.0, 0.0),
            anchor("ne", 10.0, 10.0),
            anchor("nw", 0.0, 10.0),
        ],
        zones: vec![
            zone("door", ZoneKind::Entrance, [0.0, 0.0, 10.0, 3.0]),
            zone("floor", ZoneKind::Vehicle, [0.0, 3.0, 10.0, 10.0]),
        ],
        spots: vec![spot("A1", 2.5, 8.0), spot("A2", 8.0, 8.0)],
        tags: Registry::default(),
    })
}

pub(super) fn tag(i: usize) -> TagId {
    TagId::new(format!("tag-{i}")).expect("id")
}

pub(super) fn visitors(count: usize) -> Arc<Registry> {
    let mut registry = Registry::default();
    for i in 0..count {
        registry.assign(tag(i), Registration { role: Role::Visitor, subject: None, until: None });
    }
    Arc::new(registry)
}

pub(super) fn settings() -> Settings {
    Settings { track: Track::Registered, visitors: Visitors::Registered, ..Settings::default() }
}

pub(super) fn engine(registry: Arc<Registry>) -> Engine {
    Engine::new(square_site(), settings(), registry)
}

pub(super) fn at(seconds: f64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).expect("in range")
}

/// What every anchor hears of a tag at a place, without noise.
pub(super) fn heard_at(i: usize, seconds: f64, x: f64, y: f64) -> Vec<Reading> {
    let level = |anchor: &Anchor| {
        let distance = (x - anchor.x).hypot(y - anchor.y).hypot(1.2);
        Dbm::new((-60.0 - 18.0 * distance.log10()) as f32).expect("in range")
    };
    let site = square_site();
    let heard = site.anchors.iter().map(|anchor| Reading {
        at: at(seconds),
        anchor: anchor.id.clone(),
        tag: tag(i),
        rssi: level(anchor),
    });
    heard.collect()
}

/// Has the engine hear a tag twice a second at a place, from `from` until before `to`.
pub(super) fn dwell(engine: &mut Engine, (from, to): (u32, u32), (x, y): (f64, f64), out: &mut Output) {
    for half in from * 2..to * 2 {
        for reading in heard_at(0, f64::from(half) / 2.0, x, y) {
            engine.reading(&reading, out);
        }
    }
}

/// Facts in short, without traces and heat.
pub(super) fn story(facts: &[Fact]) -> Vec<String> {
    let zone = |zone: &Option<crate::domain::ZoneId>| zone.as_ref().map_or("-".to_owned(), ToString::to_string);
    let tell = |fact: &Fact| {
        let what = match &fact.presence {
            Presence::Entered { zone: it, returning, .. } => {
                format!("entered {}{}", zone(it), if *returning { " again" } else { "" })
            }
            Presence::Moved { from, to, .. } => format!("moved {} to {}", zone(from), zone(to)),
            Presence::Dwelled { zone: it, spot: None, .. } => format!("dwelled in {}", zone(it)),
            Presence::Dwelled { spot: Some(spot), .. } => format!("dwelled at {spot}"),
            Presence::Exited { duration_s, reason, .. } => format!("exited after {duration_s:.0} s by {reason:?}"),
            Presence::Traced { .. } | Presence::Heated(_) => return None,
        };
        Some(format!("{} {what}", fact.at.whole_second()))
    };
    facts.iter().filter_map(tell).collect()
}
