//! The whole program, as a box runs it: readings through Mosquitto to 50 tablets, a kiosk's tap until it is durable,
//! memory, start, size. Each beside what it cannot be faster than, in the same run. `make bench` runs it.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::format_push_string
)]
#![allow(dead_code, unreachable_pub)] // the tests use more of the support than the benches

#[path = "../tests/it/support.rs"]
mod support;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use support::{Broker, Showroom};
use tokio::runtime::Runtime;
use tokio_tungstenite::{connect_async, tungstenite::Message};

const TAGS: usize = 200;
const ANCHORS: usize = 8;
const TABLETS: usize = 50;
const STEP: Duration = Duration::from_secs(5);
const RATES: [usize; 7] = [20_000, 40_000, 60_000, 80_000, 100_000, 120_000, 150_000];

fn site(tags: usize) -> String {
    let mut text = String::from(
        "[site]\nid = \"bench\"\nname = \"Bench\"\ntimezone = \"Etc/UTC\"\nbounds = [0.0, 0.0, 30.0, 20.0]\ntag_height_m = 1.2\n",
    );
    for n in 0..ANCHORS {
        let (x, y) = ((n % 4) as f64 * 10.0, (n / 4) as f64 * 20.0);
        text += &format!("[[anchor]]\nid = \"a{n}\"\nx = {x:.1}\ny = {y:.1}\nz = 2.6\n");
    }
    for n in 0..tags {
        text += &format!("[[tag]]\nid = \"ibeacon:u:1:{n}\"\nrole = \"visitor\"\n");
    }
    text
}

fn showroom(tags: usize, broker: u16) -> Showroom {
    let showroom = Showroom::new("bench", &site(tags), broker);
    let config = fs::read_to_string(showroom.config()).expect("read").replace("\"payload\"", "\"arrival\"");
    let config = config.replace("[anchors]", "messages_per_minute = 1000000\n[anchors]");
    fs::write(showroom.config(), config).expect("written");
    showroom
}

/// One ESPresense message as an MQTT 3.1.1 PUBLISH packet, `QoS` 0.
fn packet(tag: usize, anchor: usize, second: f64) -> Vec<u8> {
    let phase = second * 0.05 + tag as f64;
    let (x, y) = (15.0 + 14.0 * phase.sin(), 10.0 + 9.0 * (phase * 0.7).cos());
    let (ax, ay) = ((anchor % 4) as f64 * 10.0, (anchor / 4) as f64 * 20.0);
    let distance = (x - ax).hypot(y - ay).max(0.5);
    let rssi = -62.0 - 18.0 * distance.log10() + ((tag * 7 + anchor * 13) % 5) as f64;
    let topic = format!("espresense/devices/iBeacon:u-1-{tag}/a{anchor}");
    let payload = format!("{{\"id\":\"iBeacon:u-1-{tag}\",\"rssi\":{rssi:.2},\"distance\":{distance:.2},\"int\":100}}");
    let mut out = vec![0x30];
    let mut length = 2 + topic.len() + payload.len();
    while length >= 128 {
        out.push((length % 128) as u8 | 0x80);
        length /= 128;
    }
    out.push(length as u8);
    out.extend((topic.len() as u16).to_be_bytes());
    out.extend(topic.bytes());
    out.extend(payload.bytes());
    out
}

