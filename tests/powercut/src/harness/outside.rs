//! What the outside was told, and so what must be true for ever: answers, events, numbers, cursors.
//!
//! Everything that is heard is held against what was heard before; a contradiction is a failure at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Write},
    path::Path,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Source {
    /// A guest at a kiosk, over the WebSocket.
    Kiosk,
    /// The cloud, over MQTT.
    Cloud,
}

/// Something that was asked for under an id, and must be done at most once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Request {
    /// By whom.
    pub(super) source: Source,
    /// Its id.
    pub(super) id: String,
    /// Type of the message, or kind of the command.
    pub(super) kind: String,
    /// Its payload.
    pub(super) body: Value,
}

/// What was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// Done, at this position.
    Done(u64),
    /// Refused, for this reason.
    Refused(String),
}

/// Everything the outside knows of one lineage.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Outside {
    pub(super) epoch: Option<String>,
    /// What was asked, in order.
    pub(super) asked: Vec<Request>,
    /// Of it, by its place: what was not answered.
    open: BTreeSet<usize>,
    places: BTreeMap<String, usize>,
    pub(super) answers: BTreeMap<String, Answer>,
    /// Events by position, without what may be erased.
    pub(super) shown: BTreeMap<u64, Value>,
    /// What tablets were told at a position, by type.
    pub(super) told: BTreeMap<u64, BTreeMap<String, String>>,
    /// Where the cloud was told its cursors are, by lane.
    pub(super) cursors: BTreeMap<String, u64>,
    /// Last number of a lane that anybody was told.
    pub(super) heads: BTreeMap<String, u64>,
    /// Numbers of a lane that the box said it does not hold any more, first and last.
    gaps: BTreeMap<String, BTreeSet<(u64, u64)>>,
    /// Makes each request another one.
    pub(super) counter: u64,
    /// Time on the floor.
    pub(super) floor_t: f64,
    /// What does not fit together.
    pub(super) contradictions: Vec<String>,
}

/// What the kiosk was promised, on a file system that keeps its power.
pub(super) struct Ledger(File);

impl Ledger {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(File::options().create(true).append(true).open(path)?))
    }

    /// Returns when it is on disk.
    pub(super) fn note(&mut self, request: &Request, answer: &Answer) -> io::Result<()> {
        self.0.write_all(format!("{}\n", json!([request, answer])).as_bytes())?;
        self.0.sync_data()
    }

    pub(super) fn read(path: &Path) -> io::Result<Vec<(Request, Answer)>> {
        let text = std::fs::read_to_string(path).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(String::new()),
            _ => Err(error),
        })?;
        text.lines().map(|line| serde_json::from_str(line).map_err(io::Error::other)).collect()
    }
}

/// An event as everybody may know it for ever.
pub(super) fn lasting(event: &Value) -> Value {
    let mut event = event.clone();
    if let Some(fields) = event.as_object_mut() {
        fields.remove("personal");
    }
    event
}

impl Outside {
    pub(super) fn next(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }

    pub(super) fn contradict(&mut self, what: String) {
        if self.contradictions.len() < 50 {
            self.contradictions.push(what);
        }
    }

    /// Notes what is about to be asked.
    pub(super) fn ask(&mut self, request: Request) {
        self.open.insert(self.asked.len());
        self.places.insert(request.id.clone(), self.asked.len());
        self.asked.push(request);
    }

    /// What was asked under this id.
    pub(super) fn request(&self, id: &str) -> Option<&Request> {
        self.asked.get(*self.places.get(id)?)
    }

    /// Asked and not answered, in order.
    pub(super) fn open(&self, source: Source) -> impl Iterator<Item = &Request> {
        self.open.iter().filter_map(|place| self.asked.get(*place)).filter(move |request| request.source == source)
    }

    /// Takes an answer; it must be the one that was given before.
    pub(super) fn answer(&mut self, id: &str, answer: Answer) {
        if let Some(place) = self.places.get(id) {
            self.open.remove(place);
        }
        match self.answers.get(id) {
            Some(before) if *before != answer => {
                let before = format!("{before:?}");
                self.contradict(format!("request {id} was answered {before}, then {answer:?}"));
            }
            Some(_) => {}
            None => drop(self.answers.insert(id.to_owned(), answer)),
        }
    }

    /// Takes an event; its position must not have meant another one.
    pub(super) fn event(&mut self, event: &Value) {
        let Some(pos) = event["pos"].as_u64() else {
            return self.contradict(format!("an event without a position: {event}"));
        };
        let event = lasting(event);
        match self.shown.get(&pos) {
            Some(before) if *before != event => {
                let before = before.to_string();
                self.contradict(format!("position {pos} meant {before} and now means {event}"));
            }
            Some(_) => {}
            None => drop(self.shown.insert(pos, event)),
        }
    }

    pub(super) fn head(&mut self, lane: &str, last: u64) {
        let head = self.heads.entry(lane.to_owned()).or_default();
        *head = last.max(*head);
    }

    /// Numbers that the box said it does not hold any more.
    pub(super) fn gone(&self) -> u64 {
        self.gaps.values().map(|gaps| gaps.iter().map(|(_, to)| *to).max().unwrap_or(0)).sum()
    }

