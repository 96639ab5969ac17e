//! Where the collector keeps what it was sent: the same promises of two databases.
//!
//! A batch and the cursor of its lane are one transaction, on disk when [`Ledger::store`] returns. A batch is stored only
//! where its lane ends, so that nothing is stored twice, whoever else writes there and however often it is tried; an event
//! that is known by its id (salvaged by the box into a new epoch) is not stored again. Events of an `unsynced` clock are
//! dated anew when the box has learnt the time of that boot. Erased customers leave no personal part in any row.

use std::collections::BTreeSet;

use super::{
    error::CollectError,
    flow::Cursor,
    options::{Options, Target},
    sqlite::Sqlite,
    verify::Batch,
};
use crate::domain::{Epoch, Lane, SiteId};

/// What came of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stored {
    /// Events that are new.
    pub(super) new: u64,
    /// Events that were there already.
    pub(super) doubles: u64,
    /// Gaps.
    pub(super) gaps: u64,
    /// Customers who were erased.
    pub(super) erased: u64,
}

/// What the database said to a batch. All but the first leave nothing of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is on disk.
    Stored(Stored),
    /// The lane does not end where the batch begins, but here.
    Elsewhere(Cursor),
    /// The box was given to another collector.
    NotHeld,
    /// The database will not take it, however often it is tried.
    Unfit(String),
}

/// What this collector is to work on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Roll {
    /// Its boxes.
    pub(super) held: BTreeSet<SiteId>,
    /// Collectors that share the boxes, this one included.
    pub(super) collectors: usize,
    /// Boxes that nobody who lives is known to hold.
    pub(super) orphans: usize,
}

/// One connection to the database that writes.
pub(super) enum Ledger {
    /// A file.
    Sqlite(Sqlite),
    /// A server.
    #[cfg(feature = "collect-postgres")]
    Postgres(Box<super::postgres::Postgres>),
}

impl Ledger {
    /// Opens what `options` name, as often as it may be written to side by side.
    ///
    /// # Errors
    /// When it cannot be used.
    pub(super) async fn open(options: &Options, me: uuid::Uuid) -> Result<(Vec<Self>, Keeper), CollectError> {
        match &options.into {
            Target::Sqlite(path) => {
                let held = options.sites.iter().cloned().collect();
                let ledgers = vec![Self::Sqlite(Sqlite::open(path)?)];
                Ok((ledgers, Keeper::Alone(Roll { held, collectors: 1, orphans: 0 })))
            }
            #[cfg(feature = "collect-postgres")]
            Target::Postgres(address) => {
                use super::postgres::{Leases, Postgres};
                let leases = Leases::open(address, options, me).await?;
                let mut ledgers = Vec::new();
                for _ in 0..super::postgres::WRITERS {
                    let ledger = Postgres::open(address, &options.consumer, me).await?;
                    ledgers.push(Self::Postgres(Box::new(ledger)));
                }
                Ok((ledgers, Keeper::Sharing(Box::new(leases))))
            }
        }
    }

    /// Where the lanes of some boxes end here.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(super) async fn cursors(&mut self, sites: &[SiteId]) -> Result<Vec<[Cursor; 3]>, CollectError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.cursors(sites),
            #[cfg(feature = "collect-postgres")]
            Self::Postgres(postgres) => postgres.cursors(sites).await,
        }
    }

    /// The box has another database now: its lane begins anew. Events of before stay.
    ///
    /// # Errors
    /// When that cannot be stored.
    pub(super) async fn begin_epoch(&mut self, site: &SiteId, lane: Lane, epoch: Epoch) -> Result<(), CollectError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.begin_epoch(site, lane, epoch),
            #[cfg(feature = "collect-postgres")]
            Self::Postgres(postgres) => postgres.begin_epoch(site, lane, epoch).await,
        }
    }

    /// Stores batches and moves the cursors, all in one transaction; on disk when it returns.
    ///
    /// # Errors
    /// When the database is not there or has no room; then nothing of them is stored, or all of them are and the same call
    /// says so when it is made again.
    pub(super) async fn store(&mut self, batches: &[Batch]) -> Result<Vec<Verdict>, CollectError> {
        match self {
            Self::Sqlite(sqlite) => tokio::task::block_in_place(|| sqlite.store(batches)),
            #[cfg(feature = "collect-postgres")]
            Self::Postgres(postgres) => postgres.store(batches).await,
        }
    }
}

/// Says which boxes are this collector's.
pub(super) enum Keeper {
    /// All of them.
    Alone(Roll),
    /// Its share.
    #[cfg(feature = "collect-postgres")]
    Sharing(Box<super::postgres::Leases>),
}

impl Keeper {
    /// Keeps `roll` right until the collector ends.
    pub(super) async fn run(self, roll: tokio::sync::watch::Sender<Roll>) {
        match self {
            Self::Alone(all) => drop(roll.send(all)),
            #[cfg(feature = "collect-postgres")]
            Self::Sharing(leases) => leases.run(&roll).await,
        }
        roll.closed().await;
    }
}
