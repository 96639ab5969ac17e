//! Which visits are open, with their tags, so that the engine can go on with them after a restart.
//!
//! Kept from the facts, since no event holds a tag. The times are the engine's; beside the last stands when that was on the
//! clocks of the box, if the engine runs on them. A visit whose customer is erased stays open under a tag that nobody
//! carries: the engine ends it by silence.

use rusqlite::{Connection, params};

use super::{error::DbError, rows::quality_int};
use crate::domain::{CustomerId, Fact, Presence, Stamp, VisitId, ZoneId};

/// Follows one fact; `heard` is its moment on the clocks of the box.
pub(super) fn follow(conn: &Connection, fact: &Fact, heard: Option<&Stamp>) -> Result<(), DbError> {
    let at = fact.at.micros();
    match &fact.presence {
        Presence::Entered { visit, customer, zone, x, y, tag, .. } => {
            let sql = "INSERT OR REPLACE INTO open_visit (visit, tag, customer, entered_us, last_us, zone, x, y)
                       VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7)";
            let customer = customer.map(|id| id.0.into_bytes());
            let values = params![visit.0.as_bytes(), tag.as_str(), customer, at, name(zone.as_ref()), x, y];
            conn.prepare_cached(sql)?.execute(values)?;
            keep_last(conn, *visit, at, heard)?;
        }
        Presence::Moved { visit, to, x, y, .. } => {
            let sql = "UPDATE open_visit SET zone = ?2, x = ?3, y = ?4 WHERE visit = ?1";
            conn.prepare_cached(sql)?.execute(params![visit.0.as_bytes(), name(to.as_ref()), x, y])?;
            keep_last(conn, *visit, at, heard)?;
        }
        Presence::Dwelled { visit, .. } | Presence::Traced { visit, .. } => keep_last(conn, *visit, at, heard)?,
        Presence::Exited { visit, .. } => {
            conn.prepare_cached("DELETE FROM open_visit WHERE visit = ?1")?.execute([visit.0.as_bytes()])?;
        }
        Presence::Heated(_) => {}
    }
    Ok(())
}

fn name(zone: Option<&ZoneId>) -> Option<&str> {
    zone.map(ZoneId::as_str)
}

fn keep_last(conn: &Connection, visit: VisitId, at: i64, heard: Option<&Stamp>) -> Result<(), DbError> {
    let sql = "UPDATE open_visit SET last_us = ?2, heard_wall_us = ?3, heard_boot = ?4, heard_mono_ns = ?5,
               heard_quality = ?6 WHERE visit = ?1";
    conn.prepare_cached(sql)?.execute(params![
        visit.0.as_bytes(),
        at,
        heard.map(|heard| heard.wall.micros()),
        heard.map(|heard| heard.boot.0.into_bytes()),
        heard.map(|heard| heard.mono_ns),
        heard.map(|heard| quality_int(heard.quality)),
    ])?;
    Ok(())
}

/// Cuts the tie between `customer`, or a tag that means them, and any open visit. To be called while the tags still do.
pub(super) fn untie(conn: &Connection, customer: CustomerId) -> Result<(), DbError> {
    let sql = "UPDATE open_visit SET tag = 'erased:' || lower(hex(visit)), customer = NULL
               WHERE customer = ?1 OR tag IN (SELECT tag FROM tag WHERE customer = ?1)";
    conn.prepare_cached(sql)?.execute([customer.0.as_bytes()])?;
    Ok(())
}
