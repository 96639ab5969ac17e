//! The collector's database in a file of SQLite: committed with `synchronous=FULL`. Erased customers leave no personal part
//! in rows (`secure_delete`) nor in the write-ahead log, which is emptied after an erasure.
//!
//! Refuses a database that a newer program wrote, and one that another collector has open.

use std::{fs::File, path::Path};

use rusqlite::{Connection, ErrorCode, OptionalExtension, Savepoint, Statement, params};

use super::{
    clock_rows,
    error::CollectError,
    flow::Cursor,
    ledger::{Stored, Verdict},
    row::{EventRow, Item},
    verify::{Batch, Header},
};
use crate::domain::{ClockQuality, Epoch, Gap, GapReason, Lane, SiteId, Timestamp};

const VERSION: i64 = 3;
const MIGRATIONS: [&str; VERSION as usize] =
    [include_str!("schema.sql"), include_str!("schema_2.sql"), include_str!("schema_3.sql")];

/// The open database.
pub(super) struct Sqlite {
    connection: Connection,
    path: String,
    _lock: File,
}

type Outcome<T> = Result<T, rusqlite::Error>;

impl Sqlite {
    /// Opens the file, makes it if it is not there.
    ///
    /// # Errors
    /// When it cannot be opened, is from a newer program, or another collector has it.
    pub(super) fn open(path: &Path) -> Result<Self, CollectError> {
        let shown = path.display().to_string();
        let lock = lock(path, &shown)?;
        let wrap = |source| database(&shown, "opening it", source);
        let mut connection = Connection::open(path).map_err(wrap)?;
        connection.set_prepared_statement_cache_capacity(32);
        let version = prepare(&mut connection).map_err(wrap)?;
        if version > VERSION {
            return Err(CollectError::Newer { path: shown, version, known: VERSION });
        }
        Ok(Self { connection, path: shown, _lock: lock })
    }

    /// Where the lanes of some boxes end here.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(super) fn cursors(&self, sites: &[SiteId]) -> Result<Vec<[Cursor; 3]>, CollectError> {
        let read = |site: &SiteId| {
            let mut cursors = [Cursor::default(); 3];
            for lane in Lane::ALL {
                cursors[lane as usize] = cursor(&self.connection, site, lane)?;
            }
            Ok(cursors)
        };
        let all: Outcome<Vec<_>> = sites.iter().map(read).collect();
        all.map_err(|source| database(&self.path, "reading cursors", source))
    }

    /// The box has another database now: its lane begins anew. Events of before stay.
    ///
    /// # Errors
    /// When that cannot be stored.
    pub(super) fn begin_epoch(&mut self, site: &SiteId, lane: Lane, epoch: Epoch) -> Result<(), CollectError> {
        let mut begin = || {
            let transaction = self.connection.transaction()?;
            put_cursor(&transaction, site, lane, Cursor { epoch: Some(epoch), after: 0 })?;
            put_epoch(&transaction, site, lane, epoch)?;
            transaction.commit()
        };
        begin().map_err(|source| database(&self.path, "beginning an epoch", source))
    }

    /// Stores batches and moves the cursors; on disk when it returns.
    ///
    /// # Errors
    /// When they cannot be stored; then nothing of them is.
    pub(super) fn store(&mut self, batches: &[Batch]) -> Result<Vec<Verdict>, CollectError> {
        let verdicts = self.write(batches).map_err(|source| database(&self.path, "storing a batch", source))?;
        if verdicts.iter().any(|verdict| matches!(verdict, Verdict::Stored(stored) if stored.erased > 0)) {
            let emptied = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            emptied.map_err(|source| database(&self.path, "emptying the write-ahead log", source))?;
        }
        Ok(verdicts)
    }

    fn write(&mut self, batches: &[Batch]) -> Outcome<Vec<Verdict>> {
        let mut transaction = self.connection.transaction()?;
        let mut verdicts = Vec::with_capacity(batches.len());
        for batch in batches {
            let savepoint = transaction.savepoint()?;
            let verdict = match put(&savepoint, batch) {
                Ok(verdict) => verdict,
                // Dropped, the savepoint takes back what was done in it.
                Err(rusqlite::Error::SqliteFailure(failure, text))
                    if failure.code == ErrorCode::ConstraintViolation =>
                {
                    verdicts.push(Verdict::Unfit(text.unwrap_or_else(|| failure.to_string())));
                    continue;
                }
                Err(error) => return Err(error),
            };
            savepoint.commit()?;
            verdicts.push(verdict);
        }
        transaction.commit()?;
        Ok(verdicts)
    }
}

