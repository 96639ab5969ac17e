//! Opening: the directory, its lock, the file, whose it is, and the parts that work on it.

use std::{
    fs::{DirBuilder, File, TryLockError},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicU64},
};

use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::{broadcast, mpsc, watch};
use uuid::{Builder, Uuid};

use super::{
    GroupCommit, Reader, StorageOptions, StoreError, StoreHandle, Writer,
    batch::Backlog,
    clock_floor,
    error::{DbError, row},
    ledger::Ledger,
    mark::{Mark, Marker},
    pool::Pool,
    projections, queries,
    reserve::Reserve,
    room,
    rows::lane_int,
    salvage::{Alarm, Dir, Salvage, Salvager},
    schema, seal,
    upkeep::Upkeep,
    wiping::{self, Wiping},
    writer::Desk,
};
use crate::{
    domain::{Clock, ConsumerId, Epoch, Lane, Registry, SiteId, Timestamp},
    telemetry::{Ailments, Telemetry},
};

pub(super) const DATABASE: &str = "showfloor.sqlite";
const LOCK: &str = "showfloor.lock";
/// With less on the disk than this not even the memory that connections share can be made, bytes.
const ROOM_TO_OPEN: u64 = 1 << 20;
/// Events that are told though they are not stored, as far as somebody is behind.
const UNSTORED: usize = 256;
/// Jobs that wait for the writer: some transactions of facts.
const QUEUE: usize = 4_096;

/// What the store has to know.
pub struct Options {
    /// The data directory; made if it is not there, for its owner only.
    pub dir: PathBuf,
    /// Who pulls the log; each has a cursor in every lane from the start.
    pub consumers: Vec<ConsumerId>,
    /// Tags fixed in the site file.
    pub site_tags: Registry,
    /// Whose log it is.
    pub site: SiteId,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Where to count.
    pub telemetry: Telemetry,
    /// When to commit.
    pub group: GroupCommit,
    /// Where to say that the disk does not take anything, or that a damaged database was set aside.
    pub ailments: Ailments,
    /// Called again and again while a damaged database is salvaged, which may take minutes.
    pub breathe: Arc<dyn Fn() + Send + Sync>,
    /// What it may take of the disk.
    pub storage: StorageOptions,
}

/// The store, before it is split into who asks and who writes.
pub struct Store;

impl Store {
    /// Opens the data directory for this process alone, makes or migrates its tables. A damaged database is set aside and
    /// salvaged.
    ///
    /// # Errors
    /// See [`StoreError`]; nothing is deleted, and the database of a newer program or of another site is not touched.
    pub fn open(options: Options) -> Result<(StoreHandle, Writer), StoreError> {
        let lock = lock(&options.dir)?;
        let dir = Dir::new(&options.dir);
        make_room_to_open(&options);
        schema::refuse_newer_header(&dir.database())?;
        let salvager =
            Salvager { dir: dir.clone(), site: &options.site, clock: &*options.clock, breathe: &*options.breathe };
        salvager.settle()?;
        let opened = match Opened::open(&dir, &options) {
            Err(StoreError::Damaged { cause, .. }) => {
                salvager.set_aside(&cause)?;
                Opened::open(&dir, &options)?
            }
            opened => opened?,
        };
        Ok(assemble(options, lock, dir, opened))
    }
}

/// The database, read as far as a start has to.
struct Opened {
    identity: Identity,
    registry: Arc<Registry>,
    ledger: Ledger,
    salvage: Option<Salvage>,
    floor: Option<Timestamp>,
    wiping: bool,
    upkeep: Upkeep,
}

impl Opened {
    fn open(dir: &Dir, options: &Options) -> Result<Self, StoreError> {
        let path = dir.database();
        let mut conn = schema::open(&path, Mark::read(&options.dir))?;
        let failed = |cause: DbError| cause.opening(path.clone(), "reading its tables");
        let identity = identify(&mut conn, options).map_err(failed)?;
        if identity.site != options.site {
            return Err(StoreError::OtherSite { found: identity.site, expected: options.site.clone(), path });
        }
        let registry = Arc::new(queries::registry(&conn, &options.site_tags).map_err(failed)?);
        let salvage = Salvage::read(&conn, &options.dir).map_err(failed)?;
        let floor = clock_floor::read(&conn).map_err(failed)?;
        let wiping = wiping::is_demanded(&conn).map_err(failed)?;
        let ledger = Ledger::open(conn, identity.epoch).map_err(failed)?;
        let (consumers, now) = (options.consumers.clone(), options.clock.proven());
        let upkeep = Upkeep::open(&options.dir, options.storage, consumers, &ledger.conn, &now).map_err(failed)?;
        Ok(Self { identity, registry, ledger, salvage, floor, wiping, upkeep })
    }
}

