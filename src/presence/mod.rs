//! Who is where: readings in, positions and facts out.
//!
//! [`Engine`] is pure and keeps to whole seconds: a tick k counts the readings with time ≤ k and nothing later, so replaying
//! a prefix of a recording gives a prefix of its outputs. Every table is bounded. [`PresenceTask`] is the shell that gives
//! it time and carries its facts to the store. What is not here: what a visit means for the business (`showroom`), how a
//! tag got its registration (`store`), how readings are decoded (`decode`).

mod approx;
mod belief;
mod calibrate;
mod calibrate_zones;
mod clock;
mod departures;
mod engine;
mod floor;
mod heat;
#[cfg(test)]
mod laws;
mod mode;
mod motion;
mod prints;
mod radio;
mod settings;
mod shadows;
mod task;
#[cfg(test)]
mod testing;
mod trace;
mod track;
mod visit;
mod zoning;

pub use calibrate::{AnchorFit, Calibration, CalibrationError, Sample, fit};
pub use calibrate_zones::{ZoneSecond, fit_zones};
pub use clock::SteadyClock;
pub use engine::{Engine, Output, Position, Verdict};
pub use mode::Mode;
pub use radio::second_level;
pub use settings::{Settings, Track, Visitors};
pub use task::{PresenceError, PresenceTask};
