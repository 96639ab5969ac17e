//! A kiosk with hasty guests: several messages on their way at any time, each answer into the ledger, on disk, before the
//! next thing is done.

use std::{
    io,
    net::TcpStream,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use fastrand::Rng;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::{
    cloud::{Knowledge, locked},
    outside::{Answer, Ledger, Request, Source},
    parts::PATIENCE,
};

const IN_FLIGHT: usize = 6;
const GLANCE: Duration = Duration::from_millis(5);

pub(super) struct Socket(WebSocket<TcpStream>);

impl Socket {
    pub(super) fn connect(port: u16, query: &str) -> Result<Self, String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
        let patience =
            |stream: &TcpStream, time| stream.set_read_timeout(Some(time)).map_err(|error| error.to_string());
        patience(&stream, Duration::from_secs(10))?;
        let near = stream.try_clone().map_err(|error| error.to_string())?;
        let url = format!("ws://127.0.0.1:{port}/ws?{query}");
        let (socket, _) = tungstenite::client(url, stream).map_err(|error| error.to_string())?;
        patience(&near, GLANCE)?;
        Ok(Self(socket))
    }

    /// The next frame; `None` when nothing came for a moment.
    pub(super) fn next(&mut self) -> Result<Option<Value>, String> {
        match self.0.read() {
            Ok(Message::Text(text)) => serde_json::from_str(&text).map(Some).map_err(|error| error.to_string()),
            Ok(Message::Close(why)) => Err(format!("closed: {why:?}")),
            Ok(_) => Ok(None),
            Err(tungstenite::Error::Io(error))
                if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
            {
                Ok(None)
            }
            Err(error) => Err(error.to_string()),
        }
    }

    pub(super) fn send(&mut self, body: &Value) -> Result<(), String> {
        self.0.send(Message::text(body.to_string())).map_err(|error| error.to_string())
    }
}

pub(super) struct Kiosk<'a> {
    pub(super) port: u16,
    pub(super) token: &'a str,
    pub(super) ledger: &'a Path,
    pub(super) outside: &'a Knowledge,
}

impl Kiosk<'_> {
    /// Guests come and tap until `stop`, or until the connection ends.
    pub(super) fn work(&self, rng: &mut Rng, stop: &AtomicBool) -> Result<(), String> {
        let mut ledger = Ledger::open(self.ledger).map_err(|error| error.to_string())?;
        let mut socket = Socket::connect(self.port, &format!("token={}", self.token))?;
        let open: Vec<Request> = locked(self.outside).open(Source::Kiosk).cloned().collect();
        for request in open {
            ask(&mut socket, &request)?;
        }
        ask(&mut socket, &self.note("SESSION_START", |_| json!({})))?;
        while !stop.load(Ordering::Relaxed) {
            if locked(self.outside).open(Source::Kiosk).count() < IN_FLIGHT && rng.u8(0..4) > 0 {
                let request = self.message(rng);
                ask(&mut socket, &request)?;
            } else if let Some(frame) = socket.next()? {
                self.take(&frame, &mut ledger)?;
            }
        }
        Ok(())
    }

    /// Asks again what was not answered, and `others`, until each has its answer.
    pub(super) fn insist(&self, others: &[Request]) -> Result<(), String> {
        let mut ledger = Ledger::open(self.ledger).map_err(|error| error.to_string())?;
        let open: Vec<Request> = locked(self.outside).open(Source::Kiosk).cloned().collect();
        let mut waiting: Vec<String> = Vec::new();
        let mut socket = Socket::connect(self.port, &format!("token={}", self.token))?;
        for request in open.iter().chain(others) {
            waiting.push(request.id.clone());
            ask(&mut socket, request)?;
        }
        let end = Instant::now() + PATIENCE;
        while !waiting.is_empty() {
            if Instant::now() > end {
                return Err(format!("kiosk messages are not answered: {waiting:?}"));
            }
            if let Some(frame) = socket.next()? {
                self.take(&frame, &mut ledger)?;
                waiting.retain(|id| frame["id"] != id.as_str());
            }
        }
        Ok(())
    }

    fn take(&self, frame: &Value, ledger: &mut Ledger) -> Result<(), String> {
        let Some(id) = frame["id"].as_str() else { return Ok(()) };
        let payload = &frame["payload"];
        let answer = match (frame["type"].as_str(), payload["pos"].as_u64()) {
            (Some("ACK"), Some(pos)) => Answer::Done(pos),
            // It says itself that it may be asked again.
            (Some("ERROR"), _) if payload["code"] == "NOT_STORED" => return Ok(()),
            (Some("ERROR"), _) => Answer::Refused(format!("{}: {}", payload["code"], payload["message"])),
            _ => return Ok(()),
        };
        let request = locked(self.outside).request(id).cloned();
        let Some(request) = request else { return Err(format!("an answer to nothing: {frame}")) };
        ledger.note(&request, &answer).map_err(|error| error.to_string())?;
        locked(self.outside).answer(id, answer);
        Ok(())
    }

    fn note(&self, kind: &str, body: impl FnOnce(u64) -> Value) -> Request {
        let mut knows = locked(self.outside);
        let n = knows.next();
        let request = Request { source: Source::Kiosk, id: format!("k{n}"), kind: kind.to_owned(), body: body(n) };
        knows.ask(request.clone());
        request
    }

    fn message(&self, rng: &mut Rng) -> Request {
        let car = format!("V{}", rng.u8(0..5));
        match rng.u8(0..20) {
            0 => self.note("SESSION_START", |_| json!({})),
            1..3 => self.note("KIOSK_CALL", |_| json!({})),
            3..6 => self.note("KIOSK_VIEW", |n| json!({"vehicleId": car, "seconds": n % 80_000})),
            6..9 => self.note("KIOSK_TEST_DRIVE", |n| {
                let time = format!(
                    "2027-01-{:02}T{:02}:{:02}:{:02}.000000Z",
                    n / 86_400 % 28 + 1,
                    n / 3_600 % 24,
                    n / 60 % 60,
                    n % 60
                );
                let name = rng.bool().then(|| format!("Guest {n}"));
                json!({"vehicleId": car, "name": name, "preferredTime": time})
            }),
            _ => self.note("KIOSK_INTEREST", |n| json!({"vehicleId": car, "interestLevel": n as f64 / 1e6})),
        }
    }
}

fn ask(socket: &mut Socket, request: &Request) -> Result<(), String> {
    socket.send(&json!({"type": request.kind, "id": request.id, "payload": request.body}))
}
