//! A month of a busy showroom through the real engine and the real store, and what each event costs on the disk.
//!
//! `cargo bench --bench month`, or `make month`: a minute or two. Three days are lived through, and ten times each written
//! by other people. 200 visits a day of 40 minutes in the mean, from 9 to 21;
//! 8 receivers hear each tag once a second, with 4 dB of noise and a tenth lost. Kiosks, staff and inventory do what such a
//! day brings. Nobody acknowledges anything, so everything stays: the most it can be. Then a cloud takes all, and what may
//! go goes.
#![allow(missing_docs, clippy::expect_used, clippy::print_stdout)]

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rusqlite::Connection;
use showfloor::{
    domain::{
        Anchor, BootId, Clock, ClockQuality, Dbm, Fact, Lane, Personal, Presence, Reading, Registration, Registry,
        Role, Site, Stamp, TagId, Timestamp, Vehicle, VehicleStatus, VisitId, Zone, ZoneKind,
    },
    presence::{Engine, Output, Settings},
    showroom::{CloudCommand, Command, Dating, KioskCommand, StaffCommand},
    store::{GroupCommit, Options, StorageOptions, Store, StoreHandle, Writer},
    telemetry::{Ailments, Telemetry},
};

const DAYS: i64 = 30;
const VISITS: usize = 200;
const OPENS_S: i64 = 9 * 3_600;
const OPEN_S: i64 = 12 * 3_600;
/// Midnight of a Monday, UTC.
const BEGIN_S: i64 = 1_700_438_400;
const DAY_S: i64 = 86_400;

struct HandClock(Mutex<Stamp>);

impl Clock for HandClock {
    fn now(&self) -> Stamp {
        *self.0.lock().expect("not poisoned")
    }
}

impl HandClock {
    fn set(&self, second: i64) {
        let mut now = self.0.lock().expect("not poisoned");
        now.wall = Timestamp::from_micros(second * 1_000_000);
        now.mono_ns = (second - BEGIN_S) * 1_000_000_000;
    }
}

/// `SplitMix64`.
struct Chance(u64);

impl Chance {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + self.unit() * (high - low)
    }

    /// Roughly normal: the sum of twelve.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// Somebody on the floor: walks to a place, stands there for a while, walks on.
struct Walker {
    tag: TagId,
    from_s: i64,
    until_s: i64,
    at: [f64; 2],
    to: [f64; 2],
    stands_s: f64,
}

impl Walker {
    fn step(&mut self, chance: &mut Chance, second: i64) {
        if self.stands_s > 0.0 {
            self.stands_s -= 1.0;
            return;
        }
        let (dx, dy) = (self.to[0] - self.at[0], self.to[1] - self.at[1]);
        let distance = dx.hypot(dy);
        if distance > 1.1 {
            self.at = [self.at[0] + dx / distance * 1.1, self.at[1] + dy / distance * 1.1];
            return;
        }
        self.at = self.to;
        self.stands_s = chance.between(20.0, 180.0);
        let leaves = self.until_s - second < 60;
        self.to = if leaves { [2.0, 18.5] } else { [chance.between(2.0, 28.0), chance.between(1.0, 18.0)] };
    }
}

fn site() -> Arc<Site> {
    let anchor = |i: usize| Anchor {
        id: format!("anchor-{i}").parse().expect("an id"),
        x: 5.0 + 20.0 / 3.0 * (i % 4) as f64,
        y: 4.0 + 12.0 * (i / 4) as f64,
        z: 2.6,
        rssi_at_1m: None,
        path_loss: None,
        survey: showfloor::domain::Survey::default(),
    };
    let zone = |i: usize| {
        let (x, y) = (7.5 * (i % 4) as f64, 5.0 * (i / 4) as f64);
        Zone {
            id: format!("zone-{i}").parse().expect("an id"),
            name: format!("zone {i}"),
            kind: if i == 12 { ZoneKind::Entrance } else { ZoneKind::Vehicle },
            polygon: vec![[x, y], [x + 7.5, y], [x + 7.5, y + 5.0], [x, y + 5.0]],
            prints: showfloor::domain::ZonePrints::default(),
        }
    };
    Arc::new(Site {
        id: "month".parse().expect("an id"),
        name: "month".into(),
        timezone: "Etc/UTC".into(),
        bounds: [0.0, 0.0, 30.0, 20.0],
        tag_height_m: 1.2,
        anchors: (0..8).map(anchor).collect(),
        zones: (0..16).map(zone).collect(),
        spots: Vec::new(),
        tags: Registry::default(),
    })
}

