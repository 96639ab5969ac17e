//! A client of the WebSocket: keeps every frame, as a page would, also when the box is killed.

use std::{
    io::Read,
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use flate2::read::GzDecoder;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{
    runtime::Builder,
    sync::mpsc::{Sender, channel},
};
use tokio_tungstenite::{connect_async, tungstenite::Message};

use crate::support::wait_for;

pub struct Tablet {
    frames: Arc<Mutex<Vec<Value>>>,
    out: Sender<String>,
    thread: JoinHandle<Option<u16>>,
}

impl Tablet {
    /// Connects and listens until the connection ends.
    pub fn connect(port: u16, token: &str, query: &str) -> Self {
        Self::open(format!("ws://127.0.0.1:{port}/ws?token={token}{query}"))
    }

    pub fn open(url: String) -> Self {
        let frames = Arc::new(Mutex::new(Vec::new()));
        let (out, mut outbox) = channel::<String>(1024);
        let heard = Arc::clone(&frames);
        let converse = async move {
            let (mut socket, _) = connect_async(url).await.expect("connected");
            loop {
                tokio::select! {
                    Some(text) = outbox.recv() => socket.send(Message::text(text)).await.expect("sent"),
                    message = socket.next() => match message {
                        Some(Ok(Message::Text(text))) => note(&heard, &text),
                        Some(Ok(Message::Binary(packed))) => {
                            let mut text = String::new();
                            GzDecoder::new(&packed[..]).read_to_string(&mut text).expect("gzip");
                            note(&heard, &text);
                            note(&heard, r#"{"type":"(was compressed)"}"#);
                        }
                        Some(Ok(Message::Close(frame))) => return frame.map(|frame| u16::from(frame.code)),
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => return None,
                    },
                }
            }
        };
        let runtime = Builder::new_current_thread().enable_all().build().expect("runtime");
        let thread = thread::spawn(move || runtime.block_on(converse));
        Self { frames, out, thread }
    }

    pub fn send(&self, message: &Value) {
        self.out.blocking_send(message.to_string()).expect("connected");
    }

    pub fn frames(&self) -> Vec<Value> {
        self.frames.lock().expect("unpoisoned").clone()
    }

    /// Waits for a frame of that type.
    pub fn hear(&self, kind: &str) -> Value {
        wait_for(kind, || self.frames().into_iter().find(|frame| frame["type"] == kind))
    }

    /// Waits for the answer to the message of that id.
    pub fn answer(&self, id: &str) -> Value {
        wait_for("an answer", || self.frames().into_iter().find(|frame| frame["id"] == id))
    }

    /// Asks and waits for the answer.
    pub fn ask(&self, kind: &str, id: &str, payload: &Value) -> Value {
        self.send(&serde_json::json!({"type": kind, "id": id, "payload": payload}));
        self.answer(id)
    }

    /// Everything it heard, and the code with which it was closed, once the connection has ended.
    pub fn finish(self) -> (Vec<Value>, Option<u16>) {
        let code = self.thread.join().expect("ended well");
        let frames = self.frames.lock().expect("unpoisoned").clone();
        (frames, code)
    }
}

fn note(heard: &Mutex<Vec<Value>>, text: &str) {
    heard.lock().expect("unpoisoned").push(serde_json::from_str(text).expect("JSON"));
}

/// Where a client got to: what it was welcomed at, and the newest fact since.
pub fn cursor(frames: &[Value]) -> String {
    let welcome = &frames[0]["payload"];
    let facts = frames.iter().filter(|f| f["type"] != "ACK").filter_map(|f| f["pos"].as_u64());
    let pos = facts.chain(welcome["pos"].as_u64()).max().expect("welcomed");
    format!("{}:{pos}", welcome["epoch"].as_str().expect("an epoch"))
}
