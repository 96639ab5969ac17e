//! The state machine by table and by random sequences, and batches as they are sent.

use proptest::prelude::*;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::*;
use crate::domain::{
    BootId, ClockMark, ClockQuality, Epoch, Event, EventBody, EventId, Gap, GapReason, KioskCalled, Revealed,
    SessionId, Subjects, Timestamp,
};

const SECOND: Duration = Duration::from_secs(1);

fn epoch() -> Epoch {
    Epoch(Uuid::from_u128(9))
}

fn event(seq: u64) -> LaneItem {
    let body = EventBody::KioskCalled(KioskCalled {
        kiosk: "K1".parse().expect("id"),
        session: SessionId(Uuid::from_u128(3)),
    });
    LaneItem::Event(Box::new(Event {
        pos: seq * 2,
        lane: Lane::Sales,
        seq,
        id: EventId(Uuid::from_u64_pair(7, seq)),
        at: Timestamp::UNIX_EPOCH,
        clock: ClockMark { boot: BootId(Uuid::nil()), mono_ns: 1, quality: ClockQuality::Synced },
        subjects: Subjects::default(),
        body,
        personal: Revealed::Absent,
        origin: None,
        version: 1,
    }))
}

fn gap(from: u64, to: u64) -> LaneItem {
    let (count, reason, at) = (to - from + 1, GapReason::Retention, Timestamp::UNIX_EPOCH);
    LaneItem::Gap(Gap { from, to, count, reason, at })
}

fn machine(max_held: usize, max_reading: usize, head: u64) -> SyncState {
    let source = Source { site: "hel-01".parse().expect("id"), epoch: epoch() };
    let consumers = ["cloud", "spare"].map(|name| name.parse().expect("id")).into();
    SyncState::new(Settings { source, consumers, max_held, max_reading }, Heads { pos: head, lanes: [head, 0, 0] })
}

fn ask(id: &str, after: u64, wait: Duration) -> PullRequest {
    let epoch = (after > 0).then(epoch);
    let (max_events, max_bytes) = (500, 262_144);
    PullRequest { id: id.into(), lane: Lane::Sales, epoch, after, max_events, max_bytes, zstd: false, wait }
}

fn name(text: &str) -> ConsumerId {
    text.parse().expect("id")
}

/// The header of an answer, and its body as it is before compression.
fn open(payload: &[u8]) -> (Value, Vec<u8>) {
    let end = payload.iter().position(|byte| *byte == b'\n').unwrap_or(payload.len());
    let header: Value = serde_json::from_slice(&payload[..end]).expect("a header");
    let body = payload.get(end + 1..).unwrap_or_default();
    let body = if header["encoding"] == "zstd" { zstd::decode_all(body).expect("zstd") } else { body.to_vec() };
    if header.get("error").is_none() {
        assert_eq!(header["bytes"], body.len());
        assert_eq!(header["sha256"], hex::encode(Sha256::digest(&body)));
    }
    (header, body)
}

/// In short: `read 3` (its `after`), `q1 batch 3..5 of 5`, `q1 superseded`.
fn told(outputs: &[Output]) -> Vec<String> {
    let short = |output: &Output| match output {
        Output::Read { query, .. } => format!("read {}", query.after),
        Output::Answer { payload, refused: None, .. } => {
            let (header, _) = open(payload);
            format!("{} batch {}..{} of {}", header["id"], header["after"], header["upto"], header["head"])
        }
        Output::Answer { payload, refused: Some(code), .. } => format!("{} {}", open(payload).0["id"], code.as_str()),
    };
    outputs.iter().map(|output| short(output).replace('"', "")).collect()
}

fn ticket(outputs: &[Output]) -> Ticket {
    let ticket = |output: &Output| if let Output::Read { ticket, .. } = output { Some(*ticket) } else { None };
    outputs.iter().find_map(ticket).expect("a page is to be read")
}

fn heads(sales: u64) -> Heads {
    Heads { pos: sales, lanes: [sales, 0, 0] }
}

type Page = Result<Vec<LaneItem>, ()>;

