//! What was answered under which request id, for seven days, so that asking twice does it once.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    RequestKey,
    error::DbError,
    rows::{count, int, quality_int},
};
use crate::{
    domain::Stamp,
    showroom::{Refusal, RefusalCode},
};

const KEPT: Duration = Duration::from_hours(7 * 24);

/// How a request ended: the position of its newest event, or a refusal.
pub(super) type Outcome = Result<u64, Refusal>;

pub(super) fn find(conn: &Connection, key: &RequestKey) -> Result<Option<Outcome>, DbError> {
    type Raw = (Option<i64>, Option<String>, Option<String>);
    let sql = "SELECT pos, code, message FROM request WHERE source = ?1 AND id = ?2";
    let found: Option<Raw> = conn
        .prepare_cached(sql)?
        .query_row([&key.source, &key.id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let outcome = match found {
        None => return Ok(None),
        Some((Some(pos), _, _)) => Ok(count(pos)),
        Some((None, code, message)) => {
            let code = code.as_deref().and_then(RefusalCode::from_name);
            let code = code.ok_or(DbError::Row { what: "code of a refusal" })?;
            Err(Refusal { code, message: message.unwrap_or_default() })
        }
    };
    Ok(Some(outcome))
}

pub(super) fn remember(conn: &Connection, key: &RequestKey, outcome: &Outcome, now: &Stamp) -> Result<(), DbError> {
    let sql = "INSERT INTO request (source, id, pos, code, message, at_us, boot, mono_ns, quality)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    conn.prepare_cached(sql)?.execute(params![
        key.source,
        key.id,
        outcome.as_ref().ok().map(|pos| int(*pos)),
        outcome.as_ref().err().map(|refusal| refusal.code.as_str()),
        outcome.as_ref().err().map(|refusal| &refusal.message),
        now.wall.micros(),
        now.boot.0.as_bytes(),
        now.mono_ns,
        quality_int(now.quality),
    ])?;
    Ok(())
}

/// Forgets what is older than seven days of running time. No wall clock is asked, so that none can make a command be done
/// twice: what an earlier boot wrote is as old as it was when that boot is last heard of, and ages on with this one. A box
/// that is switched off at night keeps answers for longer than it has to.
pub(super) fn prune(conn: &Connection, now: &Stamp) -> Result<(), DbError> {
    let boot = now.boot.0.as_bytes();
    adopt(conn, boot, now.mono_ns)?;
    let kept_ns = i64::try_from(KEPT.as_nanos()).unwrap_or(i64::MAX);
    let oldest = now.mono_ns.saturating_sub(kept_ns);
    conn.prepare_cached("DELETE FROM request WHERE mono_ns < ?1")?.execute([oldest])?;
    Ok(())
}

/// Has what earlier boots wrote age on with `boot`. The last that is heard of a boot is its newest request or, of the last
/// one, its newest event.
fn adopt(conn: &Connection, boot: &[u8; 16], now_ns: i64) -> Result<(), DbError> {
    let sql = "SELECT boot, max(mono_ns) FROM request WHERE boot <> ?1 GROUP BY boot";
    let mut statement = conn.prepare_cached(sql)?;
    let earlier = statement.query_map([boot], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let earlier: Vec<([u8; 16], i64)> = earlier.collect::<Result<_, _>>()?;
    if earlier.is_empty() {
        return Ok(());
    }
    let sql = "SELECT boot, mono_ns FROM log WHERE boot <> ?1 ORDER BY pos DESC LIMIT 1";
    let newest: Option<([u8; 16], i64)> =
        conn.prepare_cached(sql)?.query_row([boot], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    for (old, asked_ns) in earlier {
        let last_ns = newest.filter(|(of, _)| *of == old).map_or(asked_ns, |(_, event_ns)| asked_ns.max(event_ns));
        let sql = "UPDATE request SET boot = ?1, mono_ns = mono_ns - ?3 + ?2 WHERE boot = ?4";
        conn.prepare_cached(sql)?.execute(params![boot, now_ns, last_ns, old])?;
    }
    Ok(())
}
