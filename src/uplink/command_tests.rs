//! Commands of every kind, good and bad.

use super::*;
use crate::domain::BootId;

const ID: &str = "019aa1c0-0000-7000-8000-000000000001";
const CUSTOMER: &str = "6f7f0f0a-0000-4000-8000-000000000001";

fn parse(kind: &str, data: &Value) -> Result<CloudCommand, Refusal> {
    let message = json!({"id": ID, "kind": kind, "expires_at": null, "data": data, "colour": "blue"});
    parse_command(message.to_string().as_bytes()).map(|request| request.command).map_err(|bad| bad.refusal)
}

fn car() -> Value {
    json!({"id": "V1", "make": "Volvo", "model": "EX40", "year": 2026, "type": "suv", "status": "available"})
}

#[test]
fn every_kind_is_read() {
    let full = json!({"id": "V1", "make": "Volvo", "model": "EX40", "year": 2026, "type": "suv", "price": 51990,
        "currency": "EUR", "spot": "A1", "location": null, "status": "in_transit", "photo": "https://x/y.jpg"});
    let CloudCommand::VehicleUpsert(read) = parse("vehicle.upsert", &full).expect("reads") else { panic!("a car") };
    assert_eq!((read.price, read.status), (Some(51_990.0), VehicleStatus::InTransit));
    assert!(parse("vehicle.upsert", &car()).is_ok());
    assert_eq!(
        parse("vehicle.remove", &json!({"id": "V1"})),
        Ok(CloudCommand::VehicleRemove("V1".parse().expect("id")))
    );
    let customer = json!({"id": CUSTOMER, "personal": {"name": "A", "phone": "1"}, "profile": {"interests": ["suv"]}});
    let CloudCommand::CustomerUpsert { personal, profile, .. } = parse("customer.upsert", &customer).expect("reads")
    else {
        panic!("a customer")
    };
    assert_eq!((personal.text("phone"), profile.len()), (Some("1"), 1));
    let erase = CloudCommand::CustomerErase(CUSTOMER.parse().expect("id"));
    assert_eq!(parse("customer.erase", &json!({"id": CUSTOMER})), Ok(erase));
    let staff = json!({"id": "anna", "name": "Anna", "phone": null, "active": true, "available": false});
    let CloudCommand::StaffUpsert { personal, active, available, .. } = parse("staff.upsert", &staff).expect("reads")
    else {
        panic!("staff")
    };
    assert_eq!((personal.text("name"), personal.0.len(), active, available), (Some("Anna"), 1, true, false));
    let tag = json!({"tag": "ibeacon:u:1:7", "role": "visitor", "subject": CUSTOMER, "until": "2026-12-01T00:00:00Z"});
    let CloudCommand::TagAssign { registration, .. } = parse("tag.assign", &tag).expect("reads") else { panic!("tag") };
    assert!(registration.role == Role::Visitor && registration.until.is_some());
    let release = CloudCommand::TagRelease("ibeacon:u:1:7".parse().expect("id"));
    assert_eq!(parse("tag.release", &json!({"tag": "ibeacon:u:1:7"})), Ok(release));
}

