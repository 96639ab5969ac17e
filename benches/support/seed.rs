//! A log like a busy showroom's, written quickly through the store's own code, for benches.

use std::{path::Path, sync::Arc, time::Duration};

use showfloor::{
    domain::{ExitReason, Fact, Presence, Registry, Timestamp, Trace, VisitId, ZoneId},
    showroom::Dating,
    store::{GroupCommit, Options, StorageOptions, Store, StoreHandle, Writer},
    telemetry::{Ailments, SystemClock, Telemetry},
};
use uuid::Uuid;

/// Minutes of one visit.
const MINUTES: u64 = 30;
/// Steps of a trace: one a second.
const STEPS: i32 = 60;
/// Where visits of a seed begin: 2026-11-01.
const BEGIN_US: i64 = 1_793_491_200_000_000;

/// Opens, or makes, the data directory of `site`, and starts its writer.
pub fn open(dir: &Path, site: &str, telemetry: &Telemetry) -> (StoreHandle, Writer) {
    let options = Options {
        dir: dir.to_owned(),
        consumers: vec!["cloud".parse().expect("id")],
        site_tags: Registry::default(),
        site: site.parse().expect("id"),
        clock: Arc::new(SystemClock::new()),
        telemetry: telemetry.clone(),
        group: GroupCommit::default(),
        ailments: Ailments::default(),
        breathe: Arc::new(|| ()),
        storage: StorageOptions::default(),
    };
    let (store, mut writer) = Store::open(options).expect("opens");
    writer.run_thread().expect("starts");
    (store, writer)
}

/// Facts of visits, one after the other: who comes in walks for half an hour, changes zone every other minute, leaves a
/// trace each minute and goes. Six visits at once, as the days of a showroom are.
pub fn facts() -> impl Iterator<Item = Fact> {
    (0_u64..).flat_map(|group| {
        (0..MINUTES).flat_map(move |minute| (0..6).flat_map(move |n| minute_of(group * 6 + n, minute)))
    })
}

fn minute_of(number: u64, minute: u64) -> Vec<Fact> {
    let visit = VisitId(Uuid::from_u128(0x5eed << 96 | u128::from(number)));
    let begin = BEGIN_US + (number / 6 * (MINUTES + 1) + minute).cast_signed() * 60_000_000;
    let zone = |minute: u64| ZoneId::new(format!("bay-{}", minute / 2 % 5)).expect("a name");
    let (x, y) = (2.0 + (number % 25) as f64, 3.0 + (minute % 14) as f64);
    let mut facts = Vec::new();
    let mut tell = |second: i64, presence| {
        facts.push(Fact { at: Timestamp::from_micros(begin + second * 1_000_000), presence });
    };
    if minute == 0 {
        let tag = format!("ibeacon:u:1:{}", number % 60_000).parse().expect("a tag");
        tell(0, Presence::Entered { visit, customer: None, zone: Some(zone(0)), x, y, returning: false, tag });
    } else if minute.is_multiple_of(2) {
        tell(1, Presence::Dwelled { visit, zone: Some(zone(minute - 1)), spot: None, seconds: 118.0 });
        tell(1, Presence::Moved { visit, from: Some(zone(minute - 1)), to: Some(zone(minute)), x, y });
    }
    tell(59, Presence::Traced { visit, trace: trace(number, minute, begin) });
    if minute == MINUTES - 1 {
        let duration_s = Duration::from_mins(MINUTES).as_secs_f64();
        tell(59, Presence::Exited { visit, duration_s, reason: ExitReason::Door });
    }
    facts
}

/// A walk of small steps, as the engine's are.
fn trace(number: u64, minute: u64, begin: i64) -> Trace {
    let seed = (number * 31 + minute) as i32;
    let step = |n: i32, salt: i32| ((n * 7 + seed * salt) % 41 - 20) * i32::from((n + seed) % 3 != 0);
    let walk = |first: i32, salt: i32| std::iter::once(first).chain((1..STEPS).map(move |n| step(n, salt))).collect();
    Trace {
        t0: Timestamp::from_micros(begin),
        step_ms: 1_000,
        x_cm: walk(200 + seed % 2_500, 3),
        y_cm: walk(300 + seed % 1_400, 5),
    }
}

/// Writes so many events of visits and returns when they are committed.
pub async fn fill(store: &StoreHandle, events: u64) {
    let mut heads = store.heads();
    let before = heads.borrow().pos;
    for fact in facts().take(usize::try_from(events).expect("fits")) {
        store.record(fact, Dating::AsSaid).await.expect("is taken");
    }
    heads.wait_for(|heads| heads.pos >= before + events).await.expect("the store runs");
}
