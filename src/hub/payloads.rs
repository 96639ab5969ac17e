//! What frames say: the contract's field names. Those of kiosks have no field for a customer, so none can be sent.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::domain::{
    CustomerId, Epoch, FloorSnapshot, Heat, KioskId, SessionId, SiteId, SpotId, StaffId, TestDriveId, Timestamp,
    Vehicle, VehicleId, VehicleStatus, VisitId, ZoneId,
};
use crate::{showroom::StaffMember, store::VisitContext};

/// `WELCOME`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Welcome<'a> {
    pub(super) connection_id: String,
    pub(super) user_id: &'a str,
    pub(super) role: &'static str,
    pub(super) server_time: Timestamp,
    pub(super) rooms: Vec<String>,
    pub(super) epoch: Epoch,
    pub(super) pos: u64,
}

/// A car, for everybody.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Car<'a> {
    pub(super) vehicle_id: &'a VehicleId,
    pub(super) make: &'a str,
    pub(super) model: &'a str,
    pub(super) year: u16,
    #[serde(rename = "type")]
    pub(super) body_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) price: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) currency: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) spot: Option<&'a SpotId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) location: Option<&'a str>,
    pub(super) status: VehicleStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) photo: Option<&'a str>,
}

impl<'a> From<&'a Vehicle> for Car<'a> {
    fn from(car: &'a Vehicle) -> Self {
        Self {
            vehicle_id: &car.id,
            make: &car.make,
            model: &car.model,
            year: car.year,
            body_type: &car.body_type,
            price: car.price,
            currency: car.currency.as_deref(),
            spot: car.spot.as_ref(),
            location: car.location.as_deref(),
            status: car.status,
            photo: car.photo.as_deref(),
        }
    }
}

/// `INVENTORY_UPDATED` of a car that left.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CarGone<'a> {
    pub(super) vehicle_id: &'a VehicleId,
    pub(super) status: &'static str,
}

/// Whose visit a frame is about.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Who<'a> {
    pub(super) visit_id: Option<VisitId>,
    pub(super) customer_id: Option<CustomerId>,
    pub(super) customer_name: Option<&'a str>,
}

/// Where a visitor is, metres.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Place<'a> {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) zone: Option<&'a ZoneId>,
}

/// `CUSTOMER_ENTERED`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entered<'a> {
    #[serde(flatten)]
    pub(super) who: Who<'a>,
    pub(super) showroom_id: &'a SiteId,
    pub(super) showroom_name: &'a str,
    pub(super) location: Place<'a>,
    /// Null while nothing scores leads.
    pub(super) lead_score: Option<f64>,
    pub(super) interests: Vec<&'a VehicleId>,
    pub(super) returning: bool,
    pub(super) timestamp: Timestamp,
}

/// `CUSTOMER_MOVED`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Moved<'a> {
    #[serde(flatten)]
    pub(super) who: Who<'a>,
    pub(super) showroom_id: &'a SiteId,
    pub(super) new_location: Place<'a>,
    pub(super) timestamp: Timestamp,
}

/// `CUSTOMER_EXITED`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Exited<'a> {
    #[serde(flatten)]
    pub(super) who: Who<'a>,
    pub(super) showroom_id: &'a SiteId,
    /// Seconds.
    pub(super) duration: f64,
    pub(super) timestamp: Timestamp,
}

/// `CUSTOMER_INTERESTED` and `HIGH_INTEREST_ALERT`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Interested<'a> {
    #[serde(flatten)]
    pub(super) who: Who<'a>,
    pub(super) showroom_id: &'a SiteId,
    pub(super) kiosk_id: Option<&'a KioskId>,
    pub(super) vehicle_id: &'a VehicleId,
    pub(super) make: Option<&'a str>,
    pub(super) model: Option<&'a str>,
    pub(super) year: Option<u16>,
    pub(super) interest_level: f64,
    pub(super) timestamp: Timestamp,
}

