//! Receivers that speak MQTT: our own batches and ESPresense, from any 3.1.1 broker.
//!
//! One task: poll, decode, hand on. It takes what is already there in one go, up to [`BATCH`] readings, so that the
//! engine is woken once for many. The connection is kept with waits from 1 s to 60 s; readings of a time without
//! connection are gone, as they should be.

use std::{convert::Infallible, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, Packet, StateError, SubscribeReasonCode, mqttbytes::Error as Broken,
};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    AnchorBook, Options, Stamping,
    anchors_connection::{open, refused, secure, subscribe},
    anchors_intake::Intake,
};
use crate::{
    domain::{Backoff, Reading, Timestamp},
    telemetry::{Count, Gauge, Telemetry},
    tls::ClientTls,
};

/// The engine's clock: steady, so that no step of the wall clock reorders readings.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

const BATCH: usize = 256;

/// Why the source cannot go on. Everything about the broker heals by itself and is no error.
#[derive(Debug, thiserror::Error)]
pub enum AnchorsError {
    /// The engine is gone.
    #[error("nobody takes readings any more")]
    Closed,
}

/// The subscriber of the anchors' topics.
pub struct Anchors {
    options: Options,
    out: mpsc::Sender<Vec<Reading>>,
    intake: Intake,
}

impl Anchors {
    /// A subscriber, not yet connected. Only receivers that have a page in `book` are listened to.
    #[must_use]
    pub fn new(
        options: Options,
        book: Arc<AnchorBook>,
        out: mpsc::Sender<Vec<Reading>>,
        now: Now,
        telemetry: Telemetry,
    ) -> Self {
        let intake = Intake { stamping: options.stamping, now, telemetry, book, batch: Vec::new() };
        Self { options, out, intake }
    }

    /// Listens until `stop`.
    ///
    /// # Errors
    /// When the receiving end of the readings is gone.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), AnchorsError> {
        let ended = tokio::select! {
            () = stop.cancelled() => Ok(()),
            ended = self.stay_connected() => ended.map(|never| match never {}),
        };
        self.set_connected(false);
        ended
    }

    async fn stay_connected(&mut self) -> Result<Infallible, AnchorsError> {
        let (client, mut events) = open(&self.options);
        let mut backoff = Backoff::new(&self.options.client_id);
        loop {
            let mut since = None;
            let why = match secure(&self.options, &mut events).await {
                Ok(()) => {
                    let ended = self.listen(&client, &mut events, &mut since).await?;
                    self.explain(&ended)
                }
                Err(error) => error.to_string(),
            };
            self.set_connected(false);
            let wait = backoff.after(since.map_or(Duration::ZERO, |since: Instant| since.elapsed()));
            let (host, port) = (&self.options.host, self.options.port);
            tracing::warn!("anchors' broker {host}:{port}: {why}; next attempt in {} s", wait.as_secs());
            tokio::time::sleep(wait).await;
        }
    }

    /// Why a connection is over, in a sentence; counts packets that could not be read.
    fn explain(&self, why: &ConnectionError) -> String {
        let (host, port) = (&self.options.host, self.options.port);
        match why {
            // A connection that broke is no broken packet, though the library says both alike.
            ConnectionError::MqttState(StateError::Deserialization(Broken::Io(_))) => {}
            ConnectionError::MqttState(StateError::Deserialization(what)) => {
                let text = format!("packet from the anchors' broker {host}:{port} refused: {what}");
                self.intake.telemetry.problem(Count::AnchorMessagesBad, "broker", &text);
            }
            _ => {}
        }
        let handshake = matches!(why, ConnectionError::Tls(_));
        let refusal = self.options.tls.as_ref().and_then(|tls| tls.explain(why, handshake));
        refusal.map_or_else(|| why.to_string(), |refusal| refusal.sentence)
    }

    /// One connection, from its first poll to its end.
    async fn listen(
        &mut self,
        client: &AsyncClient,
        events: &mut EventLoop,
        since: &mut Option<Instant>,
    ) -> Result<ConnectionError, AnchorsError> {
        loop {
            let mut event = events.poll().await;
            loop {
                match event {
                    Ok(Event::Incoming(packet)) => self.take(client, packet, since),
                    Ok(Event::Outgoing(_)) => {}
                    Err(why) => {
                        self.hand_on().await?;
                        return Ok(why);
                    }
                }
                if self.intake.batch.len() >= BATCH {
                    break;
                }
                // Polling without waiting is safe here: there is a connection, so no handshake can be cut short, and
                // packets that are half read stay in the event loop.
                let Some(next) = events.poll().now_or_never() else { break };
                event = next;
            }
            self.hand_on().await?;
        }
    }

    fn take(&mut self, client: &AsyncClient, packet: Packet, since: &mut Option<Instant>) {
        match packet {
            Packet::Publish(publish) => self.intake.take(&publish.topic, &publish.payload, publish.retain),
            Packet::ConnAck(_) => {
                *since = Some(Instant::now());
                if let Err(error) = subscribe(client, &self.options) {
                    tracing::warn!("cannot subscribe to the anchors' topics: {error}");
                }
            }
            Packet::SubAck(ack) => self.subscribed(&ack.return_codes),
            _ => {}
        }
    }

    fn subscribed(&self, codes: &[SubscribeReasonCode]) {
        let (host, port) = (&self.options.host, self.options.port);
        let refused = refused(&self.options, codes);
        for topic in &refused {
            tracing::error!("anchors' broker {host}:{port} refuses the subscription to {topic}: check its rights");
        }
        if refused.len() < codes.len() {
            tracing::info!("listening to anchors at {host}:{port}");
            self.options.tls.iter().for_each(ClientTls::stands);
            self.set_connected(true);
        }
    }

    async fn hand_on(&mut self) -> Result<(), AnchorsError> {
        if self.intake.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut self.intake.batch);
        match self.options.stamping {
            Stamping::Arrival => match self.out.try_send(batch) {
                Ok(()) => Ok(()),
                Err(TrySendError::Full(batch)) => {
                    self.dropped(batch.len());
                    Ok(())
                }
                Err(TrySendError::Closed(_)) => Err(AnchorsError::Closed),
            },
            // A recording must give the same facts each time it is played, so nothing of it may be dropped. Waiting
            // here fills the socket, and the broker slows down as far as its own queue goes.
            Stamping::Payload => self.out.send(batch).await.map_err(|_| AnchorsError::Closed),
        }
    }

    fn dropped(&self, readings: usize) {
        let telemetry = &self.intake.telemetry;
        telemetry.add(Count::ReadingsDropped, (readings as u64).saturating_sub(1));
        telemetry.problem(Count::ReadingsDropped, "anchors", &"readings dropped: the engine is behind");
    }

    fn set_connected(&self, connected: bool) {
        self.intake.telemetry.set(Gauge::AnchorsConnected, i64::from(connected));
        self.intake.book.set_connected(connected);
    }
}
