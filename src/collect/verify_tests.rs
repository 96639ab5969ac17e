//! Batches, good and spoilt in every way.

use serde_json::{Value, json};
use uuid::Uuid;

use super::*;

/// A batch of `lines` as a box would send it.
pub(crate) fn payload(lane: &str, epoch: Uuid, after: u64, head: u64, lines: &[Value], zstd: bool) -> Vec<u8> {
    let body = lines.iter().fold(String::new(), |body, line| body + &line.to_string() + "\n");
    let last = lines
        .last()
        .map_or(after, |line| line["seq"].as_u64().or_else(|| line["gap"]["to"].as_u64()).expect("a number"));
    let header = json!({"id": "q1", "site": "hel-01", "lane": lane, "epoch": epoch, "after": after, "upto": last,
        "count": lines.len(), "head": head, "encoding": if zstd { "zstd" } else { "identity" }, "bytes": body.len(),
        "sha256": hex::encode(Sha256::digest(&body))});
    let mut payload = format!("{header}\n").into_bytes();
    if zstd {
        payload.extend(zstd::bulk::compress(body.as_bytes(), 3).expect("zstd"));
    } else {
        payload.extend(body.into_bytes());
    }
    payload
}

/// An event as it stands on the wire.
pub(crate) fn event(lane: &str, seq: u64, id: u128, kind: &str) -> Value {
    json!({"pos": seq * 3, "lane": lane, "seq": seq, "id": Uuid::from_u128(id), "kind": kind,
        "at": "2026-11-24T10:00:00.000000Z", "clock": {"boot": Uuid::nil(), "mono_ns": 1, "quality": "synced"},
        "data": {}, "v": 1})
}

pub(crate) fn gap(from: u64, to: u64) -> Value {
    json!({"gap": {"from": from, "to": to, "count": (to + 1).saturating_sub(from), "reason": "retention",
        "at": "2026-11-24T10:00:00.000000Z"}})
}

pub(crate) fn verified(payload: &[u8]) -> Result<Batch, Broken> {
    match read_answer(payload)? {
        Answer::Batch(header, body) => check(header, body),
        Answer::Refused(_, refusal) => panic!("refused: {refusal:?}"),
    }
}

fn good(zstd: bool) -> Vec<u8> {
    let mut second = event("sales", 5, 2, "customer.upserted");
    second["customer"] = json!(Uuid::from_u128(7));
    second["personal"] = json!({"name": "Anna"});
    payload("sales", Uuid::nil(), 1, 9, &[gap(2, 4), second, event("sales", 6, 3, "kiosk.called")], zstd)
}

#[test]
fn good_batches_are_taken_apart() {
    for zstd in [false, true] {
        let batch = verified(&good(zstd)).expect("good");
        assert_eq!((batch.header.upto, batch.items.len()), (6, 3));
        let Item::Event(second) = &batch.items[1] else { panic!("an event") };
        assert_eq!(second.personal.as_deref(), Some(r#"{"name":"Anna"}"#));
        assert_eq!(second.customer, Some(Uuid::from_u128(7)));
        assert!(!second.body.contains("Anna") && second.body.contains(r#""v":1"#));
    }
    let empty = verified(&payload("sales", Uuid::nil(), 6, 6, &[], false)).expect("good");
    assert_eq!((empty.header.upto, empty.items.len()), (6, 0));
}

#[test]
fn a_refusal_is_told_apart() {
    let text = br#"{"id":"q1","error":{"code":"superseded","message":"x"}}"#;
    let Ok(Answer::Refused(id, refusal)) = read_answer(text) else { panic!("a refusal") };
    assert_eq!((id.as_str(), refusal.code.as_str(), refusal.epoch), ("q1", "superseded", None));
    assert!(matches!(read_answer(b"nonsense"), Err(Broken::Header(_))));
    assert!(matches!(read_answer(b""), Err(Broken::Header(_))));
}

#[test]
fn every_kind_of_damage_is_seen() {
    let replaced = |from: &str, to: &str| {
        let text = String::from_utf8(good(false)).expect("text");
        assert!(text.contains(from), "{from}");
        verified(text.replacen(from, to, 1).as_bytes())
    };
    assert_eq!(replaced("Anna", "Anno"), Err(Broken::Checksum));
    assert!(matches!(replaced("Anna", "Hanna"), Err(Broken::Bytes { .. })));
    assert!(matches!(replaced("\"count\":3", "\"count\":4"), Err(Broken::Count { is: 3, should: 4 })));
    assert!(matches!(replaced("\"upto\":6", "\"upto\":7"), Err(Broken::Order { .. })));
    assert!(matches!(replaced("\"head\":9", "\"head\":5"), Err(Broken::Order { .. })));
    assert!(matches!(replaced("\"after\":1", "\"after\":2"), Err(Broken::Order { due: 3, found: 2 })));
    assert!(matches!(replaced("identity", "gzip"), Err(Broken::Encoding(_))));
    assert!(matches!(replaced("identity", "zstd"), Err(Broken::Encoding(_))));
    let lines = |lines: &[Value]| verified(&payload("sales", Uuid::nil(), 1, 9, lines, false));
    let e = |seq| event("sales", seq, u128::from(seq), "kiosk.called");
    assert!(matches!(lines(&[e(2), e(4)]), Err(Broken::Order { due: 3, found: 4 })));
    assert!(matches!(lines(&[e(2), e(2)]), Err(Broken::Order { due: 3, found: 2 })));
    assert!(matches!(lines(&[gap(2, 1)]), Err(Broken::Order { .. })));
    assert!(matches!(lines(&[event("trace", 2, 1, "x")]), Err(Broken::Line(_))));
    assert!(matches!(lines(&[json!({"lane": "sales", "seq": 2})]), Err(Broken::Line(_))));
}

#[test]
fn a_bomb_is_not_unpacked() {
    let zeros = vec![b'\n'; 8 << 20];
    let small = zstd::bulk::compress(&zeros, 3).expect("zstd");
    let header = json!({"id": "q", "site": "hel-01", "lane": "sales", "epoch": Uuid::nil(), "after": 0, "upto": 0,
        "count": 0, "head": 0, "encoding": "zstd", "bytes": 100, "sha256": ""});
    let Ok(header) = serde_json::from_value(header) else { panic!("a header") };
    assert_eq!(check(header, &small), Err(Broken::Bytes { is: 101, should: 100 }));
}
