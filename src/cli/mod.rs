//! Subcommands, one file each. What they print for people goes to standard error, what programs read to standard output
//! or a file.

pub mod calibrate;
pub mod check;
pub mod collect;
pub mod demo;
mod exit;
mod print;
mod progress;
pub mod replay;
pub mod run;
pub mod status;
pub mod token;

pub use exit::{Failure, exit_code, guarded};
