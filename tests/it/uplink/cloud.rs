//! A cloud that knows only the contract and trusts nobody: it asks again when no answer comes, checks each batch to the
//! byte, and keeps what it has. It connects again by itself, however often it is cut off.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rumqttc::{Client, Event, MqttOptions, NetworkOptions, Packet, QoS, SubscribeFilter};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{DEADLINE, wait_for};

/// How long it waits for an answer before it asks again.
const ASK_AGAIN: Duration = Duration::from_millis(700);

type Heard = Arc<Mutex<Vec<(String, Vec<u8>, bool)>>>;

/// A connection to the broker for one consumer.
pub struct Cloud {
    client: Arc<Mutex<Client>>,
    heard: Heard,
    over: Arc<AtomicBool>,
    base: String,
    consumer: String,
    /// What was pulled, by lane and number.
    pub pulled: BTreeMap<(String, u64), Value>,
    /// What gaps said, by lane.
    pub gaps: Vec<(String, Value)>,
    /// The next `after` of each lane.
    pub after: BTreeMap<String, u64>,
    pub epoch: Value,
    pub zstd: bool,
    pub max_events: u64,
    /// How long the box may hold an answer, ms.
    pub wait_ms: u64,
    /// Whether it says what it has.
    pub acks: bool,
}

impl Cloud {
    pub fn connect(port: u16, site: &str, consumer: &str) -> Self {
        let base = format!("showfloor/v1/{site}");
        let topics: Vec<String> = ["batch/", "acked/"].iter().map(|part| format!("{base}/{part}{consumer}")).collect();
        let topics = [topics, vec![format!("{base}/result")]].concat();
        let (heard, over) = (Heard::default(), Arc::new(AtomicBool::new(false)));
        let client = Arc::new(Mutex::new(listen(port, topics, Arc::clone(&heard), Arc::clone(&over))));
        Self {
            client,
            heard,
            over,
            base,
            consumer: consumer.to_owned(),
            pulled: BTreeMap::new(),
            gaps: Vec::new(),
            after: BTreeMap::new(),
            epoch: Value::Null,
            zstd: false,
            max_events: 7,
            wait_ms: 0,
            acks: true,
        }
    }

    fn publish(&self, part: &str, body: &Value) {
        let topic = format!("{}/{part}", self.base);
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        // Full while there is no connection: then it is asked again.
        let _ = client.try_publish(topic, QoS::AtLeastOnce, false, body.to_string());
    }

    /// Says `body` on `part` again and again until something fitting comes on `answer`.
    fn ask(&self, part: &str, body: &Value, answer: &str, fits: impl Fn(&Value) -> bool) -> (Value, Vec<u8>) {
        let (topic, end) = (format!("{}/{answer}", self.base), Instant::now() + DEADLINE);
        while Instant::now() < end {
            self.publish(part, body);
            let patience = Instant::now() + ASK_AGAIN + Duration::from_millis(body["wait_ms"].as_u64().unwrap_or(0));
            while Instant::now() < patience {
                if let Some(found) = self.find(&topic, &fits) {
                    return found;
                }
                thread::sleep(Duration::from_millis(3));
            }
        }
        panic!("no answer to {part} {body}")
    }

