//! The shell of the engine: gives it readings and time, carries its facts to the store, shows its snapshot.
//!
//! Invariants: a fact is never dropped, the task waits for room in the store's queue; facts go in order; a stop takes in
//! what is queued and invents no exits, so that the visits go on after a restart. While the store makes it wait, readings
//! pile up in a bounded channel and their sources drop and count them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{OwnedMutexGuard, mpsc, watch},
    time::MissedTickBehavior,
};
use tokio_util::sync::CancellationToken;

use super::{Engine, Mode, Output, Verdict, clock::Lead};
use crate::{
    domain::{Clock, FloorSnapshot, Presence, Reading, Registry, Timestamp},
    showroom::Dating,
    store::{StoreClosed, StoreHandle},
    telemetry::{Count, Gauge, Telemetry},
};

/// How often time is told and a new snapshot may be shown.
const BEAT: Duration = Duration::from_millis(250);
/// The engine stays this far behind, so that readings on their way are not late.
const SLACK_US: i64 = 300_000;

/// Why the engine stopped before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum PresenceError {
    /// Its facts have nowhere to go.
    #[error("the presence engine cannot go on: {0}")]
    Store(#[from] StoreClosed),
}

/// The engine with everything it is connected to.
pub struct PresenceTask {
    /// The engine, restored.
    pub engine: Engine,
    /// Readings in batches, as decoded. Lent, so that an engine that is started anew goes on with the same queue.
    pub readings: OwnedMutexGuard<mpsc::Receiver<Vec<Reading>>>,
    /// Where facts go, and where the registry comes from.
    pub store: StoreHandle,
    /// Whose clock counts.
    pub dating: Mode,
    /// The newest picture, at most four a second.
    pub snapshot: watch::Sender<Arc<FloorSnapshot>>,
    /// The box's clock.
    pub clock: Arc<dyn Clock>,
    /// Counters.
    pub telemetry: Telemetry,
    /// Goes up whenever the engine gets on: what feeds the watchdog.
    pub progress: Arc<AtomicU64>,
}

impl PresenceTask {
    /// Runs until `stop`.
    ///
    /// # Errors
    /// When the store is closed before that.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), PresenceError> {
        let mut registry = self.store.registry();
        let mut lead = self.look(Lead::default());
        self.register(&mut registry, lead);
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut out = Output::default();
        let (mut shown, mut open, mut registry_open) = (None, true, true);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                changed = registry.changed(), if registry_open => {
                    registry_open = changed.is_ok();
                    self.register(&mut registry, lead);
                }
                _ = beat.tick() => {
                    let ends_us = lead.ends_us;
                    lead = self.look(lead);
                    if ends_us != lead.ends_us {
                        self.register(&mut registry, lead);
                    }
                    if let Mode::Arrival(steady) = self.dating {
                        let now = steady.at(self.clock.now()).plus_micros(-SLACK_US);
                        self.engine.advance(now, &mut out);
                        self.tell(&mut out, lead).await?;
                    }
                    self.show(&mut shown, lead);
                    self.progress.fetch_add(1, Ordering::Relaxed);
                }
                batch = self.readings.recv(), if open => match batch {
                    Some(batch) => self.take(&batch, &mut out, lead).await?,
                    None => open = false,
                },
            }
        }
        while let Ok(batch) = self.readings.try_recv() {
            self.take(&batch, &mut out, lead).await?;
        }
        self.show(&mut shown, lead);
        Ok(())
    }

    /// How dates lie to the engine's time now.
    fn look(&self, mut lead: Lead) -> Lead {
        if let Mode::Arrival(steady) = self.dating {
            lead.look(&steady, self.clock.now(), self.clock.proven(), self.clock.floor());
        }
        lead
    }

    /// Tells the engine what tags mean, in its own time. Recordings have theirs, and it is that of the dates.
    fn register(&mut self, registry: &mut watch::Receiver<Arc<Registry>>, lead: Lead) {
        let newest = registry.borrow_and_update().clone();
        self.engine.set_registry(match self.dating {
            Mode::Arrival(_) => Arc::new(newest.in_time(lead.ends_us)),
            Mode::Payload => newest,
        });
    }

    async fn take(&mut self, batch: &[Reading], out: &mut Output, lead: Lead) -> Result<(), StoreClosed> {
        for reading in batch {
            let verdict = self.engine.reading(reading, out);
            self.count(reading, verdict);
            if !out.facts.is_empty() {
                self.tell(out, lead).await?;
            }
        }
        self.tell(out, lead).await
    }

    fn count(&self, reading: &Reading, verdict: Verdict) {
        let anchor = reading.anchor.as_str();
        match verdict {
            Verdict::Taken => {}
            Verdict::Unregistered => self.telemetry.count(Count::ReadingsUnregistered),
            Verdict::UnknownAnchor => {
                self.telemetry.problem(Count::AnchorUnknown, anchor, &"the site file has no anchor of this name");
            }
            Verdict::Late => self.telemetry.problem(Count::ReadingsBad, anchor, &"a reading is too late to count"),
            Verdict::Ahead => self.telemetry.problem(Count::ReadingsBad, anchor, &"a reading is from the future"),
            Verdict::Crowded => {
                self.telemetry.problem(Count::ReadingsDropped, "presence", &"more tags than the engine may follow");
            }
        }
    }

    /// Hands the facts over, waiting for room.
    async fn tell(&self, out: &mut Output, lead: Lead) -> Result<(), StoreClosed> {
        out.positions.clear();
        self.telemetry.add(Count::Facts, out.facts.len() as u64);
        for mut fact in out.facts.drain(..) {
            if let Presence::Traced { trace, .. } = &mut fact.presence {
                trace.t0 = trace.t0.plus_micros(lead.shown_us);
            }
            let dating = self.date(fact.at);
            self.store.record(fact, dating).await?;
        }
        Ok(())
    }

    fn date(&self, at: Timestamp) -> Dating {
        match self.dating {
            Mode::Arrival(steady) => Dating::Ago(steady.at(self.clock.now()).since(at)),
            Mode::Payload => Dating::AsSaid,
        }
    }

    /// Shows the floor when a second has passed on it since it was shown.
    fn show(&self, shown: &mut Option<i64>, lead: Lead) {
        let tick = self.engine.last_tick();
        if *shown == tick {
            return;
        }
        *shown = tick;
        let mut snapshot = self.engine.snapshot();
        snapshot.at = snapshot.at.map(|at| at.plus_micros(lead.shown_us));
        self.telemetry.set(Gauge::OpenVisits, i64::try_from(snapshot.visits.len()).unwrap_or(i64::MAX));
        self.snapshot.send_replace(Arc::new(snapshot));
    }
}
