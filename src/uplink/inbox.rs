//! From the event loop to the desks: bounded queues into which nobody ever waits.
//!
//! Each consumer has a queue of its own, and they are served in turns; whom the configuration does not name is refused here.
//! A full queue is the sender's to know: the message is counted and, if it can be named, answered `too_many_requests`.
//! The library has told the broker by then that it arrived: such an acknowledgement promises nothing, here as everywhere.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::sync::Notify;

use super::{
    allowance::Allowance,
    command,
    fields::{Fields, find_id},
    messages,
    post::{Letter, Outbox},
    refusal::{Code, Refusal},
    rounds::{Room, Rounds},
    topics::{Inbound, Topics},
};
use crate::{
    domain::ConsumerId,
    telemetry::{Count, Telemetry},
};

/// Longest pull or acknowledgement, bytes: they are some hundred.
const MAX_QUESTION: usize = 64 * 1024;
/// Questions of one consumer that wait: one that waits for its answers has three at most, one for each lane.
const QUESTIONS: Room = Room { messages: 16, bytes: 2 * MAX_QUESTION };
/// Commands that wait; each is at most 1 MiB, usually some hundred bytes.
const COMMANDS: Room = Room { messages: 32, bytes: 2 * 1024 * 1024 };

/// A queue and its bell.
struct Shelf<W> {
    rounds: Mutex<Rounds<W>>,
    bell: Notify,
}

/// One desk's end of a queue, or the event loop's.
pub(super) struct Tray<W>(Arc<Shelf<W>>);

impl<W: Ord + Clone> Tray<W> {
    fn pair(room: Room) -> (Self, Self) {
        let shelf = Arc::new(Shelf { rounds: Mutex::new(Rounds::new(room)), bell: Notify::new() });
        (Self(Arc::clone(&shelf)), Self(shelf))
    }

    fn put(&self, sender: W, message: Vec<u8>) -> Result<(), Vec<u8>> {
        let put = self.0.rounds.lock().unwrap_or_else(PoisonError::into_inner).put(sender, message);
        self.0.bell.notify_one();
        put
    }

    /// Waits for a message. For one desk alone.
    pub(super) async fn next(&self) -> (W, Vec<u8>) {
        loop {
            let taken = self.0.rounds.lock().unwrap_or_else(PoisonError::into_inner).take();
            match taken {
                Some(taken) => return taken,
                None => self.0.bell.notified().await,
            }
        }
    }
}

/// The event loop's side.
pub(super) struct Inboxes {
    pulls: Tray<ConsumerId>,
    acks: Tray<ConsumerId>,
    commands: Tray<()>,
    consumers: Vec<ConsumerId>,
    strangers: Mutex<Allowance>,
    out: Outbox,
    topics: Topics,
    telemetry: Telemetry,
}

/// The desks' side.
pub(super) struct Trays {
    pub(super) pulls: Tray<ConsumerId>,
    pub(super) acks: Tray<ConsumerId>,
    pub(super) commands: Tray<()>,
}

impl Inboxes {
    /// Empty queues for these consumers; refusals go to `out`.
    pub(super) fn new(consumers: Vec<ConsumerId>, out: Outbox, topics: Topics, telemetry: Telemetry) -> (Self, Trays) {
        let (pulls, pulls_tray) = Tray::pair(QUESTIONS);
        let (acks, acks_tray) = Tray::pair(QUESTIONS);
        let (commands, commands_tray) = Tray::pair(COMMANDS);
        let strangers = Mutex::default();
        let inboxes = Self { pulls, acks, commands, consumers, strangers, out, topics, telemetry };
        (inboxes, Trays { pulls: pulls_tray, acks: acks_tray, commands: commands_tray })
    }

    /// Hands a message to its desk; `now` is the time since the uplink began.
    pub(super) fn put(&self, inbound: Inbound, payload: Vec<u8>, now: Duration) {
        let refused = match inbound {
            Inbound::Pull(who) => self.ask(&self.pulls, &who, payload, now).map(|(payload, refusal)| {
                let id = find_id(&payload)?;
                Some((self.topics.batch(&who), messages::refused_pull(&id, &refusal)))
            }),
            Inbound::Ack(who) => self.ask(&self.acks, &who, payload, now).map(|(payload, refusal)| {
                let lane = Fields::parse(&payload).ok().and_then(|fields| fields.short_text("lane"));
                Some((self.topics.acked(&who), messages::refused_ack(&Value::from(lane), &refusal)))
            }),
            Inbound::Command => self.commands.put((), payload).err().map(|payload| {
                let id = find_id(&payload)?;
                Some((self.topics.result(), command::not_done(&Value::String(id), &full())))
            }),
        };
        if let Some((topic, payload)) = refused.flatten() {
            self.out.offer(Letter::new(topic, payload));
        }
    }

