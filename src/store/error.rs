//! Why the store does not open, and what went wrong inside of it.
//!
//! [`StoreError`] is for whoever starts the daemon: a sentence with the path and what to do. [`DbError`] stays in this
//! folder; nothing personal ever stands in either.

use std::{io, path::PathBuf};

use crate::domain::SiteId;

/// Why the store could not be opened, run or closed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it.
    #[error("another showfloor uses {path}; stop it, or give this one a data directory of its own")]
    Locked {
        /// The data directory.
        path: PathBuf,
    },
    /// Written by a newer program; nothing was touched.
    #[error(
        "{path} was written by a newer showfloor (version {found} of its tables, this program knows {known}); start \
         that program, or give this one a data directory of its own"
    )]
    Newer {
        /// Version of the file.
        found: i64,
        /// Newest version that this program knows.
        known: i64,
        /// The file.
        path: PathBuf,
    },
    /// It is the log of another showroom.
    #[error("{path} belongs to site {found}, not to {expected}; correct the site file or the data directory")]
    OtherSite {
        /// Whose it is.
        found: SiteId,
        /// Whose it should be.
        expected: SiteId,
        /// The file.
        path: PathBuf,
    },
    /// The data directory cannot be made or written.
    #[error("{path} cannot be written; check its owner, its rights and the disk")]
    Unwritable {
        /// What could not be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no database, or not a whole one.
    #[error("{path} is damaged ({cause}), and nothing was deleted; restore a copy of it, or see the log")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// It was found while the daemon ran; the next start sets the file aside and goes on with what can be read.
    #[error("{path} was found damaged while it was in use ({cause}); start again: it will be set aside and salvaged")]
    DamageMet {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// Anything else that SQLite or the system refused.
    #[error("{path} could not be used while {doing}")]
    Failed {
        /// The file.
        path: PathBuf,
        /// At what.
        doing: &'static str,
        /// What was said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The writer's thread could not be started.
    #[error("the thread of the store could not be started")]
    Thread(#[source] io::Error),
    /// The writer's thread ended by a panic.
    #[error("the thread of the store ended by a panic")]
    Died,
}

/// What can go wrong with one statement or row.
#[derive(Debug, thiserror::Error)]
pub(super) enum DbError {
    /// SQLite refused.
    #[error(transparent)]
    Sql(#[from] rusqlite::Error),
    /// A row holds what this program cannot have written.
    #[error("{what} in the database is not understood")]
    Row {
        /// Which column.
        what: &'static str,
    },
    /// A row of the log is not as it was written.
    #[error("the event at position {pos} is not as it was written")]
    Torn {
        /// Where.
        pos: u64,
    },
    /// Numbers of a lane that no event and no gap accounts for.
    #[error("numbers {from} to {to} of lane {lane} are neither events nor in a gap")]
    Unaccounted {
        /// Which lane.
        lane: &'static str,
        /// The first of them.
        from: u64,
        /// The last.
        to: u64,
    },
    /// The data directory does not do as it is told.
    #[error("the data directory: {0}")]
    Disk(String),
    /// No entropy.
    #[error("the system gave no random bytes")]
    Random,
    /// A personal part could not be sealed.
    #[error("a personal part could not be sealed")]
    Seal,
}

impl DbError {
    /// Whether the same statement may go well later: the disk may heal, a constraint does not.
    pub(super) fn may_pass(&self) -> bool {
        use rusqlite::ErrorCode::{ConstraintViolation, ParameterOutOfRange, TooBig, TypeMismatch};
        match self {
            Self::Sql(cause) => {
                let lasting = [ConstraintViolation, ParameterOutOfRange, TooBig, TypeMismatch];
                cause.sqlite_error_code().is_some_and(|code| !lasting.contains(&code))
            }
            Self::Random | Self::Disk(_) => true,
            Self::Row { .. } | Self::Torn { .. } | Self::Unaccounted { .. } | Self::Seal => false,
        }
    }

    /// Whether the file is not as it was written. What a disk refuses just now is no damage.
    pub(super) fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Sql(cause) => matches!(cause.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)),
            Self::Torn { .. } | Self::Unaccounted { .. } => true,
            Self::Row { .. } | Self::Disk(_) | Self::Random | Self::Seal => false,
        }
    }

    /// Whether there was no room, as far as SQLite can tell.
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Sql(cause) if cause.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull))
    }

    /// The same as said to whoever opens the store.
    pub(super) fn opening(self, path: PathBuf, doing: &'static str) -> StoreError {
        use rusqlite::ErrorCode::{
            CannotOpen, ConstraintViolation, DatabaseCorrupt, NotADatabase, ReadOnly, TypeMismatch, Unknown,
        };
        let Self::Sql(cause) = &self else {
            return match self {
                Self::Random | Self::Seal | Self::Disk(_) => StoreError::Failed { path, doing, source: Box::new(self) },
                damage => StoreError::Damaged { path, cause: damage.to_string() },
            };
        };
        match cause.sqlite_error_code() {
            // Tables, columns or rows that the program made are not there, or are not what it made.
            Some(DatabaseCorrupt | NotADatabase | Unknown | ConstraintViolation | TypeMismatch) | None => {
                StoreError::Damaged { path, cause: cause.to_string() }
            }
            Some(CannotOpen | ReadOnly) => StoreError::Unwritable { path, source: io::Error::other(cause.to_string()) },
            _ => StoreError::Failed { path, doing, source: Box::new(self) },
        }
    }
}

/// For closures of `map_err`: a column that is not understood.
pub(super) fn row<E>(what: &'static str) -> impl FnOnce(E) -> DbError {
    move |_| DbError::Row { what }
}
