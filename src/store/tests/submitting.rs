//! Commands, facts and acknowledgements.

use std::time::Duration;

use crate::{
    domain::{BootId, ClockQuality, Epoch, Lane, Stamp, Timestamp},
    showroom::{Command, Dating, KioskCommand, RefusalCode},
    store::{
        AckError, LaneQuery, Receipt, SubmitError,
        testing::{Place, START_US, entered, exited, fact, kiosk, moved, person, stock},
    },
};

#[tokio::test]
async fn the_same_key_gets_the_same_receipt_also_after_a_restart_and_for_another_body() {
    let place = Place::new();
    let store = place.run();
    store.done(stock("V1")).await;
    let first = store.keyed("a", kiosk(KioskCommand::StartSession)).await.expect("is done");
    assert_eq!(first, Receipt { pos: 2, repeated: false });
    store.done(stock("V2")).await;
    let again = Receipt { pos: 2, repeated: true };
    assert_eq!(store.keyed("a", kiosk(KioskCommand::StartSession)).await.expect("is done"), again);
    assert_eq!(store.keyed("a", stock("V9")).await.expect("is done"), again);
    store.close().await;

    let store = place.run();
    assert_eq!(store.keyed("a", kiosk(KioskCommand::StartSession)).await.expect("is done"), again);
    let head = store.handle.heads().borrow().pos;
    assert_eq!(head, 3, "repetitions wrote nothing");
    assert_eq!(store.done(stock("V2")).await, head, "a command that changes nothing tells the head");
    assert_eq!(store.done(stock("V3")).await, head + 1);
    assert_eq!(store.handle.heads().borrow().of(Lane::Sales), 4);
    store.close().await;
}

#[tokio::test]
async fn a_refusal_is_remembered_though_it_would_be_done_now() {
    let place = Place::new();
    let store = place.run();
    for _ in 0..2 {
        match store.keyed("a", kiosk(KioskCommand::Call)).await {
            Err(SubmitError::Refused(refusal)) => assert_eq!(refusal.code, RefusalCode::Conflict),
            other => panic!("{other:?}"),
        }
        store.done(kiosk(KioskCommand::StartSession)).await;
    }
    assert!(store.keyed("b", kiosk(KioskCommand::Call)).await.is_ok());
    store.close().await;
}

#[tokio::test]
async fn requests_are_forgotten_after_seven_days_of_the_clock_that_can_be_believed() {
    let place = Place::new();
    let store = place.run();
    store.done(kiosk(KioskCommand::StartSession)).await;
    store.keyed("old", kiosk(KioskCommand::Call)).await.expect("is done");
    // The wall clock leaps, the box has been up for six days: nothing is forgotten.
    let day_ns = 86_400_000_000_000;
    place.clock.set(|now| {
        now.wall = now.wall.plus_micros(400 * 86_400_000_000);
        now.mono_ns += 6 * day_ns;
    });
    store.done(stock("V1")).await;
    assert!(store.keyed("old", kiosk(KioskCommand::Call)).await.expect("is done").repeated);
    place.clock.set(|now| now.mono_ns += 2 * day_ns);
    store.done(stock("V2")).await;
    assert!(!store.keyed("old", kiosk(KioskCommand::Call)).await.expect("is done").repeated);
    store.close().await;
}

/// Goes on in another boot, some seconds after it began.
fn reboot(place: &Place, boot: u128, wall_us: i64, quality: ClockQuality) {
    let boot = BootId(uuid::Uuid::from_u128(boot));
    place
        .clock
        .set(|now| *now = Stamp { wall: Timestamp::from_micros(wall_us), mono_ns: 5_000_000_000, boot, quality });
}