/// `CUSTOMER_ENGAGED`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Engaged<'a> {
    #[serde(flatten)]
    pub(super) who: Who<'a>,
    pub(super) showroom_id: &'a SiteId,
    pub(super) sales_rep_id: &'a StaffId,
    pub(super) sales_rep_name: Option<&'a str>,
    pub(super) engagement_type: &'a str,
    pub(super) vehicle_id: Option<&'a VehicleId>,
    pub(super) timestamp: Timestamp,
}

/// `LEAD_ASSIGNED`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Assigned<'a> {
    #[serde(flatten)]
    pub(super) who: Who<'a>,
    pub(super) sales_rep_id: &'a StaffId,
    pub(super) sales_rep_name: Option<&'a str>,
    pub(super) timestamp: Timestamp,
}

/// `TEST_DRIVE_SCHEDULED`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TestDrive<'a> {
    #[serde(rename = "testDriveId")]
    pub(super) id: TestDriveId,
    pub(super) customer_id: Option<CustomerId>,
    pub(super) customer_name: Option<&'a str>,
    /// Null: nobody is chosen for a test drive that a guest asked for.
    pub(super) sales_rep_id: Option<&'a StaffId>,
    pub(super) sales_rep_name: Option<&'a str>,
    pub(super) vehicle_id: &'a VehicleId,
    pub(super) showroom_id: &'a SiteId,
    pub(super) kiosk_id: Option<&'a KioskId>,
    pub(super) scheduled_time: Option<Timestamp>,
    pub(super) timestamp: Timestamp,
}

/// `KIOSK_CALLED`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Called<'a> {
    pub(super) kiosk_id: &'a KioskId,
    pub(super) visit_id: Option<VisitId>,
    pub(super) timestamp: Timestamp,
}

/// `KIOSK_ANSWERED`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answered<'a> {
    pub(super) kiosk_id: &'a KioskId,
    pub(super) sales_rep_id: &'a StaffId,
    pub(super) sales_rep_name: Option<&'a str>,
    pub(super) timestamp: Timestamp,
}

/// `STAFF_COMING`, for the kiosk.
#[derive(Serialize)]
pub(super) struct Coming<'a> {
    pub(super) name: Option<&'a str>,
}

/// `SESSION_STARTED` and `SESSION_ENDED`, for the kiosk.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SessionFrame {
    pub(super) session_id: SessionId,
}

/// `STAFF_CHANGED`, and a line of `INITIAL_STATE`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StaffFrame<'a> {
    pub(super) staff_id: &'a StaffId,
    pub(super) name: Option<&'a str>,
    pub(super) active: bool,
    pub(super) available: bool,
}

impl<'a> From<&'a StaffMember> for StaffFrame<'a> {
    fn from(member: &'a StaffMember) -> Self {
        let StaffMember { id, personal, active, available } = member;
        Self { staff_id: id, name: personal.text("name"), active: *active, available: *available }
    }
}

/// `CUSTOMER_UPDATED`: a name became known, or is not any more.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CustomerFrame<'a> {
    pub(super) customer_id: CustomerId,
    pub(super) customer_name: Option<&'a str>,
}

/// A visit in `INITIAL_STATE`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct VisitLine<'a> {
    #[serde(flatten)]
    pub(super) who: Who<'a>,
    pub(super) location: Place<'a>,
    pub(super) lead_score: Option<f64>,
    pub(super) interests: Vec<&'a VehicleId>,
    pub(super) entered_at: Timestamp,
    pub(super) assigned_to: Option<&'a StaffId>,
}

impl<'a> From<&'a VisitContext> for VisitLine<'a> {
    fn from(visit: &'a VisitContext) -> Self {
        let customer_name = visit.customer_name.as_deref();
        Self {
            who: Who { visit_id: Some(visit.id), customer_id: visit.customer, customer_name },
            location: Place { x: visit.x, y: visit.y, zone: visit.zone.as_ref() },
            lead_score: None,
            interests: visit.interests.iter().map(|interest| &interest.vehicle).collect(),
            entered_at: visit.entered_at,
            assigned_to: visit.assigned_to.as_ref(),
        }
    }
}

