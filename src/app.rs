//! The composition root: the only file that knows all parts. It opens what can refuse before anything runs, gives each
//! part what it needs, and hands them to the supervisor.

mod certificates;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Mutex, mpsc, watch};

use self::certificates::Certificates;
use crate::{
    access::{AccessBook, AccessError, Gate},
    broker::{self, BrokerError, EmbeddedBroker},
    config::{self, Config, EngineClock, Secret},
    domain::{AnchorId, Clock, FloorSnapshot, Reading, Site, Timestamp},
    http::{self, AnchorLine, Http},
    hub::{self, Hub},
    presence::{Engine, Mode, PresenceTask, Settings, SteadyClock},
    sources::{self, AnchorBook, Anchors, DEFAULT_TOPICS, Stamping, WallClock},
    store::{self, GroupCommit, ReadError, StorageOptions, Store, StoreError, StoreHandle, Writer},
    supervisor::{self, Phase, Pulse, Supervisor, SupervisorError, Unit, signals},
    telemetry::{Ailments, FlooredClock, SystemClock, Telemetry, built},
    tls::ClientTls,
    uplink::{self, Uplink},
};

/// Batches of readings that wait for the engine. At high rates a batch is a few readings: this holds what comes while the
/// engine works out a second of a thousand tags. At its worst, with the largest batches, it is 13 MB.
const READINGS: usize = 1024;
/// How often it is looked whether the writer's thread lives, and whether the engine began.
const LOOK: Duration = Duration::from_millis(20);