#[test]
fn what_is_there_is_read_and_answered() {
    let mut sync = machine(8, 2, 2);
    let outputs = sync.pull(&name("cloud"), ask("q1", 0, SECOND), SECOND);
    assert_eq!(told(&outputs), ["read 0"]);
    let page: Page = Ok(vec![event(1), event(2)]);
    assert_eq!(told(&sync.page(ticket(&outputs), page.clone())), ["q1 batch 0..2 of 2"]);
    assert_eq!(told(&sync.page(ticket(&outputs), page)), [""; 0]);
}

#[test]
fn with_nothing_to_tell_the_answer_is_held_until_something_comes_or_time_is_up() {
    let mut sync = machine(8, 2, 5);
    assert_eq!(told(&sync.pull(&name("cloud"), ask("now", 5, Duration::ZERO), SECOND)), ["now batch 5..5 of 5"]);
    assert!(sync.pull(&name("cloud"), ask("q1", 5, 30 * SECOND), SECOND).is_empty());
    assert!(sync.pull(&name("spare"), ask("q2", 5, 10 * SECOND), SECOND).is_empty());
    assert_eq!(sync.next_deadline(), Some(11 * SECOND));
    assert!(sync.tick(10 * SECOND).is_empty());
    assert_eq!(told(&sync.tick(11 * SECOND)), ["q2 batch 5..5 of 5"]);
    let outputs = sync.heads(heads(6));
    assert_eq!(told(&outputs), ["read 5"]);
    assert!(sync.tick(100 * SECOND).is_empty(), "what is being read is answered with it");
    let page: Page = Ok(vec![event(6)]);
    assert_eq!(told(&sync.page(ticket(&outputs), page)), ["q1 batch 5..6 of 6"]);
    assert_eq!(sync.next_deadline(), None);
}

#[test]
fn the_newer_pull_wins_and_the_same_pull_again_is_the_same() {
    let mut sync = machine(8, 2, 5);
    assert!(sync.pull(&name("cloud"), ask("q1", 5, 30 * SECOND), SECOND).is_empty());
    assert!(sync.pull(&name("cloud"), ask("q1", 5, 30 * SECOND), SECOND).is_empty());
    assert_eq!(told(&sync.pull(&name("cloud"), ask("q2", 4, SECOND), SECOND)), ["q1 superseded", "read 4"]);
    let outputs = sync.pull(&name("cloud"), ask("q3", 3, SECOND), SECOND);
    assert_eq!(told(&outputs), ["q2 superseded", "read 3"]);
    let page: Page = Ok(vec![event(4)]);
    assert_eq!(told(&sync.page(ticket(&outputs), page)), ["q3 batch 3..4 of 5"]);
}

#[test]
fn what_makes_no_sense_is_refused_and_takes_nobodys_place() {
    let mut sync = machine(1, 1, 5);
    assert!(sync.pull(&name("cloud"), ask("held", 5, 30 * SECOND), SECOND).is_empty());
    let other = PullRequest { epoch: Some(Epoch(Uuid::nil())), ..ask("q1", 3, SECOND) };
    let refused = sync.pull(&name("cloud"), other, SECOND);
    assert_eq!(told(&refused), ["q1 epoch_changed"]);
    let Output::Answer { payload, .. } = &refused[0] else { panic!("an answer") };
    assert_eq!(open(payload).0["error"]["epoch"], epoch().to_string());
    assert_eq!(told(&sync.pull(&name("cloud"), ask("q2", 6, SECOND), SECOND)), ["q2 after_beyond_head"]);
    assert_eq!(told(&sync.pull(&name("stranger"), ask("q3", 0, SECOND), SECOND)), ["q3 unknown_consumer"]);
    assert_eq!(told(&sync.pull(&name("spare"), ask("q4", 0, SECOND), SECOND)), ["q4 too_many_requests"]);
    assert_eq!(told(&sync.tick(31 * SECOND)), ["held batch 5..5 of 5"]);
}

#[test]
fn pages_are_read_in_the_order_of_asking_and_not_too_many_at_once() {
    let mut sync = machine(8, 1, 5);
    let first = sync.pull(&name("spare"), ask("q1", 1, SECOND), SECOND);
    assert!(sync.pull(&name("cloud"), ask("q2", 2, SECOND), SECOND).is_empty());
    let page: Page = Ok(vec![event(2)]);
    assert_eq!(told(&sync.page(ticket(&first), page)), ["q1 batch 1..2 of 5", "read 2"]);
}

