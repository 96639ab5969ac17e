//! One connection to the broker, from CONNECT to its end; the only file that feeds the client library.
//!
//! Invariants: the event loop never waits for a desk (a full inbox is refused, not waited for), and desks never wait for
//! the event loop alone (their queue is emptied while there is no connection): so neither can hold up the other. A client
//! is used for one connection only: what the library would carry over into the next (unacknowledged messages, packet ids)
//! is where its known livelocks are, and answers that are lost are asked for again.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, Incoming, LastWill, MqttOptions, NetworkOptions, Outgoing, Packet,
    Publish, QoS, StateError, SubAck, SubscribeFilter, SubscribeReasonCode, TlsConfiguration, Transport,
};
use tokio::{sync::mpsc, time::Instant};

use super::{
    fields::MAX_PAYLOAD,
    inbox::Inboxes,
    link::{Letter, Place},
    progress::Progress,
    status::OFFLINE,
};
use crate::tls;

/// Requests that the library may hold; well under [`INFLIGHT`], or its packet ids collide.
const QUEUE: usize = 8;
/// Messages that may wait for the broker's acknowledgement.
const INFLIGHT: u16 = 32;
/// Largest packet that is taken; the broker's connection breaks on larger ones.
const MAX_INCOMING: usize = 2 * MAX_PAYLOAD;
/// Largest packet that is sent: above any single event.
const MAX_OUTGOING: usize = 16 * MAX_PAYLOAD;
const KEEP_ALIVE: Duration = Duration::from_mins(1);
/// For connecting, and for writing out one packet: a megabyte over a bad mobile line.
const NETWORK_TIMEOUT_S: u64 = 60;
const CHECK_PROGRESS: Duration = Duration::from_secs(5);

/// How a connection ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// For the log.
    pub(super) cause: String,
    /// Whether the broker took the login and then ended it over the subscriptions.
    pub(super) forbidden: bool,
    /// How long it had been so.
    pub(super) lasted: Duration,
}

impl Ended {
    /// Before there was one.
    pub(super) fn before(why: &dyn std::fmt::Display) -> Self {
        Self { cause: why.to_string(), forbidden: false, lasted: Duration::ZERO }
    }
}

/// One connection.
pub(super) struct Session<'a> {
    client: AsyncClient,
    eventloop: EventLoop,
    place: &'a Place,
    inboxes: &'a Inboxes,
    progress: Mutex<Progress>,
    /// Whether to ask for the questions of anybody, or of the configured consumers only.
    wide: bool,
    accepted: bool,
    subscribed: Option<Instant>,
}

impl<'a> Session<'a> {
    /// Not connected yet.
    pub(super) fn new(place: &'a Place, inboxes: &'a Inboxes, wide: bool, tls: Option<tls::Session>) -> Self {
        let mut options = MqttOptions::new(&place.client_id, &place.host, place.port);
        options.set_keep_alive(KEEP_ALIVE).set_clean_session(true).set_inflight(INFLIGHT);
        options.set_max_packet_size(MAX_INCOMING, MAX_OUTGOING);
        options.set_last_will(LastWill::new(place.topics.status(), OFFLINE, QoS::AtLeastOnce, true));
        if let Some((user, password)) = &place.credentials {
            options.set_credentials(user, password);
        }
        if let Some(tls) = tls {
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
        }
        let (client, mut eventloop) = AsyncClient::new(options, QUEUE);
        let mut network = NetworkOptions::new();
        network.set_connection_timeout(NETWORK_TIMEOUT_S).set_tcp_nodelay(true);
        eventloop.set_network_options(network);
        Self { client, eventloop, place, inboxes, progress: Mutex::default(), wide, accepted: false, subscribed: None }
    }

    /// Connects and serves until the connection ends; `connected` is called once the subscriptions stand.
    pub(super) async fn run(&mut self, outbox: &mut mpsc::Receiver<Letter>, connected: &mut impl FnMut()) -> Ended {
        let cause = if let Err(cause) = self.subscribe(outbox).await {
            cause
        } else {
            self.subscribed = Some(Instant::now());
            connected();
            self.serve(outbox).await
        };
        let lasted = self.subscribed.map_or(Duration::ZERO, |since| since.elapsed());
        Ended { cause, forbidden: self.accepted && self.subscribed.is_none(), lasted }
    }

    /// Says that the box goes offline, on its own accord, and ends the connection in order.
    pub(super) async fn say_goodbye(mut self, outbox: &mut mpsc::Receiver<Letter>) {
        if self.subscribed.is_none() {
            return;
        }
        let (client, place, progress) = (&self.client, self.place, &self.progress);
        let letters = async {
            while let Ok(letter) = outbox.try_recv() {
                send(client, progress, place, letter).await;
            }
            let offline = Letter { topic: place.topics.status(), payload: OFFLINE.into(), retain: true };
            send(client, progress, place, offline).await;
        };
        let eventloop = &mut self.eventloop;
        let exchange = async {
            let mut letters = std::pin::pin!(letters);
            let mut handed = false;
            loop {
                tokio::select! {
                    () = &mut letters, if !handed => handed = true,
                    event = eventloop.poll() => match event {
                        Ok(Event::Incoming(Packet::PubAck(_))) => lock(progress).acknowledged(place.now()),
                        Ok(Event::Outgoing(Outgoing::Disconnect)) | Err(_) => return,
                        Ok(_) => {}
                    },
                }
                if handed && lock(progress).is_clear() {
                    // A full queue means that the goodbye is on its way already.
                    let _ = client.try_disconnect();
                }
            }
        };
        exchange.await;
    }