fn tag(i: usize) -> TagId {
    TagId::new(format!("ibeacon:74278bda-b644-4520-8f0c-720eaf059935:1:{i}")).expect("an id")
}

/// One day on the floor: what the engine finds out, by the second.
fn day(site: &Arc<Site>, day: i64) -> Vec<(i64, Vec<Fact>)> {
    let mut found = Vec::new();
    let mut chance = Chance(day.unsigned_abs() + 1);
    let open = BEGIN_S + day * DAY_S + OPENS_S;
    let mut registry = Registry::default();
    let mut walkers: Vec<Walker> = (0..VISITS)
        .map(|i| {
            registry.assign(tag(i), Registration { role: Role::Visitor, subject: None, until: None });
            let from_s = open + chance.between(0.0, (OPEN_S - 4_800) as f64) as i64;
            let until_s = from_s + chance.between(600.0, 4_200.0) as i64;
            Walker { tag: tag(i), from_s, until_s, at: [2.0, 18.5], to: [8.0, 12.0], stands_s: 0.0 }
        })
        .collect();
    let settings =
        Settings { visit_namespace: uuid::Uuid::from_u128(day.unsigned_abs().into()), ..Settings::default() };
    let mut engine = Engine::new(Arc::clone(site), settings, Arc::new(registry));
    let mut out = Output::default();
    for second in open..open + OPEN_S + 300 {
        let at = Timestamp::from_micros(second * 1_000_000);
        for walker in walkers.iter_mut().filter(|walker| (walker.from_s..walker.until_s).contains(&second)) {
            walker.step(&mut chance, second);
            for anchor in &site.anchors {
                let distance = (walker.at[0] - anchor.x).hypot(walker.at[1] - anchor.y).hypot(1.4);
                let level = -59.0 - 19.0 * distance.log10() + 4.0 * chance.normal();
                if chance.unit() < 0.1 || level < -98.0 {
                    continue;
                }
                let rssi = Dbm::new(level as f32).expect("in range");
                engine.reading(&Reading { at, anchor: anchor.id.clone(), tag: walker.tag.clone(), rssi }, &mut out);
            }
        }
        engine.advance(at, &mut out);
        out.positions.clear();
        if !out.facts.is_empty() {
            found.push((second, std::mem::take(&mut out.facts)));
        }
    }
    found
}

/// The same on a later day, by other people.
fn later(found: &[(i64, Vec<Fact>)], days: i64) -> Vec<(i64, Vec<Fact>)> {
    let other =
        |visit: &mut VisitId| visit.0 = uuid::Uuid::from_u128(visit.0.as_u128() ^ u128::from(days.unsigned_abs()) << 8);
    let fact = |fact: &Fact| {
        let mut fact = fact.clone();
        fact.at = fact.at.plus_micros(days * DAY_S * 1_000_000);
        match &mut fact.presence {
            Presence::Traced { visit, trace } => {
                other(visit);
                trace.t0 = trace.t0.plus_micros(days * DAY_S * 1_000_000);
            }
            Presence::Entered { visit, .. }
            | Presence::Moved { visit, .. }
            | Presence::Dwelled { visit, .. }
            | Presence::Exited { visit, .. } => other(visit),
            Presence::Heated(_) => {}
        }
        fact
    };
    found.iter().map(|(second, facts)| (second + days * DAY_S, facts.iter().map(fact).collect())).collect()
}

