//! The main job: a real walk through a real broker, a kiosk's taps, a tablet and the cloud, each event exactly once.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::{Value, json};

use crate::{
    support::{Broker, Showroom, data_dir, python, tool, wait_for},
    tablet::{Tablet, cursor},
    world::{TAG, World},
};

const WALK: &str = "positioning/office12/tracks/zigzagging_with_rotation.jsonl.gz";
const VISITOR_EVENTS: [&str; 4] = ["customer.entered", "customer.moved", "customer.dwelled", "customer.exited"];

struct Heard {
    t: f64,
    anchor: String,
    rssi: f64,
}

fn walk(data: &Path) -> Vec<Heard> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(File::open(data.join(WALK)).expect("the walk"))
        .read_to_string(&mut text)
        .expect("gzip");
    let line = |line: &str| {
        let value: Value = serde_json::from_str(line).expect("JSON");
        let anchor = value["anchor"].as_str().expect("anchor").to_owned();
        Heard { t: value["t"].as_f64().expect("t"), anchor, rssi: value["rssi"].as_f64().expect("rssi") }
    };
    text.lines().map(line).collect()
}

fn site_with_visitor(data: &Path) -> String {
    let site = fs::read_to_string(data.join("positioning/office12/site.toml")).expect("the site");
    format!("{site}\n[[spot]]\nid = \"A1\"\nx = 8.0\ny = 6.0\n\n[[tag]]\nid = \"{TAG}\"\nrole = \"visitor\"\n")
}

/// What `replay --events` makes of the same readings.
fn replayed(showroom: &Showroom, walk: &[Heard]) -> Vec<Value> {
    let readings = showroom.dir.path().join("readings.jsonl");
    let line = |r: &Heard| json!({"t": r.t, "anchor": r.anchor, "tag": TAG, "rssi": r.rssi}).to_string() + "\n";
    fs::write(&readings, walk.iter().map(line).collect::<String>()).expect("written");
    let events = showroom.dir.path().join("events.jsonl");
    let site = showroom.dir.path().join("site.toml");
    let path = |path: &PathBuf| path.to_str().expect("text").to_owned();
    let positions = path(&showroom.dir.path().join("positions.jsonl"));
    let (site, readings, out) = (path(&site), path(&readings), path(&events));
    let args = ["replay", "--site", &site, "--in", &readings, "--positions", &positions, "--events", &out];
    let done = Showroom::cli(&args);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    jsonl(&events).into_iter().filter(is_about_visitors).collect()
}

fn jsonl(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn is_about_visitors(event: &Value) -> bool {
    VISITOR_EVENTS.iter().any(|kind| event["kind"] == *kind)
}

/// The events as both tell them: visits numbered in the order in which they first appear.
fn told(events: &[Value]) -> Vec<Value> {
    let mut visits = HashMap::new();
    let one = |event: &Value| {
        let next = visits.len();
        let visit = *visits.entry(event["visit"].to_string()).or_insert(next);
        json!({"at": event["at"], "kind": event["kind"], "visit": visit, "data": event["data"]})
    };
    events.iter().map(one).collect()
}

struct Client {
    child: Child,
    out: PathBuf,
    ledger: PathBuf,
}

fn client(showroom: &Showroom, name: &str, role: &str, token: &str, extra: &[&str]) -> Client {
    let (out, ledger) =
        (showroom.dir.path().join(format!("{name}.frames")), showroom.dir.path().join(format!("{name}.acks")));
    let mut command = Command::new(python());
    command.arg(tool("kiosk.py")).args(["--url", &format!("ws://127.0.0.1:{}/ws", showroom.http)]);
    command.args(["--token", token, "--role", role]).args(extra).arg("--out").arg(&out).arg("--ledger").arg(&ledger);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("python; see `make deps`");
    Client { child, out, ledger }
}

impl Client {
    fn promised(&self) -> Vec<Value> {
        jsonl(&self.ledger)
    }

    fn finish(self) -> Value {
        let done = self.child.wait_with_output().expect("ended");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).expect("a summary")
    }
}