    /// Whether what was shown at a position was given up with the box's word: in a gap.
    pub(super) fn is_gone(&self, pos: u64) -> bool {
        let number = |event: &Value| Some((event["lane"].as_str()?.to_owned(), event["seq"].as_u64()?));
        let Some((lane, seq)) = self.shown.get(&pos).and_then(number) else { return false };
        self.gaps.get(&lane).is_some_and(|gaps| gaps.iter().any(|(from, to)| (*from..=*to).contains(&seq)))
    }

    fn epoch(&mut self, epoch: &Value) {
        let Some(epoch) = epoch.as_str() else { return };
        match &self.epoch {
            Some(before) if before != epoch => {
                let before = before.clone();
                self.contradict(format!("the epoch was {before} and is {epoch}"));
            }
            Some(_) => {}
            None => self.epoch = Some(epoch.to_owned()),
        }
    }

    /// Takes a message of the box to the cloud. Returns the header of a batch, with the items that came.
    pub(super) fn hear(&mut self, topic: &str, payload: &[u8]) -> Option<(Value, Vec<Value>)> {
        let part = topic.splitn(4, '/').nth(3).unwrap_or_default();
        let (line, body) = match payload.iter().position(|byte| *byte == b'\n') {
            Some(end) => (&payload[..end], &payload[end + 1..]),
            None => (payload, &[][..]),
        };
        let Ok(header) = serde_json::from_slice::<Value>(line) else {
            self.contradict(format!("not JSON on {topic}"));
            return None;
        };
        match part {
            "result" => self.result(&header),
            "acked/cloud" => self.acked(&header),
            "batch/cloud" => return self.batch(header, body),
            "status" if header["state"] == "online" => {
                self.epoch(&header["epoch"]);
                for (lane, numbers) in header["lanes"].as_object().into_iter().flatten() {
                    self.head(lane, numbers["last"].as_u64().unwrap_or(0));
                }
            }
            _ => {}
        }
        None
    }

    fn result(&mut self, result: &Value) {
        let Some(id) = result["id"].as_str() else { return };
        let answer = match result["pos"].as_u64() {
            Some(pos) if result["ok"] == true => Answer::Done(pos),
            _ => Answer::Refused(result["error"].to_string()),
        };
        self.answer(id, answer);
    }

    fn acked(&mut self, acked: &Value) {
        let (Some(lane), Some(upto)) = (acked["lane"].as_str(), acked["acked"].as_u64()) else { return };
        self.epoch(&acked["epoch"]);
        self.cursor(lane, upto, "an ack");
    }

    /// A cursor as it was told; it never goes back.
    pub(super) fn cursor(&mut self, lane: &str, upto: u64, by: &str) {
        let before = self.cursors.get(lane).copied().unwrap_or(0);
        if upto < before {
            self.contradict(format!("the cursor of {lane} was at {before} and is at {upto}, says {by}"));
        }
        self.cursors.insert(lane.to_owned(), upto.max(before));
    }

    fn batch(&mut self, header: Value, body: &[u8]) -> Option<(Value, Vec<Value>)> {
        if header["error"].is_object() {
            return Some((header, Vec::new()));
        }
        self.epoch(&header["epoch"]);
        let sum = hex::encode(Sha256::digest(body));
        if header["sha256"] != sum || header["bytes"] != body.len() {
            self.contradict(format!("a batch is not what its header says: {header}"));
            return None;
        }
        let items: Result<Vec<Value>, _> =
            body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(serde_json::from_slice).collect();
        let Ok(items) = items else {
            self.contradict(format!("a line of a batch is not JSON: {header}"));
            return None;
        };
        self.sequence(&header, &items);
        Some((header, items))
    }

    /// Every number from `after` + 1 to `upto` is one event or inside one gap.
    fn sequence(&mut self, header: &Value, items: &[Value]) {
        let lane = header["lane"].as_str().unwrap_or_default().to_owned();
        let mut last = header["after"].as_u64().unwrap_or(0);
        for item in items {
            let (from, to) = match item["gap"].as_object() {
                Some(gap) => (gap["from"].as_u64(), gap["to"].as_u64()),
                None => (item["seq"].as_u64(), item["seq"].as_u64()),
            };
            // A pull may begin inside of a gap.
            if from.is_none_or(|from| from > last + 1) || to.is_none_or(|to| to <= last) {
                self.contradict(format!("lane {lane} goes on with {item} after {last}"));
            }
            last = to.unwrap_or(last);
            match (from, to, item["gap"].is_null()) {
                // No cut damages what was committed: it was not on disk when it was shown.
                (Some(from), Some(to), false) if item["gap"]["reason"] == "corruption" => {
                    self.contradict(format!("LOST: {lane} from {from} to {to}, as the box itself says: {item}"));
                }
                (Some(from), Some(to), false) => {
                    self.gaps.entry(lane.clone()).or_default().insert((from, to));
                }
                _ => self.event(item),
            }
        }
        if header["upto"] != last || header["count"] != items.len() {
            self.contradict(format!("a batch ends at {last} with {} items: {header}", items.len()));
        }
        self.head(&lane, header["head"].as_u64().unwrap_or(0));
    }
}
