//! The uplink as the daemon runs it: one connection and four desks that work side by side in one task.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    acks::AckDesk,
    batch::Source,
    commands::{CommandDesk, Recent},
    inbox::Inboxes,
    link::{Letter, Link, Place},
    pulls::PullDesk,
    status::{Condition, LaneStatus, Lanes, Status, Storage},
    sync::{Settings, SyncState},
    topics::Topics,
};
use crate::{
    domain::{Clock, ConsumerId, Lane, SiteId},
    store::{ReadError, StoreHandle},
    telemetry::{Count, Telemetry},
    tls::ClientTls,
};

/// Answers that wait to be handed to the broker; a batch is at most 1 MiB, usually a quarter.
const OUTBOX: usize = 8;
const MAX_HELD: usize = 64;
const MAX_READING: usize = 2;
const STATUS_EVERY: Duration = Duration::from_mins(1);
/// The kernel does not tell when its clock becomes believable.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(2);

/// Why the uplink ended by itself.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub enum UplinkError {
    /// There is nothing to serve any more.
    #[error("the store is closed")]
    StoreClosed,
}

/// How to reach the cloud. Prints without the password.
#[derive(Clone)]
pub struct Options {
    /// Name or address of the broker.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Login, if the broker wants one.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// TLS; clear text without it.
    pub tls: Option<ClientTls>,
    /// This showroom.
    pub site: SiteId,
    /// Who may pull; each has a cursor in each lane.
    pub consumers: Vec<ConsumerId>,
    /// How the box calls itself to the broker; no other client may use it.
    pub client_id: String,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, site, consumers, client_id, .. } = self;
        write!(f, "Options({client_id} of {site} at {host}:{port} for {consumers:?})")
    }
}

/// The cloud's way to the log of this box.
pub struct Uplink {
    options: Options,
    store: StoreHandle,
    clock: Arc<dyn Clock>,
    telemetry: Telemetry,
    degraded: watch::Receiver<Vec<String>>,
}

impl Uplink {
    /// Not connected yet. `degraded` names the parts of the box that do not work as they should.
    #[must_use]
    pub fn new(
        options: Options,
        store: StoreHandle,
        clock: Arc<dyn Clock>,
        telemetry: Telemetry,
        degraded: watch::Receiver<Vec<String>>,
    ) -> Self {
        Self { options, store, clock, telemetry, degraded }
    }

    /// Serves until `stop` is cancelled; says then that the box is offline. A broker that cannot be reached is no error:
    /// it is tried again for ever.
    ///
    /// # Errors
    /// When the store is closed before.
    pub async fn run(self, stop: CancellationToken) -> Result<(), UplinkError> {
        let Self { options, store, clock, telemetry, degraded } = self;
        let began = Instant::now();
        let topics = Topics::new(&options.site);
        let (out, outbox) = mpsc::channel(OUTBOX);
        let (inboxes, trays) = Inboxes::new(out.clone(), topics.clone(), telemetry.clone());
        let (connections, connected) = watch::channel(0);
        let pulls = PullDesk {
            sync: SyncState::new(settings(&options, &store), *store.heads().borrow()),
            reader: store.reader().clone(),
            heads: store.heads(),
            tray: trays.pulls,
            out: out.clone(),
            topics: topics.clone(),
            telemetry: telemetry.clone(),
            began,
        };
        let acks = AckDesk {
            store: store.clone(),
            consumers: options.consumers.clone(),
            tray: trays.acks,
            out: out.clone(),
            topics: topics.clone(),
            telemetry: telemetry.clone(),
            began,
        };
        let commands = CommandDesk {
            store: store.clone(),
            clock: clock.clone(),
            tray: trays.commands,
            out: out.clone(),
            topics: topics.clone(),
            telemetry: telemetry.clone(),
            recent: Recent::default(),
        };
        let place = place(&options, topics.clone(), began);
        let link = Link { place, inboxes, outbox, connections, telemetry: telemetry.clone() };
        let reporter = Reporter { options, store, clock, telemetry, degraded, connected, out, topic: topics.status() };
        let desks = async { tokio::try_join!(pulls.run(), acks.run(), commands.run(), reporter.run()) };
        tokio::select! {
            () = link.run(stop) => Ok(()),
            ended = desks => ended.map(|_| ()),
        }
    }
}

