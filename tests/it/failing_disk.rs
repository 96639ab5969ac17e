//! The whole program on a disk that fails while it runs: refused, told, healed, and nothing acknowledged is lost when the
//! power goes right after.

use std::{collections::BTreeSet, fs};

use powercut::{Answer, Fault, Kind, Mount};
use serde_json::{Value, json};

use crate::{
    support::{Broker, SITE, Showroom, get, wait_for},
    world::World,
};

/// A box whose data are on a disk that can fail; `None` where none can be mounted.
fn on_disk(broker: &Broker) -> Option<(Mount, Showroom)> {
    if !Mount::is_possible() {
        eprintln!("skipped: mounting needs root and /dev/fuse");
        return None;
    }
    let disk = Mount::new(7).expect("mounts");
    let showroom = Showroom::new("hel-01", SITE, broker.port);
    let text = fs::read_to_string(showroom.config()).expect("reads");
    let dir = format!("dir = \"{}\"", disk.path().join("data").display());
    fs::write(showroom.config(), text.replace("dir = \"data\"", &dir)).expect("writes");
    Some((disk, showroom))
}

fn stock(world: &World, id: &str) -> Value {
    let car = json!({"id": id, "make": "Volvo", "model": "EX40", "year": 2026, "type": "suv", "status": "available"});
    world.command("vehicle.upsert", &car)
}

fn degraded(showroom: &Showroom, token: &str) -> Value {
    let status = get(showroom.http, "/api/v1/status", Some(token)).1;
    serde_json::from_str::<Value>(&status).expect("JSON")["degraded"].clone()
}

/// The cars of the log, in order.
fn cars(showroom: &Showroom, token: &str) -> Vec<String> {
    let (_, body) = get(showroom.http, "/api/v1/events?limit=1000&after=0", Some(token));
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let events = body["events"].as_array().expect("events").iter();
    events.filter_map(|event| event["vehicle"].as_str().map(str::to_owned)).collect()
}

/// Commands while the disk fails, then while it does not; then the power goes.
fn fails_and_heals(name: &str, fault: Fault, lasts: bool) {
    let broker = Broker::start();
    let Some((mut disk, mut showroom)) = on_disk(&broker) else { return };
    showroom.start();
    let token = showroom.token("service", "probe");
    let world = World::connect(broker.port, "hel-01");
    let mut acknowledged = BTreeSet::new();
    for n in 0..5 {
        let id = format!("before-{n}");
        assert_eq!(stock(&world, &id)["ok"], true);
        acknowledged.insert(id);
    }
    disk.fault(fault);
    let refused = stock(&world, "meanwhile");
    assert_eq!((&refused["ok"], refused["error"]["code"].as_str()), (&json!(false), Some("not_stored")), "{name}");
    if lasts {
        wait_for("the disk's failure in the status", || {
            degraded(&showroom, &token).as_array().is_some_and(|parts| !parts.is_empty()).then_some(())
        });
        assert_eq!(get(showroom.http, "/health/ready", None).0, 200, "the floor goes on");
        assert_eq!(stock(&world, "still")["error"]["code"], "not_stored");
        disk.heal();
    }
    // Nobody asks anything of it: it finds out by itself.
    wait_for("the disk to be well again", || (degraded(&showroom, &token) == json!([])).then_some(()));
    for n in 0..5 {
        let id = format!("after-{n}");
        assert_eq!(stock(&world, &id)["ok"], true, "{name}");
        acknowledged.insert(id);
    }
    let told = cars(&showroom, &token);
    disk.cut(&mut [showroom.child()]).expect("cuts");
    showroom.start();
    let there = cars(&showroom, &token);
    assert_eq!(there, told, "{name}: what was shown is there");
    assert!(acknowledged.iter().all(|id| there.contains(id)), "{name}: {there:?}");
    assert!(!there.contains(&"meanwhile".to_owned()), "{name}: what was refused was not done");
    let status = get(showroom.http, "/api/v1/status", Some(&token)).1;
    assert_eq!(
        serde_json::from_str::<Value>(&status).expect("JSON")["salvage"],
        Value::Null,
        "{name}: that is no damage"
    );
    assert_eq!(showroom.stop(), 0);
}

#[test]
fn a_disk_that_answers_with_errors_is_told_and_heals() {
    fails_and_heals("EIO", Fault::new(Answer::Error(libc::EIO)), true);
}

#[test]
fn a_disk_that_became_read_only_is_told_and_heals() {
    fails_and_heals("EROFS", Fault::new(Answer::Error(libc::EROFS)), true);
}

/// The kernel forgets after a sync that failed that there was something to sync.
#[test]
fn a_sync_that_failed_once_acknowledges_nothing_and_what_comes_after_it_is_on_disk() {
    let fault = Fault::new(Answer::Error(libc::EIO)).on(Kind::Sync).of("showfloor.sqlite-wal").times(1);
    fails_and_heals("sync", fault, false);
}
