//! Damage that is met while the store is in use.

use std::{fs::File, os::unix::fs::FileExt as _};

use super::sample::{Held, check_lives, filled};
use crate::{
    domain::Lane,
    showroom::Dating,
    store::{
        SubmitError,
        testing::{Place, fact, moved, stock},
    },
};

/// Changes one digit inside of the data of an event in the file.
fn change_a_price(place: &Place) {
    let bytes = std::fs::read(place.file()).expect("reads");
    let kind = b"inventory.updated";
    let row = bytes.windows(kind.len()).position(|window| window == kind).expect("a car is there");
    let at = row + bytes[row..].windows(7).position(|window| window == b"51990.0").expect("with a price");
    File::options().write(true).open(place.file()).expect("opens").write_all_at(b"6", at as u64).expect("writes");
}

#[tokio::test]
async fn a_digit_that_changed_is_met_by_the_patrol_and_nothing_more_is_written() {
    let place = Place::new();
    filled(&place).await.close().await;
    let store = place.run();
    let held = Held::read(&store.handle).await;
    store.close().await;
    let bytes = std::fs::read(place.file()).expect("reads");
    change_a_price(&place);
    assert_ne!(bytes, std::fs::read(place.file()).expect("reads"));

    let store = place.run();
    assert_eq!(store.handle.epoch(), held.epoch, "a start does not read everything");
    let mut met = false;
    for lane in Lane::ALL {
        met |= store.handle.reader().patrol(lane, 0, 10_000).await.is_err();
    }
    assert!(met, "the digit stands in the log");
    let said = store.handle.damage().expect("is said").to_string();
    assert!(said.contains("start again"), "{said}");
    let refused = store.submit(stock("V1")).await;
    assert!(matches!(refused, Err(SubmitError::NotStored(_))), "{refused:?}");
    store.handle.record(fact(5, moved(57)), Dating::AsSaid).await.expect("is open");
    store.close().await;

    let store = place.run();
    assert_ne!(store.handle.epoch(), held.epoch);
    assert_eq!(held.check(&store.handle).await, 1, "the one event that is not believed");
    check_lives(&place, store).await;
}

#[tokio::test]
async fn a_number_that_nothing_accounts_for_is_met() {
    let place = Place::new();
    filled(&place).await.close().await;
    place.conn().execute("DELETE FROM log WHERE lane = 0 AND seq IN (7, 8)", []).expect("deletes");
    let store = place.run();
    let said = store.handle.reader().patrol(Lane::Sales, 0, 100).await.expect_err("is met").to_string();
    assert!(said.contains("numbers 7 to 8 of lane sales"), "{said}");
    store.close().await;
    let store = place.run();
    assert_eq!(store.handle.salvage().expect("is told").lost, 2);
    check_lives(&place, store).await;
}

#[tokio::test]
async fn a_row_that_lost_its_checksum_is_believed_only_while_it_makes_sense() {
    for (change, lost) in [("sum = NULL", 0), ("sum = NULL, data = 'x'", 1)] {
        let place = Place::new();
        let store = filled(&place).await;
        let held = Held::read(&store.handle).await;
        store.close().await;
        let sql = format!("UPDATE log SET {change} WHERE lane = 0 AND seq = 7");
        assert_eq!(place.conn().execute(&sql, []).expect("changes"), 1);
        let store = place.run();
        assert_eq!(store.handle.reader().patrol(Lane::Sales, 0, 100).await.is_err(), lost > 0, "{change}");
        assert_eq!(store.handle.damage().is_some(), lost > 0, "{change}");
        store.close().await;
        let store = place.run();
        assert_eq!(held.check(&store.handle).await, lost, "{change}");
        check_lives(&place, store).await;
    }
}

#[tokio::test]
async fn a_page_that_makes_no_sense_is_met_by_the_writer() {
    let place = Place::new();
    filled(&place).await.close().await;
    let root: i64 = place
        .conn()
        .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'vehicle'", [], |row| row.get(0))
        .expect("reads");
    let file = File::options().write(true).open(place.file()).expect("opens");
    file.write_all_at(&[0xff; 64], (root as u64 - 1) * 4_096).expect("writes");
    let store = place.run();
    let refused = store.submit(stock("V1")).await;
    assert!(matches!(refused, Err(SubmitError::NotStored(_))), "{refused:?}");
    assert!(store.handle.damage().is_some());
    assert!(place.ailments.subscribe().borrow().iter().any(|part| part == "store"));
    store.close().await;
    let store = place.run();
    assert_eq!(store.handle.salvage().expect("is told").lost, 0, "only a projection was broken");
    check_lives(&place, store).await;
}