/// A publisher that costs next to nothing, so that the rest has the cores.
fn publish(port: u16, rate: usize, tags: usize, time: Duration) -> u64 {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    socket.write_all(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x00\x00\x05bench").expect("sent");
    socket.read_exact(&mut [0; 4]).expect("welcomed");
    let (begin, per_slice, mut sent) = (Instant::now(), rate / 100, 0);
    for slice in 1.. {
        if begin.elapsed() >= time {
            break;
        }
        let mut batch = Vec::with_capacity(per_slice * 128);
        for _ in 0..per_slice {
            batch.extend(packet(sent / ANCHORS % tags, sent % ANCHORS, begin.elapsed().as_secs_f64()));
            sent += 1;
        }
        socket.write_all(&batch).expect("sent");
        let due = begin + Duration::from_millis(10) * slice;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    socket.write_all(b"\xe0\x00").expect("sent");
    // The broker hangs up when it has read everything.
    let _ = socket.read_to_end(&mut Vec::new());
    sent as u64
}

/// Clients that read everything, and the number of POSITIONS frames they got.
fn tablets(showroom: &Showroom, token: &str) -> (Runtime, Arc<AtomicU64>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
    let frames = Arc::new(AtomicU64::new(0));
    let url = format!("ws://127.0.0.1:{}/ws?token={token}", showroom.http);
    for _ in 0..TABLETS {
        let (url, frames) = (url.clone(), Arc::clone(&frames));
        let (mut socket, _) = runtime.block_on(connect_async(url)).expect("connected");
        // They end when the runtime is dropped, at the end of the bench.
        runtime.handle().spawn(async move {
            while let Some(Ok(message)) = socket.next().await {
                if matches!(&message, Message::Text(text) if text.contains("\"POSITIONS\"")) {
                    frames.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    (runtime, frames)
}

/// The highest rate at which nothing was lost between the publisher and the engine.
fn whole_rate() -> usize {
    let broker = Broker::start();
    let mut showroom = showroom(TAGS, broker.port);
    showroom.start();
    let token = showroom.token("service", "probe");
    let (_runtime, frames) = tablets(&showroom, &token);
    let mut best = 0;
    for rate in RATES {
        let before = showroom.metric(&token, "showfloor_readings_total");
        let positions = frames.load(Ordering::Relaxed);
        let sent = publish(broker.port, rate, TAGS, STEP);
        let arrived = settled(|| showroom.metric(&token, "showfloor_readings_total") - before, sent);
        let dropped = showroom.metric(&token, "showfloor_readings_dropped_total");
        let shown = frames.load(Ordering::Relaxed) - positions;
        let events = showroom.metric(&token, "showfloor_store_events_total");
        println!(
            "offered {rate}/s: sent {sent}, arrived {arrived}, dropped {dropped}, POSITIONS frames {shown}, events {events}"
        );
        if arrived < sent || dropped > 0 || sent < (rate as u64) * 9 / 2 {
            break;
        }
        best = rate;
    }
    best
}

/// The same with a bare rumqttc subscriber that looks at nothing.
fn bare_rate() -> usize {
    let broker = Broker::start();
    let count = Arc::new(AtomicU64::new(0));
    let mut options = rumqttc::MqttOptions::new("bare", "127.0.0.1", broker.port);
    options.set_max_packet_size(1 << 20, 1 << 20);
    let (client, mut connection) = rumqttc::Client::new(options, 10);
    client.subscribe("espresense/devices/#", rumqttc::QoS::AtMostOnce).expect("queued");
    let (counter, (ready, up)) = (Arc::clone(&count), std::sync::mpsc::sync_channel(1));
    thread::spawn(move || {
        for event in connection.iter() {
            match event {
                Ok(rumqttc::Event::Incoming(rumqttc::Packet::Publish(_))) => {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                Ok(rumqttc::Event::Incoming(rumqttc::Packet::SubAck(_))) => drop(ready.try_send(())),
                Ok(_) => {}
                Err(_) => break,
            }
        }
    });
    up.recv().expect("subscribed");
    let mut best = 0;
    for rate in RATES {
        let before = count.load(Ordering::Relaxed);
        let sent = publish(broker.port, rate, TAGS, STEP);
        let arrived = settled(|| count.load(Ordering::Relaxed) - before, sent);
        println!("bare subscriber, offered {rate}/s: sent {sent}, arrived {arrived}");
        if arrived < sent || sent < (rate as u64) * 9 / 2 {
            break;
        }
        best = rate;
    }
    best
}

/// Waits until `read` reaches `goal` or stands still for two seconds.
fn settled(read: impl Fn() -> u64, goal: u64) -> u64 {
    let (mut last, mut since) = (read(), Instant::now());
    while last < goal && since.elapsed() < Duration::from_secs(2) {
        thread::sleep(Duration::from_millis(100));
        let now = read();
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    last
}

fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

async fn tap_times(url: String) -> Vec<Duration> {
    let (mut socket, _) = connect_async(url).await.expect("connected");
    let mut times = Vec::new();
    for n in 0..1000 {
        let kind = if n == 0 { "SESSION_START" } else { "KIOSK_CALL" };
        let message = json!({"type": kind, "id": n.to_string(), "payload": {}}).to_string();
        let begin = Instant::now();
        socket.send(Message::text(message)).await.expect("sent");
        loop {
            let Some(Ok(Message::Text(text))) = socket.next().await else { panic!("closed") };
            assert!(!text.contains("\"ERROR\""), "{text}");
            if text.contains("\"ACK\"") {
                break;
            }
        }
        times.push(begin.elapsed());
    }
    times
}

/// A tap until its ACK, beside one commit of a bare SQLite on the same disk.
fn taps() {
    let broker = Broker::start();
    let mut showroom = showroom(1, broker.port);
    showroom.start();
    let kiosk = showroom.token("kiosk", "K1");
    let url = format!("ws://127.0.0.1:{}/ws?token={kiosk}", showroom.http);
    let acks = Runtime::new().expect("runtime").block_on(tap_times(url));
    let db = rusqlite::Connection::open(showroom.dir.path().join("bare.sqlite")).expect("opens");
    db.pragma_update(None, "journal_mode", "WAL").expect("set");
    db.pragma_update(None, "synchronous", "FULL").expect("set");
    db.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, data TEXT)", []).expect("made");
    let one = |_| {
        let begin = Instant::now();
        db.execute("INSERT INTO t(data) VALUES (?1)", ["{\"kiosk\":\"K1\"}"]).expect("inserted");
        begin.elapsed()
    };
    let bare: Vec<_> = (0..1000).map(one).collect();
    let ((p50, p99), (bare50, bare99)) = (percentiles(acks), percentiles(bare));
    let ratio = p50.as_secs_f64() / bare50.as_secs_f64();
    println!(
        "| kiosk message → durable → ACK | p50 {p50:.2?}, p99 {p99:.2?} | one bare SQLite commit: p50 {bare50:.2?}, p99 {bare99:.2?} | {ratio:.1} |"
    );
}

fn memory_and_start() {
    let broker = Broker::start();
    let mut showroom = showroom(1000, broker.port);
    let begin = Instant::now();
    showroom.start();
    println!("| start to ready | {:.0?} | goal 1 s | |", begin.elapsed());
    let token = showroom.token("service", "probe");
    let (_runtime, _frames) = tablets(&showroom, &token);
    publish(broker.port, 8_000, 1000, Duration::from_secs(15));
    let status = fs::read_to_string(format!("/proc/{}/status", showroom.pid())).expect("read");
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS").trim();
    println!("| resident memory, 1,000 moving tags, {TABLETS} tablets | {rss} | goal 40 MB | |");
    let size = fs::metadata(env!("CARGO_BIN_EXE_showfloor")).expect("the binary").len();
    println!("| binary | {:.1} MB | | |", size as f64 / 1e6);
}

fn main() {
    println!("| what | showfloor | beside | ratio |\n|---|---|---|---|");
    taps();
    memory_and_start();
    let (bare, whole) = (bare_rate(), whole_rate());
    let ratio = whole as f64 / bare as f64;
    println!(
        "| readings/s, one a message, {TAGS} tags, {TABLETS} tablets, nothing lost | {whole} | bare rumqttc subscriber: {bare} | {ratio:.2} |"
    );
}
