//! Judges one message after the other: known receiver? known format? believable time? What is good becomes readings of
//! the batch; what is bad is counted, with its reason in the log once per receiver and minute. Knows no transport.
//!
//! Never named in a log line: a topic of ESPresense, because it holds the address of somebody's telephone.

use std::sync::Arc;

use super::{AnchorBook, Now, Stamping};
use crate::{
    decode::{self, DecodeError, Heard, Message, Rejected},
    domain::{AnchorId, Reading, Timestamp},
    telemetry::{Count, Telemetry},
};

/// The desk that all messages pass.
pub(super) struct Intake {
    pub(super) stamping: Stamping,
    pub(super) now: Now,
    pub(super) telemetry: Telemetry,
    pub(super) book: Arc<AnchorBook>,
    /// What was taken and not yet handed on.
    pub(super) batch: Vec<Reading>,
}

impl Intake {
    /// Takes one message; `retained` when the broker had kept it from before we subscribed.
    pub(super) fn take(&mut self, topic: &str, payload: &[u8], retained: bool) {
        self.telemetry.count(Count::AnchorMessages);
        match decode::anchor_message(topic, payload) {
            Ok(Message::Ignored) => {}
            Ok(Message::State { anchor, online }) => {
                let at = (self.now)();
                let known = self.book.note(anchor.as_str(), |seen| {
                    seen.messages += 1;
                    seen.online = Some(online);
                    // A retained state is from any time, and a last will is the broker's word.
                    if online && !retained {
                        seen.last = Some(at);
                    }
                });
                self.expect_known(known, &anchor);
            }
            // Nobody is here because an anchor heard them before we came.
            Ok(Message::Heard { anchor, .. } | Message::Health { anchor, .. }) if retained => {
                self.book.note(anchor.as_str(), |seen| seen.bad += 1);
                let why = format!("retained message of anchor {anchor} ignored: it must publish without retain");
                self.telemetry.problem(Count::AnchorMessagesBad, anchor.as_str(), &why);
            }
            Ok(Message::Health { anchor, health }) => {
                let at = (self.now)();
                let known = self.book.note(anchor.as_str(), |seen| {
                    seen.messages += 1;
                    seen.last = Some(at);
                    seen.health = Some(health);
                });
                self.expect_known(known, &anchor);
            }
            Ok(Message::Heard { anchor, items, at, seq, rejected }) => {
                self.heard(&anchor, items, at, seq, &rejected);
            }
            Err(error) => self.refuse(topic, &error),
        }
    }

    fn heard(&mut self, anchor: &AnchorId, items: Vec<Heard>, at: Option<f64>, seq: Option<u64>, rejected: &Rejected) {
        let arrived = (self.now)();
        let adverts = items.len() as u64;
        let sent = self.stamping.sent(arrived, at);
        let (taken, bad) = if sent.is_ok() { (adverts, rejected.count) } else { (0, adverts + rejected.count) };
        let known = self.book.note(anchor.as_str(), |seen| {
            seen.messages += 1;
            seen.last = Some(arrived);
            seen.adverts += taken;
            seen.bad += bad;
            seen.batch(seq);
        });
        self.expect_known(known, anchor);
        if !known {
            return;
        }
        if let Some(why) = &rejected.first {
            self.bad_readings(anchor.as_str(), rejected.count, &format!("reading of anchor {anchor} refused: {why}"));
        }
        match sent {
            Ok(sent) => {
                self.telemetry.add(Count::Readings, adverts);
                self.batch.extend(items.into_iter().map(|item| reading(anchor, sent, item)));
            }
            Err(why) => {
                self.bad_readings(anchor.as_str(), adverts, &format!("message of anchor {anchor} refused: {why}"));
            }
        }
    }

    fn expect_known(&self, known: bool, anchor: &AnchorId) {
        if !known {
            let why = format!("anchor {anchor} is not in the site file; its messages are ignored");
            self.telemetry.problem(Count::AnchorUnknown, anchor.as_str(), &why);
        }
    }

    fn refuse(&self, topic: &str, error: &DecodeError) {
        let source = anchor_of(topic);
        self.book.note(source, |seen| {
            seen.messages += 1;
            seen.bad += 1;
        });
        let count = match error {
            DecodeError::Item(_) => Count::ReadingsBad,
            DecodeError::TooLarge { .. }
            | DecodeError::Json(_)
            | DecodeError::NotAnObject
            | DecodeError::Anchor(_)
            | DecodeError::State => Count::AnchorMessagesBad,
        };
        self.telemetry.problem(count, source, &format!("message of anchor {source} refused: {error}"));
    }

    fn bad_readings(&self, source: &str, count: u64, why: &str) {
        if count > 0 {
            self.telemetry.add(Count::ReadingsBad, count - 1);
            self.telemetry.problem(Count::ReadingsBad, source, &why);
        }
    }
}

fn reading(anchor: &AnchorId, sent: Timestamp, heard: Heard) -> Reading {
    // At most 60 s: it fits.
    let age = heard.age.as_micros() as i64;
    Reading { at: sent.plus_micros(-age), anchor: anchor.clone(), tag: heard.tag, rssi: heard.rssi }
}

/// The receiver's name in a topic, when it is one.
fn anchor_of(topic: &str) -> &str {
    let levels: Vec<&str> = topic.splitn(5, '/').collect();
    let name = match levels[..] {
        ["espresense", "devices", _, room] => room,
        ["showfloor", "anchor", anchor, ..] => anchor,
        _ => "",
    };
    if AnchorId::new(name).is_ok() { name } else { "(no name)" }
}
