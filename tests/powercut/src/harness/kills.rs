//! `kill -9` of the daemon, of the collector and of Mosquitto at random, under load.
//!
//! A kill loses nothing that was written, so it shows less than a cut; but it also hits the collector and the broker, and
//! the ways between the three.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use super::{
    anchors,
    cloud::{Cloud, Knowledge, car, locked, note},
    kiosk::Kiosk,
    lineage::persist,
    outside::Outside,
    parts::{Broker, Daemon, SITE, Started},
    verify::Examiner,
};

/// What was killed, and what came of it.
#[derive(Debug, Default)]
pub struct Killed {
    /// The daemon, so often.
    pub daemon: u64,
    /// The collector.
    pub collector: u64,
    /// Mosquitto.
    pub broker: u64,
    /// Answers that the outside had.
    pub promises: u64,
    /// Events in the log at the end.
    pub events: u64,
    /// How long it took.
    pub took: Duration,
    /// What is wrong.
    pub problems: Vec<String>,
}

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { daemon, collector, broker, promises, events, took, problems } = self;
        writeln!(
            f,
            "killed: the daemon {daemon} times, the collector {collector} times, Mosquitto {broker} times, in {:.0} s; \
             {promises} answers promised, {events} events; {} problems",
            took.as_secs_f64(),
            problems.len()
        )?;
        problems.iter().try_for_each(|problem| writeln!(f, "  {problem}"))
    }
}

/// The reference puller, into a file.
struct Collector {
    binary: PathBuf,
    into: PathBuf,
    broker: u16,
}

impl Collector {
    fn start(&self, once: bool) -> io::Result<Child> {
        let mut command = Command::new(&self.binary);
        command.args(["collect", "--broker", &format!("mqtt://127.0.0.1:{}", self.broker), "--site", SITE]);
        command.args(["--consumer", "archive", "--into"]);
        command.arg(format!("sqlite:{}", self.into.display())).args(once.then_some("--once"));
        command.stderr(Stdio::null()).spawn()
    }

    /// How often each event is there.
    fn events(&self) -> Result<BTreeMap<String, i64>, rusqlite::Error> {
        let conn = Connection::open_with_flags(&self.into, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut statement = conn.prepare("SELECT id, count(*) FROM event GROUP BY id")?;
        statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }
}

/// Kills `n` times. The seed decides who is killed when, and what the clients send.
///
/// # Errors
/// When the harness itself does not work: no Mosquitto, no room.
pub fn kills(binary: &Path, seed: u64, n: u64) -> io::Result<Killed> {
    let begun = Instant::now();
    let mut rng = Rng::with_seed(seed);
    let dir = TempDir::new()?;
    let mut broker = Broker::start()?;
    let mut cloud = Cloud::connect(broker.port);
    let mut daemon = Daemon::new(binary, &dir.path().join("data"), broker.port)?;
    let tokens = [daemon.token("kiosk", "K1")?, daemon.token("service", "probe")?];
    let [kiosk, service] = &tokens;
    let outside: Knowledge = Arc::new(Mutex::new(Outside::default()));
    let ledger = dir.path().join("ledger.jsonl");
    let collector = Collector { binary: binary.to_owned(), into: dir.path().join("cloud.sqlite"), broker: broker.port };
    let mut killed = Killed::default();
    ready(&mut daemon)?;
    let cars: Vec<_> = (0..5).map(|_| note(&outside, "vehicle.upsert", car)).collect();
    cloud.insist(&outside, &cars).map_err(io::Error::other)?;
    let stop = AtomicBool::new(false);
    let [mut a, mut b, mut c] = [rng.fork(), rng.fork(), rng.fork()];
    let taps = Kiosk { port: daemon.http, token: kiosk, ledger: &ledger, outside: &outside };
    let floor = cloud.second();
    thread::scope(|scope| -> io::Result<()> {
        scope.spawn(|| persist(&stop, || taps.work(&mut a, &stop)));
        scope.spawn(|| cloud.work(&outside, &mut b, &stop));
        scope.spawn(|| anchors::walk(&floor, &outside, &mut c, &stop));
        let done = rampage(n, &mut rng, &mut daemon, &mut broker, &collector, &mut killed);
        stop.store(true, Ordering::Relaxed);
        done
    })?;
    let mut examiner =
        Examiner { http: daemon.http, service, kiosk, cloud: &mut cloud, ledger: &ledger, outside: &outside };
    killed.problems = examiner.examine(&mut rng);
    // Nobody works any more: what the collector has at the end is all there is.
    if !collector.start(true)?.wait()?.success() {
        killed.problems.push("the collector did not end well".to_owned());
    }
    killed.problems.extend(examiner.examine(&mut rng));
    killed.problems.extend(compare(&collector, &locked(&outside)));
    killed.problems.extend((daemon.stop()? != Some(0)).then(|| "a stop in order ended otherwise".to_owned()));
    killed.problems.extend(daemon.audit(&dir.path().join("data"))?.err());
    let knows = locked(&outside);
    (killed.promises, killed.events) = (knows.answers.len() as u64, knows.shown.len() as u64);
    killed.took = begun.elapsed();
    Ok(killed)
}

fn ready(daemon: &mut Daemon) -> io::Result<()> {
    match daemon.start(|| false)? {
        Started::Ready => Ok(()),
        Started::Cut => Err(io::Error::other("cut without a disk")),
        Started::Failed(problem) => Err(io::Error::other(format!("{problem}\n{}", daemon.log()))),
    }
}

fn rampage(
    n: u64,
    rng: &mut Rng,
    daemon: &mut Daemon,
    broker: &mut Broker,
    collector: &Collector,
    killed: &mut Killed,
) -> io::Result<()> {
    let mut collecting = collector.start(false)?;
    let done = (0..n).try_for_each(|_| {
        thread::sleep(Duration::from_millis(rng.u64(20..400)));
        match rng.u8(0..3) {
            0 => {
                killed.daemon += 1;
                daemon.kill()?;
                ready(daemon)
            }
            1 => {
                killed.collector += 1;
                collecting.kill()?;
                collecting.wait()?;
                collecting = collector.start(false)?;
                Ok(())
            }
            _ => {
                killed.broker += 1;
                broker.kill_and_start()
            }
        }
    });
    collecting.kill()?;
    collecting.wait()?;
    done
}

/// The collector has each event of the log, once, and no other.
fn compare(collector: &Collector, knows: &Outside) -> Vec<String> {
    let collected = match collector.events() {
        Ok(collected) => collected,
        Err(error) => return vec![format!("what was collected cannot be read: {error}")],
    };
    let mut problems: Vec<String> =
        collected.iter().filter(|(_, times)| **times != 1).map(|(id, _)| format!("{id} was collected twice")).collect();
    let log: Vec<&str> = knows.shown.values().filter_map(|event| event["id"].as_str()).collect();
    let missing = log.iter().filter(|id| !collected.contains_key(**id)).count();
    if missing > 0 || collected.len() != log.len() {
        problems.push(format!(
            "{} were collected, {} are in the log, {missing} are missing",
            collected.len(),
            log.len()
        ));
    }
    problems
}
