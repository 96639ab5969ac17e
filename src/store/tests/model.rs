//! Random work with restarts and crashes in between, beside a model that is only maps: what was answered stays answered,
//! numbers have no holes but gaps, nothing goes that may not, and the projections are what the log says.

use std::{collections::BTreeMap, fs, time::Duration};

use proptest::prelude::*;
use serde_json::json;

use crate::{
    domain::{BootId, GapReason, Lane, LaneItem, Personal, Presence, SessionEnd, Vehicle, VehicleStatus},
    showroom::{CloudCommand, Command, Dating, KioskCommand, StaffCommand, TestDriveRequest},
    store::{
        LaneQuery, Receipt, StorageOptions, SubmitError,
        testing::{
            Place, Running, assign, car, customer_id, dump, entered, erase, exited, fact, kiosk, moved, person,
            rebuilt, tag, traced, visit_id,
        },
    },
};

#[derive(Debug, Clone)]
enum Step {
    Submit(Command),
    Record(Presence),
    Repeat(usize),
    Acknowledge(Lane, u64),
    /// Hours pass.
    Wait(i64),
    /// The wall clock steps, by microseconds; it is right again after the next boot.
    Leap(i64),
    Reopen(Disk),
    /// The process is gone between two commits.
    Crash,
    Reboot,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Disk {
    Roomy,
    /// Everything that may be shed is shed.
    Crowded,
}

/// How long events stay at least, hours, in the order of the lanes.
const KEEP_HOURS: [i64; 3] = [4, 2, 1];
const HOUR_NS: i64 = 3_600_000_000_000;
const YEAR_US: i64 = 365 * 86_400_000_000;
const TEN_MINUTES_US: i64 = 600_000_000;

fn cloud() -> impl Strategy<Value = Command> {
    let status = prop_oneof![Just(VehicleStatus::Available), Just(VehicleStatus::Reserved), Just(VehicleStatus::Sold)];
    prop_oneof![
        (0..3_u8, status).prop_map(|(n, status)| {
            let car = Vehicle { status, ..car(&format!("V{n}")) };
            Command::Cloud(CloudCommand::VehicleUpsert(car))
        }),
        (0..3_u8).prop_map(|n| Command::Cloud(CloudCommand::VehicleRemove(format!("V{n}").parse().expect("id")))),
        (0..2_u128, 0..4_u8).prop_map(|(n, name)| person(n, &json!({"name": format!("N{name}")}), &json!({}))),
        (0..2_u128).prop_map(|n| person(n, &json!({"name": null, "phone": "1"}), &json!({"age": "30s"}))),
        (0..2_u128).prop_map(erase),
        (0..2_u8, 0..2_u128).prop_map(|(t, n)| assign(&format!("t{t}"), n)),
        (0..2_u8).prop_map(|t| Command::Cloud(CloudCommand::TagRelease(tag(&format!("t{t}"))))),
        (any::<bool>(), any::<bool>()).prop_map(|(active, available)| {
            let personal = Personal::default().with("name", "Anna");
            let id = "anna".parse().expect("id");
            Command::Cloud(CloudCommand::StaffUpsert { id, personal, active, available })
        }),
    ]
}

fn floor() -> impl Strategy<Value = Command> {
    let vehicle = || (0..3_u8).prop_map(|n| format!("V{n}").parse().expect("id"));
    let anna = |command| Command::Staff { staff: "anna".parse().expect("id"), command };
    prop_oneof![
        Just(kiosk(KioskCommand::StartSession)),
        Just(kiosk(KioskCommand::EndSession(SessionEnd::Guest))),
        Just(kiosk(KioskCommand::Call)),
        (vehicle(), 0..9_u8)
            .prop_map(|(vehicle, level)| { kiosk(KioskCommand::Interest { vehicle, level: f64::from(level) / 8.0 }) }),
        vehicle().prop_map(|vehicle| {
            let contact = Personal::default().with("name", "Guest");
            kiosk(KioskCommand::TestDrive(TestDriveRequest { vehicle, contact, preferred_time: None }))
        }),
        any::<bool>().prop_map(move |available| anna(StaffCommand::SetAvailability { available })),
        (0..2_u128).prop_map(move |n| anna(StaffCommand::Claim { visit: visit_id(n) })),
    ]
}

fn presence() -> impl Strategy<Value = Presence> {
    prop_oneof![
        (0..2_u128, proptest::option::of(0..2_u128), 0..2_u8).prop_map(|(n, who, t)| entered(n, who, &format!("t{t}"))),
        (0..2_u128).prop_map(moved),
        (0..2_u128).prop_map(exited),
        (0..2_u128, 0..3_u8).prop_map(|(n, spot)| Presence::Dwelled {
            visit: visit_id(n),
            zone: None,
            spot: format!("spot-V{spot}").parse().ok(),
            seconds: 4.0,
        }),
        (0..2_u128).prop_map(|n| traced(n, 3)),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => cloud().prop_map(Step::Submit),
        5 => floor().prop_map(Step::Submit),
        5 => presence().prop_map(Step::Record),
        2 => any::<usize>().prop_map(Step::Repeat),
        3 => (0..3_usize, 0..40_u64).prop_map(|(lane, upto)| Step::Acknowledge(Lane::ALL[lane], upto)),
        2 => (0..3_i64).prop_map(Step::Wait),
        1 => prop_oneof![Just(50 * YEAR_US), Just(-TEN_MINUTES_US)].prop_map(Step::Leap),
        1 => prop_oneof![2 => Just(Disk::Roomy), 1 => Just(Disk::Crowded)].prop_map(Step::Reopen),
        1 => Just(Step::Crash),
        1 => Just(Step::Reboot),
    ]
}

/// What must hold, told only by what was answered.
#[derive(Default)]
struct Model {
    answers: Vec<(Command, Result<u64, String>)>,
    cars: BTreeMap<String, Vehicle>,
    names: BTreeMap<u128, Option<String>>,
    cursors: [u64; 3],
    pos: u64,
    /// Hours since the start.
    now: i64,
    /// How far the wall clock leapt, microseconds.
    leapt: i64,
    /// When each event of each lane was written, by the hours of the model.
    written: [Vec<i64>; 3],
    /// Whether anything may have been shed.
    crowded: bool,
}

fn outcome(answer: Result<Receipt, SubmitError>, repeated: bool) -> Result<u64, String> {
    match answer {
        Ok(receipt) => {
            assert_eq!(receipt.repeated, repeated);
            Ok(receipt.pos)
        }
        Err(SubmitError::Refused(refusal)) => Err(refusal.message),
        Err(other) => panic!("{other}"),
    }
}

impl Model {
    async fn submit(&mut self, store: &Running, command: Command) {
        let answer = outcome(store.keyed(&self.answers.len().to_string(), command.clone()).await, false);
        if let Ok(pos) = answer {
            assert!(pos >= self.pos, "positions only rise");
            assert!(store.handle.heads().borrow().pos >= pos, "shown when answered");
            self.pos = pos;
        }
        if let Command::Cloud(command) = &command {
            self.follow(command);
        }
        self.answers.push((command, answer));
    }