fn car(n: i64, price: f64) -> Command {
    Command::Cloud(CloudCommand::VehicleUpsert(Vehicle {
        id: format!("V{n}").parse().expect("an id"),
        make: "Volvo".into(),
        model: "EX40".into(),
        year: 2026,
        body_type: "suv".into(),
        price: Some(price),
        currency: Some("EUR".into()),
        spot: format!("A{n}").parse().ok(),
        location: None,
        status: VehicleStatus::Available,
        photo: None,
    }))
}

/// What one visit brings in business: a session at a kiosk, somebody who serves, now and then a customer by name.
fn business(n: usize, visit: VisitId) -> Vec<Command> {
    let vehicle = || format!("V{}", n % 60).parse().expect("an id");
    let kiosk = |command| Command::Kiosk { kiosk: format!("K{}", n % 4).parse().expect("an id"), command };
    let staff = |command| Command::Staff { staff: "anna".parse().expect("an id"), command };
    let mut commands = vec![
        kiosk(KioskCommand::StartSession),
        kiosk(KioskCommand::View { vehicle: vehicle(), seconds: 31.5 }),
        kiosk(KioskCommand::View { vehicle: vehicle(), seconds: 12.0 }),
        kiosk(KioskCommand::Interest { vehicle: vehicle(), level: 0.8 }),
        kiosk(KioskCommand::Call),
        staff(StaffCommand::Claim { visit }),
        staff(StaffCommand::Engage { visit, kind: "consultation".into(), vehicle: Some(vehicle()) }),
    ];
    if n.is_multiple_of(5) {
        let id = showfloor::domain::CustomerId(uuid::Uuid::new_v4());
        let personal = Personal::default().with("name", "Aino Virtanen").with("phone", "+358401234567");
        commands.push(Command::Cloud(CloudCommand::CustomerUpsert { id, personal, profile: serde_json::Map::new() }));
    }
    commands
}

fn open(dir: &Path, clock: &Arc<HandClock>) -> (StoreHandle, Writer) {
    let (handle, mut writer) = Store::open(Options {
        dir: dir.join("data"),
        consumers: vec!["cloud".parse().expect("an id")],
        site_tags: Registry::default(),
        site: "month".parse().expect("an id"),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        telemetry: Telemetry::default(),
        group: GroupCommit::default(),
        ailments: Ailments::default(),
        breathe: Arc::new(|| ()),
        storage: StorageOptions::default(),
    })
    .expect("opens");
    writer.run_thread().expect("starts");
    (handle, writer)
}

async fn live(store: &StoreHandle, clock: &HandClock) {
    let site = site();
    clock.set(BEGIN_S);
    for n in 0..60 {
        store.submit(None, car(n, 40_000.0)).await.expect("is done");
    }
    let mut visits = 0;
    let days = [day(&site, 0), day(&site, 1), day(&site, 2)];
    for d in 0..DAYS {
        let facts = later(&days[d as usize % days.len()], d - d % 3);
        for n in 0..20 {
            clock.set(BEGIN_S + d * DAY_S + OPENS_S);
            store.submit(None, car((d * 7 + n) % 60, 40_000.0 + (d * 100) as f64)).await.expect("is done");
        }
        for (second, found) in facts {
            clock.set(second);
            let mut entered = Vec::new();
            for fact in found {
                if let Presence::Entered { visit, .. } = &fact.presence {
                    entered.push(*visit);
                }
                store.record(fact, Dating::AsSaid).await.expect("is open");
            }
            for visit in entered {
                visits += 1;
                let mut last = None;
                for command in business(visits, visit) {
                    last = Some(store.queue(None, command).await.expect("is open"));
                }
                // One wait for all of them: they share a commit.
                last.expect("there are some").await.expect("is done");
            }
        }
    }
}

struct Cost {
    what: &'static str,
    events: i64,
    bytes: f64,
}