#[tokio::test]
async fn requests_age_by_running_time_over_boots_whatever_the_wall_clock_says() {
    let day = 86_400_000_000; // µs
    let place = Place::new();
    reboot(&place, 1, 5_000_000, ClockQuality::Unsynced);
    let store = place.run();
    store.keyed("a", kiosk(KioskCommand::StartSession)).await.expect("is done");
    place.clock.set(|now| now.mono_ns += 3_000 * day);
    store.done(stock("V0")).await;
    store.close().await;
    // Three days old. Two more boots, of three days and two, in which the clock is now and in 50 years.
    for (boot, wall_us, mono_ns, known) in
        [(2, START_US, 3_000 * day, true), (3, START_US + 20_000 * day, 2_000 * day, false)]
    {
        reboot(&place, boot, wall_us, ClockQuality::Synced);
        let store = place.run();
        store.done(stock(&format!("V{boot}"))).await;
        assert!(store.keyed("a", kiosk(KioskCommand::StartSession)).await.expect("is done").repeated, "boot {boot}");
        place.clock.set(|now| now.mono_ns += mono_ns);
        store.done(stock(&format!("W{boot}"))).await;
        let again = store.keyed("a", kiosk(KioskCommand::StartSession)).await.expect("is done");
        assert_eq!(again.repeated, known, "boot {boot}");
        store.close().await;
    }
}

#[tokio::test]
async fn the_floor_of_the_clock_is_kept_with_the_newest_record() {
    let place = Place::new();
    let hour_us = 3_600_000_000;
    for (boot, floor_us, events, kept_us) in [
        (1, START_US, 0, None),
        (2, START_US, 1, Some(START_US)),
        (3, START_US + hour_us / 2, 1, Some(START_US + hour_us / 2)),
        (4, START_US - 20 * hour_us, 1, Some(START_US - 20 * hour_us)),
    ] {
        place.clock.set_floor(Timestamp::from_micros(floor_us));
        let store = place.run();
        for n in 0..events {
            store.done(stock(&format!("V{boot}-{n}"))).await;
        }
        store.close().await;
        let (handle, _writer) = place.open().expect("opens");
        assert_eq!(handle.clock_floor().map(Timestamp::micros), kept_us, "run {boot}");
    }
    let store = place.run();
    for (minutes, kept) in [(0, 0), (59, 0), (61, 61)] {
        place.clock.set_floor(Timestamp::from_micros(START_US + minutes * hour_us / 60));
        store.done(stock(&format!("V5-{minutes}"))).await;
        let sql = "SELECT value FROM meta WHERE key = 'clock_floor'";
        let found: i64 = place.conn().query_row(sql, [], |row| row.get(0)).expect("reads");
        assert_eq!(found, START_US + kept * hour_us / 60, "not with each event");
    }
    store.close().await;
}

#[tokio::test]
async fn a_clock_that_leaps_and_comes_back_leaves_the_order_and_the_ids_rising() {
    let place = Place::new();
    reboot(&place, 1, 5_000_000, ClockQuality::Unsynced);
    let store = place.run();
    let day_us = 86_400_000_000;
    for (n, wall_us) in
        [5_000_000, START_US, START_US + 18_000 * day_us, START_US + 1, 7_000_000].into_iter().enumerate()
    {
        place.clock.set(|now| now.wall = Timestamp::from_micros(wall_us));
        store.done(stock(&format!("V{n}"))).await;
    }
    let entries = store.handle.reader().entries_after(0, 9).await.expect("reads");
    let events: Vec<_> = entries.into_iter().map(|entry| entry.event).collect();
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert!(events.windows(2).all(|pair| pair[0].id.0 < pair[1].id.0 && pair[0].clock.mono_ns < pair[1].clock.mono_ns));
    assert!(events.iter().all(|event| event.id.0.get_version_num() == 7));
    assert!(events[3].at < events[2].at, "what the clock said is told as it was");
    store.close().await;
    let store = place.run();
    store.done(stock("V9")).await;
    let entries = store.handle.reader().entries_after(5, 9).await.expect("reads");
    assert!(entries[0].event.id.0 > events[4].id.0, "nor does a restart begin below");
    store.close().await;
}

