use super::*;
use crate::{
    domain::{
        BootId, ClockMark, ClockQuality, CustomerEntered, CustomerExited, CustomerId, CustomerUpserted, Event, EventId,
        ExitReason, InterestSource, InventoryRemoved, KioskCalled, KioskEnded, KioskStarted, Lane, LeadAssigned,
        Registry, Revealed, SessionEnd, StaffChanged, Subjects, TestDriveId, TestDriveScheduled, VehicleStatus,
        VisitId,
    },
    showroom::Interest,
    store::{About, VisitContext},
};

fn id<T: std::str::FromStr>(text: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    text.parse().expect("an id")
}

fn site() -> Site {
    Site {
        id: id("hel-01"),
        name: "Helsinki".into(),
        timezone: "Europe/Helsinki".into(),
        bounds: [0.0, 0.0, 30.0, 20.0],
        tag_height_m: 1.2,
        anchors: Vec::new(),
        zones: Vec::new(),
        spots: Vec::new(),
        tags: Registry::default(),
    }
}

fn car() -> Vehicle {
    Vehicle {
        id: id("V1"),
        make: "Volvo".into(),
        model: "EX40".into(),
        year: 2026,
        body_type: "suv".into(),
        price: Some(51_990.0),
        currency: Some("EUR".into()),
        spot: Some(id("A1")),
        location: None,
        status: VehicleStatus::Available,
        photo: None,
    }
}

fn entry(body: EventBody) -> LogEntry {
    let nil = uuid::Uuid::nil();
    let (visit, customer) = (VisitId(nil), CustomerId(nil));
    let context = VisitContext {
        id: visit,
        customer: Some(customer),
        customer_name: Some("Aino".into()),
        entered_at: Timestamp::UNIX_EPOCH,
        zone: None,
        x: 1.0,
        y: 2.0,
        assigned_to: None,
        interests: vec![Interest { vehicle: id("V1"), level: 0.5 }],
        wishes: Vec::new(),
    };
    let visitors = matches!(body.lane(), Lane::Presence);
    let event = Event {
        pos: 7,
        lane: body.lane(),
        seq: 3,
        id: EventId(nil),
        at: Timestamp::UNIX_EPOCH,
        clock: ClockMark { boot: BootId(nil), mono_ns: 0, quality: ClockQuality::Synced },
        subjects: Subjects { visit: visitors.then_some(visit), customer: Some(customer), vehicle: None, staff: None },
        body,
        personal: Revealed::Absent,
        origin: None,
        version: 1,
    };
    let about = About {
        visit: visitors.then_some(context),
        customer_name: Some("Aino".into()),
        vehicle: Some(car()),
        staff_name: Some("Anna".into()),
    };
    LogEntry { event, about }
}

fn told(body: EventBody) -> Vec<String> {
    let told = tell(&entry(body), Epoch(uuid::Uuid::nil()), &site());
    told.frames.iter().map(|(audience, frame)| format!("{audience:?} {}", frame.text())).collect()
}

