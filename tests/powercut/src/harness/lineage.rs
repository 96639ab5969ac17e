//! One database that lives through several cuts.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use fastrand::Rng;
use tempfile::TempDir;

use super::{
    anchors,
    cloud::{Cloud, Knowledge, car, locked, note},
    evidence,
    kiosk::Kiosk,
    outside::Outside,
    parts::{Broker, Daemon, Started},
    tablet,
    verify::Examiner,
};
use crate::{Cut, Fault, Mount};

/// A cut in the first operations of a start: how often, and how far.
const EARLY: (f64, u64) = (0.2, 40);
/// Operations of a cut under load: 10 to the power of 1 to this.
const LATEST: f64 = 3.4;
/// Every other disk is as small as this: nearly full as soon as there is something on it, so that old events are shed.
const SMALL: u64 = (9 << 20) + (256 << 10);
/// Load that did not get as far is cut where it is.
const LOAD: Duration = Duration::from_secs(8);

/// What is tested, and how.
#[derive(Debug, Clone)]
pub struct Setup {
    /// The program.
    pub binary: PathBuf,
    /// Decides what can be decided.
    pub seed: u64,
    /// Cuts of one database.
    pub cuts: u64,
    /// What the disk does wrong, to see that it is noticed.
    pub fault: Option<Fault>,
    /// Where failures are kept.
    pub keep: PathBuf,
}

/// A cut after which something was wrong.
#[derive(Debug)]
pub struct Failed {
    /// What was wrong.
    pub problems: Vec<String>,
    /// Where everything is that is needed to see it again.
    pub kept: PathBuf,
}

/// What happened, in numbers.
#[derive(Debug, Default, Clone)]
pub(super) struct Tally {
    pub(super) cuts: u64,
    pub(super) operations: u64,
    /// Changes that were not synced when the power went.
    pub(super) unsynced: u64,
    pub(super) promises: u64,
    /// Of `sales`, `presence` and `trace`.
    pub(super) events: [u64; 3],
    pub(super) in_start: u64,
    /// Numbers whose events went to make room.
    pub(super) shed: u64,
}

pub(super) struct Lineage<'a> {
    setup: &'a Setup,
    number: u64,
    rng: Rng,
    disk: Mount,
    daemon: Daemon,
    cloud: &'a mut Cloud,
    outside: Knowledge,
    tokens: [String; 3],
    last: Option<Cut>,
    pub(super) tally: Tally,
    /// Files of the outside, which keep their power.
    _dir: TempDir,
    ledger: PathBuf,
}