#[tokio::test]
async fn facts_are_dated_on_both_clocks_by_when_they_happened() {
    let place = Place::new();
    let store = place.run();
    let ago = Dating::Ago(Duration::from_secs(10));
    store.handle.record(fact(77, entered(1, None, "t")), ago).await.expect("is open");
    store.handle.record(fact(99, moved(1)), Dating::AsSaid).await.expect("is open");
    store.done(stock("V1")).await;
    let entries = store.handle.reader().entries_after(0, 9).await.expect("reads");
    let times: Vec<i64> = entries.iter().map(|entry| entry.event.at.micros()).collect();
    assert!((START_US - 10_000_000..START_US - 9_000_000).contains(&times[0]), "{times:?}");
    assert_eq!(entries[0].event.clock.mono_ns / 1_000, times[0] - START_US);
    assert_eq!(times[1], 99);
    assert!(times[2] > START_US);
    let open = store.handle.reader().open_visits().await.expect("reads");
    let seen = &open[0].open;
    assert_eq!((seen.entered_at.micros(), seen.last_at.micros(), seen.x, open[0].heard), (77, 99, 3.0, None));
    store.handle.record(fact(105, moved(1)), ago).await.expect("is open");
    store.done(stock("V8")).await;
    let open = store.handle.reader().open_visits().await.expect("reads");
    let heard = open[0].heard.expect("on the clocks of the box");
    assert!((START_US - 10_000_000..START_US - 9_000_000).contains(&heard.wall.micros()), "{heard:?}");
    assert_eq!((heard.boot, open[0].open.last_at.micros()), (BootId(uuid::Uuid::from_u128(7)), 105));
    store.handle.record(fact(100, exited(1)), Dating::AsSaid).await.expect("is open");
    store.done(stock("V2")).await;
    assert_eq!(store.handle.reader().open_visits().await.expect("reads"), []);
    store.close().await;
    assert!(!place.holds("door\"t"), "the tag is gone with the visit");
}

#[tokio::test]
async fn a_cursor_only_goes_forward_and_never_beyond_what_is_committed() {
    let place = Place::new();
    let store = place.run();
    let (cloud, epoch) = ("cloud".parse().expect("id"), store.handle.epoch());
    store.done(stock("V1")).await;
    store.done(person(1, &serde_json::json!({"name": "Aino"}), &serde_json::json!({}))).await;
    let ack = |upto| store.handle.acknowledge("cloud".parse().expect("id"), Lane::Sales, epoch, upto);
    assert_eq!(ack(2).await.expect("moves"), 2);
    assert_eq!(ack(1).await.expect("stays"), 2);
    assert_eq!(ack(3).await, Err(AckError::BeyondHead { head: 2 }));
    let other = Epoch(uuid::Uuid::nil());
    let wrong = store.handle.acknowledge("cloud".parse().expect("id"), Lane::Sales, other, 1).await;
    assert_eq!(wrong, Err(AckError::EpochChanged { epoch }));
    store.close().await;
    let store = place.run();
    assert_eq!(store.handle.epoch(), epoch);
    assert_eq!(store.handle.reader().cursors(&cloud).await.expect("reads"), [2, 0, 0]);
    store.close().await;
}

#[tokio::test]
async fn a_learnt_clock_goes_into_every_lane() {
    let place = Place::new();
    let store = place.run();
    let synced = crate::domain::ClockSynced { boot: uuid::Uuid::nil(), offset_ns: 5, step_ns: 0 };
    assert_eq!(store.done(Command::ClockSynced(synced.clone())).await, 3);
    assert_eq!(store.handle.heads().borrow().lanes, [1, 1, 1]);
    let known = |boot: u128| store.handle.reader().clock_of(BootId(uuid::Uuid::from_u128(boot)));
    assert_eq!((known(7).await.expect("reads"), known(8).await.expect("reads")), (Some(synced), None));
    for lane in Lane::ALL {
        let query = LaneQuery { lane, after: 0, max_items: 9, max_bytes: 9 };
        assert_eq!(store.handle.reader().lane_page(query).await.expect("reads").len(), 1);
    }
    store.close().await;
}

#[tokio::test]
async fn nothing_is_taken_after_the_end() {
    let place = Place::new();
    let store = place.run();
    store.done(stock("V1")).await;
    let handle = store.handle.clone();
    store.close().await;
    assert!(matches!(handle.submit(None, stock("V2")).await, Err(SubmitError::Closed)));
    assert!(handle.record(fact(1, exited(1)), Dating::AsSaid).await.is_err());
    assert!(handle.reader().entries_after(0, 1).await.is_err());
    handle.close().await;
    let files: Vec<_> = std::fs::read_dir(place.dir.path().join("data")).expect("lists").flatten().collect();
    assert_eq!(files.len(), 3, "the file, its mark and its lock: {files:?}");
}
