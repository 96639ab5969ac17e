//! What was answered under which request id, for seven days, so that asking twice does it once.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    RequestKey,
    error::DbError,
    rows::{count, int, quality_int},
};
use crate::{
    domain::{ClockQuality, Stamp},
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

/// Forgets what is older. Within one boot the monotonic clock says how old; what an earlier boot wrote is dated by the
/// wall clock, while both are believed: a row of a boot without a good clock counts as of the first time it is met here.
pub(super) fn prune(conn: &Connection, now: &Stamp) -> Result<(), DbError> {
    let boot = now.boot.0.as_bytes();
    let kept_ns = i64::try_from(KEPT.as_nanos()).unwrap_or(i64::MAX);
    let mono = now.mono_ns.saturating_sub(kept_ns);
    conn.execute("DELETE FROM request WHERE boot = ?1 AND mono_ns < ?2", params![boot, mono])?;
    if now.quality == ClockQuality::Synced {
        let wall = now.wall.plus_micros(-(kept_ns / 1_000)).micros();
        let dated = "UPDATE request SET at_us = ?2, quality = 1 WHERE boot <> ?1 AND quality = 0";
        conn.execute(dated, params![boot, now.wall.micros()])?;
        conn.execute("DELETE FROM request WHERE boot <> ?1 AND at_us < ?2", params![boot, wall])?;
    }
    Ok(())
}
