//! What a cut may leave and what it may not, on disks that are only models.

#![allow(clippy::expect_used)] // helpers of tests are tests

use std::{collections::BTreeSet, ffi::OsStr, path::Path};

use fastrand::Rng;
use powercut::{Disk, Ino, Meta, Node, ROOT, survivors};

fn named(text: &str) -> &OsStr {
    OsStr::new(text)
}

fn file(disk: &mut Disk, name: &str) -> Ino {
    disk.make(ROOT, named(name), Node::file(), Meta::root(0o600)).expect("made")
}

/// The bytes of `name` after a cut with each of these seeds.
fn outcomes(disk: &Disk, name: &str, seeds: u64) -> BTreeSet<Option<Vec<u8>>> {
    let after = |seed| {
        let (tree, _) = survivors(disk, seed);
        tree.find(Path::new(name)).and_then(|ino| tree.bytes(ino).cloned())
    };
    (0..seeds).map(after).collect()
}

#[test]
fn what_was_synced_stays_whatever_the_seed_says() {
    let mut disk = Disk::default();
    let a = file(&mut disk, "a");
    disk.write(a, 0, &[1; 10_000]);
    disk.sync(a);
    disk.sync(ROOT);
    let b = file(&mut disk, "b");
    disk.write(b, 0, &[2; 100]);
    assert_eq!(outcomes(&disk, "a", 200), BTreeSet::from([Some(vec![1; 10_000])]));
    assert!(outcomes(&disk, "b", 200).contains(&None));
}

#[test]
fn a_file_that_was_synced_without_its_directory_may_be_gone() {
    let mut disk = Disk::default();
    let a = file(&mut disk, "a");
    disk.write(a, 0, b"text");
    disk.sync(a);
    assert_eq!(outcomes(&disk, "a", 100), BTreeSet::from([None, Some(b"text".to_vec())]));
    disk.sync(ROOT);
    assert_eq!(outcomes(&disk, "a", 100), BTreeSet::from([Some(b"text".to_vec())]));
}

#[test]
fn a_rename_is_there_whole_or_not_at_all() {
    let mut disk = Disk::default();
    for (name, text) in [("old", b"old"), ("new", b"new")] {
        let ino = file(&mut disk, name);
        disk.write(ino, 0, text);
        disk.sync(ino);
    }
    disk.sync(ROOT);
    disk.rename((ROOT, named("new")), (ROOT, named("old")));
    let both = |seed| {
        let (tree, _) = survivors(&disk, seed);
        ["old", "new"].map(|name| tree.find(Path::new(name)).and_then(|ino| tree.bytes(ino).cloned()))
    };
    let seen: BTreeSet<_> = (0..100).map(both).collect();
    let (before, after) = ([Some(b"old".to_vec()), Some(b"new".to_vec())], [Some(b"new".to_vec()), None]);
    assert_eq!(seen, BTreeSet::from([before, after]));
}

#[test]
fn writes_are_lost_torn_at_both_sizes_and_reordered() {
    let mut disk = Disk::default();
    let a = file(&mut disk, "a");
    disk.write(a, 0, &[0; 16_384]);
    disk.sync(a);
    disk.sync(ROOT);
    disk.write(a, 0, &[1; 8_192]);
    disk.write(a, 8_192, &[2; 8_192]);
    let seen: Vec<Vec<u8>> = outcomes(&disk, "a", 2_000).into_iter().flatten().collect();
    let has = |fits: &dyn Fn(&[u8]) -> bool| seen.iter().any(|bytes| fits(bytes));
    assert!(has(&|bytes| bytes.iter().all(|byte| *byte == 0)), "all lost");
    assert!(
        has(&|bytes| bytes[0] == 0 && bytes[8_191] == 0 && bytes[8_192..].iter().all(|byte| *byte == 2)),
        "reordered"
    );
    assert!(has(&|bytes| bytes[..512] != [bytes[512]; 512]), "torn at 512");
    let pages = |bytes: &[u8]| bytes.chunks(4_096).all(|page| page.iter().all(|byte| *byte == page[0]));
    assert!(has(&|bytes| pages(bytes) && bytes[0] != bytes[4_096]), "torn at 4 KiB");
    let blocks = |bytes: &[u8]| bytes.chunks(512).all(|block| block.iter().all(|byte| *byte == block[0]));
    assert!(seen.iter().all(|bytes| blocks(bytes)), "never within a block");
}

#[test]
fn a_file_that_was_cut_short_may_come_back_and_one_that_grew_may_not() {
    let mut disk = Disk::default();
    let a = file(&mut disk, "a");
    disk.write(a, 0, &[1; 1_024]);
    disk.sync(a);
    disk.sync(ROOT);
    disk.resize(a, 0);
    disk.write(a, 0, &[2; 512]);
    let seen = outcomes(&disk, "a", 500);
    for possible in [vec![1; 1_024], vec![], vec![2; 512], vec![0; 512]] {
        assert!(seen.contains(&Some(possible.clone())), "{possible:?}");
    }
}

/// Random work: every block is as it was at some moment since its sync, and the same seed loses the same.
#[test]
fn each_block_is_as_it_was_at_some_moment() {
    for seed in 0..200 {
        let mut rng = Rng::with_seed(seed);
        let mut disk = Disk::default();
        let a = file(&mut disk, "a");
        disk.sync(ROOT);
        let mut moments = vec![Vec::new()];
        for step in 1..=rng.u8(2..30) {
            match rng.u8(0..8) {
                0 => {
                    disk.sync(a);
                    moments.clear();
                }
                1 => disk.resize(a, rng.u64(0..6) * 512),
                _ => disk.write(a, rng.u64(0..6) * 512 + rng.u64(0..512), &vec![step; rng.usize(1..2_000)]),
            }
            moments.push(disk.live().bytes(a).cloned().expect("a file"));
        }
        let (tree, manner) = survivors(&disk, seed);
        assert_eq!(survivors(&disk, seed).0, tree, "a seed decides");
        let bytes = tree.bytes(a).expect("synced name");
        assert!(moments.iter().any(|moment| moment.len() == bytes.len()), "a size that it had");
        for (number, block) in bytes.chunks(512).enumerate() {
            let was = |moment: &Vec<u8>| {
                let mut padded = moment.clone();
                padded.resize(padded.len().max(number * 512 + block.len()), 0);
                padded[number * 512..][..block.len()] == *block
            };
            assert!(moments.iter().any(was), "seed {seed}, {manner:?}, block {number}");
        }
    }
}
