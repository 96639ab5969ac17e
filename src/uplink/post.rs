//! What goes out: two bounded queues, so that answers about bulk lanes never stand before anything else.
//!
//! A letter may hold a [`Slot`]: a place among the batches under way, given back when the broker has acknowledged the
//! letter or the letter is lost, whatever happens first. Who reads pages waits for slots, so that what is under way is
//! bounded from the database to the broker.

use std::time::Duration;

use tokio::sync::mpsc;

use super::places::{BULK_OPEN, Class, Ticket};

/// Small answers that wait to be handed to the broker, and batches of `sales`.
const URGENT: usize = 32;

/// A message to the cloud.
#[derive(Debug)]
pub(super) struct Letter {
    /// Where it goes.
    pub(super) topic: String,
    /// What it says.
    pub(super) payload: Vec<u8>,
    /// Whether the broker keeps it for those who come later.
    pub(super) retain: bool,
    /// What is given back when it is delivered or lost.
    pub(super) slot: Option<Slot>,
}

impl Letter {
    /// One that holds up nothing.
    pub(super) fn new(topic: String, payload: Vec<u8>) -> Self {
        Self { topic, payload, retain: false, slot: None }
    }

    /// Whether everything else goes first.
    pub(super) fn is_bulk(&self) -> bool {
        self.slot.as_ref().is_some_and(|slot| slot.class == Class::Bulk)
    }
}

/// A place among the batches under way.
#[derive(Debug)]
pub(super) struct Slot {
    ticket: Ticket,
    class: Class,
    excess: Option<Duration>,
    back: mpsc::Sender<Freed>,
}

/// A slot that came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Freed {
    /// Whose.
    pub(super) ticket: Ticket,
    /// How much longer than a small message it was on its way; `None` when it was lost.
    pub(super) excess: Option<Duration>,
}

impl Slot {
    /// For the batch of `ticket`; `back` must have room for every slot there may be.
    pub(super) fn new(ticket: Ticket, class: Class, back: mpsc::Sender<Freed>) -> Self {
        Self { ticket, class, excess: None, back }
    }

    /// The broker has it.
    pub(super) fn delivered(mut self, excess: Duration) {
        self.excess = Some(excess);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Closed only when the uplink ends.
        let _ = self.back.try_send(Freed { ticket: self.ticket, excess: self.excess });
    }
}

/// The desks' side.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    urgent: mpsc::Sender<Letter>,
    bulk: mpsc::Sender<Letter>,
}

/// The connection's side.
#[derive(Debug)]
pub(super) struct Mail {
    urgent: mpsc::Receiver<Letter>,
    bulk: mpsc::Receiver<Letter>,
}

/// Empty queues.
pub(super) fn post() -> (Outbox, Mail) {
    let ((urgent, urgent_mail), (bulk, bulk_mail)) = (mpsc::channel(URGENT), mpsc::channel(BULK_OPEN));
    (Outbox { urgent, bulk }, Mail { urgent: urgent_mail, bulk: bulk_mail })
}

impl Outbox {
    /// Waits for room.
    pub(super) async fn send(&self, letter: Letter) {
        let queue = if letter.is_bulk() { &self.bulk } else { &self.urgent };
        // Closed only when the uplink ends.
        let _ = queue.send(letter).await;
    }

    /// For what may get lost: taken only while the queue is not half full, so that no flood stands before real answers.
    pub(super) fn offer(&self, letter: Letter) {
        if self.urgent.capacity() > URGENT / 2 {
            let _ = self.urgent.try_send(letter);
        }
    }
}

impl Mail {
    /// The next letter, of bulk lanes only if they have `room`; `None` when all desks are closed.
    pub(super) async fn next(&mut self, room: bool) -> Option<Letter> {
        tokio::select! {
            biased;
            letter = self.urgent.recv() => letter,
            Some(letter) = self.bulk.recv(), if room => Some(letter),
        }
    }

    /// What waits and is short, for the last words.
    pub(super) fn try_next(&mut self) -> Option<Letter> {
        self.urgent.try_recv().ok()
    }

    /// Empties the queues of desks that must not wait for a connection.
    pub(super) async fn discard(&mut self) -> std::convert::Infallible {
        while self.next(true).await.is_some() {}
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uplink::places::{LIMITS, Places};

    fn ticket() -> Ticket {
        Places::new(LIMITS).take(Class::Bulk).expect("one is free")
    }

    fn letter(text: &str, bulk: Option<&mpsc::Sender<Freed>>) -> Letter {
        let slot = bulk.map(|back| Slot::new(ticket(), Class::Bulk, back.clone()));
        Letter { slot, ..Letter::new(text.to_owned(), Vec::new()) }
    }

    #[tokio::test]
    async fn what_is_urgent_overtakes_bulk_and_bulk_waits_for_room() {
        let ((outbox, mut mail), (back, mut freed)) = (post(), mpsc::channel(8));
        outbox.send(letter("bulk", Some(&back))).await;
        outbox.send(letter("urgent", None)).await;
        assert_eq!(mail.next(true).await.map(|letter| letter.topic).as_deref(), Some("urgent"));
        tokio::select! {
            biased;
            letter = mail.next(false) => panic!("{letter:?} without room"),
            () = std::future::ready(()) => {}
        }
        let bulk = mail.next(true).await.expect("there is one");
        assert!(freed.try_recv().is_err(), "under way");
        bulk.slot.expect("has one").delivered(Duration::from_secs(2));
        assert_eq!(freed.try_recv(), Ok(Freed { ticket: ticket(), excess: Some(Duration::from_secs(2)) }));
    }

    #[tokio::test]
    async fn a_letter_that_is_lost_gives_its_slot_back() {
        let ((outbox, mut mail), (back, mut freed)) = (post(), mpsc::channel(8));
        outbox.send(letter("bulk", Some(&back))).await;
        tokio::select! { biased; never = mail.discard() => match never {}, () = std::future::ready(()) => {} }
        assert_eq!(freed.try_recv(), Ok(Freed { ticket: ticket(), excess: None }));
    }

    #[test]
    fn floods_leave_half_of_the_queue_to_real_answers() {
        let (outbox, mut mail) = post();
        (0..1_000).for_each(|_| outbox.offer(letter("no", None)));
        let mut kept = 0;
        while mail.try_next().is_some() {
            kept += 1;
        }
        assert_eq!(kept, URGENT / 2);
    }
}
