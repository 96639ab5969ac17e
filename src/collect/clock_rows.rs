//! What boxes said of their clocks, and the dates that follow, in the collector's SQLite database. The rule is in
//! `dating.rs`; here it is kept true: `event.dated_us` is what the rule says, after each transaction.

use rusqlite::{OptionalExtension as _, Transaction, params};

use super::{dating::Word, verify::EventRow};
use crate::domain::{BootId, ClockQuality, SiteId, Timestamp};

type Outcome<T> = Result<T, rusqlite::Error>;

/// Dates an event that was just stored, and with it, when it is a word about the clock, all that wait for that word.
pub(super) fn date(transaction: &Transaction<'_>, site: &SiteId, event: &EventRow) -> Outcome<()> {
    if let Some(word) = &event.word {
        learn(transaction, site, word)?;
    }
    let clock = &event.clock;
    let known = match clock.quality {
        ClockQuality::Synced => None,
        ClockQuality::Unsynced => newest(transaction, site, clock.boot)?,
    };
    let sql = "UPDATE event SET boot = ?3, mono_ns = ?4, synced = ?5, dated_us = ?6 WHERE site = ?1 AND id = ?2";
    transaction.prepare_cached(sql)?.execute(params![
        site.as_str(),
        event.id.to_string(),
        clock.boot.0.to_string(),
        clock.mono_ns,
        clock.quality == ClockQuality::Synced,
        super::dating::dated(event.at, clock, known.as_ref()).map(Timestamp::micros),
    ])?;
    Ok(())
}

/// Keeps a word that is newer than the one that is known, and dates by it what is `unsynced` in its boot.
fn learn(transaction: &Transaction<'_>, site: &SiteId, word: &Word) -> Outcome<()> {
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

fn newest(transaction: &Transaction<'_>, site: &SiteId, boot: BootId) -> Outcome<Option<Word>> {
    let sql = "SELECT said_ns, offset_ns FROM boot_clock WHERE site = ?1 AND boot = ?2";
    let read = |row: &rusqlite::Row<'_>| Ok(Word { boot, said_ns: row.get(0)?, offset_ns: row.get(1)? });
    transaction.prepare_cached(sql)?.query_row(params![site.as_str(), boot.0.to_string()], read).optional()
}
