//! What a cut leaves of the changes that were not synced: decided by a seed alone.
//!
//! Each block of each file (512 bytes or 4 KiB, as the seed says) is left as it was at some moment between its last sync
//! and the cut, and so is each file's size and each name; the moments are chosen apart. That is what a page cache and a
//! drive with a cache can do: write blocks back early, late or never, in any order, and stop in the middle of one write.
//! A block never holds a later write without an earlier one to the same block, since memory is written back whole. Bytes
//! that no one wrote read as zeros.
//!
//! Uniform choice alone would seldom show the interesting cuts, so the seed first picks a manner: nothing survives,
//! everything does, everything up to a moment with one write torn, the late writes without the early ones, each write
//! by a coin, each block by itself; for the whole disk or file by file.

use std::collections::BTreeMap;

use fastrand::Rng;

use crate::{
    disk::{Change, Disk, Ino},
    tree::Tree,
};

/// How the cache lost what it held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Manner {
    /// Nothing was written back.
    Nothing,
    /// Everything was.
    Everything,
    /// All before this place in the journal, and parts of the change at it.
    Until(usize),
    /// What was written over after this place, and nothing else.
    Since(usize),
    /// Each change with this probability.
    Coin(f64),
    /// Each block, size and name at a moment of its own.
    Blocks,
}

impl Manner {
    fn pick(rng: &mut Rng, changes: usize) -> Self {
        match rng.u8(0..10) {
            0 | 1 => Self::Nothing,
            2 => Self::Everything,
            3 | 4 => Self::Until(rng.usize(0..=changes)),
            5 => Self::Since(rng.usize(0..=changes)),
            6 | 7 => Self::Coin([0.1, 0.5, 0.9][rng.usize(0..3)]),
            _ => Self::Blocks,
        }
    }

    /// How many of `times` (places in the journal, rising) have happened to one block, size or name.
    fn happened(self, rng: &mut Rng, times: &[usize], kept: &[bool]) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Everything => times.len(),
            Self::Until(end) => {
                let before = times.partition_point(|time| *time < end);
                before + usize::from(times.get(before) == Some(&end) && rng.bool())
            }
            Self::Since(begin) => {
                if times.last().is_some_and(|time| *time >= begin) {
                    times.len()
                } else {
                    0
                }
            }
            Self::Coin(_) => times.iter().rposition(|time| kept[*time]).map_or(0, |at| at + 1),
            Self::Blocks => rng.usize(0..=times.len()),
        }
    }
}

/// What is on the disk when the power comes back after a cut, and in which manner the rest was lost.
#[must_use]
pub fn survivors(disk: &Disk, seed: u64) -> (Tree, Manner) {
    let mut rng = Rng::with_seed(seed);
    let manner = Manner::pick(&mut rng, disk.unsynced.len());
    let block = if rng.bool() { 512 } else { 4096 };
    let apart = rng.u8(0..4) == 0;
    let chance = if let Manner::Coin(chance) = manner { chance } else { 0.5 };
    let kept: Vec<bool> = disk.unsynced.iter().map(|_| rng.f64() < chance).collect();
    let mut tree = disk.durable.clone();
    for (time, change) in disk.unsynced.iter().enumerate() {
        if change.file().is_none() && manner.happened(&mut rng, &[time], &kept) == 1 {
            tree.apply(change);
        }
    }
    for (ino, times) in disk.by_file() {
        let manner = if apart { Manner::pick(&mut rng, disk.unsynced.len()) } else { manner };
        let bytes = file(disk, ino, &times, manner, block, &kept, &mut rng);
        if let (Some(file), Some(bytes)) = (tree.bytes_mut(ino), bytes) {
            *file = bytes;
        }
    }
    tree.sweep();
    (tree, manner)
}

/// The bytes of one file.
fn file(
    disk: &Disk,
    ino: Ino,
    times: &[usize],
    manner: Manner,
    block: usize,
    kept: &[bool],
    rng: &mut Rng,
) -> Option<Vec<u8>> {
    let base = disk.durable.bytes(ino)?;
    let (sizes, blocks) = history(disk, base.len(), times, block);
    let grown: Vec<usize> = sizes.iter().map(|(time, _)| *time).collect();
    let size = match manner.happened(rng, &grown, kept) {
        0 => base.len(),
        happened => sizes[happened - 1].1,
    };
    let mut bytes = base.clone();
    bytes.resize(size, 0);
    for (number, times) in blocks {
        let happened = manner.happened(rng, &times, kept);
        let from = number * block;
        if from >= size {
            continue;
        }
        let to = size.min(from + block);
        let content = replay(disk, base, (from, from + block), &times[..happened]);
        bytes[from..to].copy_from_slice(&content[..to - from]);
    }
    Some(bytes)
}

/// When the size changed and to what.
type Sizes = Vec<(usize, usize)>;
/// When each block was touched.
type Blocks = BTreeMap<usize, Vec<usize>>;

/// What happened to a file.
fn history(disk: &Disk, size: usize, times: &[usize], block: usize) -> (Sizes, Blocks) {
    let (mut size, mut sizes) = (size, Vec::new());
    let mut blocks: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for &time in times {
        let (from, to, after) = match &disk.unsynced[time] {
            Change::Write { at, bytes, .. } => {
                let end = *at as usize + bytes.len();
                (*at as usize, end, size.max(end))
            }
            Change::Resize { size: after, .. } => {
                let after = *after as usize;
                (after.min(size), after.max(size), after)
            }
            _ => continue,
        };
        if to > from {
            for number in from / block..=(to - 1) / block {
                blocks.entry(number).or_default().push(time);
            }
        }
        if after != size {
            sizes.push((time, after));
            size = after;
        }
    }
    (sizes, blocks)
}

/// One block after those of its changes that happened.
fn replay(disk: &Disk, base: &[u8], (from, to): (usize, usize), times: &[usize]) -> Vec<u8> {
    let mut content = vec![0; to - from];
    if base.len() > from {
        let there = base.len().min(to) - from;
        content[..there].copy_from_slice(&base[from..from + there]);
    }
    for &time in times {
        match &disk.unsynced[time] {
            Change::Write { at, bytes, .. } => {
                let at = *at as usize;
                let (begin, end) = (at.max(from), (at + bytes.len()).min(to));
                if begin < end {
                    content[begin - from..end - from].copy_from_slice(&bytes[begin - at..end - at]);
                }
            }
            Change::Resize { size, .. } => {
                let gone = (*size as usize).clamp(from, to);
                content[gone - from..].fill(0);
            }
            _ => {}
        }
    }
    content
}
