//! Blocks of the disk that are ours and hold nothing: given up when the disk is full, so that old events can go and their
//! gaps be written; made again when there is room.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use rustix::fs::{FallocateFlags, fallocate};

const NAME: &str = "showfloor.reserve";
const CHUNK: usize = 1 << 20;

/// The reserve file, there or not.
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
    held: bool,
}

impl Reserve {
    /// The reserve of `dir` as it is; `bytes` is what it should have.
    pub(super) fn of(dir: &Path, bytes: u64) -> Self {
        let path = dir.join(NAME);
        let held = fs::metadata(&path).is_ok_and(|file| file.len() == bytes && bytes > 0);
        Self { path, bytes, held }
    }

    pub(super) fn is_held(&self) -> bool {
        self.held
    }

    /// Bytes that it should have.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes it, with blocks of the disk and not only a length. One of another length is made anew.
    pub(super) fn make(&mut self) -> io::Result<()> {
        if self.held {
            return Ok(());
        }
        remove(&self.path)?;
        if self.bytes == 0 {
            return Ok(());
        }
        let made = fill(&self.path, self.bytes);
        if made.is_err() {
            // Half a reserve is taken from everybody and helps nobody.
            remove(&self.path)?;
        }
        self.held = made.is_ok();
        made
    }

    /// Gives its blocks back; whether there were any.
    pub(super) fn give_up(&mut self) -> io::Result<bool> {
        let was_held = std::mem::take(&mut self.held);
        remove(&self.path)?;
        Ok(was_held)
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    }
}

fn fill(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = File::create(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        Ok(()) => {}
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {
            let zeros = vec![0; CHUNK];
            let mut left = bytes;
            while left > 0 {
                let part = left.min(CHUNK as u64);
                file.write_all(&zeros[..part as usize])?;
                left -= part;
            }
        }
        Err(cause) => return Err(cause.into()),
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_reserve_has_blocks_and_gives_them_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join(NAME);
        let mut reserve = Reserve::of(dir.path(), 300_000);
        assert!(!reserve.is_held());
        reserve.make().expect("is made");
        assert!(fs::metadata(&path).expect("is there").blocks() * 512 >= 300_000);
        assert!(Reserve::of(dir.path(), 300_000).is_held(), "also for who comes next");
        assert!(!Reserve::of(dir.path(), 400_000).is_held(), "unless it wants another");
        assert!(reserve.give_up().expect("is given up"));
        assert!(!path.exists() && !reserve.give_up().expect("is gone"));
        let mut none = Reserve::of(dir.path(), 0);
        none.make().expect("needs nothing");
        assert!(!path.exists() && !none.is_held());
    }
}
