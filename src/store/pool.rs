//! Read-only connections, used on tokio's blocking threads only.
//!
//! Our own and not `deadpool-sqlite`: that one opens for writing, and panics when its last connection is dropped outside
//! of a runtime. At most [`MAX_READERS`] questions are answered at once, each from one snapshot.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::{ReadError, error::DbError, salvage::Alarm};

const MAX_READERS: usize = 4;
/// Only a checkpoint at the end of the daemon can make a reader wait.
const PATIENCE: Duration = Duration::from_secs(1);

/// Idle connections to one file, and how many more there may be.
pub(super) struct Pool {
    path: PathBuf,
    /// `None` once the store is closed.
    idle: Mutex<Option<Vec<Connection>>>,
    permits: Arc<Semaphore>,
    alarm: Arc<Alarm>,
}

impl Pool {
    pub(super) fn new(path: PathBuf, alarm: Arc<Alarm>) -> Self {
        Self { path, idle: Mutex::new(Some(Vec::new())), permits: Arc::new(Semaphore::new(MAX_READERS)), alarm }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Closes what is idle and lends nothing from now on.
    pub(super) fn close(&self) {
        self.permits.close();
        drop(self.idle.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Asks `question` in a transaction of its own, off the async threads.
    pub(super) async fn ask<T, F>(self: &Arc<Self>, doing: &'static str, question: F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, DbError> + Send + 'static,
    {
        let failed = |cause: String| ReadError { doing, cause };
        let permit =
            Arc::clone(&self.permits).acquire_owned().await.map_err(|_| failed("the store is closed".into()))?;
        let pool = Arc::clone(self);
        let answer = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            pool.answer(question).inspect_err(|cause| pool.alarm.hear(cause))
        });
        match answer.await {
            Ok(answer) => answer.map_err(|cause| failed(cause.to_string())),
            Err(cause) => Err(failed(cause.to_string())),
        }
    }

    fn answer<T>(&self, question: impl FnOnce(&Connection) -> Result<T, DbError>) -> Result<T, DbError> {
        let lent = self.idle.lock().unwrap_or_else(PoisonError::into_inner).as_mut().and_then(Vec::pop);
        let conn = match lent {
            Some(conn) => conn,
            None => open(&self.path)?,
        };
        conn.prepare_cached("BEGIN")?.execute([])?;
        let answer = question(&conn);
        let ended = conn.prepare_cached("ROLLBACK").and_then(|mut statement| statement.execute([]));
        // A connection that cannot even end a transaction is dropped.
        if ended.is_ok()
            && let Some(idle) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
        {
            idle.push(conn);
        }
        answer
    }
}

fn open(path: &Path) -> Result<Connection, DbError> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.busy_timeout(PATIENCE)?;
    conn.set_prepared_statement_cache_capacity(48);
    // Half a MiB of pages each: the floor of a showroom fits.
    conn.execute_batch("PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -512;")?;
    Ok(conn)
}
