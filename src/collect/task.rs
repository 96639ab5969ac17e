//! The collector as it runs: writers and a keeper beside it, and connections one after the other, each with a desk that
//! asks, has answers checked and stored, and acknowledges.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    board::Board,
    desk::{Desk, Finish},
    error::CollectError,
    ledger::{Ledger, Roll},
    options::Options,
    session::{Ended, client, listen},
    tally::{Tallies, Tally},
    writer::write,
};

/// Before connecting again.
const RECONNECT: Duration = Duration::from_secs(2);
/// Connections in a row that may fail before `--once` gives up.
const ATTEMPTS: u32 = 5;
/// Answers that wait to be looked at.
const INBOX: usize = 1024;
/// Signals of the connection.
const SIGNALS: usize = 8;
/// Batches that wait for one writer.
const QUEUE: usize = 256;
/// What writers did: more than all of them have to do, so that they never wait for the desk.
const DONE: usize = 2048;
/// For saying goodbye to the other collectors.
const GOODBYE: Duration = Duration::from_secs(3);

/// Pulls the lanes of boxes into a database.
pub struct Collector {
    options: Arc<Options>,
    tallies: Tallies,
}

impl Collector {
    /// Nothing is opened yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let tallies = Tallies::with(options.secured());
        Self { options: Arc::new(options), tallies }
    }

    /// What it does, for whoever watches.
    #[must_use]
    pub fn tallies(&self) -> Tallies {
        self.tallies.clone()
    }

    /// Goes on where the database ends, and collects until `stop` is cancelled or, with `once`, every lane is at its head
    /// and acknowledged.
    ///
    /// # Errors
    /// When the database cannot be used, or it cannot go on; what was stored until then stays.
    pub async fn run(self, stop: CancellationToken) -> Result<(), CollectError> {
        let Self { options, tallies } = self;
        tallies.set(Tally::SitesListed, options.sites.len());
        let (ledgers, keeper) = Ledger::open(&options, uuid::Uuid::new_v4()).await?;
        let (done, outcomes) = mpsc::channel(DONE);
        // What runs beside ends with these, at the latest.
        let (mut writers, mut beside, mut keeping) = (Vec::new(), JoinSet::new(), JoinSet::new());
        for ledger in ledgers {
            let (work, queue) = mpsc::channel(QUEUE);
            beside.spawn(write(ledger, options.once, queue, done.clone()));
            writers.push(work);
        }
        let (roll, rolls) = watch::channel(Roll::default());
        keeping.spawn(keeper.run(roll));
        let board = Board::new(options.once);
        let desk = Desk::new(Arc::clone(&options), board, writers, outcomes, rolls, tallies.clone());
        let ended = connect_again_and_again(&options, &tallies, desk, &stop).await;
        // The desk is gone, and with it whoever listened to the keeper: it leaves.
        let _ = tokio::time::timeout(GOODBYE, keeping.join_next()).await;
        ended
    }
}

async fn connect_again_and_again(
    options: &Arc<Options>,
    tallies: &Tallies,
    mut desk: Desk,
    stop: &CancellationToken,
) -> Result<(), CollectError> {
    let mut failed = 0;
    loop {
        let tls = match &options.tls {
            Some(tls) => Some(tls.open().await?),
            None => None,
        };
        let (client, eventloop) = client(options, tls);
        let (signal, signals) = mpsc::channel(SIGNALS);
        let (heard, inbox) = mpsc::channel(INBOX);
        let mut session = JoinSet::new();
        session.spawn(listen(Arc::clone(options), eventloop, signal, heard, desk.missed(), tallies.clone()));
        let began = Instant::now();
        let ended = tokio::select! {
            Some(ended) = session.join_next() => ended.unwrap_or_else(|error| Ended::Lost(error.to_string())),
            finished = desk.serve(&client, signals, inbox) => match finished? {
                Finish::Done => return Ok(()),
                Finish::Stalled => Ended::Lost("the broker takes nothing any more".into()),
            },
            () = stop.cancelled() => return Ok(()),
        };
        tallies.set(Tally::Connected, 0);
        failed = if desk.disconnected() { 1 } else { failed + 1 };
        let broker = options.broker.to_string();
        match ended {
            Ended::Hopeless(error) => return Err(error),
            Ended::Lost(cause) if options.once && failed >= ATTEMPTS => {
                return Err(CollectError::Broker { broker, cause });
            }
            Ended::Refused(cause) if options.once => return Err(CollectError::Secured(cause)),
            Ended::Lost(cause) | Ended::Refused(cause) => {
                tracing::warn!(broker, cause, lasted = ?began.elapsed(), "not connected; trying again");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(RECONNECT) => {}
            () = stop.cancelled() => return Ok(()),
        }
    }
}