    fn follow(&mut self, command: &CloudCommand) {
        match command {
            CloudCommand::VehicleUpsert(car) => drop(self.cars.insert(car.id.to_string(), car.clone())),
            CloudCommand::VehicleRemove(id) => drop(self.cars.remove(id.as_str())),
            CloudCommand::CustomerUpsert { id, personal, .. } => {
                let name = personal.text("name").map(str::to_owned);
                self.names.insert(id.0.as_u128(), name);
            }
            CloudCommand::CustomerErase(id) => drop(self.names.remove(&id.0.as_u128())),
            _ => {}
        }
    }

    async fn acknowledge(&mut self, store: &Running, lane: Lane, upto: u64) {
        let epoch = store.handle.epoch();
        let answer = store.handle.acknowledge("cloud".parse().expect("id"), lane, epoch, upto).await;
        let cursor = &mut self.cursors[lane as usize];
        if upto <= store.handle.heads().borrow().of(lane) {
            *cursor = upto.max(*cursor);
            assert_eq!(answer, Ok(*cursor));
        } else {
            assert!(answer.is_err());
        }
    }

    /// Notes when what is new was written; waits until it is.
    async fn keep_time(&mut self, store: &Running) {
        self.acknowledge(store, Lane::Sales, 0).await;
        for (head, written) in store.handle.heads().borrow().lanes.into_iter().zip(&mut self.written) {
            assert!(head as usize >= written.len(), "numbers only rise");
            written.resize(head as usize, self.now);
        }
    }

    /// Every number is one event or inside one gap, and nothing is in a gap that should not be.
    async fn check_lane(&self, store: &Running, lane: Lane) -> u64 {
        let query = LaneQuery { lane, after: 0, max_items: 10_000, max_bytes: usize::MAX };
        let page = store.handle.reader().lane_page(query).await.expect("reads");
        let (mut last, mut gone) = (0, 0);
        for item in &page {
            let first = match item {
                LaneItem::Event(event) => event.seq,
                LaneItem::Gap(gap) => {
                    gone += gap.count;
                    gap.from
                }
            };
            assert_eq!(first, last + 1);
            last = item.last_seq();
            let LaneItem::Gap(gap) = item else { continue };
            assert_eq!(gap.count, gap.to + 1 - gap.from);
            match gap.reason {
                GapReason::Retention => {
                    assert!(gap.to <= self.cursors[lane as usize], "only what was acknowledged");
                    let youngest = (gap.from..=gap.to).map(|seq| self.written[lane as usize][seq as usize - 1]).max();
                    assert!(youngest.is_some_and(|at| self.now - at >= KEEP_HOURS[lane as usize]), "and is old");
                }
                GapReason::DiskFull => assert!(self.crowded && lane != Lane::Sales),
                GapReason::Corruption => panic!("{gap:?}"),
            }
        }
        assert_eq!(last, store.handle.heads().borrow().of(lane));
        gone
    }

