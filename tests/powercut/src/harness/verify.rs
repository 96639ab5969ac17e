//! What must be true after a restart, asked from outside alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use fastrand::Rng;
use serde_json::Value;

use super::{
    cloud::{Cloud, Knowledge, locked},
    kiosk::Kiosk,
    outside::{Answer, Ledger, Outside, Request, Source, lasting},
    parts::get_json,
};

const LANES: [&str; 3] = ["sales", "presence", "trace"];
/// Requests that were answered before and are asked again.
const AGAIN: usize = 6;

/// Who asks, and how.
pub(super) struct Examiner<'a> {
    pub(super) http: u16,
    /// Reads the log over HTTP.
    pub(super) service: &'a str,
    /// For asking a kiosk's messages again.
    pub(super) kiosk: &'a str,
    pub(super) cloud: &'a mut Cloud,
    pub(super) ledger: &'a Path,
    pub(super) outside: &'a Knowledge,
}

type Log = BTreeMap<u64, Value>;

impl Examiner<'_> {
    /// Everything that is wrong.
    pub(super) fn examine(&mut self, rng: &mut Rng) -> Vec<String> {
        match self.look(rng) {
            Ok(mut problems) => {
                problems.append(&mut locked(self.outside).contradictions);
                problems
            }
            Err(problem) => vec![problem],
        }
    }

    fn look(&mut self, rng: &mut Rng) -> Result<Vec<String>, String> {
        // Contradicts by itself: numbers without holes, positions that mean another event.
        for lane in LANES {
            self.cloud.drain(self.outside, lane, 0)?;
        }
        let log = self.log(0)?;
        let mut problems = self.positions(&log);
        problems.extend(self.promises(&log)?);
        problems.extend(self.status()?);
        problems.extend(self.pulled(&log));
        self.ask_again(rng)?;
        let newest = log.last_key_value().map_or(0, |(pos, _)| *pos);
        let mut whole = log;
        whole.extend(self.log(newest)?);
        problems.extend(once(&locked(self.outside), &whole));
        Ok(problems)
    }

    fn log(&self, after: u64) -> Result<Log, String> {
        let (mut log, mut after) = (Log::new(), after);
        loop {
            let page = get_json(self.http, &format!("/api/v1/events?limit=1000&after={after}"), self.service)?;
            let events = page["events"].as_array().ok_or("a page of events without events")?;
            for event in events {
                let pos = event["pos"].as_u64().ok_or("an event without a position")?;
                if pos <= after && !log.is_empty() || log.insert(pos, lasting(event)).is_some() {
                    return Err(format!("position {pos} comes out of order"));
                }
            }
            if events.is_empty() {
                return Ok(log);
            }
            after = page["upto"].as_u64().ok_or("a page of events without an end")?;
        }
    }

    /// A position that was shown means what it meant; an id stands at one position.
    fn positions(&self, log: &Log) -> Vec<String> {
        let mut problems = Vec::new();
        let mut knows = locked(self.outside);
        for pos in knows.shown.keys() {
            if !log.contains_key(pos) && !knows.is_gone(*pos) {
                problems.push(format!("LOST: position {pos} was shown and is not in the log: {}", knows.shown[pos]));
            }
        }
        for (pos, told) in &knows.told {
            if !log.contains_key(pos) && !knows.is_gone(*pos) {
                problems.push(format!("LOST: a tablet was told {told:?} at {pos}, which is not in the log"));
            }
        }
        let ids: BTreeSet<&str> = log.values().filter_map(|event| event["id"].as_str()).collect();
        if ids.len() != log.len() {
            problems.push(format!("{} events have {} ids", log.len(), ids.len()));
        }
        for event in log.values() {
            knows.event(event);
        }
        problems
    }

    /// Every promise of the ledger is kept, with its content.
    fn promises(&self, log: &Log) -> Result<Vec<String>, String> {
        let mut problems = Vec::new();
        let ledger = Ledger::read(self.ledger).map_err(|error| format!("the ledger: {error}"))?;
        let knows = locked(self.outside);
        let results = knows.asked.iter().filter(|request| request.source == Source::Cloud);
        let results = results.filter_map(|request| Some((request.clone(), knows.answers.get(&request.id)?.clone())));
        let results: Vec<(Request, Answer)> = results.collect();
        for (request, answer) in ledger.into_iter().chain(results) {
            let Answer::Done(pos) = answer else { continue };
            match log.get(&pos) {
                None if knows.is_gone(pos) => {}
                None => problems.push(format!("LOST: {request:?} was promised at {pos}")),
                Some(event) if !fits(&request, event) => {
                    problems.push(format!("{request:?} was promised at {pos}, where there is {event}"));
                }
                Some(_) => {}
            }
        }
        Ok(problems)
    }

    fn status(&self) -> Result<Vec<String>, String> {
        let status = get_json(self.http, "/api/v1/status", self.service)?;
        let mut problems = Vec::new();
        let mut knows = locked(self.outside);
        if let Some(epoch) = &knows.epoch
            && status["epoch"] != epoch.as_str()
        {
            problems.push(format!("the epoch was {epoch} and is {}", status["epoch"]));
        }
        knows.epoch = status["epoch"].as_str().map(str::to_owned);
        for lane in LANES {
            let numbers = &status["lanes"][lane];
            let (last, told) = (numbers["last"].as_u64().unwrap_or(0), knows.heads.get(lane).copied().unwrap_or(0));
            if last < told {
                problems.push(format!("LOST: {lane} was told to be at {told} and is at {last}"));
            }
            knows.cursor(lane, numbers["acked"]["cloud"].as_u64().unwrap_or(0), "the status");
        }
        Ok(problems)
    }

    /// Pulls and HTTP say the same; a visit is entered first and once, and nothing follows its exit.
    fn pulled(&self, log: &Log) -> Vec<String> {
        let knows = locked(self.outside);
        let mut problems = Vec::new();
        let mut visits: BTreeMap<String, bool> = BTreeMap::new();
        for (pos, event) in &knows.shown {
            if log.get(pos).is_some_and(|now| now != event) {
                problems.push(format!("position {pos} was pulled as {event} and is {:?}", log.get(pos)));
            }
            if event["lane"] == "presence" && event["visit"].is_string() {
                let visit = event["visit"].to_string();
                let open = visits.get(&visit).copied();
                let legal = if event["kind"] == "customer.entered" { open.is_none() } else { open == Some(true) };
                if !legal {
                    problems.push(format!("it makes no sense that {event}"));
                }
                visits.insert(visit, event["kind"] != "customer.exited");
            }
        }
        problems
    }

    /// What was not answered is asked again; some of what was answered too, and must be answered the same.
    fn ask_again(&mut self, rng: &mut Rng) -> Result<(), String> {
        let (open, mut done) = {
            let knows = locked(self.outside);
            let done: Vec<Request> =
                knows.asked.iter().filter(|request| knows.answers.contains_key(&request.id)).cloned().collect();
            (knows.open(Source::Cloud).cloned().collect::<Vec<Request>>(), done)
        };
        rng.shuffle(&mut done);
        done.truncate(AGAIN);
        let (kiosk, cloud): (Vec<_>, Vec<_>) = done.into_iter().partition(|request| request.source == Source::Kiosk);
        for request in &cloud {
            self.cloud.ask(request);
        }
        self.cloud.insist(self.outside, &open)?;
        Kiosk { port: self.http, token: self.kiosk, ledger: self.ledger, outside: self.outside }.insist(&kiosk)
    }
}

