//! What each kind of event says: version 1 of the contract in `docs/protocol.md` §5.
//!
//! These types are the `data` of an event in the log, on the uplink and in recordings alike; a field is only ever added.
//! Nothing personal stands here: that goes into the sealed part.

use serde::{Deserialize, Serialize};

use super::{ExitReason, KioskId, Role, SessionId, SpotId, StaffId, TestDriveId, Timestamp, VehicleId, ZoneId};

/// `customer.entered`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CustomerEntered {
    /// Where, if in any zone.
    pub zone: Option<ZoneId>,
    /// Metres.
    pub x: f64,
    /// Metres.
    pub y: f64,
    /// Whether this tag was here before, within the grace time.
    pub returning: bool,
}

/// `customer.moved`: a change of zone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CustomerMoved {
    /// Zone before.
    pub from: Option<ZoneId>,
    /// Zone now.
    pub to: Option<ZoneId>,
    /// Metres.
    pub x: f64,
    /// Metres.
    pub y: f64,
}

/// `customer.dwelled`: a stay in a zone, or at a car in it, that is over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CustomerDwelled {
    /// Where.
    pub zone: Option<ZoneId>,
    /// At which car, when this is a stay at a car.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vehicle: Option<VehicleId>,
    /// How long.
    pub seconds: f64,
}

/// `customer.exited`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CustomerExited {
    /// From entering to the last time heard.
    pub duration_s: f64,
    /// How it was noticed.
    pub reason: ExitReason,
}

/// `trace.positions` of one visit, a minute at most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TracePositions {
    /// Time of the first position.
    pub t0: Timestamp,
    /// Milliseconds between positions.
    pub step_ms: u32,
    /// First x, then differences, centimetres.
    pub x_cm: Vec<i32>,
    /// First y, then differences, centimetres.
    pub y_cm: Vec<i32>,
}

/// `heat.minute`: person-seconds of one minute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeatMinute {
    /// By zone; zones with none left out.
    pub zones: std::collections::BTreeMap<ZoneId, f64>,
    /// `[column, row, seconds]` of cells one metre wide from the lower left of the bounds; empty cells left out.
    pub cells: Vec<(u16, u16, f64)>,
}

/// Where an interest was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InterestSource {
    /// A tap on a kiosk.
    Kiosk,
    /// Said by staff.
    Staff,
    /// Sat in the car.
    Seat,
    /// Read off where they stood.
    Presence,
}

/// `customer.interested`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CustomerInterested {
    /// In which car.
    pub vehicle: VehicleId,
    /// 0 to 1.
    pub level: f64,
    /// How it is known.
    pub source: InterestSource,
    /// At which kiosk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kiosk: Option<KioskId>,
    /// In which session of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
}

/// `customer.engaged`: a member of the staff serves a visitor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CustomerEngaged {
    /// Who serves.
    pub staff: StaffId,
    /// What kind of engagement: `greeting`, `consultation`, `test_drive_request` …
    #[serde(rename = "type")]
    pub kind: String,
    /// About which car.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vehicle: Option<VehicleId>,
}

/// `lead.assigned`: the visit is that salesperson's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LeadAssigned {
    /// Whose it is now.
    pub staff: StaffId,
}

/// `kiosk.started`: a guest began a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KioskStarted {
    /// At which kiosk.
    pub kiosk: KioskId,
    /// The session.
    pub session: SessionId,
}

/// Why a kiosk session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionEnd {
    /// By touch.
    Guest,
    /// Nobody touched the kiosk for its session timeout.
    Silence,
    /// The next guest began.
    Superseded,
}

/// `kiosk.ended`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KioskEnded {
    /// At which kiosk.
    pub kiosk: KioskId,
    /// The session.
    pub session: SessionId,
    /// Why.
    pub reason: SessionEnd,
}

/// `kiosk.viewed`: a guest looked at a car.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KioskViewed {
    /// At which kiosk.
    pub kiosk: KioskId,
    /// The session.
    pub session: SessionId,
    /// Which car.
    pub vehicle: VehicleId,
    /// For how long.
    pub seconds: f64,
}

/// `kiosk.called`: a guest asks for a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KioskCalled {
    /// At which kiosk.
    pub kiosk: KioskId,
    /// The session.
    pub session: SessionId,
}

/// `kiosk.answered`: somebody goes to a guest who called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KioskAnswered {
    /// At which kiosk.
    pub kiosk: KioskId,
    /// The session.
    pub session: SessionId,
    /// Who comes.
    pub staff: StaffId,
}

/// `testdrive.scheduled`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TestDriveScheduled {
    /// Its id.
    pub test_drive: TestDriveId,
    /// In which car.
    pub vehicle: VehicleId,
    /// When the guest would like it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_time: Option<Timestamp>,
    /// Asked for at which kiosk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kiosk: Option<KioskId>,
    /// In which session of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
}

/// Whether a car can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VehicleStatus {
    /// Yes.
    Available,
    /// Held for somebody.
    Reserved,
    /// Gone.
    Sold,
    /// On its way here.
    InTransit,
    /// Here, not for sale now.
    Unavailable,
}

/// `inventory.updated`, `inventory.reserved`, `inventory.released`: the car as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Vehicle {
    /// Which car.
    #[serde(rename = "vehicle")]
    pub id: VehicleId,
    /// "Volvo".
    pub make: String,
    /// "EX40".
    pub model: String,
    /// Model year.
    pub year: u16,
    /// "suv".
    #[serde(rename = "type")]
    pub body_type: String,
    /// Asking price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
    /// ISO 4217.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Where it stands on this floor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spot: Option<SpotId>,
    /// Where it is when not here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Whether it can be had.
    pub status: VehicleStatus,
    /// Address of a picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub photo: Option<String>,
}

/// `inventory.removed`: the car left the inventory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InventoryRemoved {
    /// Which car.
    pub vehicle: VehicleId,
}

/// `customer.upserted`; name, phone, e-mail stand in the personal part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CustomerUpserted {
    /// What is known that identifies nobody: age group, interests …
    #[serde(default)]
    pub profile: serde_json::Map<String, serde_json::Value>,
}

/// `customer.erased`: the key is deleted; the customer's personal parts read `null` from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomerErased {}

/// `tag.assigned`; the tag itself stands in the personal part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TagAssigned {
    /// Who carries it.
    pub role: Role,
    /// Customer, staff or vehicle id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// When it stops meaning that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// `tag.released`; the tag itself stands in the personal part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagReleased {}

/// `staff.changed`; name and phone stand in the personal part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StaffChanged {
    /// Who.
    pub staff: StaffId,
    /// Works here.
    pub active: bool,
    /// May be given a visitor.
    pub available: bool,
}

/// `clock.synced`: wall = mono + offset for that boot, from now on the truth about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockSynced {
    /// Which boot.
    pub boot: uuid::Uuid,
    /// Nanoseconds to add to a monotonic time of that boot.
    pub offset_ns: i64,
    /// How far the wall clock moved; 0 when it is learnt for the first time.
    pub step_ns: i64,
}
