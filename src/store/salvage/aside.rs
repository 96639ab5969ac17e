//! Moving a damaged database aside, whole and by renames alone, so that a crash at any moment is gone on with:
//!
//! 1. the folder `salvaging` is made, with a note of the cause and of the name that it will have;
//! 2. the write-ahead log, its index and then the database itself are moved into it; the file `moved` says that all are;
//! 3. a new database is built as `showfloor.sqlite.new` and renamed to `showfloor.sqlite`;
//! 4. the folder gets its name, `damaged-<date>-<n>`.
//!
//! One such copy is kept, the newest. It holds what the database held, keys and names too, so erasing a customer deletes it.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{domain::Timestamp, store::open::DATABASE};

const LOG: &str = "showfloor.sqlite-wal";
const INDEX: &str = "showfloor.sqlite-shm";
const NEW: &str = "showfloor.sqlite.new";
/// Said by a process that met damage while it ran.
const FLAG: &str = "showfloor.damaged";
const PENDING: &str = "salvaging";
const COPIES: &str = "damaged-";
const NOTE: &str = "about.json";
const MOVED: &str = "moved";

/// Why a database is set aside, and where it will be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// What is wrong with it.
    pub(super) cause: String,
    /// When that was found.
    pub(super) found_at: Timestamp,
    /// Name of its folder in the data directory.
    pub(super) copy: String,
}

/// The data directory as the salvage sees it.
#[derive(Debug, Clone)]
pub(in crate::store) struct Dir(PathBuf);

/// How far the setting aside of a database is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// None is under way.
    Nothing,
    /// It is to be salvaged from the folder.
    Salvage(Note),
    /// All that is left is naming the folder.
    Name(Note),
}

impl Dir {
    pub(in crate::store) fn new(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    pub(super) fn as_path(&self) -> &Path {
        &self.0
    }

    /// A folder or file in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(in crate::store) fn database(&self) -> PathBuf {
        self.0.join(DATABASE)
    }

    pub(super) fn log(&self) -> PathBuf {
        self.0.join(LOG)
    }

    /// Where a new database is built.
    pub(super) fn new_database(&self) -> PathBuf {
        self.0.join(NEW)
    }

    /// The damaged files while they are being salvaged.
    pub(super) fn pending(&self) -> Self {
        Self(self.0.join(PENDING))
    }

    /// Says that the database is damaged, for the next start.
    pub(super) fn flag(&self, cause: &str) -> io::Result<()> {
        write(&self.0, FLAG, cause.as_bytes())
    }

    /// What was said so.
    pub(super) fn flagged(&self) -> Option<String> {
        fs::read(self.0.join(FLAG)).ok().map(|cause| String::from_utf8_lossy(&cause).into_owned())
    }

    /// There is nothing any more that this was said of.
    pub(super) fn unflag(&self) -> io::Result<()> {
        remove(&self.0.join(FLAG))
    }

    /// Begins to set the database aside; [`stage`](Self::stage) does the rest, now or at the next start.
    pub(super) fn begin(&self, cause: &str, now: Timestamp) -> io::Result<()> {
        make(&self.0.join(PENDING))?;
        let copy = self.free_name(now)?;
        let note = Note { cause: cause.to_owned(), found_at: now, copy };
        let text = serde_json::to_vec_pretty(&note).map_err(io::Error::other)?;
        write(&self.0.join(PENDING), NOTE, &text)?;
        sync(&self.0)
    }

    fn free_name(&self, now: Timestamp) -> io::Result<String> {
        let day = now.to_string().chars().take(10).collect::<String>();
        let taken = self.copies()?;
        let names = (1..).map(|n| format!("{COPIES}{day}-{n}"));
        let mut free = names.filter(|name| !taken.contains(name));
        Ok(free.next().unwrap_or_default())
    }

    /// Completes the moves that were begun, and says what is to be done next.
    pub(super) fn stage(&self, now: Timestamp) -> io::Result<Stage> {
        let pending = self.0.join(PENDING);
        if !pending.is_dir() {
            return Ok(Stage::Nothing);
        }
        let note = fs::read(pending.join(NOTE)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let Some(note) = note else {
            // It ended before the note was whole: nothing has been moved yet.
            self.begin("it was found damaged before a restart", now)?;
            return self.stage(now);
        };
        if pending.join(MOVED).exists() {
            return Ok(if self.database().exists() { Stage::Name(note) } else { Stage::Salvage(note) });
        }
        for name in [LOG, INDEX, DATABASE] {
            match fs::rename(self.0.join(name), pending.join(name)) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
                _ => {}
            }
        }
        sync(&self.0)?;
        sync(&pending)?;
        write(&pending, MOVED, b"")?;
        self.unflag()?;
        Ok(Stage::Salvage(note))
    }

