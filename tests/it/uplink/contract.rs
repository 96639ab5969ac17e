//! The contract sentence by sentence, with Mosquitto and with a puller that knows nothing of this program.

use std::{collections::HashSet, fs, path::PathBuf, process::Command};

use serde_json::{Value, json};

use super::{
    cloud::Cloud,
    work::{Work, car, showroom},
};
use crate::{
    support::{Broker, Showroom, data_dir, python, tool, wait_for},
    world::World,
};

struct Rig {
    broker: Broker,
    showroom: Showroom,
}

fn rig(consumers: &[&str], env: &[(&'static str, &str)]) -> Rig {
    let broker = Broker::start();
    let mut showroom = showroom(broker.port, consumers);
    showroom.env = env.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    showroom.start();
    Rig { broker, showroom }
}

impl Rig {
    fn world(&self) -> World {
        World::connect(self.broker.port, "hel-01")
    }

    fn cloud(&self, consumer: &str) -> Cloud {
        Cloud::connect(self.broker.port, "hel-01", consumer)
    }

    fn database(&self) -> PathBuf {
        self.showroom.dir.path().join("data/showfloor.sqlite")
    }

    /// Runs the foreign puller to its end; its summary.
    fn foreign(&self, consumer: &str, more: &[&str]) -> Value {
        let state = self.showroom.dir.path().join(format!("{consumer}.state"));
        let mut command = Command::new(python());
        command.arg(tool("puller.py")).args(["--broker", &format!("127.0.0.1:{}", self.broker.port)]);
        command.args(["--site", "hel-01", "--consumer", consumer]).args(more).arg("--resume").arg(state);
        let done = command.output().expect("python; see `make deps`");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_slice(&done.stdout).expect("a summary")
    }
}

/// Waits until the box says how far a consumer is.
fn hear_acked(world: &World, consumer: &str, upto: u64) {
    world.hear("status", |status| status["lanes"]["sales"]["acked"][consumer] == upto);
}

fn pull(id: &str, lane: &str, epoch: &Value, after: u64, more: &Value) -> Value {
    let mut body = json!({"id": id, "lane": lane, "epoch": epoch, "after": after});
    for (key, value) in more.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    body
}

#[test]
fn two_consumers_have_cursors_and_topics_of_their_own() {
    if data_dir().is_none() {
        return;
    }
    let mut on = rig(&["cloud", "audit"], &[]);
    let world = on.world();
    for n in 0..30 {
        assert_eq!(world.command("vehicle.upsert", &car(n))["ok"], true);
    }
    let cloud = on.foreign("cloud", &["--zstd", "--max-events", "7"]);
    assert_eq!(cloud["lanes"]["sales"]["events"].as_u64(), cloud["lanes"]["sales"]["last"].as_u64());
    let audit = on.foreign("audit", &["--max-bytes", "2000", "--no-ack"]);
    assert_eq!(cloud["lanes"], audit["lanes"], "both are told the same");
    let last = cloud["lanes"]["sales"]["last"].as_u64().expect("a number");
    assert!(last >= 30);
    // A new connection is told the status as it is.
    assert_eq!(on.showroom.stop(), 0);
    on.showroom.start();
    let world = on.world();
    hear_acked(&world, "cloud", last);
    hear_acked(&world, "audit", 0);
    assert_eq!(
        on.foreign("audit", &[])["lanes"]["sales"]["events"],
        0,
        "it has them all, and acknowledges nothing new"
    );
    assert_eq!(on.foreign("cloud", &[])["lanes"]["sales"]["events"], 0);
}

#[test]
fn a_held_answer_comes_with_the_event_it_waits_for_or_empty_when_time_is_up() {
    let on = rig(&["cloud"], &[]);
    let world = on.world();
    let epoch = world.hear("status", |status| status["state"] == "online")["epoch"].clone();
    world.command("vehicle.upsert", &car(0));
    let head = world.pull("cloud", &pull("head", "sales", &epoch, 0, &json!({})))["head"].clone();
    let after = head.as_u64().expect("a number");
    let waiting = pull("held", "sales", &epoch, after, &json!({"wait_ms": 60_000}));
    world.publish_to_box("pull/cloud", &waiting);
    world.publish_to_box("pull/cloud", &waiting);
    let brief = world.pull("cloud", &pull("brief", "trace", &epoch, 0, &json!({"wait_ms": 50})));
    assert_eq!((&brief["count"], &brief["upto"]), (&json!(0), &json!(0)), "{brief}");
    world.command("vehicle.upsert", &car(1));
    let answer = world.hear("batch/cloud", |header| header["id"] == "held");
    assert_eq!((&answer["count"], &answer["upto"]), (&json!(1), &json!(after + 1)), "{answer}");
    // Asking twice does no harm, and a lost answer is given again.
    let again = world.pull("cloud", &pull("again", "sales", &epoch, after, &json!({"max_events": 1})));
    assert_eq!((&again["sha256"], &again["after"]), (&answer["sha256"], &answer["after"]));
}

#[test]
fn everything_that_cannot_be_answered_is_refused_by_its_code() {
    let on = rig(&["cloud"], &[]);
    let world = on.world();
    let epoch = world.hear("status", |status| status["state"] == "online")["epoch"].clone();
    world.command("vehicle.upsert", &car(0));
    let other = json!(uuid::Uuid::new_v4());
    for (n, (consumer, body, code)) in [
        ("cloud", pull("", "gossip", &epoch, 0, &json!({})), "unknown_lane"),
        ("cloud", pull("", "sales", &other, 0, &json!({})), "epoch_changed"),
        ("cloud", pull("", "sales", &Value::Null, 1, &json!({})), "bad_request"),
        ("cloud", pull("", "sales", &epoch, 0, &json!({"max_events": 0})), "bad_request"),
        ("cloud", pull("", "sales", &epoch, 0, &json!({"accept": 7})), "bad_request"),
        ("cloud", pull("", "trace", &epoch, 7, &json!({})), "after_beyond_head"),
        ("nobody", pull("", "sales", &epoch, 0, &json!({})), "unknown_consumer"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut body = body;
        body["id"] = json!(format!("q{n}"));
        let answer = world.pull(consumer, &body);
        assert_eq!(answer["error"]["code"], code, "{body}: {answer}");
        assert_eq!(answer.as_object().expect("an object").len(), 2, "id and error alone: {answer}");
        assert_eq!(answer["error"]["epoch"].is_null(), code != "epoch_changed", "{answer}");
    }
    for (consumer, body, code) in [
        ("cloud", json!({"lane": "sales", "epoch": other, "upto": 1}), "epoch_changed"),
        ("cloud", json!({"lane": "trace", "epoch": epoch, "upto": 1}), "after_beyond_head"),
        ("cloud", json!({"lane": "gossip", "epoch": epoch, "upto": 1}), "unknown_lane"),
        ("cloud", json!({"lane": "presence", "epoch": epoch}), "bad_request"),
        ("nobody", json!({"lane": "sales", "epoch": epoch, "upto": 1}), "unknown_consumer"),
    ] {
        world.publish_to_box(&format!("ack/{consumer}"), &body);
        world.hear(&format!("acked/{consumer}"), |said| said["lane"] == body["lane"] && said["error"]["code"] == code);
    }
}

#[test]
fn an_acknowledgement_is_durable_and_only_goes_forward() {
    let mut on = rig(&["cloud"], &[]);
    let (mut cloud, mut work) = (on.cloud("cloud"), Work::default());
    work.go_on_until(&mut cloud, 9, || true);
    cloud.drain("sales");
    let world = on.world();
    let (epoch, head) = (cloud.epoch.clone(), cloud.after["sales"]);
    world.publish_to_box("ack/cloud", &json!({"lane": "sales", "epoch": epoch, "upto": 1}));
    world.hear("acked/cloud", |said| said["lane"] == "sales" && said["acked"] == head);
    on.showroom.kill();
    // The broker says it in the name of the box.
    on.world().hear("status", |status| *status == json!({"state": "offline"}));
    on.showroom.start();
    let world = on.world();
    hear_acked(&world, "cloud", head);
}

#[test]
fn gaps_travel_with_the_data() {
    if data_dir().is_none() {
        return;
    }
    let mut on = rig(&["cloud", "audit"], &[]);
    let world = on.world();
    for n in 0..12 {
        world.command("vehicle.upsert", &car(n));
    }
    assert_eq!(on.showroom.stop(), 0);
    let db = rusqlite::Connection::open(on.database()).expect("opens");
    // As shedding leaves it: rows that are gone without a gap are damage, and would begin another epoch.
    let shed = "BEGIN; DELETE FROM log WHERE lane = 0 AND seq BETWEEN 4 AND 6;
                INSERT INTO gap (lane, from_seq, to_seq, count, reason, at_us) VALUES (0, 4, 6, 3, 'retention', 1); COMMIT;";
    db.execute_batch(shed).expect("shed");
    drop(db);
    on.showroom.start();
    for consumer in ["cloud", "audit"] {
        let pulled = on.foreign(consumer, &["--max-events", "2"]);
        let sales = &pulled["lanes"]["sales"];
        assert_eq!((&sales["gaps"], sales["last"].as_u64()), (&json!(1), sales["events"].as_u64().map(|n| n + 3)));
    }
    let mut cloud = on.cloud("cloud");
    cloud.drain("sales");
    let (lane, gap) = &cloud.gaps[0];
    assert_eq!((lane.as_str(), &gap["from"], &gap["to"], &gap["count"]), ("sales", &json!(4), &json!(6), &json!(3)));
    assert_eq!(gap["reason"], "retention");
}

#[test]
fn another_database_is_another_epoch_and_begins_from_0() {
    let mut on = rig(&["cloud"], &[]);
    let (mut cloud, mut work) = (on.cloud("cloud"), Work::default());
    work.go_on_until(&mut cloud, 8, || true);
    cloud.drain("sales");
    assert_eq!(on.showroom.stop(), 0);
    fs::rename(on.showroom.dir.path().join("data"), on.showroom.dir.path().join("aside")).expect("moved");
    on.showroom.start();
    let old = cloud.epoch.clone();
    let answer = cloud.pull("sales");
    assert_eq!(answer["error"]["code"], "epoch_changed", "{answer}");
    let new = answer["error"]["epoch"].clone();
    assert!(new.is_string() && new != old);
    let mut anew = on.cloud("cloud");
    Work::default().go_on_until(&mut anew, 3, || true);
    anew.drain("sales");
    assert_eq!((&anew.epoch, anew.events("inventory.updated").len()), (&new, 3));
}

#[test]
fn the_result_of_a_command_is_kept_when_it_could_not_be_done_any_more() {
    let mut on = rig(&["cloud"], &[("SHOWFLOOR_CLOCK_QUALITY", "synced")]);
    let world = on.world();
    let id = uuid::Uuid::now_v7().to_string();
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(2_500);
    let say = |world: &World| world.command_as(&id, "vehicle.upsert", &car(1), &json!(soon.to_string()));
    say(&world);
    let first = world.hear("result", |result| result["id"] == id);
    assert_eq!(first["ok"], true, "{first}");
    on.showroom.kill();
    on.showroom.start();
    wait_for("the end of the command's time", || (jiff::Timestamp::now() > soon).then_some(()));
    let world = on.world();
    say(&world);
    assert_eq!(world.hear("result", |result| result["id"] == id), first);
    let late = uuid::Uuid::now_v7().to_string();
    world.command_as(&late, "vehicle.upsert", &car(2), &json!(soon.to_string()));
    assert_eq!(world.hear("result", |result| result["id"] == late)["error"]["code"], "expired");
}

#[test]
fn a_box_that_does_not_know_the_time_does_not_judge_by_it() {
    let on = rig(&["cloud"], &[("SHOWFLOOR_CLOCK_QUALITY", "unsynced")]);
    let world = on.world();
    // 2024-01-01 in the first 48 bits of a version 7 UUID.
    let old = "018cc251-f400-7000-8000-000000000001";
    world.command_as(old, "vehicle.upsert", &car(1), &json!("2020-01-01T00:00:00Z"));
    assert_eq!(world.hear("result", |result| result["id"] == old)["ok"], true);
}

/// The library's own limit is 10 KiB, in both directions.
#[test]
fn messages_of_hundreds_of_kilobytes_pass_both_ways() {
    let on = rig(&["cloud"], &[]);
    let (mut cloud, customer) = (on.cloud("cloud"), uuid::Uuid::new_v4());
    let notes: Vec<usize> = (0..60_000).collect();
    let data = json!({"id": customer, "personal": {"name": "Aino"}, "profile": {"notes": notes}});
    let result = cloud.command(&uuid::Uuid::now_v7().to_string(), "customer.upsert", &data);
    assert_eq!(result["ok"], true, "{result}");
    for zstd in [false, true] {
        (cloud.zstd, cloud.after) = (zstd, [].into());
        cloud.drain("sales");
    }
    let events = cloud.events("customer.upserted");
    assert_eq!(events[0]["data"]["profile"]["notes"], json!(notes));
    let kinds: HashSet<_> = cloud.pulled.values().map(|event| event["kind"].to_string()).collect();
    assert!(kinds.contains("\"customer.upserted\""));
}
