//! Reads of the log itself. Each statement finds its rows by position or by lane and number: a test asks SQLite's planner.

use rusqlite::{Connection, params};

use super::{
    LaneQuery, LogEntry, Picture,
    error::DbError,
    ledger, projections, queries,
    rows::{LogRow, count, gap_of, int, lane_int, log_columns, read_gap},
    seal::Keyring,
};
use crate::domain::{ConsumerId, Gap, GapReason, Lane, LaneItem, Timestamp};

/// `+pos`: by the newest of the lane backwards, which ends after a few rows, not by everything before a position.
const LANE_NEWEST: &str =
    concat!("SELECT ", log_columns!(), " FROM log WHERE lane = ?1 AND +pos <= ?2 ORDER BY seq DESC LIMIT ?3");
const LANE_AFTER: &str = concat!("SELECT ", log_columns!(), " FROM log WHERE lane = ?1 AND seq > ?2 ORDER BY seq");
const LANE_FIRST: &str = "SELECT min(seq) FROM log WHERE lane = ?1";
const GAPS_AFTER: &str =
    "SELECT from_seq, to_seq, count, reason, at_us FROM gap WHERE lane = ?1 AND to_seq > ?2 ORDER BY to_seq";
const GAP_FIRST: &str = "SELECT from_seq FROM gap WHERE lane = ?1 ORDER BY to_seq LIMIT 1";
const CURSOR: &str = "SELECT max(upto) FROM cursor WHERE consumer = ?1 AND lane = ?2";

#[cfg(test)]
pub(super) const ALL: [&str; 8] = [
    LANE_NEWEST,
    LANE_AFTER,
    LANE_FIRST,
    GAPS_AFTER,
    GAP_FIRST,
    CURSOR,
    projections::LOG_AFTER,
    projections::PLAYED_AFTER,
];

fn limit(items: usize) -> i64 {
    i64::try_from(items).unwrap_or(i64::MAX)
}

fn told(conn: &Connection, rows: Vec<LogRow>) -> Result<Vec<LogEntry>, DbError> {
    let mut keys = Keyring::new(conn);
    let entry = |row: LogRow| {
        let event = row.into_event(&mut keys)?;
        let about = queries::about(conn, &event)?;
        Ok(LogEntry { event, about })
    };
    rows.into_iter().map(entry).collect()
}

pub(super) fn entries_after(conn: &Connection, pos: u64, items: usize) -> Result<Vec<LogEntry>, DbError> {
    let mut statement = conn.prepare_cached(projections::LOG_AFTER)?;
    let rows = statement.query_map([int(pos), limit(items)], LogRow::read)?.collect::<Result<_, _>>()?;
    told(conn, rows)
}

pub(super) fn recent(conn: &Connection, upto: u64, items: usize) -> Result<Vec<LogEntry>, DbError> {
    let mut statement = conn.prepare_cached(LANE_NEWEST)?;
    let mut rows: Vec<LogRow> = Vec::new();
    for lane in [Lane::Sales, Lane::Presence] {
        let found = statement.query_map([lane_int(lane), int(upto), limit(items)], LogRow::read)?;
        for row in found {
            rows.push(row?);
        }
    }
    rows.sort_by_key(LogRow::pos);
    let older = rows.len().saturating_sub(items);
    told(conn, rows.split_off(older))
}

/// Events and gaps in order of seq, so that every number from `after` + 1 on is one event or inside one gap.
pub(super) fn lane_page(conn: &Connection, query: LaneQuery) -> Result<Vec<LaneItem>, DbError> {
    let mut keys = Keyring::new(conn);
    let mut gaps = gaps_after(conn, query.lane, query.after)?.into_iter().peekable();
    let mut statement = conn.prepare_cached(LANE_AFTER)?;
    let mut rows = statement.query([lane_int(query.lane), int(query.after)])?;
    let (mut items, mut last, mut bytes) = (Vec::new(), query.after, 0);
    while items.len() < query.max_items {
        let row = rows.next()?.map(LogRow::read).transpose()?;
        let before = |gap: &Gap| row.as_ref().is_none_or(|row| gap.from < row.seq());
        while let Some(gap) = gaps.next_if(before) {
            if gap.from > last + 1 {
                items.push(LaneItem::Gap(lost(last + 1, gap.from - 1, gap.at)));
            }
            last = gap.to;
            items.push(LaneItem::Gap(gap));
        }
        items.truncate(query.max_items);
        let Some(row) = row else { break };
        bytes += row.weight();
        if items.len() >= query.max_items || (bytes > query.max_bytes && !items.is_empty()) {
            break;
        }
        let event = row.into_event(&mut keys)?;
        if event.seq > last + 1 {
            items.push(LaneItem::Gap(lost(last + 1, event.seq - 1, event.at)));
            if items.len() >= query.max_items {
                break;
            }
        }
        last = event.seq;
        items.push(LaneItem::Event(Box::new(event)));
    }
    Ok(items)
}

