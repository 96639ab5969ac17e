//! One connection to the broker, from CONNECT to its end; the only file that feeds the client library.
//!
//! Invariants: the event loop never waits for a desk (a full inbox is refused, not waited for), and desks never wait for
//! the event loop alone (their queue is emptied while there is no connection): so neither can hold up the other. A client
//! is used for one connection only: what the library would carry over into the next (unacknowledged messages, packet ids)
//! is where its known livelocks are, and answers that are lost are asked for again.
//!
//! A connection that is up and gets nowhere is ended (`vigil`).

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, Incoming, LastWill, MqttOptions, NetworkOptions, Outgoing, Packet,
    Publish, QoS, StateError, SubAck, SubscribeFilter, SubscribeReasonCode, TlsConfiguration, Transport,
};
use tokio::{sync::Notify, time::Instant};

use super::{
    fields::MAX_PAYLOAD,
    flight::Sent,
    inbox::Inboxes,
    link::Place,
    post::{Letter, Mail, Slot},
    status::OFFLINE,
    vigil::{Verdict, Vigil},
};
use crate::tls;

/// Requests that the library may hold; well under [`INFLIGHT`], or its packet ids collide.
const QUEUE: usize = 8;
/// Messages that may wait for the broker's acknowledgement.
const INFLIGHT: u16 = 32;
const _: () = assert!(4 * QUEUE <= INFLIGHT as usize);
/// Largest packet that is taken; the broker's connection breaks on larger ones.
const MAX_INCOMING: usize = 2 * MAX_PAYLOAD;
/// Largest packet that is sent: above any single event.
const MAX_OUTGOING: usize = 16 * MAX_PAYLOAD;
/// Longest time for connecting, and for writing out one packet: a megabyte over a bad mobile line.
const NETWORK_TIMEOUT: Duration = Duration::from_mins(1);
const CHECK_PROGRESS: Duration = Duration::from_secs(1);

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
    /// Whether to ask for the questions of anybody, or of the configured consumers only.
    wide: bool,
    accepted: bool,
    subscribed: Option<Instant>,
    state: State,
}

/// What sending, receiving and watching share; they take turns within one task.
struct State {
    vigil: Mutex<Vigil<Option<Slot>>>,
    /// Rung when something was acknowledged.
    bell: Notify,
}

impl<'a> Session<'a> {
    /// Not connected yet.
    pub(super) fn new(place: &'a Place, inboxes: &'a Inboxes, wide: bool, tls: Option<tls::Session>) -> Self {
        let line = place.line;
        let mut options = MqttOptions::new(&place.client_id, &place.host, place.port);
        options.set_keep_alive(line.keep_alive).set_clean_session(true).set_inflight(INFLIGHT);
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
        let timeout = line.patience.min(NETWORK_TIMEOUT).as_secs().max(1);
        network.set_connection_timeout(timeout).set_tcp_nodelay(true);
        eventloop.set_network_options(network);
        let state = State { vigil: Mutex::new(Vigil::new(line.patience, place.now())), bell: Notify::new() };
        Self { client, eventloop, place, inboxes, wide, accepted: false, subscribed: None, state }
    }

    /// Connects and serves until the connection ends; `connected` is called once the subscriptions stand.
    pub(super) async fn run(&mut self, mail: &mut Mail, connected: &mut impl FnMut()) -> Ended {
        let cause = if let Err(cause) = self.subscribe(mail).await {
            cause
        } else {
            self.subscribed = Some(Instant::now());
            self.state.vigil().confirmed(self.place.now());
            connected();
            self.serve(mail).await
        };
        let lasted = self.subscribed.map_or(Duration::ZERO, |since| since.elapsed());
        Ended { cause, forbidden: self.accepted && self.subscribed.is_none(), lasted }
    }

    /// Says that the box goes offline, on its own accord, and ends the connection in order.
    pub(super) async fn say_goodbye(mut self, mail: &mut Mail) {
        if self.subscribed.is_none() {
            return;
        }
        let Self { client, eventloop, place, state, .. } = &mut self;
        let (client, place, state) = (&*client, *place, &*state);
        let letters = async {
            while let Some(letter) = mail.try_next() {
                send(client, state, place, letter).await;
            }
            let offline = Letter { retain: true, ..Letter::new(place.topics.status(), OFFLINE.into()) };
            send(client, state, place, offline).await;
        };
        let exchange = async {
            let mut letters = std::pin::pin!(letters);
            let mut handed = false;
            loop {
                tokio::select! {
                    () = &mut letters, if !handed => handed = true,
                    event = eventloop.poll() => match event {
                        Ok(Event::Outgoing(Outgoing::Disconnect)) | Err(_) => return,
                        Ok(event) => state.note(&event, place),
                    },
                }
                if handed && state.vigil().flight.is_clear() {
                    // A full queue means that the goodbye is on its way already.
                    let _ = client.try_disconnect();
                }
            }
        };
        exchange.await;
    }

