//! A connection to the database and what waits for it: takes all that waits, up to a size, and stores it in one
//! transaction. What passes is tried again for ever, or with `--once` a few times; meanwhile nothing is acknowledged.
//!
//! All of a box goes by the same writer, so that what was received first is stored first.

use tokio::{sync::mpsc, time::Instant};

use super::{
    error::CollectError,
    flow::Cursor,
    ledger::{Ledger, Verdict},
    verify::{Batch, Header},
};
use crate::domain::{Backoff, Epoch, Lane, SiteId};

/// Of one transaction.
const MAX_BATCHES: usize = 64;
const MAX_EVENTS: u64 = 10_000;
/// With `--once`: so often in a row it may fail.
const ATTEMPTS: u32 = 5;

/// What a writer is asked.
pub(super) enum Work {
    /// Where the lanes of these boxes end.
    Look(Vec<SiteId>),
    /// Begin a lane anew.
    Begin(SiteId, Lane, Epoch),
    /// Keep a batch; with the number that its lane gave it.
    Keep(u32, Box<Batch>),
}

/// What a writer did.
pub(super) enum Done {
    /// Where the lanes end.
    Found(Vec<(SiteId, [Cursor; 3])>),
    /// The lane begins anew.
    Began(SiteId, Lane, Epoch),
    /// A batch was looked at.
    Kept(u32, Box<Header>, Verdict),
    /// It did not work and is being tried again.
    Failed,
    /// It cannot go on.
    Broken(CollectError),
}

/// Works until nobody asks or wants to know.
pub(super) async fn write(mut ledger: Ledger, once: bool, mut work: mpsc::Receiver<Work>, done: mpsc::Sender<Done>) {
    let mut inbox = Vec::new();
    while work.recv_many(&mut inbox, MAX_BATCHES).await > 0 {
        let mut rest = std::mem::take(&mut inbox).into_iter().peekable();
        while let Some(next) = rest.next() {
            let mut task = match next {
                Work::Look(sites) => Task::Look(sites),
                Work::Begin(site, lane, epoch) => Task::Begin(site, lane, epoch),
                Work::Keep(number, batch) => {
                    let (mut numbers, mut events) = (vec![number], batch.header.count);
                    let mut batches = vec![*batch];
                    while events < MAX_EVENTS
                        && let Some(Work::Keep(number, batch)) = rest.next_if(|next| matches!(next, Work::Keep(..)))
                    {
                        events += batch.header.count;
                        numbers.push(number);
                        batches.push(*batch);
                    }
                    Task::Keep(numbers, batches)
                }
            };
            if !insist(&mut ledger, once, &mut task, &done).await {
                return;
            }
        }
    }
}

enum Task {
    Look(Vec<SiteId>),
    Begin(SiteId, Lane, Epoch),
    Keep(Vec<u32>, Vec<Batch>),
}

/// Does it, again and again if it must be. Returns whether to go on.
async fn insist(ledger: &mut Ledger, once: bool, task: &mut Task, done: &mpsc::Sender<Done>) -> bool {
    let mut backoff = Backoff::new("collector's database");
    let mut failures = 0;
    loop {
        let began = Instant::now();
        let error = match attempt(ledger, task).await {
            Ok(outcomes) => {
                for outcome in outcomes {
                    if done.send(outcome).await.is_err() {
                        return false;
                    }
                }
                return true;
            }
            Err(error) => error,
        };
        failures += 1;
        if !error.is_passing() || (once && failures >= ATTEMPTS) {
            // If nobody listens, it is over anyway.
            let _ = done.send(Done::Broken(error)).await;
            return false;
        }
        let pause = backoff.after(began.elapsed());
        tracing::warn!(?pause, cause = said(&error), "{error}; trying again");
        // Counted if there is room for the news.
        if let Err(mpsc::error::TrySendError::Closed(_)) = done.try_send(Done::Failed) {
            return false;
        }
        tokio::time::sleep(pause).await;
    }
}

async fn attempt(ledger: &mut Ledger, task: &mut Task) -> Result<Vec<Done>, CollectError> {
    match task {
        Task::Look(sites) => {
            let cursors = ledger.cursors(sites).await?;
            Ok(vec![Done::Found(std::mem::take(sites).into_iter().zip(cursors).collect())])
        }
        Task::Begin(site, lane, epoch) => {
            ledger.begin_epoch(site, *lane, *epoch).await?;
            Ok(vec![Done::Began(site.clone(), *lane, *epoch)])
        }
        Task::Keep(numbers, batches) => {
            let verdicts = ledger.store(batches).await?;
            let headers = std::mem::take(batches).into_iter().map(|batch| Box::new(batch.header));
            let all = numbers.iter().zip(headers).zip(verdicts);
            Ok(all.map(|((number, header), verdict)| Done::Kept(*number, header, verdict)).collect())
        }
    }
}

fn said(error: &CollectError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}
