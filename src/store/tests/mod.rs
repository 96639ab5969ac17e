//! The store as others see it: through its handle, and its files between two runs.

mod auditing;
mod erasing;
mod filling;
mod keeping;
mod model;
mod month;
mod opening;
mod reading;
mod submitting;
