//! Files and directories in memory.
//!
//! A change that makes no sense any more (of a file that is gone, a name that is not there) changes nothing: after a cut
//! that kept some changes and lost others, this is what is left of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::{OsStr, OsString},
    fs, io,
    path::Path,
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use crate::disk::{Change, Ino, ROOT};

const BLOCK: u64 = 4096;

/// Rights, owner and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Rights, without the type.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// When it changed.
    pub modified: SystemTime,
}

impl Meta {
    /// Of root, with these rights.
    #[must_use]
    pub fn root(mode: u16) -> Self {
        Self { mode, uid: 0, gid: 0, modified: SystemTime::UNIX_EPOCH }
    }
}

/// A file or a directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Node {
    /// Its bytes.
    File(Vec<u8>),
    /// Its names.
    #[serde(with = "pairs")]
    Dir(BTreeMap<OsString, Ino>),
}

/// Names are no text, so JSON cannot have them as keys.
mod pairs {
    use std::{collections::BTreeMap, ffi::OsString};

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::disk::Ino;

    type Names = BTreeMap<OsString, Ino>;

    pub(super) fn serialize<S: Serializer>(names: &Names, serializer: S) -> Result<S::Ok, S::Error> {
        names.iter().collect::<Vec<_>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Names, D::Error> {
        Ok(Vec::<(OsString, Ino)>::deserialize(deserializer)?.into_iter().collect())
    }
}

impl Node {
    /// A file without bytes.
    #[must_use]
    pub fn file() -> Self {
        Self::File(Vec::new())
    }

    /// A directory without names.
    #[must_use]
    pub fn dir() -> Self {
        Self::Dir(BTreeMap::new())
    }
}

/// Files and directories by number; some may have no name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    nodes: BTreeMap<Ino, (Node, Meta)>,
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: BTreeMap::from([(ROOT, (Node::dir(), Meta::root(0o755)))]) }
    }
}

impl Tree {
    pub(crate) fn newest(&self) -> Ino {
        self.nodes.last_key_value().map_or(ROOT, |(ino, _)| *ino)
    }

    pub(crate) fn put(&mut self, ino: Ino, node: Node, meta: Meta) {
        self.nodes.insert(ino, (node, meta));
    }

    pub(crate) fn drop_node(&mut self, ino: Ino) {
        self.nodes.remove(&ino);
    }

    pub(crate) fn node(&self, ino: Ino) -> Option<&(Node, Meta)> {
        self.nodes.get(&ino)
    }

    pub(crate) fn meta_mut(&mut self, ino: Ino) -> Option<&mut Meta> {
        self.nodes.get_mut(&ino).map(|(_, meta)| meta)
    }

    /// The bytes of a file.
    #[must_use]
    pub fn bytes(&self, ino: Ino) -> Option<&Vec<u8>> {
        match self.nodes.get(&ino) {
            Some((Node::File(bytes), _)) => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn bytes_mut(&mut self, ino: Ino) -> Option<&mut Vec<u8>> {
        match self.nodes.get_mut(&ino) {
            Some((Node::File(bytes), _)) => Some(bytes),
            _ => None,
        }
    }

    /// The names in a directory.
    #[must_use]
    pub fn names(&self, ino: Ino) -> Option<&BTreeMap<OsString, Ino>> {
        match self.nodes.get(&ino) {
            Some((Node::Dir(names), _)) => Some(names),
            _ => None,
        }
    }

    fn names_mut(&mut self, ino: Ino) -> Option<&mut BTreeMap<OsString, Ino>> {
        match self.nodes.get_mut(&ino) {
            Some((Node::Dir(names), _)) => Some(names),
            _ => None,
        }
    }

    /// What a name in a directory stands for.
    #[must_use]
    pub fn child(&self, dir: Ino, name: &OsStr) -> Option<Ino> {
        self.names(dir)?.get(name).copied()
    }

    /// What a path from the root stands for.
    #[must_use]
    pub fn find(&self, path: &Path) -> Option<Ino> {
        path.iter().try_fold(ROOT, |dir, name| self.child(dir, name))
    }

    pub(crate) fn is_named(&self, ino: Ino) -> bool {
        let dirs = self.nodes.keys().filter_map(|dir| self.names(*dir));
        ino == ROOT || dirs.into_iter().any(|names| names.values().any(|named| *named == ino))
    }

    pub(crate) fn used(&self) -> u64 {
        let sizes = self.nodes.values().map(|(node, _)| match node {
            Node::File(bytes) => bytes.len() as u64,
            Node::Dir(_) => BLOCK,
        });
        sizes.map(|size| size.div_ceil(BLOCK) * BLOCK).sum()
    }

    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::Write { ino, at, bytes } => {
                let Some(file) = self.bytes_mut(*ino) else { return };
                let (from, to) = (*at as usize, *at as usize + bytes.len());
                if file.len() < to {
                    file.resize(to, 0);
                }
                file[from..to].copy_from_slice(bytes);
            }
            Change::Resize { ino, size } => {
                if let Some(file) = self.bytes_mut(*ino) {
                    file.resize(*size as usize, 0);
                }
            }
            Change::Name { dir, name, ino } => {
                if let Some(names) = self.names_mut(*dir) {
                    names.insert(name.clone(), *ino);
                }
            }
            Change::Forget { dir, name } => {
                if let Some(names) = self.names_mut(*dir) {
                    names.remove(name);
                }
            }
            Change::Rename { from, to, ino } => {
                if let Some(names) = self.names_mut(from.0)
                    && names.get(&from.1) == Some(ino)
                {
                    names.remove(&from.1);
                }
                if let Some(names) = self.names_mut(to.0) {
                    names.insert(to.1.clone(), *ino);
                }
            }
        }
    }

    /// Lets go of what has no name.
    pub(crate) fn sweep(&mut self) {
        let mut named = BTreeSet::from([ROOT]);
        let mut open = vec![ROOT];
        while let Some(dir) = open.pop() {
            for ino in self.names(dir).into_iter().flat_map(BTreeMap::values) {
                if named.insert(*ino) {
                    open.push(*ino);
                }
            }
        }
        self.nodes.retain(|ino, _| named.contains(ino));
    }

    /// Writes all files and directories that have a name below `folder` of an ordinary file system.
    ///
    /// # Errors
    /// What that file system says.
    pub fn export(&self, folder: &Path) -> io::Result<()> {
        self.export_dir(ROOT, folder)
    }

    fn export_dir(&self, dir: Ino, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        for (name, ino) in self.names(dir).into_iter().flatten() {
            let path = folder.join(name);
            match self.node(*ino) {
                Some((Node::File(bytes), _)) => fs::write(path, bytes)?,
                Some((Node::Dir(_), _)) => self.export_dir(*ino, &path)?,
                None => {}
            }
        }
        Ok(())
    }
}
