//! A showroom in memory, for tests of decisions.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Context, Customer, KioskSession, StaffMember, View, ViewError, Visit};
use crate::domain::{
    BootId, ClockQuality, CustomerId, KioskId, Registration, SessionId, SpotId, StaffId, Stamp, TagId, Timestamp,
    Vehicle, VehicleId, VehicleStatus, VisitId,
};

#[derive(Default)]
pub(crate) struct Showroom {
    vehicles: HashMap<VehicleId, Vehicle>,
    visits: HashMap<VisitId, Visit>,
    sessions: HashMap<KioskId, KioskSession>,
    tags: HashMap<TagId, Registration>,
}

impl Showroom {
    pub(crate) fn with_vehicle(mut self, car: Vehicle) -> Self {
        self.vehicles.insert(car.id.clone(), car);
        self
    }

    pub(crate) fn with_visit(mut self, visit: Visit) -> Self {
        self.visits.insert(visit.id, visit);
        self
    }

    pub(crate) fn with_session(mut self, session: KioskSession) -> Self {
        self.sessions.insert(session.kiosk.clone(), session);
        self
    }

    pub(crate) fn with_tag(mut self, tag: TagId, registration: Registration) -> Self {
        self.tags.insert(tag, registration);
        self
    }
}

impl View for Showroom {
    fn vehicle(&self, id: &VehicleId) -> Result<Option<Vehicle>, ViewError> {
        Ok(self.vehicles.get(id).cloned())
    }

    fn vehicle_at(&self, spot: &SpotId) -> Result<Option<VehicleId>, ViewError> {
        Ok(self.vehicles.values().find(|car| car.spot.as_ref() == Some(spot)).map(|car| car.id.clone()))
    }

    fn customer(&self, _id: CustomerId) -> Result<Option<Customer>, ViewError> {
        Ok(None)
    }

    fn staff(&self, _id: &StaffId) -> Result<Option<StaffMember>, ViewError> {
        Ok(None)
    }

    fn visit(&self, id: VisitId) -> Result<Option<Visit>, ViewError> {
        Ok(self.visits.get(&id).cloned())
    }

    fn kiosk_session(&self, kiosk: &KioskId) -> Result<Option<KioskSession>, ViewError> {
        Ok(self.sessions.get(kiosk).cloned())
    }

    fn tag(&self, tag: &TagId) -> Result<Option<Registration>, ViewError> {
        Ok(self.tags.get(tag).cloned())
    }
}

pub(crate) fn car(id: &str, spot: Option<&str>) -> Vehicle {
    Vehicle {
        id: id.parse().expect("id"),
        make: "Volvo".into(),
        model: "EX40".into(),
        year: 2026,
        body_type: "suv".into(),
        price: Some(51_990.0),
        currency: Some("EUR".into()),
        spot: spot.map(|spot| spot.parse().expect("id")),
        location: None,
        status: VehicleStatus::Available,
        photo: None,
    }
}

pub(crate) fn session(kiosk: &str) -> KioskSession {
    let kiosk = kiosk.parse().expect("id");
    KioskSession { id: SessionId(Uuid::nil()), kiosk, started_at: Timestamp::UNIX_EPOCH, started_pos: 1 }
}

pub(crate) fn open_visit(assigned_to: Option<&str>) -> Visit {
    Visit {
        id: VisitId(Uuid::nil()),
        customer: None,
        entered_at: Timestamp::UNIX_EPOCH,
        exited_at: None,
        zone: None,
        x: 0.0,
        y: 0.0,
        assigned_to: assigned_to.map(|id| id.parse().expect("id")),
    }
}

pub(crate) fn context() -> Context {
    let now =
        Stamp { wall: Timestamp::UNIX_EPOCH, mono_ns: 0, boot: BootId(Uuid::nil()), quality: ClockQuality::Unsynced };
    Context { now, fresh: Uuid::from_u128(1), fresh_customer: Uuid::from_u128(2) }
}
