//! The whole program on a database that is damaged, and the clouds that pulled from it before: each event once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};

use crate::{
    support::{Broker, SITE, Showroom, data_dir, get, python, tool},
    world::{TAG, World},
};

fn file(showroom: &Showroom) -> PathBuf {
    showroom.dir.path().join("data/showfloor.sqlite")
}

fn write_at(path: &Path, at: u64, bytes: &[u8]) {
    File::options().write(true).open(path).expect("opens").write_all_at(bytes, at).expect("writes");
}

/// Where `text` stands in a file, the first time after `after`.
fn find(path: &Path, text: &str, after: usize) -> usize {
    let bytes = fs::read(path).expect("reads");
    let found = bytes[after..].windows(text.len()).position(|window| window == text.as_bytes());
    after + found.unwrap_or_else(|| panic!("{text} is not in {}", path.display()))
}

/// Flips one bit inside of the data of the first car's event.
pub fn flip_a_bit_in_an_event(showroom: &Showroom) {
    let path = file(showroom);
    let at = find(&path, "\"model\":\"EX40\"", find(&path, "inventory.updated", 0));
    write_at(&path, at as u64 + 9, b"G");
}

/// Has these cars written.
pub fn stock(world: &World, cars: std::ops::Range<u32>) {
    for n in cars {
        let car = json!({"id": format!("V{n}"), "make": "Volvo", "model": "EX40", "year": 2026, "type": "suv",
            "status": "available"});
        assert_eq!(world.command("vehicle.upsert", &car)["ok"], true);
    }
}

fn status(showroom: &Showroom, token: &str) -> Value {
    serde_json::from_str(&get(showroom.http, "/api/v1/status", Some(token)).1).expect("JSON")
}

/// What our collector has, by id: kind and body.
fn collected(into: &Path) -> BTreeMap<String, (String, Value)> {
    let db = rusqlite::Connection::open(into).expect("opens");
    let sql = "SELECT id, kind, body, count(*) OVER (PARTITION BY id) FROM event";
    let mut rows = db.prepare(sql).expect("prepares");
    let rows = rows.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), (row.get(2)?, row.get(3)?))));
    let read = |row: rusqlite::Result<((String, String), (String, i64))>| {
        let ((id, kind), (body, times)) = row.expect("reads");
        assert_eq!(times, 1, "{id} is there once");
        (id, (kind, serde_json::from_str(&body).expect("JSON")))
    };
    rows.expect("reads").map(read).collect()
}

