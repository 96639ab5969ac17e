//! Batches on disk: once each, with their cursor, and forgotten when they have to be.

use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::collect::verify::tests::{event, gap, payload, verified};

const ONE: Uuid = Uuid::from_u128(1);
const TWO: Uuid = Uuid::from_u128(2);

fn site() -> SiteId {
    "hel-01".parse().expect("id")
}

fn ledger(folder: &tempfile::TempDir) -> Sqlite {
    Sqlite::open(&folder.path().join("cloud.db")).expect("opens")
}

fn batch(lane: &str, epoch: Uuid, after: u64, lines: &[serde_json::Value]) -> Batch {
    verified(&payload(lane, epoch, after, 99, lines, true)).expect("good")
}

fn texts(ledger: &Sqlite, sql: &str) -> Vec<String> {
    let mut statement = ledger.connection.prepare(sql).expect("sql");
    let rows = statement.query_map([], |row| row.get::<_, Option<String>>(0)).expect("rows");
    rows.map(|row| row.expect("row").unwrap_or_else(|| "null".into())).collect()
}

fn cursor(ledger: &Sqlite, lane: Lane) -> Cursor {
    ledger.cursors(&[site()]).expect("reads")[0][lane as usize]
}

fn store(ledger: &mut Sqlite, batch: Batch) -> Verdict {
    ledger.store(&[batch]).expect("goes on").remove(0)
}

fn stored(new: u64, doubles: u64, gaps: u64, erased: u64) -> Verdict {
    Verdict::Stored(Stored { new, doubles, gaps, erased })
}

#[test]
fn a_batch_is_stored_once_and_survives_reopening() {
    let folder = tempfile::tempdir().expect("folder");
    let first = batch("sales", ONE, 0, &[gap(1, 3), event("sales", 4, 40, "a"), event("sales", 5, 50, "b")]);
    let mut open = ledger(&folder);
    assert_eq!(cursor(&open, Lane::Sales), Cursor::default());
    assert_eq!(store(&mut open, first.clone()), stored(2, 0, 1, 0));
    assert_eq!(store(&mut open, first), stored(0, 2, 1, 0));
    drop(open);
    let again = ledger(&folder);
    assert_eq!(cursor(&again, Lane::Sales), Cursor { epoch: Some(Epoch(ONE)), after: 5 });
    assert_eq!(cursor(&again, Lane::Trace), Cursor::default());
    assert_eq!(texts(&again, "SELECT kind FROM event ORDER BY seq"), ["a", "b"]);
    assert_eq!(texts(&again, "SELECT first || '-' || last || ' ' || reason FROM gap"), ["1-3 retention"]);
}

#[test]
fn a_new_epoch_brings_only_what_is_new() {
    let folder = tempfile::tempdir().expect("folder");
    let mut ledger = ledger(&folder);
    store(&mut ledger, batch("sales", ONE, 0, &[event("sales", 1, 10, "a"), event("sales", 2, 20, "b")]));
    ledger.begin_epoch(&site(), Lane::Sales, Epoch(TWO)).expect("begins");
    assert_eq!(cursor(&ledger, Lane::Sales), Cursor { epoch: Some(Epoch(TWO)), after: 0 });
    let salvaged = batch("sales", TWO, 0, &[event("sales", 1, 20, "b"), event("sales", 2, 30, "c")]);
    assert_eq!(store(&mut ledger, salvaged), stored(1, 1, 0, 0));
    assert_eq!(texts(&ledger, "SELECT kind FROM event ORDER BY epoch, seq"), ["a", "b", "c"]);
    assert_eq!(texts(&ledger, "SELECT epoch FROM epoch ORDER BY 1"), [ONE.to_string(), TWO.to_string()]);
}

