//! The desk that obeys: commands in the order they came, each answered when it is on disk.
//!
//! The store remembers what became of an id and answers a repetition from memory; what could not be stored is not
//! remembered, so the cloud sends it again.

use std::{collections::VecDeque, sync::Arc};

use serde_json::Value;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    UplinkError,
    command::{CommandRequest, done, not_done, parse_command},
    link::Letter,
    messages::Malformed,
    refusal::{Code, Refusal},
    topics::Topics,
};
use crate::{
    domain::Clock,
    showroom::Command,
    store::{RequestKey, StoreHandle, SubmitError},
    telemetry::{Count, Telemetry},
};

/// Results kept for commands that are asked again after they expired: the answer is then what was done, not `expired`.
const RECENT: usize = 1024;

pub(super) struct CommandDesk {
    pub(super) store: StoreHandle,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) tray: mpsc::Receiver<Vec<u8>>,
    pub(super) out: mpsc::Sender<Letter>,
    pub(super) topics: Topics,
    pub(super) telemetry: Telemetry,
    pub(super) recent: Recent,
}

/// The newest commands that were done.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<(Uuid, u64)>);

impl Recent {
    fn pos_of(&self, id: Uuid) -> Option<u64> {
        self.0.iter().find(|(known, _)| *known == id).map(|(_, pos)| *pos)
    }

    fn remember(&mut self, id: Uuid, pos: u64) {
        if self.0.len() >= RECENT {
            self.0.pop_front();
        }
        self.0.push_back((id, pos));
    }
}

impl CommandDesk {
    /// Serves until the store or the connection's side is closed.
    pub(super) async fn run(mut self) -> Result<(), UplinkError> {
        while let Some(payload) = self.tray.recv().await {
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
                let letter = Letter { topic: self.topics.result(), payload, retain: false };
                // Closed only when the uplink ends.
                let _ = self.out.send(letter).await;
            }
        }
        Ok(())
    }

    async fn obey(&mut self, request: CommandRequest) -> Result<Vec<u8>, UplinkError> {
        let checked = request.check_age(self.clock.proven());
        let CommandRequest { id, written_id, command, .. } = request;
        let outcome = if let Err(refusal) = checked {
            self.recent.pos_of(id).ok_or(refusal)
        } else {
            // Written in one way, so that the same id in other letters is the same id.
            let key = RequestKey { source: "cloud".into(), id: id.to_string() };
            match self.store.submit(Some(key), Command::Cloud(command)).await {
                Ok(receipt) => Ok(receipt.pos),
                Err(SubmitError::Refused(refusal)) => Err(Refusal::from(refusal)),
                Err(error @ SubmitError::NotStored(_)) => Err(Refusal::new(Code::NotStored, error.to_string())),
                Err(SubmitError::Closed) => return Err(UplinkError::StoreClosed),
            }
        };
        Ok(match outcome {
            Ok(pos) => {
                self.recent.remember(id, pos);
                done(&written_id, pos)
            }
            Err(refusal) => {
                let problem = format!("a command was refused: {}", refusal.code.as_str());
                self.telemetry.problem(Count::CommandsRefused, "cloud", &problem);
                not_done(&Value::String(written_id), &refusal)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered_and_the_oldest_forgotten() {
        let mut recent = Recent::default();
        for n in 0..=RECENT as u64 {
            recent.remember(Uuid::from_u64_pair(7, n), n);
        }
        assert_eq!(recent.pos_of(Uuid::from_u64_pair(7, 0)), None);
        assert_eq!(recent.pos_of(Uuid::from_u64_pair(7, RECENT as u64)), Some(RECENT as u64));
        assert_eq!(recent.0.len(), RECENT);
    }
}
