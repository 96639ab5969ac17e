//! How many ESPresense messages a second one task drains from Mosquitto, beside a bare rumqttc subscriber that only counts.
//! `cargo bench --bench anchors [-- MESSAGES]`; needs `mosquitto` (Debian's package) and says so when it is missing.
//!
//! Each round: a broker of its own on a free port of the loopback, a publisher in a process-wide second thread that writes
//! ready-made packets to a socket, so that neither broker nor publisher waits for anything but the subscriber. The last
//! round is paced at 20,000 messages a second, and says what share of a core the subscriber needs for them.
#![allow(clippy::expect_used, clippy::print_stdout, reason = "a bench is run by people, like a test")]
#![allow(clippy::cast_possible_wrap, reason = "small numbers")]

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use showfloor::{
    domain::{AnchorId, Timestamp},
    sources::{AnchorBook, Anchors, DEFAULT_TOPICS, Options, Stamping},
    telemetry::{Count, Telemetry},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const PACE: f64 = 20_000.0;
const TICK: Duration = Duration::from_millis(1);
const TAGS: usize = 200;
const ANCHORS: usize = 8;
const MOSQUITTO: &str = "/usr/sbin/mosquitto";

/// A broker that ends with its round.
struct Mosquitto {
    child: Child,
    port: u16,
    _config: tempfile::NamedTempFile,
}

impl Mosquitto {
    fn start() -> Self {
        let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr()).expect("a free port").port();
        let mut config = tempfile::NamedTempFile::new().expect("a temporary file");
        // No limit on what waits for a subscriber: this measures the subscriber, not the broker's patience.
        let text =
            format!("listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nset_tcp_nodelay true\n");
        config.write_all(text.as_bytes()).expect("written");
        let mut command = Command::new(MOSQUITTO);
        command.arg("-c").arg(config.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("mosquitto starts");
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            thread::sleep(Duration::from_millis(10));
        }
        Self { child, port, _config: config }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One PUBLISH packet, `QoS` 0.
fn packet(topic: &str, payload: &str) -> Vec<u8> {
    let mut length = 2 + topic.len() + payload.len();
    let mut bytes = vec![0x30];
    while length >= 128 {
        bytes.push((length % 128) as u8 | 0x80);
        length /= 128;
    }
    bytes.push(length as u8);
    bytes.extend((topic.len() as u16).to_be_bytes());
    bytes.extend(topic.as_bytes());
    bytes.extend(payload.as_bytes());
    bytes
}

fn packets(n: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(n * 220);
    for i in 0..n {
        let id = format!("iBeacon:74278bda-b644-4520-8f0c-720eaf059935-1-{}", i % TAGS);
        let topic = format!("espresense/devices/{id}/a{}", i / TAGS % ANCHORS);
        let level = -60 - (i % 30) as i32;
        bytes.extend(packet(
            &topic,
            &format!(r#"{{"id":"{id}","rssi@1m":-59,"rssi":{level}.25,"distance":3.12,"int":250}}"#),
        ));
    }
    bytes
}

/// Connects as a client and writes everything, as fast as the broker takes it or within `seconds`.
fn publish(port: u16, bytes: &[u8], seconds: Option<f64>) {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("the broker listens");
    socket.write_all(b"\x10\x0f\0\x04MQTT\x04\x02\0\0\0\x03pub").expect("connect");
    socket.read_exact(&mut [0; 4]).expect("connack");
    let began = Instant::now();
    let chunks = seconds.map_or(1, |seconds| (seconds / TICK.as_secs_f64()) as usize);
    for (i, chunk) in bytes.chunks(bytes.len().div_ceil(chunks)).enumerate() {
        thread::sleep((TICK * i as u32).saturating_sub(began.elapsed()));
        socket.write_all(chunk).expect("published");
    }
    socket.write_all(b"\xe0\0").expect("good-bye");
}

async fn bare(port: u16, n: usize, start: std::sync::mpsc::SyncSender<()>) -> usize {
    let mut options = MqttOptions::new("bare", "127.0.0.1", port);
    options.set_keep_alive(Duration::from_secs(30)).set_max_packet_size(4 << 20, 1 << 14);
    let (client, mut events) = AsyncClient::new(options, 8);
    client.try_subscribe("espresense/devices/#", QoS::AtMostOnce).expect("queued");
    let mut got = 0;
    while got < n {
        match events.poll().await.expect("connected") {
            Event::Incoming(Packet::SubAck(_)) => start.send(()).expect("the publisher waits"),
            Event::Incoming(Packet::Publish(_)) => got += 1,
            _ => {}
        }
    }
    got
}

async fn anchors(port: u16, n: usize, start: std::sync::mpsc::SyncSender<()>) -> usize {
    let options = Options {
        host: "127.0.0.1".to_owned(),
        port,
        user: None,
        password: None,
        tls: None,
        client_id: "box".to_owned(),
        topics: DEFAULT_TOPICS.map(str::to_owned).to_vec(),
        stamping: Stamping::Arrival,
    };
    let ids = (0..ANCHORS).map(|i| AnchorId::new(format!("a{i}")).expect("valid"));
    let book = Arc::new(AnchorBook::new(ids));
    let mut connected = book.connection();
    let (out, mut readings) = mpsc::channel(256);
    let began = Instant::now();
    let now = move || Timestamp::from_micros(1_700_000_000_000_000 + began.elapsed().as_micros() as i64);
    let telemetry = Telemetry::default();
    let source = Anchors::new(options, book, out, Arc::new(now), telemetry.clone());
    let (stop, mut got, mut batches) = (CancellationToken::new(), 0, 0);
    let reader = async {
        connected.wait_for(|connected| *connected).await.expect("the book lives");
        start.send(()).expect("the publisher waits");
        while got < n {
            got += readings.recv().await.expect("the source runs").len();
            batches += 1;
        }
        stop.cancel();
    };
    let ((), ended) = tokio::join!(reader, source.run(stop.clone()));
    ended.expect("the source ran");
    println!("    {batches} batches, dropped {}", telemetry.get(Count::ReadingsDropped));
    got
}

fn round(what: &str, n: usize, rate: Option<f64>) {
    let broker = Mosquitto::start();
    let port = broker.port;
    let (start, started) = std::sync::mpsc::sync_channel(1);
    let publisher = thread::spawn({
        move || {
            let bytes = packets(n);
            started.recv().expect("the subscriber is ready");
            let began = Instant::now();
            publish(port, &bytes, rate.map(|rate| n as f64 / rate));
            began
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let cpu = cpu_of_this_thread();
    let limit = Duration::from_mins(1);
    let got = runtime.block_on(async {
        match what {
            what if what.starts_with("bare") => tokio::time::timeout(limit, bare(port, n, start)).await,
            _ => tokio::time::timeout(limit, anchors(port, n, start)).await,
        }
    });
    let (ended, cpu) = (Instant::now(), cpu_of_this_thread().saturating_sub(cpu));
    let seconds = (ended - publisher.join().expect("published")).as_secs_f64();
    let (got, rate): (usize, f64) = (got.expect("all arrive within a minute"), n as f64 / seconds);
    println!(
        "{what}: {got} messages in {seconds:.2} s = {rate:.0}/s; subscriber {:.2} µs a message, {:.0} % of a core",
        cpu.as_secs_f64() * 1e6 / n as f64,
        cpu.as_secs_f64() * 100.0 / seconds
    );
}

fn cpu_of_this_thread() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(spent.tv_sec as u64, spent.tv_nsec as u32)
}

fn main() {
    if !Path::new(MOSQUITTO).exists() {
        println!("SKIPPED: {MOSQUITTO} is missing; `apt-get install mosquitto`");
        return;
    }
    let told = std::env::args().find_map(|argument| argument.parse().ok());
    let n = told.unwrap_or(300_000);
    for _ in 0..3 {
        round("bare rumqttc", n, None);
        round("anchors source", n, None);
    }
    round("bare rumqttc, paced", n, Some(PACE));
    round("anchors source, paced", n, Some(PACE));
}
