//! One connection of the collector to the broker: hands answers to the worker and never waits for it, so that the
//! worker may wait for the connection. What finds no room is lost and asked for again. A client is used for one
//! connection only.

use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, NetworkOptions, Packet, Publish, QoS, SubscribeFilter,
    SubscribeReasonCode, TlsConfiguration, Transport,
};
use tokio::sync::mpsc;

use super::{error::CollectError, options::Options};
use crate::{
    domain::SiteId,
    tls::{self, ClientTls},
};

/// Largest packet: above any single event.
const MAX_PACKET: usize = 64 * 1024 * 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// For connecting, and for writing out one packet.
const NETWORK_TIMEOUT_S: u64 = 20;
const QUEUE: usize = 8;
const INFLIGHT: u16 = 32;

/// What the connection tells the worker.
#[derive(Debug)]
pub(super) enum Heard {
    /// The subscriptions stand: questions may be asked.
    Ready,
    /// An answer to a pull.
    Batch(SiteId, Vec<u8>),
    /// An answer to an acknowledgement.
    Acked(SiteId, Vec<u8>),
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

/// The topics of one box for one consumer.
pub(super) fn topic(options: &Options, site: &SiteId, what: &str) -> String {
    format!("showfloor/v1/{site}/{what}/{}", options.consumer)
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

/// Connects, subscribes and listens until the connection ends.
pub(super) async fn listen(
    options: &Options,
    client: &AsyncClient,
    eventloop: &mut EventLoop,
    heard: &mpsc::Sender<Heard>,
) -> Ended {
    let both = |site| [topic(options, site, "batch"), topic(options, site, "acked")];
    let topics: Vec<String> = options.sites.iter().flat_map(both).collect();
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
        match event {
            Event::Incoming(Packet::ConnAck(_)) => {
                let filters = topics.iter().map(|topic| SubscribeFilter::new(topic.clone(), QoS::AtLeastOnce));
                if let Err(error) = client.try_subscribe_many(filters) {
                    return Ended::Lost(error.to_string());
                }
            }
            Event::Incoming(Packet::SubAck(answer)) => {
                let granted = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Success(_));
                let mut codes = answer.return_codes.iter().map(granted);
                if let Some(topic) = topics.iter().find(|_| !codes.next().unwrap_or(false)) {
                    return Ended::Hopeless(CollectError::Forbidden { topic: topic.clone() });
                }
                options.tls.iter().for_each(ClientTls::stands);
                // The queue is empty: nothing was asked yet.
                let _ = heard.try_send(Heard::Ready);
            }
            Event::Incoming(Packet::Publish(publish)) => pass_on(options, &publish, heard),
            _ => {}
        }
    }
}

fn pass_on(options: &Options, publish: &Publish, heard: &mpsc::Sender<Heard>) {
    let is = |site: &&SiteId, what| publish.topic == topic(options, site, what);
    let message = if let Some(site) = options.sites.iter().find(|site| is(site, "batch")) {
        Heard::Batch(site.clone(), publish.payload.to_vec())
    } else if let Some(site) = options.sites.iter().find(|site| is(site, "acked")) {
        Heard::Acked(site.clone(), publish.payload.to_vec())
    } else {
        return;
    };
    if publish.retain {
        tracing::warn!(topic = publish.topic, "a retained answer was ignored: nobody may publish so here");
    } else if heard.try_send(message).is_err() {
        tracing::warn!(topic = publish.topic, "answers come faster than they are stored; one will be asked for again");
    }
}
