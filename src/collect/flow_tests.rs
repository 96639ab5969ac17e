//! Questions, answers that come, come late or never, and refusals.

use serde_json::json;
use uuid::Uuid;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn epoch(n: u128) -> Epoch {
    Epoch(Uuid::from_u128(n))
}

fn flow(after: u64, once: bool) -> Flow {
    let cursor = Cursor { epoch: (after > 0).then(|| epoch(1)), after };
    Flow::new("hel-01".parse().expect("id"), Lane::Sales, cursor, once)
}

fn header(after: u64, upto: u64, head: u64, of: Epoch) -> Header {
    let text = json!({"id": "any", "site": "hel-01", "lane": "sales", "epoch": of, "after": after, "upto": upto,
        "count": upto - after, "head": head, "encoding": "identity", "bytes": 0, "sha256": ""});
    serde_json::from_value(text).expect("a header")
}

/// In short: `pull 0`, `ack 7`.
fn due(flow: &mut Flow, now: Duration) -> Vec<String> {
    let short = |outgoing: Outgoing| match outgoing {
        Outgoing::Pull(pull) if pull["max_events"] == MUCH.0 => format!("much {}", pull["after"]),
        Outgoing::Pull(pull) => format!("pull {}", pull["after"]),
        Outgoing::Ack(ack) => format!("ack {}", ack["upto"]),
    };
    flow.due(now, true, || "q".into()).expect("goes on").into_iter().map(short).collect()
}

/// A batch comes and is good.
fn receive(flow: &mut Flow, header: &Header) -> u32 {
    assert!(flow.wants(header));
    flow.arrived();
    assert!(!flow.wants(header), "it is being checked");
    flow.received(header).unwrap_or_default()
}

/// A batch comes and gets to the disk.
fn commit(flow: &mut Flow, header: &Header) {
    let number = receive(flow, header);
    if header.count > 0 {
        flow.committed(number, header.epoch, header.upto);
    }
}

fn refusal(code: &str, epoch: Option<Epoch>) -> Refusal {
    Refusal { code: code.into(), message: String::new(), epoch }
}

#[test]
fn once_ends_when_the_head_is_stored_and_acknowledged() {
    let mut flow = flow(0, true);
    assert_eq!(due(&mut flow, SECOND), ["pull 0"]);
    assert_eq!(due(&mut flow, SECOND), [""; 0]);
    commit(&mut flow, &header(0, 5, 7, epoch(1)));
    assert_eq!(due(&mut flow, SECOND), ["ack 5", "much 5"]);
    commit(&mut flow, &header(5, 7, 7, epoch(1)));
    assert_eq!(due(&mut flow, SECOND), [""; 0], "one acknowledgement at a time, and nothing is left to ask");
    flow.acknowledged(epoch(1), 5);
    assert!(!flow.is_done());
    assert_eq!(due(&mut flow, SECOND), ["ack 7"]);
    flow.acknowledged(epoch(1), 6);
    assert!(!flow.is_done(), "less than was said is no answer");
    flow.acknowledged(epoch(1), 7);
    assert!(flow.is_done());
    assert_eq!(due(&mut flow, SECOND), [""; 0]);
}

#[test]
fn an_empty_lane_is_done_without_an_acknowledgement() {
    let mut flow = flow(0, true);
    assert_eq!(due(&mut flow, SECOND), ["pull 0"]);
    commit(&mut flow, &header(0, 0, 0, epoch(1)));
    assert!(flow.is_done());
}

#[test]
fn what_was_stored_before_is_acknowledged_again_and_gone_on_from() {
    let mut flow = flow(9, false);
    assert_eq!(due(&mut flow, SECOND), ["ack 9", "pull 9"]);
    assert!(!flow.wants(&header(8, 9, 9, epoch(1))));
    assert!(!flow.wants(&header(9, 10, 10, epoch(2))));
    commit(&mut flow, &header(9, 9, 9, epoch(1)));
    assert_eq!(due(&mut flow, SECOND), ["pull 9"], "following asks again at the head");
}

#[test]
fn what_is_not_answered_is_asked_again() {
    let mut flow = flow(9, false);
    assert_eq!(due(&mut flow, SECOND), ["ack 9", "pull 9"]);
    assert_eq!(flow.next_deadline(), Some(11 * SECOND));
    assert_eq!(due(&mut flow, 11 * SECOND), ["ack 9"]);
    assert_eq!(due(&mut flow, 71 * SECOND), ["ack 9", "pull 9"]);
    flow.reconnected();
    assert_eq!(due(&mut flow, 71 * SECOND), ["ack 9", "pull 9"]);
    let mut once = self::flow(0, true);
    let outcomes: Vec<_> = (0..5).map(|n| once.due(n * 10 * SECOND, true, || "q".into()).is_ok()).collect();
    assert_eq!(outcomes, [true, true, true, true, false]);
}

#[test]
fn a_new_epoch_is_begun_from_its_start() {
    let mut flow = flow(9, false);
    due(&mut flow, SECOND);
    assert_eq!(flow.refused(Some("other"), refusal("epoch_changed", Some(epoch(2))), SECOND).ok(), Some(None));
    let said = flow.refused(Some("q"), refusal("epoch_changed", Some(epoch(2))), SECOND);
    assert_eq!(said.ok(), Some(Some(epoch(2))));
    flow.began_epoch(epoch(2));
    assert_eq!(due(&mut flow, SECOND), ["pull 0"]);
    assert!(flow.wants(&header(0, 1, 1, epoch(2))));
    assert_eq!(flow.refused(None, refusal("epoch_changed", Some(epoch(2))), SECOND).ok(), Some(None));
}

