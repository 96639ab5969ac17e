//! Groups, and disks that fail.

use tokio::sync::oneshot;

use super::*;
use crate::{
    domain::{Lane, Presence},
    showroom::{Command, Dating, KioskCommand},
    store::{
        Store, StoreHandle, SubmitError,
        testing::{Place, entered, fact, kiosk, moved, person, stock, traced},
    },
};

type Told = oneshot::Receiver<Result<Receipt, SubmitError>>;

fn queue(handle: &StoreHandle, command: Command) -> Told {
    let (done, told) = oneshot::channel();
    handle.jobs.try_send(Job::Submit { key: None, command, done }).expect("has room");
    told
}

fn queue_fact(handle: &StoreHandle, presence: Presence) {
    let job = Job::Record { fact: fact(1, presence), dating: Dating::AsSaid };
    handle.jobs.try_send(job).expect("has room");
}

async fn pos(told: Told) -> Option<u64> {
    match told.await.expect("is answered") {
        Ok(receipt) => Some(receipt.pos),
        Err(SubmitError::NotStored(_)) => None,
        Err(other) => panic!("{other}"),
    }
}

async fn end(handle: StoreHandle, writer: Writer) {
    handle.close().await;
    writer.join().expect("ended well");
}

/// COMMIT fails as long as this is there.
const BREAK_COMMIT: &str = "CREATE TABLE parent (x PRIMARY KEY);
    CREATE TABLE child (x REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
    CREATE TRIGGER broken AFTER INSERT ON log BEGIN INSERT INTO child VALUES (1); END;";

#[tokio::test]
async fn what_waits_is_committed_at_once_and_answered_in_order() {
    let place = Place::new();
    let (handle, mut writer) = place.open().expect("opens");
    let heads = handle.heads();
    let told: Vec<Told> = (0..5).map(|n| queue(&handle, stock(&format!("V{n}")))).collect();
    assert_eq!(heads.borrow().pos, 0);
    writer.run_thread().expect("starts");
    for (told, expected) in told.into_iter().zip(1..) {
        assert_eq!(pos(told).await, Some(expected));
        assert_eq!(heads.borrow().pos, 5, "nobody is answered before the whole is on disk");
    }
    assert_eq!(place.telemetry.get(Count::Commits), 1);
    end(handle, writer).await;
}

#[tokio::test]
async fn a_group_ends_at_its_limit_of_events() {
    let mut place = Place::new();
    place.group.max_events = 2;
    let (handle, mut writer) = place.open().expect("opens");
    let told: Vec<Told> = (0..5).map(|n| queue(&handle, stock(&format!("V{n}")))).collect();
    writer.run_thread().expect("starts");
    for told in told {
        assert!(pos(told).await.is_some());
    }
    assert_eq!(place.telemetry.get(Count::Commits), 3);
    let progress = handle.progress();
    end(handle, writer).await;
    assert_eq!(progress.load(Ordering::Relaxed), 4, "and one for the end");
}

#[tokio::test]
async fn a_job_that_fails_is_undone_alone() {
    let place = Place::new();
    let (handle, mut writer) = place.open().expect("opens");
    let sql = "CREATE TRIGGER broken BEFORE INSERT ON log WHEN NEW.kind = 'kiosk.ended'
               BEGIN SELECT raise(ABORT, 'no'); END;";
    place.conn().execute_batch(sql).expect("breaks it");
    let first = queue(&handle, kiosk(KioskCommand::StartSession));
    let broken = queue(&handle, kiosk(KioskCommand::StartSession));
    let last = queue(&handle, stock("V1"));
    writer.run_thread().expect("starts");
    assert_eq!((pos(first).await, pos(broken).await, pos(last).await), (Some(1), None, Some(2)));
    let entries = handle.reader().entries_after(0, 9).await.expect("reads");
    assert_eq!(entries.iter().map(|entry| entry.event.seq).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(place.telemetry.get(Count::StoreErrors), 1);
    end(handle, writer).await;
}

#[tokio::test]
async fn a_commit_that_fails_is_told_to_all_and_its_facts_come_with_the_next() {
    let place = Place::new();
    let (handle, mut writer) = place.open().expect("opens");
    place.conn().execute_batch(BREAK_COMMIT).expect("breaks it");
    queue_fact(&handle, entered(1, None, "t"));
    let lost = [queue(&handle, stock("V1")), queue(&handle, kiosk(KioskCommand::StartSession))];
    writer.run_thread().expect("starts");
    for told in lost {
        assert_eq!(pos(told).await, None);
    }
    assert_eq!(handle.heads().borrow().pos, 0);
    assert!(place.telemetry.get(Count::StoreErrors) >= 1);

    place.conn().execute_batch("DROP TRIGGER broken").expect("mends it");
    assert_eq!(handle.submit(None, stock("V1")).await.expect("is done").pos, 2);
    let kinds: Vec<_> = handle.reader().entries_after(0, 9).await.expect("reads");
    let kinds: Vec<_> = kinds.iter().map(|entry| entry.event.body.kind()).collect();
    assert_eq!(kinds, ["customer.entered", "inventory.updated"]);
    assert_eq!(handle.heads().borrow().lanes, [1, 1, 0]);
    end(handle, writer).await;
}

#[tokio::test]
async fn facts_that_wait_are_written_before_the_end() {
    let place = Place::new();
    let (handle, mut writer) = place.open().expect("opens");
    place.conn().execute_batch(BREAK_COMMIT).expect("breaks it");
    queue_fact(&handle, entered(1, None, "t"));
    let lost = queue(&handle, stock("V1"));
    writer.run_thread().expect("starts");
    assert_eq!(pos(lost).await, None);
    place.conn().execute_batch("DROP TRIGGER broken").expect("mends it");
    end(handle, writer).await;
    let (handle, _writer) = place.open().expect("opens");
    assert_eq!(handle.heads().borrow().of(Lane::Presence), 1);
}

#[test]
fn a_full_disk_is_told_and_heals() {
    let place = Place::new();
    let (handle, mut writer) = Store::open(place.options()).expect("opens");
    let desk = writer.desk.as_mut().expect("does not run");
    let pages: i64 = desk.ledger.conn.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("reads");
    let limit = |desk: &Desk, pages: i64| desk.ledger.conn.execute_batch(&format!("PRAGMA max_page_count = {pages}"));
    limit(desk, pages + 1).expect("is full");

    let large = serde_json::json!({"name": "x".repeat(100_000)});
    queue_fact(&handle, entered(1, None, "t"));
    let mut told = [queue(&handle, stock("V1")), queue(&handle, person(1, &large, &serde_json::json!({})))];
    let first = desk.jobs.try_recv().ok();
    assert!(desk.transact(first).is_none());
    for told in &mut told {
        assert!(matches!(told.try_recv().expect("is answered"), Err(SubmitError::NotStored(_))));
    }
    assert_eq!((handle.heads().borrow().pos, desk.backlog.len()), (0, 1));

    limit(desk, 1_000_000).expect("is not full");
    queue_fact(&handle, moved(1));
    let first = desk.jobs.try_recv().ok();
    desk.transact(first);
    assert_eq!((handle.heads().borrow().pos, desk.backlog.len()), (2, 0));
    let kinds: Vec<String> = desk
        .ledger
        .conn
        .prepare("SELECT kind FROM log ORDER BY pos")
        .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
        .expect("reads");
    assert_eq!(kinds, ["customer.entered", "customer.moved"]);
}

/// The injected fault: SQLite may not use another page.
#[test]
fn when_sqlite_has_no_room_positions_go_and_the_next_command_is_stored() {
    let place = Place::new();
    let (handle, mut writer) = Store::open(place.options()).expect("opens");
    let desk = writer.desk.as_mut().expect("does not run");
    for n in 0..2_000 {
        desk.transact(Some(Job::Record { fact: fact(1, traced(n, 60)), dating: Dating::AsSaid }));
    }
    let pages: i64 = desk.ledger.conn.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("reads");
    desk.ledger.conn.execute_batch(&format!("PRAGMA max_page_count = {}", pages + 1)).expect("is full");
    let mut refused = 0;
    for n in 0..200 {
        let mut told = queue(&handle, stock(&format!("V{n}")));
        let job = desk.jobs.try_recv().ok();
        desk.transact(job);
        refused += usize::from(told.try_recv().expect("is answered").is_err());
    }
    assert!((1..5).contains(&refused), "{refused}");
    assert_eq!(handle.disk().borrow().failing_since, None);
    let sql = "SELECT sum(count) FROM gap WHERE reason = 'disk_full' AND lane = 2";
    let shed: i64 = desk.ledger.conn.query_row(sql, [], |row| row.get(0)).expect("reads");
    assert!(shed >= 256, "{shed}");
    assert_eq!(place.telemetry.get(Count::EventsShed), shed.unsigned_abs());
}

#[test]
fn a_backlog_gives_up_heat_before_visits() {
    let dated = |presence| DatedFact {
        fact: fact(1, presence),
        dating: Dating::AsSaid,
        now: Clock::now(&*Place::new().clock),
        shown: false,
    };
    let heat = dated(Presence::Heated(crate::domain::Heat { zones: vec![], cells: vec![] }));
    let mut backlog = Backlog::default();
    let visit = dated(moved(1));
    assert_eq!(backlog.extend([visit.clone(), heat]), 0);
    assert_eq!(backlog.extend((0..9_998).map(|_| visit.clone())), 0);
    assert_eq!(backlog.extend([visit.clone(), visit]), 2);
    let left = backlog.take();
    assert_eq!(left.len(), 10_000);
    assert!(left.iter().all(|dated| matches!(dated.fact.presence, Presence::Moved { .. })));
}
