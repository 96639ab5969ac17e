//! `showfloor demo`: everything on one machine, fed by a simulated showroom through real protocols.

mod cars;
mod stage;

pub use stage::{Args, run};
