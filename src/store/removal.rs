//! Taking the front off a lane: what the showroom rests on settles, the numbers become a gap, all in the open transaction.

use rusqlite::{Connection, params};

use super::{
    error::DbError,
    gaps,
    rows::{self, LogRow, count, int, lane_int, log_columns},
    seal::Keyring,
    settled,
};
use crate::domain::{Gap, GapReason, Lane, Timestamp};

const SLIM: &str = "SELECT pos, seq, octet_length(data) + coalesce(octet_length(sealed), 0) FROM log
                    WHERE lane = ?1 AND seq <= ?2 ORDER BY seq";
const WHOLE: &str = concat!("SELECT ", log_columns!(), " FROM log WHERE lane = ?1 AND seq <= ?2 ORDER BY seq");

/// One event that goes.
struct Going {
    pos: i64,
    seq: u64,
    bytes: i64,
}

/// Removes the events of `lane` up to `upto`; how many there were. `at` is what the gap is dated.
pub(super) fn remove(
    conn: &Connection,
    lane: Lane,
    upto: u64,
    reason: GapReason,
    at: Timestamp,
) -> Result<u64, DbError> {
    let going = if lane == Lane::Trace { look(conn, lane, upto)? } else { look_after(conn, lane, upto)? };
    let (Some(first), Some(last)) = (going.first(), going.last()) else { return Ok(0) };
    let mut known = gaps::covered_before(conn, lane, first.seq)?;
    let mut run: Option<Gap> = None;
    for row in &going {
        if row.seq > known + 1 {
            known = known.max(gaps::covered_before(conn, lane, row.seq)?);
            run.take().map_or(Ok(()), |run| gaps::note(conn, lane, run))?;
        }
        if row.seq > known + 1 {
            let (from, to) = (known + 1, row.seq - 1);
            let hole = Gap { from, to, count: to + 1 - from, reason: GapReason::Corruption, at };
            gaps::note(conn, lane, hole)?;
        }
        known = row.seq;
        let run = run.get_or_insert(Gap { from: row.seq, to: row.seq, count: 0, reason, at });
        (run.to, run.count) = (row.seq, run.count + 1);
    }
    conn.prepare_cached("DELETE FROM log WHERE lane = ?1 AND seq <= ?2")?.execute([lane_int(lane), int(last.seq)])?;
    run.map_or(Ok(()), |run| gaps::note(conn, lane, run))?;
    let bytes: i64 = going.iter().map(|row| row.bytes).sum();
    let newest = going.iter().map(|row| row.pos).max().unwrap_or(0);
    let sql = "UPDATE lane SET events = max(events - ?2, 0), bytes = max(bytes - ?3, 0), gone_pos = max(gone_pos, ?4)
               WHERE lane = ?1";
    conn.prepare_cached(sql)?.execute(params![lane_int(lane), int(going.len() as u64), bytes, newest])?;
    Ok(going.len() as u64)
}

/// Nothing rests on traces.
fn look(conn: &Connection, lane: Lane, upto: u64) -> Result<Vec<Going>, DbError> {
    let mut statement = conn.prepare_cached(SLIM)?;
    let read = |row: &rusqlite::Row<'_>| {
        let (pos, seq, weight): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Going { pos, seq: count(seq), bytes: weight + rows::ROW_BYTES })
    };
    Ok(statement.query_map([lane_int(lane), int(upto)], read)?.collect::<Result<_, _>>()?)
}

/// An event that cannot be understood has changed nothing that could rest on it.
fn look_after(conn: &Connection, lane: Lane, upto: u64) -> Result<Vec<Going>, DbError> {
    let mut statement = conn.prepare_cached(WHOLE)?;
    let found: Vec<LogRow> =
        statement.query_map([lane_int(lane), int(upto)], LogRow::read)?.collect::<Result<_, _>>()?;
    let mut keys = Keyring::new(conn);
    let mut going = Vec::with_capacity(found.len());
    for row in found {
        going.push(Going { pos: row.pos(), seq: row.seq(), bytes: row.cost() });
        match row.into_event(&mut keys) {
            Ok(event) => settled::settle(conn, &event)?,
            Err(DbError::Row { .. }) => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(going)
}

/// The last number of `lane` within its oldest `events` at or before position `before`; none when there is nothing.
pub(super) fn front(conn: &Connection, lane: Lane, events: u64, before: u64) -> Result<Option<u64>, DbError> {
    let sql = "SELECT max(seq) FROM (SELECT seq FROM log WHERE lane = ?1 AND +pos <= ?3 ORDER BY seq LIMIT ?2)";
    let values = [lane_int(lane), int(events), int(before)];
    let seq: Option<i64> = conn.prepare_cached(sql)?.query_row(values, |row| row.get(0))?;
    Ok(seq.map(count))
}
