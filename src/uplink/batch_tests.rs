//! Batches as they are sent: golden headers, compression, and every number exactly once.

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::uplink::testing::{SECOND, ask, epoch, event, gap, open, page_of};

#[test]
fn a_cursor_inside_a_gap_is_told_the_rest_of_it() {
    let source = Source { site: "hel-01".parse().expect("id"), epoch: epoch() };
    let built = build(&source, &ask("q1", 3, SECOND), 9, &[gap(1, 5), event(6)]).expect("builds");
    let (header, body) = open(&built.payload);
    assert_eq!((&header["upto"], &header["count"]), (&Value::from(6), &Value::from(2)));
    let first: Value = serde_json::from_slice(body.split(|byte| *byte == b'\n').next().expect("line")).expect("json");
    assert_eq!((&first["gap"]["from"], &first["gap"]["count"]), (&Value::from(4), &Value::from(2)));
}

#[test]
fn headers_are_golden() {
    let source = Source { site: "hel-01".parse().expect("id"), epoch: epoch() };
    let text = |batch: Batch| String::from_utf8(batch.payload).expect("text");
    let empty = text(empty(&source, &ask("q1", 5, SECOND), 5));
    insta::assert_snapshot!(empty, @r#"{"id":"q1","site":"hel-01","lane":"sales","epoch":"00000000-0000-0000-0000-000000000009","after":5,"upto":5,"count":0,"head":5,"encoding":"identity","bytes":0,"sha256":"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}"#);
    let gap_only = text(build(&source, &ask("q1", 0, SECOND), 9, &[gap(1, 5)]).expect("builds"));
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
        let built = build(&source, &request, 50, page).expect("builds");
        let (header, body) = open(&built.payload);
        assert_eq!((&header["encoding"], &header["count"]), (&Value::from(encoding), &Value::from(50)));
        assert_eq!(String::from_utf8(body).expect("text").lines().count(), 50);
    }
    let request = PullRequest { zstd: true, ..ask("q1", 0, SECOND) };
    let small = build(&source, &request, 1, &[gap(1, 1)]).expect("builds");
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
            let built = build(&source, &request, head, &page_of(&lane, after)).expect("builds");
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
}
