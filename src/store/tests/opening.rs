//! Files that are not ours, not readable, not old enough.

use std::{collections::BTreeMap, fs};

use crate::store::{
    Store, StoreError,
    testing::{Place, dump, person, stock},
};

fn contents(place: &Place) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(place.dir.path().join("data")).expect("lists").flatten();
    let named = files.map(|file| (file.file_name().to_string_lossy().into_owned(), file.path()));
    named
        .filter(|(name, _)| name != "showfloor.lock")
        .map(|(name, path)| (name, fs::read(path).expect("reads")))
        .collect()
}

fn refusal(place: &Place) -> StoreError {
    place.open().err().expect("is refused")
}

#[tokio::test]
async fn two_daemons_never_share_a_directory() {
    let place = Place::new();
    let store = place.run();
    assert!(matches!(refusal(&place), StoreError::Locked { .. }));
    store.close().await;
    assert!(place.open().is_ok());
}

#[tokio::test]
async fn a_newer_file_is_refused_and_not_touched() {
    let place = Place::new();
    let store = place.run();
    store.done(stock("V1")).await;
    store.close().await;
    place.conn().pragma_update(None, "user_version", 99).expect("writes");
    let before = contents(&place);
    match refusal(&place) {
        StoreError::Newer { found, known, path } => {
            assert_eq!((found, known, path), (99, super::super::schema::known_version(), place.file()));
        }
        other => panic!("{other}"),
    }
    assert_eq!(contents(&place), before);
}

#[tokio::test]
async fn a_newer_file_whose_version_is_still_in_the_write_ahead_log_is_refused_too() {
    let place = Place::new();
    place.run().close().await;
    let newer = place.conn();
    newer.pragma_update(None, "user_version", 99).expect("writes");
    let before = contents(&place);
    assert!(before["showfloor.sqlite-wal"].len() > 1_000);
    assert!(matches!(refusal(&place), StoreError::Newer { found: 99, .. }));
    let after = contents(&place);
    assert_eq!(after["showfloor.sqlite"], before["showfloor.sqlite"]);
    assert_eq!(after["showfloor.sqlite-wal"], before["showfloor.sqlite-wal"]);
    drop(newer);
}

#[tokio::test]
async fn the_log_of_another_site_is_refused() {
    let place = Place::new();
    place.run().close().await;
    let options = crate::store::Options { site: "tre-02".parse().expect("id"), ..place.options() };
    assert!(matches!(Store::open(options), Err(StoreError::OtherSite { .. })));
    assert!(place.open().is_ok(), "and stays whose it was");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let place = Place::new();
    fs::write(place.dir.path().join("data"), "a file").expect("writes");
    let said = refusal(&place);
    assert!(matches!(said, StoreError::Unwritable { .. }), "{said}");
    assert!(said.to_string().contains("data"), "{said}");
}

#[tokio::test]
async fn the_file_is_made_as_it_has_to_be() {
    use std::os::unix::fs::PermissionsExt as _;
    let place = Place::new();
    let (handle, _writer) = place.open().expect("opens");
    let mode = fs::metadata(place.dir.path().join("data")).expect("is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let conn = place.conn();
    let pragma = |name: &str| {
        conn.pragma_query_value(None, name, |row| {
            row.get::<_, String>(0).or_else(|_| row.get::<_, i64>(0).map(|n| n.to_string()))
        })
    };
    assert_eq!(pragma("auto_vacuum").expect("reads"), "2");
    assert_eq!(pragma("journal_mode").expect("reads"), "wal");
    assert_ne!(handle.visit_namespace(), handle.epoch().0);
}

#[tokio::test]
async fn projections_of_an_older_program_are_made_anew() {
    let place = Place::new();
    let store = place.run();
    store.done(stock("V1")).await;
    store.done(person(1, &serde_json::json!({"name": "Aino"}), &serde_json::json!({}))).await;
    store.close().await;
    let conn = place.conn();
    let before = dump(&conn);
    conn.execute_batch("UPDATE meta SET value = 0 WHERE key = 'projections'; DELETE FROM vehicle;").expect("writes");
    drop(conn);
    place.run().close().await;
    assert_eq!(dump(&place.conn()), before);
}
