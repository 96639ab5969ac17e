//! The desk between the broker, the boxes' lanes and the writers: hands what happens to the board and does what it says.
//!
//! It never waits for a box, and for the database only when the database has more to do than it may have; what finds no
//! room is dropped and asked for again. Batches are checked beside it.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use rumqttc::{AsyncClient, QoS, SubscribeFilter};
use serde::Deserialize;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};

use super::{
    board::Board,
    error::CollectError,
    flow::{Flow, Outgoing},
    ledger::{Roll, Verdict},
    options::Options,
    session::{Heard, Missed, Signal, Topic},
    subscriptions::Subscriptions,
    tally::{Tallies, Tally},
    verify::{Answer, Batch, Broken, Header, Refusal, check, read_answer},
    writer::{Done, Work},
};
use crate::domain::{Epoch, Lane, SiteId};

/// Uncompressed bytes of batches that wait to be stored.
const MAX_WAITING: u64 = 64 * 1024 * 1024;
/// For handing one message to the broker.
const SEND_WITHIN: Duration = Duration::from_secs(30);
const LOOK_AT_LAG: Duration = Duration::from_secs(1);

/// Why a desk is done with a connection.
pub(super) enum Finish {
    /// Everything is there.
    Done,
    /// The connection takes nothing.
    Stalled,
}

type Checked = (SiteId, Lane, Result<Batch, Broken>);

/// The desk.
pub(super) struct Desk {
    options: Arc<Options>,
    board: Board,
    subscriptions: Subscriptions,
    writers: Vec<mpsc::Sender<Work>>,
    outcomes: mpsc::Receiver<Done>,
    rolls: watch::Receiver<Roll>,
    /// The newest that was taken from there.
    roll: Roll,
    /// Boxes whose cursors are being read.
    awaited: BTreeSet<SiteId>,
    checks: JoinSet<Checked>,
    missed: Missed,
    waiting: u64,
    connected: bool,
    began: Instant,
    tallies: Tallies,
}

#[derive(Deserialize)]
struct AckAnswer {
    lane: Lane,
    epoch: Option<Epoch>,
    acked: Option<u64>,
    error: Option<Refusal>,
}

impl Desk {
    /// Nothing is held yet.
    pub(super) fn new(
        options: Arc<Options>,
        board: Board,
        writers: Vec<mpsc::Sender<Work>>,
        outcomes: mpsc::Receiver<Done>,
        rolls: watch::Receiver<Roll>,
        tallies: Tallies,
    ) -> Self {
        Self {
            options,
            board,
            subscriptions: Subscriptions::default(),
            writers,
            outcomes,
            rolls,
            roll: Roll::default(),
            awaited: BTreeSet::new(),
            checks: JoinSet::new(),
            missed: Missed::default(),
            waiting: 0,
            connected: false,
            began: Instant::now(),
            tallies,
        }
    }

    /// Works on one connection until it takes nothing any more or everything is there.
    ///
    /// # Errors
    /// When the collector cannot go on.
    pub(super) async fn serve(
        &mut self,
        client: &AsyncClient,
        mut signals: mpsc::Receiver<Signal>,
        mut inbox: mpsc::Receiver<Heard>,
    ) -> Result<Finish, CollectError> {
        let mut look = tokio::time::interval(LOOK_AT_LAG);
        loop {
            if self.connected && !(self.subscribe(client).await && self.ask(client).await?) {
                return Ok(Finish::Stalled);
            }
            if self.is_done() {
                return Ok(Finish::Done);
            }
            let deadline = self.board.next_deadline().map(|deadline| self.began + deadline);
            tokio::select! {
                Some(signal) = signals.recv() => self.take_signal(signal)?,
                Some(message) = inbox.recv() => self.take(message).await?,
                Some(outcome) = self.outcomes.recv() => self.take_outcome(outcome)?,
                Some(checked) = self.checks.join_next() => self.take_checked(checked)?,
                changed = self.rolls.changed() => {
                    changed.map_err(|_| CollectError::Writer("the keeper of the sites ended".into()))?;
                    self.take_roll(client).await?;
                }
                _ = look.tick() => self.look(),
                () = sleep_until(deadline), if self.connected => {}
            }
        }
    }

