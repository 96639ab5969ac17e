//! The state machine by table and by random sequences.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    domain::{Epoch, LaneItem},
    uplink::{
        places::LIMITS,
        testing::{SECOND, ask, epoch, event, gap, open, page_of},
    },
};

fn machine(max_held: usize, max_reading: usize, head: u64) -> SyncState {
    let source = Source { site: "hel-01".parse().expect("id"), epoch: epoch() };
    let limits = [Limit { open: 8, reading: max_reading }; 2];
    SyncState::new(Settings { source, max_held, limits }, Heads { pos: head, lanes: [head, 0, 0] })
}

fn name(text: &str) -> ConsumerId {
    text.parse().expect("id")
}

/// In short: `read 3` (its `after`), `q1 batch 3..5 of 5`, `q1 superseded`.
fn told(outputs: &[Output]) -> Vec<String> {
    let short = |output: &Output| match output {
        Output::Read { request, .. } => format!("read {}", request.after),
        Output::Answer { payload, refused: None, .. } => {
            let (header, _) = open(payload);
            format!("{} batch {}..{} of {}", header["id"], header["after"], header["upto"], header["head"])
        }
        Output::Answer { payload, refused: Some(code), .. } => format!("{} {}", open(payload).0["id"], code.as_str()),
    };
    outputs.iter().map(|output| short(output).replace('"', "")).collect()
}

fn to_read(outputs: &[Output]) -> (Ticket, PullRequest) {
    let read = |output: &Output| match output {
        Output::Read { ticket, request } => Some((*ticket, request.clone())),
        Output::Answer { .. } => None,
    };
    outputs.iter().find_map(read).expect("a page is to be read")
}

/// Brings what is made of `page` for the one who is read for in `outputs`.
fn bring(sync: &mut SyncState, outputs: &[Output], page: Page) -> Vec<Output> {
    let (ticket, request) = to_read(outputs);
    let batch = made(sync, &request, page);
    sync.made(ticket, batch)
}

fn made(sync: &SyncState, request: &PullRequest, page: Page) -> Result<Batch, String> {
    let (source, head) = (&sync.settings.source, sync.heads.of(request.lane));
    page.map_err(|()| "no".to_owned())
        .and_then(|page| batch::build(source, request, head, &page).map_err(|hole| hole.to_string()))
}

/// The places that answers keep.
fn places(outputs: &[Output]) -> Vec<Ticket> {
    let place = |output: &Output| match output {
        Output::Answer { place, .. } => place.map(|(ticket, _)| ticket),
        Output::Read { .. } => None,
    };
    outputs.iter().filter_map(place).collect()
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
    assert_eq!(told(&bring(&mut sync, &outputs, page.clone())), ["q1 batch 0..2 of 2"]);
    assert_eq!(told(&bring(&mut sync, &outputs, page)), [""; 0]);
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
    assert_eq!(told(&bring(&mut sync, &outputs, page)), ["q1 batch 5..6 of 6"]);
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
    assert_eq!(told(&bring(&mut sync, &outputs, page)), ["q3 batch 3..4 of 5"]);
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
    assert_eq!(told(&sync.pull(&name("spare"), ask("q4", 0, SECOND), SECOND)), ["q4 too_many_requests"]);
    assert_eq!(told(&sync.tick(31 * SECOND)), ["held batch 5..5 of 5"]);
}

#[test]
fn pages_are_read_in_the_order_of_asking_and_not_too_many_at_once() {
    let mut sync = machine(8, 1, 5);
    let first = sync.pull(&name("spare"), ask("q1", 1, SECOND), SECOND);
    assert!(sync.pull(&name("cloud"), ask("q2", 2, SECOND), SECOND).is_empty());
    let page: Page = Ok(vec![event(2)]);
    assert_eq!(told(&bring(&mut sync, &first, page)), ["q1 batch 1..2 of 5", "read 2"]);
}

#[test]
fn a_page_newer_than_the_heads_raises_them() {
    let mut sync = machine(8, 2, 1);
    let outputs = sync.pull(&name("cloud"), ask("q1", 0, SECOND), SECOND);
    let page: Page = Ok(vec![event(1), event(2)]);
    assert_eq!(told(&bring(&mut sync, &outputs, page)), ["q1 batch 0..2 of 2"]);
    assert!(sync.heads(heads(1)).is_empty());
    assert_eq!(told(&sync.pull(&name("cloud"), ask("q2", 2, Duration::ZERO), SECOND)), ["q2 batch 2..2 of 2"]);
}

