//! The mounted disk under real programs: Python's SQLite, which knows nothing of it.

#![allow(clippy::expect_used, clippy::print_stderr)] // helpers of tests are tests

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::FileExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use powercut::{Answer, Fault, Kind, Mount};

const PATIENCE: Duration = Duration::from_secs(30);

/// Says aloud where it is not possible; in CI it must be.
fn mount(seed: u64) -> Option<Mount> {
    if Mount::is_possible() {
        return Some(Mount::new(seed).expect("mounted"));
    }
    assert!(std::env::var_os("SHOWFLOOR_REQUIRE_FUSE").is_none(), "root and /dev/fuse are required");
    eprintln!("skipped: mounting needs root and /dev/fuse");
    None
}

/// Inserts 1, 2, 3 … each in a transaction of its own, and says each number when it is committed.
const WRITER: &str = "
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute('PRAGMA journal_mode=WAL'); db.execute('PRAGMA synchronous=' + sys.argv[2])
db.execute('CREATE TABLE IF NOT EXISTS t (n INTEGER PRIMARY KEY, filler TEXT)')
n = db.execute('SELECT coalesce(max(n), 0) FROM t').fetchone()[0]
while True:
    n += 1
    db.execute('INSERT INTO t VALUES (?, ?)', (n, 'x' * 300))
    print(n, flush=True)
    if n % 40 == 0: db.execute('PRAGMA wal_checkpoint(TRUNCATE)')
";

const READER: &str = "
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
assert db.execute('PRAGMA integrity_check').fetchone()[0] == 'ok'
tables = db.execute('SELECT count(*) FROM sqlite_schema').fetchone()[0]
rows = [n for n, in db.execute('SELECT n FROM t ORDER BY n')] if tables else []
assert rows == list(range(1, len(rows) + 1)), rows
print(len(rows))
";

fn python(script: &str, file: &Path, mode: &str) -> Command {
    let mut command = Command::new("python3");
    command.args(["-c", script]).arg(file).arg(mode);
    command
}

fn writer(disk: &Mount, mode: &str) -> Child {
    let mut command = python(WRITER, &disk.path().join("t.sqlite"), mode);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("python3")
}

/// What the writer said before it died.
fn promised(child: &mut Child) -> u64 {
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    lines.map_while(Result::ok).filter_map(|line| line.parse().ok()).last().unwrap_or(0)
}

fn rows(disk: &Mount) -> u64 {
    let out = python(READER, &disk.path().join("t.sqlite"), "").output().expect("python3");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).trim().parse().expect("a number")
}

/// How many of these cuts lost something that was promised.
fn losses(disk: &mut Mount, cuts: u64, mode: &str) -> u64 {
    let mut rng = fastrand::Rng::with_seed(5);
    let mut lost = 0;
    for _ in 0..cuts {
        let mut child = writer(disk, mode);
        disk.cut_at(rng.u64(40..400));
        assert!(disk.wait_for_cut(PATIENCE), "the writer works");
        disk.cut(&mut [&mut child]).expect("cut");
        lost += u64::from(rows(disk) < promised(&mut child));
    }
    lost
}

#[test]
fn sqlite_in_full_mode_loses_nothing() {
    let Some(mut disk) = mount(1) else { return };
    assert_eq!(losses(&mut disk, 15, "FULL"), 0);
}

#[test]
fn sqlite_in_normal_mode_and_on_a_disk_that_lies_loses_what_it_promised() {
    let Some(mut disk) = mount(2) else { return };
    assert!(losses(&mut disk, 8, "NORMAL") > 0);
    let Some(mut disk) = mount(3) else { return };
    disk.fault(Fault::new(Answer::Lie).on(Kind::Sync).of("-wal"));
    let mut child = writer(&disk, "FULL");
    disk.cut_at(150);
    assert!(disk.wait_for_cut(PATIENCE));
    disk.cut(&mut [&mut child]).expect("cut");
    assert!(rows(&disk) < promised(&mut child));
}

#[test]
fn ordered_operations_fail_and_others_do_not() {
    let Some(mut disk) = mount(4) else { return };
    let path = disk.path().join("a");
    let file = fs::File::create(&path).expect("made");
    disk.fail_at(2, libc::EIO);
    file.write_all_at(b"one", 0).expect("the first is well");
    assert_eq!(file.write_all_at(b"two", 3).expect_err("ordered").raw_os_error(), Some(libc::EIO));
    file.write_all_at(b"two", 3).expect("only that one");
    disk.fault(Fault::new(Answer::Error(libc::ENOSPC)).on(Kind::Sync).of("a").times(1));
    assert_eq!(file.sync_all().expect_err("ordered").raw_os_error(), Some(libc::ENOSPC));
    disk.short_at(1, 2);
    assert_eq!(file.write_at(b"three", 6).expect("short"), 2);
    disk.fail_from(1, libc::EROFS);
    assert!(fs::File::create(disk.path().join("b")).is_err());
    disk.heal();
    file.sync_all().expect("healed");
    drop(file);
    assert_eq!(
        disk.live().find(Path::new("a")).and_then(|ino| disk.live().bytes(ino).cloned()),
        Some(b"onetwoth".to_vec())
    );
    disk.cut(&mut []).expect("cut");
}

#[test]
fn a_disk_with_an_end_is_full_at_it_and_has_room_again() {
    let Some(mut disk) = mount(6) else { return };
    disk.set_capacity(Some(64 << 10));
    let path = disk.path().join("a");
    let mut file = fs::File::create(&path).expect("made");
    let error = file.write_all(&vec![1; 128 << 10]).expect_err("full");
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    drop(file);
    fs::remove_file(&path).expect("removed");
    fs::write(&path, vec![1; 32 << 10]).expect("room again");
}

#[test]
fn after_a_cut_nobody_is_answered_and_the_files_are_those_that_were_synced() {
    let Some(mut disk) = mount(7) else { return };
    let script = "set -e; cd $0; mkdir d; echo kept > d/a; sync d/a d .; while true; do echo lost > d/b; rm d/b; done";
    let mut child = Command::new("sh").args(["-c", script]).arg(disk.path()).spawn().expect("sh");
    disk.cut_at(60);
    assert!(disk.wait_for_cut(PATIENCE));
    let frozen = disk.operations();
    assert!(child.try_wait().expect("a child").is_none(), "it hangs");
    assert_eq!(disk.operations(), frozen);
    let cut = disk.cut(&mut [&mut child]).expect("cut");
    assert_eq!(cut.operations.len() as u64, frozen);
    assert_eq!(fs::read_to_string(disk.path().join("d/a")).expect("there"), "kept\n");
    assert_eq!(powercut::survivors(&cut.disk, cut.seed).0, cut.survived, "decided by the seed alone");
}
