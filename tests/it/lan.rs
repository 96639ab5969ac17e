//! Kiosks, tablets and other programs on the LAN.

use std::{fs, io::Write, net::TcpStream};

use serde_json::{Value, json};

use crate::{
    support::{Broker, SITE, Showroom, get, request, wait_for},
    tablet::{Tablet, cursor},
    world::{TAG, World},
};

struct Lan {
    broker: Broker,
    showroom: Showroom,
    kiosk: String,
    staff: String,
    service: String,
}

fn lan_with(config: &str) -> Lan {
    let broker = Broker::start();
    let mut showroom = Showroom::new("hel-01", SITE, broker.port);
    let text = fs::read_to_string(showroom.config()).expect("read").replace("[http]\n", &format!("[http]\n{config}\n"));
    fs::write(showroom.config(), text).expect("written");
    showroom.start();
    let (kiosk, staff) = (showroom.token("kiosk", "K1"), showroom.token("staff", "anna"));
    let service = showroom.token("service", "probe");
    Lan { broker, showroom, kiosk, staff, service }
}

fn lan() -> Lan {
    lan_with("")
}

impl Lan {
    fn connect(&self, token: &str, query: &str) -> Tablet {
        Tablet::connect(self.showroom.http, token, query)
    }

    fn stock(&self, cars: usize) -> World {
        let world = World::connect(self.broker.port, "hel-01");
        for n in 0..cars {
            let spot = if n == 0 { json!("A1") } else { Value::Null };
            let car = json!({"id": format!("V{n}"), "make": "Volvo", "model": "EX40", "year": 2026, "type": "suv",
                "status": "available", "spot": spot});
            assert_eq!(world.command("vehicle.upsert", &car)["ok"], true);
        }
        world
    }
}

fn kinds(frames: &[Value]) -> Vec<&str> {
    frames.iter().filter_map(|frame| frame["type"].as_str()).collect()
}

#[test]
fn a_guests_evening_at_a_kiosk_as_kiosk_and_staff_see_it() {
    let lan = lan();
    let _world = lan.stock(1);
    let (kiosk, tablet) = (lan.connect(&lan.kiosk, ""), lan.connect(&lan.staff, ""));
    let first = kiosk.hear("INITIAL_STATE");
    assert_eq!(first["payload"]["kiosk"], json!({"id": "K1", "sessionTimeoutS": 60, "sessionId": null}));
    assert_eq!(first["payload"]["vehicles"][0]["vehicleId"], "V0");
    let early = kiosk.ask("KIOSK_CALL", "early", &json!({}));
    assert_eq!((&early["type"], &early["payload"]["code"]), (&json!("ERROR"), &json!("PROCESSING_ERROR")));
    assert_eq!(kiosk.ask("SESSION_START", "1", &json!({}))["type"], "ACK");
    let tap = kiosk.ask("KIOSK_INTEREST", "2", &json!({"vehicleId": "V0", "interestLevel": 0.9}));
    let again = kiosk.ask("KIOSK_INTEREST", "2", &json!({"vehicleId": "V0", "interestLevel": 0.1}));
    assert_eq!(tap, again, "the same id gets the same answer");
    let drive = json!({"vehicleId": "V0", "name": "Aino", "phone": "+358 40 1"});
    assert_eq!(kiosk.ask("KIOSK_TEST_DRIVE", "3", &drive)["type"], "ACK");
    assert_eq!(kiosk.ask("KIOSK_CALL", "4", &json!({}))["type"], "ACK");
    tablet.hear("KIOSK_CALLED");
    assert_eq!(tablet.ask("CLAIM", "5", &json!({"kioskId": "K1"}))["type"], "ACK");
    kiosk.hear("STAFF_COMING");
    assert_eq!(kiosk.ask("SESSION_END", "6", &json!({}))["type"], "ACK");
    kiosk.hear("SESSION_ENDED");
    let alert = tablet.hear("HIGH_INTEREST_ALERT");
    assert_eq!((&alert["pos"], &alert["payload"]["model"]), (&tap["payload"]["pos"], &json!("EX40")));
    assert_eq!(tablet.hear("TEST_DRIVE_SCHEDULED")["payload"]["customerName"], "Aino");
    assert_eq!(tablet.hear("KIOSK_ANSWERED")["payload"]["salesRepId"], "anna");
    for frame in kiosk.frames() {
        let text = frame.to_string().to_lowercase();
        assert!(!text.contains("customer") && !text.contains("aino"), "{text}");
    }
    let events = get(lan.showroom.http, "/api/v1/events?limit=1000", Some(&lan.service)).1;
    assert_eq!(events.matches("\"customer.interested\"").count(), 1);
}

