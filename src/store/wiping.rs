//! What an erasure leaves to be done after its commit: the write-ahead log and the damaged files that were set aside still
//! hold whoever was erased. That it has to be done stands in the database, so that a crash does not make it forgotten.

use rusqlite::Connection;

use super::{
    error::DbError,
    salvage::{Dir, Salvage},
    schema,
};
use crate::telemetry::{Ailments, Gauge, Telemetry};

/// What `degraded` says while a damaged database is kept.
const SALVAGED: &str = "salvaged";

/// Whether, and of what, the data directory is to be wiped.
pub(super) struct Wiping {
    dir: Dir,
    ailments: Ailments,
    due: bool,
}

/// Says in the open transaction that somebody is erased.
pub(super) fn demand(conn: &Connection) -> Result<(), DbError> {
    super::open::keep_meta(conn, "wiping", 1)
}

/// Whether it was said, and not done yet.
pub(super) fn is_demanded(conn: &Connection) -> Result<bool, DbError> {
    Ok(conn.query_row("SELECT EXISTS (SELECT 1 FROM meta WHERE key = 'wiping')", [], |row| row.get(0))?)
}

impl Wiping {
    /// `due`: an earlier run left something to do.
    pub(super) fn new(
        due: bool,
        dir: Dir,
        ailments: Ailments,
        salvage: Option<&Salvage>,
        telemetry: &Telemetry,
    ) -> Self {
        if let Some(salvage) = salvage {
            let shown = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
            telemetry.set(Gauge::SalvagedEvents, shown(salvage.kept));
            telemetry.set(Gauge::LostEvents, shown(salvage.lost));
        }
        if salvage.and_then(Salvage::copy).is_some() {
            ailments.ail(SALVAGED);
        }
        Self { dir, ailments, due }
    }

    /// Whether there is something to do.
    pub(super) fn is_due(&self) -> bool {
        self.due
    }

    /// After the commit of an erasure.
    pub(super) fn owe(&mut self) {
        self.due = true;
    }

    /// Does what is to be done; readers may make it wait for another time.
    pub(super) fn wipe(&mut self, conn: &Connection) -> Result<(), DbError> {
        if !self.due {
            return Ok(());
        }
        if !schema::checkpoint(conn)? {
            return Ok(());
        }
        self.dir.destroy_copies().map_err(|cause| DbError::Disk(cause.to_string()))?;
        self.ailments.heal(SALVAGED);
        conn.execute("DELETE FROM meta WHERE key = 'wiping'", [])?;
        self.due = false;
        Ok(())
    }
}