/// Pulls everything there is; returns the events pulled so far by this state.
fn pull(showroom: &Showroom, broker: &Broker) -> Vec<Value> {
    let (out, state) = (showroom.dir.path().join("pulled.jsonl"), showroom.dir.path().join("pull.state"));
    let mut command = Command::new(python());
    command.arg(tool("puller.py")).args(["--broker", &format!("127.0.0.1:{}", broker.port), "--site", &showroom.site]);
    command.args(["--zstd", "--max-events", "50"]).arg("--out").arg(&out).arg("--resume").arg(&state);
    let done = command.output().expect("python; see `make deps`");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    jsonl(&out)
}

fn send(world: &World, readings: &[Heard]) {
    for reading in readings {
        world.reading(&reading.anchor, reading.rssi, reading.t);
    }
}

fn wait_for_readings(showroom: &Showroom, token: &str, count: usize) {
    wait_for("the readings", || (showroom.metric(token, "showfloor_readings_total") >= count as u64).then_some(()));
}

fn check_each_once(pulled: &[Value]) {
    let ids: HashSet<_> = pulled.iter().map(|event| event["id"].as_str().expect("id")).collect();
    assert_eq!(ids.len(), pulled.len(), "an event was pulled twice");
}

/// What was acknowledged to a kiosk is what the cloud has at that position.
fn check_promises(promised: &[Value], pulled: &[Value]) {
    let by_pos: BTreeMap<u64, &Value> = pulled.iter().map(|e| (e["pos"].as_u64().expect("pos"), e)).collect();
    for ack in promised {
        let event = by_pos.get(&ack["pos"].as_u64().expect("pos")).expect("acknowledged and not in the log");
        assert_eq!(event["kind"], "customer.interested");
        assert_eq!(event["data"]["level"], ack["sent"]["interestLevel"]);
        assert_eq!(event["vehicle"], ack["sent"]["vehicleId"]);
    }
}

/// Each visitor event that a tablet is told of, once and in order; dwells are not told.
fn check_tablet(frames: &[Value], pulled: &[Value]) {
    const TOLD: [&str; 3] = ["CUSTOMER_ENTERED", "CUSTOMER_MOVED", "CUSTOMER_EXITED"];
    let facts = frames.iter().filter(|frame| TOLD.iter().any(|kind| frame["type"] == *kind));
    let seen: Vec<u64> = facts.map(|frame| frame["pos"].as_u64().expect("pos")).collect();
    let due = pulled.iter().filter(|event| is_about_visitors(event) && event["kind"] != "customer.dwelled");
    let mut due: Vec<u64> = due.map(|event| event["pos"].as_u64().expect("pos")).collect();
    due.sort_unstable();
    assert_eq!(seen, due);
}

fn stock(world: &World) {
    let car = json!({"id": "V1", "make": "Volvo", "model": "EX40", "year": 2026, "type": "suv", "spot": "A1",
        "price": 51990, "currency": "EUR", "status": "available"});
    let result = world.command("vehicle.upsert", &car);
    assert_eq!(result["ok"], true, "{result}");
}

fn by_seq(pulled: &[Value], lane: &str) -> Vec<Value> {
    pulled.iter().filter(|event| event["lane"] == lane).cloned().collect()
}

#[test]
fn a_walk_reaches_tablet_and_cloud_exactly_once() {
    let Some(data) = data_dir() else { return };
    let broker = Broker::start();
    let mut showroom = Showroom::new("office12", &site_with_visitor(&data), broker.port);
    showroom.start();
    let (kiosk, staff, service) =
        (showroom.token("kiosk", "K1"), showroom.token("staff", "anna"), showroom.token("service", "cloud"));
    let world = World::connect(broker.port, "office12");
    stock(&world);
    let walk = walk(&data);
    let expected = replayed(&showroom, &walk);
    assert!(expected.len() > 5, "the walk makes events: {}", expected.len());

    let tablet = client(&showroom, "tablet", "staff", &staff, &["--listen", "20"]);
    showroom.wait_for_clients(&service, 1);
    let taps = client(&showroom, "taps", "kiosk", &kiosk, &["--send", "60", "--rate", "20", "--listen", "3"]);
    send(&world, &walk);
    wait_for_readings(&showroom, &service, walk.len());
    let promised = taps.ledger.clone();
    let summary = taps.finish();
    assert_eq!(
        (summary["unanswered"].as_u64(), summary["errors"].as_object().map(serde_json::Map::len)),
        (Some(0), Some(0))
    );

    let pulled = wait_for("every event in the cloud", || {
        let pulled = pull(&showroom, &broker);
        let visitors = pulled.iter().filter(|event| is_about_visitors(event)).count();
        (visitors >= expected.len()).then_some(pulled)
    });
    check_each_once(&pulled);
    check_promises(&jsonl(&promised), &pulled);
    let presence: Vec<Value> = by_seq(&pulled, "presence");
    let (at_cars, presence): (Vec<_>, Vec<_>) =
        presence.into_iter().partition(|event| !event["data"]["vehicle"].is_null());
    assert!(!at_cars.is_empty(), "the walk stops at the car, of which a replay knows nothing");
    assert_eq!(told(&presence), told(&expected));
    let frames_at = tablet.out.clone();
    tablet.finish();
    check_tablet(&jsonl(&frames_at), &pulled);
    assert_eq!(showroom.metric(&service, "showfloor_readings_dropped_total"), 0);
    assert_eq!(showroom.stop(), 0);
    let odd: Vec<_> =
        showroom.log().lines().filter(|l| l.contains("WARN") || l.contains("ERROR")).map(str::to_owned).collect();
    assert_eq!(odd, [""; 0], "the happy path warns of nothing");
}

