//! What it costs to have a kiosk's message on disk, beside the bare cost of one SQLite commit of such a row in the same
//! run: `cargo bench --bench commit`. Both write below the build directory, so that a disk and not memory is measured.
#![allow(missing_docs, clippy::expect_used)]

use std::sync::Arc;

use divan::Bencher;
use rusqlite::{Connection, params};
use showfloor::{
    domain::{Vehicle, VehicleStatus},
    showroom::{CloudCommand, Command, KioskCommand},
    store::{GroupCommit, Options, RequestKey, StorageOptions, Store, StoreHandle, Writer},
    telemetry::{SystemClock, Telemetry},
};
use tokio::{runtime::Runtime, task::JoinSet};

const DATA: &str = r#"{"kiosk":"K1","session":"00000000-0000-4000-8000-000000000000","vehicle":"V1","seconds":12.5}"#;

fn main() {
    divan::main();
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("makes a directory")
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().expect("builds")
}

fn open(dir: &tempfile::TempDir) -> (StoreHandle, Writer) {
    let options = Options {
        dir: dir.path().join("data"),
        consumers: Vec::new(),
        site_tags: showfloor::domain::Registry::default(),
        site: "bench".parse().expect("id"),
        clock: Arc::new(SystemClock::new()),
        telemetry: Telemetry::default(),
        group: GroupCommit::default(),
        storage: StorageOptions::default(),
    };
    let (handle, mut writer) = Store::open(options).expect("opens");
    writer.run_thread().expect("starts");
    (handle, writer)
}

fn key() -> RequestKey {
    RequestKey { source: "kiosk:K1".into(), id: uuid::Uuid::new_v4().to_string() }
}

fn viewed() -> Command {
    let vehicle = "V1".parse().expect("id");
    Command::Kiosk { kiosk: "K1".parse().expect("id"), command: KioskCommand::View { vehicle, seconds: 12.5 } }
}

async fn prepare(store: &StoreHandle) {
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
    store.submit(None, start).await.expect("is done");
}

/// One row like an event's, committed alone with `synchronous=FULL`.
#[divan::bench(sample_count = 1_000, sample_size = 1)]
fn bare_sqlite_commit(bencher: Bencher<'_, '_>) {
    let dir = scratch();
    let conn = Connection::open(dir.path().join("bare.sqlite")).expect("opens");
    conn.execute_batch(
        "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE log (pos INTEGER PRIMARY KEY AUTOINCREMENT, lane INTEGER, seq INTEGER, id BLOB, kind TEXT,
             wall_us INTEGER, boot BLOB, mono_ns INTEGER, data TEXT, UNIQUE (lane, seq)) STRICT;",
    )
    .expect("makes a table");
    let mut seq = 0_i64;
    bencher.bench_local(|| {
        seq += 1;
        let id = uuid::Uuid::new_v4().into_bytes();
        let sql = "INSERT INTO log (lane, seq, id, kind, wall_us, boot, mono_ns, data)
                   VALUES (0, ?1, ?2, 'kiosk.viewed', ?3, ?2, ?3, ?4)";
        conn.prepare_cached(sql).expect("prepares").execute(params![seq, id, seq * 1_000, DATA]).expect("commits");
    });
}

/// A kiosk's message from the handle to its receipt, alone in its transaction.
#[divan::bench(sample_count = 1_000, sample_size = 1)]
fn submit_to_receipt(bencher: Bencher<'_, '_>) {
    let (dir, runtime) = (scratch(), runtime());
    let (store, writer) = open(&dir);
    runtime.block_on(prepare(&store));
    bencher.bench_local(|| runtime.block_on(store.submit(Some(key()), viewed())).expect("is done"));
    runtime.block_on(store.close());
    writer.join().expect("ended well");
}

/// A hundred at once: the time for all of them, which share commits.
#[divan::bench(sample_count = 100, sample_size = 1)]
fn submit_100_at_once(bencher: Bencher<'_, '_>) {
    let (dir, runtime) = (scratch(), runtime());
    let (store, writer) = open(&dir);
    runtime.block_on(prepare(&store));
    bencher.counter(100_u32).bench_local(|| {
        runtime.block_on(async {
            let mut all = JoinSet::new();
            for _ in 0..100 {
                let store = store.clone();
                all.spawn(async move { store.submit(Some(key()), viewed()).await.expect("is done") });
            }
            all.join_all().await
        })
    });
    runtime.block_on(store.close());
    writer.join().expect("ended well");
}