fn all() -> Vec<String> {
    let session = SessionId(uuid::Uuid::nil());
    let (kiosk, staff): (KioskId, crate::domain::StaffId) = (id("K1"), id("anna"));
    let interest = |level| CustomerInterested {
        vehicle: id("V1"),
        level,
        source: InterestSource::Kiosk,
        kiosk: Some(kiosk.clone()),
        session: Some(session),
    };
    let drive = TestDriveScheduled {
        test_drive: TestDriveId(uuid::Uuid::nil()),
        vehicle: id("V1"),
        scheduled_time: None,
        kiosk: Some(kiosk.clone()),
        session: Some(session),
    };
    let bodies = [
        EventBody::CustomerEntered(CustomerEntered { zone: Some(id("door")), x: 1.0, y: 2.0, returning: false }),
        EventBody::CustomerMoved(CustomerMoved { from: Some(id("door")), to: None, x: 1.5, y: 2.5 }),
        EventBody::CustomerExited(CustomerExited { duration_s: 60.0, reason: ExitReason::Door }),
        EventBody::CustomerInterested(interest(0.69)),
        EventBody::CustomerInterested(interest(0.7)),
        EventBody::CustomerEngaged(CustomerEngaged { staff: staff.clone(), kind: "greeting".into(), vehicle: None }),
        EventBody::LeadAssigned(LeadAssigned { staff: staff.clone() }),
        EventBody::KioskStarted(KioskStarted { kiosk: kiosk.clone(), session }),
        EventBody::KioskEnded(KioskEnded { kiosk: kiosk.clone(), session, reason: SessionEnd::Guest }),
        EventBody::KioskCalled(KioskCalled { kiosk: kiosk.clone(), session }),
        EventBody::KioskAnswered(KioskAnswered { kiosk, session, staff: staff.clone() }),
        EventBody::TestDriveScheduled(drive),
        EventBody::InventoryUpdated(car()),
        EventBody::InventoryReserved(car()),
        EventBody::InventoryReleased(car()),
        EventBody::InventoryRemoved(InventoryRemoved { vehicle: id("V1") }),
        EventBody::CustomerUpserted(CustomerUpserted { profile: serde_json::Map::new() }),
        EventBody::StaffChanged(StaffChanged { staff, active: true, available: false }),
    ];
    bodies.into_iter().flat_map(told).collect()
}

