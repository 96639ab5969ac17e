//! The desk that obeys: commands in the order they came, each answered when it is on disk.
//!
//! The store remembers what became of an id and answers a repetition from memory, also one that would be too late by now;
//! what could not be stored is not remembered, so the cloud sends it again.

use std::{convert::Infallible, sync::Arc};

use serde_json::Value;

use super::{
    UplinkError,
    command::{CommandRequest, done, not_done, parse_command},
    inbox::Tray,
    messages::Malformed,
    post::{Letter, Outbox},
    refusal::{Code, Refusal},
    topics::Topics,
};
use crate::{
    domain::Clock,
    showroom::Command,
    store::{RequestKey, StoreHandle, SubmitError},
    telemetry::{Count, Telemetry},
};

pub(super) struct CommandDesk {
    pub(super) store: StoreHandle,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tray: Tray<()>,
    pub(super) out: Outbox,
    pub(super) topics: Topics,
    pub(super) telemetry: Telemetry,
}

impl CommandDesk {
    /// Serves until the store is closed.
    pub(super) async fn run(self) -> Result<Infallible, UplinkError> {
        loop {
            let ((), payload) = self.tray.next().await;
            let answer = match parse_command(&payload) {
                Ok(request) => {
                    self.telemetry.count(Count::CloudCommands);
                    Some(self.obey(request).await?)
                }
                Err(Malformed { about, refusal }) => {
                    let problem = format!("a command could not be read: {}", refusal.code.as_str());
                    self.telemetry.problem(Count::UplinkMessagesBad, "command", &problem);
                    about.map(|id| not_done(&id, &refusal))
                }
            };
            if let Some(payload) = answer {
                self.out.send(Letter::new(self.topics.result(), payload)).await;
            }
        }
    }

    async fn obey(&self, request: CommandRequest) -> Result<Vec<u8>, UplinkError> {
        let checked = request.check_age(self.clock.proven());
        let CommandRequest { id, written_id, command, .. } = request;
        // Written in one way, so that the same id in other letters is the same id.
        let key = RequestKey { source: "cloud".into(), id: id.to_string() };
        let outcome = match checked {
            Err(refusal) => self.known(key).await.unwrap_or(Err(refusal)),
            Ok(()) => match self.store.submit(Some(key), Command::Cloud(command)).await {
                Ok(receipt) => Ok(receipt.pos),
                Err(SubmitError::Refused(refusal)) => Err(Refusal::from(refusal)),
                Err(error @ SubmitError::NotStored(_)) => Err(Refusal::new(Code::NotStored, error.to_string())),
                Err(SubmitError::Closed) => return Err(UplinkError::StoreClosed),
            },
        };
        Ok(match outcome {
            Ok(pos) => done(&written_id, pos),
            Err(refusal) => {
                let problem = format!("a command was refused: {}", refusal.code.as_str());
                self.telemetry.problem(Count::CommandsRefused, "cloud", &problem);
                not_done(&Value::String(written_id), &refusal)
            }
        })
    }

    /// What became of a command that is asked again too late: the answer is that, and not `expired`.
    async fn known(&self, key: RequestKey) -> Option<Result<u64, Refusal>> {
        match self.store.reader().outcome(key).await {
            Ok(outcome) => outcome.map(|outcome| outcome.map_err(Refusal::from)),
            Err(error) => {
                self.telemetry.problem(Count::StoreErrors, "uplink", &error);
                Some(Err(Refusal::new(Code::NotStored, "what became of it could not be read; ask later")))
            }
        }
    }
}
