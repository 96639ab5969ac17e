//! What it costs to have things on disk through the store, beside bare SQLite that is given the very same rows, ready made,
//! in as many transactions, in tables made by the store's own schema: `cargo bench --bench commit`.
//!
//! The bare side does what the store ends up doing to tables (log, requests, open visits, projections, heads of lanes) with
//! the same statements prepared, and nothing else: it decides nothing, encodes nothing, guards no job with a savepoint,
//! crosses no thread. Rounds alternate; both write below the build directory, so that a disk and not memory is measured.
#![allow(missing_docs, clippy::expect_used, clippy::print_stdout, clippy::print_stderr)]
#![allow(dead_code, unreachable_pub)] // other benches use more of the seed

#[path = "support/bare.rs"]
mod bare;
#[path = "support/seed.rs"]
mod seed;

use std::time::{Duration, Instant};

use showfloor::{
    domain::{Vehicle, VehicleStatus},
    showroom::{CloudCommand, Command, Dating, KioskCommand},
    store::{RequestKey, StoreHandle, Writer},
    telemetry::{Count, Telemetry},
};
use tokio::{runtime::Runtime, task::JoinSet};

const ROUNDS: usize = 5;
const FACTS: usize = 100_000;
const COMMANDS: usize = 20_000;
const AT_ONCE: usize = 500;
const SINGLES: usize = 2_000;

struct Side {
    dir: tempfile::TempDir,
    store: StoreHandle,
    writer: Writer,
    telemetry: Telemetry,
}

impl Side {
    fn open() -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("makes a directory");
        let telemetry = Telemetry::default();
        let (store, writer) = seed::open(&dir.path().join("data"), "bench", &telemetry);
        Self { dir, store, writer, telemetry }
    }

    fn close(self, runtime: &Runtime) {
        runtime.block_on(self.store.close());
        self.writer.join().expect("ended well");
    }

    fn commits(&self) -> u64 {
        self.telemetry.get(Count::Commits)
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("builds");
    println!("| what | showfloor | bare SQLite, same rows | ratio |\n|---|---|---|---|");
    many("facts of visits, events/s", &runtime, facts);
    many("kiosk messages, events/s", &runtime, commands);
    singles(&runtime);
}

/// Rounds of one kind of work on both sides; the round with the median ratio is told, and the range.
fn many(what: &str, runtime: &Runtime, round: fn(&Runtime) -> (f64, f64)) {
    let mut rounds: Vec<(f64, f64)> = (0..ROUNDS).map(|_| round(runtime)).collect();
    rounds.sort_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
    let ratio = |(ours, bare): (f64, f64)| ours / bare;
    let (ours, bare) = rounds[ROUNDS / 2];
    let (worst, best) = (ratio(rounds[0]), ratio(rounds[ROUNDS - 1]));
    println!(
        "| {what} | {ours:.0} | {bare:.0} | {:.0} % ({:.0} to {:.0} %) |",
        ours / bare * 100.0,
        worst * 100.0,
        best * 100.0
    );
}

/// Events a second of both sides, for facts of the engine.
fn facts(runtime: &Runtime) -> (f64, f64) {
    let side = Side::open();
    let work: Vec<_> = seed::facts().take(FACTS).collect();
    let before = side.commits();
    let begun = Instant::now();
    runtime.block_on(async {
        for fact in work.iter().cloned() {
            side.store.record(fact, Dating::AsSaid).await.expect("is taken");
        }
        let wanted = FACTS as u64;
        side.store.heads().wait_for(|heads| heads.pos >= wanted).await.expect("the store runs");
    });
    let ours = FACTS as f64 / begun.elapsed().as_secs_f64();
    let commits = side.commits() - before;
    eprintln!("{FACTS} facts in {commits} transactions");
    let path = side.dir.path().join("data/showfloor.sqlite");
    let rows = bare::rows(&path, 0);
    side.close(runtime);
    let mut bare = bare::Bare::open("bench", runtime);
    let took = bare.facts(&work, &rows, FACTS.div_ceil(commits as usize));
    (ours, FACTS as f64 / took.as_secs_f64())
}

