//! The projections inside the write transaction, as decisions look at them.

use rusqlite::Connection;

use super::{error::DbError, queries};
use crate::{
    domain::{CustomerId, KioskId, Registration, SpotId, StaffId, TagId, Vehicle, VehicleId, VisitId},
    showroom::{Customer, KioskSession, StaffMember, View, ViewError, Visit},
};

/// Looks at what this connection sees, its own changes included.
pub(super) struct Tables<'a>(pub(super) &'a Connection);

fn failed(cause: DbError) -> ViewError {
    ViewError(Box::new(cause))
}

impl View for Tables<'_> {
    fn vehicle(&self, id: &VehicleId) -> Result<Option<Vehicle>, ViewError> {
        queries::vehicle(self.0, id).map_err(failed)
    }

    fn vehicle_at(&self, spot: &SpotId) -> Result<Option<VehicleId>, ViewError> {
        queries::vehicle_at(self.0, spot).map_err(failed)
    }

    fn customer(&self, id: CustomerId) -> Result<Option<Customer>, ViewError> {
        queries::customer(self.0, id).map_err(failed)
    }

    fn staff(&self, id: &StaffId) -> Result<Option<StaffMember>, ViewError> {
        queries::staff(self.0, id).map_err(failed)
    }

    fn visit(&self, id: VisitId) -> Result<Option<Visit>, ViewError> {
        queries::visit(self.0, id).map_err(failed)
    }

    fn kiosk_session(&self, kiosk: &KioskId) -> Result<Option<KioskSession>, ViewError> {
        queries::kiosk_session(self.0, kiosk).map_err(failed)
    }

    fn tag(&self, tag: &TagId) -> Result<Option<Registration>, ViewError> {
        queries::tag(self.0, tag).map_err(failed)
    }
}
