//! Many lanes at once: room, worth, and boxes that come and go.

use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::domain::Epoch;

const SECOND: Duration = Duration::from_secs(1);

fn site(n: usize) -> SiteId {
    format!("s{n:03}").parse().expect("id")
}

fn board(boxes: usize) -> Board {
    let mut board = Board::new(false);
    for n in 0..boxes {
        board.add(&site(n), [Cursor::default(); 3]);
        board.ready(&site(n));
    }
    board
}

fn header(site: &SiteId, lane: Lane, after: u64, upto: u64, head: u64) -> Header {
    let text = json!({"id": "q", "site": site, "lane": lane, "epoch": Uuid::nil(), "after": after, "upto": upto,
        "count": upto - after, "head": head, "encoding": "identity", "bytes": 0, "sha256": ""});
    serde_json::from_value(text).expect("a header")
}

/// Pulls only, in short: which box, which lane, how much.
fn pulls(board: &mut Board, now: Duration) -> Vec<(SiteId, Lane, bool)> {
    let sent = board.step(now, || "q".into()).expect("goes on");
    let pulls = sent.into_iter().filter_map(|(site, message)| match message {
        Outgoing::Pull(pull) => Some((site, pull["lane"].clone(), pull["wait_ms"] == 0)),
        Outgoing::Ack(_) => None,
    });
    pulls.map(|(site, lane, much)| (site, serde_json::from_value(lane).expect("a lane"), much)).collect()
}

fn receive(board: &mut Board, header: &Header) -> u32 {
    assert!(board.wants(&header.site, header));
    board.touch(&header.site, header.lane, Flow::arrived);
    board.touch(&header.site, header.lane, |flow| flow.received(header)).flatten().expect("to be written")
}

fn commit(board: &mut Board, header: &Header, number: u32) {
    board.touch(&header.site, header.lane, |flow| flow.committed(number, Epoch(Uuid::nil()), header.upto));
}

#[test]
fn every_lane_is_asked_once_its_subscriptions_stand() {
    let mut board = board(2);
    board.add(&site(9), [Cursor::default(); 3]);
    assert_eq!(pulls(&mut board, SECOND).len(), 6);
    assert!(pulls(&mut board, SECOND).is_empty());
    board.ready(&site(9));
    assert_eq!(pulls(&mut board, SECOND).len(), 3);
    board.disconnected();
    assert_eq!((board.next_deadline(), pulls(&mut board, SECOND).len()), (None, 0));
    board.ready(&site(0));
    assert_eq!(pulls(&mut board, SECOND).len(), 3);
}

#[test]
fn who_is_behind_waits_for_room_and_sales_go_first() {
    let mut board = board(40);
    pulls(&mut board, SECOND);
    for n in 0..40 {
        for lane in [Lane::Trace, Lane::Sales] {
            let header = header(&site(n), lane, 0, 1, 100);
            let number = receive(&mut board, &header);
            commit(&mut board, &header, number);
        }
    }
    let first = pulls(&mut board, SECOND);
    assert_eq!(first.len(), ROOM, "80 lanes are behind");
    let answered = header(&first[0].0, first[0].1, 1, 50, 100);
    let number = receive(&mut board, &answered);
    assert!(pulls(&mut board, SECOND).is_empty(), "it takes room until it is on disk");
    commit(&mut board, &answered, number);
    let next = pulls(&mut board, SECOND);
    assert_eq!((next.len(), next[0].1), (1, Lane::Sales));
    assert_eq!(board.lag().sites_behind, 40);
    for (site, _, _) in first {
        board.remove(&site);
    }
    let rest = pulls(&mut board, SECOND);
    assert!(!rest.is_empty() && rest.len() <= ROOM, "room of boxes that were let go is given to others");
}

#[test]
fn the_worst_is_named_and_an_empty_board_is_done() {
    let mut board = board(3);
    assert!(!board.is_done() && Board::new(true).is_done());
    pulls(&mut board, SECOND);
    receive(&mut board, &header(&site(1), Lane::Trace, 0, 1, 100));
    receive(&mut board, &header(&site(2), Lane::Sales, 0, 1, 7));
    let lag = board.lag();
    assert_eq!((lag.events, lag.sites_behind, lag.worst), ([7, 0, 100], 2, Some((site(1), 100))));
}

#[test]
fn ten_thousand_boxes_cost_only_what_is_due() {
    let mut board = board(10_000);
    assert_eq!(pulls(&mut board, SECOND).len(), 30_000);
    assert_eq!(board.next_deadline(), Some(71 * SECOND));
    let header = header(&site(7), Lane::Sales, 0, 1, 1);
    let number = receive(&mut board, &header);
    assert_eq!(pulls(&mut board, 2 * SECOND).len(), 1);
    commit(&mut board, &header, number);
    assert_eq!(board.step(2 * SECOND, || "q".into()).expect("goes on").len(), 1, "the acknowledgement");
}
