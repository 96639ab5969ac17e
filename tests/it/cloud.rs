//! The cloud's side with the collector of our own: killed, begun anew, asked twice.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use powercut::Mount;
use serde_json::{Value, json};

use crate::{
    damage::stock,
    postgres::Collecting,
    support::{Broker, SITE, Showroom, get, python, wait_for},
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
    logged_where(showroom, token, |_| true)
}

/// Every id of `sales`.
fn logged_in_sales(showroom: &Showroom, token: &str) -> BTreeSet<String> {
    logged_where(showroom, token, |event| event["lane"] == "sales")
}

fn logged_where(showroom: &Showroom, token: &str, fits: impl Fn(&Value) -> bool) -> BTreeSet<String> {
    let (mut ids, mut after) = (BTreeSet::new(), 0);
    loop {
        let (_, body) = get(showroom.http, &format!("/api/v1/events?limit=1000&after={after}"), Some(token));
        let page: Value = serde_json::from_str(&body).expect("JSON");
        let events = page["events"].as_array().expect("events");
        ids.extend(
            events.iter().filter(|event| fits(event)).filter_map(|event| event["id"].as_str().map(str::to_owned)),
        );
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

/// How far the box knows the consumer to be in `sales`, and its last number there.
fn acknowledged(showroom: &Showroom, token: &str) -> (u64, u64) {
    let status = get(showroom.http, "/api/v1/status", Some(token)).1;
    let status: Value = serde_json::from_str(&status).expect("JSON");
    let lane = &status["lanes"]["sales"];
    (lane["acked"]["cloud"].as_u64().expect("a number"), lane["last"].as_u64().expect("a number"))
}

#[test]
fn a_disk_that_is_full_gets_nothing_acknowledged_that_is_not_on_it_and_collecting_goes_on_when_there_is_room() {
    if !Mount::is_possible() {
        eprintln!("skipped: mounting needs root and /dev/fuse");
        return;
    }
    let mut disk = Mount::new(11).expect("mounts");
    let broker = Broker::start();
    let mut showroom = Showroom::new("hel-01", SITE, broker.port);
    showroom.start();
    let service = showroom.token("service", "probe");
    let world = World::connect(broker.port, "hel-01");
    let into = disk.path().join("cloud.sqlite");
    let sqlite = format!("sqlite:{}", into.display());
    let mut collecting = Collecting::start(broker.port, &["--site", "hel-01"], &sqlite);
    stock(&world, 0..3);
    wait_for("some events", || (collected(&into).len() >= 3).then_some(()));
    let used: u64 =
        fs::read_dir(disk.path()).expect("read").map(|file| file.expect("a file").metadata().expect("its").len()).sum();
    disk.set_capacity(Some(used + 32 * 1024));
    let refused = || collecting.metric("showfloor_collect_database_errors_total");
    let mut written = 3;
    wait_for("the end of the disk", || {
        stock(&world, written..written + 10);
        written += 10;
        (refused() > 0).then_some(())
    });
    stock(&world, written..written + 5);
    let (acked, last) = acknowledged(&showroom, &service);
    let numbers = rusqlite::Connection::open(&into).expect("opens");
    let count = |sql: &str| numbers.query_row(sql, [], |row| row.get::<_, u32>(0)).expect("read");
    let stored = u64::from(count("SELECT count(*) FROM event WHERE lane = 'sales'"));
    assert!(acked <= stored && stored < last, "{acked} acknowledged, {stored} stored, {last} there");
    drop(numbers);

    disk.set_capacity(None);
    wait_for("all of it", || {
        let (acked, last) = acknowledged(&showroom, &service);
        (acked == last).then_some(())
    });
    // Acknowledged is on disk: the power goes.
    disk.cut(&mut [&mut collecting.child]).expect("cuts");
    let there: BTreeSet<String> = collected(&into).into_iter().collect();
    assert!(logged_in_sales(&showroom, &service).is_subset(&there));
}

/// The manual of the cloud's side.
pub fn manual() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cloud.md")).expect("read")
}

/// Its blocks of one language, in order.
pub fn blocks_of_the_manual(language: &str) -> Vec<String> {
    let manual = manual();
    let fence = format!("```{language}\n");
    let blocks = manual.split(&fence).skip(1);
    blocks.map(|block| block.split("```").next().expect("its end").to_owned()).collect()
}

/// The manual's puller, that is killed with the test.
struct Puller(Child);

impl Puller {
    fn start(dir: &Path, broker: u16) -> Self {
        let [text] = &blocks_of_the_manual("python")[..] else { panic!("one block") };
        assert!(text.contains("\"127.0.0.1\", 1883"), "the broker that stands there is replaced by ours");
        fs::write(dir.join("puller.py"), text.replace("1883", &broker.to_string())).expect("written");
        let mut command = Command::new(python());
        Self(command.arg("puller.py").current_dir(dir).spawn().expect("python; see `make deps`"))
    }
}

impl Drop for Puller {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_puller_of_the_manual_has_each_event_once_also_after_it_was_killed_and_the_box_got_a_new_database() {
    let broker = Broker::start();
    let mut showroom = Showroom::new("hel-01", SITE, broker.port);
    showroom.start();
    let service = showroom.token("service", "probe");
    let world = World::connect(broker.port, "hel-01");
    let dir = tempfile::TempDir::new().expect("a directory");
    let into = dir.path().join("cloud.db");
    let mut sales = BTreeSet::new();
    let mut round = |showroom: &Showroom, service: &str, first: u32| {
        let puller = Puller::start(dir.path(), broker.port);
        stock(&world, first..first + 5);
        wait_for("all acknowledgements", || {
            let (acked, last) = acknowledged(showroom, service);
            (acked == last).then_some(())
        });
        drop(puller);
        sales.extend(logged_in_sales(showroom, service));
        let there = collected(&into);
        assert_eq!(there.len(), sales.len(), "each once");
        assert_eq!(there.into_iter().collect::<BTreeSet<_>>(), sales);
    };
    round(&showroom, &service, 0);
    round(&showroom, &service, 5);
    assert_eq!(showroom.stop(), 0);
    fs::rename(showroom.dir.path().join("data"), showroom.dir.path().join("lost")).expect("moved");
    let service = showroom.token("service", "probe");
    showroom.start();
    round(&showroom, &service, 10);
}