#[test]
fn holes_are_not_passed_over() {
    for page in [Err(()), Ok(vec![]), Ok(vec![event(5)]), Ok(vec![gap(5, 9)]), Ok(vec![event(4), event(6)])] {
        let mut sync = machine(8, 2, 9);
        let outputs = sync.pull(&name("cloud"), ask("q1", 3, SECOND), SECOND);
        assert_eq!(told(&bring(&mut sync, &outputs, page.clone())), ["q1 unreadable"], "{page:?}");
    }
}

proptest! {
    #[test]
    fn every_pull_gets_exactly_one_answer(
        steps in prop::collection::vec((0..6u8, 0..3usize, 0..8u64, 0..4u32), 1..120),
    ) {
        let mut sync = machine(2, 1, 3);
        sync.places = Places::new([Limit { open: 2, reading: 1 }; 2]);
        let consumers = ["cloud", "spare", "cloud"].map(name);
        let lanes = [Lane::Sales, Lane::Sales, Lane::Presence];
        let items: Vec<_> = (1..=200).map(event).collect();
        let (mut now, mut head, mut asked) = (Duration::ZERO, 3u64, 0u64);
        let (mut reads, mut kept) = (Vec::new(), Vec::new());
        let mut answers = std::collections::HashMap::<u64, u32>::new();
        let mut settle = |outputs: Vec<Output>, reads: &mut Vec<(Ticket, PullRequest)>, kept: &mut Vec<Ticket>| {
            kept.extend(places(&outputs));
            for output in outputs {
                match output {
                    Output::Read { ticket, request } => reads.push((ticket, request)),
                    Output::Answer { payload, .. } => {
                        let id = open(&payload).0["id"].as_str().and_then(|id| id.parse().ok());
                        *answers.entry(id.expect("an id")).or_default() += 1;
                    }
                }
            }
        };
        let page = |sync: &SyncState, request: &PullRequest, head: u64, fails: bool| {
            made(sync, request, if fails { Err(()) } else { Ok(page_of(&items[..head as usize], request.after)) })
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
                    sync.heads(Heads { pos: head, lanes: [head, head, 0] })
                }
                4 if !reads.is_empty() => {
                    let (ticket, request) = reads.swap_remove(who % reads.len());
                    let batch = page(&sync, &request, head, wait == 0);
                    sync.made(ticket, batch)
                }
                5 if !kept.is_empty() => sync.freed(kept.swap_remove(who % kept.len()), None),
                _ => sync.tick(now),
            };
            settle(outputs, &mut reads, &mut kept);
            prop_assert!(reads.len() <= 2 && kept.len() <= 4, "no more than there are places");
        }
        while !reads.is_empty() || !kept.is_empty() {
            let outputs = match reads.pop() {
                Some((ticket, request)) => {
                    let batch = page(&sync, &request, head, false);
                    sync.made(ticket, batch)
                }
                None => kept.pop().map(|ticket| sync.freed(ticket, None)).unwrap_or_default(),
            };
            settle(outputs, &mut reads, &mut kept);
        }
        settle(sync.tick(now + 60 * SECOND), &mut reads, &mut kept);
        for id in 1..=asked {
            prop_assert_eq!(answers.get(&id), Some(&1), "pull {}", id);
        }
        prop_assert!(sync.places.taken() == 0 && sync.held.is_empty(), "nothing is kept");
    }
}

fn of_lane(lane: Lane, request: PullRequest) -> PullRequest {
    PullRequest { lane, ..request }
}

/// The daemon's places, and something in every lane.
fn busy() -> SyncState {
    let mut sync = machine(64, 1, 9);
    sync.places = Places::new(LIMITS);
    sync.heads(Heads { pos: 27, lanes: [9, 9, 9] });
    sync
}