/// Why the daemon does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The port is in use, or the address is not ours.
    #[error("cannot listen on {address}: {source}; stop what uses it, or change [http] listen")]
    Listen {
        /// Where it was told to.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nor the tokens.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Nor a broker of our own started.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// What was open could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The system does not tell of signals.
    #[error("signals cannot be received")]
    Signals(#[source] io::Error),
    /// It ran, and ended otherwise than in order.
    #[error(transparent)]
    Stopped(#[from] SupervisorError),
}

/// A daemon whose parts are open and do not run yet.
pub struct App {
    config: Config,
    site: Arc<Site>,
    address: SocketAddr,
    listener: TcpListener,
    broker: Option<EmbeddedBroker>,
    store: StoreHandle,
    writer: Writer,
    book: AccessBook,
    clock: Arc<dyn Clock>,
    telemetry: Telemetry,
    ailments: Ailments,
}

impl App {
    /// Opens everything that can refuse. Blocks for some milliseconds, and as long as it takes to salvage a damaged database;
    /// must be called within a runtime.
    ///
    /// # Errors
    /// When a port is in use, or the data directory cannot be used.
    pub fn open(config: Config) -> Result<Self, AppError> {
        let wanted = config.http.listen;
        let listener = TcpListener::bind(wanted).map_err(|source| AppError::Listen { address: wanted, source })?;
        let address = listener.local_addr().unwrap_or(wanted);
        let clock = Arc::new(FlooredClock::new(SystemClock::new(), built()));
        let (telemetry, ailments) = (Telemetry::default(), Ailments::default());
        let (store, mut writer) = Store::open(store::Options {
            dir: config.dir.clone(),
            consumers: config.uplink.as_ref().map(|uplink| uplink.consumers.clone()).unwrap_or_default(),
            site_tags: config.site.tags.clone(),
            site: config.site.id.clone(),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            telemetry: telemetry.clone(),
            group: GroupCommit::default(),
            ailments: ailments.clone(),
            breathe: Arc::new(supervisor::still_starting),
            storage: storage(&config.storage),
        })?;
        if let Some(kept) = store.clock_floor() {
            clock.restore(kept);
        }
        let book = AccessBook::open(&config.dir)?;
        let broker = config.broker.as_ref().map(embedded).transpose()?;
        writer.run_thread()?;
        let site = Arc::new(config.site.clone());
        Ok(Self { config, site, address, listener, broker, store, writer, book, clock, telemetry, ailments })
    }

    /// Where pages, API and WebSocket are.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The log.
    #[must_use]
    pub fn store(&self) -> &StoreHandle {
        &self.store
    }

    /// The tokens.
    #[must_use]
    pub fn book(&self) -> &AccessBook {
        &self.book
    }

    /// The floor.
    #[must_use]
    pub fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// Runs all parts, and `guests` beside them, until a signal; stops in order.
    ///
    /// # Errors
    /// When a part that everything rests on failed, or the stop was cut short by a second signal.
    pub async fn run(self, guests: Vec<Unit>) -> Result<(), AppError> {
        let orders = signals().map_err(AppError::Signals)?;
        let ailments = self.ailments.clone();
        let mut supervisor = Supervisor::new(ailments.clone(), self.telemetry.clone());
        let store = self.store.clone();
        let plan = self.plan(&mut supervisor, &ailments);
        for guest in guests {
            supervisor.add(guest);
        }
        tracing::info!(
            "showfloor {} for {} in {}, pages at http://{}",
            env!("CARGO_PKG_VERSION"),
            plan.site,
            plan.dir,
            plan.address
        );
        let ended = supervisor.run(orders, plan.ready()).await;
        drop(plan.broker);
        // That the database is damaged says more than that the store ended.
        store.damage().map_or(Ok(()), Err)?;
        Ok(ended?)
    }

    fn plan(self, supervisor: &mut Supervisor, ailments: &Ailments) -> Plan {
        let certificates = Certificates::new(&self.config, &self.clock, ailments, &self.telemetry);
        let degraded = ailments.subscribe();
        let steady = SteadyClock { start: self.clock.now() };
        let book = Arc::new(AnchorBook::new(self.site.anchors.iter().map(|anchor| anchor.id.clone())));
        let (readings, queue) = mpsc::channel(READINGS);
        let (show, snapshot) = watch::channel(Arc::new(FloorSnapshot::default()));
        let (ready, is_ready) = watch::channel(false);
        let mode = mode(self.config.clock, steady);
        let engine = self.engine(mode, queue, show);
        let beats = Arc::clone(&engine.beats);
        let gate = Gate::new(self.book.clone());
        let hub = self.hub(&gate, &snapshot, &book);
        let signs = Signs { degraded: degraded.clone(), ready: is_ready, certificates: certificates.clone() };
        let pages = self.pages(hub.clone(), gate, snapshot, (&book, mode), signs);
        let server = Arc::new(Http::new(self.listener, self.address, pages));
        supervisor.add(store_unit(self.writer, self.store.clone()));
        let patrolled = self.store.clone();
        supervisor.add(Unit::new("patrol", Phase::Intake, move |stop| {
            let store = patrolled.clone();
            async move {
                stop.run_until_cancelled(store.patrol()).await;
                Ok::<_, StoreError>(())
            }
        }));
        supervisor.add(Unit::new("http", Phase::Lan, move |stop| Arc::clone(&server).run(stop)));
        supervisor.add(Unit::new("hub", Phase::Lan, move |stop| hub.clone().run(stop)));
        supervisor.add(engine.unit());
        supervisor.watch(Pulse::new("presence", Arc::clone(&beats)));
        let nudged = self.store.clone();
        supervisor.watch(Pulse::nudged("store", self.store.progress(), move || nudged.nudge()));
        let tls = certificates.anchors.clone();
        let anchors = anchors_unit(&self.config, tls, &self.clock, steady, book, readings, &self.telemetry);
        let tls = certificates.uplink.clone();
        let uplink = uplink_unit(&self.config, tls, &self.store, &self.clock, &self.telemetry, degraded);
        for unit in anchors.into_iter().chain(uplink).chain(certificates.unit()) {
            supervisor.add(unit);
        }
        let (clock, store, telemetry) = (self.clock, self.store, self.telemetry);
        supervisor.add(Unit::new("clock", Phase::Intake, move |stop| {
            WallClock { clock: Arc::clone(&clock), store: store.clone(), telemetry: telemetry.clone() }.run(stop)
        }));
        let (site, dir) = (self.site.id.to_string(), self.config.dir.display().to_string());
        Plan { site, dir, address: self.address, broker: self.broker, beats, ready }
    }

    fn engine(
        &self,
        mode: Mode,
        queue: mpsc::Receiver<Vec<Reading>>,
        show: watch::Sender<Arc<FloorSnapshot>>,
    ) -> EngineParts {
        EngineParts {
            settings: settings(&self.config, &self.store, mode),
            site: Arc::clone(&self.site),
            store: self.store.clone(),
            queue: Arc::new(Mutex::new(queue)),
            mode,
            show,
            clock: Arc::clone(&self.clock),
            telemetry: self.telemetry.clone(),
            beats: Arc::default(),
        }
    }

    fn hub(&self, gate: &Gate, snapshot: &watch::Receiver<Arc<FloorSnapshot>>, book: &AnchorBook) -> Hub {
        let parts = hub::Parts {
            site: Arc::clone(&self.site),
            store: self.store.clone(),
            snapshot: snapshot.clone(),
            anchors: self.config.anchors.as_ref().map(|_| book.connection()),
            gate: gate.clone(),
            clock: Arc::clone(&self.clock),
            telemetry: self.telemetry.clone(),
        };
        Hub::new(hub_options(&self.config), parts)
    }

    fn pages(
        &self,
        hub: Hub,
        gate: Gate,
        snapshot: watch::Receiver<Arc<FloorSnapshot>>,
        (book, mode): (&Arc<AnchorBook>, Mode),
        signs: Signs,
    ) -> http::Parts {
        let Signs { degraded, ready, certificates } = signs;
        let (book, now) = (Arc::clone(book), Arc::clone(&self.clock));
        let date = move |at| mode.date(at, now.now());
        http::Parts {
            site: Arc::clone(&self.site),
            store: self.store.clone(),
            consumers: self.config.uplink.as_ref().map(|uplink| uplink.consumers.clone()).unwrap_or_default(),
            snapshot,
            gate,
            hub,
            anchors: Box::new(move || book.snapshot().into_iter().map(|seen| anchor_line(seen, &date)).collect()),
            certificates: Box::new(move || certificates.lines()),
            degraded,
            ready,
            clock: Arc::clone(&self.clock),
            telemetry: self.telemetry.clone(),
        }
    }
}

/// What pages show of how the daemon is.
struct Signs {
    degraded: watch::Receiver<Vec<String>>,
    ready: watch::Receiver<bool>,
    certificates: Certificates,
}

/// What is left to the runner of a daemon whose parts are handed out.
struct Plan {
    site: String,
    dir: String,
    address: SocketAddr,
    broker: Option<EmbeddedBroker>,
    beats: Arc<AtomicU64>,
    ready: watch::Sender<bool>,
}

impl Plan {
    /// Done when the engine beats.
    fn ready(&self) -> impl Future<Output = ()> + use<> {
        let (beats, ready) = (Arc::clone(&self.beats), self.ready.clone());
        async move {
            while beats.load(Ordering::Relaxed) == 0 {
                tokio::time::sleep(LOOK).await;
            }
            ready.send_replace(true);
        }
    }
}

/// What an engine is made of, again and again.
#[derive(Clone)]
struct EngineParts {
    settings: Settings,
    site: Arc<Site>,
    store: StoreHandle,
    queue: Arc<Mutex<mpsc::Receiver<Vec<Reading>>>>,
    mode: Mode,
    show: watch::Sender<Arc<FloorSnapshot>>,
    clock: Arc<dyn Clock>,
    telemetry: Telemetry,
    beats: Arc<AtomicU64>,
}

impl EngineParts {
    fn unit(self) -> Unit {
        Unit::new("presence", Phase::Engine, move |stop| {
            let parts = self.clone();
            async move { Ok::<_, Box<dyn std::error::Error + Send + Sync>>(parts.task().await?.run(stop).await?) }
        })
    }

    /// An engine that goes on with the visits that are open in the log.
    async fn task(self) -> Result<PresenceTask, ReadError> {
        let readings = self.queue.lock_owned().await;
        let open = self.store.reader().open_visits().await?;
        let registry = self.store.registry().borrow().clone();
        let now = self.clock.proven();
        let mut engine = Engine::new(self.site, self.settings, registry);
        engine.restore(open.into_iter().map(|stored| self.mode.resume(stored, now)).collect());
        Ok(PresenceTask {
            engine,
            readings,
            store: self.store,
            dating: self.mode,
            snapshot: self.show,
            clock: self.clock,
            telemetry: self.telemetry,
            progress: self.beats,
        })
    }
}

/// Waits for the end, then has everything committed and the file closed.
fn store_unit(writer: Writer, store: StoreHandle) -> Unit {
    let mut writer = Some(writer);
    Unit::new("store", Phase::Store, move |stop| {
        let (writer, store) = (writer.take(), store.clone());
        async move {
            // It is critical, so it is started once.
            let Some(writer) = writer else { return Err(StoreError::Died) };
            loop {
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(LOOK * 10) => {}
                }
                if writer.is_finished() || store.damage().is_some() {
                    break;
                }
            }
            let stopping = stop.is_cancelled();
            store.close().await;
            let joined = tokio::task::spawn_blocking(move || writer.join()).await;
            let closed = joined.unwrap_or(Err(StoreError::Died));
            if stopping { closed } else { closed.and(Err(store.damage().unwrap_or(StoreError::Died))) }
        }
    })
    .critical()
}

fn anchors_unit(
    config: &Config,
    tls: Option<ClientTls>,
    clock: &Arc<dyn Clock>,
    steady: SteadyClock,
    book: Arc<AnchorBook>,
    readings: mpsc::Sender<Vec<Reading>>,
    telemetry: &Telemetry,
) -> Option<Unit> {
    let broker = config.anchors.as_ref()?;
    let options = sources::Options {
        host: broker.host.clone(),
        port: broker.port,
        user: broker.user.clone(),
        password: broker.password.as_ref().map(|secret| secret.expose().to_owned()),
        tls,
        client_id: format!("showfloor-{}-anchors", config.site.id),
        topics: DEFAULT_TOPICS.map(str::to_owned).to_vec(),
        stamping: match config.clock {
            EngineClock::Arrival => Stamping::Arrival,
            EngineClock::Payload => Stamping::Payload,
        },
    };
    let (clock, telemetry) = (Arc::clone(clock), telemetry.clone());
    let now: Arc<dyn Fn() -> Timestamp + Send + Sync> = Arc::new(move || steady.at(clock.now()));
    Some(Unit::new("anchors", Phase::Intake, move |stop| {
        let (book, readings, now) = (Arc::clone(&book), readings.clone(), Arc::clone(&now));
        Anchors::new(options.clone(), book, readings, now, telemetry.clone()).run(stop)
    }))
}

fn uplink_unit(
    config: &Config,
    tls: Option<ClientTls>,
    store: &StoreHandle,
    clock: &Arc<dyn Clock>,
    telemetry: &Telemetry,
    degraded: watch::Receiver<Vec<String>>,
) -> Option<Unit> {
    let config::Uplink { broker, consumers, keep_alive, patience, longest_pause } = config.uplink.as_ref()?;
    let options = uplink::Options {
        host: broker.host.clone(),
        port: broker.port,
        user: broker.user.clone(),
        password: broker.password.as_ref().map(|secret| secret.expose().to_owned()),
        tls,
        site: config.site.id.clone(),
        consumers: consumers.clone(),
        client_id: format!("showfloor-{}-uplink", config.site.id),
        line: uplink::Line { keep_alive: *keep_alive, patience: *patience, longest_pause: *longest_pause },
    };
    let (store, clock, telemetry) = (store.clone(), Arc::clone(clock), telemetry.clone());
    Some(Unit::new("uplink", Phase::Uplink, move |stop| {
        let (clock, telemetry) = (Arc::clone(&clock), telemetry.clone());
        Uplink::new(options.clone(), store.clone(), clock, telemetry, degraded.clone()).run(stop)
    }))
}

fn embedded(config: &config::EmbeddedBroker) -> Result<EmbeddedBroker, BrokerError> {
    let user = |(name, secret): &(String, Secret)| (name.clone(), secret.expose().to_owned());
    EmbeddedBroker::start(broker::Options { listen: config.listen, users: config.users.iter().map(user).collect() })
}

fn storage(config: &config::Storage) -> StorageOptions {
    let config::Storage { limit_bytes, reserve_bytes, keep_days } = *config;
    let keep = keep_days.map(|days| Duration::from_hours(24 * days));
    StorageOptions { limit_bytes, reserve_bytes, keep, ..StorageOptions::default() }
}

fn hub_options(config: &Config) -> hub::Options {
    let config::Limits { messages_per_minute, blocked, message_bytes, idle } = config.http.limits;
    hub::Options { session_timeout: config.http.session_timeout, messages_per_minute, blocked, message_bytes, idle }
}

fn settings(config: &Config, store: &StoreHandle, mode: Mode) -> Settings {
    let presence = config.presence;
    Settings {
        visit_namespace: mode.visit_namespace(store.visit_namespace()),
        door_after: presence.door_timeout,
        silence_after: presence.silence_timeout,
        returning_within: presence.grace,
        dwell_at_least: presence.min_dwell,
        spot_radius_m: presence.dwell_radius_m,
        ..Settings::default()
    }
}

fn mode(clock: EngineClock, steady: SteadyClock) -> Mode {
    match clock {
        EngineClock::Arrival => Mode::Arrival(steady),
        EngineClock::Payload => Mode::Payload,
    }
}

fn anchor_line((anchor, seen): (AnchorId, sources::AnchorSeen), date: impl Fn(Timestamp) -> Timestamp) -> AnchorLine {
    let sources::AnchorSeen { last, messages, adverts, bad, lost, online, .. } = seen;
    AnchorLine { anchor, last_seen: last.map(date), messages, adverts, bad, lost, online }
}
