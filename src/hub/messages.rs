//! What clients say, read and checked in form. Pure.
//!
//! Refuses: text that is no object with a `type`, unknown types, fields of a wrong type or length, and what the client's
//! role may not ask for. What makes no sense in the showroom is refused by it, not here.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::rooms::Member;
use crate::{
    domain::{KioskId, Personal, SessionEnd, StaffId, Timestamp, VehicleId, VisitId},
    showroom::{Command, KioskCommand, StaffCommand, TestDriveRequest},
};

const MAX_ID: usize = 128;
/// Names and telephone numbers of people.
const MAX_TEXT: usize = 200;
const MAX_KIND: usize = 64;

/// What is wrong with a message: a code of the contract and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bad {
    pub(super) code: &'static str,
    pub(super) message: String,
}

/// A message that was read, or what is wrong with it; and its id, if it has one that can be told.
#[derive(Debug, PartialEq)]
pub(super) struct Said {
    pub(super) id: Option<String>,
    pub(super) command: Result<Command, Bad>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct View {
    vehicle_id: VehicleId,
    seconds: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Interest {
    vehicle_id: VehicleId,
    interest_level: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TestDrive {
    vehicle_id: VehicleId,
    name: Option<String>,
    phone: Option<String>,
    preferred_time: Option<String>,
}

#[derive(Deserialize)]
struct Availability {
    available: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claim {
    visit_id: Option<VisitId>,
    kiosk_id: Option<KioskId>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Engage {
    visit_id: VisitId,
    engagement_type: String,
    vehicle_id: Option<VehicleId>,
}

/// Reads a text message of `member`.
pub(super) fn read(text: &str, member: &Member) -> Said {
    let value: Value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(error) => return Said { id: None, command: Err(invalid(format!("not JSON: {error}"))) },
    };
    let id = value.get("id").and_then(Value::as_str).filter(|id| (1..=MAX_ID).contains(&id.len()));
    let id = id.map(str::to_owned);
    let said_id = value.get("id").is_some_and(|id| !id.is_null());
    let command = if said_id && id.is_none() {
        Err(invalid(format!("id must be a text of 1 to {MAX_ID} bytes")))
    } else {
        command(value, member)
    };
    Said { id, command }
}

fn command(mut value: Value, member: &Member) -> Result<Command, Bad> {
    let Some(kind) = value.get("type").and_then(Value::as_str).map(str::to_owned) else {
        return Err(invalid("a message is an object with a type"));
    };
    let payload = value.get_mut("payload").map_or_else(|| Value::Object(serde_json::Map::new()), Value::take);
    let kiosk_says = |command: Result<KioskCommand, Bad>| match member {
        Member::Kiosk(kiosk) => Ok(Command::Kiosk { kiosk: kiosk.clone(), command: command? }),
        Member::Staff(_) | Member::Service(_) => Err(forbidden(&kind, "kiosks")),
    };
    let staff_says = |read: &dyn Fn(&StaffId) -> Result<StaffCommand, Bad>| match member {
        Member::Staff(staff) => Ok(Command::Staff { staff: staff.clone(), command: read(staff)? }),
        Member::Kiosk(_) | Member::Service(_) => Err(forbidden(&kind, "staff")),
    };
    match kind.as_str() {
        "SESSION_START" => kiosk_says(Ok(KioskCommand::StartSession)),
        "SESSION_END" => kiosk_says(Ok(KioskCommand::EndSession(SessionEnd::Guest))),
        "KIOSK_CALL" => kiosk_says(Ok(KioskCommand::Call)),
        "KIOSK_VIEW" => kiosk_says(
            parse(&kind, payload).map(|View { vehicle_id: vehicle, seconds }| KioskCommand::View { vehicle, seconds }),
        ),
        "KIOSK_INTEREST" => {
            kiosk_says(parse(&kind, payload).map(|Interest { vehicle_id: vehicle, interest_level: level }| {
                KioskCommand::Interest { vehicle, level }
            }))
        }
        "KIOSK_TEST_DRIVE" => kiosk_says(parse(&kind, payload).and_then(test_drive).map(KioskCommand::TestDrive)),
        "STAFF_STATUS" => staff_says(&|_| {
            let Availability { available } = parse(&kind, payload.clone())?;
            Ok(StaffCommand::SetAvailability { available })
        }),
        "CLAIM" => staff_says(&|_| claim(parse(&kind, payload.clone())?)),
        "ENGAGE" => staff_says(&|_| engage(parse(&kind, payload.clone())?)),
        _ => Err(invalid("unknown type of message")),
    }
}

fn test_drive(raw: TestDrive) -> Result<TestDriveRequest, Bad> {
    let mut contact = Personal::default();
    for (field, text) in [("name", raw.name), ("phone", raw.phone)] {
        let Some(text) = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()) else { continue };
        if text.chars().count() > MAX_TEXT || text.chars().any(char::is_control) {
            return Err(invalid(format!("{field} must be at most {MAX_TEXT} characters on one line")));
        }
        contact = contact.with(field, text);
    }
    let time = raw.preferred_time.map(|text| Timestamp::parse(&text)).transpose();
    let preferred_time = time.map_err(|_| invalid("preferredTime must be an RFC 3339 time"))?;
    Ok(TestDriveRequest { vehicle: raw.vehicle_id, contact, preferred_time })
}

fn claim(raw: Claim) -> Result<StaffCommand, Bad> {
    match (raw.visit_id, raw.kiosk_id) {
        (Some(visit), None) => Ok(StaffCommand::Claim { visit }),
        (None, Some(kiosk)) => Ok(StaffCommand::AnswerCall { kiosk }),
        _ => Err(invalid("CLAIM takes either visitId or kioskId")),
    }
}

fn engage(raw: Engage) -> Result<StaffCommand, Bad> {
    let kind = raw.engagement_type;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if kind.is_empty() || kind.len() > MAX_KIND || !kind.chars().all(plain) {
        return Err(invalid(format!("engagementType must be 1 to {MAX_KIND} letters, digits, _, - or .")));
    }
    Ok(StaffCommand::Engage { visit: raw.visit_id, kind, vehicle: raw.vehicle_id })
}

fn parse<T: DeserializeOwned>(kind: &str, payload: Value) -> Result<T, Bad> {
    serde_json::from_value(payload).map_err(|error| invalid(format!("payload of {kind}: {error}")))
}

fn invalid(message: impl Into<String>) -> Bad {
    Bad { code: "INVALID_MESSAGE", message: message.into() }
}

fn forbidden(kind: &str, whose: &str) -> Bad {
    Bad { code: "FORBIDDEN", message: format!("{kind} is for {whose} only") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kiosk() -> Member {
        Member::Kiosk("K1".parse().expect("id"))
    }

    fn staff() -> Member {
        Member::Staff("anna".parse().expect("id"))
    }

    fn code(text: &str, member: &Member) -> &'static str {
        read(text, member).command.map_or_else(|bad| bad.code, |_| "taken")
    }

    #[test]
    fn each_kind_is_for_its_role() {
        let visit = "018cc251-f400-7000-8000-000000000001";
        for (text, at_kiosk, by_staff) in [
            (r#"{"type":"SESSION_START"}"#, "taken", "FORBIDDEN"),
            (r#"{"type":"SESSION_END","payload":{}}"#, "taken", "FORBIDDEN"),
            (r#"{"type":"KIOSK_CALL","payload":null}"#, "taken", "FORBIDDEN"),
            (r#"{"type":"KIOSK_VIEW","payload":{"vehicleId":"V1","seconds":3}}"#, "taken", "FORBIDDEN"),
            (r#"{"type":"KIOSK_INTEREST","payload":{"vehicleId":"V1","interestLevel":0.8}}"#, "taken", "FORBIDDEN"),
            (r#"{"type":"KIOSK_TEST_DRIVE","payload":{"vehicleId":"V1","name":" Aino "}}"#, "taken", "FORBIDDEN"),
            (r#"{"type":"STAFF_STATUS","payload":{"available":true}}"#, "FORBIDDEN", "taken"),
            (&format!(r#"{{"type":"CLAIM","payload":{{"visitId":"{visit}"}}}}"#), "FORBIDDEN", "taken"),
            (r#"{"type":"CLAIM","payload":{"kioskId":"K1"}}"#, "FORBIDDEN", "taken"),
            (
                &format!(r#"{{"type":"ENGAGE","payload":{{"visitId":"{visit}","engagementType":"greeting"}}}}"#),
                "FORBIDDEN",
                "taken",
            ),
        ] {
            assert_eq!((code(text, &kiosk()), code(text, &staff())), (at_kiosk, by_staff), "{text}");
            assert_eq!(code(text, &Member::Service("crm".into())), "FORBIDDEN", "{text}");
        }
    }

    #[test]
    fn what_is_malformed_is_invalid_and_keeps_its_id() {
        for text in [
            "{",
            "[]",
            "7",
            r#"{"type":5}"#,
            r#"{"type":"DANCE"}"#,
            r#"{"type":"SESSION_START","id":7}"#,
            r#"{"type":"SESSION_START","id":""}"#,
            r#"{"type":"KIOSK_INTEREST"}"#,
            r#"{"type":"KIOSK_INTEREST","payload":{"vehicleId":7,"interestLevel":1}}"#,
            r#"{"type":"KIOSK_INTEREST","payload":{"vehicleId":"V 1","interestLevel":1}}"#,
            r#"{"type":"KIOSK_INTEREST","payload":[]}"#,
            r#"{"type":"KIOSK_TEST_DRIVE","payload":{"vehicleId":"V1","preferredTime":"soon"}}"#,
            r#"{"type":"KIOSK_TEST_DRIVE","payload":{"vehicleId":"V1","name":"a\u0007b"}}"#,
        ] {
            assert_eq!(code(text, &kiosk()), "INVALID_MESSAGE", "{text}");
        }
        for text in [
            r#"{"type":"CLAIM","payload":{}}"#,
            r#"{"type":"ENGAGE","payload":{"visitId":"x","engagementType":"greeting"}}"#,
            r#"{"type":"STAFF_STATUS","payload":{"available":"yes"}}"#,
        ] {
            assert_eq!(code(text, &staff()), "INVALID_MESSAGE", "{text}");
        }
        assert_eq!(read(r#"{"type":"DANCE","id":"a"}"#, &kiosk()).id.as_deref(), Some("a"));
    }

    #[test]
    fn a_test_drive_takes_what_is_given_and_no_more() {
        let text = r#"{"type":"KIOSK_TEST_DRIVE","payload":{"vehicleId":"V1","name":" Aino ","phone":"","preferredTime":"2026-11-24T12:00:00+02:00","email":"x@y"}}"#;
        let Ok(Command::Kiosk { command: KioskCommand::TestDrive(drive), .. }) = read(text, &kiosk()).command else {
            panic!("not read");
        };
        assert_eq!(drive.contact, Personal::default().with("name", "Aino"));
        assert_eq!(drive.preferred_time.map(|t| t.to_string()).as_deref(), Some("2026-11-24T10:00:00.000000Z"));
    }
}
