//! A simulated showroom: visitors who come in, look at cars and leave, and receivers that hear their tags. Pure: the same
//! seed gives the same readings; time passes only by `step`.

mod random;
mod visitor;
mod world;

pub use world::{Emission, World, device_id, tag};
