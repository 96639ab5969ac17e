//! Files that are broken between two runs.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use super::sample::{Dice, Held, check_lives, copy, crashed, filled, lane};
use crate::{
    domain::{GapReason, Lane, LaneItem},
    showroom::KioskCommand,
    store::{
        Options, Receipt, Store, StoreError,
        testing::{Place, customer_id, kiosk, stock, visit_id},
    },
};

fn log(place: &Place) -> PathBuf {
    place.file().with_extension("sqlite-wal")
}

fn flip(path: &Path, at: u64, bit: u8) {
    let file = File::options().read(true).write(true).open(path).expect("opens");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("reads");
    file.write_all_at(&[byte[0] ^ (1 << bit)], at).expect("writes");
}

fn copies(place: &Place) -> Vec<PathBuf> {
    let entries = fs::read_dir(place.dir.path().join("data")).expect("lists").flatten();
    entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().contains("damaged-")).collect()
}

/// Opens it, reads all of it as a patrol does, and opens it again if that found damage; whether it was salvaged, and what
/// was lost.
async fn recover(place: &Place, held: &Held) -> (bool, u64) {
    let mut store = place.run();
    for of in Lane::ALL {
        let mut after = Some(0);
        while let Some(from) = after {
            after = store.handle.reader().patrol(of, from, 100).await.ok().flatten();
        }
    }
    if store.handle.damage().is_some() {
        store.close().await;
        store = place.run();
        assert_ne!(store.handle.epoch(), held.epoch, "damage that was met is salvaged at the next start");
    }
    let lost = held.check(&store.handle).await;
    let salvaged = store.handle.epoch() != held.epoch;
    if salvaged {
        let report = store.handle.salvage().expect("is told").clone();
        assert_eq!((report.epoch, report.lost), (Some(held.epoch), lost), "{report:?}");
        check_lives(place, store).await;
    } else {
        store.close().await;
    }
    (salvaged, lost)
}

