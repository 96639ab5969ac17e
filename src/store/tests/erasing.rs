//! Whoever is erased is in no file any more.

use serde_json::json;

use crate::{
    domain::{Lane, LaneItem, Revealed},
    showroom::{CloudCommand, Command, Dating},
    store::{
        LaneQuery,
        testing::{
            Place, assign, customer_id, dump, entered, erase, fact, moved, person, rebuilt, stock, tag, visit_id,
            visitor,
        },
    },
};

#[tokio::test]
async fn erasing_leaves_no_byte_of_name_or_tag_and_the_events_stay() {
    let mut place = Place::new();
    place.site_tags.assign(tag("ibeacon:site:1:1"), visitor(1));
    let store = place.run();
    store.done(person(1, &json!({"name": "Aino Unohdettava", "phone": "0401234567"}), &json!({}))).await;
    store.done(person(2, &json!({"name": "Ben Pysyvinen"}), &json!({}))).await;
    store.done(assign("ibeacon:unohdettava:1:7", 1)).await;
    store.done(assign("ibeacon:pysyvinen:1:8", 2)).await;
    let enters =
        [entered(1, Some(1), "ibeacon:unohdettava:1:7"), entered(2, None, "ibeacon:unohdettava:1:7"), moved(1)];
    for presence in enters {
        store.handle.record(fact(1, presence), Dating::AsSaid).await.expect("is open");
    }
    // Enough for a checkpoint of SQLite's own, so that the name reaches the database file.
    for n in 0..300 {
        store.done(stock(&format!("V{n}"))).await;
    }
    assert!(place.holds("Unohdettava") && place.holds("unohdettava:1:7"));
    assert_eq!(store.handle.registry().borrow().len(), 3);

    store.done(erase(1)).await;
    // The next commit comes after the wiping that follows the first.
    store.done(stock("W1")).await;
    for gone in ["Unohdettava", "unohdettava:1:7", "0401234567"] {
        assert!(!place.holds(gone), "{gone}");
    }
    assert!(place.holds("Pysyvinen") && place.holds("pysyvinen:1:8"));
    let registry = store.handle.registry().borrow().clone();
    assert_eq!(registry.iter().map(|(tag, _)| tag.clone()).collect::<Vec<_>>(), [tag("ibeacon:pysyvinen:1:8")]);

    let reader = store.handle.reader();
    assert_eq!(reader.customer(customer_id(1)).await.expect("reads"), None);
    let query = LaneQuery { lane: Lane::Sales, after: 0, max_items: 3, max_bytes: 1 << 20 };
    let page = reader.lane_page(query).await.expect("reads");
    let personal: Vec<_> = page
        .iter()
        .map(|item| match item {
            LaneItem::Event(event) => event.personal.clone(),
            LaneItem::Gap(gap) => panic!("{gap:?}"),
        })
        .collect();
    assert_eq!((&personal[0], &personal[2]), (&Revealed::Erased, &Revealed::Erased));
    assert!(matches!(personal[1], Revealed::Present(_)));
    let open = reader.open_visits().await.expect("reads");
    assert!(
        open.iter().all(|seen| seen.open.customer.is_none() && seen.open.tag.as_str().starts_with("erased:")),
        "{open:?}"
    );
    let picture = reader.picture().await.expect("reads");
    assert!(picture.visits.iter().any(|visit| visit.id == visit_id(1)), "the visit goes on, of nobody");
    assert!(picture.visits.iter().all(|visit| visit.customer.is_none() && visit.customer_name.is_none()));
    store.close().await;
    assert!(!place.holds("Unohdettava"));
}

#[tokio::test]
async fn a_customer_who_comes_back_has_a_new_key_and_the_old_events_stay_unreadable() {
    let place = Place::new();
    let store = place.run();
    store.done(person(1, &json!({"name": "Aino"}), &json!({}))).await;
    store.done(erase(1)).await;
    store.done(person(1, &json!({"name": "Aino B"}), &json!({}))).await;
    let entries = store.handle.reader().entries_after(0, 9).await.expect("reads");
    assert_eq!(entries[0].event.personal, Revealed::Erased);
    assert!(matches!(entries[2].event.personal, Revealed::Present(_)));
    store.close().await;
}

#[tokio::test]
async fn a_tag_that_changed_hands_does_not_go_back_when_the_second_one_is_erased() {
    let place = Place::new();
    let store = place.run();
    store.done(assign("t", 1)).await;
    store.done(assign("t", 2)).await;
    let kinds: Vec<_> = store.handle.reader().entries_after(0, 9).await.expect("reads");
    let kinds: Vec<_> = kinds.iter().map(|entry| (entry.event.body.kind(), entry.event.subjects.customer)).collect();
    let (one, two) = (Some(customer_id(1)), Some(customer_id(2)));
    assert_eq!(kinds, [("tag.assigned", one), ("tag.released", one), ("tag.assigned", two)]);
    store.done(erase(2)).await;
    assert!(store.handle.registry().borrow().is_empty());
    store.close().await;
    let mut conn = place.conn();
    assert_eq!(dump(&conn), rebuilt(&mut conn));
}

#[tokio::test]
async fn a_tag_released_means_what_the_site_file_says() {
    let mut place = Place::new();
    place.site_tags.assign(tag("t"), visitor(1));
    let store = place.run();
    let means = || store.handle.registry().borrow().iter().next().and_then(|(_, r)| r.subject.clone());
    assert_eq!(means(), Some(customer_id(1).to_string()));
    store.done(assign("t", 2)).await;
    assert_eq!(means(), Some(customer_id(2).to_string()));
    store.done(Command::Cloud(CloudCommand::TagRelease(tag("t")))).await;
    assert_eq!(means(), Some(customer_id(1).to_string()));
    store.close().await;
}