    fn find(&self, topic: &str, fits: &impl Fn(&Value) -> bool) -> Option<(Value, Vec<u8>)> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = None;
        heard.retain(|(name, payload, retained)| {
            assert!(!retained, "{name} was retained");
            if name != topic {
                return true;
            }
            let end = payload.iter().position(|byte| *byte == b'\n').unwrap_or(payload.len());
            let header: Value = serde_json::from_slice(&payload[..end]).expect("a header");
            if found.is_none() && fits(&header) {
                let body = payload.get(end + 1..).unwrap_or_default().to_vec();
                found = Some((header, body));
            }
            // Answers to what is not asked any more are of no use.
            false
        });
        found
    }

    /// Sends a command once.
    pub fn say_command(&self, id: &str, kind: &str, data: &Value) {
        self.publish("command", &json!({"id": id, "kind": kind, "expires_at": null, "data": data}));
    }

    /// Has a command done, however often it must be said; returns its result.
    pub fn command(&self, id: &str, kind: &str, data: &Value) -> Value {
        let body = json!({"id": id, "kind": kind, "expires_at": null, "data": data});
        let passing = |result: &Value| {
            let code = result["error"]["code"].as_str().unwrap_or_default();
            ["too_many_requests", "not_stored"].contains(&code)
        };
        self.ask("command", &body, "result", |result| result["id"] == id && !passing(result)).0
    }

    /// One pull of a lane; the answer's header. What it brings is checked, kept and acknowledged.
    pub fn pull(&mut self, lane: &str) -> Value {
        let after = self.after.get(lane).copied().unwrap_or(0);
        let id = uuid::Uuid::new_v4().to_string();
        let epoch = if after == 0 { Value::Null } else { self.epoch.clone() };
        let accept: &[&str] = if self.zstd { &["zstd"] } else { &[] };
        let body = json!({"id": id, "lane": lane, "epoch": epoch, "after": after, "max_events": self.max_events,
            "max_bytes": 262_144, "accept": accept, "wait_ms": self.wait_ms});
        let batch = format!("batch/{}", self.consumer);
        let passing = |header: &Value| {
            let code = header["error"]["code"].as_str().unwrap_or_default();
            ["superseded", "too_many_requests", "unreadable"].contains(&code)
        };
        let (header, body) = self
            .ask(&format!("pull/{}", self.consumer), &body, &batch, |answer| answer["id"] == id && !passing(answer));
        if header["error"].is_null() {
            self.keep(lane, after, &header, body);
        }
        header
    }

    fn keep(&mut self, lane: &str, after: u64, header: &Value, body: Vec<u8>) {
        let body = if header["encoding"] == "zstd" { zstd::decode_all(&body[..]).expect("zstd") } else { body };
        assert_eq!((&header["after"], &header["bytes"]), (&json!(after), &json!(body.len())), "{header}");
        assert_eq!(header["sha256"], hex::encode(Sha256::digest(&body)), "{header}");
        let lines: Vec<Value> = body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).expect("JSON"))
            .collect();
        assert_eq!(header["count"], lines.len(), "{header}");
        let mut due = after + 1;
        for line in lines {
            if line["gap"].is_null() {
                assert_eq!((&line["lane"], line["seq"].as_u64()), (&json!(lane), Some(due)));
                due += 1;
                self.pulled.insert((lane.to_owned(), due - 1), line);
            } else {
                assert_eq!(line["gap"]["from"].as_u64(), Some(due));
                due = line["gap"]["to"].as_u64().expect("a number") + 1;
                self.gaps.push((lane.to_owned(), line["gap"].clone()));
            }
        }
        assert_eq!(header["upto"].as_u64(), Some(due - 1), "{header}");
        self.epoch = header["epoch"].clone();
        self.after.insert(lane.to_owned(), due - 1);
        if due - 1 > after && self.acks {
            self.acknowledge(lane, due - 1);
        }
    }

    fn acknowledge(&self, lane: &str, upto: u64) {
        let body = json!({"lane": lane, "epoch": self.epoch, "upto": upto});
        let acked = format!("acked/{}", self.consumer);
        let answer = |said: &Value| said["lane"] == lane && said["acked"].as_u64() >= Some(upto);
        self.ask(&format!("ack/{}", self.consumer), &body, &acked, answer);
    }

    /// Pulls a lane to its head.
    pub fn drain(&mut self, lane: &str) {
        loop {
            let header = self.pull(lane);
            assert!(header["error"].is_null(), "{header}");
            if header["upto"] == header["head"] {
                return;
            }
        }
    }

    /// What was pulled of a kind; each event once, by its id.
    pub fn events(&self, kind: &str) -> Vec<&Value> {
        let ids: BTreeSet<_> = self.pulled.values().map(|event| event["id"].as_str().expect("an id")).collect();
        assert_eq!(ids.len(), self.pulled.len(), "an event was pulled twice");
        self.pulled.values().filter(|event| event["kind"] == kind).collect()
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = client.try_disconnect();
    }
}

/// Listens in a thread until told that it is over, on one connection after the other.
fn listen(port: u16, topics: Vec<String>, heard: Heard, over: Arc<AtomicBool>) -> Client {
    let mut options = MqttOptions::new(format!("cloud-{}", uuid::Uuid::new_v4()), "127.0.0.1", port);
    options.set_max_packet_size(4 << 20, 4 << 20).set_inflight(100).set_clean_session(true);
    let (client, mut connection) = Client::new(options, 200);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    connection.eventloop.set_network_options(network);
    let (ours, ready) = (client.clone(), Arc::new(AtomicBool::new(false)));
    let up = Arc::clone(&ready);
    thread::spawn(move || {
        for event in connection.iter() {
            match event {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    let filters = topics.iter().map(|topic| SubscribeFilter::new(topic.clone(), QoS::AtLeastOnce));
                    let _ = ours.try_subscribe_many(filters);
                }
                Ok(Event::Incoming(Packet::SubAck(_))) => up.store(true, Ordering::Relaxed),
                Ok(Event::Incoming(Packet::Publish(message))) => {
                    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                    heard.push((message.topic, message.payload.to_vec(), message.retain));
                }
                Ok(_) => {}
                Err(_) if over.load(Ordering::Relaxed) => return,
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    });
    wait_for("the cloud's subscriptions", || ready.load(Ordering::Relaxed).then_some(()));
    client
}
