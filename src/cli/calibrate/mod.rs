//! `showfloor calibrate`: fits the site's anchors and zones from surveys and writes the site file anew with what was learnt.

mod command;
mod site_file;
mod survey;
mod truth;

pub use command::{Args, run};
