//! From the event loop to the desks: bounded queues into which nobody ever waits.
//!
//! A full queue is the sender's to know: the message is counted and, if it can be named, answered `too_many_requests`.

use serde_json::Value;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::{
    command,
    fields::{Fields, find_id},
    link::Letter,
    messages,
    refusal::{Code, Refusal},
    topics::{Inbound, Topics},
};
use crate::{
    domain::ConsumerId,
    telemetry::{Count, Telemetry},
};

/// Messages that wait at one desk; each is at most 1 MiB, usually some hundred bytes.
const ROOM: usize = 32;

/// The event loop's side.
pub(super) struct Inboxes {
    pulls: Sender<(ConsumerId, Vec<u8>)>,
    acks: Sender<(ConsumerId, Vec<u8>)>,
    commands: Sender<Vec<u8>>,
    out: Sender<Letter>,
    topics: Topics,
    telemetry: Telemetry,
}

/// The desks' side.
pub(super) struct Trays {
    pub(super) pulls: Receiver<(ConsumerId, Vec<u8>)>,
    pub(super) acks: Receiver<(ConsumerId, Vec<u8>)>,
    pub(super) commands: Receiver<Vec<u8>>,
}

impl Inboxes {
    /// Empty queues; refusals go to `out`.
    pub(super) fn new(out: Sender<Letter>, topics: Topics, telemetry: Telemetry) -> (Self, Trays) {
        let (pulls, pulls_tray) = channel(ROOM);
        let (acks, acks_tray) = channel(ROOM);
        let (commands, commands_tray) = channel(ROOM);
        let inboxes = Self { pulls, acks, commands, out, topics, telemetry };
        (inboxes, Trays { pulls: pulls_tray, acks: acks_tray, commands: commands_tray })
    }

    /// Hands a message to its desk.
    pub(super) fn put(&self, inbound: Inbound, payload: Vec<u8>) {
        let refused = match inbound {
            Inbound::Pull(who) => self.pulls.try_send((who, payload)).err().and_then(|back| {
                let (who, payload) = back.into_inner();
                let id = find_id(&payload)?;
                Some((self.topics.batch(&who), messages::refused_pull(&id, &full())))
            }),
            Inbound::Ack(who) => self.acks.try_send((who, payload)).err().map(|back| {
                let (who, payload) = back.into_inner();
                let lane = Fields::parse(&payload).ok().and_then(|fields| fields.get("lane").cloned());
                (self.topics.acked(&who), messages::refused_ack(&lane.unwrap_or(Value::Null), &full()))
            }),
            Inbound::Command => self.commands.try_send(payload).err().and_then(|back| {
                let id = find_id(&back.into_inner())?;
                Some((self.topics.result(), command::not_done(&Value::String(id), &full())))
            }),
        };
        if let Some((topic, payload)) = refused {
            self.telemetry.problem(Count::PullsRefused, "uplink", &"messages come faster than they can be answered");
            // Also full: whoever floods us is not told so.
            let _ = self.out.try_send(Letter { topic, payload, retain: false });
        }
    }

    /// A message that cannot be given to any desk.
    pub(super) fn unreadable(&self) {
        self.telemetry.problem(Count::UplinkMessagesBad, "uplink", &"a message is too large or on no topic of ours");
    }

    /// A retained message would come again at every connection: it is not obeyed.
    pub(super) fn retained(&self, inbound: &Inbound) {
        let problem = format!("a retained message was ignored ({inbound:?}); publish it without the retain flag");
        self.telemetry.problem(Count::UplinkMessagesBad, "uplink", &problem);
    }
}

fn full() -> Refusal {
    Refusal::new(Code::TooManyRequests, "messages come faster than they can be answered; ask later")
}