#[test]
fn a_page_newer_than_the_heads_raises_them() {
    let mut sync = machine(8, 2, 1);
    let outputs = sync.pull(&name("cloud"), ask("q1", 0, SECOND), SECOND);
    let page: Page = Ok(vec![event(1), event(2)]);
    assert_eq!(told(&sync.page(ticket(&outputs), page)), ["q1 batch 0..2 of 2"]);
    assert!(sync.heads(heads(1)).is_empty());
    assert_eq!(told(&sync.pull(&name("cloud"), ask("q2", 2, Duration::ZERO), SECOND)), ["q2 batch 2..2 of 2"]);
}

#[test]
fn holes_are_not_passed_over() {
    for page in [Err(()), Ok(vec![]), Ok(vec![event(5)]), Ok(vec![gap(5, 9)]), Ok(vec![event(4), event(6)])] {
        let mut sync = machine(8, 2, 9);
        let outputs = sync.pull(&name("cloud"), ask("q1", 3, SECOND), SECOND);
        assert_eq!(told(&sync.page(ticket(&outputs), page.clone())), ["q1 unreadable"], "{page:?}");
    }
}

#[test]
fn a_cursor_inside_a_gap_is_told_the_rest_of_it() {
    let source = Source { site: "hel-01".parse().expect("id"), epoch: epoch() };
    let built = batch::build(&source, &ask("q1", 3, SECOND), 9, &[gap(1, 5), event(6)]).expect("builds");
    let (header, body) = open(&built.payload);
    assert_eq!((&header["upto"], &header["count"]), (&Value::from(6), &Value::from(2)));
    let first: Value = serde_json::from_slice(body.split(|byte| *byte == b'\n').next().expect("line")).expect("json");
    assert_eq!((&first["gap"]["from"], &first["gap"]["count"]), (&Value::from(4), &Value::from(2)));
}

