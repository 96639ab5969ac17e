//! Bad input from each side: whoever caused it is told, it is counted, and the rest goes on.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

use crate::{
    support::{Broker, SITE, Showroom, get, wait_for},
    world::{TAG, World},
};

fn site() -> String {
    format!("{SITE}[[tag]]\nid = \"{TAG}\"\nrole = \"visitor\"\n")
}

struct Bench {
    broker: Broker,
    showroom: Showroom,
    service: String,
}

fn bench() -> Bench {
    bench_with(Vec::new())
}

fn bench_with(env: Vec<(&'static str, String)>) -> Bench {
    let broker = Broker::start();
    let mut showroom = Showroom::new("hel-01", &site(), broker.port);
    showroom.env = env;
    showroom.start();
    let service = showroom.token("service", "probe");
    Bench { broker, showroom, service }
}

impl Bench {
    fn metric(&self, name: &str) -> u64 {
        self.showroom.metric(&self.service, name)
    }

    fn world(&self) -> World {
        World::connect(self.broker.port, "hel-01")
    }

    fn url(&self, query: &str) -> String {
        format!("ws://127.0.0.1:{}/ws{query}", self.showroom.http)
    }
}

#[test]
fn garbage_from_anchors_is_counted_and_good_readings_go_on() {
    let bench = bench();
    let world = bench.world();
    wait_for("the anchors", || (bench.metric("showfloor_anchors_connected") == 1).then_some(()));
    let id = "iBeacon:74278bda-b644-4520-8f0c-720eaf059935-1-7";
    let topic = format!("espresense/devices/{id}/north-door");
    for bad in ["{", "[]", "\"text\"", r#"{"id":5,"rssi":-70}"#, r#"{"id":"x","rssi":"loud"}"#] {
        world.publish(&topic, bad);
    }
    world.publish(&topic, vec![0xff; 1 << 20]);
    let t = 1_581_252_411.0;
    let absurd = [json!(900), json!(-400), json!(1e300)];
    for rssi in &absurd {
        world.publish(&topic, json!({"id": id, "rssi": rssi, "t": t}).to_string());
    }
    world.publish(&topic, format!(r#"{{"id":"{id}","rssi":NaN,"t":{t}}}"#));
    for time in [json!(0.0), json!(12.5), json!(4_102_444_800_i64 + 86_400), json!(-1e300)] {
        world.publish(&topic, json!({"id": id, "rssi": -70, "t": time}).to_string());
    }
    world.publish("espresense/devices/x/cellar", json!({"id": id, "rssi": -70, "t": t}).to_string());
    world.publish("showfloor/anchor/north-door/adverts", r#"{"seq":1,"adverts":[{"mac":"zz"}]}"#);
    for second in 0..10 {
        world.reading("north-door", -60.0, t + f64::from(second));
        world.reading("desk", -80.0, t + f64::from(second));
    }
    wait_for("the good readings", || (bench.metric("showfloor_readings_total") >= 20).then_some(()));
    assert!(bench.metric("showfloor_anchor_messages_bad_total") >= 5, "broken messages are counted");
    assert!(bench.metric("showfloor_readings_bad_total") >= 10, "absurd readings are counted");
    assert!(bench.metric("showfloor_anchor_unknown_total") >= 1, "unknown anchors are counted");
    wait_for("the visit", || {
        let (_, body) = get(bench.showroom.http, "/api/v1/visits", Some(&bench.service));
        body.contains("\"x\"").then_some(())
    });
}

#[test]
fn pulls_that_make_no_sense_are_refused_by_code() {
    let bench = bench();
    let world = bench.world();
    let online = world.hear("status", |status| status["state"] == "online");
    let epoch = online["epoch"].clone();
    let pull = |id: &str, lane: &str, epoch: &Value, after: u64| json!({"id": id, "lane": lane, "epoch": epoch, "after": after, "max_events": 10, "max_bytes": 1000, "wait_ms": 0});
    let code = |consumer: &str, body: &Value| world.pull(consumer, body)["error"]["code"].clone();
    assert_eq!(code("cloud", &pull("a", "gossip", &epoch, 0)), "unknown_lane");
    assert_eq!(code("nobody", &pull("b", "sales", &epoch, 0)), "unknown_consumer");
    assert_eq!(code("cloud", &pull("c", "sales", &epoch, 99)), "after_beyond_head");
    assert_eq!(code("cloud", &pull("d", "sales", &json!(uuid::Uuid::new_v4()), 0)), "epoch_changed");
    assert_eq!(code("cloud", &pull("e", "sales", &Value::Null, 5)), "bad_request");
    let mut waiting = pull("f", "presence", &epoch, 0);
    waiting["wait_ms"] = json!(30_000);
    world.publish_to_box("pull/cloud", &waiting);
    world.publish_to_box("pull/cloud", &pull("g", "presence", &epoch, 0));
    let superseded = world.hear("batch/cloud", |header| header["id"] == "f");
    assert_eq!(superseded["error"]["code"], "superseded");
    let empty = world.hear("batch/cloud", |header| header["id"] == "g");
    assert_eq!((empty["count"].as_u64(), empty["upto"].as_u64()), (Some(0), Some(0)));
    world.publish_to_box("ack/cloud", &json!({"lane": "sales", "epoch": epoch, "upto": 99}));
    let refused = world.hear("acked/cloud", |answer| answer["lane"] == "sales");
    assert_eq!(refused["error"]["code"], "after_beyond_head");
    assert!(bench.metric("showfloor_uplink_pulls_refused_total") >= 6);
}

#[test]
fn an_event_larger_than_the_batch_goes_alone() {
    let bench = bench();
    let world = bench.world();
    for n in 0..3 {
        let profile = json!({"notes": "x".repeat(3000), "n": n});
        let customer = json!({"id": uuid::Uuid::new_v4(), "personal": {"name": "Aino"}, "profile": profile});
        assert_eq!(world.command("customer.upsert", &customer)["ok"], true);
    }
    let pull = json!({"id": "big", "lane": "sales", "epoch": null, "after": 0, "max_events": 10, "max_bytes": 100});
    let header = world.pull("cloud", &pull);
    assert_eq!((header["count"].as_u64(), header["upto"].as_u64()), (Some(1), Some(1)), "{header}");
}

#[test]
fn commands_are_done_once_and_only_in_time() {
    // Ages are judged only by a clock that is believed.
    let bench = bench_with(vec![("SHOWFLOOR_CLOCK_QUALITY", "synced".to_owned())]);
    let world = bench.world();
    let id = uuid::Uuid::now_v7().to_string();
    let car = json!({"id": "V9", "make": "Volvo", "model": "EX40", "year": 2026, "type": "suv", "status": "available"});
    world.command_as(&id, "vehicle.upsert", &car, &Value::Null);
    let first = world.hear("result", |result| result["id"] == id);
    let log = |after: u64| {
        let (_, body) = get(bench.showroom.http, &format!("/api/v1/events?after={after}"), Some(&bench.service));
        body.matches("inventory.updated").count()
    };
    assert_eq!((first["ok"].as_bool(), log(0)), (Some(true), 1));
    let changed =
        json!({"id": "V9", "make": "Volvo", "model": "EX30", "year": 2026, "type": "suv", "status": "available"});
    world.command_as(&id, "vehicle.upsert", &changed, &Value::Null);
    let fresh = world.command("vehicle.remove", &json!({"id": "nothing"}));
    assert_eq!((fresh["ok"].as_bool(), log(0)), (Some(true), 1), "the same id is not done again");
    // 2024-01-01 in the first 48 bits of a version 7 UUID.
    let old = "018cc251-f400-7000-8000-000000000001";
    world.command_as(old, "vehicle.upsert", &car, &Value::Null);
    let refused = world.hear("result", |result| result["id"] == old);
    assert_eq!(refused["error"]["code"], "expired");
    let late = uuid::Uuid::now_v7().to_string();
    world.command_as(&late, "vehicle.upsert", &car, &json!("2020-01-01T00:00:00Z"));
    let refused = world.hear("result", |result| result["id"] == late);
    assert_eq!(refused["error"]["code"], "expired");
    let unknown = world.command("teleport", &json!({}));
    assert_eq!(unknown["ok"], false);
    let broken = world.command("vehicle.upsert", &json!({"id": "V1", "year": "soon"}));
    assert_eq!(broken["ok"], false);
}

#[test]
fn clients_without_a_token_are_closed_with_1008() {
    let bench = bench();
    Runtime::new().expect("runtime").block_on(async {
        for query in ["", "?token=wrong", "?ticket=wrong"] {
            let (mut socket, _) = connect_async(bench.url(query)).await.expect("upgraded");
            let first = socket.next().await;
            let Some(Ok(Message::Close(Some(close)))) = first else { panic!("not closed: {first:?}") };
            assert_eq!(u16::from(close.code), 1008);
        }
    });
    for path in ["/metrics", "/api/v1/visits", "/api/v1/events", "/api/v1/site"] {
        assert_eq!(get(bench.showroom.http, path, None).0, 401, "{path}");
        assert_eq!(get(bench.showroom.http, path, Some("wrong")).0, 401, "{path}");
    }
    assert!(bench.metric("showfloor_ws_clients_refused_total") >= 3);
}

#[test]
fn malformed_frames_are_answered_and_the_client_goes_on() {
    let bench = bench();
    let token = bench.showroom.token("kiosk", "K1");
    Runtime::new().expect("runtime").block_on(async {
        let url = bench.url(&format!("?room=staff&token={token}"));
        let (mut socket, _) = connect_async(url.into_client_request().expect("url")).await.expect("upgraded");
        let mut errors = Vec::new();
        let bad = [
            "{",
            "[]",
            "{\"type\":5}",
            "{\"type\":\"DANCE\"}",
            "{\"type\":\"KIOSK_INTEREST\",\"payload\":{\"vehicleId\":7}}",
            "{\"type\":\"CLAIM\",\"payload\":{\"visitId\":\"018cc251-f400-7000-8000-000000000001\"}}",
        ];
        for text in bad {
            socket.send(Message::text(text)).await.expect("sent");
        }
        socket.send(Message::text("{\"type\":\"SESSION_START\",\"id\":\"s1\",\"payload\":{}}")).await.expect("sent");
        loop {
            let Some(Ok(Message::Text(text))) = socket.next().await else { panic!("closed: {errors:?}") };
            let frame: Value = serde_json::from_str(&text).expect("JSON");
            match frame["type"].as_str() {
                Some("ERROR") => errors.push(frame["payload"]["code"].as_str().expect("code").to_owned()),
                Some("ACK") => break,
                _ => {}
            }
        }
        assert_eq!(errors.iter().filter(|code| *code == "INVALID_MESSAGE").count(), 5, "{errors:?}");
        assert_eq!(errors.iter().filter(|code| *code == "FORBIDDEN").count(), 2, "room and CLAIM: {errors:?}");
        socket.send(Message::text("x".repeat((1 << 20) + 1))).await.expect("sent");
        let close = loop {
            match socket.next().await {
                Some(Ok(Message::Close(frame))) => break frame.map(|frame| u16::from(frame.code)),
                Some(Ok(_)) => {}
                other => panic!("no close: {other:?}"),
            }
        };
        assert_eq!(close, Some(1009));
    });
}

#[test]
fn a_client_that_sends_too_much_is_refused_for_a_while() {
    let bench = bench();
    let token = bench.showroom.token("kiosk", "K1");
    Runtime::new().expect("runtime").block_on(async {
        let (mut socket, _) = connect_async(bench.url(&format!("?token={token}"))).await.expect("upgraded");
        for _ in 0..110 {
            socket.send(Message::text("{\"type\":\"DANCE\"}")).await.expect("sent");
        }
        let mut limited = 0;
        while limited < 5 {
            let Some(Ok(Message::Text(text))) = socket.next().await else { panic!("closed") };
            limited += usize::from(text.contains("RATE_LIMITED"));
        }
    });
    assert!(bench.metric("showfloor_ws_rate_limited_total") >= 1);
}
