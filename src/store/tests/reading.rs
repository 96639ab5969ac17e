//! What readers are told.

use serde_json::json;

use crate::{
    domain::{GapReason, Lane, LaneItem, Personal, StaffId, VehicleStatus},
    showroom::{CloudCommand, Command, Dating, KioskCommand, StaffCommand},
    store::{
        LaneQuery, StoreHandle, pages,
        testing::{Place, Running, car, customer_id, entered, fact, kiosk, moved, person, stock, visit_id},
    },
};

async fn stocked(place: &Place, cars: u32) -> Running {
    let store = place.run();
    for n in 1..=cars {
        store.done(stock(&format!("V{n}"))).await;
    }
    store
}

async fn page(handle: &StoreHandle, after: u64, max_items: usize, max_bytes: usize) -> Vec<(char, u64, u64)> {
    let query = LaneQuery { lane: Lane::Sales, after, max_items, max_bytes };
    let items = handle.reader().lane_page(query).await.expect("reads");
    let line = |item: &LaneItem| match item {
        LaneItem::Event(event) => ('e', event.seq, event.seq),
        LaneItem::Gap(gap) => {
            assert_eq!(gap.count, gap.to + 1 - gap.from);
            (if gap.reason == GapReason::Corruption { 'c' } else { 'g' }, gap.from, gap.to)
        }
    };
    items.iter().map(line).collect()
}

#[tokio::test]
async fn a_page_of_a_lane_accounts_for_every_number() {
    let place = Place::new();
    stocked(&place, 9).await.close().await;
    place
        .conn()
        .execute_batch(
            "DELETE FROM log WHERE seq IN (1, 2, 4, 5, 6, 8);
             INSERT INTO gap VALUES (0, 1, 2, 2, 'retention', 5), (0, 4, 6, 3, 'disk_full', 6), (1, 1, 9, 9, 'retention', 7);",
        )
        .expect("writes");
    let store = place.run();
    let handle = &store.handle;
    let whole = [('g', 1, 2), ('e', 3, 3), ('g', 4, 6), ('e', 7, 7), ('c', 8, 8), ('e', 9, 9)];
    assert_eq!(page(handle, 0, 99, 1 << 20).await, whole);
    assert_eq!(page(handle, 0, 3, 1 << 20).await, whole[..3]);
    assert_eq!(page(handle, 0, 1, 1 << 20).await, whole[..1]);
    assert_eq!(page(handle, 2, 99, 1).await, [('e', 3, 3), ('g', 4, 6)], "a gap weighs nothing");
    assert_eq!(page(handle, 6, 99, 1).await, [('e', 7, 7)], "one at least");
    assert_eq!(page(handle, 4, 1, 1).await, [('g', 5, 6)], "a gap begins after what is known");
    assert_eq!(page(handle, 7, 1, 1 << 20).await, [('c', 8, 8)]);
    assert_eq!(page(handle, 9, 9, 1 << 20).await, []);
    assert_eq!(handle.reader().lane_first(Lane::Sales).await.expect("reads"), 1);
    assert_eq!(handle.reader().lane_first(Lane::Trace).await.expect("reads"), 0);
    assert_eq!(store.done(stock("V10")).await, 10);
    store.close().await;
}

#[tokio::test]
async fn numbers_do_not_come_back_when_the_newest_rows_are_gone() {
    let place = Place::new();
    stocked(&place, 5).await.close().await;
    place.conn().execute("DELETE FROM log", []).expect("deletes");
    let store = place.run();
    assert_eq!(store.done(stock("W")).await, 6);
    assert_eq!(store.handle.heads().borrow().of(Lane::Sales), 6);
    store.close().await;
}

#[tokio::test]
async fn the_newest_events_come_without_traces_and_oldest_first() {
    let place = Place::new();
    let store = stocked(&place, 3).await;
    let heat = crate::domain::Heat { zones: vec![], cells: vec![] };
    for presence in [entered(1, None, "t"), crate::domain::Presence::Heated(heat), moved(1)] {
        store.handle.record(fact(1, presence), Dating::AsSaid).await.expect("is open");
    }
    let last = store.done(stock("V4")).await;
    let recent = async |upto, limit| {
        let entries = store.handle.reader().recent(upto, limit).await.expect("reads");
        entries.iter().map(|entry| entry.event.pos).collect::<Vec<_>>()
    };
    assert_eq!(last, 7);
    assert_eq!(recent(last, 4).await, [3, 4, 6, 7]);
    assert_eq!(recent(5, 3).await, [2, 3, 4]);
    assert_eq!(recent(last, 0).await, [0; 0]);
    assert_eq!(recent(last, 99).await, [1, 2, 3, 4, 6, 7]);
    store.close().await;
}

