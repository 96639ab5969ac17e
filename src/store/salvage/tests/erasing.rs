//! Whoever is erased is in no byte of the data directory, the damaged files that were set aside included.

use std::fs;

use super::sample::{crashed, filled, lane};
use crate::{
    domain::{Lane, LaneItem, Revealed},
    store::testing::{Place, customer_id, erase, person, stock},
};

fn break_header(place: &Place) {
    let mut bytes = fs::read(place.file()).expect("reads");
    bytes[..16].fill(0);
    fs::write(place.file(), bytes).expect("writes");
}

#[tokio::test]
async fn an_erasure_reaches_the_copy_before_it_is_answered() {
    let place = Place::new();
    filled(&place).await.close().await;
    break_header(&place);
    let store = place.run();
    let copy = store.handle.salvage().and_then(|salvage| salvage.copy()).expect("is kept").to_owned();
    assert!(place.holds("Person 2") && place.holds("ibeacon:u:1:2"));
    let key = fs::read(copy.join("showfloor.sqlite")).expect("reads");
    assert!(key.windows(8).any(|window| window == b"Person 2"), "the copy holds names in clear");

    store.done(erase(2)).await;
    for gone in ["Person 2", "ibeacon:u:1:2", "0402"] {
        assert!(!place.holds(gone), "{gone}");
    }
    assert!(!copy.exists());
    assert!(store.handle.salvage().expect("is told still").copy().is_none());
    assert!(place.holds("Person 1"), "the others stay");
    assert_eq!(*place.ailments.subscribe().borrow(), [""; 0]);
    let sales = lane(&store.handle, Lane::Sales).await;
    let of_two = sales.iter().filter_map(|item| match item {
        LaneItem::Event(event) if event.subjects.customer == Some(customer_id(2)) => Some(&event.personal),
        _ => None,
    });
    assert!(of_two.clone().count() >= 3);
    assert!(of_two.into_iter().all(|personal| !matches!(personal, Revealed::Present(_))));
    store.close().await;
}

#[tokio::test]
async fn a_crash_right_after_the_erasure_leaves_it_to_the_next_start() {
    let place = Place::new();
    filled(&place).await.close().await;
    break_header(&place);
    let store = place.run();
    // As it is between the commit of an erasure and the wiping: said, and not done.
    let crash = crashed_with_copies(&place);
    store.close().await;
    crash.conn().execute("INSERT INTO meta (key, value) VALUES ('wiping', 1)", []).expect("writes");
    assert!(crash.holds("Person 1"));
    let store = crash.run();
    store.done(stock("more")).await;
    assert!(store.handle.salvage().expect("is told").copy().is_none());
    store.close().await;
}

fn crashed_with_copies(place: &Place) -> Place {
    let data = place.dir.path().join("data");
    let copies: Vec<_> = fs::read_dir(&data).expect("lists").flatten().filter(|e| e.path().is_dir()).collect();
    let crash = Place::new();
    for entry in copies {
        super::sample::copy(&entry.path(), &crash.dir.path().join("data").join(entry.file_name()));
    }
    for entry in fs::read_dir(&data).expect("lists").flatten().filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), crash.dir.path().join("data").join(entry.file_name())).expect("copies");
    }
    crash
}

#[tokio::test]
async fn damage_met_in_the_middle_of_an_erasure_leaves_no_copy() {
    let place = Place::new();
    filled(&place).await.close().await;
    place.conn().execute("INSERT INTO meta (key, value) VALUES ('wiping', 1)", []).expect("writes");
    break_header(&place);
    let store = place.run();
    assert!(store.handle.salvage().expect("is told").copy().is_none());
    store.close().await;
}

#[tokio::test]
async fn a_key_that_was_deleted_does_not_come_back_with_the_salvage() {
    let place = Place::new();
    let store = place.run();
    let fields = serde_json::json!({"name": "Aino Unohdettava"});
    store.done(person(1, &fields, &serde_json::json!({}))).await;
    let before = crashed(&place);
    store.done(erase(1)).await;
    store.close().await;
    // A page of before the erasure, as a disk may give back: the key is in it, and the log says that it is deleted.
    let old = before.conn();
    let key: Vec<u8> = old.query_row("SELECT key FROM sealing_key", [], |row| row.get(0)).expect("reads");
    let subject: String = old.query_row("SELECT subject FROM sealing_key", [], |row| row.get(0)).expect("reads");
    place.conn().execute("INSERT INTO sealing_key (subject, key) VALUES (?1, ?2)", (subject, key)).expect("writes");
    break_header(&place);
    let store = place.run();
    let first = lane(&store.handle, Lane::Sales).await.remove(0);
    assert!(matches!(&first, LaneItem::Event(event) if event.personal == Revealed::Erased), "{first:?}");
    store.done(erase(1)).await;
    assert!(!place.holds("Unohdettava"));
    store.close().await;
}

#[tokio::test]
async fn who_was_erased_by_an_event_that_is_lost_is_erased_again() {
    let place = Place::new();
    let store = place.run();
    store.done(person(1, &serde_json::json!({"name": "Aino"}), &serde_json::json!({"age": "30s"}))).await;
    store.done(erase(1)).await;
    store.close().await;
    place.conn().execute("DELETE FROM log WHERE kind = 'customer.erased'", []).expect("deletes");
    break_header(&place);
    let store = place.run();
    assert_eq!(store.handle.reader().customer(customer_id(1)).await.expect("reads"), None);
    let last = lane(&store.handle, Lane::Sales).await.pop().expect("is there");
    assert!(matches!(&last, LaneItem::Event(event) if event.body.kind() == "customer.erased"), "{last:?}");
    store.close().await;
}
