//! What may go because everybody has it and it was kept long enough.
//!
//! Ages are honest: within this boot the monotonic clock says them. An event of an earlier boot is dated by what the log
//! says of that boot's clock, or by its own date if that was believed, and compared with a wall clock that is believed now
//! and within one boot never runs ahead of the monotonic one: a jump makes nothing older. An event without a date is as old
//! as the next one that has one.

use std::collections::HashMap;

use rusqlite::{Connection, params_from_iter};

use super::{
    error::DbError,
    queries, removal,
    rows::{count, int, lane_int},
    storage::StorageOptions,
};
use crate::domain::{BootId, ConsumerId, GapReason, Lane, Stamp};

/// What is dated later than this after now is not dated, microseconds.
const FUTURE_US: i64 = 86_400_000_000;

/// Whose word counts and how long things are kept.
pub(super) struct Policy<'a> {
    pub(super) storage: &'a StorageOptions,
    pub(super) consumers: &'a [ConsumerId],
}

/// Up to which number everybody has `lane`. Without consumers nobody else has `sales`: it stays; the other lanes go by
/// their age alone.
pub(super) fn acknowledged(conn: &Connection, consumers: &[ConsumerId], lane: Lane) -> Result<u64, DbError> {
    if consumers.is_empty() {
        return Ok(if lane == Lane::Sales { 0 } else { i64::MAX as u64 });
    }
    let mut least = u64::MAX;
    let mut statement = conn.prepare_cached("SELECT max(upto) FROM cursor WHERE consumer = ?1 AND lane = ?2")?;
    for consumer in consumers {
        let upto: Option<i64> =
            statement.query_row(rusqlite::params![consumer.as_str(), lane_int(lane)], |row| row.get(0))?;
        least = least.min(count(upto.unwrap_or(0)));
    }
    Ok(least)
}

/// Removes what may go from the front of `lane`, of its oldest `events` at or before position `before`; how many went.
/// `wall_us` is what the clock may be believed to say, if it may.
pub(super) fn step(
    conn: &Connection,
    policy: &Policy<'_>,
    lane: Lane,
    events: u64,
    before: u64,
    (now, wall_us): (&Stamp, Option<i64>),
) -> Result<u64, DbError> {
    let upto = acknowledged(conn, policy.consumers, lane)?;
    let keep_ns = i64::try_from(policy.storage.keep_of(lane).as_nanos()).unwrap_or(i64::MAX);
    let sql = "SELECT seq, boot, mono_ns, wall_us, quality FROM log
               WHERE lane = ?1 AND seq <= ?2 AND +pos <= ?3 ORDER BY seq LIMIT ?4";
    let mut statement = conn.prepare_cached(sql)?;
    let values = [lane_int(lane), int(upto), int(before), int(events)];
    let mut rows = statement.query(params_from_iter(values))?;
    let mut ages = Ages { conn, now, wall_us, offsets: HashMap::new() };
    let mut cutoff = None;
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        let boot = BootId(uuid::Uuid::from_bytes(row.get(1)?));
        let synced = row.get::<_, i64>(4)? == 1;
        match ages.of(boot, row.get(2)?, synced.then_some(row.get(3)?))? {
            Some(age_ns) if age_ns < keep_ns => break,
            Some(_) => cutoff = Some(count(seq)),
            None => {}
        }
    }
    drop(rows);
    cutoff.map_or(Ok(0), |cutoff| removal::remove(conn, lane, cutoff, GapReason::Retention, now.wall))
}

struct Ages<'a> {
    conn: &'a Connection,
    now: &'a Stamp,
    wall_us: Option<i64>,
    /// What wall time minus monotonic time was in other boots, as the log last said, nanoseconds.
    offsets: HashMap<BootId, Option<i64>>,
}

impl Ages<'_> {
    /// Nanoseconds since an event; `None` when nobody can tell.
    fn of(&mut self, boot: BootId, mono_ns: i64, believed_us: Option<i64>) -> Result<Option<i64>, DbError> {
        if boot == self.now.boot {
            return Ok(Some(self.now.mono_ns.saturating_sub(mono_ns)));
        }
        let Some(wall_us) = self.wall_us else { return Ok(None) };
        let offset = if let Some(offset) = self.offsets.get(&boot) {
            *offset
        } else {
            let offset = queries::clock_of(self.conn, boot)?.map(|synced| synced.offset_ns);
            *self.offsets.entry(boot).or_insert(offset)
        };
        let dated_us = offset.map(|offset| mono_ns.saturating_add(offset) / 1_000).or(believed_us);
        let age_us = dated_us.map(|dated| wall_us.saturating_sub(dated)).filter(|age| *age > -FUTURE_US);
        Ok(age_us.map(|age| age.saturating_mul(1_000)))
    }
}