    /// Connects and subscribes; what desks say meanwhile is dropped.
    async fn subscribe(&mut self, mail: &mut Mail) -> Result<(), String> {
        let Self { client, eventloop, place, wide, accepted, .. } = self;
        let wanted = wanted(place, *wide);
        let attempt = async {
            loop {
                match eventloop.poll().await.map_err(|error| explain(place, &error))? {
                    Event::Incoming(Packet::ConnAck(_)) => {
                        *accepted = true;
                        ask_for(client, &wanted)?;
                    }
                    Event::Incoming(Packet::SubAck(answer)) => return check(&answer, &wanted, *wide),
                    _ => {}
                }
            }
        };
        let patience = tokio::time::sleep(place.line.patience);
        tokio::select! {
            outcome = attempt => outcome,
            never = mail.discard() => match never {},
            () = patience => Err("the broker did not answer the login and the subscriptions".into()),
        }
    }

    async fn serve(&mut self, mail: &mut Mail) -> String {
        let Self { client, eventloop, place, inboxes, state, wide, .. } = self;
        let (client, place, inboxes, state) = (&*client, *place, *inboxes, &*state);
        let wanted = wanted(place, *wide);
        let receive = async {
            loop {
                match eventloop.poll().await {
                    Ok(Event::Incoming(Packet::Publish(publish))) => {
                        state.vigil().heard(place.now());
                        deliver(inboxes, place, &publish);
                    }
                    Ok(Event::Incoming(Packet::SubAck(answer))) => {
                        state.vigil().confirmed(place.now());
                        if let Err(cause) = check(&answer, &wanted, *wide) {
                            return cause;
                        }
                    }
                    Ok(event) => state.note(&event, place),
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
            loop {
                let room = state.vigil().flight.takes_bulk();
                tokio::select! {
                    letter = mail.next(room) => match letter {
                        Some(letter) => send(client, state, place, letter).await,
                        None => return "all desks are closed".to_owned(),
                    },
                    () = state.bell.notified(), if !room => {}
                }
            }
        };
        let watch = async {
            loop {
                tokio::time::sleep(CHECK_PROGRESS.min(place.line.patience / 4)).await;
                // A statement of its own, so that nothing is locked while subscribing.
                let verdict = state.vigil().verdict(place.now());
                match verdict {
                    Verdict::Fine => {}
                    Verdict::Leave(cause) => return cause.to_owned(),
                    Verdict::AskAgain => {
                        if let Err(cause) = ask_for(client, &wanted) {
                            return cause;
                        }
                    }
                }
            }
        };
        tokio::select! { cause = receive => cause, cause = transmit => cause, cause = watch => cause }
    }
}

impl State {
    fn vigil(&self) -> MutexGuard<'_, Vigil<Option<Slot>>> {
        self.vigil.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows what becomes of letters. A packet id is learnt before its acknowledgement: events come in order.
    fn note(&self, event: &Event, place: &Place) {
        match event {
            Event::Outgoing(Outgoing::Publish(id)) => self.vigil().flight.departed(*id),
            Event::Incoming(Incoming::PubAck(ack)) => {
                let back = self.vigil().flight.acknowledged(ack.pkid, place.now());
                if let Some((Some(slot), excess)) = back {
                    slot.delivered(excess);
                }
                self.bell.notify_one();
            }
            _ => {}
        }
    }
}

/// The topics to subscribe to.
fn wanted(place: &Place, wide: bool) -> Vec<String> {
    let asked = if wide { place.topics.of_anybody() } else { place.topics.of(&place.consumers) };
    std::iter::once(place.topics.command()).chain(asked).collect()
}

fn ask_for(client: &AsyncClient, wanted: &[String]) -> Result<(), String> {
    let filters = wanted.iter().map(|topic| SubscribeFilter::new(topic.clone(), QoS::AtLeastOnce));
    client.try_subscribe_many(filters).map_err(|error| error.to_string())
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
    inboxes.put(inbound, payload, place.now());
}

async fn send(client: &AsyncClient, state: &State, place: &Place, letter: Letter) {
    let (at, bulk) = (place.now(), letter.is_bulk());
    let Letter { topic, payload, retain, slot } = letter;
    let bytes = topic.len() + payload.len();
    state.vigil().flight.handed(Sent { at, bytes, bulk, cargo: slot });
    if let Err(error) = client.publish(topic, QoS::AtLeastOnce, retain, payload).await {
        // Only when the event loop is gone, and then this connection is as well.
        tracing::debug!(%error, "an answer was not handed to the broker's client");
    }
}
