//! The cloud: commands, pulls and acks over MQTT. One client for all cuts, since its broker keeps its power.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use serde_json::{Value, json};

use super::{
    outside::{Outside, Request, Source},
    parts::{PATIENCE, SITE},
};

/// Commands without an answer at any time.
const IN_FLIGHT: usize = 4;
const CUSTOMERS: u64 = 4;
const LANES: [&str; 3] = ["sales", "presence", "trace"];

#[derive(Default)]
struct Mailbox {
    messages: Mutex<VecDeque<(String, Vec<u8>)>>,
    arrived: Condvar,
}

pub(super) struct Cloud {
    client: Client,
    mailbox: Arc<Mailbox>,
    pulls: u64,
}

pub(super) type Knowledge = Arc<Mutex<Outside>>;

pub(super) fn locked(outside: &Knowledge) -> std::sync::MutexGuard<'_, Outside> {
    outside.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Cloud {
    /// Connects, and again whenever the broker was away.
    pub(super) fn connect(port: u16) -> Self {
        let mut options = MqttOptions::new(format!("cloud-{}", uuid::Uuid::new_v4()), "127.0.0.1", port);
        options.set_max_packet_size(4 << 20, 4 << 20).set_inflight(100);
        let (client, mut connection) = Client::new(options, 1000);
        let mailbox = Arc::new(Mailbox::default());
        let (ears, again) = (Arc::downgrade(&mailbox), client.clone());
        thread::spawn(move || {
            for event in connection.iter() {
                let Some(ears) = ears.upgrade() else { break };
                match event {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        for part in ["result", "acked/cloud", "batch/cloud", "status"] {
                            let _ = again.try_subscribe(format!("showfloor/v1/{SITE}/{part}"), QoS::AtLeastOnce);
                        }
                    }
                    Ok(Event::Incoming(Packet::Publish(message))) => {
                        let mut messages = ears.messages.lock().unwrap_or_else(PoisonError::into_inner);
                        messages.push_back((message.topic, message.payload.to_vec()));
                        ears.arrived.notify_all();
                    }
                    Ok(_) => {}
                    Err(_) => thread::sleep(Duration::from_millis(20)),
                }
            }
        });
        Self { client, mailbox, pulls: 0 }
    }

    pub(super) fn publish(&self, topic: &str, body: impl Into<Vec<u8>>, qos: QoS) {
        // A full queue means that the broker is away: what is lost then is asked again.
        let _ = self.client.try_publish(topic, qos, false, body);
    }

    fn send(&self, part: &str, body: &Value) {
        self.publish(&format!("showfloor/v1/{SITE}/{part}"), body.to_string(), QoS::AtLeastOnce);
    }

    /// The same connection, for the anchors.
    pub(super) fn second(&self) -> Self {
        Self { client: self.client.clone(), mailbox: Arc::clone(&self.mailbox), pulls: 0 }
    }

    /// Forgets what was heard: of another lineage.
    pub(super) fn forget(&self) {
        self.mailbox.messages.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Hands what comes to `outside`, for so long or until `done` likes what it sees.
    pub(super) fn listen<T>(
        &self,
        outside: &Knowledge,
        patience: Duration,
        mut done: impl FnMut(&Outside, Option<&(Value, Vec<Value>)>) -> Option<T>,
    ) -> Option<T> {
        let end = Instant::now() + patience;
        let mut messages = self.mailbox.messages.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            while let Some((topic, payload)) = messages.pop_front() {
                drop(messages);
                let mut knows = locked(outside);
                let batch = knows.hear(&topic, &payload);
                if let Some(found) = done(&knows, batch.as_ref()) {
                    return Some(found);
                }
                drop(knows);
                messages = self.mailbox.messages.lock().unwrap_or_else(PoisonError::into_inner);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            messages = self.mailbox.arrived.wait_timeout(messages, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Pulls once; the items, or nothing when there is no answer in time.
    pub(super) fn pull(
        &mut self,
        outside: &Knowledge,
        lane: &str,
        after: u64,
        max_events: u64,
        patience: Duration,
    ) -> Option<(Value, Vec<Value>)> {
        self.pulls += 1;
        let id = format!("p{}-{}", self.pulls, uuid::Uuid::new_v4());
        let epoch = locked(outside).epoch.clone().filter(|_| after > 0);
        let pull = json!({"id": id, "lane": lane, "epoch": epoch, "after": after, "max_events": max_events,
            "max_bytes": 262_144, "accept": [], "wait_ms": 0});
        self.send("pull/cloud", &pull);
        self.listen(outside, patience, |_, batch| batch.filter(|(header, _)| header["id"] == id.as_str()).cloned())
    }

    /// A whole lane after `after`, however often it has to be asked; its last number.
    pub(super) fn drain(&mut self, outside: &Knowledge, lane: &str, after: u64) -> Result<u64, String> {
        let (mut at, end) = (after, Instant::now() + PATIENCE);
        while Instant::now() < end {
            let Some((header, _)) = self.pull(outside, lane, at, 500, Duration::from_millis(200)) else { continue };
            if header["error"].is_object() {
                return Err(format!("a pull of {lane} after {at} is refused: {header}"));
            }
            at = header["upto"].as_u64().unwrap_or(at);
            if header["head"] == at {
                return Ok(at);
            }
        }
        Err(format!("no answer to pulls of {lane}"))
    }

    pub(super) fn ask(&self, request: &Request) {
        let (id, kind, data) = (&request.id, &request.kind, &request.body);
        self.send("command", &json!({"id": id, "kind": kind, "expires_at": null, "data": data}));
    }

    /// Asks until each of these is answered.
    pub(super) fn insist(&self, outside: &Knowledge, requests: &[Request]) -> Result<(), String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let open: Vec<&Request> = {
                let knows = locked(outside);
                requests.iter().filter(|request| !knows.answers.contains_key(&request.id)).collect()
            };
            if open.is_empty() {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(format!("commands are not answered: {open:?}"));
            }
            for request in &open {
                self.ask(request);
            }
            self.listen(outside, Duration::from_millis(200), |knows, _| {
                open.iter().all(|request| knows.answers.contains_key(&request.id)).then_some(())
            });
        }
    }

    /// A minute in the life of a cloud, until `stop`.
    pub(super) fn work(&mut self, outside: &Knowledge, rng: &mut Rng, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let brief = Duration::from_millis(300);
            match rng.u8(0..20) {
                0..10 => {
                    let oldest = {
                        let knows = locked(outside);
                        let open: Vec<&Request> = knows.open(Source::Cloud).collect();
                        (open.len() >= IN_FLIGHT).then(|| open[0].clone())
                    };
                    let request = oldest.unwrap_or_else(|| command(outside, rng));
                    self.ask(&request);
                    self.listen(outside, Duration::from_millis(rng.u64(1..10)), |_, _| None::<()>);
                }
                10..14 => {
                    let lane = LANES[rng.usize(0..3)];
                    let after = rng.u64(0..=locked(outside).heads.get(lane).copied().unwrap_or(0));
                    self.pull(outside, lane, after, rng.u64(1..100), brief);
                }
                14..18 => self.acknowledge(outside, rng),
                _ => {
                    // The same again: it must be answered as before, and not be done again.
                    let done: Option<Request> = {
                        let knows = locked(outside);
                        let mine = knows.asked.iter().filter(|request| request.source == Source::Cloud);
                        let mine: Vec<&Request> = mine.collect();
                        (!mine.is_empty()).then(|| mine[rng.usize(0..mine.len())].clone())
                    };
                    if let Some(request) = done {
                        self.ask(&request);
                    }
                }
            }
        }
    }

    fn acknowledge(&self, outside: &Knowledge, rng: &mut Rng) {
        let lane = LANES[rng.usize(0..3)];
        let (epoch, upto) = {
            let knows = locked(outside);
            (knows.epoch.clone(), rng.u64(0..=knows.heads.get(lane).copied().unwrap_or(0)))
        };
        self.send("ack/cloud", &json!({"lane": lane, "epoch": epoch, "upto": upto}));
        self.listen(outside, Duration::from_millis(rng.u64(1..20)), |_, _| None::<()>);
    }
}

