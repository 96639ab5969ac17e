//! The collector's database. A batch and its cursor are one transaction, on disk when [`Ledger::store`] returns
//! (`synchronous=FULL`); an event that is known by its id is not stored again; erased customers leave no personal part,
//! neither in rows (`secure_delete`) nor in the write-ahead log, which is emptied after an erasure.
//!
//! Refuses a database that a newer program wrote.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::{
    clock_rows,
    error::CollectError,
    flow::Cursor,
    verify::{Batch, EventRow, Header, Item},
};
use crate::domain::{Epoch, Gap, Lane, SiteId};

const VERSION: i64 = 2;
const MIGRATIONS: [&str; VERSION as usize] = [include_str!("schema.sql"), include_str!("schema_2.sql")];

/// What came of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stored {
    /// Events that are new.
    pub(super) new: usize,
    /// Events that were there already.
    pub(super) doubles: usize,
    /// Gaps.
    pub(super) gaps: usize,
    /// Customers who were erased.
    pub(super) erased: usize,
}

/// The open database.
pub(super) struct Ledger {
    connection: Connection,
    path: String,
}

type Outcome<T> = Result<T, rusqlite::Error>;

impl Ledger {
    /// Opens the file, makes it if it is not there.
    ///
    /// # Errors
    /// When it cannot be opened, or is from a newer program.
    pub(super) fn open(path: &Path) -> Result<Self, CollectError> {
        let shown = path.display().to_string();
        let wrap = |source| CollectError::Database { path: shown.clone(), doing: "opening it", source };
        let mut connection = Connection::open(path).map_err(wrap)?;
        let version = prepare(&mut connection).map_err(wrap)?;
        if version > VERSION {
            return Err(CollectError::Newer { path: shown, version, known: VERSION });
        }
        Ok(Self { connection, path: shown })
    }

    /// Where a lane of a box ends here.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(super) fn cursor(&self, site: &SiteId, lane: Lane) -> Result<Cursor, CollectError> {
        let sql = "SELECT epoch, after FROM cursor WHERE site = ?1 AND lane = ?2";
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
        let row = self.connection.query_row(sql, params![site.as_str(), lane.as_str()], read).optional();
        let row = row.map_err(|source| self.error("reading a cursor", source))?;
        let known = row.and_then(|(epoch, after)| Some((epoch.parse().ok()?, u64::try_from(after).ok()?)));
        Ok(known.map_or_else(Cursor::default, |(epoch, after)| Cursor { epoch: Some(epoch), after }))
    }

    /// The box has another database now: its lane begins anew. Events of before stay.
    ///
    /// # Errors
    /// When that cannot be stored.
    pub(super) fn begin_epoch(&mut self, site: &SiteId, lane: Lane, epoch: Epoch) -> Result<(), CollectError> {
        let sql = "INSERT OR REPLACE INTO cursor (site, lane, epoch, after) VALUES (?1, ?2, ?3, 0)";
        let done = self.connection.execute(sql, params![site.as_str(), lane.as_str(), epoch.to_string()]);
        done.map(|_| ()).map_err(|source| self.error("beginning an epoch", source))
    }

    /// Stores a batch and moves the cursor; on disk when it returns.
    ///
    /// # Errors
    /// When it cannot be stored; then nothing of it is.
    pub(super) fn store(&mut self, batch: &Batch) -> Result<Stored, CollectError> {
        let stored = self.write(batch).map_err(|source| self.error("storing a batch", source))?;
        if stored.erased > 0 {
            let emptied = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            emptied.map_err(|source| self.error("emptying the write-ahead log", source))?;
        }
        Ok(stored)
    }

    fn write(&mut self, batch: &Batch) -> Outcome<Stored> {
        let transaction = self.connection.transaction()?;
        let mut stored = Stored::default();
        for item in &batch.items {
            match item {
                Item::Gap(gap) => {
                    put_gap(&transaction, &batch.header, gap)?;
                    stored.gaps += 1;
                }
                Item::Event(event) if put_event(&transaction, &batch.header, event)? => {
                    stored.new += 1;
                    clock_rows::date(&transaction, &batch.header.site, event)?;
                    if event.kind == "customer.erased" {
                        erase(&transaction, &batch.header, event)?;
                        stored.erased += 1;
                    }
                }
                Item::Event(_) => stored.doubles += 1,
            }
        }
        let Header { site, lane, epoch, upto, .. } = &batch.header;
        let sql = "INSERT OR REPLACE INTO cursor (site, lane, epoch, after) VALUES (?1, ?2, ?3, ?4)";
        transaction.execute(sql, params![site.as_str(), lane.as_str(), epoch.to_string(), number(*upto)])?;
        transaction.commit()?;
        Ok(stored)
    }

    fn error(&self, doing: &'static str, source: rusqlite::Error) -> CollectError {
        CollectError::Database { path: self.path.clone(), doing, source }
    }
}

