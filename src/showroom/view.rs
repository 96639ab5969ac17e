//! What a decision may look at: the projections as they are inside the transaction that will hold its events.

use super::{Customer, KioskSession, StaffMember, Visit};
use crate::domain::{CustomerId, KioskId, Registration, SpotId, StaffId, TagId, Vehicle, VehicleId, VisitId};

/// The projections could not be read; the store knows why.
#[derive(Debug, thiserror::Error)]
#[error("the projections could not be read")]
pub struct ViewError(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// Look-ups by id. Each gives `None` for what is not there.
#[allow(clippy::missing_errors_doc)] // every one fails only when the store cannot be read
pub trait View {
    /// A car of the inventory.
    fn vehicle(&self, id: &VehicleId) -> Result<Option<Vehicle>, ViewError>;
    /// The car that stands at a spot.
    fn vehicle_at(&self, spot: &SpotId) -> Result<Option<VehicleId>, ViewError>;
    /// A customer who is not erased.
    fn customer(&self, id: CustomerId) -> Result<Option<Customer>, ViewError>;
    /// A member of the staff.
    fn staff(&self, id: &StaffId) -> Result<Option<StaffMember>, ViewError>;
    /// A visit, open or ended.
    fn visit(&self, id: VisitId) -> Result<Option<Visit>, ViewError>;
    /// The open session of a kiosk.
    fn kiosk_session(&self, kiosk: &KioskId) -> Result<Option<KioskSession>, ViewError>;
    /// What a tag was assigned to since the site file was written.
    fn tag(&self, tag: &TagId) -> Result<Option<Registration>, ViewError>;
}