/// Pages of the log and its indices, told apart by what each row holds.
fn costs(conn: &Connection) -> (Vec<Cost>, f64, f64) {
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, f64>(0)).expect("reads");
    let pages = |name: &str| number(&format!("SELECT 1.0 * sum(pgsize) FROM dbstat WHERE name = '{name}'"));
    let (table, index) = (pages("log"), pages("sqlite_autoindex_log_1"));
    let rows = number("SELECT 1.0 * count(*) FROM log");
    let payload = number("SELECT 1.0 * sum(payload) FROM dbstat WHERE name = 'log'");
    let text = "octet_length(data) + coalesce(octet_length(sealed), 0) + octet_length(kind)
                + coalesce(octet_length(visit), 0) + coalesce(octet_length(customer), 0)
                + coalesce(octet_length(vehicle), 0) + coalesce(octet_length(staff), 0) + coalesce(octet_length(subject), 0)";
    let all = number(&format!("SELECT 1.0 * sum({text}) FROM log"));
    let fixed = (payload - all) / rows;
    let of = |what: &'static str, condition: &str| {
        let events = number(&format!("SELECT 1.0 * count(*) FROM log WHERE {condition}"));
        let own = number(&format!("SELECT coalesce(1.0 * sum({text}), 0.0) FROM log WHERE {condition}"));
        let bytes = (own + fixed * events) / payload * table + events / rows * index;
        Cost { what, events: events as i64, bytes }
    };
    let list = vec![
        of("`sales`", "lane = 0"),
        of("`presence`", "lane = 1"),
        of("`trace`, positions", "kind = 'trace.positions'"),
        of("`trace`, heat", "kind = 'heat.minute'"),
    ];
    let positions =
        number("SELECT 1.0 * sum(json_array_length(data, '$.x_cm')) FROM log WHERE kind = 'trace.positions'");
    let counted = number("SELECT 1.0 * sum(bytes) FROM lane");
    (list, positions, (table + index) / counted)
}

fn mib(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let boot = BootId(uuid::Uuid::from_u128(7));
    let wall = Timestamp::from_micros(BEGIN_S * 1_000_000);
    let clock = Arc::new(HandClock(Mutex::new(Stamp { wall, mono_ns: 0, boot, quality: ClockQuality::Synced })));
    let began = Instant::now();
    let (store, writer) = open(dir.path(), &clock);
    live(&store, &clock).await;
    let heads = *store.heads().borrow();
    let foretold = store.disk().borrow().days_left;
    store.close().await;
    writer.join().expect("ended well");
    let file = dir.path().join("data/showfloor.sqlite");
    let whole = std::fs::metadata(&file).expect("is there").len() as f64;
    let conn = Connection::open(&file).expect("opens");
    let (costs, positions, ratio) = costs(&conn);
    drop(conn);
    println!("| a month, nothing acknowledged | events | on disk | bytes an event |\n|---|---|---|---|");
    for Cost { what, events, bytes } in &costs {
        println!("| {what} | {events} | {:.1} MiB | {:.0} |", mib(*bytes), bytes / *events as f64);
    }
    println!("| the whole file | {} | {:.1} MiB | |", heads.pos, mib(whole));
    let per_position = costs[2].bytes / positions;
    println!(
        "\n{positions:.0} positions: {per_position:.1} bytes each. `days_left` at the limit of 4 GiB: {foretold:?}."
    );
    println!("Pages over what the store counts of its rows: {ratio:.3}.");

    // The cloud takes everything; a day later what is old enough is gone.
    clock.set(BEGIN_S + DAYS * DAY_S);
    let (store, writer) = open(dir.path(), &clock);
    for lane in Lane::ALL {
        let cloud = "cloud".parse().expect("an id");
        store.acknowledge(cloud, lane, store.epoch(), heads.of(lane)).await.expect("moves");
    }
    let mut slowest = Duration::ZERO;
    for n in 0..4_000 {
        let began = Instant::now();
        store.submit(None, car(n % 60, n as f64)).await.expect("is done");
        slowest = slowest.max(began.elapsed());
    }
    store.close().await;
    writer.join().expect("ended well");
    let after = std::fs::metadata(&file).expect("is there").len() as f64;
    println!(
        "Acknowledged, with 90, 30 and 7 days to keep: {:.1} MiB; the slowest of 4,000 commands meanwhile {:.1} ms.",
        mib(after),
        slowest.as_secs_f64() * 1e3
    );
    println!("\n{:.0} s in all.", began.elapsed().as_secs_f64());
}
