//! The showroom's state as decisions need it: rows of the projections, without their storage.

use crate::domain::{CustomerId, KioskId, Personal, SessionId, StaffId, Timestamp, VehicleId, VisitId, ZoneId};

/// A person known to the business.
#[derive(Debug, Clone, PartialEq)]
pub struct Customer {
    /// Who.
    pub id: CustomerId,
    /// Name, phone, e-mail …
    pub personal: Personal,
    /// What identifies nobody.
    pub profile: serde_json::Map<String, serde_json::Value>,
}

/// A member of the staff.
#[derive(Debug, Clone, PartialEq)]
pub struct StaffMember {
    /// Who.
    pub id: StaffId,
    /// `name` and `phone`.
    pub personal: Personal,
    /// Works here.
    pub active: bool,
    /// May be given a visitor.
    pub available: bool,
}

/// One stay of one visitor.
#[derive(Debug, Clone, PartialEq)]
pub struct Visit {
    /// Which.
    pub id: VisitId,
    /// Whose, when known.
    pub customer: Option<CustomerId>,
    /// When it began.
    pub entered_at: Timestamp,
    /// When it ended.
    pub exited_at: Option<Timestamp>,
    /// Where they are, or were last.
    pub zone: Option<ZoneId>,
    /// Metres, at the newest event.
    pub x: f64,
    /// Metres, at the newest event.
    pub y: f64,
    /// Whose guest it is.
    pub assigned_to: Option<StaffId>,
}

/// A guest's session at a kiosk.
#[derive(Debug, Clone, PartialEq)]
pub struct KioskSession {
    /// Which.
    pub id: SessionId,
    /// At which kiosk.
    pub kiosk: KioskId,
    /// When it began.
    pub started_at: Timestamp,
    /// Position of its `kiosk.started`.
    pub started_pos: u64,
}

/// An interest somebody showed in a car.
#[derive(Debug, Clone, PartialEq)]
pub struct Interest {
    /// In which.
    pub vehicle: VehicleId,
    /// 0 to 1, the newest.
    pub level: f64,
}
