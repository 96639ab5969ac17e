//! The desk that moves cursors: an acknowledgement is answered when the store has it on disk, one after the other.

use serde_json::Value;
use tokio::{sync::mpsc, time::Instant};

use super::{
    UplinkError,
    allowance::Allowance,
    link::Letter,
    messages::{AckRequest, Malformed, acked, parse_ack, refused_ack},
    refusal::{Code, Refusal},
    topics::Topics,
};
use crate::{
    domain::ConsumerId,
    store::{AckError, StoreHandle},
    telemetry::{Count, Telemetry},
};

pub(super) struct AckDesk {
    pub(super) store: StoreHandle,
    pub(super) consumers: Vec<ConsumerId>,
    pub(super) tray: mpsc::Receiver<(ConsumerId, Vec<u8>)>,
    pub(super) out: mpsc::Sender<Letter>,
    pub(super) topics: Topics,
    pub(super) telemetry: Telemetry,
    pub(super) began: Instant,
}

impl AckDesk {
    /// Serves until the store or the connection's side is closed.
    pub(super) async fn run(mut self) -> Result<(), UplinkError> {
        let mut strangers = Allowance::default();
        while let Some((consumer, payload)) = self.tray.recv().await {
            let stranger = !self.consumers.contains(&consumer);
            if stranger && !strangers.take(self.began.elapsed()) {
                self.telemetry.count(Count::PullsRefused);
                continue;
            }
            let answer = match parse_ack(&payload) {
                Err(Malformed { about, refusal }) => {
                    self.telemetry.count(Count::UplinkMessagesBad);
                    self.refuse(&consumer, &about.unwrap_or(Value::Null), &refusal)
                }
                Ok(request) if stranger => {
                    let message =
                        format!("consumer {consumer} is not in this box's configuration ([uplink] consumers)");
                    let refusal = Refusal::new(Code::UnknownConsumer, message);
                    self.refuse(&consumer, &Value::from(request.lane.as_str()), &refusal)
                }
                Ok(request) => self.acknowledge(&consumer, request).await?,
            };
            let letter = Letter { topic: self.topics.acked(&consumer), payload: answer, retain: false };
            // Closed only when the uplink ends.
            let _ = self.out.send(letter).await;
        }
        Ok(())
    }

    async fn acknowledge(&self, consumer: &ConsumerId, request: AckRequest) -> Result<Vec<u8>, UplinkError> {
        let AckRequest { lane, epoch, upto } = request;
        let refusal = match self.store.acknowledge(consumer.clone(), lane, epoch, upto).await {
            Ok(cursor) => return Ok(acked(lane, epoch, cursor)),
            Err(AckError::Closed) => return Err(UplinkError::StoreClosed),
            Err(AckError::EpochChanged { epoch }) => Refusal::epoch_changed(epoch),
            Err(AckError::BeyondHead { head }) => {
                let message = format!("lane {} is at {head}, not at {upto}", lane.as_str());
                Refusal::new(Code::AfterBeyondHead, message)
            }
            Err(error @ AckError::NotStored(_)) => Refusal::new(Code::NotStored, error.to_string()),
        };
        Ok(self.refuse(consumer, &Value::from(lane.as_str()), &refusal))
    }

    fn refuse(&self, consumer: &ConsumerId, lane: &Value, refusal: &Refusal) -> Vec<u8> {
        let problem = format!("an acknowledgement was refused: {}", refusal.code.as_str());
        self.telemetry.problem(Count::PullsRefused, consumer.as_str(), &problem);
        refused_ack(lane, refusal)
    }
}