#[test]
fn frames_are_golden() {
    let all = all().join("\n").replace(&uuid::Uuid::nil().to_string(), "NIL");
    insta::assert_snapshot!(all.replace("1970-01-01T00:00:00.000000Z", "THEN"), @r#"
    Staff {"type":"CUSTOMER_ENTERED","epoch":"NIL","pos":7,"payload":{"visitId":"NIL","customerId":"NIL","customerName":"Aino","showroomId":"hel-01","showroomName":"Helsinki","location":{"x":1.0,"y":2.0,"zone":"door"},"leadScore":null,"interests":["V1"],"returning":false,"timestamp":"THEN"}}
    Staff {"type":"CUSTOMER_MOVED","epoch":"NIL","pos":7,"payload":{"visitId":"NIL","customerId":"NIL","customerName":"Aino","showroomId":"hel-01","newLocation":{"x":1.5,"y":2.5,"zone":null},"timestamp":"THEN"}}
    Staff {"type":"CUSTOMER_EXITED","epoch":"NIL","pos":7,"payload":{"visitId":"NIL","customerId":"NIL","customerName":"Aino","showroomId":"hel-01","duration":60.0,"timestamp":"THEN"}}
    Staff {"type":"CUSTOMER_INTERESTED","epoch":"NIL","pos":7,"payload":{"visitId":null,"customerId":"NIL","customerName":"Aino","showroomId":"hel-01","kioskId":"K1","vehicleId":"V1","make":"Volvo","model":"EX40","year":2026,"interestLevel":0.69,"timestamp":"THEN"}}
    Staff {"type":"CUSTOMER_INTERESTED","epoch":"NIL","pos":7,"payload":{"visitId":null,"customerId":"NIL","customerName":"Aino","showroomId":"hel-01","kioskId":"K1","vehicleId":"V1","make":"Volvo","model":"EX40","year":2026,"interestLevel":0.7,"timestamp":"THEN"}}
    Staff {"type":"HIGH_INTEREST_ALERT","epoch":"NIL","pos":7,"payload":{"visitId":null,"customerId":"NIL","customerName":"Aino","showroomId":"hel-01","kioskId":"K1","vehicleId":"V1","make":"Volvo","model":"EX40","year":2026,"interestLevel":0.7,"timestamp":"THEN"}}
    Staff {"type":"CUSTOMER_ENGAGED","epoch":"NIL","pos":7,"payload":{"visitId":null,"customerId":"NIL","customerName":"Aino","showroomId":"hel-01","salesRepId":"anna","salesRepName":"Anna","engagementType":"greeting","vehicleId":null,"timestamp":"THEN"}}
    Staff {"type":"LEAD_ASSIGNED","epoch":"NIL","pos":7,"payload":{"visitId":null,"customerId":"NIL","customerName":"Aino","salesRepId":"anna","salesRepName":"Anna","timestamp":"THEN"}}
    Kiosk("K1") {"type":"SESSION_STARTED","epoch":"NIL","pos":7,"payload":{"sessionId":"NIL"}}
    Kiosk("K1") {"type":"SESSION_ENDED","epoch":"NIL","pos":7,"payload":{"sessionId":"NIL"}}
    Staff {"type":"KIOSK_CALLED","epoch":"NIL","pos":7,"payload":{"kioskId":"K1","visitId":null,"timestamp":"THEN"}}
    Staff {"type":"KIOSK_ANSWERED","epoch":"NIL","pos":7,"payload":{"kioskId":"K1","salesRepId":"anna","salesRepName":"Anna","timestamp":"THEN"}}
    Kiosk("K1") {"type":"STAFF_COMING","epoch":"NIL","pos":7,"payload":{"name":"Anna"}}
    Staff {"type":"TEST_DRIVE_SCHEDULED","epoch":"NIL","pos":7,"payload":{"testDriveId":"NIL","customerId":"NIL","customerName":"Aino","salesRepId":null,"salesRepName":null,"vehicleId":"V1","showroomId":"hel-01","kioskId":"K1","scheduledTime":null,"timestamp":"THEN"}}
    Staff {"type":"INVENTORY_UPDATED","epoch":"NIL","pos":7,"payload":{"vehicleId":"V1","make":"Volvo","model":"EX40","year":2026,"type":"suv","price":51990.0,"currency":"EUR","spot":"A1","status":"available"}}
    Kiosks {"type":"INVENTORY_UPDATED","epoch":"NIL","pos":7,"payload":{"vehicleId":"V1","make":"Volvo","model":"EX40","year":2026,"type":"suv","price":51990.0,"currency":"EUR","spot":"A1","status":"available"}}
    Staff {"type":"INVENTORY_RESERVED","epoch":"NIL","pos":7,"payload":{"vehicleId":"V1","make":"Volvo","model":"EX40","year":2026,"type":"suv","price":51990.0,"currency":"EUR","spot":"A1","status":"available"}}
    Kiosks {"type":"INVENTORY_RESERVED","epoch":"NIL","pos":7,"payload":{"vehicleId":"V1","make":"Volvo","model":"EX40","year":2026,"type":"suv","price":51990.0,"currency":"EUR","spot":"A1","status":"available"}}
    Staff {"type":"INVENTORY_RELEASED","epoch":"NIL","pos":7,"payload":{"vehicleId":"V1","make":"Volvo","model":"EX40","year":2026,"type":"suv","price":51990.0,"currency":"EUR","spot":"A1","status":"available"}}
    Kiosks {"type":"INVENTORY_RELEASED","epoch":"NIL","pos":7,"payload":{"vehicleId":"V1","make":"Volvo","model":"EX40","year":2026,"type":"suv","price":51990.0,"currency":"EUR","spot":"A1","status":"available"}}
    Staff {"type":"INVENTORY_UPDATED","epoch":"NIL","pos":7,"payload":{"vehicleId":"V1","status":"removed"}}
    Kiosks {"type":"INVENTORY_UPDATED","epoch":"NIL","pos":7,"payload":{"vehicleId":"V1","status":"removed"}}
    Staff {"type":"CUSTOMER_UPDATED","epoch":"NIL","pos":7,"payload":{"customerId":"NIL","customerName":"Aino"}}
    Staff {"type":"STAFF_CHANGED","epoch":"NIL","pos":7,"payload":{"staffId":"anna","name":"Anna","active":true,"available":false}}
    "#);
}

#[test]
fn no_frame_for_a_kiosk_knows_of_customers() {
    for frame in all().iter().filter(|frame| !frame.starts_with("Staff ")) {
        assert!(!frame.to_lowercase().contains("customer") && !frame.contains("Aino"), "{frame}");
    }
}
