//! What goes once everybody has it, and what the showroom keeps of it.

use std::time::Duration;

use serde_json::json;

use crate::{
    domain::{BootId, ClockQuality, ClockSynced, GapReason, Lane, LaneItem, Personal, Timestamp},
    showroom::{CloudCommand, Command, Dating, KioskCommand, StaffCommand},
    store::{
        LaneQuery, StorageOptions,
        testing::{
            Place, Running, START_US, assign, customer_id, dump, entered, erase, exited, fact, kiosk, moved, person,
            rebuilt, stock, tag, traced, visit_id,
        },
    },
};

const HOUR: Duration = Duration::from_hours(1);
const HOUR_NS: i64 = 3_600_000_000_000;
const YEARS_US: i64 = 50 * 365 * 86_400_000_000;

fn place() -> Place {
    let mut place = Place::new();
    place.storage = StorageOptions { keep: [HOUR; 3], tail: 0, ..place.storage };
    place
}

fn wait(place: &Place, hours: i64) {
    place.clock.set(|now| {
        now.mono_ns += hours * HOUR_NS;
        now.wall = now.wall.plus_micros(hours * HOUR_NS / 1_000);
    });
}

async fn record(store: &Running, presence: crate::domain::Presence) {
    store.handle.record(fact(5, presence), Dating::Ago(Duration::ZERO)).await.expect("is open");
}

/// The cloud has everything; returns when that is on disk.
async fn acknowledge(store: &Running) {
    nudge(store).await;
    let heads = *store.handle.heads().borrow();
    for lane in Lane::ALL {
        let cloud = "cloud".parse().expect("id");
        store.handle.acknowledge(cloud, lane, store.handle.epoch(), heads.of(lane)).await.expect("moves");
    }
}

/// Waits until what was queued is on disk.
async fn nudge(store: &Running) {
    let cloud = "cloud".parse().expect("id");
    store.handle.acknowledge(cloud, Lane::Sales, store.handle.epoch(), 0).await.expect("stays");
}

/// Events and gaps of a lane: `(first, last, reason)`, no reason for an event.
async fn lane(store: &Running, lane: Lane) -> Vec<(u64, u64, Option<GapReason>)> {
    let query = LaneQuery { lane, after: 0, max_items: 1_000, max_bytes: usize::MAX };
    let items = store.handle.reader().lane_page(query).await.expect("reads");
    let told = |item: &LaneItem| match item {
        LaneItem::Event(event) => (event.seq, event.seq, None),
        LaneItem::Gap(gap) => {
            assert_eq!(gap.count, gap.to + 1 - gap.from);
            (gap.from, gap.to, Some(gap.reason))
        }
    };
    items.iter().map(told).collect()
}

fn anna(command: StaffCommand) -> Command {
    Command::Staff { staff: "anna".parse().expect("id"), command }
}

/// A showroom with something of everything: some of it over, some of it going on.
async fn populate(store: &Running) {
    for car in ["V1", "V2", "V3", "V1"] {
        store.done(stock(car)).await;
    }
    store.done(Command::Cloud(CloudCommand::VehicleRemove("V3".parse().expect("id")))).await;
    store.done(person(1, &json!({"name": "Aino", "email": "a@b.fi"}), &json!({"age": "30s"}))).await;
    store.done(person(1, &json!({"email": null, "phone": "1"}), &json!({"vehicle_interest": ["suv"]}))).await;
    store.done(person(2, &json!({"name": "Ben"}), &json!({}))).await;
    store.done(person(3, &json!({"name": "Cleo"}), &json!({}))).await;
    store.done(erase(3)).await;
    for (tag, n) in [("t1", 1), ("t2", 2), ("t3", 1), ("t3", 2)] {
        store.done(assign(tag, n)).await;
    }
    store.done(Command::Cloud(CloudCommand::TagRelease(tag("t2")))).await;
    let (id, personal) = ("anna".parse().expect("id"), Personal::default().with("name", "Anna"));
    store.done(Command::Cloud(CloudCommand::StaffUpsert { id, personal, active: true, available: true })).await;
    store.done(anna(StaffCommand::SetAvailability { available: false })).await;
    for (n, who) in [(1, Some(1)), (2, None), (3, Some(3))] {
        record(store, entered(n, who, &format!("t{n}"))).await;
        record(store, moved(n)).await;
        record(store, traced(n, 60)).await;
        nudge(store).await;
        store.done(anna(StaffCommand::Claim { visit: visit_id(n) })).await;
    }
    record(store, exited(2)).await;
    let vehicle = || "V1".parse().expect("id");
    for _ in 0..2 {
        store.done(kiosk(KioskCommand::StartSession)).await;
        store.done(kiosk(KioskCommand::Interest { vehicle: vehicle(), level: 0.5 })).await;
    }
}

