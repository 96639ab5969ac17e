//! Power cuts and kills at random, some of them; and the proof that they would find what they look for. `make powercut`
//! and `make kills` do the same for as long as one likes.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use ::powercut::{
    Answer, Fault, Kind, Mount,
    harness::{Setup, Summary, cuts, kills},
};
use serde_json::{Value, json};

use crate::{
    support::{Broker, SITE, Showroom, get},
    tablet::Tablet,
};

/// Says aloud where it is not possible; in CI it must be.
fn is_possible() -> bool {
    let possible = Mount::is_possible();
    assert!(possible || std::env::var_os("SHOWFLOOR_REQUIRE_FUSE").is_none(), "root and /dev/fuse are required");
    if !possible {
        eprintln!("skipped: cutting the power needs root and /dev/fuse");
    }
    possible
}

fn setup(binary: &str, seed: u64, keep: &Path) -> Setup {
    Setup { binary: PathBuf::from(binary), seed, cuts: 10, fault: None, keep: keep.to_owned() }
}

/// Databases of three cuts each until something is lost; what was wrong then. One that only noticed that it had gone back,
/// and could salvage all of it, is passed over.
fn losses(setup: &Setup) -> Vec<String> {
    let found = |summary: Summary| summary.failures.into_iter().flat_map(|failed| failed.problems);
    (0..20)
        .map(|seed| Setup { seed, cuts: 3, ..setup.clone() })
        .map(|setup| found(cuts(&setup, 6, |_| ()).expect("the harness works")).collect::<Vec<_>>())
        .find(|problems| problems.iter().any(|problem| problem.starts_with("LOST: ")))
        .unwrap_or_default()
}

#[test]
fn fifty_power_cuts_lose_nothing() {
    if !is_possible() {
        return;
    }
    let keep = Path::new(env!("CARGO_TARGET_TMPDIR")).join("powercut");
    let summary = cuts(&setup(env!("CARGO_BIN_EXE_showfloor"), 1, &keep), 50, |_| ()).expect("the harness works");
    assert!(summary.failures.is_empty(), "{summary}");
    let worked = summary.promises > 200 && summary.unsynced > 200 && summary.events.iter().all(|events| *events > 0);
    assert!(summary.cuts >= 50 && worked, "there was something to lose: {summary}");
}

/// The shipped program with one word of it changed: `synchronous=NORMAL`, which does not sync at each commit.
#[test]
fn a_program_that_does_not_sync_its_commits_is_found_out() {
    const FULL: &[u8] = b"PRAGMA synchronous = FULL;";
    const NORMAL: &[u8] = b"PRAGMA synchronous=NORMAL;";
    if !is_possible() {
        return;
    }
    let dir = tempfile::TempDir::new().expect("a directory");
    let mut bytes = fs::read(env!("CARGO_BIN_EXE_showfloor")).expect("the program");
    let places: Vec<usize> =
        bytes.windows(FULL.len()).enumerate().filter(|(_, text)| *text == FULL).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "the program says how it syncs");
    for at in places {
        bytes[at..at + NORMAL.len()].copy_from_slice(NORMAL);
    }
    let program = dir.path().join("showfloor");
    fs::write(&program, bytes).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("made to run");
    let problems = losses(&setup(program.to_str().expect("text"), 0, dir.path()));
    assert!(!problems.is_empty(), "nothing was lost");
}

/// What a program does that answers and commits afterwards: the sync is answered at once and done some writes later.
#[test]
fn a_program_that_answers_before_its_commit_is_on_disk_is_found_out() {
    if !is_possible() {
        return;
    }
    let dir = tempfile::TempDir::new().expect("a directory");
    let late = Fault::new(Answer::Late(60)).on(Kind::Sync).of("showfloor.sqlite-wal");
    let setup = Setup { fault: Some(late), ..setup(env!("CARGO_BIN_EXE_showfloor"), 0, dir.path()) };
    let problems = losses(&setup);
    assert!(!problems.is_empty(), "nothing was lost");
}

#[test]
fn kills_of_the_daemon_the_collector_and_the_broker_lose_and_double_nothing() {
    let killed = kills(Path::new(env!("CARGO_BIN_EXE_showfloor")), 1, 10).expect("the harness works");
    assert!(killed.problems.is_empty(), "{killed}");
    assert!(killed.promises > 50 && killed.daemon > 0 && killed.collector > 0 && killed.broker > 0, "{killed}");
}

/// At each of the operations of a commit, in turn, the disk is full, ill, or takes a part only.
#[test]
fn a_disk_that_fails_at_any_operation_of_a_commit_loses_no_promise_and_heals() {
    if !is_possible() {
        return;
    }
    let disk = Mount::new(1).expect("mounted");
    let broker = Broker::start();
    let mut showroom = Showroom::new("hel-01", SITE, broker.port);
    let data = disk.path().join("data");
    let config = fs::read_to_string(showroom.config()).expect("read");
    let moved = config.replace("dir = \"data\"", &format!("dir = \"{}\"", data.display()));
    fs::write(showroom.config(), moved).expect("written");
    showroom.start();
    let kiosk = Tablet::connect(showroom.http, &showroom.token("kiosk", "K1"), "");
    kiosk.hear("INITIAL_STATE");
    assert_eq!(kiosk.ask("SESSION_START", "s", &json!({}))["type"], "ACK");
    let faults = [Answer::Error(libc::ENOSPC), Answer::Error(libc::EIO), Answer::Short(7)];
    let mut promised = Vec::new();
    for (n, (fault, nth)) in faults.into_iter().flat_map(|fault| (1..=12).map(move |nth| (fault, nth))).enumerate() {
        disk.fault(Fault::new(fault).from(nth));
        let ill = kiosk.ask("KIOSK_CALL", &format!("ill-{n}"), &json!({}));
        disk.heal();
        // It heals by itself; until then it says so, and a refusal may be asked again.
        let well = (0..).map(|again| kiosk.ask("KIOSK_CALL", &format!("well-{n}-{again}"), &json!({})));
        let well = well.take(40).find(|answer| answer["type"] == "ACK").expect("heals");
        promised.extend([ill, well].into_iter().filter(|answer| answer["type"] == "ACK"));
    }
    let service = showroom.token("service", "probe");
    let events = get(showroom.http, "/api/v1/events?limit=1000", Some(&service)).1;
    let events: Value = serde_json::from_str(&events).expect("JSON");
    let called = |pos: &Value| {
        let events = events["events"].as_array().expect("events");
        events.iter().any(|event| event["pos"] == *pos && event["kind"] == "kiosk.called")
    };
    assert!(promised.len() >= 36 && promised.iter().all(|ack| called(&ack["payload"]["pos"])), "{promised:?}");
    assert_eq!(showroom.stop(), 0);
    let config = showroom.config();
    let out = Showroom::cli(&["check", "--store", "--config", config.to_str().expect("text")]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}
