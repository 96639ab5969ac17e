//! A million events of a box that was offline for weeks, pulled over Mosquitto into the collector's SQLite, beside bare
//! rumqttc that publishes and hears the same bytes over the same broker; and how a box with such a log starts, and what
//! memory the drain takes: `cargo bench --bench drain`. `EVENTS=…` takes another number.
//!
//! The bare side is measured three ways, for there is no one way of sending "the same bytes": each event as a message of its
//! own; the lines in messages as large as the batches; and these compressed, as the batches are on the wire. It keeps
//! nothing, checks nothing, and forgets where it was. What keeping alone costs is said by bare SQLite, which puts the very
//! rows that the collector has into tables like the collector's, with nobody beside it.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]
#![allow(dead_code, unreachable_pub)] // the tests use more of the support than the benches

#[path = "support/seed.rs"]
mod seed;
#[path = "../tests/it/support.rs"]
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use rusqlite::{Connection, params_from_iter, types::Value};
use showfloor::{
    domain::{Lane, LaneItem},
    store::LaneQuery,
    telemetry::Telemetry,
    wire::event::line,
};
use support::{Broker, SITE, Showroom};

/// What the collector asks for at once.
const BATCH_BYTES: usize = 512 * 1024;
const BATCH_EVENTS: usize = 2_000;

fn main() {
    let events: u64 = std::env::var("EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let broker = Broker::start();
    let mut showroom = Showroom::new("hel-01", SITE, broker.port);
    let data = showroom.dir.path().join("data");
    let lines = write(&data, events);
    let bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
    println!("\n| what | figure |\n|---|---|");
    let size = fs::metadata(data.join("showfloor.sqlite")).expect("is there").len();
    println!(
        "| the log | {events} events, {:.0} MB in SQLite, {:.0} MB as lines |",
        size as f64 / 1e6,
        bytes as f64 / 1e6
    );
    let begun = Instant::now();
    showroom.start();
    println!("| start until ready | {:.0} ms |", begun.elapsed().as_secs_f64() * 1e3);
    let before = cpu(showroom.pid());
    let ours = collect(&broker, &showroom, events);
    let busy = cpu(showroom.pid()) - before;
    println!("| memory of the daemon, peak (VmHWM) | {:.1} MB |", hwm(showroom.pid()));
    println!("| processor of the daemon, of the collector | {busy:.1} s, {:.1} s |", ours.cpu);
    println!("| memory of the collector, peak | {:.1} MB |", ours.peak);
    showroom.stop();
    println!("\n| drain | events/s | MB/s of lines | ratio |\n|---|---|---|---|");
    let rate = |time: Duration| (events as f64 / time.as_secs_f64(), bytes as f64 / 1e6 / time.as_secs_f64());
    let (speed, volume) = rate(ours.time);
    println!("| **showfloor: log → Mosquitto → collector's SQLite** | {speed:.0} | {volume:.1} | |");
    let row = |what: &str, time: Duration| {
        let ((speed, volume), ratio) = (rate(time), time.as_secs_f64() / ours.time.as_secs_f64() * 100.0);
        println!("| {what} | {speed:.0} | {volume:.1} | {ratio:.0} % |");
    };
    row("bare SQLite, the same rows, 2,000 a transaction, nothing sent", keep(&ours.into));
    let batches = batches(&lines);
    let small: Vec<Vec<u8>> = batches.iter().map(|batch| zstd::bulk::compress(batch, 3).expect("compresses")).collect();
    let single: Vec<Vec<u8>> = lines.into_iter().map(String::into_bytes).collect();
    for (what, messages) in [
        ("bare rumqttc, a message an event, QoS 1", single),
        ("bare rumqttc, the lines in batches, QoS 1", batches),
        ("bare rumqttc, these compressed, QoS 1", small),
    ] {
        row(what, bare(broker.port, messages));
    }
}

/// Fills a data directory and gives its events as lines.
fn write(data: &Path, events: u64) -> Vec<String> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (store, writer) = seed::open(data, "hel-01", &Telemetry::default());
    let begun = Instant::now();
    runtime.block_on(seed::fill(&store, events));
    eprintln!("wrote {events} events in {:.1} s", begun.elapsed().as_secs_f64());
    let mut lines = Vec::new();
    for lane in Lane::ALL {
        let mut after = 0;
        loop {
            let query = LaneQuery { lane, after, max_items: 2_000, max_bytes: usize::MAX };
            let page = runtime.block_on(store.reader().lane_page(query)).expect("reads");
            let Some(last) = page.last() else { break };
            after = last.last_seq();
            lines.extend(page.iter().filter_map(|item| match item {
                LaneItem::Event(event) => Some(line(event)),
                LaneItem::Gap(_) => None,
            }));
        }
    }
    runtime.block_on(store.close());
    writer.join().expect("ended well");
    lines
}

