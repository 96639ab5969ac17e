//! A mounted disk whose power can be cut, for tests of whole programs.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Child,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use fuser::{BackgroundSession, Config, MountOption};
use rustix::mount::{UnmountFlags, unmount};
use tempfile::TempDir;

use crate::{
    disk::Disk,
    fault::{Answer, Fault},
    machine::{Machine, Operation, Power},
    served::Served,
    survival::{Manner, survivors},
    tree::Tree,
};

const NAME: &str = "powercut";
/// For processes that were killed to be gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a cut did.
#[derive(Debug)]
pub struct Cut {
    /// The disk at that moment: what was durable, and the journal of what was not.
    pub disk: Disk,
    /// The seed that decided what survived of the journal: `survivors(&disk, seed)` again.
    pub seed: u64,
    /// How.
    pub manner: Manner,
    /// What was on the disk when the power came back.
    pub survived: Tree,
    /// Operations since the mount; the last one is that in which the power went.
    pub operations: Vec<Operation>,
}

/// A disk in memory, mounted at a folder of its own. Dropping it unmounts.
pub struct Mount {
    seed: u64,
    cuts: u64,
    capacity: Option<u64>,
    machine: Arc<Machine>,
    session: Option<BackgroundSession>,
    point: PathBuf,
    _dir: TempDir,
}

impl Mount {
    /// Mounts an empty disk. The seed decides what each cut leaves.
    ///
    /// # Errors
    /// Without root or `/dev/fuse`.
    pub fn new(seed: u64) -> io::Result<Self> {
        Self::with(Disk::default(), seed)
    }

    /// Mounts this disk.
    ///
    /// # Errors
    /// Without root or `/dev/fuse`.
    pub fn with(disk: Disk, seed: u64) -> io::Result<Self> {
        detach_dead();
        let dir = TempDir::with_prefix("powercut-")?;
        let point = dir.path().join("disk");
        fs::create_dir(&point)?;
        let machine = Arc::new(Machine::new(disk, None));
        let session = Some(serve(&machine, &point)?);
        Ok(Self { seed, cuts: 0, capacity: None, machine, session, point, _dir: dir })
    }

    /// Whether this machine can mount: root and `/dev/fuse`.
    #[must_use]
    pub fn is_possible() -> bool {
        rustix::process::geteuid().is_root() && Path::new("/dev/fuse").exists()
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.point
    }

    /// Writes, syncs, resizes, creates, removes and renames since the mount.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.machine.state().operations.len() as u64
    }

    /// The files as processes see them.
    #[must_use]
    pub fn live(&self) -> Tree {
        self.machine.state().disk.live().clone()
    }

    /// Makes everything durable that was written so far, as `sync` would.
    pub fn sync_all(&self) {
        self.machine.state().disk.sync_all();
    }

    /// Gives the disk a size, in bytes; `None` for one without an end.
    pub fn set_capacity(&mut self, bytes: Option<u64>) {
        self.capacity = bytes;
        self.machine.state().capacity = bytes;
    }

    /// The `nth` operation from now on (1 is the next one) is answered with an error number: `libc::ENOSPC`, `libc::EIO`.
    pub fn fail_at(&self, nth: u64, error: i32) {
        self.fault(Fault::new(Answer::Error(error)).from(nth).times(1));
    }

    /// From the `nth` operation on every one is, until [`heal`](Self::heal).
    pub fn fail_from(&self, nth: u64, error: i32) {
        self.fault(Fault::new(Answer::Error(error)).from(nth));
    }

    /// The `nth` operation, if it is a write, takes only so many bytes.
    pub fn short_at(&self, nth: u64, bytes: u32) {
        self.fault(Fault::new(Answer::Short(bytes)).from(nth).times(1));
    }

    /// Orders any other fault; those ordered first are asked first.
    pub fn fault(&self, fault: Fault) {
        self.machine.state().faults.push(fault);
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.machine.state().faults.clear();
    }

    /// Lets the power go in the middle of the `nth` operation from now on.
    pub fn cut_at(&self, nth: u64) {
        let mut state = self.machine.state();
        state.cut_at = Some(state.operations.len() as u64 + nth);
    }

    /// Takes an order to cut back, if it has not happened yet.
    pub fn keep_power(&self) {
        self.machine.state().cut_at = None;
    }

    /// Whether the power has gone.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.machine.state().power != Power::On
    }

    /// Waits until the power has gone by itself; whether it has.
    #[allow(clippy::must_use_candidate)] // one may wait without caring how it ends
    pub fn wait_for_cut(&self, patience: Duration) -> bool {
        self.machine.wait(patience)
    }

    /// Cuts the power, if it is not gone yet: freezes the disk, kills the processes that use it, decides what survived,
    /// and mounts that at the same place.
    ///
    /// # Errors
    /// When a process does not end, or the disk cannot be mounted.
    pub fn cut(&mut self, processes: &mut [&mut Child]) -> io::Result<Cut> {
        {
            let mut state = self.machine.state();
            self.machine.freeze(&mut state);
        }
        for child in processes.iter_mut() {
            child.kill()?;
        }
        self.machine.release();
        for child in processes.iter_mut() {
            child.wait()?;
        }
        self.unmount()?;
        let seed = seed_of(self.seed, self.cuts);
        self.cuts += 1;
        let (disk, operations) = {
            let mut state = self.machine.state();
            (std::mem::take(&mut state.disk), std::mem::take(&mut state.operations))
        };
        let (survived, manner) = survivors(&disk, seed);
        self.machine = Arc::new(Machine::new(Disk::from_tree(survived.clone()), self.capacity));
        self.session = Some(serve(&self.machine, &self.point)?);
        Ok(Cut { disk, seed, manner, survived, operations })
    }

    fn unmount(&mut self) -> io::Result<()> {
        let Some(session) = self.session.take() else { return Ok(()) };
        let gone = unmount(&self.point, UnmountFlags::DETACH);
        let end = Instant::now() + PATIENCE;
        while !session.guard.is_finished() {
            if Instant::now() > end {
                // Dropping it would unmount whatever is mounted here next.
                std::mem::forget(session);
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, "a process still uses the disk"));
            }
            thread::sleep(Duration::from_millis(1));
        }
        gone?;
        Ok(())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.machine.release();
        #[allow(clippy::print_stderr)] // nobody is left to be told
        if let Err(error) = self.unmount() {
            eprintln!("{} stays mounted: {error}", self.point.display());
        }
    }
}

/// The seed of one cut among those of a mount.
fn seed_of(seed: u64, cut: u64) -> u64 {
    Rng::with_seed(seed ^ cut.wrapping_mul(0x9E37_79B9_7F4A_7C15)).u64(..)
}

fn serve(machine: &Arc<Machine>, point: &Path) -> io::Result<BackgroundSession> {
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName(NAME.into()), MountOption::NoAtime];
    config.n_threads = Some(2);
    fuser::spawn_mount(Served(Arc::clone(machine)), point, &config)
}

/// Takes away mounts whose process was killed: each access to them only fails.
fn detach_dead() {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for line in mounts.lines() {
        let mut words = line.split(' ');
        if words.next() == Some(NAME)
            && let Some(point) = words.next()
            && fs::metadata(point).is_err_and(|error| error.raw_os_error() == Some(libc::ENOTCONN))
        {
            let _ = unmount(point, UnmountFlags::DETACH);
        }
    }
}
