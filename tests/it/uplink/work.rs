//! A day's work between a box and its cloud: cars come as commands, their events are pulled. Whatever happens on the way,
//! each command is done once and each event is pulled once.

use std::fs;

use serde_json::{Value, json};

use super::cloud::Cloud;
use crate::support::{SITE, Showroom};

/// A box with `consumers`, and with little patience, so that tests need not wait for minutes.
pub fn showroom(broker: u16, consumers: &[&str]) -> Showroom {
    let showroom = Showroom::new("hel-01", SITE, broker);
    let text = fs::read_to_string(showroom.config()).expect("read");
    let hasty = format!("consumers = {consumers:?}\nkeep_alive_s = 1\npatience_s = 2\nlongest_pause_s = 1");
    fs::write(showroom.config(), text.replace("consumers = [\"cloud\"]", &hasty)).expect("written");
    showroom
}

/// A car of this number.
pub fn car(n: usize) -> Value {
    json!({"id": format!("V{n}"), "make": "Volvo", "model": "EX40", "year": 2026, "type": "suv", "status": "available"})
}

/// Commands that were done, by their ids.
#[derive(Default)]
pub struct Work {
    done: Vec<(String, u64)>,
    thrown: Vec<String>,
}

impl Work {
    /// One more car, and a pull now and then.
    pub fn go_on(&mut self, cloud: &mut Cloud) {
        self.catch_up(cloud);
        let (n, id) = (self.done.len(), uuid::Uuid::now_v7().to_string());
        let result = cloud.command(&id, "vehicle.upsert", &car(n));
        assert_eq!(result["ok"], true, "{result}");
        self.done.push((id, result["pos"].as_u64().expect("a position")));
        if n % 2 == 1 {
            cloud.pull("sales");
        }
    }

    /// As many cars as `least`, and on until `enough`.
    pub fn go_on_until(&mut self, cloud: &mut Cloud, least: usize, mut enough: impl FnMut() -> bool) {
        let until = std::time::Instant::now() + crate::support::DEADLINE;
        while self.done.len() < least || !enough() {
            assert!(std::time::Instant::now() < until, "gave up: {} commands were done", self.done.len());
            self.go_on(cloud);
        }
    }

    /// Sends commands without waiting for their results.
    pub fn throw(&mut self, cloud: &Cloud, count: usize) {
        assert!(self.thrown.is_empty(), "catch up first");
        for n in 0..count {
            let id = uuid::Uuid::now_v7().to_string();
            cloud.say_command(&id, "vehicle.upsert", &car(self.done.len() + n));
            self.thrown.push(id);
        }
    }

    /// Sends what was thrown until each has its result.
    pub fn catch_up(&mut self, cloud: &Cloud) {
        for id in std::mem::take(&mut self.thrown) {
            let result = cloud.command(&id, "vehicle.upsert", &car(self.done.len()));
            self.done.push((id, result["pos"].as_u64().expect("a position")));
        }
    }

    /// Each command was done once, is answered as before, and its event was pulled once.
    pub fn check(&self, cloud: &mut Cloud) {
        for (n, (id, pos)) in self.done.iter().enumerate().take(5) {
            let again = cloud.command(id, "vehicle.upsert", &car(n));
            assert_eq!((&again["ok"], again["pos"].as_u64()), (&json!(true), Some(*pos)), "the stored result");
        }
        cloud.drain("sales");
        let mut cars: Vec<_> = cloud.events("inventory.updated").iter().map(|event| event["vehicle"].clone()).collect();
        let mut expected: Vec<_> = (0..self.done.len()).map(|n| json!(format!("V{n}"))).collect();
        cars.sort_by_key(Value::to_string);
        expected.sort_by_key(Value::to_string);
        assert_eq!(cars, expected, "each command was done once and its event was pulled once");
    }
}
