//! The business: what a command means for the showroom. Pure: `decide(view, command, ctx)` gives events or a refusal; the
//! store appends them and changes the projections in the same transaction.

mod command;
mod customer;
mod decide;
mod kiosk;
mod model;
mod staff;
mod tag;
#[cfg(test)]
mod testing;
mod vehicle;
mod view;
mod visit;

pub use command::{CloudCommand, Command, Dating, KioskCommand, StaffCommand, TestDriveRequest};
pub use decide::{Context, Refusal, RefusalCode, Rejection, decide};
pub use model::{Customer, Interest, KioskSession, StaffMember, Visit};
pub use view::{View, ViewError};
