//! Configuration and site file: as typed → as trusted, with all problems at once.
//!
//! The checks are pure (text in, values or problems out); only `load` reads files and the environment.

mod daemon;
mod document;
mod load;
mod polygon;
mod problem;
mod secret;
mod site;
mod storage;
#[cfg(test)]
mod tests;

pub use daemon::{Broker, Config, EmbeddedBroker, EngineClock, Http, Limits, Log, Presence, Tls, Uplink};
pub use load::{load, load_site, load_strictly};
pub use problem::{Problem, Problems};
pub use secret::Secret;
pub use storage::Storage;