fn batches(lines: &[String]) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new()];
    let mut count = 0;
    for line in lines {
        let full =
            count == BATCH_EVENTS || all.last().is_some_and(|batch: &Vec<u8>| batch.len() + line.len() >= BATCH_BYTES);
        if full {
            all.push(Vec::new());
            count = 0;
        }
        let batch = all.last_mut().expect("one");
        batch.extend_from_slice(line.as_bytes());
        batch.push(b'\n');
        count += 1;
    }
    all
}

struct Drained {
    into: PathBuf,
    time: Duration,
    cpu: f64,
    peak: f64,
}

/// Our collector until it has all of it.
fn collect(broker: &Broker, showroom: &Showroom, events: u64) -> Drained {
    let into = showroom.dir.path().join("cloud.sqlite");
    let begun = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_showfloor"));
    command.args(["collect", "--once", "--site", "hel-01", "--broker", &format!("mqtt://127.0.0.1:{}", broker.port)]);
    command.arg("--into").arg(format!("sqlite:{}", into.display())).stderr(Stdio::null());
    let mut child: Child = command.spawn().expect("showfloor starts");
    let (mut used, mut peak) = (0.0, 0.0);
    let time = loop {
        if let Some(status) = child.try_wait().expect("a child") {
            assert!(status.success(), "the collector ended with {status}");
            break begun.elapsed();
        }
        (used, peak) = (cpu(child.id()).max(used), hwm(child.id()).max(peak));
        thread::sleep(Duration::from_millis(20));
    };
    let there: i64 = Connection::open(&into)
        .and_then(|db| db.query_row("SELECT count(*) FROM event", [], |row| row.get(0)))
        .expect("counted");
    assert!(there >= events.cast_signed(), "{there} of {events} arrived");
    Drained { into, time, cpu: used, peak }
}

/// Bare SQLite puts the events of a collector's database into another of the same schema, as durably.
fn keep(collected: &Path) -> Duration {
    let from = Connection::open(collected).expect("opens");
    let schema = "SELECT group_concat(sql, ';') FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'";
    let schema: String = from.query_row(schema, [], |row| row.get(0)).expect("reads");
    let mut statement = from.prepare("SELECT * FROM event ORDER BY rowid").expect("prepares");
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| (0..columns).map(|n| row.get(n)).collect()).expect("reads");
    let rows: Vec<Vec<Value>> = rows.collect::<Result<_, _>>().expect("reads");
    let into = Connection::open(collected.with_extension("bare")).expect("opens");
    into.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;")
        .expect("sets");
    into.execute_batch(&schema).expect("makes the tables");
    let marks = vec!["?"; columns].join(", ");
    let mut insert = into.prepare(&format!("INSERT INTO event VALUES ({marks})")).expect("prepares");
    let begun = Instant::now();
    for rows in rows.chunks(BATCH_EVENTS) {
        into.execute_batch("BEGIN").expect("begins");
        for row in rows {
            insert.execute(params_from_iter(row)).expect("inserts");
        }
        into.execute_batch("COMMIT").expect("commits");
    }
    begun.elapsed()
}

/// rumqttc to rumqttc over the broker, from the first publish until the last message is heard.
fn bare(port: u16, messages: Vec<Vec<u8>>) -> Duration {
    let client = |name: &str| {
        let mut options = MqttOptions::new(name, "127.0.0.1", port);
        options.set_max_packet_size(64 << 20, 64 << 20).set_inflight(100);
        Client::new(options, 100)
    };
    let (subscriber, mut ears) = client("bare-ears");
    subscriber.subscribe("bare", QoS::AtLeastOnce).expect("queued");
    let wanted = messages.len();
    let (up, ready) = std::sync::mpsc::sync_channel(1);
    let listener = thread::spawn(move || {
        let mut heard = 0;
        for event in ears.iter() {
            match event.expect("a connection") {
                Event::Incoming(Packet::SubAck(_)) => up.send(()).expect("awaited"),
                Event::Incoming(Packet::Publish(_)) => heard += 1,
                _ => {}
            }
            if heard == wanted {
                return Instant::now();
            }
        }
        panic!("the connection ended")
    });
    ready.recv().expect("subscribed");
    let (publisher, mut mouth) = client("bare-mouth");
    let begun = Instant::now();
    thread::spawn(move || mouth.iter().find(Result::is_err).map(drop));
    for message in messages {
        publisher.publish("bare", QoS::AtLeastOnce, false, message).expect("queued");
    }
    let ended = listener.join().expect("all is heard");
    publisher.disconnect().expect("queued");
    ended - begun
}

/// Peak of resident memory, MB.
fn hwm(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0) * 1024.0 / 1e6
}

/// Processor time, seconds.
fn cpu(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<_> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}