#[test]
fn a_batch_is_stored_only_where_its_lane_ends() {
    let folder = tempfile::tempdir().expect("folder");
    let mut ledger = ledger(&folder);
    store(&mut ledger, batch("sales", ONE, 0, &[event("sales", 1, 10, "a")]));
    let other = batch("sales", ONE, 0, &[event("sales", 1, 11, "x"), event("sales", 2, 12, "y")]);
    let here = Cursor { epoch: Some(Epoch(ONE)), after: 1 };
    assert_eq!(store(&mut ledger, other), Verdict::Elsewhere(here));
    let of_another = batch("sales", TWO, 1, &[event("sales", 2, 12, "y")]);
    let next = batch("sales", ONE, 1, &[event("sales", 2, 13, "b")]);
    let verdicts = ledger.store(&[of_another, next]).expect("goes on");
    assert_eq!(verdicts, [Verdict::Elsewhere(here), stored(1, 0, 0, 0)]);
    assert_eq!(texts(&ledger, "SELECT kind FROM event ORDER BY seq"), ["a", "b"]);
    assert_eq!(cursor(&ledger, Lane::Sales).after, 2);
}

#[test]
fn one_that_does_not_fit_leaves_nothing_and_harms_nobody() {
    let folder = tempfile::tempdir().expect("folder");
    let mut ledger = ledger(&folder);
    store(&mut ledger, batch("sales", ONE, 0, &[event("sales", 1, 10, "a")]));
    ledger.connection.execute("UPDATE cursor SET after = 0", []).expect("sets");
    let again = batch("sales", ONE, 0, &[event("sales", 1, 11, "x")]);
    let verdicts = ledger.store(&[again, batch("trace", ONE, 0, &[event("trace", 1, 12, "t")])]).expect("goes on");
    assert!(matches!(verdicts.as_slice(), [Verdict::Unfit(_), Verdict::Stored(_)]), "{verdicts:?}");
    assert_eq!(texts(&ledger, "SELECT kind FROM event ORDER BY kind"), ["a", "t"]);
}

/// An event of boot 1 that says 1970, `mono_s` seconds after it began.
fn undated(lane: &str, seq: u64, mono_s: i64) -> serde_json::Value {
    let mut event = event(lane, seq, 1_000 * u128::from(lane.len() as u64) + u128::from(seq), "x");
    event["clock"] = json!({"boot": ONE, "mono_ns": mono_s * 1_000_000_000, "quality": "unsynced"});
    event["at"] = json!(Timestamp::from_micros(mono_s * 1_000_000).to_string());
    event
}

/// The same box says at `mono_s` that its boot began at `offset_s`.
fn learnt(lane: &str, seq: u64, mono_s: i64, offset_s: i64) -> serde_json::Value {
    let mut event = undated(lane, seq, mono_s);
    event["kind"] = json!("clock.synced");
    event["clock"]["quality"] = json!("synced");
    event["data"] = json!({"boot": ONE, "offset_ns": offset_s * 1_000_000_000, "step_ns": 0});
    event
}

const DATES: &str =
    "SELECT coalesce(dated_us / 1000000, 'unknown') || '' FROM event WHERE kind = 'x' ORDER BY lane, seq";

#[test]
fn what_was_written_in_1970_is_dated_by_the_newest_word_in_whatever_order_the_lanes_come() {
    let presence = [undated("presence", 1, 10), learnt("presence", 2, 60, 5_000), undated("presence", 3, 70)];
    let sales = [undated("sales", 1, 20), learnt("sales", 2, 60, 5_000), learnt("sales", 3, 90, 4_400)];
    for sales_first in [true, false] {
        let folder = tempfile::tempdir().expect("folder");
        let mut ledger = ledger(&folder);
        let mut take = |lane: &str, after: u64, lines: &[serde_json::Value]| {
            store(&mut ledger, batch(lane, ONE, after, lines));
            texts(&ledger, DATES)
        };
        assert_eq!(take("presence", 0, &presence[..1]), ["unknown"]);
        if sales_first {
            assert_eq!(take("sales", 0, &sales), ["4410", "4420"], "the newest word counts for every lane");
            assert_eq!(take("presence", 1, &presence[1..]), ["4410", "4470", "4420"], "an older one comes late");
        } else {
            assert_eq!(take("presence", 1, &presence[1..]), ["5010", "5070"]);
            assert_eq!(take("sales", 0, &sales), ["4410", "4470", "4420"], "a newer one corrects what was dated");
        }
    }
}

