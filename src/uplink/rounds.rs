//! A bounded queue for each sender, served in turns: whoever floods the box fills a queue of its own and nobody else's.

use std::collections::{BTreeMap, VecDeque};

/// How much of one sender may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    /// Messages.
    pub(super) messages: usize,
    /// Bytes of all of them; a single message may be longer.
    pub(super) bytes: usize,
}

#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
}

/// Who waits with what.
#[derive(Debug)]
pub(super) struct Rounds<W> {
    room: Room,
    lines: BTreeMap<W, Line>,
    turns: VecDeque<W>,
}

impl<W: Ord + Clone> Rounds<W> {
    /// Nobody waits yet.
    pub(super) fn new(room: Room) -> Self {
        Self { room, lines: BTreeMap::new(), turns: VecDeque::new() }
    }

    /// Puts a message behind those of the same sender.
    ///
    /// # Errors
    /// Gives it back when too much of that sender waits.
    pub(super) fn put(&mut self, sender: W, message: Vec<u8>) -> Result<(), Vec<u8>> {
        let line = self.lines.entry(sender.clone()).or_default();
        let fits = line.bytes + message.len() <= self.room.bytes || line.waiting.is_empty();
        if !fits || line.waiting.len() >= self.room.messages {
            return Err(message);
        }
        if line.waiting.is_empty() {
            self.turns.push_back(sender);
        }
        line.bytes += message.len();
        line.waiting.push_back(message);
        Ok(())
    }

    /// The oldest message of whoever's turn it is.
    pub(super) fn take(&mut self) -> Option<(W, Vec<u8>)> {
        let sender = self.turns.pop_front()?;
        let line = self.lines.get_mut(&sender)?;
        let message = line.waiting.pop_front()?;
        line.bytes -= message.len();
        if line.waiting.is_empty() {
            self.lines.remove(&sender);
        } else {
            self.turns.push_back(sender.clone());
        }
        Some((sender, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_leaves_the_others_their_turn() {
        let mut rounds = Rounds::new(Room { messages: 16, bytes: 1_000 });
        let taken = (0..1_000).filter(|n| rounds.put("noisy", vec![*n as u8]).is_ok()).count();
        assert_eq!(taken, 16);
        rounds.put("calm", vec![1]).expect("room of its own");
        assert_eq!(rounds.take(), Some(("noisy", vec![0])));
        assert_eq!(rounds.take(), Some(("calm", vec![1])));
        assert_eq!(std::iter::from_fn(|| rounds.take()).count(), 15);
        assert!(rounds.lines.is_empty() && rounds.turns.is_empty());
    }

    #[test]
    fn bytes_are_bounded_but_a_single_message_always_fits() {
        let mut rounds = Rounds::new(Room { messages: 16, bytes: 10 });
        rounds.put("a", vec![0; 50]).expect("alone");
        assert_eq!(rounds.put("a", vec![1]), Err(vec![1]));
        rounds.take();
        rounds.put("a", vec![0; 6]).expect("fits");
        assert!(rounds.put("a", vec![0; 5]).is_err());
        rounds.put("a", vec![0; 4]).expect("fits");
    }
}