/// Sets the connection up and makes the tables; returns the version of the file.
fn prepare(connection: &mut Connection) -> Outcome<i64> {
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    let version = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if version > VERSION {
        return Ok(version);
    }
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;")?;
    let transaction = connection.transaction()?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or(0)) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()?;
    Ok(VERSION)
}

/// Numbers of a lane are far below what SQLite holds.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Whether it is new.
fn put_event(transaction: &Transaction<'_>, header: &Header, event: &EventRow) -> Outcome<bool> {
    let Header { site, lane, epoch, .. } = header;
    let EventRow { seq, pos, id, kind, at, subjects: [visit, customer, vehicle, staff], personal, body, .. } = event;
    // A batch of another lane may have been read before the erasure and stored after it.
    let sql =
        "INSERT INTO event (site, lane, epoch, seq, pos, id, kind, at, visit, customer, vehicle, staff, body, personal)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,
            CASE WHEN EXISTS (SELECT 1 FROM erased WHERE site = ?1 AND customer = ?10 AND epoch = ?3 AND pos > ?5)
                THEN NULL ELSE ?14 END)
        ON CONFLICT (site, id) DO NOTHING";
    let inserted = transaction.prepare_cached(sql)?.execute(params![
        site.as_str(),
        lane.as_str(),
        epoch.to_string(),
        number(*seq),
        number(*pos),
        id.to_string(),
        kind,
        at.to_string(),
        visit,
        customer,
        vehicle,
        staff,
        body,
        personal
    ])?;
    Ok(inserted > 0)
}

fn put_gap(transaction: &Transaction<'_>, header: &Header, gap: &Gap) -> Outcome<()> {
    let Header { site, lane, epoch, .. } = header;
    let reason = match gap.reason {
        crate::domain::GapReason::Retention => "retention",
        crate::domain::GapReason::DiskFull => "disk_full",
        crate::domain::GapReason::Corruption => "corruption",
    };
    let sql = "INSERT OR REPLACE INTO gap (site, lane, epoch, first, last, count, reason, at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    transaction.prepare_cached(sql)?.execute(params![
        site.as_str(),
        lane.as_str(),
        epoch.to_string(),
        number(gap.from),
        number(gap.to),
        number(gap.count),
        reason,
        gap.at.to_string()
    ])?;
    Ok(())
}

/// Forgets what was said of a customer before `event`; what is said after it, of whoever comes back, stays.
fn erase(transaction: &Transaction<'_>, header: &Header, event: &EventRow) -> Outcome<()> {
    let [_, Some(customer), _, _] = &event.subjects else { return Ok(()) };
    let (site, epoch, pos) = (header.site.as_str(), header.epoch.to_string(), number(event.pos));
    let sql = "UPDATE event SET personal = NULL
        WHERE site = ?1 AND customer = ?2 AND personal IS NOT NULL AND NOT (epoch = ?3 AND pos > ?4)";
    transaction.execute(sql, params![site, customer, epoch, pos])?;
    let sql = "INSERT OR REPLACE INTO erased (site, customer, epoch, pos) VALUES (?1, ?2, ?3, ?4)";
    transaction.execute(sql, params![site, customer, epoch, pos])?;
    Ok(())
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
