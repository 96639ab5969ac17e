//! Many cuts: databases one after the other, two at a time.

use std::{
    fmt, io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    cloud::Cloud,
    lineage::{End, Failed, Lineage, Setup, Tally},
    parts::Broker,
};

/// What came of it.
#[derive(Debug, Default)]
pub struct Summary {
    /// Cuts that were made and checked.
    pub cuts: u64,
    /// Of them, during a start.
    pub in_start: u64,
    /// Operations of the disk.
    pub operations: u64,
    /// Changes that were not synced when the power went.
    pub unsynced: u64,
    /// Answers that the outside had.
    pub promises: u64,
    /// Events in the logs at the end: of `sales`, `presence` and `trace`.
    pub events: [u64; 3],
    /// Of their numbers, those whose events were shed to make room.
    pub shed: u64,
    /// Cuts after which something was wrong.
    pub failures: Vec<Failed>,
    /// How long it took.
    pub took: Duration,
}

impl Summary {
    fn add(&mut self, tally: &Tally) {
        self.cuts += tally.cuts;
        self.in_start += tally.in_start;
        self.operations += tally.operations;
        self.unsynced += tally.unsynced;
        self.promises += tally.promises;
        self.shed += tally.shed;
        for (sum, events) in self.events.iter_mut().zip(tally.events) {
            *sum += events;
        }
    }
}

/// Cuts the power `n` times at least, on as many databases as that takes; `told` hears of each database.
///
/// # Errors
/// When the harness itself does not work: no root, no `/dev/fuse`, no Mosquitto.
pub fn cuts(setup: &Setup, n: u64, told: impl Fn(&Summary) + Sync) -> io::Result<Summary> {
    let begun = Instant::now();
    let (next, summary) = (AtomicU64::new(0), Mutex::new(Summary::default()));
    let databases = n.div_ceil(setup.cuts.max(1));
    let work = || -> io::Result<()> {
        let broker = Broker::start()?;
        let mut cloud = Cloud::connect(broker.port);
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= databases {
                return Ok(());
            }
            let mut lineage = Lineage::begin(setup, number, &broker, &mut cloud)?;
            let ended = lineage.live();
            let tally = lineage.tally.clone();
            let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
            summary.add(&tally);
            summary.took = begun.elapsed();
            match ended {
                Ok(()) => {}
                Err(End::Failed(failed)) => summary.failures.push(failed),
                Err(End::Broken(error)) => return Err(error),
            }
            told(&summary);
        }
    };
    thread::scope(|scope| {
        let second = scope.spawn(work);
        let first = work();
        second.join().unwrap_or_else(|_| Err(io::Error::other("a worker panicked")))?;
        first
    })?;
    Ok(summary.into_inner().unwrap_or_else(PoisonError::into_inner))
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} cuts in {:.0} s, {} of them during a start; {} operations of the disk, {} changes not synced at a cut; \
             {} answers promised, {:?} events of sales, presence and trace, {} of them shed; {} cuts failed",
            self.cuts,
            self.took.as_secs_f64(),
            self.in_start,
            self.operations,
            self.unsynced,
            self.promises,
            self.events,
            self.shed,
            self.failures.len()
        )?;
        for failed in &self.failures {
            writeln!(f, "kept in {}:", failed.kept.display())?;
            for problem in failed.problems.iter().take(5) {
                writeln!(f, "  {problem}")?;
            }
        }
        Ok(())
    }
}