#[test]
fn a_kiosks_resume_goes_on_within_a_session_and_never_over_its_end() {
    let lan = lan();
    let world = lan.stock(1);
    let kiosk = lan.connect(&lan.kiosk, "");
    kiosk.ask("SESSION_START", "1", &json!({}));
    kiosk.hear("SESSION_STARTED");
    let within = cursor(&kiosk.frames());
    world.command("vehicle.remove", &json!({"id": "V0"}));
    let same = lan.connect(&lan.kiosk, &format!("&resume={within}"));
    same.hear("RESUMED");
    assert_eq!(kinds(&same.frames()), ["WELCOME", "INVENTORY_UPDATED", "RESUMED"]);
    kiosk.ask("SESSION_END", "2", &json!({}));
    let next = lan.connect(&lan.kiosk, &format!("&resume={within}"));
    assert_eq!(next.hear("RESET")["payload"]["reason"], "other_session");
    next.hear("INITIAL_STATE");
    let other = lan.showroom.token("kiosk", "K2");
    let other = lan.connect(&other, &format!("&resume={within}"));
    other.hear("RESUMED");
    assert_eq!(kinds(&other.frames()), ["WELCOME", "INVENTORY_UPDATED", "RESUMED"], "nothing of the other kiosk");
    for (resume, reason) in [
        ("0199a000-0000-7000-8000-000000000000:1", "epoch_changed"),
        (&format!("{}:99999", within.split(':').next().expect("an epoch")), "beyond_head"),
        ("nonsense", "malformed"),
    ] {
        let client = lan.connect(&lan.staff, &format!("&resume={resume}"));
        assert_eq!(client.hear("RESET")["payload"]["reason"], reason);
        client.hear("INITIAL_STATE");
    }
}

#[test]
fn a_kiosk_that_nobody_touches_ends_its_session_also_when_it_is_switched_off() {
    let lan = lan_with("session_timeout_s = 5");
    let kiosk = lan.connect(&lan.kiosk, "");
    kiosk.ask("SESSION_START", "1", &json!({}));
    wait_for("the end of the session", || {
        let events = get(lan.showroom.http, "/api/v1/events", Some(&lan.service)).1;
        events.contains("\"reason\":\"silence\"").then_some(())
    });
    kiosk.hear("SESSION_ENDED");
}

#[test]
fn large_messages_are_compressed_for_who_asks() {
    let lan = lan();
    let _world = lan.stock(12);
    let client = lan.connect(&lan.staff, "&compress=gzip");
    assert_eq!(client.hear("INITIAL_STATE")["payload"]["vehicles"].as_array().map(Vec::len), Some(12));
    assert!(kinds(&client.frames()).contains(&"(was compressed)"));
}

#[test]
fn a_client_that_never_reads_is_dropped_and_holds_nobody_up() {
    let lan = lan_with("messages_per_minute = 1000000");
    let world = lan.stock(1);
    let mut deaf = TcpStream::connect(("127.0.0.1", lan.showroom.http)).expect("connected");
    let upgrade = format!(
        "GET /ws?token={} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        lan.staff
    );
    deaf.write_all(upgrade.as_bytes()).expect("sent");
    // A masked text frame of one byte that is no message: each gets an answer, which is never read.
    let frames = [0x81, 0x81, 0, 0, 0, 0, b'x'].repeat(10_000);
    std::thread::spawn(move || while deaf.write_all(&frames).is_ok() {});
    let tablet = lan.connect(&lan.staff, "");
    tablet.hear("INITIAL_STATE");
    world.command("vehicle.remove", &json!({"id": "V0"}));
    tablet.hear("INVENTORY_UPDATED");
    let dropped = || lan.showroom.metric(&lan.service, "showfloor_ws_clients_dropped_total");
    wait_for("the deaf client to be dropped", || (dropped() == 1).then_some(()));
    assert_eq!(lan.showroom.metric(&lan.service, "showfloor_ws_clients"), 1);
}