#[test]
fn the_next_batch_is_asked_for_while_one_is_written_and_none_is_acknowledged_before_its_commit() {
    let mut flow = flow(0, false);
    assert_eq!(due(&mut flow, SECOND), ["pull 0"]);
    let one = receive(&mut flow, &header(0, 5, 99, epoch(1)));
    assert_eq!(due(&mut flow, SECOND), ["much 5"]);
    let two = receive(&mut flow, &header(5, 9, 99, epoch(1)));
    assert_eq!((due(&mut flow, SECOND), flow.next_deadline()), (vec![], None), "two are enough");
    assert!(!flow.wants(&header(9, 10, 99, epoch(1))));
    flow.committed(one, epoch(1), 5);
    assert_eq!(due(&mut flow, SECOND), ["ack 5", "much 9"]);
    flow.committed(two, epoch(1), 9);
    flow.acknowledged(epoch(1), 5);
    assert_eq!(due(&mut flow, SECOND), ["ack 9"]);
    assert_eq!((flow.behind(), flow.room_taken()), (90, 1));
}

#[test]
fn what_did_not_get_to_the_disk_is_asked_for_again() {
    let mut flow = flow(3, false);
    due(&mut flow, SECOND);
    let one = receive(&mut flow, &header(3, 5, 9, epoch(1)));
    let two = receive(&mut flow, &header(5, 7, 9, epoch(1)));
    assert!(flow.is_current(one));
    flow.thrown_back(Some(Cursor { epoch: Some(epoch(1)), after: 4 }), SECOND);
    assert!(!flow.is_current(two));
    flow.committed(two, epoch(1), 7);
    assert_eq!(due(&mut flow, SECOND), [""; 0], "after a pause");
    assert_eq!(due(&mut flow, 2 * SECOND), ["ack 4", "pull 4"]);
    flow.arrived();
    flow.no_room(2 * SECOND);
    assert_eq!(due(&mut flow, 3 * SECOND), ["pull 4"]);
}

#[test]
fn much_is_asked_for_only_where_there_is_room() {
    let mut flow = flow(3, false);
    due(&mut flow, SECOND);
    flow.acknowledged(epoch(1), 3);
    commit(&mut flow, &header(3, 5, 9, epoch(1)));
    let sent = flow.due(SECOND, false, || "q".into()).expect("goes on");
    assert!(matches!(sent.as_slice(), [Outgoing::Ack(_)]) && flow.starved);
    flow.acknowledged(epoch(1), 5);
    assert_eq!(flow.next_deadline(), None, "until there is");
    flow.starved = false;
    assert_eq!(due(&mut flow, SECOND), ["much 5"]);
}

#[test]
fn a_box_that_is_away_is_asked_seldom_and_at_once_when_it_is_back() {
    let mut flow = flow(9, false);
    due(&mut flow, SECOND);
    flow.is_there(true, SECOND);
    assert_eq!(due(&mut flow, SECOND), [""; 0], "it was not away");
    flow.is_there(false, 2 * SECOND);
    assert_eq!(flow.next_deadline(), Some(62 * SECOND));
    flow.is_there(true, 5 * SECOND);
    assert_eq!(due(&mut flow, 5 * SECOND), ["ack 9", "pull 9"]);
}

#[test]
fn refusals_that_pass_are_waited_for_and_others_end_what_runs_once() {
    for (code, once, ends, pause) in [
        ("superseded", true, false, 1),
        ("too_many_requests", false, false, 1),
        ("unknown_consumer", true, true, 0),
        ("unknown_consumer", false, false, 60),
        ("after_beyond_head", false, false, 60),
    ] {
        let mut flow = flow(9, once);
        due(&mut flow, SECOND);
        let outcome = flow.refused(Some("q"), refusal(code, None), SECOND);
        assert_eq!(outcome.is_err(), ends, "{code}");
        if !ends {
            assert_eq!(flow.next_deadline(), Some((1 + pause) * SECOND), "{code}");
            assert_eq!(due(&mut flow, SECOND), [""; 0], "{code}");
            assert_eq!(due(&mut flow, (1 + pause) * SECOND), ["ack 9", "pull 9"], "{code}");
        }
    }
}

#[test]
fn damage_again_and_again_is_told_and_slows_down() {
    let mut flow = flow(9, false);
    for n in 0..3 {
        flow.broken(Broken::Checksum, n * SECOND).expect("goes on");
    }
    assert_eq!(flow.next_deadline(), Some(3 * SECOND));
    flow.broken(Broken::Checksum, 3 * SECOND).expect("goes on");
    assert_eq!(flow.next_deadline(), Some(63 * SECOND));
    commit(&mut flow, &header(9, 9, 9, epoch(1)));
    flow.broken(Broken::Checksum, 70 * SECOND).expect("goes on");
    assert_eq!(flow.next_deadline(), Some(71 * SECOND));
}
