//! Answers that a disk gives when it is full, ill or dishonest.
//!
//! A fault looks at operations of some kinds, of files of some name, and acts on the n-th of them from when it was
//! ordered, for ever or so many times. Pages that the kernel writes back from memory maps (SQLite's `-shm`) are no
//! operations: when they come is chance.

use std::ffi::OsStr;

/// What is asked of the disk, as far as a fault can tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bytes from a file, where the kernel has not kept them; never counted.
    Read,
    /// Bytes into a file.
    Write,
    /// `fsync`, `fdatasync`, of a file or directory.
    Sync,
    /// `ftruncate`, `fallocate`.
    Resize,
    /// A new file or directory.
    Create,
    /// A name taken away.
    Remove,
    /// A name changed.
    Rename,
}

/// What the disk does instead of what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing, and says this error number (`libc::ENOSPC`, `libc::EIO`, `libc::EROFS` …).
    Error(i32),
    /// Writes at most so many bytes and says so. The kernel hands a short write on to the program.
    Short(u32),
    /// Nothing, and says that it did: a drive that ignores `fsync`, or a program that does not call it.
    Lie,
    /// Says that it did, and does it so many operations later: a program that answers before it has synced.
    Late(u64),
}

/// When to give which answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    answer: Answer,
    kinds: Vec<Kind>,
    name: Option<String>,
    skip: u64,
    times: u64,
}

impl Fault {
    /// This answer to every write, sync, resize, create, remove and rename.
    #[must_use]
    pub fn new(answer: Answer) -> Self {
        Self { answer, kinds: Vec::new(), name: None, skip: 0, times: u64::MAX }
    }

    /// Only to operations of this kind; may be said again for more kinds.
    #[must_use]
    pub fn on(mut self, kind: Kind) -> Self {
        self.kinds.push(kind);
        self
    }

    /// Only to operations on files whose name ends so: `-wal` is SQLite's log, `showfloor.sqlite` the database alone.
    #[must_use]
    pub fn of(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// From the n-th of these operations on (1 is the next one).
    #[must_use]
    pub fn from(mut self, nth: u64) -> Self {
        self.skip = nth.saturating_sub(1);
        self
    }

    /// Only so often.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = times;
        self
    }

    /// The answer to this operation, if it is one of those meant.
    pub(crate) fn answer(&mut self, kind: Kind, name: &OsStr) -> Option<Answer> {
        let kinds = if self.kinds.is_empty() { kind != Kind::Read } else { self.kinds.contains(&kind) };
        let named = self.name.as_ref().is_none_or(|end| name.to_string_lossy().ends_with(end.as_str()));
        if !kinds || !named || self.times == 0 {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        self.times -= 1;
        Some(self.answer)
    }
}
