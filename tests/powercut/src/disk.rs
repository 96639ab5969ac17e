//! What a disk holds: as processes see it, as it would be after a power cut that lost everything it may lose, and the
//! changes between the two, in order.
//!
//! Invariants: the live tree is the durable tree with all unsynced changes applied in order. Syncing a file makes its
//! bytes and its size durable and nothing else; syncing a directory makes the names in it durable. Rights, owners and
//! times always survive. Pure: no sockets, no clock, no randomness.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
};

use serde::{Deserialize, Serialize};

use crate::tree::{Meta, Node, Tree};

/// Number of a file or directory, as the kernel knows it.
pub type Ino = u64;
/// The directory that is mounted.
pub const ROOT: Ino = 1;

/// One thing that was asked for and is not synced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Bytes of a file.
    Write {
        /// Which file.
        ino: Ino,
        /// From where on.
        at: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// A file cut or stretched by zeros.
    Resize {
        /// Which file.
        ino: Ino,
        /// To so many bytes.
        size: u64,
    },
    /// A new name: a file or directory was made.
    Name {
        /// In which directory.
        dir: Ino,
        /// Which.
        name: OsString,
        /// For what.
        ino: Ino,
    },
    /// A name that went.
    Forget {
        /// From which directory.
        dir: Ino,
        /// Which.
        name: OsString,
    },
    /// A name that became another one, both or neither.
    Rename {
        /// Directory and name before.
        from: (Ino, OsString),
        /// Directory and name after.
        to: (Ino, OsString),
        /// Of what.
        ino: Ino,
    },
}

impl Change {
    /// The file whose bytes or size it changes.
    pub(crate) fn file(&self) -> Option<Ino> {
        match self {
            Self::Write { ino, .. } | Self::Resize { ino, .. } => Some(*ino),
            _ => None,
        }
    }

    /// The directory whose sync makes it durable.
    fn dir(&self) -> Option<Ino> {
        match self {
            Self::Name { dir, .. } | Self::Forget { dir, .. } | Self::Rename { to: (dir, _), .. } => Some(*dir),
            Self::Write { .. } | Self::Resize { .. } => None,
        }
    }
}

/// A disk with a cache that a power cut empties.
#[derive(Debug, Clone)]
pub struct Disk {
    pub(crate) live: Tree,
    pub(crate) durable: Tree,
    pub(crate) unsynced: Vec<Change>,
    next: Ino,
}

impl Default for Disk {
    fn default() -> Self {
        Self::from_tree(Tree::default())
    }
}

impl Disk {
    /// A disk on which all of `tree` is durable.
    #[must_use]
    pub fn from_tree(tree: Tree) -> Self {
        let next = tree.newest() + 1;
        Self { live: tree.clone(), durable: tree, unsynced: Vec::new(), next }
    }

    /// The disk as it was saved: the durable part and the changes since.
    #[must_use]
    pub fn from_journal(durable: Tree, unsynced: Vec<Change>) -> Self {
        let mut disk = Self::from_tree(durable);
        for change in unsynced {
            if let Change::Name { ino, .. } = &change {
                disk.next = disk.next.max(ino + 1);
            }
            disk.live.apply(&change);
            disk.unsynced.push(change);
        }
        disk
    }

    /// As processes see it.
    #[must_use]
    pub fn live(&self) -> &Tree {
        &self.live
    }

    /// What no cut takes away.
    #[must_use]
    pub fn durable(&self) -> &Tree {
        &self.durable
    }

    /// What a cut may take away, oldest first.
    #[must_use]
    pub fn unsynced(&self) -> &[Change] {
        &self.unsynced
    }

    /// Makes a file or directory; `None` when the name is taken or `dir` is no directory.
    pub fn make(&mut self, dir: Ino, name: &OsStr, node: Node, meta: Meta) -> Option<Ino> {
        if self.live.child(dir, name).is_some() || self.live.names(dir).is_none() {
            return None;
        }
        let ino = self.next;
        self.next += 1;
        self.live.put(ino, node.clone(), meta);
        // The thing itself is there at once, without a name; a cut that loses its name loses it.
        self.durable.put(ino, node, meta);
        self.change(Change::Name { dir, name: name.to_owned(), ino });
        Some(ino)
    }

    /// Writes bytes.
    pub fn write(&mut self, ino: Ino, at: u64, bytes: &[u8]) {
        self.change(Change::Write { ino, at, bytes: bytes.to_vec() });
    }

    /// Cuts or stretches a file.
    pub fn resize(&mut self, ino: Ino, size: u64) {
        self.change(Change::Resize { ino, size });
    }

    /// Takes a name away.
    pub fn forget(&mut self, dir: Ino, name: &OsStr) {
        self.change(Change::Forget { dir, name: name.to_owned() });
    }

    /// Gives another name; what had it before loses it.
    pub fn rename(&mut self, from: (Ino, &OsStr), to: (Ino, &OsStr)) {
        if let Some(ino) = self.live.child(from.0, from.1) {
            let (from, to) = ((from.0, from.1.to_owned()), (to.0, to.1.to_owned()));
            self.change(Change::Rename { from, to, ino });
        }
    }

    fn change(&mut self, change: Change) {
        self.live.apply(&change);
        self.unsynced.push(change);
    }

    /// Makes the bytes and the size of a file durable, or the names in a directory.
    pub fn sync(&mut self, ino: Ino) {
        let durable = &mut self.durable;
        self.unsynced.retain(|change| {
            let mine = change.file() == Some(ino) || change.dir() == Some(ino);
            if mine {
                durable.apply(change);
            }
            !mine
        });
    }

    /// Makes everything durable.
    pub fn sync_all(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            self.durable.apply(&change);
        }
    }

    /// Rights, owner and time of a thing, in both trees.
    pub fn set_meta(&mut self, ino: Ino, change: impl Fn(&mut Meta)) {
        for tree in [&mut self.live, &mut self.durable] {
            if let Some(meta) = tree.meta_mut(ino) {
                change(meta);
            }
        }
    }

    /// Bytes in use, in whole blocks of 4 KiB.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.live.used()
    }

    pub(crate) fn is_named(&self, ino: Ino) -> bool {
        self.live.is_named(ino)
    }

    /// Lets go of the live bytes of a file without a name; what a cut may bring back stays.
    pub(crate) fn reap(&mut self, ino: Ino) {
        self.live.drop_node(ino);
    }

    /// Unsynced changes of each file's bytes and size, by their places in the journal.
    pub(crate) fn by_file(&self) -> BTreeMap<Ino, Vec<usize>> {
        let mut files: BTreeMap<Ino, Vec<usize>> = BTreeMap::new();
        for (time, change) in self.unsynced.iter().enumerate() {
            if let Some(ino) = change.file() {
                files.entry(ino).or_default().push(time);
            }
        }
        files
    }
}
