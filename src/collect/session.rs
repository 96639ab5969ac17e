//! One connection of the collector to the broker: hands answers to the worker and never waits for it, so that the
//! worker may wait for the connection. What finds no room is lost and asked for again. A client is used for one
//! connection only.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, NetworkOptions, Packet, Publish, SubscribeReasonCode,
    TlsConfiguration, Transport,
};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{
    error::CollectError,
    options::Options,
    tally::{Tallies, Tally},
};
use crate::{
    domain::SiteId,
    tls::{self, ClientTls},
};

/// Largest packet: above any single event.
const MAX_PACKET: usize = 64 * 1024 * 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// For connecting, and for writing out one packet.
const NETWORK_TIMEOUT_S: u64 = 20;
const QUEUE: usize = 32;
const INFLIGHT: u16 = 100;

/// What the connection tells the worker about itself; seldom, and never lost.
#[derive(Debug)]
pub(super) enum Signal {
    /// The broker took the login.
    Connected,
    /// What became of the subscription that was asked for: for each topic, whether it stands.
    Subscribed(Vec<bool>),
}

/// What boxes said.
#[derive(Debug)]
pub(super) enum Heard {
    /// An answer to a pull.
    Batch(SiteId, Vec<u8>),
    /// An answer to an acknowledgement.
    Acked(SiteId, Vec<u8>),
    /// A box says that it is there, or the broker that it is not.
    There(SiteId, bool),
}

/// Boxes of whom an answer found no room: their lanes are to ask again.
#[derive(Debug, Clone, Default)]
pub(super) struct Missed(Arc<Mutex<BTreeSet<SiteId>>>);

impl Missed {
    fn note(&self, site: SiteId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(site);
    }

    /// Those since the last time.
    pub(super) fn take(&self) -> BTreeSet<SiteId> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Why a connection is over.
#[derive(Debug)]
pub(super) enum Ended {
    /// It broke, or was never there; another may be better.
    Lost(String),
    /// TLS keeps us from the broker; another certificate may be better.
    Refused(String),
    /// It cannot be better.
    Hopeless(CollectError),
}

/// Where things are said to and by boxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    Pull,
    Batch,
    Ack,
    Acked,
    Status,
}

impl Topic {
    /// The topic of one box, and of one consumer where it has one.
    pub(super) fn of(self, options: &Options, site: &SiteId) -> String {
        let what = match self {
            Self::Pull => "pull",
            Self::Batch => "batch",
            Self::Ack => "ack",
            Self::Acked => "acked",
            Self::Status => return format!("showfloor/v1/{site}/status"),
        };
        format!("showfloor/v1/{site}/{what}/{}", options.consumer)
    }

    /// Reads a topic on which boxes speak to `consumer`.
    fn read(text: &str, consumer: &str) -> Option<(SiteId, Self)> {
        let (site, rest) = text.strip_prefix("showfloor/v1/")?.split_once('/')?;
        let topic = match rest.split_once('/') {
            Some(("batch", of)) if of == consumer => Self::Batch,
            Some(("acked", of)) if of == consumer => Self::Acked,
            None if rest == "status" => Self::Status,
            _ => return None,
        };
        Some((site.parse().ok()?, topic))
    }
}

/// A client for one connection.
pub(super) fn client(options: &Options, tls: Option<tls::Session>) -> (AsyncClient, EventLoop) {
    let id = format!("showfloor-collect-{}", uuid::Uuid::new_v4());
    let mut mqtt = MqttOptions::new(id, &options.broker.host, options.broker.port);
    mqtt.set_keep_alive(KEEP_ALIVE).set_clean_session(true).set_inflight(INFLIGHT);
    mqtt.set_max_packet_size(MAX_PACKET, MAX_PACKET);
    if let Some(user) = &options.user {
        mqtt.set_credentials(user, options.password.clone().unwrap_or_default());
    }
    if let Some(tls) = tls {
        mqtt.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(tls)));
    }
    let (client, mut eventloop) = AsyncClient::new(mqtt, QUEUE);
    let mut network = NetworkOptions::new();
    network.set_connection_timeout(NETWORK_TIMEOUT_S).set_tcp_nodelay(true);
    eventloop.set_network_options(network);
    (client, eventloop)
}