#[test]
fn what_is_wrong_is_said() {
    let mut yearless = car();
    yearless.as_object_mut().expect("object").remove("year");
    let patched = |key: &str, value: Value| {
        let mut car = car();
        car[key] = value;
        car
    };
    for (kind, data, code, says) in [
        ("vehicle.upsert", yearless, Code::BadRequest, "year"),
        ("vehicle.upsert", patched("year", json!(99_999)), Code::BadRequest, "65535|u16"),
        ("vehicle.upsert", patched("price", json!("dear")), Code::BadRequest, "f64"),
        ("vehicle.upsert", patched("status", json!("stolen")), Code::BadRequest, "stolen"),
        ("vehicle.upsert", patched("id", json!("a/b")), Code::BadRequest, "vehicle id"),
        ("vehicle.upsert", Value::Null, Code::BadRequest, "missing"),
        ("vehicle.upsert", json!([]), Code::BadRequest, "data of vehicle.upsert"),
        ("customer.upsert", json!({"id": CUSTOMER}), Code::BadRequest, "personal"),
        (
            "customer.upsert",
            json!({"id": CUSTOMER, "personal": {}, "profile": {"phone": "1"}}),
            Code::BadRequest,
            "profile.phone",
        ),
        ("customer.erase", json!({"id": "anna"}), Code::BadRequest, "customer.erase"),
        ("tag.assign", json!({"tag": "x", "role": "ghost"}), Code::BadRequest, "ghost"),
        ("lead.upsert", json!({}), Code::Unsupported, "lead.upsert"),
        ("coffee.brew", json!({}), Code::UnknownKind, "coffee.brew"),
    ] {
        let refusal = parse(kind, &data).expect_err("refused");
        assert_eq!(refusal.code, code, "{kind} {data}: {}", refusal.message);
        assert!(says.split('|').any(|says| refusal.message.contains(says)), "{kind} {data}: {}", refusal.message);
    }
}

#[test]
fn an_id_must_tell_its_time() {
    for bad in [json!("q1"), json!("6f7f0f0a-0000-4000-8000-000000000001"), json!(null), json!(5)] {
        let message = json!({"id": bad, "kind": "vehicle.remove", "data": {"id": "V1"}}).to_string();
        let refused = parse_command(message.as_bytes()).expect_err("refused");
        assert_eq!(refused.refusal.code, Code::BadRequest, "{bad}");
    }
    let unreadable = parse_command(format!("{{\"id\":\"{ID}\",").as_bytes()).expect_err("refused");
    assert_eq!(unreadable.about, Some(json!(ID)));
}

#[test]
fn age_counts_only_while_the_clock_is_believed() {
    use ClockQuality::{Synced, Unsynced};
    let made = made_at(ID.parse().expect("uuid"));
    let minutes = |n: i64| n * 60 * 1_000_000;
    let check = |expires: Option<i64>, now: i64, quality| {
        let request = CommandRequest {
            id: ID.parse().expect("uuid"),
            written_id: ID.into(),
            expires_at: expires.map(|at| made.plus_micros(at)),
            command: CloudCommand::TagRelease("x".parse().expect("id")),
        };
        let boot = BootId(Uuid::nil());
        let stamp = Stamp { wall: made.plus_micros(now), mono_ns: 0, boot, quality };
        request.check_age(stamp).map_err(|refusal| refusal.code)
    };
    let week = 7 * 24 * 60;
    for (expires, now, quality, expected) in [
        (None, 0, Synced, Ok(())),
        (None, minutes(week), Synced, Ok(())),
        (None, minutes(week + 1), Synced, Err(Code::Expired)),
        (None, minutes(week + 1), Unsynced, Ok(())),
        (Some(minutes(5)), minutes(4), Synced, Ok(())),
        (Some(minutes(5)), minutes(5), Synced, Err(Code::Expired)),
        (Some(minutes(5)), minutes(6), Unsynced, Ok(())),
        (None, -minutes(24 * 60), Synced, Ok(())),
        (None, -minutes(24 * 60 + 1), Synced, Err(Code::BadRequest)),
        (None, -minutes(week), Unsynced, Ok(())),
    ] {
        assert_eq!(check(expires, now, quality), expected, "{expires:?} at {now} {quality:?}");
    }
    assert_eq!(made.to_string(), "2025-11-20T14:51:46.048000Z");
}

#[test]
fn results_are_golden() {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    insta::assert_snapshot!(text(done(ID, 17)), @r#"{"id":"019aa1c0-0000-7000-8000-000000000001","ok":true,"pos":17}"#);
    insta::assert_snapshot!(text(not_done(&json!(ID), &Refusal::new(Code::Expired, "it is too late"))), @r#"{"error":{"code":"expired","message":"it is too late"},"id":"019aa1c0-0000-7000-8000-000000000001","ok":false}"#);
}
