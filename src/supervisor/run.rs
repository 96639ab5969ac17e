//! The life of the daemon: start, watch, stop phase by phase.

use std::{collections::HashMap, time::Duration};

use futures_util::{Stream, StreamExt as _};
use sd_notify::NotifyState;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::{
    keeper::{Ended, Household, keep},
    unit::{Phase, Unit},
    watchdog::{Pulse, Watchdog},
};
use crate::telemetry::Telemetry;

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
    pub fn new(degraded: watch::Sender<Vec<String>>, telemetry: Telemetry) -> Self {
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
            match sd_notify::watchdog_enabled() {
                Some(limit) => watchdog.feed(limit / 2, || tell(&[NotifyState::Watchdog])).await,
                None => std::future::pending().await,
            }
        };
        let failure = tokio::select! {
            Some(()) = orders.next() => None,
            failure = house.failure() => Some(failure),
            () = announce => None,
        };
        tell(&[NotifyState::Stopping]);
        if let Some(SupervisorError::Failed { name, cause }) = &failure {
            tracing::error!(unit = name, "{cause}; the daemon stops, for nothing works without it");
        }
        tracing::info!("stopping");
        tokio::select! {
            () = house.close() => {}
            Some(()) = orders.next() => return Err(SupervisorError::CutShort),
        }
        tracing::info!("stopped");
        failure.map_or(Ok(()), Err)
    }
}

/// Running parts by phase.
struct House {
    tasks: JoinSet<Ended>,
    stops: HashMap<Phase, CancellationToken>,
    running: HashMap<Phase, Vec<&'static str>>,
}

impl House {
    fn open(units: Vec<Unit>, household: &Household) -> Self {
        let stops: HashMap<_, _> = Phase::ALL.into_iter().map(|phase| (phase, CancellationToken::new())).collect();
        let mut house = Self { tasks: JoinSet::new(), stops, running: HashMap::new() };
        for unit in units {
            house.running.entry(unit.phase).or_default().push(unit.name);
            let stop = house.stops.get(&unit.phase).cloned().unwrap_or_default();
            house.tasks.spawn(keep(unit, stop, household.clone()));
        }
        house
    }

    /// The first failure of a critical part.
    async fn failure(&mut self) -> SupervisorError {
        while let Some(ended) = self.next().await {
            if let Ended { name, failure: Some(cause), .. } = ended {
                return SupervisorError::Failed { name, cause };
            }
        }
        std::future::pending().await
    }

    /// The next part that ended. Keepers do not panic: they catch those of their parts.
    async fn next(&mut self) -> Option<Ended> {
        while let Some(joined) = self.tasks.join_next().await {
            let Ok(ended) = joined else { continue };
            if let Some(names) = self.running.get_mut(&ended.phase) {
                names.retain(|name| *name != ended.name);
            }
            return Some(ended);
        }
        None
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
            let Some(ended) = self.next().await else { return };
            if let Some(cause) = ended.failure {
                tracing::error!(unit = ended.name, "{cause}");
            }
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    // Without systemd there is nobody to tell, which is no error; a socket that is gone is systemd's.
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!("systemd could not be told: {error}");
    }
}