#[test]
fn a_ticket_opens_the_door_once() {
    let lan = lan();
    let (status, body) = request(lan.showroom.http, "POST", "/api/v1/ticket", Some(&lan.staff));
    assert_eq!(status, 200);
    let ticket: Value = serde_json::from_str(&body).expect("JSON");
    let url =
        format!("ws://127.0.0.1:{}/ws?ticket={}", lan.showroom.http, ticket["ticket"].as_str().expect("a ticket"));
    let first = Tablet::open(url.clone());
    assert_eq!(first.hear("WELCOME")["payload"]["userId"], "anna");
    assert_eq!(Tablet::open(url).finish().1, Some(1008));
}

#[test]
fn a_stop_says_goodbye() {
    let mut lan = lan();
    let client = lan.connect(&lan.staff, "");
    client.hear("INITIAL_STATE");
    assert_eq!(lan.showroom.stop(), 0);
    assert_eq!(client.finish().1, Some(1001));
}

#[test]
fn the_api_answers_each_role_as_it_should_and_errors_are_problems() {
    let lan = lan();
    let _world = lan.stock(1);
    let ask = |path: &str, token: &str| get(lan.showroom.http, path, Some(token));
    for path in ["site", "vehicles", "visits", "events", "heatmap", "anchors", "status"] {
        let path = format!("/api/v1/{path}");
        let open = path.ends_with("site") || path.ends_with("vehicles");
        let seen = [&lan.staff, &lan.service, &lan.kiosk].map(|token| ask(&path, token).0);
        assert_eq!(seen, [200, 200, if open { 200 } else { 403 }], "{path}");
        assert_eq!(get(lan.showroom.http, &path, None).0, 401, "{path}");
    }
    assert_eq!(ask("/metrics", &lan.kiosk).0, 403);
    for (method, path, status) in [
        ("GET", "/api/v1/nothing", 404),
        ("DELETE", "/api/v1/site", 405),
        ("GET", "/api/v1/events?after=-1", 400),
        ("GET", "/api/v1/events?limit=0", 400),
        ("GET", "/api/v1/events?limit=1001", 400),
        ("GET", "/ws", 400),
    ] {
        let (code, body) = request(lan.showroom.http, method, path, Some(&lan.service));
        let problem: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{path} answers {code}: {body}"));
        assert_eq!((code, &problem["status"]), (status, &json!(status)), "{path}");
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{path}");
    }
    assert!(lan.showroom.metric(&lan.service, "showfloor_http_refused_total") >= 6);
    let (_, first) = ask("/api/v1/events?limit=1", &lan.service);
    let first: Value = serde_json::from_str(&first).expect("JSON");
    assert_eq!((first["events"].as_array().map(Vec::len), &first["upto"]), (Some(1), &json!(1)));
    let (_, rest) = ask("/api/v1/events?after=1", &lan.service);
    let rest: Value = serde_json::from_str(&rest).expect("JSON");
    assert_eq!(rest["events"], json!([]));
    assert_eq!(get(lan.showroom.http, "/", None).0, 200);
    assert_eq!(get(lan.showroom.http, "/health/live", None).0, 200);
}

