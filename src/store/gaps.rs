//! Numbers of a lane that hold no events any more, as rows.
//!
//! A gap grows into its neighbour of the same reason; beyond [`MAX_GAPS`] the oldest neighbours are told as one, under the
//! graver of their reasons, so that the table cannot grow without bound.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    error::DbError,
    rows::{gap_of, int, lane_int, read_gap},
};
use crate::domain::{Gap, GapReason, Lane};

/// Gaps that a lane may have before old ones are joined.
const MAX_GAPS: i64 = 128;

const COLUMNS: &str = "SELECT from_seq, to_seq, count, reason, at_us FROM gap";

const fn reason_name(reason: GapReason) -> &'static str {
    match reason {
        GapReason::Retention => "retention",
        GapReason::DiskFull => "disk_full",
        GapReason::Corruption => "corruption",
    }
}

const fn gravity(reason: GapReason) -> u8 {
    match reason {
        GapReason::Retention => 0,
        GapReason::DiskFull => 1,
        GapReason::Corruption => 2,
    }
}

/// Writes that the numbers of `gap` are gone; they must be in no other gap.
pub(super) fn note(conn: &Connection, lane: Lane, gap: Gap) -> Result<(), DbError> {
    let mut gap = gap;
    for neighbour in [ending_at(conn, lane, gap.from - 1)?, beginning_at(conn, lane, gap.to + 1)?] {
        if let Some(neighbour) = neighbour.filter(|near| near.reason == gap.reason) {
            take(conn, lane, &neighbour)?;
            gap = join(&gap, &neighbour);
        }
    }
    put(conn, lane, &gap)?;
    thin_out(conn, lane)
}

/// The last number at or before `seq` that a gap accounts for; 0 when there is none.
pub(super) fn covered_before(conn: &Connection, lane: Lane, seq: u64) -> Result<u64, DbError> {
    let sql = "SELECT to_seq FROM gap WHERE lane = ?1 AND to_seq <= ?2 ORDER BY to_seq DESC LIMIT 1";
    let to: Option<i64> =
        conn.prepare_cached(sql)?.query_row([lane_int(lane), int(seq)], |row| row.get(0)).optional()?;
    Ok(super::rows::count(to.unwrap_or(0)))
}

fn ending_at(conn: &Connection, lane: Lane, seq: u64) -> Result<Option<Gap>, DbError> {
    let sql = format!("{COLUMNS} WHERE lane = ?1 AND to_seq = ?2");
    conn.prepare_cached(&sql)?.query_row([lane_int(lane), int(seq)], read_gap).optional()?.map(gap_of).transpose()
}

fn beginning_at(conn: &Connection, lane: Lane, seq: u64) -> Result<Option<Gap>, DbError> {
    let sql = format!("{COLUMNS} WHERE lane = ?1 AND to_seq >= ?2 ORDER BY to_seq LIMIT 1");
    let next = conn.prepare_cached(&sql)?.query_row([lane_int(lane), int(seq)], read_gap).optional()?;
    Ok(next.map(gap_of).transpose()?.filter(|gap| gap.from == seq))
}

fn join(a: &Gap, b: &Gap) -> Gap {
    let reason = if gravity(a.reason) >= gravity(b.reason) { a.reason } else { b.reason };
    Gap { from: a.from.min(b.from), to: a.to.max(b.to), count: a.count + b.count, reason, at: a.at.max(b.at) }
}

fn take(conn: &Connection, lane: Lane, gap: &Gap) -> Result<(), DbError> {
    let sql = "DELETE FROM gap WHERE lane = ?1 AND to_seq = ?2";
    conn.prepare_cached(sql)?.execute([lane_int(lane), int(gap.to)])?;
    Ok(())
}

/// Writes a gap as it is: none may end at the same number.
pub(super) fn put(conn: &Connection, lane: Lane, gap: &Gap) -> Result<(), DbError> {
    let sql = "INSERT INTO gap (lane, from_seq, to_seq, count, reason, at_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let (from, to, count) = (int(gap.from), int(gap.to), int(gap.count));
    let values = params![lane_int(lane), from, to, count, reason_name(gap.reason), gap.at.micros()];
    conn.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

/// Joins the oldest two gaps that touch, when there are too many.
fn thin_out(conn: &Connection, lane: Lane) -> Result<(), DbError> {
    let sql = "SELECT count(*) FROM gap WHERE lane = ?1";
    let gaps: i64 = conn.prepare_cached(sql)?.query_row([lane_int(lane)], |row| row.get(0))?;
    if gaps <= MAX_GAPS {
        return Ok(());
    }
    let mut statement = conn.prepare_cached(&format!("{COLUMNS} WHERE lane = ?1 ORDER BY to_seq"))?;
    let rows = statement.query_map([lane_int(lane)], read_gap)?;
    let all: Vec<Gap> = rows.map(|row| gap_of(row?)).collect::<Result<_, _>>()?;
    let Some([a, b]) = all.array_windows().find(|[a, b]| a.to + 1 == b.from) else { return Ok(()) };
    take(conn, lane, a)?;
    take(conn, lane, b)?;
    put(conn, lane, &join(a, b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    fn tables() -> Connection {
        let conn = Connection::open_in_memory().expect("opens");
        conn.execute_batch(include_str!("schema_1.sql")).expect("makes tables");
        conn
    }

    fn gap(from: u64, to: u64, reason: GapReason) -> Gap {
        Gap { from, to, count: to + 1 - from, reason, at: Timestamp::from_micros(i64::try_from(to).expect("small")) }
    }

    fn all(conn: &Connection) -> Vec<(u64, u64, u64, GapReason)> {
        let mut statement = conn.prepare(&format!("{COLUMNS} WHERE lane = 2 ORDER BY to_seq")).expect("prepares");
        let rows = statement.query_map([], read_gap).expect("reads");
        rows.map(|row| gap_of(row.expect("reads")).expect("is one"))
            .map(|gap| (gap.from, gap.to, gap.count, gap.reason))
            .collect()
    }

    #[test]
    fn a_gap_grows_into_its_neighbours_of_the_same_reason() {
        use GapReason::{DiskFull, Retention};
        let conn = tables();
        for (from, to, reason) in
            [(1, 3, Retention), (4, 9, Retention), (10, 12, DiskFull), (20, 21, DiskFull), (13, 19, DiskFull)]
        {
            note(&conn, Lane::Trace, gap(from, to, reason)).expect("notes");
        }
        assert_eq!(all(&conn), [(1, 9, 9, Retention), (10, 21, 12, DiskFull)]);
        assert_eq!(covered_before(&conn, Lane::Trace, 11).expect("reads"), 9);
        assert_eq!(covered_before(&conn, Lane::Sales, 11).expect("reads"), 0);
    }

    #[test]
    fn gaps_of_changing_reasons_do_not_pile_up() {
        use GapReason::{DiskFull, Retention};
        let conn = tables();
        for n in 1..=1_000 {
            let reason = if n % 2 == 0 { DiskFull } else { Retention };
            note(&conn, Lane::Trace, gap(n, n, reason)).expect("notes");
        }
        let gaps = all(&conn);
        assert_eq!(gaps.len(), 128);
        assert_eq!(gaps[0], (1, 873, 873, DiskFull), "the graver reason stands for both");
        assert_eq!(gaps[127], (1_000, 1_000, 1, DiskFull));
    }
}
