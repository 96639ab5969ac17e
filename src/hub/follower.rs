//! The one reader of the log for all sessions: makes frames of what is committed, of where people are, and of what went
//! quiet.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use tokio::{sync::watch, time::MissedTickBehavior};

use super::{
    frame::Frame,
    front::{HubError, Shared},
    near::Near,
    payloads::{HeatFrame, NearCar, NearInterest, Positions, Stale, Who},
    rooms::Audience,
    silence::Silence,
};
use crate::{
    domain::{EventBody, FloorSnapshot, KioskId, SessionId},
    showroom::{Command, KioskCommand},
    store::{LogEntry, SubmitError},
    telemetry::Count,
};

/// Sources that may be quiet, as `STALE` names them: nobody is heard, nothing is stored.
pub(super) const STALE: [&str; 2] = ["anchors", "store"];
const ANCHORS: usize = 0;
const STORE: usize = 1;

/// Positions are told at most twice a second.
const BEAT: Duration = Duration::from_millis(500);
const PAGE: usize = 256;

/// A session whose end was asked for, and what came of it.
type Ending = BoxFuture<'static, (SessionId, Option<SubmitError>)>;

struct Follower<'a> {
    shared: &'a Shared,
    snapshot: watch::Receiver<Arc<FloorSnapshot>>,
    near: Near,
    silence: Silence,
    ending: HashSet<SessionId>,
    endings: FuturesUnordered<Ending>,
}

/// Follows the log for ever.
pub(super) async fn follow(shared: &Shared) -> Result<(), HubError> {
    let mut heads = shared.store.heads();
    let picture = shared.store.reader().picture().await?;
    let mut silence = Silence::new(shared.options.session_timeout * 2);
    for session in &picture.sessions {
        silence.begin(session.kiosk.clone(), session.id, Instant::now());
    }
    let near = Near::new(picture);
    let snapshot = shared.snapshot.clone();
    let (ending, endings) = (HashSet::new(), FuturesUnordered::new());
    let mut follower = Follower { shared, snapshot, near, silence, ending, endings };
    let mut anchors = shared.anchors.clone();
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut disk, mut unstored) = (shared.store.disk(), shared.store.unstored());
    follower.hear(ANCHORS, anchors.as_ref().is_none_or(|connected| *connected.borrow()));
    follower.hear(STORE, disk.borrow_and_update().failing_since.is_none());
    loop {
        tokio::select! {
            changed = heads.changed() => {
                changed.map_err(|_| HubError::Closed)?;
                follower.read_on().await;
            }
            _ = beat.tick() => {
                // What could not be read when it was committed is read now.
                if shared.followed() < heads.borrow().pos {
                    follower.read_on().await;
                }
                follower.beat();
            }
            connected = changed(&mut anchors) => follower.hear(ANCHORS, connected),
            changed = disk.changed() => {
                changed.map_err(|_| HubError::Closed)?;
                let stored = disk.borrow_and_update().failing_since.is_none();
                follower.hear(STORE, stored);
            }
            // Old news of what is not stored is no news.
            Ok(entry) = unstored.recv() => follower.tell_unstored(&entry),
            Some((session, failed)) = follower.endings.next() => {
                follower.ending.remove(&session);
                if let Some(error) = failed {
                    shared.telemetry.problem(Count::StoreErrors, "kiosk sessions", &error);
                }
            }
        }
    }
}

/// Whether anchors are heard, when that changes.
async fn changed(anchors: &mut Option<watch::Receiver<bool>>) -> bool {
    if let Some(connected) = anchors
        && connected.changed().await.is_ok()
    {
        return *connected.borrow_and_update();
    }
    std::future::pending().await
}

impl Follower<'_> {
    /// Tells what was committed since.
    async fn read_on(&mut self) {
        loop {
            let page = match self.shared.store.reader().entries_after(self.shared.followed(), PAGE).await {
                Ok(page) => page,
                Err(error) => return self.shared.telemetry.problem(Count::StoreErrors, "hub", &error),
            };
            for entry in &page {
                self.take(entry);
            }
            if page.len() < PAGE {
                return;
            }
        }
    }

    fn take(&mut self, entry: &LogEntry) {
        self.near.follow(entry);
        self.silence.follow(&entry.event.body, Instant::now());
        let told = self.shared.tell(entry);
        if !told.frames.is_empty() {
            // Nobody may be connected.
            let _ = self.shared.told.send(Arc::new(told));
        }
        if matches!(entry.event.body, EventBody::HeatMinute(_)) {
            let floor = Arc::clone(&self.snapshot.borrow());
            let heat = HeatFrame::from(floor.heat.as_ref());
            let _ = self.shared.state.send(Frame::state("HEATMAP", &heat));
        }
        self.shared.set_followed(entry.event.pos);
    }

    fn beat(&mut self) {
        if self.snapshot.has_changed().unwrap_or(false) {
            let floor = Arc::clone(&self.snapshot.borrow_and_update());
            self.shared.positions.send_replace(Some(Frame::state("POSITIONS", &Positions::from(floor.as_ref()))));
            self.look_near(&floor);
        }
        for (kiosk, session) in self.silence.overdue(Instant::now()) {
            if self.ending.insert(session) {
                self.endings.push(end(self.shared, kiosk, session));
            }
        }
    }

    fn look_near(&mut self, floor: &FloorSnapshot) {
        for (visit, cars) in self.near.look(floor) {
            let vehicles = cars.into_iter().map(|car| NearCar {
                vehicle_id: &car.id,
                make: &car.make,
                model: &car.model,
                year: car.year,
                location: car.spot.as_ref(),
            });
            let near = NearInterest {
                who: Who {
                    visit_id: Some(visit.id),
                    customer_id: visit.customer,
                    customer_name: visit.customer_name.as_deref(),
                },
                vehicles: vehicles.collect(),
                timestamp: self.shared.clock.now().wall,
            };
            let _ = self.shared.state.send(Frame::state("CUSTOMER_NEAR_INTEREST", &near));
        }
    }

    /// A fact that the disk did not take yet: shown, and marked as not stored.
    fn tell_unstored(&self, entry: &LogEntry) {
        for (audience, frame) in self.shared.tell(entry).frames {
            if audience == Audience::Staff {
                // Nobody may be connected.
                let _ = self.shared.state.send(frame);
            }
        }
    }

    /// Says when a source is quiet, and when it is back.
    fn hear(&self, source: usize, well: bool) {
        let was_stale = self.shared.stale.borrow()[source].is_some();
        let since = (!well).then(|| self.shared.clock.now().wall);
        if was_stale != well {
            return;
        }
        let frame = Frame::state("STALE", &Stale { source: STALE[source], since });
        let _ = self.shared.state.send(frame.clone());
        self.shared.stale.send_modify(|stale| stale[source] = (!well).then_some(frame));
    }
}

fn end(shared: &Shared, kiosk: KioskId, session: SessionId) -> Ending {
    let store = shared.store.clone();
    Box::pin(async move {
        let command = Command::Kiosk { kiosk, command: KioskCommand::EndSilent(session) };
        (session, store.submit(None, command).await.err())
    })
}