#[test]
fn events_of_before_are_dated_when_the_database_learns_to() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("cloud.db");
    {
        let old = Connection::open(&path).expect("opens");
        old.execute_batch(MIGRATIONS[0]).expect("makes the tables");
        old.pragma_update(None, "user_version", 1).expect("sets");
        let lines = [undated("sales", 1, 20), learnt("sales", 2, 60, 5_000), learnt("sales", 3, 90, 4_400)];
        for line in &lines {
            let text = |name: &str| line[name].as_str().expect("a text").to_owned();
            let sql = "INSERT INTO event (site, lane, epoch, seq, pos, id, kind, at, body)
                       VALUES ('hel-01', 'sales', ?1, ?2, 1, ?3, ?4, ?5, ?6)";
            let values =
                params![ONE.to_string(), line["seq"].as_i64(), text("id"), text("kind"), text("at"), line.to_string()];
            old.execute(sql, values).expect("inserts");
        }
    }
    assert_eq!(texts(&ledger(&folder), DATES), ["4420"]);
}

#[test]
fn a_second_collector_is_refused() {
    let folder = tempfile::tempdir().expect("folder");
    let first = ledger(&folder);
    let refused = Sqlite::open(&folder.path().join("cloud.db")).err().expect("refused");
    assert!(matches!(refused, CollectError::InUse { .. }) && refused.exit_code() == 74);
    drop(first);
    ledger(&folder);
}

#[test]
fn an_erased_customer_leaves_nothing_personal_not_even_in_the_files() {
    let of = |mut event: serde_json::Value, name: &str| {
        event["customer"] = json!(ONE);
        event["personal"] = json!({"name": name});
        event
    };
    let folder = tempfile::tempdir().expect("folder");
    let mut ledger = ledger(&folder);
    let known = of(event("sales", 1, 10, "customer.upserted"), "Aino-Before");
    let mut erased = event("sales", 5, 50, "customer.erased");
    erased["customer"] = json!(ONE);
    let between = [event("sales", 2, 20, "x"), event("sales", 3, 30, "x"), event("sales", 4, 40, "x")];
    let lines = [&[known][..], &between, &[erased]].concat();
    store(&mut ledger, batch("sales", ONE, 0, &lines[..1]));
    assert_eq!(texts(&ledger, "SELECT personal FROM event"), [r#"{"name":"Aino-Before"}"#]);
    assert_eq!(store(&mut ledger, batch("sales", ONE, 1, &lines[1..])), stored(4, 0, 0, 1));
    // Read by the box before the erasure (pos 3 and 12, the erasure is at 15), stored after it; the last is newer.
    let late = [of(event("presence", 1, 60, "x"), "Aino-Late"), of(event("presence", 2, 70, "x"), "Aino-Late")];
    store(&mut ledger, batch("presence", ONE, 0, &late));
    store(&mut ledger, batch("sales", ONE, 5, &[of(event("sales", 6, 80, "customer.upserted"), "Aino-Back")]));
    let kept = texts(
        &ledger,
        "SELECT personal FROM event WHERE customer IS NOT NULL AND kind <> 'customer.erased' ORDER BY lane, seq",
    );
    assert_eq!(kept, ["null", "null", "null", r#"{"name":"Aino-Back"}"#]);
    drop(ledger);
    let bytes = std::fs::read(folder.path().join("cloud.db")).expect("file");
    let holds = |name: &str| bytes.windows(name.len()).any(|window| window == name.as_bytes());
    assert!(holds("Aino-Back") && !holds("Aino-Before") && !holds("Aino-Late"));
}

#[test]
fn a_newer_database_is_not_touched() {
    let folder = tempfile::tempdir().expect("folder");
    ledger(&folder).connection.pragma_update(None, "user_version", 4).expect("sets");
    let refused = Sqlite::open(&folder.path().join("cloud.db")).err().expect("refused");
    assert_eq!((refused.exit_code(), matches!(refused, CollectError::Newer { version: 4, .. })), (74, true));
    let nowhere = Sqlite::open(&folder.path().join("no/such/folder.db")).err().expect("refused");
    assert_eq!(nowhere.exit_code(), 74);
}
