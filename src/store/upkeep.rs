//! What is done beside each group of jobs, in its transaction and in bounded steps: old events go that everybody has; when
//! the limit is passed or the disk is nearly full, the oldest of `trace` go, then of `presence`, never of `sales`; free
//! pages go back to the file system; growth is measured.
//!
//! A step is as many events as came with the group, doubled, so that going keeps up with coming and holds nobody up.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{
    Heads,
    error::DbError,
    forecast::{self, LaneLoad},
    growth::Uptime,
    removal,
    reserve::Reserve,
    retention,
    room::{Limits, Room},
    rows::{count, lane_int},
    storage::{DiskState, StorageOptions},
};
use crate::domain::{ConsumerId, GapReason, Lane, Stamp};

/// Events that may go in one step, at least.
const STEP: u64 = 256;
/// Pages given back in one step.
const PAGES: u64 = 64;
/// The disk is looked at when so much was written since, or so long ago.
const LOOK_EVENTS: u64 = 64;
const LOOK_NS: i64 = 1_000_000_000;
/// Retention and measuring.
const EVERY_NS: i64 = 60_000_000_000;
const SHEDDABLE: [Lane; 2] = [Lane::Trace, Lane::Presence];

/// Events that went in a step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Gone {
    /// Everybody had them.
    pub(super) retired: u64,
    /// There was no room.
    pub(super) shed: u64,
}

/// The housekeeper of one open file.
pub(super) struct Upkeep {
    dir: PathBuf,
    options: StorageOptions,
    consumers: Vec<ConsumerId>,
    limits: Limits,
    reserve: Reserve,
    uptime: Uptime,
    grown: [u64; 3],
    room: Room,
    events: u64,
    looked_at: Option<i64>,
    due_at: Option<i64>,
    kept_at: Option<i64>,
    remake_at: i64,
    days_left: Option<f64>,
    shedding: bool,
}

impl Upkeep {
    /// Looks at the file and the disk, and makes the reserve if there is room for it.
    pub(super) fn open(
        dir: &Path,
        options: StorageOptions,
        consumers: Vec<ConsumerId>,
        conn: &Connection,
        now: &Stamp,
    ) -> Result<Self, DbError> {
        let mut upkeep = Self {
            dir: dir.to_owned(),
            limits: Limits::new(options.limit_bytes, options.reserve_bytes),
            reserve: Reserve::of(dir, options.reserve_bytes),
            uptime: Uptime::read(conn, now)?,
            grown: [0; 3],
            room: Room::measure(conn, dir)?,
            events: 0,
            looked_at: None,
            due_at: None,
            kept_at: None,
            remake_at: i64::MIN,
            days_left: None,
            shedding: false,
            options,
            consumers,
        };
        upkeep.uptime.advance(now);
        // A full disk does not keep the store from opening.
        if let Err(cause) = upkeep.uptime.keep(conn, [0; 3]) {
            tracing::warn!("nothing can be written at the start: {cause}");
        }
        upkeep.days_left = upkeep.foretell(conn, super::ledger::read_heads(conn)?)?;
        upkeep.remake_reserve(now);
        Ok(upkeep)
    }

    /// One step, in the open transaction, after `events` were written in it that took `bytes` in each lane. `probe` has
    /// something written in any case, to see whether the disk takes it.
    pub(super) fn work(
        &mut self,
        conn: &Connection,
        heads: Heads,
        now: &Stamp,
        (events, bytes): (u64, [u64; 3]),
        probe: bool,
    ) -> Result<Gone, DbError> {
        self.uptime.advance(now);
        self.events += events;
        self.grown.iter_mut().zip(bytes).for_each(|(grown, bytes)| *grown += bytes);
        let mut gone = Gone::default();
        let step = STEP.max(2 * events);
        if self.look(conn, now)? {
            self.shedding = self.limits.presses(&self.room, self.shedding);
            if self.shedding {
                gone.shed = self.shed(conn, heads.pos, step, now)?;
            }
        }
        let surplus = Limits::surplus(&self.room, PAGES);
        if surplus > 0 {
            conn.execute_batch(&format!("PRAGMA incremental_vacuum({surplus})"))?;
            (self.room.free, self.room.pages) = (self.room.free - surplus, self.room.pages - surplus);
        }
        if is_due(self.due_at, EVERY_NS, now) {
            // Should it fail, it is not tried again with each commit.
            self.due_at = Some(now.mono_ns);
            gone.retired = self.retire(conn, heads.pos, step, now)?;
            self.events += gone.retired;
            if gone.retired >= step {
                self.due_at = None;
            }
        }
        if probe || (events > 0 && (self.uptime.is_news() || is_due(self.kept_at, EVERY_NS, now))) {
            self.kept_at = Some(now.mono_ns);
            self.uptime.keep(conn, std::mem::take(&mut self.grown))?;
            self.days_left = self.foretell(conn, heads)?;
        }
        Ok(gone)
    }

    /// Measures, when there is reason to; whether it did.
    fn look(&mut self, conn: &Connection, now: &Stamp) -> Result<bool, DbError> {
        if !self.shedding && self.events < LOOK_EVENTS && !is_due(self.looked_at, LOOK_NS, now) {
            return Ok(false);
        }
        (self.events, self.looked_at) = (0, Some(now.mono_ns));
        self.room = Room::measure(conn, &self.dir)?;
        Ok(true)
    }

