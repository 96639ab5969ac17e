//! The desk that says how the box is: at each connection, at each change of its condition, and each minute.

use std::{convert::Infallible, sync::Arc, time::Duration};

use tokio::{sync::watch, time::Instant};

use super::{
    UplinkError,
    post::{Letter, Outbox},
    status::{Condition, LaneStatus, Lanes, Salvaged, Status, Storage},
};
use crate::{
    domain::{Clock, ConsumerId, Lane, SiteId},
    store::{ReadError, Salvage, StoreHandle},
    telemetry::{Count, Telemetry},
};

const EVERY: Duration = Duration::from_mins(1);
/// The kernel does not tell when its clock becomes believable.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(2);

pub(super) struct Reporter {
    pub(super) site: SiteId,
    pub(super) consumers: Vec<ConsumerId>,
    pub(super) store: StoreHandle,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) telemetry: Telemetry,
    pub(super) degraded: watch::Receiver<Vec<String>>,
    pub(super) connected: watch::Receiver<u64>,
    pub(super) out: Outbox,
    pub(super) topic: String,
    pub(super) began: Instant,
}

/// What was told last. Pure: the clock is an argument.
#[derive(Debug, Default)]
struct Told(Option<(u64, Condition, Duration)>);

impl Told {
    /// Whether something has to be told over connection number `connection` (0 is none).
    fn is_due(&self, connection: u64, condition: &Condition, now: Duration) -> bool {
        let fresh = |(of, said, at): &(u64, Condition, Duration)| {
            *of == connection && said == condition && now.saturating_sub(*at) < EVERY
        };
        connection > 0 && !self.0.as_ref().is_some_and(fresh)
    }
}

impl Reporter {
    /// Ends never.
    pub(super) async fn run(mut self) -> Result<Infallible, UplinkError> {
        let mut told = Told::default();
        loop {
            let connection = *self.connected.borrow_and_update();
            let condition = self.condition();
            if told.is_due(connection, &condition, self.began.elapsed()) {
                let payload = self.status(condition.clone()).await.to_json();
                self.out.send(Letter { retain: true, ..Letter::new(self.topic.clone(), payload) }).await;
                told = Told(Some((connection, condition, self.began.elapsed())));
            }
            tokio::select! {
                // Closed only when the uplink ends.
                Ok(()) = self.connected.changed() => {}
                Ok(()) = self.degraded.changed() => {}
                () = tokio::time::sleep(LOOK_AT_CLOCK) => {}
            }
        }
    }

    fn condition(&mut self) -> Condition {
        let now = self.clock.now();
        Condition {
            site: self.site.clone(),
            epoch: self.store.epoch(),
            version: env!("CARGO_PKG_VERSION"),
            boot: now.boot,
            clock: now.quality,
            degraded: self.degraded.borrow_and_update().clone(),
            disk: self.store.disk().borrow().name(),
            salvage: self.store.salvage().map(|&Salvage { at, epoch, kept, lost, .. }| Salvaged {
                at,
                from: epoch,
                kept,
                lost,
            }),
        }
    }

    async fn status(&self, condition: Condition) -> Status {
        let mut lanes = [LaneStatus::default(), LaneStatus::default(), LaneStatus::default()];
        for consumer in &self.consumers {
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
        let [sales, presence, trace] = lanes;
        let disk = *self.store.disk().borrow();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{BootId, ClockQuality, Epoch};

    #[test]
    fn the_status_is_told_at_each_connection_at_each_change_and_each_minute() {
        let condition = Condition {
            site: "hel-01".parse().expect("id"),
            epoch: Epoch(uuid::Uuid::nil()),
            version: "1",
            boot: BootId(uuid::Uuid::nil()),
            clock: ClockQuality::Unsynced,
            degraded: Vec::new(),
            disk: "ok",
            salvage: None,
        };
        let second = Duration::from_secs;
        assert!(!Told::default().is_due(0, &condition, second(9)), "there is no connection");
        assert!(Told::default().is_due(1, &condition, second(9)));
        let told = Told(Some((1, condition.clone(), second(10))));
        assert!(!told.is_due(1, &condition, second(69)));
        assert!(told.is_due(1, &condition, second(70)), "a minute");
        assert!(told.is_due(2, &condition, second(11)), "a connection");
        let changes: [fn(&mut Condition); 4] = [
            |now| now.clock = ClockQuality::Synced,
            |now| now.degraded = vec!["anchors".into()],
            |now| now.boot = BootId(uuid::Uuid::max()),
            |now| now.epoch = Epoch(uuid::Uuid::max()),
        ];
        for change in changes {
            let mut other = condition.clone();
            change(&mut other);
            assert!(told.is_due(1, &other, second(11)), "{other:?}");
        }
    }
}
