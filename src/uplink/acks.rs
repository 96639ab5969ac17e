//! The desk that moves cursors: an acknowledgement is answered when the store has it on disk, one after the other.

use std::convert::Infallible;

use serde_json::Value;

use super::{
    UplinkError,
    inbox::Tray,
    messages::{AckRequest, Malformed, acked, parse_ack, refused_ack},
    post::{Letter, Outbox},
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
    pub(super) tray: Tray<ConsumerId>,
    pub(super) out: Outbox,
    pub(super) topics: Topics,
    pub(super) telemetry: Telemetry,
}

impl AckDesk {
    /// Serves until the store is closed.
    pub(super) async fn run(self) -> Result<Infallible, UplinkError> {
        loop {
            let (consumer, payload) = self.tray.next().await;
            let answer = match parse_ack(&payload) {
                Err(Malformed { about, refusal }) => {
                    self.telemetry.count(Count::UplinkMessagesBad);
                    self.refuse(&consumer, &about.unwrap_or(Value::Null), &refusal)
                }
                Ok(request) => self.acknowledge(&consumer, request).await?,
            };
            self.out.send(Letter::new(self.topics.acked(&consumer), answer)).await;
        }
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