/// Events a second of both sides, for messages of many kiosks at once.
fn commands(runtime: &Runtime) -> (f64, f64) {
    let side = Side::open();
    let first = runtime.block_on(prepare(&side.store));
    let before = side.commits();
    let begun = Instant::now();
    runtime.block_on(async {
        let mut all = JoinSet::new();
        for _ in 0..AT_ONCE {
            let store = side.store.clone();
            all.spawn(async move {
                for _ in 0..COMMANDS / AT_ONCE {
                    store.submit(Some(key()), viewed()).await.expect("is done");
                }
            });
        }
        all.join_all().await;
    });
    let ours = COMMANDS as f64 / begun.elapsed().as_secs_f64();
    let commits = side.commits() - before;
    let path = side.dir.path().join("data/showfloor.sqlite");
    let (rows, requests) = (bare::rows(&path, first), bare::requests(&path));
    side.close(runtime);
    assert_eq!((rows.len(), requests.len()), (COMMANDS, COMMANDS));
    let mut bare = bare::Bare::open("bench", runtime);
    let took = bare.commands(&rows, &requests, COMMANDS.div_ceil(commits as usize));
    (ours, COMMANDS as f64 / took.as_secs_f64())
}

/// One message after the other, each alone in its transaction, in turns with the bare commit of an equal one.
fn singles(runtime: &Runtime) {
    let side = Side::open();
    let first = runtime.block_on(prepare(&side.store));
    let path = side.dir.path().join("data/showfloor.sqlite");
    // What the bare side writes: rows of an earlier run of the same messages.
    for _ in 0..SINGLES {
        runtime.block_on(side.store.submit(Some(key()), viewed())).expect("is done");
    }
    let (rows, requests) = (bare::rows(&path, first), bare::requests(&path));
    let mut bare = bare::Bare::open("bench", runtime);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for (row, request) in rows.iter().zip(&requests) {
        let begun = Instant::now();
        runtime.block_on(side.store.submit(Some(key()), viewed())).expect("is done");
        ours.push(begun.elapsed());
        theirs.push(bare.commands(std::slice::from_ref(row), std::slice::from_ref(request), 1));
    }
    side.close(runtime);
    let at = |times: &mut Vec<Duration>, share: f64| {
        times.sort();
        times[(times.len() as f64 * share) as usize].as_secs_f64() * 1e6
    };
    for share in [0.5, 0.99] {
        let (ours, theirs) = (at(&mut ours, share), at(&mut theirs, share));
        let p = share * 100.0;
        println!(
            "| one kiosk message until its receipt, p{p:.0} | {ours:.0} µs | {theirs:.0} µs | {:.2} |",
            ours / theirs
        );
    }
}

fn key() -> RequestKey {
    RequestKey { source: "kiosk:K1".into(), id: uuid::Uuid::new_v4().to_string() }
}

fn viewed() -> Command {
    let vehicle = "V1".parse().expect("id");
    Command::Kiosk { kiosk: "K1".parse().expect("id"), command: KioskCommand::View { vehicle, seconds: 12.5 } }
}

/// A car and a session; how far the log is then.
async fn prepare(store: &StoreHandle) -> u64 {
    let car = Vehicle {
        id: "V1".parse().expect("id"),
        make: "Volvo".into(),
        model: "EX40".into(),
        year: 2026,
        body_type: "suv".into(),
        price: None,
        currency: None,
        spot: None,
        location: None,
        status: VehicleStatus::Available,
        photo: None,
    };
    let start = Command::Kiosk { kiosk: "K1".parse().expect("id"), command: KioskCommand::StartSession };
    store.submit(None, Command::Cloud(CloudCommand::VehicleUpsert(car))).await.expect("is done");
    store.submit(None, start).await.expect("is done").pos
}