#[test]
fn a_kill_in_the_middle_loses_and_doubles_nothing() {
    let Some(data) = data_dir() else { return };
    let broker = Broker::start();
    let mut showroom = Showroom::new("office12", &site_with_visitor(&data), broker.port);
    showroom.start();
    let (kiosk, staff, service) =
        (showroom.token("kiosk", "K1"), showroom.token("staff", "anna"), showroom.token("service", "cloud"));
    let world = World::connect(broker.port, "office12");
    stock(&world);
    let walk = walk(&data);
    let expected = told(&replayed(&showroom, &walk));
    let (first, second) = walk.split_at(walk.len() / 2);

    let tablet = Tablet::connect(showroom.http, &staff, "");
    tablet.hear("INITIAL_STATE");
    let mut taps = client(&showroom, "taps1", "kiosk", &kiosk, &["--send", "90", "--rate", "30", "--listen", "60"]);
    send(&world, first);
    wait_for_readings(&showroom, &service, first.len());
    wait_for("some taps", || (taps.promised().len() > 10).then_some(()));
    let before = pull(&showroom, &broker);
    showroom.kill();
    let (mut frames, _) = tablet.finish();
    taps.child.wait().expect("ended");

    showroom.start();
    let again = Tablet::connect(showroom.http, &staff, &format!("&resume={}", cursor(&frames)));
    again.hear("RESUMED");
    wait_for("the anchors", || (showroom.metric(&service, "showfloor_anchors_connected") == 1).then_some(()));
    send(&world, second);
    wait_for_readings(&showroom, &service, second.len());
    let (kiosk2, promised2) = (showroom.token("kiosk", "K2"), showroom.dir.path().join("taps2.acks"));
    let more = client(&showroom, "taps2", "kiosk", &kiosk2, &["--send", "20", "--rate", "20", "--listen", "2"]);
    assert_eq!(more.finish()["unanswered"], 0);

    let pulled = pull(&showroom, &broker);
    check_each_once(&pulled);
    assert!(pulled.starts_with(&before), "what was pulled before the kill stands");
    check_promises(&taps.promised(), &pulled);
    check_promises(&jsonl(&promised2), &pulled);
    let presence = by_seq(&pulled, "presence");
    check_legal(&presence);
    let early = by_seq(&before, "presence").into_iter().filter(|event| event["data"]["vehicle"].is_null());
    let early = told(&early.collect::<Vec<_>>());
    assert_eq!(early[..], expected[..early.len()], "before the kill it is as replayed");
    assert_eq!(showroom.stop(), 0);
    frames.extend(again.finish().0);
    check_tablet(&frames, &pulled);
}

/// The events of each visit: entered once and first, nothing after its exit.
fn check_legal(presence: &[Value]) {
    let mut open: HashMap<String, bool> = HashMap::new();
    for event in presence {
        let visit = event["visit"].to_string();
        let state = open.get(&visit).copied();
        match event["kind"].as_str().expect("kind") {
            "customer.entered" => assert_eq!(state, None, "entered twice: {event}"),
            _ => assert_eq!(state, Some(true), "not open: {event}"),
        }
        open.insert(visit, event["kind"] != "customer.exited");
    }
}