fn put(transaction: &Savepoint<'_>, batch: &Batch) -> Outcome<Verdict> {
    let Header { site, lane, epoch, after, upto, .. } = &batch.header;
    let known = cursor(transaction, site, *lane)?;
    let mut stored = Stored::default();
    if known.epoch == Some(*epoch) && known.after >= *upto {
        let gaps = batch.items.iter().filter(|item| matches!(item, Item::Gap(_))).count() as u64;
        let doubles = batch.items.len() as u64 - gaps;
        return Ok(Verdict::Stored(Stored { doubles, gaps, ..stored }));
    }
    if known.after != *after || known.epoch.is_some_and(|known| known != *epoch) {
        return Ok(Verdict::Elsewhere(known));
    }
    let mut insert = transaction.prepare_cached(PUT_EVENT)?;
    let text = epoch.to_string();
    let of = [site.as_str(), lane.as_str(), &text];
    for item in &batch.items {
        match item {
            Item::Gap(gap) => {
                put_gap(transaction, &batch.header, gap)?;
                stored.gaps += 1;
            }
            Item::Event(event) if put_event(&mut insert, of, event, clock_rows::date(transaction, site, event)?)? => {
                stored.new += 1;
                if event.kind == "customer.erased" {
                    erase(transaction, &batch.header, event)?;
                    stored.erased += 1;
                }
                if let Some(word) = &event.word {
                    clock_rows::learn(transaction, site, word)?;
                }
            }
            Item::Event(_) => stored.doubles += 1,
        }
    }
    if known.epoch.is_none() {
        put_epoch(transaction, site, *lane, *epoch)?;
    }
    put_cursor(transaction, site, *lane, Cursor { epoch: Some(*epoch), after: *upto })?;
    Ok(Verdict::Stored(stored))
}

fn database(path: &str, doing: &'static str, source: rusqlite::Error) -> CollectError {
    let code = source.sqlite_error_code();
    let passing = matches!(
        code,
        Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::SystemIoFailure)
    );
    CollectError::Database { database: path.to_owned(), doing, source: source.into(), passing }
}

/// So that two collectors of one consumer do not take each other's answers away for ever.
fn lock(path: &Path, shown: &str) -> Result<File, CollectError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let failed = |source: std::io::Error| CollectError::Database {
        database: shown.to_owned(),
        doing: "locking it",
        source: source.into(),
        passing: false,
    };
    let file = File::options().create(true).write(true).truncate(false).open(&name).map_err(failed)?;
    match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(CollectError::InUse { path: shown.to_owned() }),
        Err(error) => Err(failed(error.into())),
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

fn cursor(connection: &Connection, site: &SiteId, lane: Lane) -> Outcome<Cursor> {
    let mut statement = connection.prepare_cached("SELECT epoch, after FROM cursor WHERE site = ?1 AND lane = ?2")?;
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
    let row = statement.query_row(params![site.as_str(), lane.as_str()], read).optional()?;
    let known = row.and_then(|(epoch, after)| Some((epoch.parse().ok()?, u64::try_from(after).ok()?)));
    Ok(known.map_or_else(Cursor::default, |(epoch, after)| Cursor { epoch: Some(epoch), after }))
}