/// Connects and listens until the connection ends.
pub(super) async fn listen(
    options: Arc<Options>,
    mut eventloop: EventLoop,
    signals: mpsc::Sender<Signal>,
    heard: mpsc::Sender<Heard>,
    missed: Missed,
    tallies: Tallies,
) -> Ended {
    loop {
        let event = match eventloop.poll().await {
            Ok(event) => event,
            Err(ConnectionError::ConnectionRefused(code)) => {
                let (broker, cause) = (options.broker.to_string(), format!("it refused the login ({code:?})"));
                return Ended::Hopeless(CollectError::Broker { broker, cause });
            }
            Err(error) => {
                let handshake = matches!(error, ConnectionError::Tls(_));
                return match options.tls.as_ref().and_then(|tls| tls.explain(&error, handshake)) {
                    Some(refusal) if refusal.lasting => Ended::Refused(refusal.sentence),
                    Some(refusal) => Ended::Lost(refusal.sentence),
                    None => Ended::Lost(error.to_string()),
                };
            }
        };
        let signal = match event {
            Event::Incoming(Packet::ConnAck(_)) => Signal::Connected,
            Event::Incoming(Packet::SubAck(answer)) => {
                let granted = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
                options.tls.iter().for_each(ClientTls::stands);
                Signal::Subscribed(answer.return_codes.iter().map(granted).collect())
            }
            Event::Incoming(Packet::Publish(publish)) => {
                if let Some(message) = read(&options, &publish)
                    && !hand_on(&heard, &missed, message)
                {
                    tallies.add(Tally::Dropped, 1);
                }
                continue;
            }
            _ => continue,
        };
        // One subscription is asked for at a time: there is room.
        if signals.try_send(signal).is_err() {
            return Ended::Lost("the worker does not listen".into());
        }
    }
}

/// Hands a message to the worker without waiting for it. Returns whether there was room; if not, it is noted whose it was,
/// for a lane that asked with patience would otherwise take its question for open for a minute.
fn hand_on(heard: &mpsc::Sender<Heard>, missed: &Missed, message: Heard) -> bool {
    // Nobody is left to ask again when the channel is closed.
    let Err(mpsc::error::TrySendError::Full(lost)) = heard.try_send(message) else { return true };
    let (Heard::Batch(site, _) | Heard::Acked(site, _) | Heard::There(site, _)) = lost;
    missed.note(site);
    false
}

fn read(options: &Options, publish: &Publish) -> Option<Heard> {
    #[derive(Deserialize)]
    struct Status {
        state: String,
    }
    let (site, topic) = Topic::read(&publish.topic, options.consumer.as_str())?;
    if topic == Topic::Status {
        let status: Status = serde_json::from_slice(&publish.payload).ok()?;
        return Some(Heard::There(site, status.state == "online"));
    }
    if publish.retain {
        tracing::warn!(topic = publish.topic, "a retained answer was ignored: nobody may publish so here");
        return None;
    }
    let payload = publish.payload.to_vec();
    Some(if topic == Topic::Batch { Heard::Batch(site, payload) } else { Heard::Acked(site, payload) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_answer_found_no_room_is_noted_once() {
        let site = |name: &str| name.parse::<SiteId>().expect("id");
        let (heard, mut inbox) = mpsc::channel(1);
        let missed = Missed::default();
        assert!(hand_on(&heard, &missed, Heard::Batch(site("a"), Vec::new())));
        assert!(missed.take().is_empty());
        assert!(!hand_on(&heard, &missed, Heard::Batch(site("b"), Vec::new())));
        assert!(!hand_on(&heard, &missed, Heard::There(site("b"), true)));
        assert_eq!(missed.take(), BTreeSet::from([site("b")]));
        assert!(missed.take().is_empty());
        assert!(matches!(inbox.try_recv(), Ok(Heard::Batch(of, _)) if of == site("a")));
    }

    #[test]
    fn only_what_is_said_to_us_is_heard() {
        for (text, expected) in [
            ("showfloor/v1/hel-01/batch/cloud", Some(Topic::Batch)),
            ("showfloor/v1/hel-01/acked/cloud", Some(Topic::Acked)),
            ("showfloor/v1/hel-01/status", Some(Topic::Status)),
            ("showfloor/v1/hel-01/batch/other", None),
            ("showfloor/v1/HEL/batch/cloud", None),
            ("showfloor/v1/hel-01/batch", None),
            ("showfloor/v2/hel-01/status", None),
        ] {
            assert_eq!(Topic::read(text, "cloud").map(|(_, topic)| topic), expected, "{text}");
        }
    }
}
