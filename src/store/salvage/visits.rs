//! Visits that are open when a database is salvaged: they go on, so that none stays open for ever.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::record::Value;
use crate::{
    domain::{Event, EventBody, TagId, VisitId, ZoneId},
    store::error::DbError,
};

/// An open visit as it was found.
#[derive(Debug)]
struct OpenVisit {
    visit: [u8; 16],
    tag: String,
    customer: Option<[u8; 16]>,
    entered: i64,
    last: i64,
    zone: Option<String>,
    x: f64,
    y: f64,
    heard: Heard,
}

/// The moment of hearing on the box's clocks, as far as it was kept: wall, boot, monotonic, quality.
type Heard = (Option<i64>, Option<[u8; 16]>, Option<i64>, Option<i64>);

/// Those found in their table, and those that the log leaves open.
#[derive(Debug, Default)]
pub(super) struct Visits {
    found: Vec<OpenVisit>,
    /// When each was last heard, microseconds.
    open: HashMap<VisitId, i64>,
}

impl Visits {
    /// A row of the table of open visits.
    pub(super) fn found(&mut self, columns: &[Value<'_>]) {
        self.found.extend(open_visit(columns));
    }

    /// An event of the log, in its order.
    pub(super) fn event(&mut self, event: &Event) {
        let Some(visit) = event.subjects.visit else { return };
        match event.body {
            EventBody::CustomerEntered(_) => drop(self.open.insert(visit, event.at.micros())),
            EventBody::CustomerExited(_) => drop(self.open.remove(&visit)),
            _ => {
                if let Some(last) = self.open.get_mut(&visit) {
                    *last = event.at.micros();
                }
            }
        }
    }

    /// Once the projections are made: each goes on under its tag, where that is known, else under one that nobody carries,
    /// so that the engine ends it by silence.
    pub(super) fn reopen(self, conn: &Connection) -> Result<(), DbError> {
        let sql = "INSERT OR IGNORE INTO open_visit (visit, tag, customer, entered_us, last_us, zone, x, y,
                       heard_wall_us, heard_boot, heard_mono_ns, heard_quality)
                   SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12
                   WHERE EXISTS (SELECT 1 FROM visit WHERE visit = ?1 AND exited_us IS NULL)
                   AND (?3 IS NULL OR NOT EXISTS (SELECT 1 FROM erased WHERE customer = ?3))";
        for OpenVisit { visit, tag, customer, entered, last, zone, x, y, heard } in self.found {
            let (wall, boot, mono, quality) = heard;
            let values = params![visit, tag, customer, entered, last, zone, x, y, wall, boot, mono, quality];
            conn.prepare_cached(sql)?.execute(values)?;
        }
        let sql = "INSERT OR IGNORE INTO open_visit (visit, tag, customer, entered_us, last_us, zone, x, y)
                   SELECT visit, 'salvaged:' || lower(hex(visit)), customer, entered_us, max(entered_us, ?2), zone, x, y
                   FROM visit WHERE visit = ?1 AND exited_us IS NULL";
        for (visit, last) in self.open {
            conn.prepare_cached(sql)?.execute(params![visit.0.as_bytes(), last])?;
        }
        Ok(())
    }
}

fn open_visit(columns: &[Value<'_>]) -> Option<OpenVisit> {
    let [visit, tag, customer, entered, last, zone, x, y, heard @ ..] = columns else { return None };
    let tag = tag.text().filter(|tag| tag.parse::<TagId>().is_ok())?;
    let zone = zone.some_text()?;
    if zone.is_some_and(|zone| zone.parse::<ZoneId>().is_err()) {
        return None;
    }
    Some(OpenVisit {
        visit: visit.blob()?,
        tag: tag.to_owned(),
        customer: customer.some_blob()?,
        entered: entered.int()?,
        last: last.int()?,
        zone: zone.map(str::to_owned),
        x: x.real().filter(|x| x.is_finite())?,
        y: y.real().filter(|y| y.is_finite())?,
        heard: match heard {
            [wall, boot, mono, quality] => (wall.int(), boot.blob(), mono.int(), quality.int()),
            _ => (None, None, None, None),
        },
    })
}