fn settings(options: &Options, store: &StoreHandle) -> Settings {
    Settings {
        source: Source { site: options.site.clone(), epoch: store.epoch() },
        consumers: options.consumers.iter().cloned().collect(),
        max_held: MAX_HELD,
        max_reading: MAX_READING,
    }
}

fn place(options: &Options, topics: Topics, began: Instant) -> Place {
    let Options { host, port, user, password, tls, consumers, client_id, .. } = options.clone();
    let credentials = user.map(|user| (user, password.unwrap_or_default()));
    Place { host, port, client_id, credentials, tls, topics, consumers, began }
}

/// The desk that says how the box is: at each connection, at each change of its condition, and each minute.
struct Reporter {
    options: Options,
    store: StoreHandle,
    clock: Arc<dyn Clock>,
    telemetry: Telemetry,
    degraded: watch::Receiver<Vec<String>>,
    connected: watch::Receiver<u64>,
    out: mpsc::Sender<Letter>,
    topic: String,
}

impl Reporter {
    async fn run(mut self) -> Result<(), UplinkError> {
        let mut told: Option<(u64, Condition, Instant)> = None;
        loop {
            let connection = *self.connected.borrow_and_update();
            let condition = self.condition();
            let fresh = told
                .as_ref()
                .is_some_and(|(of, said, at)| *of == connection && *said == condition && at.elapsed() < STATUS_EVERY);
            if connection > 0 && !fresh {
                let payload = self.status(condition.clone()).await.to_json();
                let letter = Letter { topic: self.topic.clone(), payload, retain: true };
                // Closed only when the uplink ends.
                let _ = self.out.send(letter).await;
                told = Some((connection, condition, Instant::now()));
            }
            tokio::select! {
                gone = self.connected.changed() => if gone.is_err() { return Ok(()) },
                () = tokio::time::sleep(LOOK_AT_CLOCK) => {}
            }
        }
    }

    fn condition(&self) -> Condition {
        let now = self.clock.now();
        let disk = *self.store.disk().borrow();
        let mut degraded = self.degraded.borrow().clone();
        degraded.extend(disk.failing_since.map(|_| "disk".to_owned()));
        Condition {
            site: self.options.site.clone(),
            epoch: self.store.epoch(),
            version: env!("CARGO_PKG_VERSION"),
            boot: now.boot,
            clock: now.quality,
            degraded,
            disk: disk.name(),
        }
    }

    async fn status(&self, condition: Condition) -> Status {
        let mut lanes = [LaneStatus::default(), LaneStatus::default(), LaneStatus::default()];
        for consumer in &self.options.consumers {
            let Some(cursors) = self.known(self.store.reader().cursors(consumer).await) else { continue };
            for (lane, cursor) in lanes.iter_mut().zip(cursors) {
                lane.acked.insert(consumer.clone(), cursor);
            }
        }
        let heads = *self.store.heads().borrow();
        for (lane, status) in Lane::ALL.into_iter().zip(&mut lanes) {
            status.first = self.known(self.store.reader().lane_first(lane).await);
            status.last = heads.of(lane);
        }
        let bytes = self.known(self.store.reader().bytes().await);
        let disk = *self.store.disk().borrow();
        let [sales, presence, trace] = lanes;
        Status {
            storage: Storage { bytes, limit: Some(disk.limit), days_left: disk.days_left, state: condition.disk },
            condition,
            at: self.clock.now().wall,
            lanes: Lanes { sales, presence, trace },
        }
    }

    fn known<T>(&self, answer: Result<T, ReadError>) -> Option<T> {
        answer.inspect_err(|error| self.telemetry.problem(Count::StoreErrors, "uplink", error)).ok()
    }
}
