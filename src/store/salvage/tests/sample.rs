//! A database to break: its files as a crash leaves them, and what was promised about it.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::json;

use crate::{
    domain::{Epoch, Event, Heat, Lane, LaneItem, Origin, Presence, Revealed, Timestamp, Trace},
    showroom::{Dating, KioskCommand},
    store::{
        LaneQuery, StoreHandle,
        testing::{
            Place, Running, assign, dump, entered, erase, exited, fact, kiosk, moved, person, rebuilt, stock, visit_id,
        },
    },
};

/// A store that was given something of everything, and is open.
pub(super) async fn filled(place: &Place) -> Running {
    let store = place.run();
    for n in 0..40 {
        store.done(stock(&format!("V{n}"))).await;
    }
    for n in 1..5 {
        // One of them takes more than a page.
        let name = if n == 3 { "Long ".repeat(2_000) } else { format!("Person {n}") };
        store.done(person(n, &json!({"name": name, "phone": format!("040{n}")}), &json!({"age": "30s"}))).await;
        store.done(assign(&format!("ibeacon:u:1:{n}"), n)).await;
    }
    store.done(erase(4)).await;
    let session = store.keyed("session", kiosk(KioskCommand::StartSession)).await.expect("is done");
    store.keyed("call", kiosk(KioskCommand::Call)).await.expect("is done");
    assert!(session.pos > 0);
    for n in 0..60 {
        let at = 1_000_000 * i64::from(n as u32);
        let facts = [entered(n, None, &format!("ibeacon:u:9:{n}")), moved(n), trace(n)];
        for presence in facts.into_iter().chain((n < 55).then(|| exited(n))) {
            store.handle.record(fact(at, presence), Dating::AsSaid).await.expect("is open");
        }
    }
    let heat = Heat { zones: vec![], cells: (0..40).map(|n| (n, n, 1.5)).collect() };
    store.handle.record(fact(5, Presence::Heated(heat)), Dating::AsSaid).await.expect("is open");
    store.done(stock("last")).await;
    store
}

fn trace(n: u128) -> Presence {
    let steps = || (0..60).collect();
    let t0 = Timestamp::UNIX_EPOCH;
    Presence::Traced { visit: visit_id(n), trace: Trace { t0, step_ms: 1_000, x_cm: steps(), y_cm: steps() } }
}

pub(super) async fn lane(handle: &StoreHandle, lane: Lane) -> Vec<LaneItem> {
    let query = LaneQuery { lane, after: 0, max_items: 100_000, max_bytes: usize::MAX };
    handle.reader().lane_page(query).await.expect("reads")
}

/// What a database held, to be compared with what a salvage made of it.
pub(super) struct Held {
    pub(super) epoch: Epoch,
    pub(super) events: BTreeMap<(Lane, u64), Event>,
    heads: [u64; 3],
    pub(super) pos: u64,
}

impl Held {
    pub(super) async fn read(handle: &StoreHandle) -> Self {
        let mut events = BTreeMap::new();
        for of in Lane::ALL {
            for item in lane(handle, of).await {
                let LaneItem::Event(event) = item else { panic!("{item:?}") };
                events.insert((of, event.seq), *event);
            }
        }
        let heads = *handle.heads().borrow();
        Self { epoch: handle.epoch(), events, heads: heads.lanes, pos: heads.pos }
    }

    /// Every number is an event as it was, with its origin, or inside a gap; returns how many events are lost.
    pub(super) async fn check(&self, handle: &StoreHandle) -> u64 {
        let salvaged = handle.epoch() != self.epoch;
        let origin = |seq| salvaged.then_some(Origin { epoch: self.epoch, seq });
        let mut lost = 0;
        for of in Lane::ALL {
            let mut next = 1;
            for item in lane(handle, of).await {
                match item {
                    LaneItem::Gap(gap) => {
                        assert_eq!(gap.from, next, "{of:?}");
                        lost += gap.count;
                        next = gap.to + 1;
                    }
                    LaneItem::Event(event) => {
                        assert_eq!(event.seq, next, "{of:?}");
                        next += 1;
                        let Some(was) = self.events.get(&(of, event.seq)) else {
                            assert_eq!(event.origin, None, "a new one: {event:?}");
                            continue;
                        };
                        // Where its key is lost, a personal part reads as if erased; never as anything else.
                        let known =
                            if event.personal == Revealed::Erased { Revealed::Erased } else { was.personal.clone() };
                        let expected = Event { origin: origin(event.seq), personal: known, ..was.clone() };
                        assert_eq!(*event, expected);
                    }
                }
            }
            assert!(next > handle.heads().borrow().of(of), "{of:?} is accounted for up to its head");
        }
        lost
    }

    /// Nothing is lost, of anything.
    pub(super) async fn check_whole(&self, handle: &StoreHandle) {
        assert_eq!(self.check(handle).await, 0);
        for event in self.events.values() {
            let now = lane(handle, event.lane).await;
            let now = now.iter().find_map(|item| match item {
                LaneItem::Event(now) if now.seq == event.seq => Some(now.personal.clone()),
                _ => None,
            });
            assert_eq!(now.as_ref(), Some(&event.personal));
        }
        assert_eq!(handle.heads().borrow().lanes, self.heads);
    }
}

/// A copy of the data directory as it is at this moment: with a write-ahead log, as after a `kill -9`.
pub(super) fn crashed(from: &Place) -> Place {
    let place = Place::new();
    copy(&from.dir.path().join("data"), &place.dir.path().join("data"));
    place
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("makes a directory");
    for entry in fs::read_dir(from).expect("lists") {
        let path = entry.expect("entry").path();
        fs::copy(&path, to.join(path.file_name().expect("has a name"))).expect("copies");
    }
}

/// After a salvage: the tables follow from the log, and writing goes on where it ended.
pub(super) async fn check_lives(place: &Place, store: Running) {
    let before = *store.handle.heads().borrow();
    assert_eq!(store.done(stock("after")).await, before.pos + 1);
    assert_eq!(store.handle.heads().borrow().of(Lane::Sales), before.of(Lane::Sales) + 1);
    store.close().await;
    let mut conn = place.conn();
    assert_eq!(dump(&conn), rebuilt(&mut conn));
    let found: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("checks");
    assert_eq!(found, "ok");
}

/// Numbers that look random and are the same each time.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn roll(&mut self, below: u64) -> u64 {
        // Knuth's MMIX generator; its high bits are good enough to break things at.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}