fn collect(broker: &Broker, into: &Path) {
    let into = format!("sqlite:{}", into.display());
    let broker = format!("mqtt://127.0.0.1:{}", broker.port);
    let out = Showroom::cli(&["collect", "--once", "--broker", &broker, "--site", "hel-01", "--into", &into]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

/// The black-box puller: its exit, and what it has pulled so far into `out`.
fn pull(broker: &Broker, out: &Path, state: &Path) -> (Output, Vec<Value>) {
    let mut command = Command::new(python());
    command.arg(tool("puller.py")).args(["--broker", &format!("127.0.0.1:{}", broker.port), "--site", "hel-01"]);
    let done = command.arg("--out").arg(out).arg("--resume").arg(state).output().expect("python; see `make deps`");
    let lines = fs::read_to_string(out).unwrap_or_default();
    (done, lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
}

fn ids(lines: &[Value]) -> BTreeSet<String> {
    lines.iter().filter_map(|line| line["id"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_bit_that_flips_while_it_runs_ends_it_and_the_next_start_goes_on_and_the_clouds_have_each_event_once() {
    let broker = Broker::start();
    let mut showroom = Showroom::new("hel-01", SITE, broker.port);
    showroom.start();
    let token = showroom.token("service", "probe");
    let world = World::connect(broker.port, "hel-01");
    stock(&world, 0..30);
    let into = showroom.dir.path().join("cloud.sqlite");
    collect(&broker, &into);
    let before = status(&showroom, &token);
    let pulled = data_dir().map(|_| {
        let (out, state) = (showroom.dir.path().join("pulled"), showroom.dir.path().join("state"));
        let (done, lines) = pull(&broker, &out, &state);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        (out, state, lines)
    });
    assert_eq!(showroom.stop(), 0);
    flip_a_bit_in_an_event(&showroom);

    // It starts, reads its log through, and meets what it did not write.
    showroom.start_and_let_be();
    assert_eq!(showroom.ended(), 75, "{}", showroom.log());
    assert!(showroom.log().contains("start again: it will be set aside and salvaged"), "{}", showroom.log());
    showroom.start();
    stock(&world, 30..35);
    let after = status(&showroom, &token);
    assert_ne!(after["epoch"], before["epoch"]);
    assert_eq!(after["salvage"]["from"], before["epoch"]);
    assert_eq!((&after["salvage"]["lost"], &after["degraded"]), (&json!(1), &json!(["salvaged"])));
    let copy = PathBuf::from(after["salvage"]["copy"].as_str().expect("a folder"));
    assert!(copy.join("showfloor.sqlite").exists(), "{copy:?}");
    assert_eq!(showroom.metric(&token, "showfloor_store_lost_events"), 1);
    let told = world.hear("status", |status| status["epoch"] == after["epoch"]);
    assert_eq!((&told["salvage"]["lost"], &told["degraded"]), (&json!(1), &json!(["salvaged"])));
    let table = Showroom::cli(&["status", "--config", showroom.config().to_str().expect("text")]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("1 lost"), "{table:?}");

    // The cloud had the event that the box lost, and has each other once.
    let had = collected(&into);
    collect(&broker, &into);
    let has = collected(&into);
    assert_eq!(has.len(), had.len() + 5, "five are new");
    assert!(
        had.iter().all(|(id, (kind, body))| has[id].0 == *kind && has[id].1["data"] == body["data"]),
        "what was known stays as it was"
    );
    if let Some((out, state, was)) = pulled {
        let (done, lines) = pull(&broker, &out, &state);
        assert_eq!((done.status.code(), &lines), (Some(1), &was));
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(said.contains("epoch_changed"), "it is told to begin anew: {said}");
        fs::remove_file(&state).expect("forgets its cursors");
        let (done, lines) = pull(&broker, &out, &state);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert_eq!(ids(&lines), has.keys().cloned().collect(), "the same as our collector has");
        let origins = lines[was.len()..].iter().filter(|line| line["origin"]["epoch"] == before["epoch"]);
        assert!(origins.count() >= 29);
        let gaps: Vec<_> = lines.iter().filter(|line| line["gap"]["reason"] == "corruption").collect();
        assert_eq!((gaps.len(), &gaps[0]["gap"]["count"]), (1, &json!(1)));
    }
    assert_eq!(showroom.stop(), 0);
}

#[test]
fn a_file_that_does_not_open_is_set_aside_whatever_it_is() {
    let broker = Broker::start();
    let mut showroom = Showroom::new("hel-01", SITE, broker.port);
    showroom.start();
    let token = showroom.token("service", "probe");
    let world = World::connect(broker.port, "hel-01");
    stock(&world, 0..40);
    let pos = status(&showroom, &token)["pos"].as_u64().expect("a position");
    let epoch = status(&showroom, &token)["epoch"].clone();
    // As a crash leaves it: the events are in the write-ahead log still.
    showroom.kill();
    let log = file(&showroom).with_extension("sqlite-wal");
    fs::remove_file(&log).expect("removes");
    showroom.start();
    let said = status(&showroom, &token);
    assert!(said["salvage"]["cause"].as_str().is_some_and(|cause| cause.contains("gone back")), "{said}");
    assert_eq!(said["pos"], pos, "no number comes back");
    assert_ne!(said["epoch"], epoch);
    stock(&world, 40..60);
    let kept = status(&showroom, &token);

    for (what, cause) in
        [("header", "not a database"), ("cut", "malformed"), ("empty", "empty"), ("foreign", "not a database")]
    {
        assert_eq!(showroom.stop(), 0);
        let path = file(&showroom);
        match what {
            "header" => write_at(&path, 3, &[0xff]),
            "cut" => {
                let length = fs::metadata(&path).expect("is there").len();
                File::options().write(true).open(&path).expect("opens").set_len(length - 4_096).expect("cuts");
            }
            "empty" => fs::write(&path, "").expect("empties"),
            _ => fs::write(&path, vec![7; 10_000]).expect("writes"),
        }
        showroom.start();
        let said = status(&showroom, &token);
        assert!(said["salvage"]["cause"].as_str().is_some_and(|said| said.contains(cause)), "{what}: {said}");
        if what == "header" {
            assert_eq!((&said["pos"], &said["salvage"]["lost"]), (&kept["pos"], &json!(0)));
        }
        let car =
            json!({"id": what, "make": "Volvo", "model": "EX40", "year": 2026, "type": "suv", "status": "available"});
        assert_eq!(world.command("vehicle.upsert", &car)["ok"], true);
    }
    assert_eq!(showroom.stop(), 0);
}

/// Every file under `folder`, with what it holds.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(folder).expect("lists").map(|entry| entry.expect("an entry").path());
    let within = |path: PathBuf| {
        if path.is_dir() { contents(&path) } else { vec![(path.clone(), fs::read(&path).unwrap_or_default())] }
    };
    entries.flat_map(within).collect()
}

fn holders(showroom: &Showroom, text: &str) -> Vec<PathBuf> {
    let holds = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let found = contents(&showroom.dir.path().join("data")).into_iter().filter(|(_, bytes)| holds(bytes));
    found.map(|(path, _)| path).collect()
}

#[test]
fn whoever_is_erased_is_in_no_file_any_more_not_even_in_the_damaged_ones() {
    let broker = Broker::start();
    let mut showroom = Showroom::new("hel-01", SITE, broker.port);
    showroom.start();
    let world = World::connect(broker.port, "hel-01");
    let (aino, ben) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
    for (id, name, phone) in [(aino, "Aino Unohdettava", "0401234567"), (ben, "Ben Pysyvinen", "0507654321")] {
        let personal = json!({"name": name, "phone": phone, "email": format!("{phone}@example.org")});
        let done =
            world.command("customer.upsert", &json!({"id": id, "personal": personal, "profile": {"age": "30s"}}));
        assert_eq!(done["ok"], true);
    }
    world.command("tag.assign", &json!({"tag": TAG, "role": "visitor", "subject": aino}));
    stock(&world, 0..20);
    assert_eq!(showroom.stop(), 0);
    write_at(&file(&showroom), 3, &[0xff]);
    showroom.start();
    let copies =
        |text: &str| holders(&showroom, text).iter().filter(|path| path.to_string_lossy().contains("damaged-")).count();
    assert!(copies("Aino Unohdettava") > 0, "the damaged files hold names");
    let first = world.pull(
        "cloud",
        &json!({"id": "1", "lane": "sales", "epoch": null, "after": 0, "max_events": 500,
        "max_bytes": 262_144, "accept": [], "wait_ms": 0}),
    );
    assert!(first["head"].as_u64() >= Some(23), "{first}");

    assert_eq!(world.command("customer.erase", &json!({"id": aino}))["ok"], true);
    for gone in ["Aino Unohdettava", "0401234567", TAG] {
        assert_eq!(holders(&showroom, gone), Vec::<PathBuf>::new(), "{gone}");
    }
    assert!(!holders(&showroom, "Ben Pysyvinen").is_empty());
    let into = showroom.dir.path().join("cloud.sqlite");
    collect(&broker, &into);
    let events = collected(&into);
    assert!(events.values().any(|(kind, _)| kind == "customer.erased"));
    let token = showroom.token("service", "probe");
    let (_, body) = get(showroom.http, "/api/v1/events?limit=1000&after=0", Some(&token));
    let body: Value = serde_json::from_str(&body).expect("JSON");
    let of_aino =
        body["events"].as_array().expect("events").iter().filter(|event| event["customer"] == aino.to_string());
    let personal: Vec<_> = of_aino.filter(|event| event["kind"] != "customer.erased").collect();
    assert!(personal.len() >= 2);
    assert!(personal.iter().all(|event| event.get("personal") == Some(&Value::Null)), "{personal:?}");
    let said = status(&showroom, &token);
    assert_eq!((&said["salvage"]["copy"], &said["degraded"]), (&Value::Null, &json!([])));
    assert_eq!(showroom.stop(), 0);
    assert_eq!(holders(&showroom, "Aino Unohdettava"), Vec::<PathBuf>::new());
}

/// A file system of its own, unmounted at the end.
struct Mounted(PathBuf);

impl Mounted {
    /// `None` where nothing may be mounted.
    fn new(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).expect("makes a directory");
        let done =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=32m", "none"]).arg(at).output().expect("runs");
        if done.status.success() {
            return Some(Self(at.to_owned()));
        }
        eprintln!("skipped: nothing can be mounted here");
        None
    }

    fn remount(&self, option: &str) {
        let option = format!("remount,{option}");
        let done = Command::new("mount").args(["-o", &option]).arg(&self.0).status().expect("runs");
        assert!(done.success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_disk_that_is_read_only_at_the_start_is_said_and_nothing_is_set_aside() {
    let broker = Broker::start();
    let mut showroom = Showroom::new("hel-01", SITE, broker.port);
    let Some(disk) = Mounted::new(&showroom.dir.path().join("data")) else { return };
    showroom.start();
    let world = World::connect(broker.port, "hel-01");
    stock(&world, 0..5);
    let token = showroom.token("service", "probe");
    let before = status(&showroom, &token);
    assert_eq!(showroom.stop(), 0);
    disk.remount("ro");
    let config = showroom.config();
    let out = Showroom::cli(&["run", "--config", config.to_str().expect("text")]);
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(74), "{text}");
    assert!(text.contains("cannot be written; check its owner, its rights and the disk"), "{text}");
    disk.remount("rw");
    showroom.start();
    let after = status(&showroom, &token);
    assert_eq!((&after["epoch"], &after["pos"], &after["salvage"]), (&before["epoch"], &before["pos"], &Value::Null));
    assert_eq!(showroom.stop(), 0);
}
