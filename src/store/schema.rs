//! The tables, and how an older file becomes a current one.
//!
//! Migrations are only ever appended: the version of a file (`user_version`) is the number of them that it has seen. A
//! newer file is refused before SQLite opens it, so that not even its write-ahead log is moved. UUIDs are 16 bytes, lanes
//! are 0 sales, 1 presence, 2 trace, times are microseconds since 1970.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, config::DbConfig};

use super::{
    Heads,
    error::{DbError, StoreError},
    ledger,
    mark::Mark,
    open,
};

/// "SHFL": what the file says it is.
const APPLICATION_ID: i64 = 0x5348_464C;
const FOREIGN_ID: i64 = -1;
/// Only a checkpoint of our own readers can make the writer wait.
const WRITER_PATIENCE: Duration = Duration::from_millis(250);

const MIGRATIONS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
];

/// The version that this program writes.
pub(super) fn known_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Makes a database beside the one in use: fast, and not durable before it is closed and synced.
pub(super) fn build(path: &Path) -> Result<Connection, DbError> {
    let mut conn = Connection::open(path)?;
    conn.set_prepared_statement_cache_capacity(96);
    conn.execute_batch(
        "PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA journal_mode = MEMORY;
         PRAGMA synchronous = OFF;
         PRAGMA foreign_keys = ON;
         PRAGMA secure_delete = ON;
         PRAGMA temp_store = MEMORY;",
    )?;
    migrate(&mut conn)?;
    // It says who it is from its first page on, not only in a write-ahead log that may be lost.
    open::found(&conn)?;
    Ok(conn)
}

/// Opens the file for writing, migrates its tables, and leaves the write-ahead log empty. A file that has gone back behind
/// `mark` is damaged.
pub(super) fn open(path: &Path, mark: Option<Mark>) -> Result<Connection, StoreError> {
    let failed = |cause: DbError| cause.opening(path.to_owned(), "opening it");
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(path, flags).map_err(|cause| failed(cause.into()))?;
    check(&conn, path)?;
    refuse_gone_back(&conn, path, mark)?;
    prepare(&mut conn).map_err(|cause| match cause {
        // A statement of this program's own that is wrong is no damage of the file.
        DbError::Sql(cause) if cause.sqlite_error_code() == Some(rusqlite::ErrorCode::Unknown) => {
            StoreError::Failed { path: path.to_owned(), doing: "making its tables current", source: Box::new(cause) }
        }
        cause => failed(cause),
    })?;
    Ok(conn)
}

/// Opens the file for reading alone, if this program knows its tables.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    refuse_newer_header(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)
        .map_err(|cause| DbError::Sql(cause).opening(path.to_owned(), "opening it"))?;
    check(&conn, path)?;
    Ok(conn)
}

/// The header alone (offsets 60 and 68 of the file format) tells most newer files without opening them.
pub(super) fn refuse_newer_header(path: &Path) -> Result<(), StoreError> {
    let mut header = [0_u8; 72];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut header));
    match read {
        Ok(()) => {}
        Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) => return Ok(()),
        Err(source) => return Err(StoreError::Unwritable { path: path.to_owned(), source }),
    }
    let number =
        |at: usize| i64::from(i32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]));
    let newer = header.starts_with(b"SQLite format 3\0") && number(68) == APPLICATION_ID;
    if newer { refuse(path, number(60), number(68)) } else { Ok(()) }
}

fn refuse(path: &Path, version: i64, application: i64) -> Result<(), StoreError> {
    let path = path.to_owned();
    if application != APPLICATION_ID && application != 0 {
        return Err(StoreError::Damaged { path, cause: "it is a database of another program".into() });
    }
    if application == APPLICATION_ID && version > known_version() {
        return Err(StoreError::Newer { found: version, known: known_version(), path });
    }
    Ok(())
}

/// The same with what a write-ahead log may add; a file that is refused here is closed without a checkpoint.
fn check(conn: &Connection, path: &Path) -> Result<(), StoreError> {
    let failed = |cause: rusqlite::Error| DbError::Sql(cause).opening(path.to_owned(), "reading its version");
    let number = |pragma: &str| conn.query_row(pragma, [], |row| row.get::<_, i64>(0)).map_err(failed);
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    // Reads the schema: a file that is damaged at its root says so here.
    let tables = number("SELECT count(*) FROM sqlite_schema")?;
    let (version, application) = (number("PRAGMA user_version")?, number("PRAGMA application_id")?);
    // Tables that say of no program to be its own are not ours either.
    let application = if application == 0 && tables > 0 { FOREIGN_ID } else { application };
    refuse(path, version, application)?;
    if tables == 0 {
        return Err(StoreError::Damaged { path: path.to_owned(), cause: "it has no tables".into() });
    }
    Ok(())
}

/// What was shown under this epoch must be in it still. Before anything is moved out of the write-ahead log, which may hold
/// more than SQLite believes.
fn refuse_gone_back(conn: &Connection, path: &Path, mark: Option<Mark>) -> Result<(), StoreError> {
    let failed = |cause: DbError| cause.opening(path.to_owned(), "reading how far it is");
    let read = || -> Result<(Option<[u8; 16]>, Heads), DbError> {
        let epoch = conn.query_row("SELECT value FROM meta WHERE key = 'epoch'", [], |row| row.get(0)).optional()?;
        Ok((epoch, ledger::read_heads(conn)?))
    };
    let (epoch, heads) = read().map_err(failed)?;
    if epoch.is_none() {
        return Err(StoreError::Damaged {
            path: path.to_owned(),
            cause: "it does not say which database it is".into(),
        });
    }
    let shown = mark.filter(|mark| epoch.as_ref() == Some(mark.epoch.0.as_bytes())).map(|mark| mark.heads);
    let behind = |shown: &Heads| shown.pos > heads.pos || (0..3).any(|lane| shown.lanes[lane] > heads.lanes[lane]);
    if let Some(shown) = shown.filter(behind) {
        let cause = format!("it has gone back: it ends at position {}, and {} was shown", heads.pos, shown.pos);
        return Err(StoreError::Damaged { path: path.to_owned(), cause });
    }
    let config = conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false);
    config.map_err(|cause| failed(cause.into())).map(drop)
}

fn prepare(conn: &mut Connection) -> Result<(), DbError> {
    conn.busy_timeout(WRITER_PATIENCE)?;
    conn.set_prepared_statement_cache_capacity(96);
    // auto_vacuum counts only before the first page is written, so it comes before the journal mode. Temporary files
    // would hold personal rows outside of the data directory.
    conn.execute_batch(
        "PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA secure_delete = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA journal_size_limit = 4194304;",
    )?;
    migrate(conn)?;
    checkpoint(conn)?;
    Ok(())
}

fn migrate(conn: &mut Connection) -> Result<(), DbError> {
    let tx = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found: i64 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let seen = usize::try_from(found).map_err(super::error::row("user_version"))?;
    if seen == MIGRATIONS.len() {
        // Writes nothing: a full disk must not keep the store from opening.
        return Ok(());
    }
    for migration in MIGRATIONS.iter().skip(seen) {
        tx.execute_batch(migration)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", known_version())?;
    tx.commit()?;
    Ok(())
}

/// Moves the write-ahead log into the file and cuts it to nothing; whether it could, with readers about.
pub(super) fn checkpoint(conn: &Connection) -> Result<bool, DbError> {
    let busy: i64 = conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(busy == 0)
}