#[test]
fn headers_are_golden() {
    let source = Source { site: "hel-01".parse().expect("id"), epoch: epoch() };
    let text = |batch: batch::Batch| String::from_utf8(batch.payload).expect("text");
    let empty = text(batch::empty(&source, &ask("q1", 5, SECOND), 5));
    insta::assert_snapshot!(empty, @r#"{"id":"q1","site":"hel-01","lane":"sales","epoch":"00000000-0000-0000-0000-000000000009","after":5,"upto":5,"count":0,"head":5,"encoding":"identity","bytes":0,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}"#);
    let gap_only = text(batch::build(&source, &ask("q1", 0, SECOND), 9, &[gap(1, 5)]).expect("builds"));
    insta::assert_snapshot!(gap_only, @r#"
    {"id":"q1","site":"hel-01","lane":"sales","epoch":"00000000-0000-0000-0000-000000000009","after":0,"upto":5,"count":1,"head":9,"encoding":"identity","bytes":92,"sha256":"11bcf6260a23476dce4051dc7e5dc2ba39d9b2430e2bc7d5a72cc9ea2e2a3a71"}
    {"gap":{"from":1,"to":5,"count":5,"reason":"retention","at":"1970-01-01T00:00:00.000000Z"}}
    "#);
}

#[test]
fn compression_is_used_when_accepted_and_smaller() {
    let source = Source { site: "hel-01".parse().expect("id"), epoch: epoch() };
    let items: Vec<_> = (1..=50).map(event).collect();
    for (accepted, page, encoding) in [(true, &items[..], "zstd"), (false, &items[..], "identity")] {
        let request = PullRequest { zstd: accepted, ..ask("q1", 0, SECOND) };
        let built = batch::build(&source, &request, 50, page).expect("builds");
        let (header, body) = open(&built.payload);
        assert_eq!((&header["encoding"], &header["count"]), (&Value::from(encoding), &Value::from(50)));
        assert_eq!(String::from_utf8(body).expect("text").lines().count(), 50);
    }
    let request = PullRequest { zstd: true, ..ask("q1", 0, SECOND) };
    let small = batch::build(&source, &request, 1, &[gap(1, 1)]).expect("builds");
    assert_eq!(open(&small.payload).0["encoding"], "identity");
}

/// A lane of events and gaps without holes.
fn lane() -> impl Strategy<Value = Vec<LaneItem>> {
    prop::collection::vec((any::<bool>(), 1..20u64), 1..60).prop_map(|parts| {
        let mut next = 1;
        let mut item = |(is_gap, length): (bool, u64)| {
            let from = next;
            next += if is_gap { length } else { 1 };
            if is_gap { gap(from, next - 1) } else { event(from) }
        };
        parts.into_iter().map(&mut item).collect()
    })
}

fn page_of(lane: &[LaneItem], after: u64) -> Vec<LaneItem> {
    lane.iter().filter(|item| item.last_seq() > after).cloned().collect()
}

proptest! {
    #[test]
    fn batches_cover_each_number_once_and_keep_their_limits(
        lane in lane(), max_events in 1..20usize, max_bytes in 1..3_000usize, zstd: bool,
    ) {
        let source = Source { site: "hel-01".parse().expect("id"), epoch: epoch() };
        let head = lane.last().map_or(0, LaneItem::last_seq);
        let (mut after, mut due) = (0, 1);
        while after < head {
            let request = PullRequest { max_events, max_bytes, zstd, ..ask("q", after, SECOND) };
            let built = batch::build(&source, &request, head, &page_of(&lane, after)).expect("builds");
            let (header, body) = open(&built.payload);
            let lines: Vec<_> = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
            prop_assert_eq!(&header["count"], lines.len());
            prop_assert!(!lines.is_empty() && lines.len() <= max_events);
            prop_assert!(body.len() <= max_bytes || lines.len() == 1);
            for line in lines {
                let item: Value = serde_json::from_slice(line).expect("json");
                let (first, last) = match item.get("gap") {
                    Some(gap) => (gap["from"].as_u64(), gap["to"].as_u64()),
                    None => (item["seq"].as_u64(), item["seq"].as_u64()),
                };
                prop_assert_eq!(first, Some(due));
                due = last.expect("a number") + 1;
            }
            prop_assert_eq!(header["upto"].as_u64(), Some(due - 1));
            after = due - 1;
        }
        prop_assert_eq!(due, head + 1);
    }

    #[test]
    fn every_pull_gets_exactly_one_answer(
        steps in prop::collection::vec((0..6u8, 0..3usize, 0..8u64, 0..4u32), 1..120),
    ) {
        let mut sync = machine(2, 1, 3);
        let consumers = ["cloud", "spare", "cloud"].map(name);
        let lanes = [Lane::Sales, Lane::Sales, Lane::Presence];
        let items: Vec<_> = (1..=200).map(event).collect();
        let (mut now, mut head, mut asked) = (Duration::ZERO, 3u64, 0u64);
        let mut reads: Vec<(Ticket, u64)> = Vec::new();
        let mut answers = std::collections::HashMap::<u64, u32>::new();
        let mut settle = |outputs: Vec<Output>, reads: &mut Vec<(Ticket, u64)>| {
            for output in outputs {
                match output {
                    Output::Read { ticket, query } => reads.push((ticket, query.after)),
                    Output::Answer { payload, .. } => {
                        let id = open(&payload).0["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
                        *answers.entry(id).or_default() += 1;
                    }
                }
            }
        };
        for (what, who, number, wait) in steps {
            now += SECOND;
            let outputs = match what {
                0..=2 => {
                    asked += 1;
                    let request = PullRequest { lane: lanes[who], ..ask(&asked.to_string(), number, wait * SECOND) };
                    sync.pull(&consumers[who], request, now)
                }
                3 => {
                    head += number;
                    sync.heads(heads(head))
                }
                4 if !reads.is_empty() => {
                    let (ticket, after) = reads.swap_remove(who % reads.len());
                    sync.page(ticket, if wait == 0 { Err(()) } else { Ok(page_of(&items[..head as usize], after)) })
                }
                _ => sync.tick(now),
            };
            settle(outputs, &mut reads);
            prop_assert!(reads.len() <= 1, "one page is read at a time");
        }
        while let Some((ticket, after)) = reads.pop() {
            let page: Page = Ok(page_of(&items[..head as usize], after));
            let outputs = sync.page(ticket, page);
            settle(outputs, &mut reads);
        }
        settle(sync.tick(now + 60 * SECOND), &mut reads);
        for id in 1..=asked {
            prop_assert_eq!(answers.get(&id), Some(&1), "pull {}", id);
        }
    }
}