/// `SHOWFLOOR_SALVAGE_SEEDS` tries more.
fn seeds() -> std::ops::Range<u64> {
    0..std::env::var("SHOWFLOOR_SALVAGE_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(40)
}

#[tokio::test]
async fn bits_that_flip_anywhere_make_no_event_another_one() {
    let origin = Place::new();
    let store = filled(&origin).await;
    let held = Held::read(&store.handle).await;
    let crash = crashed(&origin);
    store.close().await;
    let mut salvaged = 0;
    for seed in seeds() {
        eprintln!("seed {seed}"); // shown when it fails
        let mut dice = Dice(seed);
        // Half of them after an orderly end, half as a crash leaves the files.
        let place = crashed(if seed % 2 == 0 { &origin } else { &crash });
        let path = if seed % 4 == 1 { log(&place) } else { place.file() };
        let length = fs::metadata(&path).expect("is there").len();
        for _ in 0..=dice.roll(3) {
            // Epoch and site are on the first pages of their own: a database that cannot say who it is has its own tests.
            flip(&path, dice.roll(length), dice.roll(8) as u8);
        }
        let (was, lost) = recover(&place, &held).await;
        salvaged += u32::from(was);
        assert!(lost <= 160, "seed {seed} lost {lost}");
    }
    assert!(salvaged > 5, "{salvaged} of them were salvaged");
}

#[tokio::test]
async fn a_file_cut_anywhere_keeps_what_is_before() {
    let origin = Place::new();
    let store = filled(&origin).await;
    let held = Held::read(&store.handle).await;
    store.close().await;
    let length = fs::metadata(origin.file()).expect("is there").len();
    for cut in [1, 99, 4_096, length / 2, length * 3 / 4, length - 4_096, length - 1] {
        let place = crashed(&origin);
        File::options().write(true).open(place.file()).expect("opens").set_len(cut).expect("cuts");
        if cut > length / 2 {
            let (salvaged, lost) = recover(&place, &held).await;
            assert!(salvaged || lost == 0);
            assert!(lost < held.pos, "{lost} of {} lost at {cut}", held.pos);
            let store = place.run();
            assert!(store.handle.heads().borrow().pos >= held.pos, "no number comes back, by the mark");
            store.close().await;
        } else {
            let store = place.run();
            assert!(store.handle.salvage().is_some());
            check_lives(&place, store).await;
        }
    }
}

#[tokio::test]
async fn pages_at_the_root_of_everything_are_not_needed() {
    let origin = Place::new();
    let store = filled(&origin).await;
    let held = Held::read(&store.handle).await;
    store.close().await;
    let place = crashed(&origin);
    // The header, the schema, and the inner pages of every tree.
    let bytes = fs::read(place.file()).expect("reads");
    let file = File::options().write(true).open(place.file()).expect("opens");
    file.write_all_at(&[0xa5; 4_096], 0).expect("writes");
    for (n, page) in bytes.chunks(4_096).enumerate().filter(|(_, page)| page[0] == 5 || page[0] == 2) {
        file.write_all_at(&[0; 12], (n * 4_096) as u64).expect("writes");
        assert_eq!(page.len(), 4_096);
    }
    let store = place.run();
    assert_ne!(store.handle.epoch(), held.epoch);
    held.check_whole(&store.handle).await;
    check_lives(&place, store).await;
}

#[tokio::test]
async fn what_is_no_database_of_ours_is_set_aside_whole() {
    let theirs = tempfile::tempdir().expect("makes a directory");
    let path = theirs.path().join("x");
    let conn = rusqlite::Connection::open(&path).expect("opens");
    conn.execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (7);").expect("writes");
    drop(conn);
    let foreign = fs::read(path).expect("reads");
    let garbage = b"SQLite format 3\0garbage".repeat(300);
    for bytes in [Vec::new(), vec![b'x'; 5_000], garbage, foreign] {
        let place = Place::new();
        fs::create_dir(place.dir.path().join("data")).expect("makes a directory");
        fs::write(place.file(), &bytes).expect("writes");
        let store = place.run();
        let report = store.handle.salvage().expect("is told").clone();
        assert_eq!((report.kept, report.lost, report.epoch), (0, 0, None));
        let copy = report.copy().expect("is there").join("showfloor.sqlite");
        assert_eq!(fs::read(copy).expect("reads"), bytes);
        check_lives(&place, store).await;
        assert_eq!(copies(&place).len(), 1);
    }
    let place = Place::new();
    let store = place.run();
    assert!(store.handle.salvage().is_none(), "a new box has nothing to tell");
    assert_eq!(*place.ailments.subscribe().borrow(), [""; 0]);
    store.close().await;
}

#[tokio::test]
async fn a_write_ahead_log_that_is_gone_or_cut_is_noticed_and_no_number_comes_back() {
    let origin = Place::new();
    let store = filled(&origin).await;
    let held = Held::read(&store.handle).await;
    let crash = crashed(&origin);
    store.close().await;

    let place = crashed(&crash);
    let store = place.run();
    assert_eq!(store.handle.epoch(), held.epoch, "a crash alone is no damage");
    held.check_whole(&store.handle).await;
    store.close().await;

    let place = crashed(&crash);
    fs::remove_file(log(&place)).expect("removes");
    let store = place.run();
    assert_ne!(store.handle.epoch(), held.epoch);
    assert!(store.handle.salvage().expect("is told").cause.contains("gone back"));
    held.check(&store.handle).await;
    assert_eq!(store.handle.heads().borrow().pos, held.pos);
    check_lives(&place, store).await;

    // Everything after the broken frame is passed over by SQLite, and found nevertheless.
    let place = crashed(&crash);
    flip(&log(&place), 32 + 24 + 4_095, 0);
    let store = place.run();
    assert_ne!(store.handle.epoch(), held.epoch);
    assert!(held.check(&store.handle).await < 60);
    check_lives(&place, store).await;

    // The database itself is gone, its log is not.
    let place = crashed(&crash);
    fs::remove_file(place.file()).expect("removes");
    let store = place.run();
    assert_ne!(store.handle.epoch(), held.epoch);
    held.check(&store.handle).await;
    check_lives(&place, store).await;
}

#[tokio::test]
async fn a_copy_that_was_restored_begins_a_new_epoch() {
    let place = Place::new();
    let store = filled(&place).await;
    store.close().await;
    let backup = crashed(&place);
    let store = place.run();
    let held = Held::read(&store.handle).await;
    store.done(stock("since")).await;
    store.close().await;
    fs::copy(backup.file(), place.file()).expect("restores");
    let store = place.run();
    assert_ne!(store.handle.epoch(), held.epoch);
    assert_eq!(held.check(&store.handle).await, 1, "what came since");
    let last = lane(&store.handle, Lane::Sales).await.pop().expect("is there");
    assert!(matches!(&last, LaneItem::Gap(gap) if gap.reason == GapReason::Corruption && gap.count == 1), "{last:?}");
    check_lives(&place, store).await;
}

#[tokio::test]
async fn requests_visits_names_and_interest_live_on() {
    let origin = Place::new();
    let store = filled(&origin).await;
    let (held, picture) = (Held::read(&store.handle).await, store.handle.reader().picture().await.expect("reads"));
    let (open, namespace) = (store.handle.reader().open_visits().await.expect("reads"), store.handle.visit_namespace());
    let call = store.keyed("call", kiosk(KioskCommand::Call)).await.expect("was done");
    store.close().await;
    let place = crashed(&origin);
    flip(&place.file(), 3, 1);
    let store = place.run();
    assert_ne!(store.handle.epoch(), held.epoch);
    held.check_whole(&store.handle).await;
    let reader = store.handle.reader();
    assert_eq!(reader.picture().await.expect("reads"), picture);
    assert_eq!(reader.open_visits().await.expect("reads"), open);
    assert_eq!(store.handle.visit_namespace(), namespace);
    assert_eq!(reader.customer(customer_id(4)).await.expect("reads"), None, "who was erased stays so");
    assert_eq!(reader.cursors(&"cloud".parse().expect("id")).await.expect("reads"), [0; 3], "of another epoch");
    let again = store.keyed("call", kiosk(KioskCommand::Call)).await.expect("was done");
    assert_eq!(again, Receipt { repeated: true, ..call });
    let ids: Vec<_> = held.events.values().map(|event| event.id).collect();
    store.done(stock("next")).await;
    let next = reader.entries_after(held.pos, 9).await.expect("reads").pop().expect("is there").event;
    assert!(ids.iter().all(|id| *id < next.id), "ids go on");
    check_lives(&place, store).await;
}

#[tokio::test]
async fn a_visit_whose_tag_is_lost_stays_open_under_one_that_nobody_carries() {
    let origin = Place::new();
    filled(&origin).await.close().await;
    let place = crashed(&origin);
    place.conn().execute("DELETE FROM open_visit", []).expect("deletes");
    flip(&place.file(), 3, 1);
    let store = place.run();
    let open = store.handle.reader().open_visits().await.expect("reads");
    assert_eq!(open.len(), 5);
    assert!(open.iter().all(|seen| seen.open.tag.as_str().starts_with("salvaged:")), "{open:?}");
    assert!(open.iter().any(|seen| seen.open.visit == visit_id(57)));
    check_lives(&place, store).await;
}

#[tokio::test]
async fn a_start_that_was_cut_short_is_gone_on_with_and_a_second_damage_is_salvaged_too() {
    let origin = Place::new();
    let store = filled(&origin).await;
    let held = Held::read(&store.handle).await;
    store.close().await;
    let place = crashed(&origin);
    let data = place.dir.path().join("data");
    // As a crash leaves it while the new database is being built.
    fs::create_dir(data.join("salvaging")).expect("makes");
    let note = r#"{"cause": "rust", "found_at": "2026-11-24T10:00:00.000000Z", "copy": "damaged-2026-11-24-1"}"#;
    fs::write(data.join("salvaging/about.json"), note).expect("writes");
    fs::rename(place.file(), data.join("salvaging/showfloor.sqlite")).expect("moves");
    fs::write(data.join("salvaging/moved"), "").expect("writes");
    fs::write(data.join("showfloor.sqlite.new"), "half").expect("writes");
    let store = place.run();
    held.check_whole(&store.handle).await;
    assert_eq!(store.handle.salvage().map(|salvage| salvage.cause.clone()).as_deref(), Some("rust"));
    let second = Held::read(&store.handle).await;
    store.close().await;

    flip(&place.file(), 3, 1);
    let store = place.run();
    assert_ne!(store.handle.epoch(), second.epoch);
    assert_eq!(lane(&store.handle, Lane::Sales).await.len(), lane_len(&held, Lane::Sales));
    for item in lane(&store.handle, Lane::Presence).await {
        let LaneItem::Event(event) = item else { panic!("{item:?}") };
        assert_eq!(event.origin.map(|origin| origin.epoch), Some(held.epoch), "where it was born");
    }
    assert_eq!(copies(&place).len(), 1, "one copy is kept");
    check_lives(&place, store).await;
}

fn lane_len(held: &Held, lane: Lane) -> usize {
    held.events.keys().filter(|(of, _)| *of == lane).count()
}

#[tokio::test]
async fn the_damaged_log_of_another_site_is_left_alone() {
    let origin = Place::new();
    filled(&origin).await.close().await;
    let place = crashed(&origin);
    flip(&place.file(), 3, 1);
    let before = fs::read(place.file()).expect("reads");
    let options = Options { site: "tre-02".parse().expect("id"), ..place.options() };
    assert!(matches!(Store::open(options), Err(StoreError::OtherSite { .. })));
    assert_eq!(fs::read(place.file()).expect("reads"), before);
    assert_eq!(copies(&place).len(), 0);
    let other = Place::new();
    copy(&place.dir.path().join("data"), &other.dir.path().join("data"));
    assert!(other.open().is_ok());
}

#[tokio::test]
async fn whoever_says_that_it_is_damaged_is_believed() {
    let place = Place::new();
    let store = filled(&place).await;
    let held = Held::read(&store.handle).await;
    store.close().await;
    let flag = place.dir.path().join("data/showfloor.damaged");
    fs::write(&flag, "a backup was restored\n").expect("writes");
    let store = place.run();
    assert_ne!(store.handle.epoch(), held.epoch);
    assert_eq!(store.handle.salvage().map(|salvage| salvage.cause.trim()), Some("a backup was restored"));
    held.check_whole(&store.handle).await;
    check_lives(&place, store).await;
    assert!(!flag.exists());
}