fn assert_rebuilds(place: &Place) -> Vec<String> {
    let mut conn = place.conn();
    let now = dump(&conn);
    assert_eq!(now, rebuilt(&mut conn));
    now
}

#[tokio::test]
async fn what_everybody_has_goes_and_the_showroom_stays_as_it_is() {
    let place = place();
    let store = place.run();
    populate(&store).await;
    acknowledge(&store).await;
    let (before, heads) = (store.handle.reader().picture().await.expect("reads"), *store.handle.heads().borrow());
    assert!(lane(&store, Lane::Sales).await.iter().all(|line| line.2.is_none()), "it is too young");
    wait(&place, 2);
    nudge(&store).await;
    for kind in Lane::ALL {
        let whole = [(1, heads.of(kind), Some(GapReason::Retention))];
        assert_eq!(lane(&store, kind).await, whole, "{kind:?}");
        assert_eq!(store.handle.reader().lane_first(kind).await.expect("reads"), 1);
    }
    let after = store.handle.reader().picture().await.expect("reads");
    assert_eq!((after.vehicles, after.staff, after.sessions), (before.vehicles, before.staff, before.sessions));
    assert_eq!(after.visits, before.visits, "who is here is here");
    assert_eq!(store.handle.reader().told_gone().await.expect("reads"), heads.pos);
    store.close().await;
    let rows = assert_rebuilds(&place);
    assert_eq!(rows.iter().filter(|row| row.starts_with("visit ")).count(), 2, "the visit that is over went: {rows:?}");

    let store = place.run();
    assert_eq!(*store.handle.heads().borrow(), heads);
    assert_eq!(store.done(stock("V9")).await, heads.pos + 1);
    store.close().await;
}

#[tokio::test]
async fn what_settled_is_undone_by_what_goes_later() {
    let place = place();
    let store = place.run();
    populate(&store).await;
    acknowledge(&store).await;
    wait(&place, 2);
    nudge(&store).await;
    // Everything that is settled changes, ends, is erased or comes back.
    store.done(Command::Cloud(CloudCommand::VehicleRemove("V1".parse().expect("id")))).await;
    store.done(person(2, &json!({"name": null, "phone": "2"}), &json!({}))).await;
    store.done(Command::Cloud(CloudCommand::TagRelease(tag("t3")))).await;
    store.done(erase(1)).await;
    store.done(person(3, &json!({"name": "Cleo"}), &json!({}))).await;
    store.done(anna(StaffCommand::SetAvailability { available: true })).await;
    store.done(kiosk(KioskCommand::EndSession(crate::domain::SessionEnd::Guest))).await;
    for n in [1, 3] {
        record(&store, moved(n)).await;
    }
    record(&store, exited(1)).await;
    nudge(&store).await;
    assert_rebuilds(&place);
    acknowledge(&store).await;
    wait(&place, 2);
    nudge(&store).await;
    assert_eq!(lane(&store, Lane::Sales).await.len(), 1, "and all of it goes, too");
    assert_rebuilds(&place);
    let reader = store.handle.reader();
    assert_eq!(reader.customer(customer_id(1)).await.expect("reads"), None);
    let ben = reader.customer(customer_id(2)).await.expect("reads").expect("is known");
    assert_eq!((ben.personal.text("name"), ben.personal.text("phone")), (None, Some("2")));
    store.close().await;
    let settled: i64 = place.conn().query_row("SELECT count(*) FROM settled", [], |row| row.get(0)).expect("reads");
    // Cars V2; customers 2 and 3; erased 1 and 3; Anna; visit 3 with its entering, moving, and whose it is.
    assert_eq!(settled, 9);
    assert!(!place.holds("Aino"), "erased from there as well");
}

