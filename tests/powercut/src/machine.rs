//! The disk with its switch: counts operations, gives the answers that were ordered, and freezes when the power goes.
//!
//! Invariant: after the freeze nothing changes and nobody is answered, until the processes are dead.

use std::{
    any::Any,
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    disk::{Disk, Ino},
    fault::{Answer, Fault, Kind},
};

/// Whether there is power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    On,
    /// It went: requests are held, unanswered.
    Frozen,
    /// The processes are being cleared away: every request fails.
    Off,
}

/// What becomes of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Go,
    Say(Answer),
    /// The power goes in the middle of it.
    Last,
}

/// One counted operation, for reading a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// What.
    pub kind: Kind,
    /// Of which file or directory.
    pub name: OsString,
    /// From which byte on, where there are any.
    pub at: u64,
    /// How many bytes.
    pub len: u64,
}

pub(crate) struct State {
    pub(crate) disk: Disk,
    pub(crate) power: Power,
    pub(crate) capacity: Option<u64>,
    pub(crate) opened: BTreeMap<Ino, u64>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) cut_at: Option<u64>,
    pub(crate) faults: Vec<Fault>,
    names: BTreeMap<Ino, OsString>,
    late: Vec<(u64, Ino)>,
    held: Vec<Box<dyn Any + Send>>,
}

pub(crate) struct Machine {
    state: Mutex<State>,
    frozen: Condvar,
}

impl Machine {
    pub(crate) fn new(disk: Disk, capacity: Option<u64>) -> Self {
        let state = State {
            disk,
            power: Power::On,
            capacity,
            opened: BTreeMap::new(),
            operations: Vec::new(),
            cut_at: None,
            faults: Vec::new(),
            names: BTreeMap::new(),
            late: Vec::new(),
            held: Vec::new(),
        };
        Self { state: Mutex::new(state), frozen: Condvar::new() }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the power away, if it is still there.
    pub(crate) fn freeze(&self, state: &mut State) {
        if state.power == Power::On {
            state.power = Power::Frozen;
            self.frozen.notify_all();
        }
    }

    /// Waits until the power is gone; whether it is.
    pub(crate) fn wait(&self, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        let mut state = self.state();
        while state.power == Power::On {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.frozen.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Lets go of everybody who waits for an answer: they are dead, and may end.
    pub(crate) fn release(&self) {
        let held = {
            let mut state = self.state();
            state.power = Power::Off;
            std::mem::take(&mut state.held)
        };
        // A reply that was never given is answered with EIO when it is dropped.
        drop(held);
    }
}

impl State {
    /// Keeps a request unanswered.
    pub(crate) fn hold(&mut self, reply: impl Any + Send) {
        self.held.push(Box::new(reply));
    }

    pub(crate) fn call(&mut self, ino: Ino, name: &OsStr) {
        self.names.insert(ino, name.to_owned());
    }

    pub(crate) fn name(&self, ino: Ino) -> &OsStr {
        self.names.get(&ino).map_or(OsStr::new("/"), OsString::as_os_str)
    }

    /// Counts an operation and says what becomes of it.
    pub(crate) fn judge(&mut self, kind: Kind, name: &OsStr, at: u64, len: u64) -> Verdict {
        self.operations.push(Operation { kind, name: name.to_owned(), at, len });
        let now = self.operations.len() as u64;
        let (due, late) = self.late.drain(..).partition(|(due, _)| *due <= now);
        self.late = late;
        let due: Vec<(u64, Ino)> = due;
        for (_, ino) in due {
            self.disk.sync(ino);
        }
        if self.cut_at.is_some_and(|cut| cut <= now) {
            return Verdict::Last;
        }
        self.answered(kind, name).map_or(Verdict::Go, Verdict::Say)
    }

    /// The answer that was ordered for this, if any.
    pub(crate) fn answered(&mut self, kind: Kind, name: &OsStr) -> Option<Answer> {
        self.faults.iter_mut().find_map(|fault| fault.answer(kind, name))
    }

    /// Syncs after so many more operations.
    pub(crate) fn sync_later(&mut self, ino: Ino, operations: u64) {
        self.late.push((self.operations.len() as u64 + operations, ino));
    }

    /// Bytes that are still free; a lot, on a disk without a limit.
    pub(crate) fn free(&self) -> u64 {
        self.capacity.map_or(1 << 40, |capacity| capacity.saturating_sub(self.disk.used()))
    }

    /// Forgets the bytes of a file that nobody can reach any more.
    pub(crate) fn reap(&mut self, ino: Ino) {
        if self.opened.get(&ino).is_none_or(|opened| *opened == 0) && !self.disk.is_named(ino) {
            self.disk.reap(ino);
        }
    }
}
