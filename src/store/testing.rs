//! A store in a temporary directory with a clock that is set by hand.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::Connection;
use uuid::Uuid;

use super::{
    GroupCommit, Options, Receipt, RequestKey, StorageOptions, Store, StoreError, StoreHandle, SubmitError, Writer,
};
use crate::{
    domain::{
        BootId, Clock, ClockQuality, ConsumerId, CustomerId, ExitReason, Fact, Personal, Presence, Registration,
        Registry, Role, Stamp, TagId, Timestamp, Trace, Vehicle, VehicleStatus, VisitId,
    },
    showroom::{CloudCommand, Command, KioskCommand},
    telemetry::{Ailments, Telemetry},
};

pub(super) const START_US: i64 = 1_700_000_000_000_000;

/// Says what it was told; a microsecond later each time.
pub(super) struct HandClock(Mutex<Stamp>, Mutex<Option<Timestamp>>);

impl HandClock {
    pub(super) fn set(&self, change: impl FnOnce(&mut Stamp)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn set_floor(&self, floor: Timestamp) {
        *self.1.lock().unwrap_or_else(PoisonError::into_inner) = Some(floor);
    }
}

impl Clock for HandClock {
    fn now(&self) -> Stamp {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        now.wall = now.wall.plus_micros(1);
        now.mono_ns += 1_000;
        *now
    }