#[test]
fn a_visitor_near_a_car_they_wish_for_is_told_and_forgotten_when_erased() {
    let lan = lan();
    let world = lan.stock(1);
    let customer = uuid::Uuid::new_v4();
    let profile = json!({"vehicle_interest": ["EX40"]});
    world.command("customer.upsert", &json!({"id": customer, "personal": {"name": "Aino"}, "profile": profile}));
    world.command("tag.assign", &json!({"tag": TAG, "role": "visitor", "subject": customer}));
    let tablet = lan.connect(&lan.staff, "");
    tablet.hear("INITIAL_STATE");
    for second in 0..20 {
        world.reading("desk", -55.0, 1_581_252_411.0 + f64::from(second));
        world.reading("north-door", -85.0, 1_581_252_411.0 + f64::from(second));
    }
    assert_eq!(tablet.hear("CUSTOMER_ENTERED")["payload"]["customerName"], "Aino");
    let near = tablet.hear("CUSTOMER_NEAR_INTEREST");
    assert_eq!((&near["payload"]["vehicles"][0]["vehicleId"], &near["pos"]), (&json!("V0"), &Value::Null));
    // The floor may have been told while nobody was on it yet.
    wait_for("their position", || {
        let told = tablet.frames().into_iter().filter(|f| f["type"] == "POSITIONS");
        told.filter_map(|f| f["payload"]["items"].as_array().map(Vec::len)).find(|shown| *shown == 1)
    });
    world.command("customer.erase", &json!({"id": customer}));
    let gone = wait_for("the name to be gone", || {
        let frames = tablet.frames();
        frames.into_iter().find(|f| f["type"] == "CUSTOMER_UPDATED" && f["payload"]["customerName"].is_null())
    });
    assert_eq!(gone["payload"]["customerId"], json!(customer));
    let visits = get(lan.showroom.http, "/api/v1/visits", Some(&lan.staff)).1;
    assert!(!visits.contains("Aino"), "{visits}");
    let fresh = lan.connect(&lan.staff, "");
    fresh.hear("RECENT_ACTIVITY");
    assert!(!format!("{:?}", fresh.frames()).contains("Aino"));
}

#[test]
fn a_broker_that_dies_and_comes_back_is_found_again_and_tablets_are_told() {
    let mut lan = lan();
    let world = World::connect(lan.broker.port, "hel-01");
    world.command("tag.assign", &json!({"tag": TAG, "role": "visitor", "subject": null}));
    let tablet = lan.connect(&lan.staff, "");
    tablet.hear("INITIAL_STATE");
    lan.broker.kill();
    let stale = tablet.hear("STALE");
    assert_eq!(stale["payload"]["source"], "anchors");
    assert!(stale["payload"]["since"].is_string());
    let late = lan.connect(&lan.staff, "");
    late.hear("STALE");
    lan.broker.start_again();
    wait_for("the anchors to be heard again", || {
        tablet.frames().into_iter().find(|f| f["type"] == "STALE" && f["payload"]["since"].is_null())
    });
    let world = World::connect(lan.broker.port, "hel-01");
    for second in 0..10 {
        world.reading("desk", -60.0, 1_581_252_411.0 + f64::from(second));
    }
    tablet.hear("CUSTOMER_ENTERED");
    world.hear("status", |status| status["state"] == "online");
    let pull = json!({"id": "p", "lane": "presence", "epoch": null, "after": 0, "max_events": 9, "max_bytes": 9999, "wait_ms": 5000});
    assert!(world.pull("cloud", &pull)["count"].as_u64() >= Some(1));
}

#[test]
fn a_resume_over_what_is_gone_begins_anew_and_says_so() {
    let mut lan = lan();
    assert_eq!(lan.showroom.stop(), 0);
    let text = fs::read_to_string(lan.showroom.config()).expect("read");
    let keep = "dir = \"data\"\nkeep_days = { sales = 0, presence = 0, trace = 0 }";
    fs::write(lan.showroom.config(), text.replace("dir = \"data\"", keep)).expect("written");
    lan.showroom.start();
    let world = lan.stock(300);
    let tablet = lan.connect(&lan.staff, "");
    let epoch = tablet.hear("INITIAL_STATE")["epoch"].clone();
    world.publish_to_box("ack/cloud", &json!({"lane": "sales", "epoch": epoch, "upto": 300}));
    world.hear("acked/cloud", |acked| acked["acked"] == 300);
    // The newest 256 positions stay, the rest is gone.
    let gone: Value = wait_for("the retention", || {
        let (_, body) = get(lan.showroom.http, "/api/v1/events?limit=1", Some(&lan.service));
        serde_json::from_str(&body).ok().filter(|page: &Value| page["gone"].as_u64() > Some(0))
    });
    assert!(gone["events"][0]["pos"].as_u64() > gone["gone"].as_u64());
    let epoch = epoch.as_str().expect("text");
    let late = lan.connect(&lan.staff, &format!("&resume={epoch}:1"));
    assert_eq!(late.hear("RESET")["payload"]["reason"], "gone");
    assert_eq!(late.hear("INITIAL_STATE")["payload"]["vehicles"].as_array().map(Vec::len), Some(300), "all are there");
    let near = lan.connect(&lan.staff, &format!("&resume={epoch}:{}", gone["gone"]));
    near.hear("RESUMED");
}
