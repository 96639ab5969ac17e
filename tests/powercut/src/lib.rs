//! A file system for tests that keeps what was synced and, at a power cut, loses, tears and reorders what was not.
//!
//! ```no_run
//! # fn main() -> std::io::Result<()> {
//! let mut disk = powercut::Mount::new(7)?;
//! let mut daemon = std::process::Command::new("showfloor").arg("run").spawn()?; // its data in disk.path()
//! disk.cut_at(120); // in the middle of the 120th write, sync, create …
//! disk.wait_for_cut(std::time::Duration::from_secs(10));
//! let cut = disk.cut(&mut [&mut daemon])?; // kills it, decides what survived, mounts that at the same place
//! disk.fail_at(3, libc::EIO); // the third operation from now on
//! disk.set_capacity(Some(4 << 20)); // or a disk that is full at some time
//! # Ok(()) }
//! ```
//!
//! The model is at least as harsh as ext4, f2fs or XFS and within what POSIX allows: `docs/decisions/0010-power-cuts.md`.

mod disk;
mod fault;
pub mod harness;
mod machine;
mod mount;
mod served;
mod survival;
mod tree;

pub use disk::{Change, Disk, Ino, ROOT};
pub use fault::{Answer, Fault, Kind};
pub use machine::Operation;
pub use mount::{Cut, Mount};
pub use survival::{Manner, survivors};
pub use tree::{Meta, Node, Tree};