fn put_cursor(transaction: &Connection, site: &SiteId, lane: Lane, cursor: Cursor) -> Outcome<()> {
    let sql = "INSERT OR REPLACE INTO cursor (site, lane, epoch, after) VALUES (?1, ?2, ?3, ?4)";
    let epoch = cursor.epoch.map(|epoch| epoch.to_string());
    transaction.prepare_cached(sql)?.execute(params![site.as_str(), lane.as_str(), epoch, number(cursor.after)])?;
    Ok(())
}

fn put_epoch(transaction: &Connection, site: &SiteId, lane: Lane, epoch: Epoch) -> Outcome<()> {
    let sql = "INSERT OR IGNORE INTO epoch (site, lane, epoch, began)
        VALUES (?1, ?2, ?3, strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')";
    transaction.execute(sql, params![site.as_str(), lane.as_str(), epoch.to_string()])?;
    Ok(())
}

/// Of another lane than an erasure, a batch may have been read before it and be stored after it.
const PUT_EVENT: &str =
    "INSERT INTO event (site, lane, epoch, seq, pos, id, kind, at, visit, customer, vehicle, staff, body,
        boot, mono_ns, synced, dated_us, personal)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
        CASE WHEN ?18 IS NULL OR ?10 IS NOT NULL AND EXISTS
            (SELECT 1 FROM erased WHERE site = ?1 AND customer = ?10 AND epoch = ?3 AND pos > ?5)
            THEN NULL ELSE ?18 END)
    ON CONFLICT (site, id) DO NOTHING";

/// Whether it is new.
fn put_event(insert: &mut Statement<'_>, of: [&str; 3], event: &EventRow, dated: Option<Timestamp>) -> Outcome<bool> {
    let [site, lane, epoch] = of;
    let EventRow { seq, pos, id, kind, at, clock, visit, customer, vehicle, staff, personal, body, .. } = event;
    let inserted = insert.execute(params![
        site,
        lane,
        epoch,
        number(*seq),
        number(*pos),
        id.to_string(),
        kind,
        at.to_string(),
        visit.map(|id| id.to_string()),
        customer.map(|id| id.to_string()),
        vehicle,
        staff,
        body,
        clock.boot.0.to_string(),
        clock.mono_ns,
        clock.quality == ClockQuality::Synced,
        dated.map(Timestamp::micros),
        personal,
    ])?;
    Ok(inserted > 0)
}

fn put_gap(transaction: &Connection, header: &Header, gap: &Gap) -> Outcome<()> {
    let Header { site, lane, epoch, .. } = header;
    let sql = "INSERT OR REPLACE INTO gap (site, lane, epoch, first, last, count, reason, at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    transaction.prepare_cached(sql)?.execute(params![
        site.as_str(),
        lane.as_str(),
        epoch.to_string(),
        number(gap.from),
        number(gap.to),
        number(gap.count),
        reason(gap.reason),
        gap.at.to_string()
    ])?;
    Ok(())
}

/// As it stands on the wire.
pub(super) fn reason(reason: GapReason) -> &'static str {
    match reason {
        GapReason::Retention => "retention",
        GapReason::DiskFull => "disk_full",
        GapReason::Corruption => "corruption",
    }
}

/// Forgets what was said of a customer before `event`; what is said after it, of whoever comes back, stays.
fn erase(transaction: &Connection, header: &Header, event: &EventRow) -> Outcome<()> {
    let Some(customer) = event.customer.map(|id| id.to_string()) else { return Ok(()) };
    let (site, epoch, pos) = (header.site.as_str(), header.epoch.to_string(), number(event.pos));
    let sql = "UPDATE event SET personal = NULL
        WHERE site = ?1 AND customer = ?2 AND personal IS NOT NULL AND NOT (epoch = ?3 AND pos > ?4)";
    transaction.execute(sql, params![site, customer, epoch, pos])?;
    let sql = "INSERT OR REPLACE INTO erased (site, customer, epoch, pos) VALUES (?1, ?2, ?3, ?4)";
    transaction.execute(sql, params![site, customer, epoch, pos])?;
    Ok(())
}

#[cfg(test)]
#[path = "sqlite_tests.rs"]
mod tests;
