//! What came of the newest damaged database, for whoever asks how the box is.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use crate::{
    domain::{Epoch, Timestamp},
    store::{
        error::DbError,
        rows::{count, int},
    },
};

/// A database that was set aside and salvaged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salvage {
    /// When.
    pub at: Timestamp,
    /// What was wrong with it.
    pub cause: String,
    /// Its epoch, as far as it could be read.
    pub epoch: Option<Epoch>,
    /// Events that live on.
    pub kept: u64,
    /// Numbers that were given and whose events are lost.
    pub lost: u64,
    pub(super) copy: PathBuf,
}

impl Salvage {
    /// Where the damaged files are; `None` once they are gone, as they are after an erasure.
    #[must_use]
    pub fn copy(&self) -> Option<&Path> {
        self.copy.is_dir().then_some(&*self.copy)
    }

    pub(super) fn write(&self, conn: &Connection) -> Result<(), DbError> {
        let sql = "INSERT INTO salvage (at_us, cause, epoch, kept, lost, copy) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let epoch = self.epoch.map(|epoch| epoch.0.into_bytes());
        let copy = self.copy.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        conn.execute(sql, params![self.at.micros(), self.cause, epoch, int(self.kept), int(self.lost), copy])?;
        Ok(())
    }

    /// The newest, if there was one.
    pub(in crate::store) fn read(conn: &Connection, dir: &Path) -> Result<Option<Self>, DbError> {
        let sql = "SELECT at_us, cause, epoch, kept, lost, copy FROM salvage ORDER BY n DESC LIMIT 1";
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Self {
                at: Timestamp::from_micros(row.get(0)?),
                cause: row.get(1)?,
                epoch: row.get::<_, Option<[u8; 16]>>(2)?.map(|epoch| Epoch(Uuid::from_bytes(epoch))),
                kept: count(row.get(3)?),
                lost: count(row.get(4)?),
                copy: dir.join(row.get::<_, String>(5)?),
            })
        };
        Ok(conn.query_row(sql, [], read).optional()?)
    }
}
