//! The outside world over MQTT: anchors that speak, a cloud that commands.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::{Value, json};

use crate::support::wait_for;

/// Topics and payloads.
type Heard = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// A client of the broker that keeps what it hears.
pub struct World {
    client: Client,
    heard: Heard,
    site: String,
}

impl World {
    pub fn connect(port: u16, site: &str) -> Self {
        Self::listening(port, site, &["result", "acked/+", "batch/+", "status"])
    }

    /// One that hears next to nothing of what it causes.
    pub fn connect_deaf(port: u16, site: &str) -> Self {
        Self::listening(port, site, &["status"])
    }

    fn listening(port: u16, site: &str, parts: &[&str]) -> Self {
        let mut options = MqttOptions::new(format!("world-{}", uuid::Uuid::new_v4()), "127.0.0.1", port);
        options.set_max_packet_size(4 << 20, 4 << 20).set_inflight(100);
        let (client, mut connection) = Client::new(options, 1000);
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (ready, up) = std::sync::mpsc::sync_channel(1);
        let ears = Arc::clone(&heard);
        thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::Publish(message))) => {
                        ears.lock().expect("unpoisoned").push((message.topic, message.payload.to_vec()));
                    }
                    Ok(Event::Incoming(Packet::SubAck(_))) => drop(ready.try_send(())),
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
        });
        for part in parts {
            client.subscribe(format!("showfloor/v1/{site}/{part}"), QoS::AtLeastOnce).expect("queued");
        }
        up.recv_timeout(Duration::from_secs(10)).expect("subscribed");
        Self { client, heard, site: site.to_owned() }
    }

    pub fn publish(&self, topic: &str, payload: impl Into<Vec<u8>>) {
        self.client.publish(topic, QoS::AtMostOnce, false, payload).expect("queued");
    }

    pub fn publish_to_box(&self, part: &str, body: &Value) {
        let topic = format!("showfloor/v1/{}/{part}", self.site);
        self.client.publish(topic, QoS::AtLeastOnce, false, body.to_string()).expect("queued");
    }

    /// Waits for the first message on `part` whose header fits.
    pub fn hear(&self, part: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let topic = format!("showfloor/v1/{}/{part}", self.site);
        wait_for(&topic, || {
            let heard = self.heard.lock().expect("unpoisoned");
            let mine = heard.iter().filter(|(name, _)| *name == topic);
            let mut headers = mine.filter_map(|(_, payload)| {
                let line = payload.split(|byte| *byte == b'\n').next()?;
                serde_json::from_slice::<Value>(line).ok()
            });
            headers.find(|header| fits(header))
        })
    }

    /// Sends a command and returns its result.
    pub fn command(&self, kind: &str, data: &Value) -> Value {
        let id = uuid::Uuid::now_v7().to_string();
        self.command_as(&id, kind, data, &Value::Null);
        self.hear("result", |result| result["id"] == id)
    }

    pub fn command_as(&self, id: &str, kind: &str, data: &Value, expires_at: &Value) {
        self.publish_to_box("command", &json!({"id": id, "kind": kind, "expires_at": expires_at, "data": data}));
    }

    /// Sends a pull and returns the header of its answer.
    pub fn pull(&self, consumer: &str, body: &Value) -> Value {
        self.publish_to_box(&format!("pull/{consumer}"), body);
        self.hear(&format!("batch/{consumer}"), |header| header["id"] == body["id"])
    }

    /// Sends one reading as ESPresense does, with the time in it.
    pub fn reading(&self, anchor: &str, rssi: f64, t: f64) {
        let id = "iBeacon:74278bda-b644-4520-8f0c-720eaf059935-1-7";
        let body = json!({"id": id, "rssi": rssi, "t": t});
        self.publish(&format!("espresense/devices/{id}/{anchor}"), body.to_string());
    }
}

pub const TAG: &str = "ibeacon:74278bda-b644-4520-8f0c-720eaf059935:1:7";
