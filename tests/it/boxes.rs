//! Many boxes in one process: stores and uplinks of the product, each with its own connection to the broker, but no
//! anchors, no LAN, no process of their own.

use std::sync::Arc;

use showfloor::{
    domain::{Clock, ConsumerId, Lane, Registry, SiteId, Vehicle, VehicleStatus},
    showroom::{CloudCommand, Command},
    store::{self, GroupCommit, StorageOptions, Store, StoreHandle, Writer},
    telemetry::{Ailments, SystemClock, Telemetry},
    uplink::{self, Uplink},
};
use tempfile::TempDir;
use tokio::{runtime::Runtime, task::JoinSet};
use tokio_util::sync::CancellationToken;

pub struct Boxes {
    runtime: Runtime,
    running: Vec<(SiteId, StoreHandle)>,
    uplinks: JoinSet<()>,
    // Dropped last.
    _writers: Vec<Writer>,
    _dir: TempDir,
}

impl Boxes {
    /// Opens so many and connects them to the broker at `port`.
    pub fn start(number: usize, port: u16) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let dir = TempDir::new().expect("a directory");
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let consumer: ConsumerId = "cloud".parse().expect("an id");
        let (mut boxes, mut writers, mut uplinks) = (Vec::new(), Vec::new(), JoinSet::new());
        let guard = runtime.enter();
        for n in 0..number {
            let site: SiteId = format!("box-{n:03}").parse().expect("an id");
            let (store, mut writer) = Store::open(store::Options {
                dir: dir.path().join(site.as_str()),
                consumers: vec![consumer.clone()],
                site_tags: Registry::default(),
                site: site.clone(),
                clock: Arc::clone(&clock),
                telemetry: Telemetry::default(),
                group: GroupCommit::default(),
                ailments: Ailments::default(),
                breathe: Arc::new(|| ()),
                // Two hundred reserves would be gigabytes.
                storage: StorageOptions { reserve_bytes: 0, ..StorageOptions::default() },
            })
            .expect("opens");
            writer.run_thread().expect("runs");
            let options = uplink::Options {
                host: "127.0.0.1".into(),
                port,
                user: None,
                password: None,
                tls: None,
                site: site.clone(),
                consumers: vec![consumer.clone()],
                client_id: format!("showfloor-{site}-uplink"),
                line: uplink::Line::default(),
            };
            let degraded = tokio::sync::watch::channel(Vec::new()).1;
            let uplink = Uplink::new(options, store.clone(), Arc::clone(&clock), Telemetry::default(), degraded);
            uplinks
                .spawn(async move { Box::pin(uplink.run(CancellationToken::new())).await.expect("the store is open") });
            boxes.push((site, store));
            writers.push(writer);
        }
        drop(guard);
        Self { runtime, running: boxes, uplinks, _writers: writers, _dir: dir }
    }

    pub fn sites(&self) -> impl Iterator<Item = &SiteId> {
        self.running.iter().map(|(site, _)| site)
    }

    /// Has so many cars written in each.
    pub fn write(&self, round: usize, cars: usize) {
        let one = |store: StoreHandle| async move {
            let car = |n: usize| Vehicle {
                id: format!("V{round}-{n}").parse().expect("an id"),
                make: "Volvo".into(),
                model: "EX40".into(),
                year: 2026,
                body_type: "suv".into(),
                price: Some(45_900.0),
                currency: Some("EUR".into()),
                spot: None,
                location: None,
                status: VehicleStatus::Available,
                photo: None,
            };
            let commands = (0..cars).map(|n| store.submit(None, Command::Cloud(CloudCommand::VehicleUpsert(car(n)))));
            for done in futures_util::future::join_all(commands).await {
                done.expect("stored");
            }
        };
        let all = self.running.iter().map(|(_, store)| one(store.clone()));
        self.runtime.block_on(futures_util::future::join_all(all));
    }

    /// The last number of the lane of each.
    pub fn heads(&self, lane: Lane) -> Vec<(SiteId, u64)> {
        self.running.iter().map(|(site, store)| (site.clone(), store.heads().borrow().of(lane))).collect()
    }

    /// How far each knows the consumer to be.
    pub fn acknowledged(&self, lane: Lane) -> Vec<(SiteId, u64)> {
        let consumer: ConsumerId = "cloud".parse().expect("an id");
        let one = |(site, store): &(SiteId, StoreHandle)| {
            let cursors = self.runtime.block_on(store.reader().cursors(&consumer)).expect("read");
            (site.clone(), cursors[lane as usize])
        };
        self.running.iter().map(one).collect()
    }
}

impl Drop for Boxes {
    fn drop(&mut self) {
        self.runtime.block_on(async {
            self.uplinks.shutdown().await;
            for (_, store) in &self.running {
                store.close().await;
            }
        });
    }
}