#[tokio::test]
async fn nothing_goes_that_is_young_or_that_somebody_lacks() {
    let mut place = place();
    place.consumers.push("crm".parse().expect("id"));
    let store = place.run();
    store.done(stock("V1")).await;
    store.done(stock("V2")).await;
    acknowledge(&store).await;
    wait(&place, 2);
    nudge(&store).await;
    assert_eq!(lane(&store, Lane::Sales).await.len(), 2, "crm lacks it");
    let crm = "crm".parse().expect("id");
    store.handle.acknowledge(crm, Lane::Sales, store.handle.epoch(), 1).await.expect("moves");
    nudge(&store).await;
    assert_eq!(lane(&store, Lane::Sales).await, [(1, 1, Some(GapReason::Retention)), (2, 2, None)]);
    store.close().await;
    place.consumers.pop();
    let store = place.run();
    store.done(stock("V3")).await;
    assert_eq!(
        lane(&store, Lane::Sales).await,
        [(1, 2, Some(GapReason::Retention)), (3, 3, None)],
        "who is not configured does not count, and the gap is one"
    );
    store.close().await;
}

#[tokio::test]
async fn without_a_consumer_business_stays_and_the_rest_goes_by_its_age() {
    let mut place = place();
    place.consumers.clear();
    let store = place.run();
    store.done(stock("V1")).await;
    record(&store, entered(1, None, "t")).await;
    record(&store, traced(1, 60)).await;
    store.done(stock("V2")).await;
    wait(&place, 2);
    store.done(stock("V3")).await;
    let gap = [(1, 1, Some(GapReason::Retention))];
    assert_eq!((lane(&store, Lane::Presence).await, lane(&store, Lane::Trace).await), (gap.to_vec(), gap.to_vec()));
    assert_eq!(lane(&store, Lane::Sales).await.len(), 3);
    store.close().await;
    assert_rebuilds(&place);
}

#[tokio::test]
async fn no_jump_of_the_clock_makes_anything_old() {
    let place = place();
    let store = place.run();
    store.done(stock("V1")).await;
    acknowledge(&store).await;
    for years in [1, -2, 1] {
        place.clock.set(|now| now.wall = now.wall.plus_micros(years * YEARS_US));
        nudge(&store).await;
        acknowledge(&store).await;
        assert_eq!(lane(&store, Lane::Sales).await, [(1, 1, None)]);
    }
    store.close().await;
    // Another boot, whose clock is right at first and leaps then.
    place.clock.set(|now| {
        now.boot = BootId(uuid::Uuid::from_u128(8));
        now.mono_ns = HOUR_NS / 60;
    });
    let store = place.run();
    store.done(stock("V2")).await;
    place.clock.set(|now| now.wall = now.wall.plus_micros(YEARS_US));
    acknowledge(&store).await;
    assert_eq!(lane(&store, Lane::Sales).await, [(1, 1, None), (2, 2, None)]);
    wait(&place, 2);
    nudge(&store).await;
    assert_eq!(lane(&store, Lane::Sales).await, [(1, 2, Some(GapReason::Retention))], "two hours are two hours");
    store.close().await;
}

#[tokio::test]
async fn an_earlier_boot_is_dated_by_what_was_learnt_of_its_clock() {
    let place = place();
    let unsynced = |boot: u128, wall_us: i64| {
        place.clock.set(|now| {
            now.boot = BootId(uuid::Uuid::from_u128(boot));
            now.mono_ns = 1_000;
            now.wall = Timestamp::from_micros(wall_us);
            now.quality = ClockQuality::Unsynced;
        });
    };
    unsynced(1, 0);
    let store = place.run();
    store.done(stock("V1")).await;
    store.close().await;
    // Nobody ever learnt when boot 1 was; boot 2 learns its own time an hour and a half before now.
    unsynced(2, 0);
    let store = place.run();
    store.done(stock("V2")).await;
    let begun_us = START_US - 3 * HOUR_NS / 2_000;
    let offset_ns = begun_us * 1_000;
    store.done(Command::ClockSynced(ClockSynced { boot: uuid::Uuid::from_u128(2), offset_ns, step_ns: 0 })).await;
    store.close().await;
    unsynced(3, START_US);
    let store = place.run();
    acknowledge(&store).await;
    assert_eq!(lane(&store, Lane::Sales).await.len(), 3, "a clock that is not believed dates nothing");
    place.clock.set(|now| now.quality = ClockQuality::Synced);
    acknowledge(&store).await;
    let whole = [(1, 3, Some(GapReason::Retention))];
    assert_eq!(lane(&store, Lane::Sales).await, whole, "what has no date is as old as what follows");
    store.close().await;
}
