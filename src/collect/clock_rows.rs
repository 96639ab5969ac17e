//! What boxes said of their clocks, and the dates that follow, in the collector's SQLite database. The rule is in
//! `dating.rs`; here it is kept true: `event.dated_us` is what the rule says, after each transaction.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    dating::{Word, dated},
    row::EventRow,
};
use crate::domain::{BootId, ClockQuality, SiteId, Timestamp};

type Outcome<T> = Result<T, rusqlite::Error>;

/// When an event was that is about to be stored, as far as that is known.
pub(super) fn date(transaction: &Connection, site: &SiteId, event: &EventRow) -> Outcome<Option<Timestamp>> {
    let known = match event.clock.quality {
        ClockQuality::Synced => None,
        ClockQuality::Unsynced => newest(transaction, site, event.clock.boot)?,
    };
    Ok(dated(event.at, &event.clock, known.as_ref()))
}

/// Keeps a word that is newer than the one that is known, and dates by it what is `unsynced` in its boot.
pub(super) fn learn(transaction: &Connection, site: &SiteId, word: &Word) -> Outcome<()> {
    if !word.is_newer(newest(transaction, site, word.boot)?.as_ref()) {
        return Ok(());
    }
    let boot = word.boot.0.to_string();
    let sql = "INSERT OR REPLACE INTO boot_clock (site, boot, said_ns, offset_ns) VALUES (?1, ?2, ?3, ?4)";
    transaction.prepare_cached(sql)?.execute(params![site.as_str(), boot, word.said_ns, word.offset_ns])?;
    let sql = "UPDATE event SET dated_us = (?3 + mono_ns) / 1000 WHERE site = ?1 AND boot = ?2 AND synced = 0";
    transaction.prepare_cached(sql)?.execute(params![site.as_str(), boot, word.offset_ns])?;
    Ok(())
}

fn newest(transaction: &Connection, site: &SiteId, boot: BootId) -> Outcome<Option<Word>> {
    let sql = "SELECT said_ns, offset_ns FROM boot_clock WHERE site = ?1 AND boot = ?2";
    let read = |row: &rusqlite::Row<'_>| Ok(Word { boot, said_ns: row.get(0)?, offset_ns: row.get(1)? });
    transaction.prepare_cached(sql)?.query_row(params![site.as_str(), boot.0.to_string()], read).optional()
}