    /// Connects and subscribes; what desks say meanwhile is dropped.
    async fn subscribe(&mut self, outbox: &mut mpsc::Receiver<Letter>) -> Result<(), String> {
        let Self { client, eventloop, place, wide, accepted, .. } = self;
        let topics = place.topics.command();
        let asked = if *wide { place.topics.of_anybody() } else { place.topics.of(&place.consumers) };
        let wanted: Vec<_> = std::iter::once(topics).chain(asked).collect();
        let attempt = async {
            loop {
                match eventloop.poll().await.map_err(|error| explain(place, &error))? {
                    Event::Incoming(Packet::ConnAck(_)) => {
                        *accepted = true;
                        let filters = wanted.iter().map(|topic| SubscribeFilter::new(topic.clone(), QoS::AtLeastOnce));
                        client.try_subscribe_many(filters).map_err(|error| error.to_string())?;
                    }
                    Event::Incoming(Packet::SubAck(answer)) => return check(&answer, &wanted, *wide),
                    _ => {}
                }
            }
        };
        let patience = tokio::time::sleep(Duration::from_secs(2 * NETWORK_TIMEOUT_S));
        tokio::select! {
            outcome = attempt => outcome,
            never = discard(outbox) => match never {},
            () = patience => Err("the broker did not answer the subscriptions".into()),
        }
    }

    async fn serve(&mut self, outbox: &mut mpsc::Receiver<Letter>) -> String {
        let Self { client, eventloop, place, inboxes, progress, .. } = self;
        let (client, place, inboxes, progress) = (&*client, *place, *inboxes, &*progress);
        let receive = async {
            loop {
                match eventloop.poll().await {
                    Ok(Event::Incoming(Packet::Publish(publish))) => deliver(inboxes, place, &publish),
                    Ok(Event::Incoming(Incoming::PubAck(_))) => lock(progress).acknowledged(place.now()),
                    Ok(_) => {}
                    Err(error) => {
                        if let ConnectionError::MqttState(StateError::Deserialization(_)) = error {
                            inboxes.unreadable();
                        }
                        return explain(place, &error);
                    }
                }
            }
        };
        let transmit = async {
            while let Some(letter) = outbox.recv().await {
                send(client, progress, place, letter).await;
            }
            "all desks are closed".to_owned()
        };
        let watch = async {
            while !lock(progress).is_stalled(place.now()) {
                tokio::time::sleep(CHECK_PROGRESS).await;
            }
            "the broker is connected, but acknowledges nothing".to_owned()
        };
        tokio::select! { cause = receive => cause, cause = transmit => cause, cause = watch => cause }
    }
}

/// What went wrong, for the log: the library prints refusals in its own terms.
fn explain(place: &Place, error: &ConnectionError) -> String {
    let handshake = matches!(error, ConnectionError::Tls(_));
    if let Some(refusal) = place.tls.as_ref().and_then(|tls| tls.explain(error, handshake)) {
        return refusal.sentence;
    }
    match error {
        ConnectionError::ConnectionRefused(code) => format!("the broker refused the login ({code:?})"),
        other => other.to_string(),
    }
}

fn check(answer: &SubAck, wanted: &[String], wide: bool) -> Result<(), String> {
    let granted = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
    let codes = answer.return_codes.iter().map(granted).chain(std::iter::repeat(false));
    let forbidden: Vec<_> = wanted.iter().zip(codes).filter(|(_, granted)| !granted).map(|(topic, _)| topic).collect();
    if forbidden.is_empty() {
        return Ok(());
    }
    if wide {
        return Err(format!("the broker forbids to subscribe to {forbidden:?}; trying the configured consumers only"));
    }
    tracing::error!(?forbidden, "the uplink's broker forbids a subscription; give this client rights to it");
    Ok(())
}

fn deliver(inboxes: &Inboxes, place: &Place, publish: &Publish) {
    let Some(inbound) = place.topics.read(&publish.topic) else {
        inboxes.unreadable();
        return;
    };
    if publish.retain {
        inboxes.retained(&inbound);
        return;
    }
    // One byte over the limit is enough to be refused for it.
    let payload = publish.payload[..publish.payload.len().min(MAX_PAYLOAD + 1)].to_vec();
    inboxes.put(inbound, payload);
}

async fn send(client: &AsyncClient, progress: &Mutex<Progress>, place: &Place, letter: Letter) {
    lock(progress).sent(place.now());
    let Letter { topic, payload, retain } = letter;
    if let Err(error) = client.publish(topic, QoS::AtLeastOnce, retain, payload).await {
        // Only when the event loop is gone, and then this connection is as well.
        tracing::debug!(%error, "an answer was not handed to the broker's client");
    }
}

/// Empties the queue of desks that must not wait for a connection.
pub(super) async fn discard(outbox: &mut mpsc::Receiver<Letter>) -> std::convert::Infallible {
    while outbox.recv().await.is_some() {}
    std::future::pending().await
}

fn lock(progress: &Mutex<Progress>) -> std::sync::MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}
