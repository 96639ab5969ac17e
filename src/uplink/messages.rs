//! What consumers ask, as they write it and as it may be trusted: pulls and acknowledgements of `docs/protocol.md` §6.
//!
//! Numbers above a limit are lowered to it (the header of the answer says what came of it); what has no meaning, such
//! as a batch of 0 events, is refused. `null` counts as missing.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    fields::{Fields, find_id},
    refusal::{Code, Refusal},
};
use crate::domain::{Epoch, Lane};

/// Most lines of one batch.
pub(super) const MAX_EVENTS: u64 = 5_000;
/// Most bytes of one batch before compression, but for a single event that is longer.
pub(super) const MAX_BYTES: u64 = 1024 * 1024;
/// Longest time that an answer is held.
pub(super) const MAX_WAIT: Duration = Duration::from_mins(1);
const USUAL_EVENTS: u64 = 500;
const USUAL_BYTES: u64 = 256 * 1024;

/// "What is after this number of this lane?"
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PullRequest {
    /// Chosen by the consumer, said again in the answer; 1 to 64 characters.
    pub(super) id: String,
    /// Of which lane.
    pub(super) lane: Lane,
    /// Of which database; `None` only at the very start.
    pub(super) epoch: Option<Epoch>,
    /// The last number that the consumer has; 0 for none.
    pub(super) after: u64,
    /// Most lines, 1 to [`MAX_EVENTS`].
    pub(super) max_events: usize,
    /// Most bytes before compression, 1 to [`MAX_BYTES`].
    pub(super) max_bytes: usize,
    /// Whether the body may come compressed.
    pub(super) zstd: bool,
    /// How long the answer may wait for something to tell, up to [`MAX_WAIT`].
    pub(super) wait: Duration,
}

/// "I have everything up to here, on disk."
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AckRequest {
    /// Of which lane.
    pub(super) lane: Lane,
    /// Of which database.
    pub(super) epoch: Epoch,
    /// The last number that the consumer has.
    pub(super) upto: u64,
}

/// A message that is refused for its form, and what an answer to it may be called.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Malformed {
    /// The `id` of a pull or command, the `lane` of an acknowledgement, as the sender wrote it.
    pub(super) about: Option<Value>,
    /// Why.
    pub(super) refusal: Refusal,
}

/// Reads a pull.
///
/// # Errors
/// When it is not what the contract says.
pub(super) fn parse_pull(payload: &[u8]) -> Result<PullRequest, Malformed> {
    let fields =
        Fields::parse(payload).map_err(|refusal| Malformed { about: find_id(payload).map(Value::String), refusal })?;
    read_pull(&fields).map_err(|refusal| Malformed { about: fields.shown_id().map(Value::String), refusal })
}

fn read_pull(fields: &Fields) -> Result<PullRequest, Refusal> {
    let id = fields.id()?.to_owned();
    let lane = read_lane(fields)?;
    let epoch: Option<Epoch> = fields.parsed("epoch")?;
    let after = fields.whole("after")?.ok_or_else(|| Refusal::bad("after is missing"))?;
    if epoch.is_none() && after > 0 {
        return Err(Refusal::bad("epoch may be null only with after 0: numbers mean nothing without it"));
    }
    let at_least_one = |name: &str, usual: u64, most: u64| match fields.whole(name)? {
        Some(0) => Err(Refusal::bad(format!("{name} must be at least 1"))),
        number => Ok(usize::try_from(number.unwrap_or(usual).min(most)).unwrap_or(usize::MAX)),
    };
    let max_events = at_least_one("max_events", USUAL_EVENTS, MAX_EVENTS)?;
    let max_bytes = at_least_one("max_bytes", USUAL_BYTES, MAX_BYTES)?;
    let wait = Duration::from_millis(fields.whole("wait_ms")?.unwrap_or(0)).min(MAX_WAIT);
    Ok(PullRequest { id, lane, epoch, after, max_events, max_bytes, zstd: accepts_zstd(fields)?, wait })
}

fn read_lane(fields: &Fields) -> Result<Lane, Refusal> {
    let name = fields.text("lane")?;
    let unknown = || {
        let shown: String = name.chars().take(64).collect();
        Refusal::new(Code::UnknownLane, format!("there is no lane {shown:?}; there are sales, presence and trace"))
    };
    Lane::from_name(name).ok_or_else(unknown)
}

fn accepts_zstd(fields: &Fields) -> Result<bool, Refusal> {
    match fields.get("accept") {
        None => Ok(false),
        Some(Value::Array(names)) if names.iter().all(Value::is_string) => Ok(names.iter().any(|name| name == "zstd")),
        Some(_) => Err(Refusal::bad("accept must be a list of names of encodings")),
    }
}

/// Reads an acknowledgement.
///
/// # Errors
/// When it is not what the contract says.
pub(super) fn parse_ack(payload: &[u8]) -> Result<AckRequest, Malformed> {
    let fields = Fields::parse(payload).map_err(|refusal| Malformed { about: None, refusal })?;
    let about = fields.short_text("lane").map(Value::String);
    let missing = |name: &str| Refusal::bad(format!("{name} is missing"));
    let read = || {
        let lane = read_lane(&fields)?;
        let epoch = fields.parsed("epoch")?.ok_or_else(|| missing("epoch"))?;
        let upto = fields.whole("upto")?.ok_or_else(|| missing("upto"))?;
        Ok(AckRequest { lane, epoch, upto })
    };
    read().map_err(|refusal| Malformed { about, refusal })
}