    /// Takes away what an attempt to build a new database left.
    pub(super) fn clear(&self) -> io::Result<()> {
        for ending in ["", "-journal", "-wal", "-shm"] {
            remove(&self.0.join(format!("{NEW}{ending}")))?;
        }
        Ok(())
    }

    /// The new database, which is closed, takes its place.
    pub(super) fn install(&self) -> io::Result<()> {
        File::open(self.new_database())?.sync_all()?;
        fs::rename(self.new_database(), self.database())?;
        sync(&self.0)
    }

    /// Gives the folder its name; older copies go.
    pub(super) fn name(&self, note: &Note) -> io::Result<()> {
        self.destroy_copies()?;
        let pending = self.0.join(PENDING);
        remove(&pending.join(MOVED))?;
        fs::rename(pending, self.0.join(&note.copy))?;
        sync(&self.0)
    }

    /// Names of the copies that are there.
    pub(super) fn copies(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name.starts_with(COPIES) {
                found.push(name);
            }
        }
        Ok(found)
    }

    /// Deletes every copy that was set aside.
    pub(in crate::store) fn destroy_copies(&self) -> io::Result<()> {
        let copies = self.copies()?;
        for copy in &copies {
            fs::remove_dir_all(self.0.join(copy))?;
        }
        if copies.is_empty() { Ok(()) } else { sync(&self.0) }
    }
}

fn make(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Writes a small file whole, and durably.
fn write(dir: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let begun = dir.join(format!("{name}.part"));
    let mut file = File::create(&begun)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(begun, dir.join(name))?;
    sync(dir)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    }
}

/// Puts the entries of a directory on disk.
fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn place() -> (tempfile::TempDir, Dir) {
        let dir = tempfile::tempdir().expect("makes a directory");
        for name in [DATABASE, LOG, INDEX] {
            fs::write(dir.path().join(name), name).expect("writes");
        }
        let seen = Dir::new(dir.path());
        (dir, seen)
    }

    fn note() -> Note {
        Note { cause: "rust".into(), found_at: NOW, copy: "damaged-2023-11-14-1".into() }
    }

    fn complete(dir: &Dir) {
        assert_eq!(dir.stage(NOW).expect("moves"), Stage::Salvage(note()));
        for name in [DATABASE, LOG, INDEX] {
            assert_eq!(fs::read_to_string(dir.pending().0.join(name)).expect("is there"), name);
            assert!(!dir.0.join(name).exists());
        }
        assert_eq!(dir.stage(NOW).expect("is asked again"), Stage::Salvage(note()), "until there is a new one");
        fs::write(dir.new_database(), "new").expect("writes");
        dir.install().expect("installs");
        assert_eq!(dir.stage(NOW).expect("looks"), Stage::Name(note()));
        dir.name(&note()).expect("names");
        assert_eq!(dir.stage(NOW).expect("looks"), Stage::Nothing);
        assert_eq!(dir.copies().expect("lists"), ["damaged-2023-11-14-1"]);
        assert_eq!(fs::read_to_string(dir.database()).expect("reads"), "new");
    }

    #[test]
    fn a_database_is_moved_whole_and_named() {
        let (_keep, dir) = place();
        dir.flag("rust").expect("flags");
        assert_eq!(dir.flagged().as_deref(), Some("rust"));
        dir.begin("rust", NOW).expect("begins");
        complete(&dir);
        assert_eq!(dir.flagged(), None);
    }

    #[test]
    fn a_crash_after_any_of_the_moves_is_gone_on_with() {
        for moved in 0..3 {
            let (_keep, dir) = place();
            dir.begin("rust", NOW).expect("begins");
            for name in [LOG, INDEX, DATABASE].into_iter().take(moved) {
                fs::rename(dir.0.join(name), dir.pending().0.join(name)).expect("moves");
            }
            complete(&dir);
        }
        let (_keep, dir) = place();
        make(&dir.pending().0).expect("makes");
        let Stage::Salvage(note) = dir.stage(NOW).expect("moves") else { panic!("is to be salvaged") };
        assert!(note.cause.contains("before a restart"), "{note:?}");
    }

    #[test]
    fn one_copy_is_kept_and_can_be_destroyed() {
        let (_keep, dir) = place();
        fs::create_dir(dir.0.join("damaged-2023-11-14-1")).expect("makes");
        dir.begin("rust", NOW).expect("begins");
        let Stage::Salvage(note) = dir.stage(NOW).expect("moves") else { panic!("is to be salvaged") };
        assert_eq!(note.copy, "damaged-2023-11-14-2");
        dir.name(&note).expect("names");
        assert_eq!(dir.copies().expect("lists"), ["damaged-2023-11-14-2"]);
        dir.destroy_copies().expect("destroys");
        assert_eq!(dir.copies().expect("lists"), [""; 0]);
    }
}