/// `INITIAL_STATE` of staff.
#[derive(Serialize)]
pub(super) struct StaffState<'a> {
    pub(super) customers: Vec<VisitLine<'a>>,
    pub(super) vehicles: Vec<Car<'a>>,
    pub(super) staff: Vec<StaffFrame<'a>>,
    pub(super) heatmap: HeatFrame<'a>,
}

/// `INITIAL_STATE` of a kiosk.
#[derive(Serialize)]
pub(super) struct KioskState<'a> {
    pub(super) vehicles: Vec<Car<'a>>,
    pub(super) kiosk: KioskInfo<'a>,
}

/// What a kiosk is told of itself.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct KioskInfo<'a> {
    pub(super) id: &'a KioskId,
    pub(super) session_timeout_s: u64,
    /// The session that is open, after a reload of the page.
    pub(super) session_id: Option<SessionId>,
}

/// `HEATMAP`: person-seconds, decayed.
#[derive(Serialize, Default)]
pub(super) struct HeatFrame<'a> {
    pub(super) zones: BTreeMap<&'a str, f64>,
    pub(super) cells: &'a [(u16, u16, f64)],
}

impl<'a> From<Option<&'a Heat>> for HeatFrame<'a> {
    fn from(heat: Option<&'a Heat>) -> Self {
        let Some(heat) = heat else { return Self::default() };
        let round = |seconds: f64| (seconds * 10.0).round() / 10.0;
        let zones = heat.zones.iter().map(|(zone, seconds)| (zone.as_str(), round(*seconds)));
        Self { zones: zones.collect(), cells: &heat.cells }
    }
}

/// `POSITIONS`
#[derive(Serialize)]
pub(super) struct Positions<'a> {
    pub(super) at: Option<Timestamp>,
    pub(super) items: Vec<PositionLine<'a>>,
}

/// One visitor in `POSITIONS`, metres.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PositionLine<'a> {
    pub(super) visit_id: VisitId,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) sigma: f64,
    pub(super) zone: Option<&'a ZoneId>,
    pub(super) stale: bool,
}

impl<'a> From<&'a FloorSnapshot> for Positions<'a> {
    fn from(floor: &'a FloorSnapshot) -> Self {
        let centi = |metres: f64| (metres * 100.0).round() / 100.0;
        let items = floor.visits.iter().map(|visit| PositionLine {
            visit_id: visit.visit,
            x: centi(visit.x),
            y: centi(visit.y),
            sigma: centi(visit.sigma),
            zone: visit.zone.as_ref(),
            stale: visit.stale,
        });
        Self { at: floor.at, items: items.collect() }
    }
}

/// `CUSTOMER_NEAR_INTEREST`
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NearInterest<'a> {
    #[serde(flatten)]
    pub(super) who: Who<'a>,
    pub(super) vehicles: Vec<NearCar<'a>>,
    pub(super) timestamp: Timestamp,
}

/// A car that somebody stands near to.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NearCar<'a> {
    pub(super) vehicle_id: &'a VehicleId,
    pub(super) make: &'a str,
    pub(super) model: &'a str,
    pub(super) year: u16,
    pub(super) location: Option<&'a SpotId>,
}

/// `STALE`: what a source last said is not news any more; without `since` it is again.
#[derive(Serialize)]
pub(super) struct Stale {
    pub(super) source: &'static str,
    pub(super) since: Option<Timestamp>,
}

/// `CURSOR`
#[derive(Serialize)]
pub(super) struct Cursor {
    pub(super) epoch: Epoch,
    pub(super) pos: u64,
}

/// `ACK`
#[derive(Serialize)]
pub(super) struct Ack {
    pub(super) pos: u64,
}

/// `RESUMED`
#[derive(Serialize)]
pub(super) struct Resumed {
    pub(super) from: u64,
    pub(super) to: u64,
}

/// `RESET`: why what was asked for cannot be resumed.
#[derive(Serialize)]
pub(super) struct Reset {
    pub(super) reason: &'static str,
}

/// `ERROR`
#[derive(Serialize)]
pub(super) struct Error<'a> {
    pub(super) code: &'static str,
    pub(super) message: &'a str,
}
