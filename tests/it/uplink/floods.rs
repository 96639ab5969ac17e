//! Consumers that ask for nonsense, that ask without waiting for answers, that never acknowledge: they cost a bounded part
//! of the box, and nobody else notices.

use std::{fs, thread};

use serde_json::json;

use super::{
    cloud::Cloud,
    work::{Work, showroom},
};
use crate::{support::Broker, world::World};

/// Resident memory, kB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("read");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Much more than a flood may keep, much less than it would take if it were kept.
const MAY_GROW_KB: u64 = 48 * 1024;
const FLOOD: usize = 6_000;

fn flood(world: &World) {
    for n in 0..FLOOD {
        let id = n.to_string();
        match n % 6 {
            // The same question about the start of a lane again and again, each under another name.
            0 | 1 => world.publish_to_box(
                "pull/noisy",
                &json!({"id": id, "lane": "sales", "after": 0, "max_events": 5_000, "max_bytes": 1_048_576}),
            ),
            2 => world.publish_to_box("pull/noisy", &json!({"id": id, "lane": ["sales"], "after": "all"})),
            3 => world.publish("showfloor/v1/hel-01/pull/noisy", "{\"id\":\"x\",".repeat(40)),
            4 => world.publish_to_box(&format!("pull/made-up-{n}"), &json!({"id": id, "lane": "sales", "after": 0})),
            _ => world.publish_to_box("ack/noisy", &json!({"lane": "sales", "upto": n})),
        }
    }
}

#[test]
fn a_consumer_that_floods_the_box_and_never_acknowledges_costs_the_others_nothing() {
    let broker = Broker::start();
    let mut showroom = showroom(broker.port, &["cloud", "noisy"]);
    showroom.start();
    let service = showroom.token("service", "probe");
    let (mut cloud, mut work) = (Cloud::connect(broker.port, "hel-01", "cloud"), Work::default());
    work.go_on_until(&mut cloud, 30, || true);
    let before = resident(showroom.pid());
    let noisy = World::connect_deaf(broker.port, "hel-01");
    let grown = thread::scope(|scope| {
        let flood = scope.spawn(|| flood(&noisy));
        work.go_on_until(&mut cloud, 60, || flood.is_finished());
        resident(showroom.pid()).saturating_sub(before)
    });
    let refused = || showroom.metric(&service, "showfloor_uplink_pulls_refused_total");
    crate::support::wait_for("the flood to be counted", || (refused() > FLOOD as u64 / 6).then_some(()));
    assert!(grown < MAY_GROW_KB, "the daemon grew by {grown} kB");
    work.check(&mut cloud);
    let mut calm = Cloud::connect(broker.port, "hel-01", "noisy");
    calm.acks = false;
    for _ in 0..3 {
        calm.after.clear();
        calm.drain("sales");
    }
    assert_eq!(showroom.metric(&service, "showfloor_unit_restarts_total"), 0);
    assert_eq!(showroom.stop(), 0);
}