#[tokio::test]
async fn an_entry_says_what_people_need_beside_the_event() {
    let place = Place::new();
    let store = stocked(&place, 1).await;
    let profile = json!({"vehicle_interest": ["suv", 7, "EX40"]});
    store.done(person(1, &json!({"name": "Aino", "email": "a@b.fi"}), &profile)).await;
    store.done(person(1, &json!({"email": null, "phone": "1"}), &profile)).await;
    let personal = Personal::default().with("name", "Anna M");
    let anna = "anna".parse().expect("id");
    let staff = CloudCommand::StaffUpsert { id: anna, personal, active: true, available: true };
    store.done(Command::Cloud(staff)).await;
    store.handle.record(fact(1, entered(1, Some(1), "t")), Dating::AsSaid).await.expect("is open");
    let anna = |command| Command::Staff { staff: "anna".parse().expect("id"), command };
    store.done(anna(StaffCommand::SetAvailability { available: false })).await;
    let vehicle = "V1".parse().ok();
    let pos = store.done(anna(StaffCommand::Engage { visit: visit_id(1), kind: "greeting".into(), vehicle })).await;
    store.done(anna(StaffCommand::Claim { visit: visit_id(1) })).await;

    let entries = store.handle.reader().entries_after(pos - 1, 1).await.expect("reads");
    let about = &entries[0].about;
    assert_eq!(about.staff_name.as_deref(), Some("Anna M"), "kept though availability changed");
    assert_eq!(about.customer_name.as_deref(), Some("Aino"));
    assert_eq!(about.vehicle, Some(car("V1")));
    let visit = about.visit.as_ref().expect("is known");
    assert_eq!((visit.customer, visit.assigned_to.as_ref().map(StaffId::as_str)), (Some(customer_id(1)), Some("anna")));
    assert_eq!(visit.wishes, ["suv", "EX40"]);
    let aino = store.handle.reader().customer(customer_id(1)).await.expect("reads").expect("is known");
    assert_eq!((aino.personal.text("phone"), aino.personal.text("email")), (Some("1"), None));

    let picture = store.handle.reader().picture().await.expect("reads");
    assert_eq!(picture.pos, store.handle.heads().borrow().pos);
    assert_eq!(picture.visits, std::slice::from_ref(visit));
    assert!(!picture.staff[0].available);
    assert!(store.handle.reader().bytes().await.expect("measures") > 4_096);
    store.close().await;
}

#[tokio::test]
async fn interests_of_a_visit_are_its_own_and_its_customers_the_newest_of_each_car() {
    let place = Place::new();
    let store = stocked(&place, 1).await;
    store.handle.record(fact(1, entered(1, Some(1), "t")), Dating::AsSaid).await.expect("is open");
    store.done(kiosk(KioskCommand::StartSession)).await;
    let conn = place.conn();
    let insert = "INSERT INTO interest VALUES (?1, ?2, ?3, ?4, ?5)";
    let (visit, customer) = (visit_id(1).0.into_bytes(), customer_id(1).0.into_bytes());
    let rows =
        [(0, visit, "V1", 0.2, 9), (2, customer, "V1", 0.9, 8), (2, customer, "V2", 0.5, 7), (1, visit, "V3", 1.0, 9)];
    for row in rows {
        conn.execute(insert, row).expect("writes");
    }
    let picture = store.handle.reader().picture().await.expect("reads");
    let interests: Vec<_> = picture.visits[0].interests.iter().map(|i| (i.vehicle.as_str(), i.level)).collect();
    assert_eq!(interests, [("V2", 0.5), ("V1", 0.2)]);
    store.close().await;
}

#[tokio::test]
async fn a_vehicle_removed_is_in_the_picture_no_more() {
    let place = Place::new();
    let store = stocked(&place, 2).await;
    let sold = crate::domain::Vehicle { status: VehicleStatus::Sold, ..car("V2") };
    store.done(Command::Cloud(CloudCommand::VehicleUpsert(sold.clone()))).await;
    store.done(Command::Cloud(CloudCommand::VehicleRemove("V1".parse().expect("id")))).await;
    assert_eq!(store.handle.reader().picture().await.expect("reads").vehicles, [sold]);
    store.close().await;
}

/// No read of the log may walk through it.
#[test]
fn every_read_of_the_log_finds_its_rows_by_an_index() {
    let place = Place::new();
    let _store = place.open().expect("opens");
    let conn = place.conn();
    for sql in pages::ALL {
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("prepares");
        let wanted = statement.parameter_count();
        let steps: Vec<String> = statement
            .query_map(rusqlite::params_from_iter(vec![1; wanted]), |row| row.get(3))
            .expect("explains")
            .collect::<Result<_, _>>()
            .expect("reads");
        assert!(steps.iter().any(|step| step.starts_with("SEARCH")), "{sql}: {steps:?}");
        assert!(
            steps.iter().all(|step| !step.starts_with("SCAN") && !step.contains("TEMP B-TREE")),
            "{sql}: {steps:?}"
        );
    }
}
