//! Where readings come from: adapters that turn a transport's messages into [`Reading`](crate::domain::Reading)s.
//!
//! A reading is perishable: when the engine is behind, it is dropped and counted. The one exception are recordings that
//! are played through a broker: there the same readings must give the same facts, so the source waits.

mod anchors;
mod anchors_book;
mod anchors_connection;
mod anchors_intake;
mod anchors_stamp;
mod recording;
mod simulator;
mod wall_clock;

pub use anchors::{Anchors, AnchorsError, Now};
pub use anchors_book::{AnchorBook, AnchorSeen};
pub use anchors_connection::{DEFAULT_TOPICS, Options};
pub use anchors_stamp::Stamping;
pub use recording::{Item, Recording, RecordingError};
pub use simulator::{Simulator, SimulatorOptions};
pub use wall_clock::{WallClock, WallClockError};

#[cfg(test)]
mod anchors_broker_tests;
#[cfg(test)]
mod anchors_tests;
