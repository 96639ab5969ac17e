//! The embedded MQTT broker, for the demo, tests and very small sites; production boxes run Mosquitto.
//!
//! It is `rumqttd` 0.20 on a thread of its own, MQTT 3.1.1 without TLS. What it does not do: rights per topic (whoever
//! has credentials may publish and read everything), persistence over a restart, and a refusal with a code (a client
//! with wrong credentials only sees its connection closed).

mod embedded;

pub use embedded::{BrokerError, EmbeddedBroker, Options};
