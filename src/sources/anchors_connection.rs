//! The MQTT connection of the anchors: options, limits, subscriptions. The names of `rumqttc` stay in here and in
//! `anchors.rs`.

use std::{fmt, time::Duration};

use rumqttc::{
    AsyncClient, EventLoop, MqttOptions, QoS, SubscribeFilter, SubscribeReasonCode, TlsConfiguration, Transport,
};

use super::Stamping;
use crate::tls::{ClientTls, TlsError};

/// What is subscribed to unless the configuration says otherwise.
pub const DEFAULT_TOPICS: [&str; 2] = ["showfloor/anchor/+/#", "espresense/devices/#"];

/// `rumqttc` ends the connection at a packet that is larger, and the broker would send a retained one again at each
/// reconnect. So its limit is above what `decode` reads: what lies between is refused by itself, and the rest goes on.
const MAX_PACKET_BYTES: usize = 4 * 1024 * 1024;
const MAX_OUTGOING_BYTES: usize = 16 * 1024;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const REQUESTS: usize = 8;

/// Where the anchors' broker is and how to speak to it.
#[derive(Clone)]
pub struct Options {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Name, when the broker asks for one.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// TLS; clear text without it.
    pub tls: Option<ClientTls>,
    /// Unique at this broker: two clients of one name throw each other out.
    pub client_id: String,
    /// Topic filters; [`DEFAULT_TOPICS`].
    pub topics: Vec<String>,
    /// Which clock dates readings.
    pub stamping: Stamping,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("client_id", &self.client_id)
            .field("topics", &self.topics)
            .field("stamping", &self.stamping)
            .finish_non_exhaustive()
    }
}

/// A client that is not connected yet; polling its event loop connects it.
pub(super) fn open(options: &Options) -> (AsyncClient, EventLoop) {
    let mut mqtt = MqttOptions::new(&options.client_id, &options.host, options.port);
    mqtt.set_keep_alive(KEEP_ALIVE).set_max_packet_size(MAX_PACKET_BYTES, MAX_OUTGOING_BYTES).set_clean_session(true);
    if let Some(user) = &options.user {
        mqtt.set_credentials(user, options.password.as_deref().unwrap_or_default());
    }
    AsyncClient::new(mqtt, REQUESTS)
}

/// Has the next connection secured, with the files as they are now.
pub(super) async fn secure(options: &Options, events: &mut EventLoop) -> Result<(), TlsError> {
    if let Some(tls) = &options.tls {
        let config = TlsConfiguration::Rustls(tls.open().await?);
        events.mqtt_options.set_transport(Transport::tls_with_config(config));
    }
    Ok(())
}

/// Asks for all topics at once. Must be done at each connect: sessions are clean, so that nothing stale is replayed.
pub(super) fn subscribe(client: &AsyncClient, options: &Options) -> Result<(), rumqttc::ClientError> {
    let qos = match options.stamping {
        // A late reading is worth nothing: no acknowledgements, no repetition.
        Stamping::Arrival => QoS::AtMostOnce,
        // The broker then sends only as fast as we acknowledge. It still drops what its queue cannot hold: whoever plays
        // a recording must not publish faster than this, or must raise the broker's limits.
        Stamping::Payload => QoS::AtLeastOnce,
    };
    client.try_subscribe_many(options.topics.iter().map(|topic| SubscribeFilter::new(topic.clone(), qos)))
}

/// The topics that the broker refuses us.
pub(super) fn refused<'a>(options: &'a Options, codes: &'a [SubscribeReasonCode]) -> Vec<&'a str> {
    let pairs = options.topics.iter().zip(codes);
    pairs.filter(|(_, code)| matches!(code, SubscribeReasonCode::Failure)).map(|(topic, _)| topic.as_str()).collect()
}