    /// Where the connection says whose answers found no room.
    pub(super) fn missed(&self) -> Missed {
        self.missed.clone()
    }

    fn look(&mut self) {
        for site in self.missed.take() {
            for lane in Lane::ALL {
                self.board.touch(&site, lane, Flow::reconnected);
            }
        }
        self.tallies.lag(self.board.lag());
    }

    /// The connection is gone. Returns whether there was one.
    pub(super) fn disconnected(&mut self) -> bool {
        self.board.disconnected();
        std::mem::replace(&mut self.connected, false)
    }

    fn is_done(&self) -> bool {
        let all = self.awaited.is_empty() && self.roll.collectors > 0 && self.roll.orphans == 0;
        self.options.once && self.connected && all && self.board.is_done()
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Returns whether the connection takes it.
    async fn subscribe(&mut self, client: &AsyncClient) -> bool {
        let Some(sites) = self.subscriptions.next() else { return true };
        let topics = sites.iter().flat_map(|site| TOPICS.map(|topic| topic.of(&self.options, site)));
        let filters: Vec<_> = topics.map(|topic| SubscribeFilter::new(topic, QoS::AtLeastOnce)).collect();
        matches!(tokio::time::timeout(SEND_WITHIN, client.subscribe_many(filters)).await, Ok(Ok(())))
    }

    /// Returns whether the connection takes it.
    async fn ask(&mut self, client: &AsyncClient) -> Result<bool, CollectError> {
        let outgoing = self.board.step(self.began.elapsed(), || uuid::Uuid::new_v4().to_string())?;
        for (site, message) in outgoing {
            let (topic, message, tally) = match message {
                Outgoing::Pull(message) => (Topic::Pull, message, Tally::Asked),
                Outgoing::Ack(message) => (Topic::Ack, message, Tally::Acknowledged),
            };
            self.tallies.add(tally, 1);
            let sent = client.publish(topic.of(&self.options, &site), QoS::AtLeastOnce, false, message.to_string());
            if !matches!(tokio::time::timeout(SEND_WITHIN, sent).await, Ok(Ok(()))) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn take_signal(&mut self, signal: Signal) -> Result<(), CollectError> {
        match signal {
            Signal::Connected => {
                tracing::info!(broker = %self.options.broker, "connected");
                self.connected = true;
                self.tallies.set(Tally::Connected, 1);
                self.tallies.add(Tally::Connections, 1);
                self.subscriptions.reset(self.board.sites().cloned());
            }
            Signal::Subscribed(granted) => {
                for (site, words) in self.subscriptions.answered(&granted) {
                    self.granted(&site, words)?;
                }
            }
        }
        Ok(())
    }

    fn granted(&mut self, site: &SiteId, [batch, acked, status]: [bool; 3]) -> Result<(), CollectError> {
        if batch && acked {
            if !status {
                let topic = Topic::Status.of(&self.options, site);
                tracing::debug!(topic, "the broker forbids it; a box that comes back will be seen a little later");
            }
            self.board.ready(site);
            return Ok(());
        }
        let topic = if batch { Topic::Acked } else { Topic::Batch }.of(&self.options, site);
        let error = CollectError::Forbidden { topic };
        // One of many must not keep the others from being collected.
        if self.options.once || self.options.sites.len() == 1 {
            return Err(error);
        }
        tracing::error!("{error}; the others go on");
        Ok(())
    }

    async fn take(&mut self, message: Heard) -> Result<(), CollectError> {
        match message {
            Heard::Batch(site, payload) => self.take_answer(&site, payload).await,
            Heard::Acked(site, payload) => self.take_ack(&site, &payload).await,
            Heard::There(site, there) => {
                let now = self.now();
                for lane in Lane::ALL {
                    self.board.touch(&site, lane, |flow| flow.is_there(there, now));
                }
                Ok(())
            }
        }
    }

    async fn take_answer(&mut self, site: &SiteId, payload: Vec<u8>) -> Result<(), CollectError> {
        self.tallies.add(Tally::Batches, 1);
        self.tallies.add(Tally::Bytes, payload.len() as u64);
        match read_answer(&payload) {
            Err(broken) => {
                self.tallies.add(Tally::Broken, 1);
                tracing::warn!(%site, %broken, "an answer was not understood");
            }
            Ok(Answer::Refused(id, refusal)) => {
                for lane in Lane::ALL {
                    self.refused(site, lane, Some(&id), refusal.clone()).await?;
                }
            }
            Ok(Answer::Batch(header, body)) => {
                if !self.board.wants(site, &header) {
                    self.tallies.add(Tally::Unwanted, 1);
                    return Ok(());
                }
                let (lane, start) = (header.lane, payload.len() - body.len());
                self.board.touch(site, lane, Flow::arrived);
                if header.count == 0 {
                    self.tallies.add(Tally::Empty, 1);
                    return self.look_at(site, lane, check(header, body));
                }
                let site = site.clone();
                self.checks.spawn_blocking(move || (site, lane, check(header, &payload[start..])));
            }
        }
        Ok(())
    }

    fn take_checked(&mut self, checked: Result<Checked, tokio::task::JoinError>) -> Result<(), CollectError> {
        let (site, lane, checked) = checked.map_err(|error| CollectError::Writer(error.to_string()))?;
        self.look_at(&site, lane, checked)
    }

    /// A batch was checked: it is handed to its writer, if there is room.
    fn look_at(&mut self, site: &SiteId, lane: Lane, checked: Result<Batch, Broken>) -> Result<(), CollectError> {
        let now = self.now();
        let batch = match checked {
            Ok(batch) => batch,
            Err(broken) => {
                self.tallies.add(Tally::Broken, 1);
                return self.board.touch(site, lane, |flow| flow.broken(broken, now)).unwrap_or(Ok(()));
            }
        };
        let room = writer(&self.writers, site).and_then(|writer| writer.try_reserve().ok());
        let Some(room) = room.filter(|_| self.waiting <= MAX_WAITING) else {
            self.tallies.add(Tally::Dropped, 1);
            self.board.touch(site, lane, |flow| flow.no_room(now));
            return Ok(());
        };
        if let Some(number) = self.board.touch(site, lane, |flow| flow.received(&batch.header)).flatten() {
            self.waiting += batch.header.bytes;
            room.send(Work::Keep(number, Box::new(batch)));
        }
        Ok(())
    }

    fn take_outcome(&mut self, outcome: Done) -> Result<(), CollectError> {
        match outcome {
            Done::Found(found) => {
                for (site, cursors) in found {
                    self.awaited.remove(&site);
                    if self.roll.held.contains(&site) {
                        self.board.add(&site, cursors);
                        self.subscriptions.add(site);
                    }
                }
                self.tallies.set(Tally::SitesHeld, self.board.sites().count());
            }
            Done::Began(site, lane, epoch) => {
                tracing::warn!(%site, lane = lane.as_str(), %epoch, "the box has another database; starting it from 0");
                self.board.touch(&site, lane, |flow| flow.began_epoch(epoch));
            }
            Done::Kept(number, header, verdict) => {
                self.waiting = self.waiting.saturating_sub(header.bytes);
                self.kept(number, &header, verdict)?;
            }
            Done::Failed => self.tallies.add(Tally::DatabaseErrors, 1),
            Done::Broken(error) => return Err(error),
        }
        Ok(())
    }

    fn kept(&mut self, number: u32, header: &Header, verdict: Verdict) -> Result<(), CollectError> {
        let (now, Header { site, lane, epoch, upto, head, .. }) = (self.now(), header);
        let back = |cursor| {
            move |flow: &mut Flow| {
                if flow.is_current(number) {
                    flow.thrown_back(cursor, now);
                }
            }
        };
        match verdict {
            Verdict::Stored(stored) => {
                tracing::debug!(%site, lane = lane.as_str(), upto, head, ?stored, "stored");
                self.tallies.stored(stored);
                self.board.touch(site, *lane, |flow| flow.committed(number, *epoch, *upto));
            }
            Verdict::Elsewhere(cursor) => {
                tracing::info!(%site, lane = lane.as_str(), after = cursor.after, "somebody else stored of it; going on from there");
                self.board.touch(site, *lane, back(Some(cursor)));
            }
            Verdict::NotHeld => drop(self.board.touch(site, *lane, back(None))),
            Verdict::Unfit(why) => {
                self.tallies.add(Tally::Broken, 1);
                tracing::error!(%site, lane = lane.as_str(), why, "a batch cannot be stored; this lane stands still until it can");
                let broken = |flow: &mut Flow| {
                    if flow.is_current(number) { flow.broken(Broken::Unfit(why), now) } else { Ok(()) }
                };
                return self.board.touch(site, *lane, broken).unwrap_or(Ok(()));
            }
        }
        Ok(())
    }

    async fn take_ack(&mut self, site: &SiteId, payload: &[u8]) -> Result<(), CollectError> {
        let Ok(AckAnswer { lane, epoch, acked, error }) = serde_json::from_slice(payload) else {
            tracing::warn!(%site, "an answer to an acknowledgement was not understood");
            return Ok(());
        };
        if let Some(refusal) = error {
            return self.refused(site, lane, None, refusal).await;
        }
        if let (Some(epoch), Some(upto)) = (epoch, acked) {
            self.board.touch(site, lane, |flow| flow.acknowledged(epoch, upto));
        }
        Ok(())
    }

    async fn refused(
        &mut self,
        site: &SiteId,
        lane: Lane,
        id: Option<&str>,
        refusal: Refusal,
    ) -> Result<(), CollectError> {
        self.tallies.add(Tally::Refused, 1);
        let now = self.now();
        let begin = self.board.touch(site, lane, |flow| flow.refused(id, refusal, now)).transpose()?.flatten();
        if let (Some(epoch), Some(writer)) = (begin, writer(&self.writers, site)) {
            // Closed only after a writer said why it ended.
            let _ = writer.send(Work::Begin(site.clone(), lane, epoch)).await;
        }
        Ok(())
    }

    /// Takes the boxes that became ours and lets those go that are not any more.
    async fn take_roll(&mut self, client: &AsyncClient) -> Result<(), CollectError> {
        self.roll = self.rolls.borrow_and_update().clone();
        let Roll { held, collectors, orphans } = self.roll.clone();
        self.tallies.set(Tally::Collectors, collectors);
        self.tallies.set(Tally::Orphans, orphans);
        let gone: Vec<SiteId> = self.board.sites().filter(|site| !held.contains(*site)).cloned().collect();
        let new: Vec<SiteId> =
            held.into_iter().filter(|site| !self.board.holds(site) && !self.awaited.contains(site)).collect();
        if !(gone.is_empty() && new.is_empty()) {
            tracing::info!(taken = new.len(), given = gone.len(), collectors, "the sites are shared anew");
        }
        for site in &gone {
            self.board.remove(site);
            self.subscriptions.remove(site);
            for topic in TOPICS.into_iter().filter(|_| self.connected) {
                // What is not wanted any more and comes all the same does no harm.
                let _ = tokio::time::timeout(SEND_WITHIN, client.unsubscribe(topic.of(&self.options, site))).await;
            }
        }
        self.tallies.set(Tally::SitesHeld, self.board.sites().count());
        self.awaited.extend(new.iter().cloned());
        for (index, writer) in self.writers.iter().enumerate() {
            let its = |site: &&SiteId| place(site, self.writers.len()) == index;
            let sites: Vec<SiteId> = new.iter().filter(its).cloned().collect();
            if !sites.is_empty() {
                // Closed only after a writer said why it ended.
                let _ = writer.send(Work::Look(sites)).await;
            }
        }
        Ok(())
    }
}

/// In the order of [`Desk::granted`].
const TOPICS: [Topic; 3] = [Topic::Batch, Topic::Acked, Topic::Status];

/// Which of so many writers a box has.
fn place(site: &SiteId, writers: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    site.hash(&mut hasher);
    usize::try_from(hasher.finish() % (writers.max(1) as u64)).unwrap_or(0)
}

fn writer<'a>(writers: &'a [mpsc::Sender<Work>], site: &SiteId) -> Option<&'a mpsc::Sender<Work>> {
    writers.get(place(site, writers.len()))
}

/// For ever when there is no deadline.
async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
