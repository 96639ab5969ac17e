//! The collector as it runs: connections one after the other, and a worker that asks, stores and acknowledges.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rumqttc::{AsyncClient, QoS};
use serde::Deserialize;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    error::CollectError,
    flow::{Flow, Outgoing},
    ledger::{Ledger, Stored},
    options::{Options, Target},
    session::{Ended, Heard, client, listen, topic},
    verify::{Answer, Batch, Header, Refusal, check, read_answer},
};
use crate::domain::{Epoch, Lane, SiteId};

/// Before connecting again.
const RECONNECT: Duration = Duration::from_secs(2);
/// Connections in a row that may fail before `--once` gives up.
const ATTEMPTS: u32 = 5;
/// Answers that wait to be stored, each at most some hundred kilobytes.
const ROOM: usize = 64;

/// Pulls the lanes of some boxes into a database.
pub struct Collector {
    options: Options,
    ledger: Arc<Mutex<Ledger>>,
    flows: Vec<Flow>,
    began: Instant,
}

#[derive(Deserialize)]
struct AckAnswer {
    lane: Lane,
    epoch: Option<Epoch>,
    acked: Option<u64>,
    error: Option<Refusal>,
}

impl Collector {
    /// Opens the database and goes on where it ends.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub fn new(options: Options) -> Result<Self, CollectError> {
        let Target::Sqlite(path) = &options.into;
        let ledger = Ledger::open(path)?;
        let mut flows = Vec::new();
        for site in &options.sites {
            for lane in Lane::ALL {
                flows.push(Flow::new(site.clone(), lane, ledger.cursor(site, lane)?, options.once));
            }
        }
        Ok(Self { options, ledger: Arc::new(Mutex::new(ledger)), flows, began: Instant::now() })
    }

    /// Collects until `stop` is cancelled or, with `once`, every lane is at its head and acknowledged.
    ///
    /// # Errors
    /// When it cannot go on; what was stored until then stays.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), CollectError> {
        let mut failed = 0;
        loop {
            let tls = match &self.options.tls {
                Some(tls) => Some(tls.open().await?),
                None => None,
            };
            let (client, mut eventloop) = client(&self.options, tls);
            let (heard, mut inbox) = mpsc::channel(ROOM);
            let options = self.options.clone();
            let mut served = false;
            let ended = tokio::select! {
                ended = listen(&options, &client, &mut eventloop, &heard) => ended,
                done = self.work(&client, &mut inbox, &mut served) => return done,
                () = stop.cancelled() => return Ok(()),
            };
            failed = if served { 1 } else { failed + 1 };
            let broker = self.options.broker.to_string();
            match ended {
                Ended::Hopeless(error) => return Err(error),
                Ended::Lost(cause) if self.options.once && failed >= ATTEMPTS => {
                    return Err(CollectError::Broker { broker, cause });
                }
                Ended::Refused(cause) if self.options.once => return Err(CollectError::Secured(cause)),
                Ended::Lost(cause) | Ended::Refused(cause) => {
                    tracing::warn!(broker, cause, "not connected; trying again");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(RECONNECT) => {}
                () = stop.cancelled() => return Ok(()),
            }
        }
    }

    async fn work(
        &mut self,
        client: &AsyncClient,
        inbox: &mut mpsc::Receiver<Heard>,
        served: &mut bool,
    ) -> Result<(), CollectError> {
        self.flows.iter_mut().for_each(Flow::reconnected);
        loop {
            if *served {
                self.ask(client).await?;
                if self.options.once && self.flows.iter().all(Flow::is_done) {
                    return Ok(());
                }
            }
            let deadline = self.flows.iter().map(Flow::next_deadline).min().unwrap_or_default();
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(Heard::Ready) => {
                        *served = true;
                        tracing::info!(broker = %self.options.broker, "connected");
                    }
                    Some(Heard::Batch(site, payload)) => self.take(&site, payload).await?,
                    Some(Heard::Acked(site, payload)) => self.take_ack(&site, &payload)?,
                    None => return Ok(()),
                },
                () = tokio::time::sleep_until(self.began + deadline), if *served => {}
            }
        }
    }

    async fn ask(&mut self, client: &AsyncClient) -> Result<(), CollectError> {
        let now = self.began.elapsed();
        for flow in &mut self.flows {
            for outgoing in flow.due(now, || uuid::Uuid::new_v4().to_string())? {
                let (what, message) = match outgoing {
                    Outgoing::Pull(message) => ("pull", message),
                    Outgoing::Ack(message) => ("ack", message),
                };
                let to = topic(&self.options, &flow.site, what);
                // An error means that the connection is over; then everything is asked again on the next.
                let _ = client.publish(to, QoS::AtLeastOnce, false, message.to_string()).await;
            }
        }
        Ok(())
    }

    async fn take(&mut self, site: &SiteId, payload: Vec<u8>) -> Result<(), CollectError> {
        let now = self.began.elapsed();
        match read_answer(&payload) {
            Err(broken) => tracing::warn!(%site, %broken, "an answer was not understood"),
            Ok(Answer::Refused(id, refusal)) => {
                for index in 0..self.flows.len() {
                    if self.flows[index].site == *site {
                        let epoch = self.flows[index].refused(Some(&id), refusal.clone(), now)?;
                        self.begin_epoch(index, epoch)?;
                    }
                }
            }
            Ok(Answer::Batch(header, body)) => {
                let wanted = self.flows.iter().position(|flow| flow.site == *site && flow.wants(&header));
                let Some(index) = wanted else { return Ok(()) };
                match check(header, body) {
                    Err(broken) => self.flows[index].broken(broken, now)?,
                    Ok(batch) => self.keep(index, batch).await?,
                }
            }
        }
        Ok(())
    }

    /// Stores a batch; only then does the flow know of it, and only then is it acknowledged.
    async fn keep(&mut self, index: usize, batch: Batch) -> Result<(), CollectError> {
        let header = batch.header.clone();
        if header.count > 0 {
            let ledger = Arc::clone(&self.ledger);
            let write = move || ledger.lock().unwrap_or_else(PoisonError::into_inner).store(&batch);
            let stored = tokio::task::spawn_blocking(write).await;
            tell(&header, stored.map_err(|error| CollectError::Writer(error.to_string()))??);
        }
        self.flows[index].committed(&header);
        Ok(())
    }

    fn take_ack(&mut self, site: &SiteId, payload: &[u8]) -> Result<(), CollectError> {
        let now = self.began.elapsed();
        let Ok(AckAnswer { lane, epoch, acked, error }) = serde_json::from_slice(payload) else {
            tracing::warn!(%site, "an answer to an acknowledgement was not understood");
            return Ok(());
        };
        let of = |flow: &Flow| flow.site == *site && flow.lane == lane;
        let Some(index) = self.flows.iter().position(of) else { return Ok(()) };
        if let Some(refusal) = error {
            let epoch = self.flows[index].refused(None, refusal, now)?;
            return self.begin_epoch(index, epoch);
        }
        if let (Some(epoch), Some(upto)) = (epoch, acked) {
            self.flows[index].acknowledged(epoch, upto);
        }
        Ok(())
    }

    fn begin_epoch(&mut self, index: usize, epoch: Option<Epoch>) -> Result<(), CollectError> {
        let Some(epoch) = epoch else { return Ok(()) };
        let flow = &mut self.flows[index];
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.begin_epoch(&flow.site, flow.lane, epoch)?;
        tracing::warn!(site = %flow.site, lane = flow.lane.as_str(), %epoch, "the box has another database; starting it from 0");
        flow.began_epoch(epoch);
        Ok(())
    }
}

fn tell(header: &Header, stored: Stored) {
    let Header { site, lane, upto, head, .. } = header;
    let Stored { new, doubles, gaps, erased } = stored;
    tracing::info!(%site, lane = lane.as_str(), upto, head, new, doubles, gaps, erased, "stored");
}