fn customer(n: u64) -> String {
    uuid::Uuid::from_u128(0x0000_4000_8000_0000_0000_0000_0000_0000 + u128::from(n)).to_string()
}

/// A car that is like no other before.
pub(super) fn car(n: u64) -> Value {
    let status = ["available", "reserved", "sold"][(n % 3) as usize];
    let spot = n.is_multiple_of(5).then_some("A0");
    json!({"id": format!("V{}", n % 5), "make": "Volvo", "model": "EX40", "year": 2026, "type": "suv", "price": n,
        "currency": "EUR", "status": status, "spot": spot})
}

/// Notes a new command and returns it.
pub(super) fn note(outside: &Knowledge, kind: &str, body: impl FnOnce(u64) -> Value) -> Request {
    let mut knows = locked(outside);
    let n = knows.next();
    let id = uuid::Uuid::now_v7().to_string();
    let request = Request { source: Source::Cloud, id, kind: kind.to_owned(), body: body(n) };
    knows.ask(request.clone());
    request
}

fn command(outside: &Knowledge, rng: &mut Rng) -> Request {
    let who = customer(rng.u64(0..CUSTOMERS));
    match rng.u8(0..10) {
        0..4 => note(outside, "vehicle.upsert", car),
        4..7 => note(
            outside,
            "customer.upsert",
            |n| json!({"id": who, "personal": {"name": format!("Aino {n}"), "phone": "+358 40"}, "profile": {"n": n}}),
        ),
        // Also empties SQLite's write-ahead log, so that nothing of them stays there: a checkpoint under load.
        7 => note(outside, "customer.erase", |_| json!({"id": who})),
        8 => note(outside, "tag.assign", |_| json!({"tag": super::anchors::TAG, "role": "visitor", "subject": who})),
        _ => note(
            outside,
            "staff.upsert",
            |n| json!({"id": "anna", "name": format!("Anna {n}"), "active": true, "available": n % 2 == 0}),
        ),
    }
}
