//! The life of the daemon: start, watch, stop phase by phase.

use std::{collections::HashMap, time::Duration};

use futures_util::{Stream, StreamExt as _};
use sd_notify::NotifyState;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    keeper::{Ended, Household, keep},
    notify::{report, tell},
    unit::{Phase, Unit},
    watchdog::{Pulse, Watchdog},
};
use crate::telemetry::{Ailments, Telemetry};

/// Why the daemon ended otherwise than in order.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// A part that everything rests on.
    #[error("{name} failed: {cause}")]
    Failed {
        /// Which part.
        name: &'static str,
        /// Why.
        cause: String,
    },
    /// A second order came while the first was being obeyed.
    #[error("stopped at once by a second signal; what was acknowledged is on disk")]
    CutShort,
}

/// The parts and those who watch over them.
pub struct Supervisor {
    units: Vec<Unit>,
    pulses: Vec<Pulse>,
    household: Household,
}

impl Supervisor {
    /// Without any part yet. `degraded` is told which parts do not work as they should.
    #[must_use]
    pub fn new(degraded: Ailments, telemetry: Telemetry) -> Self {
        Self { units: Vec::new(), pulses: Vec::new(), household: Household { degraded, telemetry } }
    }

    /// Adds a part.
    pub fn add(&mut self, unit: Unit) {
        self.units.push(unit);
    }

    /// The watchdog is fed only while this beats.
    pub fn watch(&mut self, pulse: Pulse) {
        self.pulses.push(pulse);
    }

    /// Runs all parts until `orders` says to stop, or a critical part fails; stops the others in order then. systemd is
    /// told that the daemon is ready when `ready` is.
    ///
    /// # Errors
    /// When a critical part failed, or the stop was cut short.
    pub async fn run(
        self,
        mut orders: impl Stream<Item = ()> + Unpin,
        ready: impl Future<Output = ()>,
    ) -> Result<(), SupervisorError> {
        let watchdog = Watchdog::new(self.pulses);
        let mut house = House::open(self.units, &self.household);
        let announce = async {
            ready.await;
            tracing::info!("ready");
            tell(&[NotifyState::Ready]);
            let feed = async {
                match sd_notify::watchdog_enabled() {
                    Some(limit) => watchdog.feed(limit / 2, || tell(&[NotifyState::Watchdog])).await,
                    None => std::future::pending().await,
                }
            };
            tokio::join!(feed, report(self.household.degraded.subscribe()));
        };
        tokio::select! {
            Some(()) = orders.next() => {}
            () = house.failed() => {}
            () = announce => {}
        }
        tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
        tracing::info!("stopping");
        tokio::select! {
            () = house.close() => {}
            Some(()) = orders.next() => return Err(SupervisorError::CutShort),
        }
        tracing::info!("stopped");
        house.failure.map_or(Ok(()), Err)
    }
}

/// Running parts by phase.
struct House {
    tasks: JoinSet<Ended>,
    stops: HashMap<Phase, CancellationToken>,
    running: HashMap<Phase, Vec<&'static str>>,
    /// The first failure of a critical part, also of one that failed while it was being stopped.
    failure: Option<SupervisorError>,
}

impl House {
    fn open(units: Vec<Unit>, household: &Household) -> Self {
        let stops: HashMap<_, _> = Phase::ALL.into_iter().map(|phase| (phase, CancellationToken::new())).collect();
        let mut house = Self { tasks: JoinSet::new(), stops, running: HashMap::new(), failure: None };
        for unit in units {
            house.running.entry(unit.phase).or_default().push(unit.name);
            let stop = house.stops.get(&unit.phase).cloned().unwrap_or_default();
            house.tasks.spawn(keep(unit, stop, household.clone()));
        }
        house
    }

    /// Ends when a critical part has failed.
    async fn failed(&mut self) {
        while self.failure.is_none() {
            if self.next().await.is_none() {
                return std::future::pending().await;
            }
        }
    }

    /// Waits for the next part to end; none when all have. Keepers do not panic: they catch those of their parts.
    async fn next(&mut self) -> Option<()> {
        loop {
            let Ok(Ended { name, phase, failure }) = self.tasks.join_next().await? else { continue };
            if let Some(names) = self.running.get_mut(&phase) {
                names.retain(|running| *running != name);
            }
            if let Some(cause) = failure {
                tracing::error!(unit = name, "{cause}; the daemon stops, for nothing works without it");
                self.failure.get_or_insert(SupervisorError::Failed { name, cause });
            }
            return Some(());
        }
    }

    /// Stops all, phase by phase; who takes too long is left behind.
    async fn close(&mut self) {
        for phase in Phase::ALL {
            if let Some(stop) = self.stops.get(&phase) {
                stop.cancel();
            }
            if tokio::time::timeout(phase.patience(), self.emptied(phase)).await.is_err() {
                let late = self.running.get(&phase).map(|names| names.join(", ")).unwrap_or_default();
                let patience: Duration = phase.patience();
                tracing::error!("{late} did not stop within {} s and is left behind", patience.as_secs());
            }
        }
    }

    async fn emptied(&mut self, phase: Phase) {
        while self.running.get(&phase).is_some_and(|names| !names.is_empty()) {
            if self.next().await.is_none() {
                return;
            }
        }
    }
}