#[test]
fn sales_are_read_at_once_while_bulk_lanes_wait_their_turn() {
    let mut sync = busy();
    let mut bulk = Vec::new();
    for (n, consumer) in ["a", "b", "c", "d"].into_iter().enumerate() {
        for lane in [Lane::Trace, Lane::Presence] {
            bulk.push(sync.pull(&name(consumer), of_lane(lane, ask(&format!("bulk{n}"), 1, SECOND)), SECOND));
        }
    }
    assert_eq!(bulk.iter().map(|outputs| told(outputs).len()).collect::<Vec<_>>(), [1, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(told(&sync.pull(&name("a"), ask("sale", 8, SECOND), SECOND)), ["read 8"], "it passes all of them");
    // Nothing of the bulk lanes goes on before the broker has one of their batches.
    let answered = bring(&mut sync, &bulk[0], Ok(vec![event(2)]));
    assert_eq!(told(&answered), ["bulk0 batch 1..2 of 9"]);
    assert_eq!(told(&sync.freed(places(&answered)[0], None)), ["read 1"], "in the order of asking");
}

#[test]
fn sales_wait_for_sales_only_while_four_batches_are_under_way() {
    let mut sync = busy();
    let mut under_way = Vec::new();
    for consumer in ["a", "b", "c", "d"] {
        let outputs = sync.pull(&name(consumer), ask("q", 1, SECOND), SECOND);
        under_way.extend(places(&bring(&mut sync, &outputs, Ok(vec![event(2)]))));
    }
    assert_eq!(told(&sync.pull(&name("e"), ask("q", 1, SECOND), SECOND)), [""; 0]);
    assert_eq!(told(&sync.freed(under_way[2], None)), ["read 1"]);
    assert_eq!(told(&sync.freed(under_way[2], None)), [""; 0], "given back once");
}

#[test]
fn a_place_comes_back_when_nobody_waits_for_the_page_any_more() {
    let mut sync = busy();
    let first = sync.pull(&name("a"), of_lane(Lane::Trace, ask("q1", 1, SECOND)), SECOND);
    let second = sync.pull(&name("a"), of_lane(Lane::Trace, ask("q2", 2, SECOND)), SECOND);
    assert_eq!(told(&second), ["q1 superseded", "read 2"]);
    let third = sync.pull(&name("a"), of_lane(Lane::Trace, ask("q3", 3, SECOND)), SECOND);
    assert_eq!(told(&third), ["q2 superseded"], "asking again and again reads no more than two pages at once");
    assert_eq!(told(&bring(&mut sync, &first, Ok(vec![event(2)]))), ["read 3"]);
}

#[test]
fn late_repetitions_of_a_pull_take_nobodys_place() {
    let mut sync = machine(8, 2, 5);
    let outputs = sync.pull(&name("cloud"), ask("q1", 3, SECOND), SECOND);
    assert_eq!(told(&sync.pull(&name("cloud"), ask("q1", 3, SECOND), SECOND)), [""; 0], "while it is read");
    bring(&mut sync, &outputs, Ok(vec![event(4), event(5)]));
    assert!(sync.pull(&name("cloud"), ask("q2", 5, 30 * SECOND), SECOND).is_empty());
    assert_eq!(told(&sync.pull(&name("cloud"), ask("q1", 3, SECOND), SECOND)), [""; 0], "the broker was late");
    assert_eq!(told(&sync.tick(31 * SECOND)), ["q2 batch 5..5 of 5"]);
    // While nobody waits, a lost answer is given again.
    assert_eq!(told(&sync.pull(&name("cloud"), ask("q1", 3, SECOND), SECOND)), ["read 3"]);
    // The same id with another question is another pull.
    assert_eq!(told(&sync.pull(&name("cloud"), ask("q1", 4, SECOND), SECOND)), ["read 4"]);
}

#[test]
fn bulk_batches_are_as_large_as_the_line_lets_them_pass() {
    let mut sync = busy();
    let mut ask_for = |lane, bytes: usize, excess: u64| {
        let request = PullRequest { max_bytes: bytes, ..of_lane(lane, ask("q", 1, SECOND)) };
        let outputs = sync.pull(&name("a"), request, SECOND);
        let (ticket, request) = to_read(&outputs);
        bring(&mut sync, &outputs, Ok(vec![event(2)]));
        sync.freed(ticket, Some(Duration::from_millis(excess)));
        request.max_bytes
    };
    assert_eq!(ask_for(Lane::Trace, 1 << 20, 2_000), 1 << 18);
    assert_eq!(ask_for(Lane::Trace, 1 << 20, 2_000), 1 << 17);
    assert_eq!(ask_for(Lane::Presence, 1_000, 2_000), 1_000, "never more than was asked");
    assert_eq!(ask_for(Lane::Sales, 1 << 20, 2_000), 1 << 20, "sales as asked");
    assert_eq!(ask_for(Lane::Trace, 1 << 20, 300), 1 << 15);
}
