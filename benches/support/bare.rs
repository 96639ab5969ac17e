//! Bare SQLite that does to tables of the store's schema what the store did, with values that are ready.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::{Connection, params, params_from_iter, types::Value};
use showfloor::{
    domain::{Fact, Presence, ZoneId},
    telemetry::Telemetry,
};
use tokio::runtime::Runtime;

use super::seed;

/// The values of one row.
pub type Row = Vec<Value>;

/// The log after `pos`, whole rows in order.
pub fn rows(path: &Path, pos: u64) -> Vec<Row> {
    read(path, &format!("SELECT * FROM log WHERE pos > {pos} ORDER BY pos"))
}

/// The requests, whole rows in the order of their answers.
pub fn requests(path: &Path) -> Vec<Row> {
    read(path, "SELECT * FROM request ORDER BY pos")
}

fn read(path: &Path, sql: &str) -> Vec<Row> {
    let conn = Connection::open(path).expect("opens");
    let mut statement = conn.prepare(sql).expect("prepares");
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| (0..columns).map(|n| row.get(n)).collect()).expect("reads");
    rows.collect::<Result<_, _>>().expect("reads")
}

/// A database of the store's schema.
pub struct Bare {
    conn: Connection,
    pos: i64,
    _dir: tempfile::TempDir,
}

impl Bare {
    /// Has the store make it, and opens it as the store does.
    pub fn open(site: &str, runtime: &Runtime) -> Self {
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("makes a directory");
        let data = dir.path().join("data");
        let (store, writer) = seed::open(&data, site, &Telemetry::default());
        runtime.block_on(store.close());
        writer.join().expect("ended well");
        let conn = Connection::open(data.join("showfloor.sqlite")).expect("opens");
        conn.set_prepared_statement_cache_capacity(96);
        conn.execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON;
             PRAGMA temp_store = MEMORY; PRAGMA journal_size_limit = 4194304;",
        )
        .expect("sets");
        Self { conn, pos: 0, _dir: dir }
    }

    /// The rows of facts, so many in a transaction.
    pub fn facts(&mut self, facts: &[Fact], rows: &[Row], at_once: usize) -> Duration {
        let begun = Instant::now();
        for (facts, rows) in facts.chunks(at_once).zip(rows.chunks(at_once)) {
            self.run("BEGIN IMMEDIATE");
            for (fact, row) in facts.iter().zip(rows) {
                self.log(row);
                self.follow(fact);
            }
            self.commit();
        }
        begun.elapsed()
    }

    /// The rows of commands, so many in a transaction.
    pub fn commands(&mut self, rows: &[Row], requests: &[Row], at_once: usize) -> Duration {
        let begun = Instant::now();
        for (rows, requests) in rows.chunks(at_once).zip(requests.chunks(at_once)) {
            self.run("BEGIN IMMEDIATE");
            for (row, request) in rows.iter().zip(requests) {
                self.log(row);
                self.insert("request", request);
            }
            self.commit();
        }
        begun.elapsed()
    }

    fn run(&self, sql: &str) {
        self.conn.prepare_cached(sql).and_then(|mut statement| statement.execute([])).expect("runs");
    }

    /// With the heads of the lanes, as the store keeps them.
    fn commit(&self) {
        let sql = "UPDATE lane SET head = ?2 WHERE lane = ?1 AND head <> ?2";
        let mut statement = self.conn.prepare_cached(sql).expect("prepares");
        for lane in 0..3 {
            statement.execute([lane, self.pos]).expect("updates");
        }
        drop(statement);
        self.run("COMMIT");
    }

    fn log(&mut self, row: &Row) {
        self.pos += 1;
        self.insert("log", row);
    }

    fn insert(&self, table: &str, row: &Row) {
        let sql = match (table, row.len()) {
            ("log", 19) => {
                "INSERT INTO log VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18,?19)"
            }
            ("request", 9) => "INSERT INTO request VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9)",
            (table, columns) => panic!("{table} has {columns} columns now; say so here"),
        };
        self.conn.prepare_cached(sql).expect("prepares").execute(params_from_iter(row)).expect("inserts");
    }

    /// Open visits and the projection of visits.
    fn follow(&self, fact: &Fact) {
        let at = fact.at.micros();
        let name = |zone: &Option<ZoneId>| zone.as_ref().map(|zone| zone.as_str().to_owned());
        let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
            self.conn.prepare_cached(sql).expect("prepares").execute(values).expect("runs");
        };
        match &fact.presence {
            Presence::Entered { visit, zone, x, y, tag, .. } => {
                let (id, zone, none) = (visit.0.as_bytes(), name(zone), rusqlite::types::Null);
                run(
                    "INSERT OR REPLACE INTO visit (visit, customer, entered_us, zone, x, y, pos) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    params![id, none, at, zone, x, y, self.pos],
                );
                run(
                    "INSERT OR REPLACE INTO open_visit (visit, tag, customer, entered_us, last_us, zone, x, y)
                     VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7)",
                    params![id, tag.as_str(), none, at, zone, x, y],
                );
            }
            Presence::Moved { visit, to, x, y, .. } => {
                let (id, zone) = (visit.0.as_bytes(), name(to));
                run("UPDATE visit SET zone = ?2, x = ?3, y = ?4 WHERE visit = ?1", params![id, zone, x, y]);
                run(
                    "UPDATE open_visit SET last_us = ?2, zone = ?3, x = ?4, y = ?5 WHERE visit = ?1",
                    params![id, at, zone, x, y],
                );
            }
            Presence::Dwelled { visit, .. } | Presence::Traced { visit, .. } => {
                run("UPDATE open_visit SET last_us = ?2 WHERE visit = ?1", params![visit.0.as_bytes(), at]);
            }
            Presence::Exited { visit, .. } => {
                run("UPDATE visit SET exited_us = ?2 WHERE visit = ?1", params![visit.0.as_bytes(), at]);
                run("DELETE FROM open_visit WHERE visit = ?1", params![visit.0.as_bytes()]);
            }
            Presence::Heated(_) => {}
        }
    }
}
