//! What the box says of itself: counters and gauges by name, and log lines that do not repeat themselves.

mod ailments;
mod clock;
mod kernel_clock;
mod log;
mod metrics;

pub use ailments::Ailments;
pub use clock::{FlooredClock, SystemClock, built};
pub use log::{LogError, start_log, start_log_through};
pub use metrics::{Count, Gauge, Telemetry};
