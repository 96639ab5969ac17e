//! How far the log was when last committed, in a small file beside it, so that a database that has gone back is noticed: a
//! write-ahead log that is missing or damaged, or a copy that was restored. Under the same epoch its numbers would come to
//! mean other events than those already shown.
//!
//! Written after each commit and not synced: it may lag behind what is on disk, never lead. Where it cannot be written or
//! read there is no mark, and nothing is noticed by it.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use uuid::Uuid;

use super::Heads;
use crate::domain::Epoch;

const FILE: &str = "showfloor.head";
const BODY: usize = 16 + 4 * 8;
const BYTES: usize = BODY + 4;

/// How far a database was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) epoch: Epoch,
    pub(super) heads: Heads,
}

impl Mark {
    /// The mark in `dir`; `None` when there is none that makes sense.
    pub(super) fn read(dir: &Path) -> Option<Self> {
        let bytes: [u8; BYTES] = std::fs::read(dir.join(FILE)).ok()?.try_into().ok()?;
        let (body, sum) = bytes.split_at(BODY);
        if sum != crc(body) {
            return None;
        }
        let (epoch, numbers) = body.split_at(16);
        let mut numbers = numbers.chunks_exact(8).map(|n| n.try_into().map_or(0, u64::from_be_bytes));
        let mut next = || numbers.next().unwrap_or(0);
        let heads = Heads { pos: next(), lanes: [next(), next(), next()] };
        Some(Self { epoch: Epoch(Uuid::from_slice(epoch).ok()?), heads })
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.epoch.0.as_bytes().to_vec();
        for n in [self.heads.pos].into_iter().chain(self.heads.lanes) {
            bytes.extend(n.to_be_bytes());
        }
        bytes.extend(crc(&bytes));
        bytes
    }
}

fn crc(bytes: &[u8]) -> [u8; 4] {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum().to_be_bytes()
}

/// The file, held open.
pub(super) struct Marker {
    file: Option<File>,
    epoch: Epoch,
}

impl Marker {
    pub(super) fn open(dir: &Path, epoch: Epoch) -> Self {
        let mut options = File::options();
        options.create(true).truncate(false).write(true).mode(0o600);
        Self { file: options.open(dir.join(FILE)).ok(), epoch }
    }

    /// To be called after a commit.
    pub(super) fn write(&self, heads: Heads) {
        if let Some(file) = &self.file {
            // A disk that does not take it does not take the next commit either, and that is told.
            let _ = file.write_all_at(&Mark { epoch: self.epoch, heads }.bytes(), 0);
        }
    }

    /// Puts it on disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_back_and_a_torn_one_is_none() {
        let dir = tempfile::tempdir().expect("makes a directory");
        assert_eq!(Mark::read(dir.path()), None);
        let epoch = Epoch(Uuid::from_u128(7));
        let heads = Heads { pos: 300, lanes: [200, 90, 10] };
        let marker = Marker::open(dir.path(), epoch);
        marker.write(Heads::default());
        marker.write(heads);
        assert_eq!(Mark::read(dir.path()), Some(Mark { epoch, heads }));
        let path = dir.path().join(FILE);
        let mut bytes = std::fs::read(&path).expect("reads");
        bytes[20] ^= 1;
        std::fs::write(&path, bytes).expect("writes");
        assert_eq!(Mark::read(dir.path()), None);
    }
}