    async fn check(&self, store: &Running) {
        for (n, (_, answer)) in self.answers.iter().enumerate() {
            // Another body under the same key: the answer is the first one.
            let again = store.keyed(&n.to_string(), kiosk(KioskCommand::Call)).await;
            assert_eq!(&outcome(again, true), answer);
        }
        let reader = store.handle.reader();
        let heads = *store.handle.heads().borrow();
        let entries = reader.entries_after(0, 10_000).await.expect("reads");
        assert!(entries.windows(2).all(|pair| pair[0].event.pos < pair[1].event.pos));
        assert!(entries.windows(2).all(|pair| pair[0].event.id.0 < pair[1].event.id.0));
        let mut gone = 0;
        for lane in Lane::ALL {
            gone += self.check_lane(store, lane).await;
        }
        assert_eq!(entries.len() as u64 + gone, heads.pos, "each position was one event");
        let picture = reader.picture().await.expect("reads");
        assert_eq!(picture.vehicles, self.cars.values().cloned().collect::<Vec<_>>());
        for n in 0..2 {
            let known = reader.customer(customer_id(n)).await.expect("reads");
            let name = known.map(|known| known.personal.text("name").map(str::to_owned));
            assert_eq!(name, self.names.get(&customer_id(n).0.as_u128()).cloned());
        }
        let cursors = reader.cursors(&"cloud".parse().expect("id")).await.expect("reads");
        assert_eq!(cursors, self.cursors);
    }
}

/// What a process leaves that is gone between two commits: file and write-ahead log as they are.
fn crash(place: &mut Place) {
    let after = tempfile::tempdir().expect("makes a directory");
    let data = after.path().join("data");
    fs::create_dir(&data).expect("makes a directory");
    for name in ["showfloor.sqlite", "showfloor.sqlite-wal"] {
        fs::copy(place.data().join(name), data.join(name)).expect("copies");
    }
    place.dir = after;
}

fn reboot(place: &Place, model: &mut Model) {
    let leapt = std::mem::take(&mut model.leapt);
    place.clock.set(|now| {
        now.boot = BootId(uuid::Uuid::from_u128(now.boot.0.as_u128() + 1));
        now.mono_ns = 0;
        now.wall = now.wall.plus_micros(-leapt);
    });
}

fn place() -> Place {
    let mut place = Place::new();
    let keep = KEEP_HOURS.map(|hours| Duration::from_hours(hours.unsigned_abs()));
    place.storage = StorageOptions { keep, tail: 2, ..place.storage };
    place
}

async fn play(steps: Vec<Step>) {
    let mut place = place();
    let mut model = Model::default();
    let mut store = place.run();
    for step in steps {
        match step {
            Step::Submit(command) => model.submit(&store, command).await,
            Step::Record(presence) => {
                let dating = Dating::Ago(Duration::ZERO);
                store.handle.record(fact(5, presence), dating).await.expect("is open");
            }
            Step::Repeat(n) if !model.answers.is_empty() => {
                let n = n % model.answers.len();
                let (command, answer) = &model.answers[n];
                assert_eq!(&outcome(store.keyed(&n.to_string(), command.clone()).await, true), answer);
            }
            Step::Repeat(_) => {}
            Step::Acknowledge(lane, upto) => model.acknowledge(&store, lane, upto).await,
            Step::Wait(hours) => {
                model.now += hours;
                place.clock.set(|now| {
                    now.mono_ns += hours * HOUR_NS;
                    now.wall = now.wall.plus_micros(hours * HOUR_NS / 1_000);
                });
            }
            Step::Leap(micros) => {
                model.leapt += micros;
                place.clock.set(|now| now.wall = now.wall.plus_micros(micros));
            }
            Step::Reopen(disk) => {
                store.close().await;
                model.crowded |= disk == Disk::Crowded;
                place.storage.limit_bytes = if disk == Disk::Crowded { 0 } else { 1 << 32 };
                store = place.run();
            }
            Step::Crash => {
                model.keep_time(&store).await;
                crash(&mut place);
                store.close().await;
                store = place.run();
            }
            Step::Reboot => {
                store.close().await;
                reboot(&place, &mut model);
                store = place.run();
            }
        }
        model.keep_time(&store).await;
    }
    model.check(&store).await;
    store.close().await;
    let store = place.run();
    model.check(&store).await;
    store.close().await;
    let mut conn = place.conn();
    assert_eq!(dump(&conn), rebuilt(&mut conn));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_the_model_says(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("builds");
        runtime.block_on(play(steps));
    }
}
