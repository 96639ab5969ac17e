//! An event of the log as one JSON object, and a run of numbers that hold none.
//!
//! Invariants: a line has no line break in it; keys come in the order of `docs/protocol.md` §5; `personal` is left out
//! when the event never had one, `null` when its key is deleted. These are twins of the domain's types: what is sent is
//! spelt out here, so that a change of the domain does not change the wire by accident.

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::domain::{ClockQuality, Event, EventBody, Gap, GapReason, Revealed, StaffId, Timestamp, VehicleId};

/// [`Event`] as the wire has it.
#[derive(Debug, Serialize)]
pub struct EventLine<'a> {
    pos: u64,
    lane: &'static str,
    seq: u64,
    id: Uuid,
    kind: &'static str,
    at: Timestamp,
    clock: ClockLine,
    #[serde(skip_serializing_if = "Option::is_none")]
    visit: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vehicle: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    staff: Option<&'a str>,
    data: DataLine<'a>,
    #[serde(skip_serializing_if = "PersonalLine::is_absent")]
    personal: PersonalLine<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<OriginLine>,
    v: u16,
}

#[derive(Debug, Serialize)]
struct ClockLine {
    boot: Uuid,
    mono_ns: i64,
    quality: &'static str,
}

#[derive(Debug, Serialize)]
struct OriginLine {
    epoch: Uuid,
    seq: u64,
}

#[derive(Debug)]
struct PersonalLine<'a>(&'a Revealed);

impl PersonalLine<'_> {
    fn is_absent(&self) -> bool {
        matches!(self.0, Revealed::Absent)
    }
}

impl Serialize for PersonalLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.fields().serialize(serializer)
    }
}

#[derive(Debug)]
struct DataLine<'a>(&'a EventBody);

impl Serialize for DataLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            EventBody::CustomerInterested(data) => data.serialize(serializer),
            EventBody::CustomerEngaged(data) => data.serialize(serializer),
            EventBody::LeadAssigned(data) => data.serialize(serializer),
            EventBody::KioskStarted(data) => data.serialize(serializer),
            EventBody::KioskEnded(data) => data.serialize(serializer),
            EventBody::KioskViewed(data) => data.serialize(serializer),
            EventBody::KioskCalled(data) => data.serialize(serializer),
            EventBody::KioskAnswered(data) => data.serialize(serializer),
            EventBody::TestDriveScheduled(data) => data.serialize(serializer),
            EventBody::InventoryUpdated(data)
            | EventBody::InventoryReserved(data)
            | EventBody::InventoryReleased(data) => data.serialize(serializer),
            EventBody::InventoryRemoved(data) => data.serialize(serializer),
            EventBody::CustomerUpserted(data) => data.serialize(serializer),
            EventBody::CustomerErased(data) => data.serialize(serializer),
            EventBody::TagAssigned(data) => data.serialize(serializer),
            EventBody::TagReleased(data) => data.serialize(serializer),
            EventBody::StaffChanged(data) => data.serialize(serializer),
            EventBody::CustomerEntered(data) => data.serialize(serializer),
            EventBody::CustomerMoved(data) => data.serialize(serializer),
            EventBody::CustomerDwelled(data) => data.serialize(serializer),
            EventBody::CustomerExited(data) => data.serialize(serializer),
            EventBody::TracePositions(data) => data.serialize(serializer),
            EventBody::HeatMinute(data) => data.serialize(serializer),
            EventBody::ClockSynced(data) => data.serialize(serializer),
        }
    }
}

impl<'a> From<&'a Event> for EventLine<'a> {
    fn from(event: &'a Event) -> Self {
        let subjects = &event.subjects;
        Self {
            pos: event.pos,
            lane: event.lane.as_str(),
            seq: event.seq,
            id: event.id.0,
            kind: event.body.kind(),
            at: event.at,
            clock: ClockLine {
                boot: event.clock.boot.0,
                mono_ns: event.clock.mono_ns,
                quality: quality(event.clock.quality),
            },
            visit: subjects.visit.map(|id| id.0),
            customer: subjects.customer.map(|id| id.0),
            vehicle: subjects.vehicle.as_ref().map(VehicleId::as_str),
            staff: subjects.staff.as_ref().map(StaffId::as_str),
            data: DataLine(&event.body),
            personal: PersonalLine(&event.personal),
            origin: event.origin.map(|origin| OriginLine { epoch: origin.epoch.0, seq: origin.seq }),
            v: event.version,
        }
    }
}

fn quality(quality: ClockQuality) -> &'static str {
    match quality {
        ClockQuality::Synced => "synced",
        ClockQuality::Unsynced => "unsynced",
    }
}

#[derive(Serialize)]
struct GapLine {
    gap: GapBody,
}

#[derive(Serialize)]
struct GapBody {
    from: u64,
    to: u64,
    count: u64,
    reason: &'static str,
    at: Timestamp,
}

/// One event as one line of JSON, without the line break.
#[must_use]
pub fn line(event: &Event) -> String {
    encode(&EventLine::from(event))
}

