//! Servers that die, are not there, or are set to lose what they commit.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Collecting, Postgres};
use crate::{
    cloud::logged,
    support::{Broker, SITE, Showroom, free_port, get, wait_for},
    world::World,
};

fn cars(world: &World, round: usize) {
    for n in 0..20 {
        let car = json!({"id": format!("V{round}-{n}"), "make": "Volvo", "model": "EX40", "year": 2026, "type": "suv",
            "status": "available"});
        assert_eq!(world.command("vehicle.upsert", &car)["ok"], true);
    }
}

fn acked(showroom: &Showroom, token: &str) -> Value {
    let status = get(showroom.http, "/api/v1/status", Some(token)).1;
    let status: Value = serde_json::from_str(&status).expect("JSON");
    json!({"acked": status["lanes"]["sales"]["acked"]["cloud"], "last": status["lanes"]["sales"]["last"]})
}

#[test]
fn a_server_that_dies_in_the_middle_has_all_that_was_acknowledged_and_in_the_end_each_event_once() {
    let mut server = Postgres::start();
    // Without what the collector sets for itself, ten seconds of commits would be gone.
    server.set("synchronous_commit", "off");
    server.set("wal_writer_delay", "'10s'");
    let broker = Broker::start();
    let mut showroom = Showroom::new("hel-01", SITE, broker.port);
    showroom.start();
    let service = showroom.token("service", "probe");
    let world = World::connect(broker.port, "hel-01");
    let customer = uuid::Uuid::new_v4();
    world.command("customer.upsert", &json!({"id": customer, "personal": {"name": "Aino\u{0}"}, "profile": {}}));
    let mut collecting = Collecting::start(broker.port, &["--site", "hel-01"], &server.url());
    let stored = |server: &Postgres| server.number("SELECT count(*) FROM showfloor.event");
    for round in 0..2 {
        cars(&world, 2 * round);
        wait_for("some events", || (stored(&server) > 40 * round as u64).then_some(()));
        server.crash();
        cars(&world, 2 * round + 1);
        let told = acked(&showroom, &service)["acked"].as_u64().expect("a number");
        server.start_again();
        let cursor = server.number("SELECT after FROM showfloor.cursor WHERE lane = 'sales'");
        assert!(cursor >= told, "{told} was acknowledged, {cursor} is committed");
    }
    world.command("customer.erase", &json!({"id": customer}));
    let log = logged(&showroom, &service);
    wait_for("all of it", || (stored(&server) >= log.len() as u64).then_some(()));
    let ids = server.ask("SELECT id FROM showfloor.event").expect("read");
    assert_eq!(ids.len(), log.len(), "each once");
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>(), log);
    assert_eq!(server.number("SELECT count(*) FROM showfloor.event WHERE personal IS NOT NULL"), 0, "erased");
    assert_eq!(server.number("SELECT count(*) FROM showfloor.event WHERE dated IS NULL AND synced"), 0);
    wait_for("the last acknowledgement", || {
        let status = acked(&showroom, &service);
        (status["acked"] == status["last"]).then_some(())
    });
    assert!(collecting.metric("showfloor_collect_database_errors_total") > 0);
    assert_eq!(collecting.stop(), Some(0));
    assert_eq!(server.number("SELECT count(*) FROM showfloor.collector"), 0, "it left in order");
}

#[test]
fn a_server_that_may_lose_what_it_commits_is_refused_and_a_missing_one_is_named() {
    let server = Postgres::start();
    let once = |into: &str| {
        Showroom::cli(&["collect", "--broker", "mqtt://127.0.0.1:1", "--site", "a", "--once", "--into", into])
    };
    server.set("fsync", "off");
    let out = once(&server.url());
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(74) && text.contains("fsync = off"), "{text}");
    let out = once(&format!("postgres://floor:s3cret@127.0.0.1:{}/x", free_port()));
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(74) && text.contains("refused") && !text.contains("s3cret"), "{text}");
}
