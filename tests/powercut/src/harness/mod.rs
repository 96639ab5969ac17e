//! The harness: the shipped program with everything around it, cut off from its power, or killed, again and again.
//!
//! A *lineage* is one database that lives through several cuts. Each cut: the daemon starts, is checked from outside, is
//! put under load by a kiosk, a tablet, a cloud and anchors, and the power goes in the middle of an operation that the
//! seed chose. What the outside was told before is what must be there after.
//!
//! The seed decides what the clients send and in which order, at which operation the power goes, and what survives of the
//! journal as it is then. It does not decide how the threads of the daemon and the network interleave: so the same seed
//! cuts at the same count, but not always in the same statement. Hence the disk of a cut that failed is kept, journal and
//! all, with what the outside knew: `powercut replay FOLDER` makes the same disk of it and checks again.

mod anchors;
mod cloud;
mod evidence;
mod kills;
mod kiosk;
mod lineage;
mod outside;
mod parts;
mod run;
mod tablet;
mod verify;

pub use evidence::replay;
pub use kills::{Killed, kills};
pub use lineage::{Failed, Setup, usual_place};
pub use run::{Summary, cuts};
