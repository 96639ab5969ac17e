//! The look through a database finds what is wrong, changes nothing, and may be taken beside a daemon that runs.

use serde_json::json;

use crate::{
    showroom::{Dating, KioskCommand},
    store::{
        audit,
        testing::{Place, assign, dump, entered, erase, exited, fact, kiosk, person, stock},
    },
};

async fn worked() -> Place {
    let place = Place::new();
    let store = place.run();
    store.done(stock("V1")).await;
    store.done(person(1, &json!({"name": "Aino"}), &json!({}))).await;
    store.done(person(2, &json!({"name": "Eino"}), &json!({}))).await;
    store.done(assign("t1", 1)).await;
    store.done(kiosk(KioskCommand::StartSession)).await;
    store.handle.record(fact(5, entered(1, Some(1), "t1")), Dating::AsSaid).await.expect("is open");
    store.handle.record(fact(6, exited(1)), Dating::AsSaid).await.expect("is open");
    store.done(erase(1)).await;
    let beside = audit(&place.dir.path().join("data")).expect("beside the writer");
    assert_eq!((beside.problems, beside.rebuilt), (Vec::new(), true));
    store.close().await;
    place
}

#[tokio::test]
async fn a_database_that_is_well_is_found_well_and_left_as_it_is() {
    let place = worked().await;
    let before = dump(&place.conn());
    let found = audit(&place.dir.path().join("data")).expect("reads");
    assert_eq!(found.problems, [""; 0]);
    assert_eq!((found.events, found.heads.pos, found.rebuilt), (8, 8, true));
    assert_eq!(dump(&place.conn()), before);
}

#[tokio::test]
async fn each_kind_of_damage_is_named() {
    let cases = [
        ("DELETE FROM log WHERE lane = 0 AND seq = 3", "lane sales goes on with 4 after 2"),
        ("UPDATE lane SET head = 9 WHERE lane = 0", "lane sales ends at 6, its head is 9"),
        ("UPDATE log SET id = (SELECT id FROM log WHERE pos = 1) WHERE pos = 3", "1 ids of events stand there twice"),
        ("UPDATE cursor SET upto = 99 WHERE lane = 1", "1 cursors are beyond the head of their lane"),
        ("UPDATE vehicle SET spot = 'elsewhere'", "table vehicle is not what the log says"),
        ("DELETE FROM customer", "table customer is not what the log says"),
        (
            "UPDATE sqlite_sequence SET seq = 2 WHERE name = 'log'",
            "the log reaches position 8, and its head is said to be 2",
        ),
        ("UPDATE log SET kind = 'odd' WHERE pos = 1", "the log cannot be read whole"),
    ];
    for (sql, told) in cases {
        let place = worked().await;
        assert!(place.conn().execute(sql, []).expect("broken") > 0, "{sql}");
        let found = audit(&place.dir.path().join("data")).expect("reads");
        assert!(found.problems.iter().any(|problem| problem.starts_with(told)), "{sql}: {:?}", found.problems);
    }
}
