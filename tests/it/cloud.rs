//! The cloud's side with the collector of our own: killed, begun anew, asked twice.

use std::{
    collections::BTreeSet,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    support::{Broker, SITE, Showroom, get, wait_for},
    world::{TAG, World},
};

fn collector(broker: u16, into: &Path, once: bool) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_showfloor"));
    command.args(["collect", "--broker", &format!("mqtt://127.0.0.1:{broker}"), "--site", "hel-01", "--into"]);
    command.arg(format!("sqlite:{}", into.display())).args(once.then_some("--once")).stderr(Stdio::null());
    command.spawn().expect("showfloor starts")
}

pub fn collected(into: &Path) -> Vec<String> {
    let Ok(db) = rusqlite::Connection::open(into) else { return Vec::new() };
    let Ok(mut rows) = db.prepare("SELECT id FROM event") else { return Vec::new() };
    let ids = rows.query_map([], |row| row.get::<_, String>(0)).expect("read");
    ids.map(|id| id.expect("an id")).collect()
}

/// Every id of the log, by the API.
pub fn logged(showroom: &Showroom, token: &str) -> BTreeSet<String> {
    let (mut ids, mut after) = (BTreeSet::new(), 0);
    loop {
        let (_, body) = get(showroom.http, &format!("/api/v1/events?limit=1000&after={after}"), Some(token));
        let page: Value = serde_json::from_str(&body).expect("JSON");
        let events = page["events"].as_array().expect("events");
        ids.extend(events.iter().filter_map(|event| event["id"].as_str().map(str::to_owned)));
        after = page["upto"].as_u64().expect("a position");
        if events.is_empty() {
            return ids;
        }
    }
}

#[test]
fn a_collector_that_is_killed_goes_on_and_has_each_event_once() {
    let broker = Broker::start();
    let mut showroom = Showroom::new("hel-01", SITE, broker.port);
    showroom.start();
    let service = showroom.token("service", "probe");
    let world = World::connect(broker.port, "hel-01");
    let into = showroom.dir.path().join("cloud.sqlite");
    let customer = uuid::Uuid::new_v4();
    world.command("customer.upsert", &json!({"id": customer, "personal": {"name": "Aino"}, "profile": {}}));
    world.command("tag.assign", &json!({"tag": TAG, "role": "visitor", "subject": customer}));
    for round in 0..4 {
        let mut child = collector(broker.port, &into, false);
        for n in 0..20 {
            let car = json!({"id": format!("V{round}-{n}"), "make": "Volvo", "model": "EX40", "year": 2026, "type": "suv",
                "status": "available"});
            assert_eq!(world.command("vehicle.upsert", &car)["ok"], true);
        }
        wait_for("some events", || (collected(&into).len() > round * 20).then_some(()));
        child.kill().expect("killed");
        child.wait().expect("dead");
    }
    world.command("customer.erase", &json!({"id": customer}));
    assert!(collector(broker.port, &into, true).wait().expect("ended").success(), "--once ends when all is there");
    let (there, log) = (collected(&into), logged(&showroom, &service));
    assert_eq!(there.len(), log.len(), "each once");
    assert_eq!(there.into_iter().collect::<BTreeSet<_>>(), log);
    let status = get(showroom.http, "/api/v1/status", Some(&service)).1;
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["lanes"]["sales"]["acked"]["cloud"], status["lanes"]["sales"]["last"]);
}

#[test]
fn a_collector_without_a_broker_says_so() {
    let dir = tempfile::TempDir::new().expect("a directory");
    let mut child = collector(crate::support::free_port(), &dir.path().join("cloud.sqlite"), true);
    assert_eq!(child.wait().expect("ended").code(), Some(69));
}
