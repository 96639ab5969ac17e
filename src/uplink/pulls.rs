//! The desk that answers pulls: feeds [`SyncState`] with what happens and does what it says.

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use super::{
    UplinkError,
    link::Letter,
    messages::{Malformed, parse_pull, refused_pull},
    refusal::Code,
    sync::{Output, SyncState},
    topics::Topics,
};
use crate::{
    domain::ConsumerId,
    store::{Heads, LaneQuery, Reader},
    telemetry::{Count, Telemetry},
};

pub(super) struct PullDesk {
    pub(super) sync: SyncState,
    pub(super) reader: Reader,
    pub(super) heads: watch::Receiver<Heads>,
    pub(super) tray: mpsc::Receiver<(ConsumerId, Vec<u8>)>,
    pub(super) out: mpsc::Sender<Letter>,
    pub(super) topics: Topics,
    pub(super) telemetry: Telemetry,
    pub(super) began: Instant,
}

impl PullDesk {
    /// Serves until the store or the connection's side is closed.
    pub(super) async fn run(mut self) -> Result<(), UplinkError> {
        let mut pages = FuturesUnordered::new();
        loop {
            let deadline = self.sync.next_deadline();
            let outputs = tokio::select! {
                message = self.tray.recv() => match message {
                    Some((consumer, payload)) => self.ask(&consumer, &payload).await,
                    None => return Ok(()),
                },
                changed = self.heads.changed() => {
                    changed.map_err(|_| UplinkError::StoreClosed)?;
                    let heads = *self.heads.borrow_and_update();
                    self.sync.heads(heads)
                }
                Some((ticket, page)) = pages.next() => self.sync.page(ticket, page),
                () = sleep_until(self.began, deadline) => self.sync.tick(self.began.elapsed()),
            };
            for output in outputs {
                match output {
                    Output::Read { ticket, query } => {
                        let page = read(self.reader.clone(), query, self.telemetry.clone());
                        pages.push(async move { (ticket, page.await) });
                    }
                    Output::Answer { consumer, payload, refused } => self.answer(&consumer, payload, refused).await,
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
                    self.answer(consumer, refused_pull(id, &refusal), Some(refusal.code)).await;
                }
                Vec::new()
            }
        }
    }

    async fn answer(&self, consumer: &ConsumerId, payload: Vec<u8>, refused: Option<Code>) {
        match refused {
            None => self.telemetry.count(Count::Pulls),
            // A consumer that asks anew is not a problem.
            Some(Code::Superseded) => self.telemetry.count(Count::PullsRefused),
            Some(code) => {
                let problem = format!("a pull was refused: {}", code.as_str());
                self.telemetry.problem(Count::PullsRefused, consumer.as_str(), &problem);
            }
        }
        let letter = Letter { topic: self.topics.batch(consumer), payload, retain: false };
        // Closed only when the uplink ends.
        let _ = self.out.send(letter).await;
    }
}

async fn read(
    reader: Reader,
    query: LaneQuery,
    telemetry: Telemetry,
) -> Result<Vec<crate::domain::LaneItem>, crate::store::ReadError> {
    let page = reader.lane_page(query).await;
    if let Err(error) = &page {
        telemetry.problem(Count::StoreErrors, "uplink", error);
    }
    page
}

/// Waits for a moment of the clock that began at `began`; for ever when there is none.
async fn sleep_until(began: Instant, deadline: Option<Duration>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(began + deadline).await,
        None => std::future::pending().await,
    }
}
