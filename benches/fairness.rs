//! How long a new `sales` event takes to the cloud while a million events of `presence` and `trace` drain, beside the same
//! on an idle box in the same run: the daemon, Mosquitto and one puller with a question open in each lane.
//! `cargo bench --bench fairness`; `SHOWFLOOR_BENCH_EVENTS` sets how many.

#![allow(clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]
#![allow(dead_code, unreachable_pub)] // the tests use more of the support than the benches

#[path = "support/seed.rs"]
mod seed;
#[path = "../tests/it/support.rs"]
mod support;

use std::{
    fs,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rumqttc::{Client, Event, MqttOptions, NetworkOptions, Packet, QoS};
use serde_json::{Value, json};
use showfloor::telemetry::Telemetry;
use support::{Broker, SITE, Showroom};

const LANES: [&str; 3] = ["sales", "presence", "trace"];
const IDLE_SALES: usize = 50;
const EVERY: Duration = Duration::from_millis(20);

/// Fills the log by the store's own code: visitors who move and whose positions are kept.
fn fill(dir: &Path, events: u64) {
    let (store, writer) = seed::open(&dir.join("data"), "hel-01", &Telemetry::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("builds");
    runtime.block_on(async {
        seed::fill(&store, events).await;
        store.close().await;
    });
    writer.join().expect("ended well");
}

fn client(port: u16, name: &str) -> (Client, rumqttc::Connection) {
    let mut options = MqttOptions::new(name, "127.0.0.1", port);
    options.set_max_packet_size(4 << 20, 4 << 20).set_inflight(100);
    let (client, mut connection) = Client::new(options, 100);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    connection.eventloop.set_network_options(network);
    (client, connection)
}

/// What the puller has.
#[derive(Default)]
struct Pulled {
    events: [AtomicU64; 3],
    bytes: AtomicU64,
}

fn say(client: &Client, part: &str, body: &Value) {
    let topic = format!("showfloor/v1/hel-01/{part}");
    client.try_publish(topic, QoS::AtLeastOnce, false, body.to_string()).expect("queued");
}

fn pull(client: &Client, lane: &str, header: Option<&Value>) {
    let (epoch, after) = header.map_or((&Value::Null, 0), |h| (&h["epoch"], h["upto"].as_u64().expect("a number")));
    let epoch = if after == 0 { &Value::Null } else { epoch };
    let body = json!({"id": format!("{lane}-{after}"), "lane": lane, "epoch": epoch, "after": after, "max_events": 2_000,
        "max_bytes": 524_288, "accept": ["zstd"], "wait_ms": 30_000});
    say(client, "pull/cloud", &body);
}

/// Asks for every lane as soon as it has the answer before; tells of each `sales` event.
fn puller(port: u16, lanes: &'static [&'static str], pulled: Arc<Pulled>, sales: mpsc::SyncSender<Instant>) {
    let (client, mut connection) = client(port, &format!("puller-{}", uuid::Uuid::new_v4()));
    client.subscribe("showfloor/v1/hel-01/batch/cloud", QoS::AtLeastOnce).expect("queued");
    thread::spawn(move || {
        for event in connection.iter() {
            match event {
                Ok(Event::Incoming(Packet::SubAck(_))) => lanes.iter().for_each(|lane| pull(&client, lane, None)),
                Ok(Event::Incoming(Packet::Publish(message))) => {
                    let first = message.payload.split(|byte| *byte == b'\n').next().expect("a line");
                    let header: Value = serde_json::from_slice(first).expect("a header");
                    assert!(header["error"].is_null(), "{header}");
                    let lane = header["lane"].as_str().expect("a lane");
                    if !lanes.contains(&lane) {
                        continue; // an answer to the other puller
                    }
                    let count = header["count"].as_u64().expect("a number");
                    let number = LANES.iter().position(|name| *name == lane).expect("a lane");
                    pulled.events[number].fetch_add(count, Relaxed);
                    pulled.bytes.fetch_add(message.payload.len() as u64, Relaxed);
                    if number == 0 {
                        // Nobody listens to the puller of the bulk lanes.
                        let _ = (0..count).try_for_each(|_| sales.try_send(Instant::now()));
                    }
                    if count > 0 {
                        let ack = json!({"lane": lane, "epoch": header["epoch"], "upto": header["upto"]});
                        say(&client, "ack/cloud", &ack);
                    }
                    pull(&client, lane, Some(&header));
                }
                Ok(_) => {}
                Err(_) => return,
            }
        }
    });
}

struct Seller {
    client: Client,
    heard: mpsc::Receiver<Instant>,
    sold: usize,
}

impl Seller {
    /// From saying a command until its event is with the puller: on disk, pulled, delivered.
    fn sell(&mut self) -> Duration {
        self.sold += 1;
        let car = json!({"id": format!("V{}", self.sold), "make": "Volvo", "model": "EX40", "year": 2026, "type": "suv",
            "status": "available"});
        let command = json!({"id": uuid::Uuid::now_v7(), "kind": "vehicle.upsert", "expires_at": null, "data": car});
        let begin = Instant::now();
        say(&self.client, "command", &command);
        self.heard.recv_timeout(Duration::from_mins(1)).expect("the event comes").duration_since(begin)
    }
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    println!(
        "| a new `sales` event at the puller, {what} | {} | {:.1?} | {:.1?} | {:.1?} |",
        times.len(),
        at(50),
        at(95),
        at(100)
    );
}

fn memory(showroom: &Showroom, what: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", showroom.pid())).expect("read");
    status.lines().find_map(|line| line.strip_prefix(what)).expect("a line").trim().to_owned()
}

fn main() {
    let events = std::env::var("SHOWFLOOR_BENCH_EVENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    println!(
        "| a new `sales` event, from its command to the puller | events | p50 | p95 | max |\n|---|---|---|---|---|"
    );
    let direct = run("", |broker| broker, events);
    let slow = run(", 2 Mbit/s", slow_line, events / 5);
    println!("\n{direct}\n{slow}");
}

/// Measures on a box that reaches the broker by `way`, which is given the broker's port; says how the drain went. The broker
/// is one of its own: clients end with it.
fn run(line: &str, way: impl FnOnce(u16) -> u16, events: u64) -> String {
    let broker = Broker::start();
    let mut showroom = Showroom::new("hel-01", SITE, way(broker.port));
    fill(showroom.dir.path(), events);
    showroom.start();
    let pulled = Arc::new(Pulled::default());
    let (tell, heard) = mpsc::sync_channel(10_000);
    puller(broker.port, &LANES[..1], Arc::default(), tell);
    let (client, mut connection) = client(broker.port, "seller");
    thread::spawn(move || connection.iter().take_while(Result::is_ok).for_each(drop));
    let mut seller = Seller { client, heard, sold: 0 };
    report(&format!("on an idle box{line}"), (0..IDLE_SALES).map(|_| seller.sell()).collect());

    // The bulk lanes come on top, over the same consumer.
    let (begin, before) = (Instant::now(), memory(&showroom, "VmRSS:"));
    bulk(broker.port, &pulled);
    let mut times = Vec::new();
    let drained = || pulled.events[1].load(Relaxed) + pulled.events[2].load(Relaxed);
    while drained() < events {
        thread::sleep(EVERY);
        times.push(seller.sell());
    }
    let took = begin.elapsed().as_secs_f64();
    report(&format!("while {events} events of `presence` and `trace` drain{line}"), times);
    let (bytes, peak) = (pulled.bytes.load(Relaxed) as f64, memory(&showroom, "VmHWM:"));
    let (per_second, megabytes) = (drained() as f64 / took, bytes / took / 1e6);
    format!(
        "drained{line}: {per_second:.0} events/s, {megabytes:.2} MB/s compressed; memory {before} before, {peak} at its highest"
    )
}

/// A way to the broker that takes 250 kB/s of what the box sends.
fn slow_line(broker: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let (mut from, mut to) =
                (socket.expect("accepted"), TcpStream::connect(("127.0.0.1", broker)).expect("up"));
            from.set_nodelay(true).expect("set");
            to.set_nodelay(true).expect("set");
            let (mut back, mut forth) = (to.try_clone().expect("cloned"), from.try_clone().expect("cloned"));
            thread::spawn(move || io::copy(&mut back, &mut forth));
            thread::spawn(move || {
                let mut buffer = [0; 2_500];
                while let Ok(length @ 1..) = from.read(&mut buffer) {
                    if to.write_all(&buffer[..length]).is_err() {
                        return;
                    }
                    thread::sleep(Duration::from_micros(length as u64 * 4));
                }
            });
        }
    });
    port
}

/// The other two lanes, on a connection of their own that also hears the sales of the first.
fn bulk(port: u16, pulled: &Arc<Pulled>) {
    let (nobody, _) = mpsc::sync_channel(1);
    puller(port, &LANES[1..], Arc::clone(pulled), nobody);
}
