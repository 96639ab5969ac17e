//! Mosquitto that is killed and started again under load, with and without a memory of its own; and a box that is killed.

use super::{
    cloud::Cloud,
    work::{Work, showroom},
};
use crate::support::Broker;

fn survive_restarts(mut broker: Broker) {
    let mut showroom = showroom(broker.port, &["cloud", "audit"]);
    showroom.start();
    let (mut cloud, mut work) = (Cloud::connect(broker.port, "hel-01", "cloud"), Work::default());
    let mut audit = Cloud::connect(broker.port, "hel-01", "audit");
    for round in 1..=4 {
        work.go_on_until(&mut cloud, round * 10, || true);
        broker.kill();
        broker.start_again();
    }
    work.go_on_until(&mut cloud, 50, || true);
    work.check(&mut cloud);
    work.check(&mut audit);
    assert_eq!(showroom.stop(), 0);
}

#[test]
fn a_mosquitto_without_a_memory_is_killed_under_load() {
    survive_restarts(Broker::start());
}

#[test]
fn a_mosquitto_with_a_memory_is_killed_under_load() {
    let dir = tempfile::TempDir::new().expect("a directory");
    let memory =
        format!("user root\npersistence true\nautosave_interval 1\npersistence_location {}/\n", dir.path().display());
    survive_restarts(Broker::start_with(dir, &memory));
}

/// The library tells the broker that a command arrived before it is done: that promises nothing.
#[test]
fn a_box_that_is_killed_under_load_does_each_command_once() {
    let broker = Broker::start();
    let mut showroom = showroom(broker.port, &["cloud"]);
    let (mut cloud, mut work) = (Cloud::connect(broker.port, "hel-01", "cloud"), Work::default());
    for round in 1..=4 {
        showroom.start();
        work.go_on_until(&mut cloud, round * 25, || true);
        // Some are on their way when it dies; they are repeated under the same ids by the next round.
        work.throw(&cloud, 20);
        showroom.kill();
    }
    showroom.start();
    work.catch_up(&cloud);
    work.check(&mut cloud);
}