/// The whole of a refused pull's answer.
#[must_use]
pub(super) fn refused_pull(id: &str, refusal: &Refusal) -> Vec<u8> {
    json!({"id": id, "error": refusal.to_json()}).to_string().into_bytes()
}

/// The answer to an acknowledgement that is on disk.
#[must_use]
pub(super) fn acked(lane: Lane, epoch: Epoch, acked: u64) -> Vec<u8> {
    json!({"lane": lane, "epoch": epoch, "acked": acked}).to_string().into_bytes()
}

/// The answer to an acknowledgement that was refused.
#[must_use]
pub(super) fn refused_ack(lane: &Value, refusal: &Refusal) -> Vec<u8> {
    json!({"lane": lane, "error": refusal.to_json()}).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: &str = "6f7f0f0a-0000-4000-8000-000000000001";

    fn pull(patch: &Value) -> Result<PullRequest, Malformed> {
        let mut message = json!({"id": "q1", "lane": "sales", "epoch": EPOCH, "after": 1000, "max_events": 500,
            "max_bytes": 262_144, "accept": ["zstd"], "wait_ms": 30_000});
        for (key, value) in patch.as_object().into_iter().flatten() {
            message[key] = value.clone();
        }
        parse_pull(message.to_string().as_bytes())
    }

    #[test]
    fn a_pull_is_read_as_it_stands_in_the_contract() {
        let expected = PullRequest {
            id: "q1".into(),
            lane: Lane::Sales,
            epoch: Some(EPOCH.parse().expect("uuid")),
            after: 1000,
            max_events: 500,
            max_bytes: 262_144,
            zstd: true,
            wait: Duration::from_secs(30),
        };
        assert_eq!(pull(&json!({})), Ok(expected.clone()));
        assert_eq!(pull(&json!({"colour": "blue"})), Ok(expected));
    }

    #[test]
    fn limits_are_kept_and_what_is_left_out_is_usual() {
        let large = pull(&json!({"max_events": 99_999, "max_bytes": 1u64 << 40, "wait_ms": 600_000})).expect("reads");
        assert_eq!((large.max_events, large.max_bytes, large.wait), (5_000, 1_048_576, MAX_WAIT));
        let least = parse_pull(br#"{"id":"q","lane":"trace","after":0}"#).expect("reads");
        assert_eq!((least.max_events, least.max_bytes, least.wait, least.zstd), (500, 262_144, Duration::ZERO, false));
    }

    #[test]
    fn each_error_names_its_field() {
        for (patch, code, field) in [
            (json!({"id": null}), Code::BadRequest, "id"),
            (json!({"id": "x".repeat(65)}), Code::BadRequest, "id"),
            (json!({"id": 7}), Code::BadRequest, "id"),
            (json!({"lane": "gossip"}), Code::UnknownLane, "gossip"),
            (json!({"lane": 3}), Code::BadRequest, "lane"),
            (json!({"epoch": null}), Code::BadRequest, "epoch"),
            (json!({"epoch": "yesterday"}), Code::BadRequest, "epoch"),
            (json!({"after": -1}), Code::BadRequest, "after"),
            (json!({"after": 1.5}), Code::BadRequest, "after"),
            (json!({"after": null}), Code::BadRequest, "after"),
            (json!({"max_events": 0}), Code::BadRequest, "max_events"),
            (json!({"max_bytes": "many"}), Code::BadRequest, "max_bytes"),
            (json!({"accept": "zstd"}), Code::BadRequest, "accept"),
            (json!({"wait_ms": -5}), Code::BadRequest, "wait_ms"),
        ] {
            let refused = pull(&patch).expect_err("refused");
            assert_eq!(refused.refusal.code, code, "{patch}");
            assert!(refused.refusal.message.contains(field), "{patch}: {}", refused.refusal.message);
        }
        let long = pull(&json!({"id": "x".repeat(65)})).expect_err("refused");
        assert_eq!(long.about, Some(Value::String("x".repeat(64))));
    }

    #[test]
    fn an_acknowledgement_is_read_and_its_errors_name_the_lane() {
        let good = format!(r#"{{"lane":"trace","epoch":"{EPOCH}","upto":1500}}"#);
        let read = parse_ack(good.as_bytes()).expect("reads");
        assert_eq!((read.lane, read.upto), (Lane::Trace, 1500));
        for (bad, about) in [
            (r#"{"lane":"trace","epoch":null,"upto":1}"#, Some("trace")),
            (r#"{"lane":"gossip","epoch":null,"upto":1}"#, Some("gossip")),
            (r#"{"upto":1}"#, None),
            ("nonsense", None),
        ] {
            let refused = parse_ack(bad.as_bytes()).expect_err("refused");
            assert_eq!(refused.about, about.map(Value::from), "{bad}");
        }
    }

    #[test]
    fn answers_are_golden() {
        let epoch: Epoch = EPOCH.parse().expect("uuid");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        insta::assert_snapshot!(text(acked(Lane::Sales, epoch, 1500)), @r#"{"acked":1500,"epoch":"6f7f0f0a-0000-4000-8000-000000000001","lane":"sales"}"#);
        insta::assert_snapshot!(text(refused_ack(&json!("sales"), &Refusal::bad("upto is missing"))), @r#"{"error":{"code":"bad_request","message":"upto is missing"},"lane":"sales"}"#);
        insta::assert_snapshot!(text(refused_pull("q1", &Refusal::new(Code::Superseded, "a newer pull took its place"))), @r#"{"error":{"code":"superseded","message":"a newer pull took its place"},"id":"q1"}"#);
    }
}