/// Something that ended a lineage.
pub(super) enum End {
    /// The harness itself does not work.
    Broken(io::Error),
    /// The program did wrong.
    Failed(Failed),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl<'a> Lineage<'a> {
    pub(super) fn begin(setup: &'a Setup, number: u64, broker: &Broker, cloud: &'a mut Cloud) -> io::Result<Self> {
        let mut rng = Rng::with_seed(setup.seed ^ number.wrapping_mul(0xA076_1D64_78BD_642F));
        let mut disk = Mount::new(rng.u64(..))?;
        if number % 2 == 1 {
            disk.set_capacity(Some(SMALL));
        }
        let daemon = Daemon::new(&setup.binary, &disk.path().join("data"), broker.port)?;
        let tokens = [("kiosk", "K1"), ("staff", "anna"), ("service", "probe")];
        let [kiosk, staff, service] = tokens.map(|(role, name)| daemon.token(role, name));
        let tokens = [kiosk?, staff?, service?];
        if let Some(fault) = &setup.fault {
            disk.fault(fault.clone());
        }
        cloud.forget();
        let dir = TempDir::new()?;
        let ledger = dir.path().join("ledger.jsonl");
        let outside = Arc::new(Mutex::new(Outside::default()));
        let tally = Tally::default();
        Ok(Self { setup, number, rng, disk, daemon, cloud, outside, tokens, last: None, tally, _dir: dir, ledger })
    }

    /// All its cuts, and an end in order.
    pub(super) fn live(&mut self) -> Result<(), End> {
        while self.tally.cuts < self.setup.cuts {
            if self.rng.f64() < EARLY.0 {
                self.disk.cut_at(self.rng.u64(1..=EARLY.1));
            }
            match self.daemon.start(|| self.disk.is_cut())? {
                Started::Ready => {}
                Started::Cut => {
                    self.tally.in_start += 1;
                    self.cut()?;
                    continue;
                }
                Started::Failed(problem) => return Err(self.failed(vec![problem])?),
            }
            self.disk.keep_power();
            if self.disk.is_cut() {
                // Between the answer that it is ready and now.
                self.cut()?;
            } else {
                self.check()?;
                self.load()?;
            }
        }
        match self.daemon.start(|| false)? {
            Started::Ready => {}
            Started::Cut => return Err(io::Error::other("cut without an order").into()),
            Started::Failed(problem) => return Err(self.failed(vec![problem])?),
        }
        self.check()?;
        let knows = locked(&self.outside);
        self.tally.events = ["sales", "presence", "trace"].map(|lane| knows.heads.get(lane).copied().unwrap_or(0));
        self.tally.shed = knows.gone();
        self.tally.promises = knows.answers.len() as u64;
        drop(knows);
        match self.daemon.stop()? {
            Some(0) => Ok(()),
            code => Err(self.failed(vec![format!("a stop in order ended with {code:?}")])?),
        }
    }

    fn check(&mut self) -> Result<(), End> {
        let [kiosk, _, service] = &self.tokens;
        let outside = &self.outside;
        let mut examiner =
            Examiner { http: self.daemon.http, service, kiosk, cloud: &mut *self.cloud, ledger: &self.ledger, outside };
        let problems = examiner.examine(&mut self.rng);
        if problems.is_empty() { Ok(()) } else { Err(self.failed(problems)?) }
    }

    /// Everybody works until the power goes.
    fn load(&mut self) -> Result<(), End> {
        if locked(&self.outside).counter == 0 {
            let cars: Vec<_> = (0..5).map(|_| note(&self.outside, "vehicle.upsert", car)).collect();
            if let Err(problem) = self.cloud.insist(&self.outside, &cars) {
                return Err(self.failed(vec![problem])?);
            }
        }
        let operations = 10_f64.powf(1.0 + self.rng.f64() * (LATEST - 1.0)) as u64;
        self.disk.cut_at(operations);
        let stop = AtomicBool::new(false);
        let [mut a, mut b, mut c, mut d] = [self.rng.fork(), self.rng.fork(), self.rng.fork(), self.rng.fork()];
        let (outside, port, [kiosk, staff, _]) = (&self.outside, self.daemon.http, &self.tokens);
        let kiosk = Kiosk { port, token: kiosk, ledger: &self.ledger, outside };
        let floor = self.cloud.second();
        let (disk, cloud) = (&self.disk, &mut *self.cloud);
        thread::scope(|scope| {
            scope.spawn(|| persist(&stop, || kiosk.work(&mut a, &stop)));
            scope.spawn(|| persist(&stop, || tablet::watch(port, staff, outside, &mut b, &stop)));
            scope.spawn(|| cloud.work(outside, &mut c, &stop));
            scope.spawn(|| anchors::walk(&floor, outside, &mut d, &stop));
            disk.wait_for_cut(LOAD);
            stop.store(true, Ordering::Relaxed);
        });
        self.cut()
    }

    fn cut(&mut self) -> Result<(), End> {
        let mut child = self.daemon.child.take();
        let mut processes: Vec<_> = child.iter_mut().collect();
        let cut = self.disk.cut(&mut processes)?;
        self.tally.cuts += 1;
        self.tally.operations += cut.operations.len() as u64;
        self.tally.unsynced += cut.disk.unsynced().len() as u64;
        if let Some(fault) = &self.setup.fault {
            self.disk.fault(fault.clone());
        }
        let audited = self.audit(&cut);
        self.last = Some(cut);
        match audited? {
            Ok(()) => Ok(()),
            Err(problem) => Err(self.failed(vec![problem])?),
        }
    }

    /// What the program finds in a copy of what survived.
    fn audit(&self, cut: &Cut) -> io::Result<Result<(), String>> {
        // Before anybody could have been told anything there may be no tables yet.
        if locked(&self.outside).epoch.is_none() {
            return Ok(Ok(()));
        }
        let copy = TempDir::new()?;
        cut.survived.export(copy.path())?;
        self.daemon.audit(&copy.path().join("data"))
    }

    /// Keeps everything that is needed to see it again.
    fn failed(&mut self, problems: Vec<String>) -> io::Result<End> {
        let name = format!("seed-{}-database-{}-cut-{}", self.setup.seed, self.number, self.tally.cuts);
        let kept = self.setup.keep.join(name);
        fs::create_dir_all(&kept)?;
        fs::write(kept.join("problems.txt"), problems.join("\n"))?;
        fs::write(kept.join("daemon.log"), self.daemon.log())?;
        self.daemon.kill()?;
        let outside = locked(&self.outside);
        evidence::keep(&kept, self.last.as_ref(), &outside, &self.ledger, &self.tokens)?;
        drop(outside);
        Ok(End::Failed(Failed { problems, kept }))
    }
}

/// Does it again when the connection ends, which it may: the power goes.
pub(super) fn persist(stop: &AtomicBool, mut work: impl FnMut() -> Result<(), String>) {
    while !stop.load(Ordering::Relaxed) {
        if work().is_err() {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Where failures are kept when nothing else is said.
#[must_use]
pub fn usual_place() -> &'static Path {
    Path::new("target/powercut")
}
