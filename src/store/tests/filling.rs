//! Disks and limits that fill up.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command as Program, Stdio},
    time::Duration,
};

use crate::{
    domain::{GapReason, Lane, LaneItem, Presence},
    showroom::Dating,
    store::{
        LaneQuery, StorageOptions, SubmitError,
        room::WAL_BYTES,
        testing::{Place, Running, dump, entered, fact, moved, rebuilt, stock, traced},
    },
};

const MIB: u64 = 1 << 20;

async fn record(store: &Running, presence: Presence) {
    store.handle.record(fact(5, presence), Dating::Ago(Duration::ZERO)).await.expect("is open");
}

/// Events, and numbers in gaps of shedding.
async fn shed(store: &Running, lane: Lane) -> (usize, u64) {
    let (mut events, mut shed, mut after) = (0, 0, 0);
    loop {
        let query = LaneQuery { lane, after, max_items: 1_000, max_bytes: usize::MAX };
        let page = store.handle.reader().lane_page(query).await.expect("reads");
        let Some(last) = page.last() else { return (events, shed) };
        for item in &page {
            match item {
                LaneItem::Event(event) => {
                    assert_eq!(event.seq, after + 1);
                    events += 1;
                }
                LaneItem::Gap(gap) => {
                    assert_eq!((gap.from, gap.reason), (after + 1, GapReason::DiskFull));
                    shed += gap.count;
                }
            }
            after = item.last_seq();
        }
        assert_eq!(after, last.last_seq());
    }
}

#[tokio::test]
async fn beyond_the_limit_positions_go_first_then_visits_and_never_business() {
    let mut place = Place::new();
    let limit = WAL_BYTES + 2 * MIB;
    place.storage = StorageOptions { limit_bytes: limit, ..place.storage };
    let store = place.run();
    for n in 0..2_000 {
        record(&store, entered(n, None, "t")).await;
        record(&store, traced(n, 60)).await;
        record(&store, traced(n, 60)).await;
        if n % 40 == 0 {
            store.done(stock(&format!("V{n}"))).await;
        }
    }
    store.done(stock("last")).await;
    let (left, gone) = shed(&store, Lane::Trace).await;
    assert_eq!(left as u64 + gone, 4_000);
    assert!(gone > 1_000 && left > 256, "{gone} of {left} went: oldest first, and no more than had to");
    assert_eq!(shed(&store, Lane::Presence).await, (2_000, 0), "as long as there are positions, visits stay");
    for n in 2_000..7_000 {
        record(&store, entered(n, None, "t")).await;
        record(&store, moved(n)).await;
    }
    store.done(stock("very-last")).await;
    let (left, gone) = shed(&store, Lane::Presence).await;
    assert_eq!(left as u64 + gone, 12_000);
    assert!(gone > 500, "{gone}");
    assert_eq!(shed(&store, Lane::Sales).await, (52, 0));
    assert!(place.telemetry.get(crate::telemetry::Count::EventsShed) > 1_500);
    // One more transaction of a thousand may come before the step that makes up for it.
    let bytes = store.handle.reader().bytes().await.expect("measures");
    assert!(bytes < limit + MIB, "{bytes} of {limit}");
    store.close().await;
    let mut conn = place.conn();
    let gaps: i64 = conn.query_row("SELECT count(*) FROM gap", [], |row| row.get(0)).expect("reads");
    assert_eq!(gaps, 2, "each lane's is one");
    assert_eq!(dump(&conn), rebuilt(&mut conn));
}

/// A file system of its own, gone with this.
struct SmallDisk {
    dir: tempfile::TempDir,
}

impl SmallDisk {
    /// ext4 on a loop device, or memory where there are none; `None`, said aloud, where nothing may be mounted.
    fn new(mib: u64) -> Option<Self> {
        let dir = tempfile::tempdir().expect("a directory");
        let (image, root) = (dir.path().join("image"), dir.path().join("disk"));
        fs::create_dir(&root).expect("a directory");
        fs::File::create(&image).and_then(|file| file.set_len(mib * MIB)).expect("an image");
        let runs = |program: &mut Program| {
            program.stderr(Stdio::null()).stdout(Stdio::null()).status().is_ok_and(|status| status.success())
        };
        let ext4 = runs(Program::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image))
            && runs(Program::new("mount").args(["-o", "loop"]).arg(&image).arg(&root));
        let size = format!("size={mib}m");
        if ext4 || runs(Program::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&root)) {
            return Some(Self { dir });
        }
        eprintln!("skipped: file systems cannot be mounted here");
        None
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("disk")
    }

    /// Takes everything that is free but `spare` bytes.
    fn fill(&self, spare: u64) {
        let mut ballast = fs::File::options().create(true).append(true).open(self.ballast()).expect("opens");
        let mut left = super::super::room::available(&self.root()).saturating_sub(spare);
        let chunk = vec![1; 4_096];
        while left > 0 && ballast.write_all(&chunk[..left.min(4_096) as usize]).is_ok() {
            left = left.saturating_sub(4_096);
        }
        let _ = ballast.sync_all();
    }

    fn ballast(&self) -> PathBuf {
        self.root().join("ballast")
    }

    fn empty(&self) {
        fs::remove_file(self.ballast()).expect("is there");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Program::new("umount").arg("-l").arg(self.root()).status();
    }
}

