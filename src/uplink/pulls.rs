//! The desk that answers pulls: feeds [`SyncState`] with what happens and does what it says.
//!
//! Pages are read and made batches of on blocking threads: compressing a megabyte would hold up everything else here.

use std::{convert::Infallible, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{
    UplinkError,
    batch::{self, Batch, Source},
    inbox::Tray,
    messages::{Malformed, PullRequest, parse_pull, refused_pull},
    places::{BULK_OPEN, SALES_OPEN, Ticket},
    post::{Freed, Letter, Outbox, Slot},
    refusal::Code,
    sync::{Output, SyncState},
    topics::Topics,
};
use crate::{
    domain::ConsumerId,
    store::{Heads, LaneQuery, Reader},
    telemetry::{Count, Telemetry},
};

const UNREADABLE: &str = "the lane could not be read; the box's log says why; ask later";

pub(super) struct PullDesk {
    pub(super) sync: SyncState,
    pub(super) pages: Pages,
    pub(super) tray: Tray<ConsumerId>,
    pub(super) out: Outbox,
    pub(super) topics: Topics,
    pub(super) telemetry: Telemetry,
    pub(super) began: Instant,
}

/// Where batches are made.
#[derive(Clone)]
pub(super) struct Pages {
    pub(super) source: Source,
    pub(super) reader: Reader,
    pub(super) heads: watch::Receiver<Heads>,
    pub(super) telemetry: Telemetry,
}

impl PullDesk {
    /// Serves until the store is closed.
    pub(super) async fn run(mut self) -> Result<Infallible, UplinkError> {
        let mut making = FuturesUnordered::new();
        let mut heads = self.pages.heads.clone();
        // Room for every slot there may be: giving one back never waits.
        let (back, mut freed) = mpsc::channel(BULK_OPEN + SALES_OPEN);
        loop {
            let deadline = self.sync.next_deadline();
            let outputs = tokio::select! {
                (consumer, payload) = self.tray.next() => self.ask(&consumer, &payload).await,
                changed = heads.changed() => {
                    changed.map_err(|_| UplinkError::StoreClosed)?;
                    let heads = *heads.borrow_and_update();
                    self.sync.heads(heads)
                }
                Some((ticket, batch)) = making.next() => self.sync.made(ticket, batch),
                Some(Freed { ticket, excess }) = freed.recv() => self.sync.freed(ticket, excess),
                () = sleep_until(self.began, deadline) => self.sync.tick(self.began.elapsed()),
            };
            for output in outputs {
                match output {
                    Output::Read { ticket, request } => making.push(self.pages.clone().make(ticket, request)),
                    Output::Answer { consumer, payload, refused, place } => {
                        let slot = place.map(|(ticket, class)| Slot::new(ticket, class, back.clone()));
                        self.answer(&consumer, payload, refused, slot).await;
                    }
                }
            }
        }
    }

    async fn ask(&mut self, consumer: &ConsumerId, payload: &[u8]) -> Vec<Output> {
        match parse_pull(payload) {
            Ok(request) => self.sync.pull(consumer, request, self.began.elapsed()),
            Err(Malformed { about, refusal }) => {
                self.telemetry.problem(Count::UplinkMessagesBad, consumer.as_str(), &"a pull could not be read");
                if let Some(id) = about.as_ref().and_then(serde_json::Value::as_str) {
                    self.answer(consumer, refused_pull(id, &refusal), Some(refusal.code), None).await;
                }
                Vec::new()
            }
        }
    }

    async fn answer(&self, consumer: &ConsumerId, payload: Vec<u8>, refused: Option<Code>, slot: Option<Slot>) {
        match refused {
            None => self.telemetry.count(Count::Pulls),
            // A consumer that asks anew is not a problem.
            Some(Code::Superseded) => self.telemetry.count(Count::PullsRefused),
            Some(code) => {
                let problem = format!("a pull was refused: {}", code.as_str());
                self.telemetry.problem(Count::PullsRefused, consumer.as_str(), &problem);
            }
        }
        self.out.send(Letter { slot, ..Letter::new(self.topics.batch(consumer), payload) }).await;
    }
}

impl Pages {
    async fn make(self, ticket: Ticket, request: PullRequest) -> (Ticket, Result<Batch, String>) {
        let PullRequest { lane, after, max_events, max_bytes, .. } = request;
        let page = match self.reader.lane_page(LaneQuery { lane, after, max_items: max_events, max_bytes }).await {
            Ok(page) => page,
            Err(error) => {
                self.telemetry.problem(Count::StoreErrors, "uplink", &error);
                return (ticket, Err(UNREADABLE.into()));
            }
        };
        let head = self.heads.borrow().of(lane);
        let work = move || batch::build(&self.source, &request, head, &page);
        let batch = match tokio::task::spawn_blocking(work).await {
            Ok(made) => made.map_err(|hole| hole.to_string()),
            Err(_) => Err(UNREADABLE.to_owned()),
        };
        (ticket, batch)
    }
}

/// Waits for a moment of the clock that began at `began`; for ever when there is none.
async fn sleep_until(began: Instant, deadline: Option<Duration>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(began + deadline).await,
        None => std::future::pending().await,
    }
}