/// One gap as one line of JSON, without the line break.
#[must_use]
pub fn gap_line(gap: &Gap) -> String {
    let reason = match gap.reason {
        GapReason::Retention => "retention",
        GapReason::DiskFull => "disk_full",
        GapReason::Corruption => "corruption",
    };
    encode(&GapLine { gap: GapBody { from: gap.from, to: gap.to, count: gap.count, reason, at: gap.at } })
}

fn encode<T: Serialize>(value: &T) -> String {
    // Only text keys and encodings that are derived: it cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        BootId, ClockMark, CustomerErased, CustomerId, CustomerUpserted, Epoch, EventId, HeatMinute, KioskViewed,
        Origin, Personal, SessionId, Subjects, VisitId,
    };

    fn event(body: EventBody) -> Event {
        Event {
            pos: 42,
            lane: body.lane(),
            seq: 7,
            id: EventId(Uuid::from_u128(1)),
            at: Timestamp::from_micros(1_700_000_000_123_456),
            clock: ClockMark { boot: BootId(Uuid::from_u128(2)), mono_ns: 5_000, quality: ClockQuality::Synced },
            subjects: Subjects::default(),
            body,
            personal: Revealed::Absent,
            origin: None,
            version: 1,
        }
    }

    #[test]
    fn an_event_with_nothing_optional() {
        let viewed = KioskViewed {
            kiosk: "K1".parse().expect("id"),
            session: SessionId(Uuid::from_u128(3)),
            vehicle: "V1".parse().expect("id"),
            seconds: 12.5,
        };
        insta::assert_snapshot!(line(&event(EventBody::KioskViewed(viewed))), @r#"{"pos":42,"lane":"sales","seq":7,"id":"00000000-0000-0000-0000-000000000001","kind":"kiosk.viewed","at":"2023-11-14T22:13:20.123456Z","clock":{"boot":"00000000-0000-0000-0000-000000000002","mono_ns":5000,"quality":"synced"},"data":{"kiosk":"K1","session":"00000000-0000-0000-0000-000000000003","vehicle":"V1","seconds":12.5},"v":1}"#);
    }

    #[test]
    fn an_event_with_everything() {
        let mut full = event(EventBody::CustomerUpserted(CustomerUpserted { profile: serde_json::Map::new() }));
        full.clock.quality = ClockQuality::Unsynced;
        full.subjects = Subjects {
            visit: Some(VisitId(Uuid::from_u128(4))),
            customer: Some(CustomerId(Uuid::from_u128(5))),
            vehicle: Some("V1".parse().expect("id")),
            staff: Some("anna".parse().expect("id")),
        };
        full.personal = Revealed::Present(Personal::default().with("name", "Aino\nVirta"));
        full.origin = Some(Origin { epoch: Epoch(Uuid::from_u128(6)), seq: 3 });
        insta::assert_snapshot!(line(&full), @r#"{"pos":42,"lane":"sales","seq":7,"id":"00000000-0000-0000-0000-000000000001","kind":"customer.upserted","at":"2023-11-14T22:13:20.123456Z","clock":{"boot":"00000000-0000-0000-0000-000000000002","mono_ns":5000,"quality":"unsynced"},"visit":"00000000-0000-0000-0000-000000000004","customer":"00000000-0000-0000-0000-000000000005","vehicle":"V1","staff":"anna","data":{"profile":{}},"personal":{"name":"Aino\nVirta"},"origin":{"epoch":"00000000-0000-0000-0000-000000000006","seq":3},"v":1}"#);
        assert!(!line(&full).contains('\n'));
    }

    #[test]
    fn an_erased_part_reads_null() {
        let mut erased = event(EventBody::CustomerErased(CustomerErased {}));
        erased.personal = Revealed::Erased;
        insta::assert_snapshot!(line(&erased), @r#"{"pos":42,"lane":"sales","seq":7,"id":"00000000-0000-0000-0000-000000000001","kind":"customer.erased","at":"2023-11-14T22:13:20.123456Z","clock":{"boot":"00000000-0000-0000-0000-000000000002","mono_ns":5000,"quality":"synced"},"data":{},"personal":null,"v":1}"#);
    }

    #[test]
    fn data_is_what_the_log_holds() {
        let body = EventBody::HeatMinute(HeatMinute {
            zones: [("bay".parse().expect("id"), 12.5)].into(),
            cells: vec![(1, 2, 60.0)],
        });
        let sent: serde_json::Value = serde_json::from_str(&line(&event(body.clone()))).expect("reads");
        let stored: serde_json::Value = serde_json::from_str(&body.to_data()).expect("reads");
        assert_eq!(sent["data"], stored);
    }

    #[test]
    fn a_gap() {
        let at = Timestamp::from_micros(1_700_000_000_000_000);
        let gap = Gap { from: 3, to: 9, count: 7, reason: GapReason::DiskFull, at };
        insta::assert_snapshot!(gap_line(&gap), @r#"{"gap":{"from":3,"to":9,"count":7,"reason":"disk_full","at":"2023-11-14T22:13:20.000000Z"}}"#);
    }
}
