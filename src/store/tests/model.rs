//! Random work with restarts in between, beside a model that is only maps: what was answered stays answered, numbers have
//! no holes, and the projections are what the log says.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use crate::{
    domain::{Lane, LaneItem, Personal, Presence, SessionEnd, Vehicle, VehicleStatus},
    showroom::{CloudCommand, Command, Dating, KioskCommand, StaffCommand, TestDriveRequest},
    store::{
        LaneQuery, Receipt, SubmitError,
        testing::{
            Place, Running, assign, car, customer_id, dump, entered, erase, exited, fact, kiosk, moved, person,
            rebuilt, tag, visit_id,
        },
    },
};

#[derive(Debug, Clone)]
enum Step {
    Submit(Command),
    Record(Presence),
    Repeat(usize),
    Acknowledge(u64),
    Reopen,
}

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
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => cloud().prop_map(Step::Submit),
        5 => floor().prop_map(Step::Submit),
        5 => presence().prop_map(Step::Record),
        2 => any::<usize>().prop_map(Step::Repeat),
        1 => (0..40_u64).prop_map(Step::Acknowledge),
        1 => Just(Step::Reopen),
    ]
}

/// What must hold, told only by what was answered.
#[derive(Default)]
struct Model {
    answers: Vec<(Command, Result<u64, String>)>,
    cars: BTreeMap<String, Vehicle>,
    names: BTreeMap<u128, Option<String>>,
    cursor: u64,
    pos: u64,
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

    async fn acknowledge(&mut self, store: &Running, upto: u64) {
        let epoch = store.handle.epoch();
        let answer = store.handle.acknowledge("cloud".parse().expect("id"), Lane::Sales, epoch, upto).await;
        if upto <= store.handle.heads().borrow().of(Lane::Sales) {
            self.cursor = self.cursor.max(upto);
            assert_eq!(answer, Ok(self.cursor));
        } else {
            assert!(answer.is_err());
        }
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
        let positions: Vec<u64> = entries.iter().map(|entry| entry.event.pos).collect();
        assert_eq!(positions, (1..=heads.pos).collect::<Vec<_>>());
        assert!(entries.windows(2).all(|pair| pair[0].event.id.0 < pair[1].event.id.0));
        for lane in Lane::ALL {
            let query = LaneQuery { lane, after: 0, max_items: 10_000, max_bytes: usize::MAX };
            let page = reader.lane_page(query).await.expect("reads");
            assert!(page.iter().all(|item| matches!(item, LaneItem::Event(_))));
            let seqs: Vec<u64> = page.iter().map(LaneItem::last_seq).collect();
            assert_eq!(seqs, (1..=heads.of(lane)).collect::<Vec<_>>());
        }
        let picture = reader.picture().await.expect("reads");
        assert_eq!(picture.vehicles, self.cars.values().cloned().collect::<Vec<_>>());
        for n in 0..2 {
            let known = reader.customer(customer_id(n)).await.expect("reads");
            let name = known.map(|known| known.personal.text("name").map(str::to_owned));
            assert_eq!(name, self.names.get(&customer_id(n).0.as_u128()).cloned());
        }
        let cursors = reader.cursors(&"cloud".parse().expect("id")).await.expect("reads");
        assert_eq!(cursors, [self.cursor, 0, 0]);
    }
}

async fn play(steps: Vec<Step>) {
    let place = Place::new();
    let mut model = Model::default();
    let mut store = place.run();
    for step in steps {
        match step {
            Step::Submit(command) => model.submit(&store, command).await,
            Step::Record(presence) => store.handle.record(fact(5, presence), Dating::AsSaid).await.expect("is open"),
            Step::Repeat(n) if !model.answers.is_empty() => {
                let n = n % model.answers.len();
                let (command, answer) = &model.answers[n];
                assert_eq!(&outcome(store.keyed(&n.to_string(), command.clone()).await, true), answer);
            }
            Step::Repeat(_) => {}
            Step::Acknowledge(upto) => model.acknowledge(&store, upto).await,
            Step::Reopen => {
                store.close().await;
                store = place.run();
            }
        }
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
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_the_model_says(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("builds");
        runtime.block_on(play(steps));
    }
}