/// Numbers that neither an event nor a gap accounts for: the file lost them. Said as such, so that readers go on.
fn lost(from: u64, to: u64, at: Timestamp) -> Gap {
    Gap { from, to, count: to + 1 - from, reason: GapReason::Corruption, at }
}

/// Reads on in a lane, through its index and its rows, and finds out whether all is as it was written; where to go on from,
/// `None` at its end.
pub(super) fn patrol(conn: &Connection, lane: Lane, after: u64, items: usize) -> Result<Option<u64>, DbError> {
    let mut gaps = gaps_after(conn, lane, after)?.into_iter().peekable();
    let mut statement = conn.prepare_cached(LANE_AFTER)?;
    let mut rows = statement.query([lane_int(lane), int(after)])?;
    let mut last = after;
    let mut reach = |from: u64, upto: u64| {
        let mut at = from;
        while let Some(gap) = gaps.next_if(|gap| gap.from <= at + 1) {
            at = at.max(gap.to);
        }
        if at >= upto { Ok(()) } else { Err(DbError::Unaccounted { lane: lane.as_str(), from: at + 1, to: upto }) }
    };
    for _ in 0..items {
        let Some(row) = rows.next()?.map(LogRow::read).transpose()? else {
            reach(last, ledger::read_heads(conn)?.of(lane))?;
            return Ok(None);
        };
        row.check()?;
        reach(last, row.seq() - 1)?;
        last = row.seq();
    }
    Ok(Some(last))
}

/// Gaps that end after `after`; the first begins there at the earliest.
fn gaps_after(conn: &Connection, lane: Lane, after: u64) -> Result<Vec<Gap>, DbError> {
    let mut statement = conn.prepare_cached(GAPS_AFTER)?;
    let rows = statement.query_map([lane_int(lane), int(after)], read_gap)?;
    rows.map(|row| {
        let gap = gap_of(row?)?;
        let from = gap.from.max(after + 1);
        Ok(Gap { from, count: gap.count.min(gap.to + 1 - from), ..gap })
    })
    .collect()
}

pub(super) fn lane_first(conn: &Connection, lane: Lane) -> Result<u64, DbError> {
    use rusqlite::OptionalExtension as _;
    let event: Option<i64> = conn.prepare_cached(LANE_FIRST)?.query_row([lane_int(lane)], |row| row.get(0))?;
    let gap: Option<i64> = conn.prepare_cached(GAP_FIRST)?.query_row([lane_int(lane)], |row| row.get(0)).optional()?;
    Ok(count(event.into_iter().chain(gap).min().unwrap_or(0)))
}

/// Up to which position events are gone that people are told of.
pub(super) fn told_gone(conn: &Connection) -> Result<u64, DbError> {
    let sql = "SELECT max(gone_pos) FROM lane WHERE lane IN (?1, ?2)";
    let lanes = [lane_int(Lane::Sales), lane_int(Lane::Presence)];
    Ok(count(conn.prepare_cached(sql)?.query_row(lanes, |row| row.get(0))?))
}

pub(super) fn cursors(conn: &Connection, consumer: &ConsumerId) -> Result<[u64; 3], DbError> {
    let mut cursors = [0; 3];
    let mut statement = conn.prepare_cached(CURSOR)?;
    for lane in Lane::ALL {
        let upto: Option<i64> = statement.query_row(params![consumer.as_str(), lane_int(lane)], |row| row.get(0))?;
        cursors[lane as usize] = count(upto.unwrap_or(0));
    }
    Ok(cursors)
}

pub(super) fn picture(conn: &Connection) -> Result<Picture, DbError> {
    Ok(Picture {
        pos: ledger::read_heads(conn)?.pos,
        visits: queries::visits_now(conn)?,
        vehicles: queries::vehicles(conn)?,
        staff: queries::all_staff(conn)?,
        sessions: queries::kiosk_sessions(conn)?,
    })
}
