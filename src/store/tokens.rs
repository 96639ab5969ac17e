//! The table of access tokens, in a small database of its own, so that tokens are issued and revoked while the daemon
//! has the log. It holds hashes only; what roles and names mean is `access`'s business.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{StoreError, error::DbError, open::make_dir};
use crate::domain::Timestamp;

const FILE: &str = "access.sqlite";
/// A command line and the daemon write at the same time at worst.
const PATIENCE: Duration = Duration::from_secs(5);

/// One token that is not revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// Its own id, which is no secret.
    pub id: String,
    /// What it may do.
    pub role: String,
    /// Its name, unique among those not revoked.
    pub name: String,
    /// For whom.
    pub subject: Option<String>,
    /// When it was issued.
    pub issued_at: Timestamp,
}

/// The open table; each call is one short statement on the calling thread.
pub struct TokenTable {
    conn: Mutex<Connection>,
    path: PathBuf,
}

impl TokenTable {
    /// Opens or makes the table in the data directory.
    ///
    /// # Errors
    /// When the directory or the file cannot be used.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        make_dir(dir)?;
        let path = dir.join(FILE);
        let open = || -> Result<Connection, DbError> {
            let conn = Connection::open(&path)?;
            conn.busy_timeout(PATIENCE)?;
            conn.execute_batch(
                "PRAGMA journal_mode = WAL;
                 PRAGMA synchronous = FULL;
                 CREATE TABLE IF NOT EXISTS token (
                     id TEXT PRIMARY KEY,
                     hash BLOB NOT NULL UNIQUE,
                     role TEXT NOT NULL,
                     name TEXT NOT NULL,
                     subject TEXT,
                     issued_us INTEGER NOT NULL,
                     revoked_us INTEGER
                 ) STRICT;
                 CREATE UNIQUE INDEX IF NOT EXISTS token_name ON token (name) WHERE revoked_us IS NULL;",
            )?;
            Ok(conn)
        };
        let conn = open().map_err(|cause| cause.opening(path.clone(), "opening it"))?;
        Ok(Self { conn: Mutex::new(conn), path })
    }

    /// Puts a token in; `false` when its name is taken.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn insert(&self, hash: [u8; 32], token: &TokenRow) -> Result<bool, StoreError> {
        let sql = "INSERT INTO token (id, hash, role, name, subject, issued_us) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                   ON CONFLICT DO NOTHING";
        let issued = token.issued_at.micros();
        let values = params![token.id, hash, token.role, token.name, token.subject, issued];
        Ok(self.conn().execute(sql, values).map_err(|cause| self.failed(cause))? > 0)
    }

    /// Ends the token of that name; `false` when there is none.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn revoke(&self, name: &str, at: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE token SET revoked_us = ?2 WHERE name = ?1 AND revoked_us IS NULL";
        Ok(self.conn().execute(sql, params![name, at.micros()]).map_err(|cause| self.failed(cause))? > 0)
    }

    /// The token with that hash, unless it is revoked.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn find(&self, hash: [u8; 32]) -> Result<Option<TokenRow>, StoreError> {
        let sql = "SELECT id, role, name, subject, issued_us FROM token WHERE hash = ?1 AND revoked_us IS NULL";
        let conn = self.conn();
        let found = conn.prepare_cached(sql).and_then(|mut statement| statement.query_row([hash], read).optional());
        found.map_err(|cause| self.failed(cause))
    }

    /// Every token that is not revoked, by name.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn list(&self) -> Result<Vec<TokenRow>, StoreError> {
        let sql = "SELECT id, role, name, subject, issued_us FROM token WHERE revoked_us IS NULL ORDER BY name";
        let conn = self.conn();
        let rows = conn.prepare(sql).and_then(|mut statement| statement.query_map([], read)?.collect());
        rows.map_err(|cause| self.failed(cause))
    }

    fn conn(&self) -> MutexGuard<'_, Connection> {
        self.conn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, cause: rusqlite::Error) -> StoreError {
        DbError::Sql(cause).opening(self.path.clone(), "using it")
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<TokenRow> {
    let issued_at = Timestamp::from_micros(row.get(4)?);
    Ok(TokenRow { id: row.get(0)?, role: row.get(1)?, name: row.get(2)?, subject: row.get(3)?, issued_at })
}