    /// Takes up to `events` of the oldest that may be shed.
    pub(super) fn shed(&self, conn: &Connection, head: u64, events: u64, now: &Stamp) -> Result<u64, DbError> {
        let before = head.saturating_sub(self.options.tail);
        for lane in SHEDDABLE {
            if let Some(upto) = removal::front(conn, lane, events, before)? {
                return removal::remove(conn, lane, upto, GapReason::DiskFull, now.wall);
            }
        }
        Ok(0)
    }

    fn retire(&self, conn: &Connection, head: u64, events: u64, now: &Stamp) -> Result<u64, DbError> {
        let policy = retention::Policy { storage: &self.options, consumers: &self.consumers };
        let before = head.saturating_sub(self.options.tail);
        let mut most = 0;
        for lane in Lane::ALL {
            let time = (now, self.wall_us(now));
            most = most.max(retention::step(conn, &policy, lane, events, before, time)?);
        }
        Ok(most)
    }

    /// Whether there is too little room, as of now.
    pub(super) fn is_pressed(&mut self, conn: &Connection) -> bool {
        match Room::measure(conn, &self.dir) {
            Ok(room) => {
                self.room = room;
                self.limits.presses(&room, true)
            }
            // A disk that cannot even be asked is not helped by shedding.
            Err(_) => false,
        }
    }

    /// What the wall clock may be believed to say, microseconds.
    pub(super) fn wall_us(&self, now: &Stamp) -> Option<i64> {
        self.uptime.wall_us(now)
    }

    /// Something was acknowledged: it may go now.
    pub(super) fn hurry(&mut self) {
        self.due_at = None;
    }

    /// Gives the blocks of the reserve to whoever needs them now; whether there were any.
    pub(super) fn give_up_reserve(&mut self, now: &Stamp) -> bool {
        self.remake_at = now.mono_ns.saturating_add(LOOK_NS);
        self.reserve.give_up().unwrap_or_else(|cause| {
            tracing::error!("the reserve of the disk could not be given up: {cause}");
            false
        })
    }

    /// Makes the reserve again, if it is gone and there is room for it and more.
    pub(super) fn remake_reserve(&mut self, now: &Stamp) {
        let needs = self.reserve.bytes().saturating_add(3 * super::room::SCARCE);
        if self.reserve.is_held() || now.mono_ns < self.remake_at || self.room.available < needs {
            return;
        }
        self.remake_at = now.mono_ns.saturating_add(EVERY_NS);
        if let Err(cause) = self.reserve.make() {
            tracing::warn!("the reserve of the disk could not be made: {cause}; it is tried again");
        }
    }

    /// Writes what was measured since it was written last.
    pub(super) fn close(&mut self, conn: &Connection) -> Result<(), DbError> {
        self.uptime.keep(conn, std::mem::take(&mut self.grown))
    }

    /// What there is to say of the disk, when nothing fails.
    pub(super) fn state(&self) -> DiskState {
        DiskState {
            limit: self.options.limit_bytes,
            days_left: self.days_left,
            shedding: self.shedding,
            failing_since: None,
        }
    }

    /// Bytes of the database file, as last measured.
    pub(super) fn file_bytes(&self) -> u64 {
        self.room.pages * self.room.page
    }

    fn foretell(&self, conn: &Connection, heads: Heads) -> Result<Option<f64>, DbError> {
        let Some(rates) = self.uptime.rates(conn)? else { return Ok(None) };
        let mut loads = [LaneLoad::default(); 3];
        for lane in Lane::ALL {
            let sql = "SELECT events, bytes FROM lane WHERE lane = ?1";
            let (events, bytes): (i64, i64) =
                conn.prepare_cached(sql)?.query_row([lane_int(lane)], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let gone = heads.of(lane).saturating_sub(count(events));
            let acked = retention::acknowledged(conn, &self.consumers, lane)?.saturating_sub(gone).min(count(events));
            let share = if events > 0 { acked as f64 / events as f64 } else { 0.0 };
            let keep_days = self.options.keep_of(lane).as_secs_f64() / 86_400.0;
            let pulled = !self.consumers.is_empty();
            loads[lane as usize] = LaneLoad {
                acked: bytes as f64 * share,
                unacked: bytes as f64 * (1.0 - share),
                per_day: rates[lane as usize],
                keep_days,
                oldest_days: keep_days.min(self.uptime.days()),
                gives_way: pulled && lane == Lane::Trace,
                expires: !pulled && lane != Lane::Sales,
            };
        }
        let live: f64 = loads.iter().map(|lane| lane.acked + lane.unacked).sum();
        let other = (self.room.used() as f64 - live).max(0.0);
        Ok(Some(forecast::days_left(other, &loads, self.limits.ceiling(&self.room) as f64)))
    }
}

fn is_due(last: Option<i64>, every_ns: i64, now: &Stamp) -> bool {
    last.is_none_or(|last| now.mono_ns.saturating_sub(last) >= every_ns)
}