/// Nothing was done twice, and what was answered was done.
fn once(knows: &Outside, log: &Log) -> Vec<String> {
    let mut marks: BTreeMap<String, u64> = BTreeMap::new();
    for event in log.values() {
        if let Some(mark) = event_mark(event) {
            *marks.entry(mark).or_default() += 1;
        }
    }
    let mut problems = Vec::new();
    let mut calls = 0;
    for request in &knows.asked {
        calls +=
            u64::from(request.kind == "KIOSK_CALL" && matches!(knows.answers.get(&request.id), Some(Answer::Done(_))));
        let Some(mark) = request_mark(request) else { continue };
        let times = marks.get(&mark).copied().unwrap_or(0);
        let due = match knows.answers.get(&request.id) {
            Some(Answer::Done(_)) => times == 1,
            Some(Answer::Refused(_)) => times == 0,
            None => times <= 1,
        };
        if !due {
            let answer = knows.answers.get(&request.id);
            problems.push(format!("{request:?}, answered {answer:?}, is {times} times in the log"));
        }
    }
    let called = log.values().filter(|event| event["kind"] == "kiosk.called").count() as u64;
    if called != calls {
        problems.push(format!("{calls} calls were promised, {called} are in the log"));
    }
    problems
}

/// What tells this request from all others, in the words of [`event_mark`].
fn request_mark(request: &Request) -> Option<String> {
    let body = &request.body;
    match request.kind.as_str() {
        "KIOSK_INTEREST" => Some(format!("interest {} {}", body["vehicleId"], body["interestLevel"])),
        "KIOSK_VIEW" => Some(format!("view {} {:?}", body["vehicleId"], body["seconds"].as_f64())),
        "KIOSK_TEST_DRIVE" => Some(format!("drive {} {}", body["vehicleId"], body["preferredTime"])),
        "vehicle.upsert" => Some(format!("car {} {:?}", body["id"], body["price"].as_f64())),
        "customer.upsert" => Some(format!("customer {} {}", body["id"], body["profile"]["n"])),
        _ => None,
    }
}

fn event_mark(event: &Value) -> Option<String> {
    let data = &event["data"];
    match event["kind"].as_str()? {
        "customer.interested" => Some(format!("interest {} {}", event["vehicle"], data["level"])),
        "kiosk.viewed" => Some(format!("view {} {:?}", event["vehicle"], data["seconds"].as_f64())),
        "testdrive.scheduled" => Some(format!("drive {} {}", event["vehicle"], data["scheduled_time"])),
        "inventory.updated" | "inventory.reserved" | "inventory.released" => {
            Some(format!("car {} {:?}", data["vehicle"], data["price"].as_f64()))
        }
        "customer.upserted" => Some(format!("customer {} {}", event["customer"], data["profile"]["n"])),
        _ => None,
    }
}

/// Whether this event is what that request was promised.
fn fits(request: &Request, event: &Value) -> bool {
    if let Some(mark) = request_mark(request) {
        return event_mark(event) == Some(mark);
    }
    let kind = match request.kind.as_str() {
        "SESSION_START" => "kiosk.started",
        "KIOSK_CALL" => "kiosk.called",
        "customer.erase" => return event["kind"] == "customer.erased" && event["customer"] == request.body["id"],
        // It may have changed nothing: then it was promised at the head.
        _ => return true,
    };
    event["kind"] == kind
}
