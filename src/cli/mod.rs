//! Subcommands, one file each. What they print for people goes to standard error, what programs read to standard output
//! or a file.

pub mod calibrate;
pub mod collect;
pub mod replay;
mod site_file;
