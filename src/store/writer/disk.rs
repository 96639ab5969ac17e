//! The writer on a disk that is full or fails: it makes room, keeps trying, and says how the disk is.
//!
//! Nothing here answers anybody: a transaction that failed was answered already.

use std::sync::Arc;

use rusqlite::Connection;

use super::{Count, DatedFact, Desk, Gauge, Gone, SOURCE, schema};
use crate::{
    domain::Stamp,
    store::{error::DbError, upkeep::Upkeep},
};

/// Events that go at once from a disk that is full, and how often before it is tried again.
const STRIDE: u64 = 512;
const STRIDES: usize = 8;

impl Desk {
    /// Housekeeping beside the jobs of the open transaction. Should it fail, the jobs go on without.
    pub(super) fn keep_house(&mut self, now: &Stamp) -> Gone {
        let probe = self.failing_since.is_some();
        self.ledger.keep_house(&mut self.upkeep, now, probe).unwrap_or_else(|cause| {
            self.failed(&cause);
            Gone::default()
        })
    }

    /// After a commit: the disk takes what it is given.
    pub(super) fn look_after_disk(&mut self, gone: Gone) {
        self.telemetry.add(Count::EventsRetired, gone.retired);
        self.telemetry.add(Count::EventsShed, gone.shed);
        self.is_full = false;
        if let Some(since) = self.failing_since.take() {
            tracing::info!("the disk takes events again; it did not since {since}");
            self.ailments.heal(SOURCE);
        }
        self.upkeep.remake_reserve(&self.clock.now());
        self.show_disk();
    }

    /// After a transaction that failed, before anybody is told.
    pub(super) fn mark_failing(&mut self) {
        if self.failing_since.is_none() {
            tracing::error!("the disk takes no events; what happens is shown, facts wait, commands are refused");
            self.failing_since = Some(self.clock.now().wall);
            self.ailments.ail(SOURCE);
        }
        self.show_disk();
    }

    /// If room was missing: gives up the reserve and sheds, in transactions of its own, until there is room or nothing may
    /// go. Facts wait, and the next transaction is the test.
    pub(super) fn make_room(&mut self) {
        if self.alarm.raised().is_some() {
            return;
        }
        if !std::mem::take(&mut self.is_full) && !self.upkeep.is_pressed(&self.ledger.conn) {
            return;
        }
        let now = &self.clock.now();
        if self.upkeep.give_up_reserve(now) {
            tracing::warn!("the disk is full; its reserve is given up");
        }
        // What can be moved into the file gives back the blocks of the write-ahead log.
        let _ = schema::checkpoint(&self.ledger.conn);
        for _ in 0..STRIDES {
            let head = self.ledger.heads.pos;
            match stride(&self.ledger.conn, &self.upkeep, head, now) {
                Ok(0) => break,
                Ok(shed) => self.telemetry.add(Count::EventsShed, shed),
                Err(cause) => {
                    self.failed(&cause);
                    break;
                }
            }
            if !self.upkeep.is_pressed(&self.ledger.conn) {
                break;
            }
        }
    }

    /// Shows what waits, each once.
    pub(super) fn show_unstored(&mut self, facts: &mut [DatedFact]) {
        for fact in facts.iter_mut().filter(|fact| !fact.shown) {
            fact.shown = true;
            // What cannot be read now is told when it is stored.
            let entries = self.ledger.imagine(fact).unwrap_or_default();
            for entry in entries {
                // Nobody may listen.
                let _ = self.unstored.send(Arc::new(entry));
            }
        }
    }

    fn show_disk(&self) {
        let state = super::DiskState { failing_since: self.failing_since, ..self.upkeep.state() };
        let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.telemetry.set(Gauge::StoreBytes, whole(self.upkeep.file_bytes()));
        self.telemetry.set(Gauge::StoreLimit, whole(state.limit));
        self.telemetry.set(Gauge::StoreDaysLeft, state.days_left.map_or(-1, |days| days as i64));
        self.telemetry.set(Gauge::StoreShedding, i64::from(state.shedding));
        self.telemetry.set(Gauge::StoreFailing, i64::from(state.failing_since.is_some()));
        self.telemetry.set(Gauge::FactsWaiting, whole(self.backlog.len() as u64));
        self.disk.send_if_modified(|shown| {
            let changed = *shown != state;
            *shown = state;
            changed
        });
    }
}

fn stride(conn: &Connection, upkeep: &Upkeep, head: u64, now: &Stamp) -> Result<u64, DbError> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let shed = upkeep.shed(conn, head, STRIDE, now).and_then(|shed| {
        conn.execute_batch("COMMIT")?;
        Ok(shed)
    });
    if shed.is_err() && !conn.is_autocommit() {
        conn.execute_batch("ROLLBACK")?;
    }
    shed
}
