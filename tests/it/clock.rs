//! A box without a battery clock, as a process: it boots in 1970, learns a time that is far off, is corrected, and reboots.
//! Debian's libfaketime moves its wall clock while it runs; the monotonic clock goes on as it does.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use crate::{
    support::{Broker, SITE, Showroom, get, request, wait_for},
    tablet::Tablet,
    world::{TAG, World},
};

const YEAR: i64 = 365 * 86_400;
const BOOTS: [&str; 3] = [
    "aaaaaaaa-0000-4000-8000-000000000000",
    "bbbbbbbb-0000-4000-8000-000000000000",
    "cccccccc-0000-4000-8000-000000000000",
];

/// Unix seconds of the machine that tests.
#[allow(clippy::disallowed_methods)] // what the clock under test is held against
pub fn truth() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_secs()).expect("fits")
}

fn rfc3339(seconds: i64) -> String {
    showfloor::domain::Timestamp::from_micros(seconds * 1_000_000).to_string()
}

fn libfaketime() -> PathBuf {
    let folders = fs::read_dir("/usr/lib").expect("a system").flatten().map(|entry| entry.path());
    let mut found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).filter(|path| path.exists());
    found.next().expect("libfaketime; see `make deps`")
}

/// The box's wall clock and what its kernel says of it.
pub struct Hands(PathBuf);

impl Hands {
    fn of(showroom: &mut Showroom) -> Self {
        let hands = Self(showroom.dir.path().to_owned());
        let path = |path: &Path| path.to_str().expect("text").to_owned();
        showroom.env = vec![
            ("LD_PRELOAD", path(&libfaketime())),
            ("FAKETIME_TIMESTAMP_FILE", path(&hands.0.join("wall"))),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("DONT_FAKE_MONOTONIC", "1".into()),
            ("NO_FAKE_STAT", "1".into()),
            ("SHOWFLOOR_CLOCK_QUALITY", format!("@{}", path(&hands.0.join("quality")))),
            ("SHOWFLOOR_BOOT_ID", BOOTS[0].into()),
        ];
        hands
    }

    /// The wall clock goes on from `seconds`, and the kernel calls it `quality`.
    pub fn set(&self, seconds: i64, quality: &str) {
        // Each is there whole or not at all, and no time is vouched for that is not meant.
        for (name, text) in [
            ("quality", "unsynced".to_owned()),
            ("wall", format!("{:+}", seconds - truth())),
            ("quality", quality.to_owned()),
        ] {
            let new = self.0.join("new");
            fs::write(&new, text).expect("written");
            fs::rename(&new, self.0.join(name)).expect("moved");
        }
    }
}

/// A box with such a clock.
pub struct Site {
    showroom: Showroom,
    pub hands: Hands,
    pub world: World,
    service: String,
    pub broker: Broker,
}

impl Site {
    pub fn new() -> Self {
        let broker = Broker::start();
        let mut showroom = Showroom::new("hel-01", SITE, broker.port);
        let text = fs::read_to_string(showroom.config()).expect("read").replace("\"payload\"", "\"arrival\"");
        let text = text + "[presence]\nsilence_timeout_s = 10\ndoor_timeout_s = 10\nmin_dwell_s = 1\n";
        fs::write(showroom.config(), text).expect("written");
        let hands = Hands::of(&mut showroom);
        let (world, service) = (World::connect(broker.port, "hel-01"), showroom.token("service", "probe"));
        Self { showroom, hands, world, service, broker }
    }

    pub fn boot(&mut self, boot: usize) {
        let id = self.showroom.env.iter_mut().find(|(name, _)| *name == "SHOWFLOOR_BOOT_ID").expect("is set");
        id.1 = BOOTS[boot].into();
        self.showroom.start();
    }

    fn status(&self) -> Value {
        serde_json::from_str(&get(self.showroom.http, "/api/v1/status", Some(&self.service)).1).expect("JSON")
    }

    pub fn events(&self) -> Vec<Value> {
        let body = get(self.showroom.http, "/api/v1/events?limit=1000&after=0", Some(&self.service)).1;
        let page: Value = serde_json::from_str(&body).expect("JSON");
        page["events"].as_array().expect("events").clone()
    }

    fn of_kind(&self, kind: &str) -> Vec<Value> {
        self.events().into_iter().filter(|event| event["kind"] == kind).collect()
    }

    /// Waits until the newest word about the clock, in each lane, is a step of about so many seconds.
    pub fn wait_for_word(&self, words: usize, step_s: f64) {
        wait_for("a word about the clock", || (self.of_kind("clock.synced").len() >= 3 * words).then_some(()));
        let told = self.of_kind("clock.synced");
        for word in &told[3 * (words - 1)..] {
            let step = word["data"]["step_ns"].as_f64().expect("a number") / 1e9;
            assert!((step - step_s).abs() < 5.0, "{word}");
        }
        let lanes: Vec<_> = told[3 * (words - 1)..].iter().map(|word| word["lane"].clone()).collect();
        assert_eq!(lanes, ["sales", "presence", "trace"], "in every lane, side by side in the log");
    }