    fn floor(&self) -> Option<Timestamp> {
        *self.1.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A data directory that outlives the stores opened in it.
pub(super) struct Place {
    pub(super) dir: tempfile::TempDir,
    pub(super) clock: Arc<HandClock>,
    pub(super) telemetry: Telemetry,
    pub(super) site_tags: Registry,
    pub(super) group: GroupCommit,
    pub(super) ailments: Ailments,
    pub(super) storage: StorageOptions,
    pub(super) consumers: Vec<ConsumerId>,
    /// Where the data directory is, when not in `dir`.
    pub(super) elsewhere: Option<PathBuf>,
}

impl Place {
    pub(super) fn new() -> Self {
        let wall = Timestamp::from_micros(START_US);
        let now = Stamp { wall, mono_ns: 0, boot: BootId(Uuid::from_u128(7)), quality: ClockQuality::Synced };
        // A wait that no test machine reaches: what a test queued before the thread began is one transaction.
        let group = GroupCommit { max_wait: Duration::from_mins(1), ..GroupCommit::default() };
        Self {
            dir: tempfile::tempdir().expect("makes a directory"),
            clock: Arc::new(HandClock(Mutex::new(now), Mutex::new(None))),
            telemetry: Telemetry::default(),
            site_tags: Registry::default(),
            group,
            ailments: Ailments::default(),
            // Tests that need a reserve say so.
            consumers: vec!["cloud".parse().expect("id")],
            elsewhere: None,
            storage: StorageOptions { reserve_bytes: 0, ..StorageOptions::default() },
        }
    }

    pub(super) fn options(&self) -> Options {
        Options {
            dir: self.data(),
            consumers: self.consumers.clone(),
            site_tags: self.site_tags.clone(),
            site: "hel-01".parse().expect("id"),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            telemetry: self.telemetry.clone(),
            group: self.group,
            ailments: self.ailments.clone(),
            breathe: Arc::new(|| {}),
            storage: self.storage,
        }
    }

    pub(super) fn open(&self) -> Result<(StoreHandle, Writer), StoreError> {
        Store::open(self.options())
    }

    /// Opens it and starts the thread.
    pub(super) fn run(&self) -> Running {
        let (handle, mut writer) = self.open().expect("opens");
        writer.run_thread().expect("starts");
        Running { handle, writer }
    }

    pub(super) fn data(&self) -> PathBuf {
        self.elsewhere.clone().unwrap_or_else(|| self.dir.path().join("data"))
    }

    pub(super) fn file(&self) -> PathBuf {
        self.data().join("showfloor.sqlite")
    }

    /// Another connection to the file, for looking at it and for breaking it.
    pub(super) fn conn(&self) -> Connection {
        Connection::open(self.file()).expect("opens the file")
    }

    /// Whether `text` stands in any file of the directory, copies of damaged files included.
    pub(super) fn holds(&self, text: &str) -> bool {
        let mut folders = vec![self.data()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("lists") {
                let path = entry.expect("entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else if std::fs::read(path).expect("reads").windows(text.len()).any(|w| w == text.as_bytes()) {
                    return true;
                }
            }
        }
        false
    }
}

pub(super) struct Running {
    pub(super) handle: StoreHandle,
    writer: Writer,
}

impl Running {
    pub(super) async fn submit(&self, command: Command) -> Result<Receipt, SubmitError> {
        self.handle.submit(None, command).await
    }

    /// Submits what must go well.
    pub(super) async fn done(&self, command: Command) -> u64 {
        self.submit(command).await.expect("is done").pos
    }

    pub(super) async fn keyed(&self, id: &str, command: Command) -> Result<Receipt, SubmitError> {
        self.handle.submit(Some(key(id)), command).await
    }

    pub(super) async fn close(self) {
        self.handle.close().await;
        self.writer.join().expect("ended well");
    }
}

pub(super) fn key(id: &str) -> RequestKey {
    RequestKey { source: "kiosk:K1".into(), id: id.into() }
}

pub(super) fn kiosk(command: KioskCommand) -> Command {
    Command::Kiosk { kiosk: "K1".parse().expect("id"), command }
}

pub(super) fn car(id: &str) -> Vehicle {
    Vehicle {
        id: id.parse().expect("id"),
        make: "Volvo".into(),
        model: "EX40".into(),
        year: 2026,
        body_type: "suv".into(),
        price: Some(51_990.0),
        currency: Some("EUR".into()),
        spot: format!("spot-{id}").parse().ok(),
        location: None,
        status: VehicleStatus::Available,
        photo: None,
    }
}

pub(super) fn stock(id: &str) -> Command {
    Command::Cloud(CloudCommand::VehicleUpsert(car(id)))
}

pub(super) fn customer_id(n: u128) -> CustomerId {
    CustomerId(Uuid::from_u128(0xc000 + n))
}

pub(super) fn visit_id(n: u128) -> VisitId {
    VisitId(Uuid::from_u128(0xf000 + n))
}

pub(super) fn person(n: u128, fields: &serde_json::Value, profile: &serde_json::Value) -> Command {
    let map = |value: &serde_json::Value| value.as_object().expect("is an object").clone();
    let (personal, profile) = (Personal(map(fields)), map(profile));
    Command::Cloud(CloudCommand::CustomerUpsert { id: customer_id(n), personal, profile })
}

pub(super) fn erase(n: u128) -> Command {
    Command::Cloud(CloudCommand::CustomerErase(customer_id(n)))
}

pub(super) fn tag(text: &str) -> TagId {
    text.parse().expect("id")
}

pub(super) fn visitor(n: u128) -> Registration {
    Registration { role: Role::Visitor, subject: Some(customer_id(n).to_string()), until: None }
}

pub(super) fn assign(text: &str, n: u128) -> Command {
    Command::Cloud(CloudCommand::TagAssign { tag: tag(text), registration: visitor(n) })
}

pub(super) fn fact(at_us: i64, presence: Presence) -> Fact {
    Fact { at: Timestamp::from_micros(at_us), presence }
}

pub(super) fn entered(n: u128, customer: Option<u128>, address: &str) -> Presence {
    let zone = "door".parse().ok();
    let customer = customer.map(customer_id);
    Presence::Entered { visit: visit_id(n), customer, zone, x: 1.0, y: 2.0, returning: false, tag: tag(address) }
}

pub(super) fn moved(n: u128) -> Presence {
    let (from, to) = ("door".parse().ok(), "bay".parse().ok());
    Presence::Moved { visit: visit_id(n), from, to, x: 3.0, y: 4.0 }
}

pub(super) fn exited(n: u128) -> Presence {
    Presence::Exited { visit: visit_id(n), duration_s: 60.0, reason: ExitReason::Door }
}

/// Positions of so many seconds of somebody who walks.
pub(super) fn traced(n: u128, seconds: i32) -> Presence {
    let centimetres = |salt: i32| (0..seconds).map(|s| (s * 37 + salt) % 200 - 100).collect();
    let (x_cm, y_cm) = (centimetres(3), centimetres(71));
    let trace = Trace { t0: Timestamp::from_micros(START_US), step_ms: 1_000, x_cm, y_cm };
    Presence::Traced { visit: visit_id(n), trace }
}

/// Every row of the projections as text.
pub(super) fn dump(conn: &Connection) -> Vec<String> {
    let mut lines = Vec::new();
    for table in super::projections::TABLES {
        let mut statement = conn
            .prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2, 3"))
            .or_else(|_| conn.prepare(&format!("SELECT * FROM {table} ORDER BY 1")));
        let statement = statement.as_mut().expect("prepares");
        let columns = statement.column_count();
        let mut rows = statement.query([]).expect("reads");
        while let Some(row) = rows.next().expect("reads") {
            let values: Vec<_> = (0..columns).map(|i| row.get_ref(i).expect("has it")).collect();
            lines.push(format!("{table} {values:?}"));
        }
    }
    lines
}

/// What a rebuild of the closed file makes of the projections; leaves the file as it was.
pub(super) fn rebuilt(conn: &mut Connection) -> Vec<String> {
    let tx = conn.transaction().expect("begins");
    super::projections::rebuild(&tx).expect("rebuilds");
    dump(&tx)
}