/// A store on a disk of 64 MiB with a reserve of 4.
fn small() -> Option<(SmallDisk, Place)> {
    let disk = SmallDisk::new(64)?;
    let mut place = Place::new();
    place.storage = StorageOptions { reserve_bytes: 4 * MIB, ..place.storage };
    place.elsewhere = Some(disk.root().join("data"));
    Some((disk, place))
}

fn has_reserve(place: &Place) -> bool {
    place.data().join("showfloor.reserve").exists()
}

#[tokio::test]
async fn on_a_disk_that_others_fill_positions_give_way_before_anybody_is_refused() {
    let Some((disk, place)) = small() else { return };
    let store = place.run();
    for n in 0..6_000 {
        record(&store, traced(n, 60)).await;
    }
    store.done(stock("first")).await;
    assert_eq!(shed(&store, Lane::Trace).await, (6_000, 0));
    disk.fill(7 * MIB);
    place.clock.set(|now| now.mono_ns += 2_000_000_000);
    for n in 0..200 {
        store.done(stock(&format!("V{n}"))).await;
    }
    let (left, gone) = shed(&store, Lane::Trace).await;
    assert_eq!(left as u64 + gone, 6_000);
    assert!(gone > 1_000 && left > 0, "{gone} of {left}");
    assert!(has_reserve(&place), "it was not needed");
    // All at once, there is not always time to make room before.
    disk.fill(0);
    let mut refused = 0;
    for n in 0..200 {
        refused += u32::from(store.submit(stock(&format!("W{n}"))).await.is_err());
    }
    assert!(refused < 5, "{refused}");
    store.close().await;
    let mut conn = place.conn();
    assert_eq!(dump(&conn), rebuilt(&mut conn));
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what} did not happen");
}

#[tokio::test]
async fn a_full_disk_refuses_business_keeps_facts_and_heals_by_itself() {
    let Some((disk, place)) = small() else { return };
    let store = place.run();
    store.done(stock("first")).await;
    assert!(has_reserve(&place));
    let (mut stored, mut refused) = (vec!["first".to_owned()], 0);
    disk.fill(0);
    let mut unstored = store.handle.unstored();
    for n in 0..60_000 {
        disk.fill(0);
        let id = format!("V{n}");
        match store.submit(stock(&id)).await {
            Ok(_) => stored.push(id),
            Err(SubmitError::NotStored(_)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
        if refused > 3 {
            break;
        }
    }
    assert!(refused > 3, "{} were stored", stored.len());
    assert!(!has_reserve(&place), "given up");
    assert!(store.handle.disk().borrow().failing_since.is_some());
    record(&store, entered(1, None, "t")).await;
    record(&store, traced(1, 60)).await;
    let shown = unstored.recv().await.expect("is shown");
    assert_eq!((shown.event.body.kind(), shown.event.pos), ("customer.entered", 0));
    assert_eq!(store.handle.heads().borrow().of(Lane::Presence), 0);

    disk.empty();
    until("healing", || store.handle.disk().borrow().failing_since.is_none()).await;
    until("the facts", || store.handle.heads().borrow().lanes[1..] == [1, 1]).await;
    assert!(unstored.try_recv().is_err(), "shown once");
    place.clock.set(|now| now.mono_ns += 120_000_000_000);
    store.done(stock("last")).await;
    stored.push("last".to_owned());
    assert!(has_reserve(&place), "and made again");
    let picture = store.handle.reader().picture().await.expect("reads");
    let mut cars: Vec<_> = picture.vehicles.iter().map(|car| car.id.to_string()).collect();
    cars.sort();
    stored.sort();
    assert_eq!(cars, stored, "what was acknowledged is there, what was refused is not");
    store.close().await;
}

#[tokio::test]
async fn a_store_opens_on_a_disk_that_is_full() {
    let Some((disk, place)) = small() else { return };
    let store = place.run();
    for n in 0..3_000 {
        record(&store, traced(n, 60)).await;
    }
    store.done(stock("V1")).await;
    store.close().await;
    disk.fill(0);
    assert!(has_reserve(&place));
    let store = place.run();
    assert!(!has_reserve(&place), "given up to open");
    for n in 0..50 {
        store.done(stock(&format!("W{n}"))).await;
    }
    assert!(shed(&store, Lane::Trace).await.1 > 0);
    store.close().await;
}

#[tokio::test]
async fn a_reserve_that_cannot_be_made_is_no_hindrance() {
    let mut place = Place::new();
    place.storage = StorageOptions { reserve_bytes: 1 << 60, limit_bytes: u64::MAX, ..place.storage };
    let store = place.run();
    store.done(stock("V1")).await;
    store.close().await;
    assert!(!has_reserve(&place));
}