    /// Puts a question into its consumer's queue, or gives it back with why not; what is not even answered is counted.
    fn ask(
        &self,
        tray: &Tray<ConsumerId>,
        who: &ConsumerId,
        payload: Vec<u8>,
        now: Duration,
    ) -> Option<(Vec<u8>, Refusal)> {
        if !self.consumers.contains(who) {
            // Anybody can make up names: they are all told together, and only now and then.
            self.telemetry.problem(Count::PullsRefused, "strangers", &"a consumer is not in [uplink] consumers");
            let told = self.strangers.lock().unwrap_or_else(PoisonError::into_inner).take(now);
            let message = format!("consumer {who} is not in this box's configuration ([uplink] consumers)");
            return told.then(|| (payload, Refusal::new(Code::UnknownConsumer, message)));
        }
        if payload.len() > MAX_QUESTION {
            self.telemetry.problem(Count::UplinkMessagesBad, who.as_str(), &"a question is too long");
            return Some((payload, Refusal::bad(format!("the message is longer than {MAX_QUESTION} bytes"))));
        }
        let back = tray.put(who.clone(), payload).err()?;
        self.telemetry.problem(Count::PullsRefused, who.as_str(), &"questions come faster than they can be answered");
        Some((back, full()))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::uplink::post::{Mail, post};

    fn desk() -> (Inboxes, Trays, Mail) {
        let (out, mail) = post();
        let topics = Topics::new(&"hel-01".parse().expect("id"));
        let (inboxes, trays) = Inboxes::new(vec![name("cloud"), name("spare")], out, topics, Telemetry::default());
        (inboxes, trays, mail)
    }

    fn name(text: &str) -> ConsumerId {
        text.parse().expect("id")
    }

    fn told(mail: &mut Mail) -> Vec<(String, String)> {
        let letter = |letter: Letter| {
            let body: Value = serde_json::from_slice(&letter.payload).expect("JSON");
            let code = body["error"]["code"].as_str().expect("a code").to_owned();
            (letter.topic.rsplit_once("v1/hel-01/").expect("a topic").1.to_owned(), code)
        };
        std::iter::from_fn(|| mail.try_next()).map(letter).collect()
    }

    #[tokio::test]
    async fn a_flood_of_one_consumer_is_refused_and_another_is_served_next() {
        let (inboxes, trays, mut mail) = desk();
        for n in 0..1_000 {
            let pull = json!({"id": n.to_string(), "lane": "trace", "after": 0}).to_string();
            inboxes.put(Inbound::Pull(name("cloud")), pull.into_bytes(), Duration::ZERO);
        }
        inboxes.put(Inbound::Pull(name("spare")), b"{}".to_vec(), Duration::ZERO);
        assert_eq!(trays.pulls.next().await.0, name("cloud"));
        assert_eq!(trays.pulls.next().await.0, name("spare"));
        let told = told(&mut mail);
        assert!((1..=16).contains(&told.len()), "{}", told.len());
        assert!(told.iter().all(|said| *said == ("batch/cloud".into(), "too_many_requests".into())));
        assert_eq!(inboxes.telemetry.get(Count::PullsRefused), 1_000 - 16);
    }

    #[tokio::test]
    async fn strangers_and_letters_that_are_no_questions_do_not_get_to_a_desk() {
        let (inboxes, trays, mut mail) = desk();
        for n in 0..1_000 {
            let pull = json!({"id": "q", "lane": "trace", "after": 0}).to_string();
            inboxes.put(Inbound::Pull(name(&format!("made-up-{n}"))), pull.into_bytes(), Duration::ZERO);
        }
        assert_eq!(told(&mut mail).iter().filter(|(_, code)| code == "unknown_consumer").count(), 10);
        let ack = json!({"lane": "sales"}).to_string();
        inboxes.put(Inbound::Ack(name("nobody")), ack.into_bytes(), Duration::from_mins(1));
        assert_eq!(told(&mut mail), [("acked/nobody".into(), "unknown_consumer".into())]);
        let long = format!("{{\"id\":\"q\",\"x\":\"{}\"}}", "x".repeat(MAX_QUESTION));
        inboxes.put(Inbound::Pull(name("cloud")), long.into_bytes(), Duration::ZERO);
        assert_eq!(told(&mut mail), [("batch/cloud".into(), "bad_request".into())]);
        tokio::select! {
            biased;
            (who, _) = trays.pulls.next() => panic!("{who} got to the desk"),
            (who, _) = trays.acks.next() => panic!("{who} got to the desk"),
            () = std::future::ready(()) => {}
        }
    }

    #[tokio::test]
    async fn commands_are_taken_in_order_and_refused_by_id_when_too_many_wait() {
        let (inboxes, trays, mut mail) = desk();
        for n in 0..40 {
            inboxes.put(Inbound::Command, format!("{{\"id\":\"{n}\"}}").into_bytes(), Duration::ZERO);
        }
        assert_eq!(told(&mut mail), vec![("result".to_owned(), "too_many_requests".to_owned()); 8]);
        for n in 0..32 {
            assert_eq!(trays.commands.next().await.1, format!("{{\"id\":\"{n}\"}}").into_bytes());
        }
    }
}
