//! What is wrong inside of a database, found without changing it: beside a daemon that runs, or on a copy.
//!
//! Everything is read from one snapshot. The projections are made anew from the log in temporary tables of the same
//! names, which hide the real ones from the functions that make them. What is found is told by table and number, never by
//! content: it may be personal.

use std::path::Path;

use rusqlite::{Connection, config::DbConfig};

use super::{
    Heads, StoreError,
    error::DbError,
    ledger::read_heads,
    open::DATABASE,
    projections,
    rows::{count, int, lane_int},
    schema,
};
use crate::domain::Lane;

/// What was looked at, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// How far the log is.
    pub heads: Heads,
    /// Events in it.
    pub events: u64,
    /// Whether the projections could be compared with a rebuild: only where the log is whole.
    pub rebuilt: bool,
    /// A sentence each.
    pub problems: Vec<String>,
}

/// Looks at the database of a data directory.
///
/// # Errors
/// When it cannot be read at all.
pub fn audit(dir: &Path) -> Result<Audit, StoreError> {
    let path = dir.join(DATABASE);
    let conn = schema::open_to_read(&path)?;
    look(&conn).map_err(|cause| cause.opening(path, "looking through it"))
}

fn look(conn: &Connection) -> Result<Audit, DbError> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    conn.execute_batch("PRAGMA temp_store = MEMORY; BEGIN")?;
    let heads = read_heads(conn)?;
    let events = count(number(conn, "SELECT count(*) FROM log")?);
    let mut problems = structure(conn)?;
    problems.extend(numbers(conn, heads)?);
    let whole = number(conn, "SELECT count(*) FROM gap")? == 0 && problems.is_empty();
    if whole {
        problems.extend(projected(conn)?);
    }
    conn.execute_batch("ROLLBACK")?;
    Ok(Audit { heads, events, rebuilt: whole, problems })
}

fn number(conn: &Connection, sql: &str) -> Result<i64, DbError> {
    Ok(conn.query_row(sql, [], |row| row.get(0))?)
}

/// What SQLite finds in its own pages.
fn structure(conn: &Connection) -> Result<Vec<String>, DbError> {
    let mut statement = conn.prepare("PRAGMA integrity_check(10)")?;
    let lines: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").map(|line| format!("the file is damaged: {line}")).collect())
}

fn numbers(conn: &Connection, heads: Heads) -> Result<Vec<String>, DbError> {
    let mut problems = Vec::new();
    let newest = count(number(conn, "SELECT coalesce(max(pos), 0) FROM log")?);
    if newest > heads.pos {
        problems.push(format!("the log reaches position {newest}, and its head is said to be {}", heads.pos));
    }
    for lane in Lane::ALL {
        problems.extend(lane_numbers(conn, lane, heads.of(lane))?);
    }
    let counted = [
        ("ids of events stand there twice", "SELECT count(*) - count(DISTINCT id) FROM log"),
        (
            "events are not in the order of their ids",
            "SELECT count(*) FROM (SELECT id, lag(id) OVER (ORDER BY pos) AS before FROM log) WHERE id <= before",
        ),
        (
            "cursors are beyond the head of their lane",
            "SELECT count(*) FROM cursor JOIN lane USING (lane) WHERE upto > head",
        ),
        (
            "answers are about positions beyond the head",
            "SELECT count(*) FROM request WHERE pos > (SELECT max(seq) FROM sqlite_sequence WHERE name = 'log')",
        ),
    ];
    for (what, sql) in counted {
        let found = number(conn, sql)?;
        if found != 0 {
            problems.push(format!("{found} {what}"));
        }
    }
    Ok(problems)
}

/// Each number of a lane up to its head is one event or inside one gap.
fn lane_numbers(conn: &Connection, lane: Lane, head: u64) -> Result<Option<String>, DbError> {
    let sql = "SELECT seq, seq FROM log WHERE lane = ?1
               UNION ALL SELECT from_seq, to_seq FROM gap WHERE lane = ?1 ORDER BY 1";
    let mut statement = conn.prepare(sql)?;
    let mut rows = statement.query([lane_int(lane)])?;
    let mut last = 0;
    while let Some(row) = rows.next()? {
        let (from, to): (i64, i64) = (row.get(0)?, row.get(1)?);
        if from != last + 1 || to < from {
            return Ok(Some(format!("lane {} goes on with {from} after {last}", lane.as_str())));
        }
        last = to;
    }
    let ends = (last != int(head)).then(|| format!("lane {} ends at {last}, its head is {head}", lane.as_str()));
    Ok(ends)
}

/// Tables that differ from what the log makes of them.
fn projected(conn: &Connection) -> Result<Vec<String>, DbError> {
    for table in projections::TABLES {
        let sql = "SELECT sql FROM main.sqlite_schema WHERE type = 'table' AND name = ?1";
        let sql: String = conn.query_row(sql, [table], |row| row.get(0))?;
        conn.execute_batch(&sql.replacen("CREATE TABLE", "CREATE TEMP TABLE", 1))?;
    }
    match projections::rebuild(conn) {
        Ok(()) => {}
        Err(cause @ DbError::Sql(_)) => return Err(cause),
        Err(cause) => return Ok(vec![format!("the log cannot be read whole: {cause}")]),
    }
    let mut problems = Vec::new();
    for table in projections::TABLES {
        let but = |these: &str, those: &str| {
            let sql =
                format!("SELECT count(*) FROM (SELECT * FROM {these}.{table} EXCEPT SELECT * FROM {those}.{table})");
            number(conn, &sql)
        };
        let (extra, missing) = (but("main", "temp")?, but("temp", "main")?);
        if extra + missing > 0 {
            problems.push(format!(
                "table {table} is not what the log says: {extra} rows differ or are too many, {missing} differ or are missing"
            ));
        }
    }
    Ok(problems)
}
