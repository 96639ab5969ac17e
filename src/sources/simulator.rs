//! Feeds a simulated showroom to a broker as ESPresense receivers would: one message a reading, `QoS` 0, never retained.
//! It is a client of its own, so that the demo's readings take the way of real ones. What it cannot send it forgets.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{Backoff, Site},
    sim::{Emission, World, device_id},
};

const TICK: Duration = Duration::from_millis(100);
/// Readings that wait for the socket; more are forgotten.
const QUEUE: usize = 4096;

/// What to simulate, and where to send it.
#[derive(Clone)]
pub struct SimulatorOptions {
    /// The broker's host name or address.
    pub host: String,
    /// Its TCP port.
    pub port: u16,
    /// Name, when the broker asks for one.
    pub user: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// The floor.
    pub site: Arc<Site>,
    /// How many people walk about; their tags are `sim::tag(0)`, `sim::tag(1)` …
    pub visitors: usize,
    /// 1 is real time; 5 makes them walk, and receivers report, five times as fast. Absurd values count as 1.
    pub speed: f64,
    /// The same seed gives the same walk.
    pub seed: u64,
}

impl fmt::Debug for SimulatorOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatorOptions")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("visitors", &self.visitors)
            .field("speed", &self.speed)
            .field("seed", &self.seed)
            .finish_non_exhaustive()
    }
}

/// A simulated showroom on a broker.
#[derive(Debug)]
pub struct Simulator {
    options: SimulatorOptions,
    world: World,
}

impl Simulator {
    /// A simulation that has not begun.
    #[must_use]
    pub fn new(options: SimulatorOptions) -> Self {
        let world = World::new(&options.site, options.visitors, options.seed);
        Self { options, world }
    }

    /// Walks until `stop`. A broker that is away is tried again after 1 s to 60 s; the walk goes on meanwhile.
    pub async fn run(self, stop: CancellationToken) {
        let Self { options, world } = self;
        let mut mqtt = MqttOptions::new(format!("showfloor-sim-{}", options.seed), &options.host, options.port);
        mqtt.set_keep_alive(Duration::from_secs(30)).set_clean_session(true);
        if let Some(user) = &options.user {
            mqtt.set_credentials(user, options.password.as_deref().unwrap_or_default());
        }
        let (client, events) = AsyncClient::new(mqtt, QUEUE);
        let connected = AtomicBool::new(false);
        let speed = Some(options.speed).filter(|speed| speed.is_finite() && *speed > 0.0).unwrap_or(1.0);
        tokio::select! {
            () = stop.cancelled() => {}
            () = keep_connected(events, &connected) => {}
            () = walk(world, speed, &client, &connected) => {}
        }
    }
}

async fn keep_connected(mut events: EventLoop, connected: &AtomicBool) {
    let mut backoff = Backoff::new("simulator");
    let mut since = None;
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                since = Some(Instant::now());
                connected.store(true, Ordering::Relaxed);
            }
            Ok(_) => {}
            Err(why) => {
                connected.store(false, Ordering::Relaxed);
                let wait = backoff.after(since.take().map_or(Duration::ZERO, |since| since.elapsed()));
                tracing::warn!("simulated anchors: {why}; next attempt in {} s", wait.as_secs());
                tokio::time::sleep(wait).await;
            }
        }
    }
}

async fn walk(mut world: World, speed: f64, client: &AsyncClient, connected: &AtomicBool) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        for emission in world.step(TICK.as_secs_f64() * speed) {
            if connected.load(Ordering::Relaxed) {
                let (topic, payload) = message(&emission);
                // A full queue is a slow broker: this reading is forgotten, as a receiver's would be.
                let _ = client.try_publish(topic, QoS::AtMostOnce, false, payload);
            }
        }
    }
}

/// Topic and payload, with the fields that our decoder and people who look on need.
fn message(emission: &Emission) -> (String, String) {
    let id = device_id(emission.visitor);
    let topic = format!("espresense/devices/{id}/{}", emission.anchor);
    let payload = format!(r#"{{"id":"{id}","rssi@1m":-59,"rssi":{:.2}}}"#, emission.rssi);
    (topic, payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        decode::{Message, anchor_message},
        domain::AnchorId,
        sim,
    };

    #[test]
    fn its_messages_are_read_as_espresense() {
        let anchor = AnchorId::new("north-door").expect("valid");
        let (topic, payload) = message(&Emission { anchor: anchor.clone(), visitor: 7, rssi: -71.256 });
        insta::assert_snapshot!(format!("{topic} {payload}"), @r#"espresense/devices/iBeacon:5a0f1007-0000-4000-8000-73686f77726d-1-7/north-door {"id":"iBeacon:5a0f1007-0000-4000-8000-73686f77726d-1-7","rssi@1m":-59,"rssi":-71.26}"#);
        let Ok(Message::Heard { anchor: heard_by, items, .. }) = anchor_message(&topic, payload.as_bytes()) else {
            panic!("not read");
        };
        assert_eq!((heard_by, &items[0].tag), (anchor, &sim::tag(7).expect("a tag")));
    }
}