fn assemble(options: Options, lock: File, dir: Dir, opened: Opened) -> (StoreHandle, Writer) {
    let Opened { identity, registry, ledger, salvage, floor, wiping, upkeep } = opened;
    let (jobs, queue) = mpsc::channel(QUEUE);
    let (heads_sender, heads) = watch::channel(ledger.heads);
    let (registry_sender, registry) = watch::channel(registry);
    let (disk_state, shown) = watch::channel(upkeep.state());
    let unstored = broadcast::Sender::new(UNSTORED);
    let progress = Arc::new(AtomicU64::new(0));
    let path = dir.database();
    let alarm = Arc::new(Alarm::new(dir.clone()));
    let pool = Arc::new(Pool::new(path.clone(), Arc::clone(&alarm)));
    let marker = Marker::open(&options.dir, identity.epoch);
    marker.write(ledger.heads);
    let wiping = Wiping::new(wiping, dir, options.ailments.clone(), salvage.as_ref(), &options.telemetry);
    let desk = Desk {
        ledger,
        jobs: queue,
        heads: heads_sender,
        registry: registry_sender,
        site_tags: options.site_tags,
        clock: options.clock,
        telemetry: options.telemetry,
        group: options.group,
        pool: Arc::clone(&pool),
        progress: Arc::clone(&progress),
        backlog: Backlog::default(),
        upkeep,
        disk: disk_state,
        unstored: unstored.clone(),
        failing_since: None,
        is_full: false,
        pruned_at: None,
        floor_kept: None,
        marker,
        wiping,
        ailments: options.ailments,
        alarm: Arc::clone(&alarm),
        lock,
    };
    let handle = StoreHandle {
        jobs,
        heads,
        registry,
        disk: shown,
        unstored,
        epoch: identity.epoch,
        visit_namespace: identity.visit_namespace,
        progress,
        clock_floor: floor,
        reader: Reader::new(pool),
        salvage: salvage.map(Arc::new),
        alarm,
        path,
    };
    (handle, Writer::new(desk))
}

/// On a full disk the reserve is what lets the store open.
fn make_room_to_open(options: &Options) {
    if room::available(&options.dir) < ROOM_TO_OPEN {
        let given = Reserve::of(&options.dir, options.storage.reserve_bytes).give_up();
        tracing::warn!("the disk is full; the reserve is given up to open the store: {given:?}");
    }
}

/// Makes the directory if need be and takes its lock, which ends with the process whatever happens to it.
fn lock(dir: &Path) -> Result<File, StoreError> {
    make_dir(dir)?;
    let path = dir.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|source| StoreError::Unwritable { path, source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(StoreError::Unwritable { path: dir.to_owned(), source }),
    }
}

/// Makes the data directory, for its owner only, if it is not there.
pub(super) fn make_dir(dir: &Path) -> Result<(), StoreError> {
    let there = dir.ancestors().find(|above| above.is_dir()).map(Path::to_owned);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.and_then(|()| keep_names(dir, there.as_deref()))
        .map_err(|source| StoreError::Unwritable { path: dir.to_owned(), source })
}

/// SQLite syncs the names of its files in the directory. That of the directory itself, and of those made on the way to
/// it, is for us to sync: else a power cut may take it away with all that was acknowledged.
fn keep_names(dir: &Path, there: Option<&Path>) -> io::Result<()> {
    for above in dir.ancestors().skip(1) {
        let named = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        match File::open(named).and_then(|named| named.sync_all()) {
            // Not ours to open, or on a file system that syncs no directories.
            Err(cause) if !matches!(cause.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput) => {
                return Err(cause);
            }
            _ => {}
        }
        // The directory may have been made by a process that did not get as far as this: its name is synced each time.
        if there == Some(above) || there == Some(dir) {
            break;
        }
    }
    Ok(())
}

/// Who this database is.
struct Identity {
    epoch: Epoch,
    visit_namespace: Uuid,
    site: SiteId,
}

/// Gives a new database its names.
pub(super) fn found(conn: &Connection) -> Result<(), DbError> {
    meta_uuid(conn, "epoch")?;
    meta_uuid(conn, "visit_namespace").map(drop)
}

/// Reads who the database is, or says so in a new one; makes cursors, and rebuilds projections that an older program made.
fn identify(conn: &mut Connection, options: &Options) -> Result<Identity, DbError> {
    let tx = conn.transaction()?;
    let epoch = meta_uuid(&tx, "epoch")?;
    let visit_namespace = meta_uuid(&tx, "visit_namespace")?;
    let site = if let Some(site) = meta::<String>(&tx, "site")? {
        site.parse().map_err(row("site"))?
    } else {
        keep_meta(&tx, "site", options.site.as_str())?;
        options.site.clone()
    };
    let identity = Identity { epoch: Epoch(epoch), visit_namespace, site };
    if identity.site != options.site {
        return Ok(identity);
    }
    if meta::<i64>(&tx, "projections")? != Some(projections::VERSION) {
        projections::rebuild(&tx)?;
        keep_meta(&tx, "projections", projections::VERSION)?;
    }
    for consumer in &options.consumers {
        for lane in Lane::ALL {
            let sql = "INSERT OR IGNORE INTO cursor (consumer, lane, upto) VALUES (?1, ?2, 0)";
            tx.prepare_cached(sql)?.execute(params![consumer.as_str(), lane_int(lane)])?;
        }
    }
    tx.commit()?;
    Ok(identity)
}

pub(super) fn meta<T: rusqlite::types::FromSql>(conn: &Connection, key: &str) -> Result<Option<T>, DbError> {
    let mut statement = conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
    Ok(statement.query_row([key], |row| row.get(0)).optional()?)
}

pub(super) fn keep_meta(conn: &Connection, key: &str, value: impl rusqlite::ToSql) -> Result<(), DbError> {
    conn.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?.execute(params![key, value])?;
    Ok(())
}

fn meta_uuid(conn: &Connection, key: &str) -> Result<Uuid, DbError> {
    if let Some(bytes) = meta::<[u8; 16]>(conn, key)? {
        return Ok(Uuid::from_bytes(bytes));
    }
    let id = Builder::from_random_bytes(seal::random()?).into_uuid();
    keep_meta(conn, key, id.as_bytes())?;
    Ok(id)
}