    fn assign(&self, customer: u128, until: Option<i64>) {
        let customer = uuid::Uuid::from_u128(customer);
        let known = self.world.command("customer.upsert", &json!({"id": customer, "personal": {}, "profile": {}}));
        assert_eq!(known["ok"], true, "{known}");
        let until = until.map(rfc3339);
        let tag = json!({"tag": TAG, "role": "visitor", "subject": customer, "until": until});
        assert_eq!(self.world.command("tag.assign", &tag)["ok"], true);
    }

    /// Does `work` while a visitor stands beside the car.
    fn with_visitor<T>(&self, work: impl FnOnce() -> T) -> T {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    self.world.reading("desk", -55.0, 0.0);
                    self.world.reading("north-door", -85.0, 0.0);
                    thread::sleep(Duration::from_millis(200));
                }
            });
            let _end = End(&done);
            work()
        })
    }
}

/// Ends the visitor, also when what is done beside it panics.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn seconds(event: &Value, field: &str) -> i64 {
    let text = event[field].as_str().expect("a time");
    showfloor::domain::Timestamp::parse(text).expect("RFC 3339").whole_second()
}

/// `(lane, seq, pos, id, at, dated)` of what the collector has, in the order of lanes and numbers.
fn collected(site: &Site) -> Vec<(String, i64, i64, String, String, Option<i64>)> {
    let into = site.showroom.dir.path().join("cloud.sqlite");
    let broker = format!("mqtt://127.0.0.1:{}", site.broker.port);
    let done = Command::new(env!("CARGO_BIN_EXE_showfloor"))
        .args(["collect", "--once", "--site", "hel-01", "--broker", &broker, "--into"])
        .arg(format!("sqlite:{}", into.display()))
        .output()
        .expect("showfloor runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let db = rusqlite::Connection::open(into).expect("opens");
    let sql = "SELECT lane, seq, pos, id, at, dated_us / 1000000 FROM event ORDER BY lane, seq";
    let mut rows = db.prepare(sql).expect("prepared");
    let rows =
        rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?)));
    rows.expect("read").map(|row| row.expect("a row")).collect()
}

/// One box over three boots, and what is remembered of the ones before.
struct Story {
    site: Site,
    began: i64,
    /// Years after this program was built: the kernel vouches for it, but it has proved nothing.
    leap: i64,
    between: i64,
    command: String,
    staff: String,
}

fn car(id: &str) -> Value {
    json!({"id": id, "make": "Volvo", "model": "EX40", "year": 2026, "type": "suv", "status": "available", "spot": "A1"})
}

#[test]
fn a_box_that_boots_in_1970_and_leaps_by_decades_keeps_order_and_dates_and_ends_nothing() {
    let mut story = Story::begin();
    story.boots_in_1970_and_leaps();
    story.reboots_and_goes_on();
    story.is_collected_in_order_with_right_dates();
    story.does_not_believe_a_time_before_it_was_built();
}

impl Story {
    fn begin() -> Self {
        let site = Site::new();
        let staff = site.showroom.token("staff", "anna");
        let command = uuid::Uuid::now_v7().to_string();
        Self { site, began: truth(), leap: truth() + 3 * YEAR, between: truth() + YEAR, command, staff }
    }

    fn boots_in_1970_and_leaps(&mut self) {
        self.site.hands.set(100, "unsynced");
        self.site.boot(0);
        assert_eq!(
            (self.site.status()["clock"].clone(), seconds(&self.site.status(), "at") < 1_000),
            (json!("unsynced"), true)
        );
        self.site.world.command_as(&self.command, "vehicle.upsert", &car("V1"), &json!(rfc3339(self.between)));
        let first = self.site.world.hear("result", |result| result["id"] == self.command.as_str());
        assert_eq!(first["ok"], true, "{first}");
        self.site.assign(1, Some(self.between));
        let touch = self.site.showroom.token("kiosk", "K1");
        let (kiosk, tablet) = (
            Tablet::connect(self.site.showroom.http, &touch, ""),
            Tablet::connect(self.site.showroom.http, &self.staff, ""),
        );
        assert_eq!(kiosk.ask("SESSION_START", "1", &json!({}))["type"], "ACK");
        let ticket = request(self.site.showroom.http, "POST", "/api/v1/ticket", Some(&self.site.service)).1;
        let ticket: Value = serde_json::from_str(&ticket).expect("JSON");

        self.site.with_visitor(|| {
            tablet.hear("CUSTOMER_ENTERED");
            self.site.hands.set(self.leap, "synced");
            self.site.wait_for_word(1, 0.0);
            assert_eq!(self.site.status()["clock"], "synced");
            assert_eq!(kiosk.ask("KIOSK_CALL", "2", &json!({}))["type"], "ACK", "the session is open");
            let url = format!(
                "ws://127.0.0.1:{}/ws?ticket={}",
                self.site.showroom.http,
                ticket["ticket"].as_str().expect("one")
            );
            let welcome = Tablet::open(url).hear("WELCOME");
            assert!((seconds(&welcome["payload"], "serverTime") - self.leap).abs() < 60, "{welcome}");
            let positions = || tablet.frames().into_iter().rfind(|frame| frame["type"] == "POSITIONS");
            wait_for("a position of now", || {
                positions().filter(|frame| seconds(&frame["payload"], "at") > self.between)
            });

            let late = uuid::Uuid::now_v7().to_string();
            self.site.world.command_as(&late, "vehicle.upsert", &car("V2"), &json!(rfc3339(self.between)));
            let late = self.site.world.hear("result", |result| result["id"] == late);
            assert_eq!(late["ok"], true, "nothing expires by a leap that has proved nothing: {late}");

            self.site.hands.set(self.leap - 600, "synced");
            self.site.wait_for_word(2, -600.0);
            assert_eq!(kiosk.ask("KIOSK_CALL", "3", &json!({}))["type"], "ACK", "the session is still open");
        });
        let lost = ["CUSTOMER_EXITED", "SESSION_ENDED"];
        let frames = [tablet.frames(), kiosk.frames()].concat();
        assert!(
            frames.iter().all(|frame| !lost.iter().any(|kind| frame["type"] == *kind)),
            "nothing ended by the self.leap"
        );
        assert_eq!(self.site.showroom.stop(), 0);
    }

