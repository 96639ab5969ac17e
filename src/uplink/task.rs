//! The uplink as the daemon runs it: one connection and four desks that work side by side in one task.

use std::{fmt, sync::Arc};

use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    acks::AckDesk,
    batch::Source,
    commands::CommandDesk,
    inbox::Inboxes,
    link::{Line, Link, Place},
    places::LIMITS,
    post::post,
    pulls::{Pages, PullDesk},
    reporter::Reporter,
    sync::{Settings, SyncState},
    topics::Topics,
};
use crate::{
    domain::{Clock, ConsumerId, SiteId},
    store::StoreHandle,
    telemetry::Telemetry,
    tls::ClientTls,
};

const MAX_HELD: usize = 64;

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
    /// How patient to be with the line.
    pub line: Line,
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
        let (out, mail) = post();
        let consumers = options.consumers.clone();
        let (inboxes, trays) = Inboxes::new(consumers.clone(), out.clone(), topics.clone(), telemetry.clone());
        let (connections, connected) = watch::channel(0);
        let source = Source { site: options.site.clone(), epoch: store.epoch() };
        let settings = Settings { source: source.clone(), max_held: MAX_HELD, limits: LIMITS };
        let (reader, heads) = (store.reader().clone(), store.heads());
        let sync = SyncState::new(settings, *heads.borrow());
        let pulls = PullDesk {
            sync,
            pages: Pages { source, reader, heads, telemetry: telemetry.clone() },
            tray: trays.pulls,
            out: out.clone(),
            topics: topics.clone(),
            telemetry: telemetry.clone(),
            began,
        };
        let acks = AckDesk {
            store: store.clone(),
            tray: trays.acks,
            out: out.clone(),
            topics: topics.clone(),
            telemetry: telemetry.clone(),
        };
        let commands = CommandDesk {
            store: store.clone(),
            clock: clock.clone(),
            tray: trays.commands,
            out: out.clone(),
            topics: topics.clone(),
            telemetry: telemetry.clone(),
        };
        let reporter = Reporter {
            site: options.site.clone(),
            consumers,
            store,
            clock,
            telemetry: telemetry.clone(),
            degraded,
            connected,
            out,
            topic: topics.status(),
            began,
        };
        let link = Link { place: place(options, topics, began), inboxes, mail, connections, telemetry };
        let desks = async { tokio::try_join!(pulls.run(), acks.run(), commands.run(), reporter.run()) };
        tokio::select! {
            () = link.run(stop) => Ok(()),
            ended = desks => match ended {
                Ok((never, ..)) => match never {},
                Err(error) => Err(error),
            },
        }
    }
}

fn place(options: Options, topics: Topics, began: Instant) -> Place {
    let Options { host, port, user, password, tls, consumers, client_id, line, .. } = options;
    let credentials = user.map(|user| (user, password.unwrap_or_default()));
    Place { host, port, client_id, credentials, tls, topics, consumers, line, began }
}
