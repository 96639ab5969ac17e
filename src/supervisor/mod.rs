//! Keeps the parts running: starts them, starts them anew when they fail, stops them in order, tells systemd.
//!
//! Invariants: a part that fails is started anew after a wait and named in `degraded` meanwhile; a critical one ends the
//! daemon instead, in order; intake stops before the engine, the engine before the store, so that nothing that is handed
//! on finds nobody; a second order to stop ends at once; the watchdog is fed by progress, never by a timer alone.

mod keeper;
mod notify;
mod orders;
mod run;
#[cfg(test)]
mod tests;
mod unit;
mod watchdog;

pub use notify::still_starting;
pub use orders::signals;
pub use run::{Supervisor, SupervisorError};
pub use unit::{Phase, Unit, UnitResult};
pub use watchdog::Pulse;