    fn reboots_and_goes_on(&mut self) {
        self.site.boot(1);
        self.site.wait_for_word(3, 0.0);
        let visits = get(self.site.showroom.http, "/api/v1/visits", Some(&self.site.service)).1;
        let visits: Value = serde_json::from_str(&visits).expect("JSON");
        assert!(seconds(&visits["visits"][0], "enteredAt") > self.between, "dated by what was learnt since: {visits}");
        assert_eq!(self.site.showroom.metric(&self.site.service, "showfloor_clock_synced"), 1);
        assert_eq!(self.site.of_kind("customer.exited"), [Value::Null; 0], "the visit goes on after the reboot");
        self.site.world.command_as(&self.command, "vehicle.upsert", &car("V1"), &Value::Null);
        wait_for("the answer of before", || {
            let entered = self.site.events().iter().filter(|event| event["vehicle"] == "V1").count();
            (entered == 1).then_some(())
        });
        let exited = self.site.with_visitor(|| {
            let tablet = Tablet::connect(self.site.showroom.http, &self.staff, "");
            let fresh = |frame: &Value| frame["type"] == "POSITIONS" && frame["payload"]["items"][0]["stale"] == false;
            wait_for("a fresh position", || tablet.frames().iter().any(fresh).then_some(()));
            self.site.assign(2, None);
            wait_for("the end of the visit", || self.site.of_kind("customer.exited").pop())
        });
        let lasted = exited["data"]["duration_s"].as_f64().expect("a number");
        assert!((0.0..120.0).contains(&lasted) && lasted <= (truth() - self.began) as f64, "{exited}");
        for dwelled in self.site.of_kind("customer.dwelled") {
            assert!((0.0..=120.0).contains(&dwelled["data"]["seconds"].as_f64().expect("a number")), "{dwelled}");
        }
        let entered = &self.site.of_kind("customer.entered")[0];
        assert_eq!((&entered["visit"], entered["clock"]["quality"].as_str()), (&exited["visit"], Some("unsynced")));
        for trace in self.site.of_kind("trace.positions").iter().filter(|trace| seconds(trace, "at") > self.between) {
            assert!(seconds(&trace["data"], "t0") > self.between, "{trace}");
        }
    }

    fn is_collected_in_order_with_right_dates(&mut self) {
        let rows = collected(&self.site);
        assert_eq!(rows.len(), self.site.events().len(), "each event once");
        assert!(rows.iter().any(|row| row.4.starts_with("1970-")), "the box was in 1970");
        for row in &rows {
            let dated = row.5.unwrap_or_default();
            assert!((self.leap - 700..self.leap + 200).contains(&dated), "{row:?} is dated right");
        }
        for lane in ["sales", "presence", "trace"] {
            let of: Vec<_> = rows.iter().filter(|row| row.0 == lane).collect();
            assert!(of.iter().zip(1..).all(|(row, seq)| row.1 == seq), "{lane} is whole");
            assert!(
                of.windows(2).all(|pair| pair[0].2 < pair[1].2 && pair[0].3 < pair[1].3),
                "{lane} rises in pos and id"
            );
        }
        assert_eq!(self.site.showroom.stop(), 0);
    }

    fn does_not_believe_a_time_before_it_was_built(&mut self) {
        // Another boot, whose kernel vouches for a time before this program was built.
        self.site.hands.set(31 * YEAR, "synced");
        self.site.boot(2);
        let status = self.site.status();
        assert_eq!(
            (&status["clock"], seconds(&status, "at") / YEAR),
            (&json!("unsynced"), 31),
            "not believed, and not made up"
        );
        wait_for("a word in the log", || {
            self.site.showroom.log().contains("before this program was built").then_some(())
        });
        self.site.hands.set(truth(), "synced");
        self.site.wait_for_word(4, 0.0);
        assert_eq!(self.site.status()["clock"], "synced");
        assert_eq!(self.site.showroom.stop(), 0);
    }
}
