//! A tablet of a salesperson: keeps every frame, as a page would, also when the box is killed.

use std::{
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
};

use futures_util::StreamExt;
use serde_json::Value;
use tokio::runtime::Builder;
use tokio_tungstenite::{connect_async, tungstenite::Message};

use crate::support::wait_for;

pub struct Tablet {
    frames: Arc<Mutex<Vec<Value>>>,
    thread: JoinHandle<()>,
}

impl Tablet {
    /// Connects and listens until the connection ends.
    pub fn connect(port: u16, token: &str, query: &str) -> Self {
        let frames = Arc::new(Mutex::new(Vec::new()));
        let (url, heard) = (format!("ws://127.0.0.1:{port}/ws?token={token}{query}"), Arc::clone(&frames));
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(async {
                let (mut socket, _) = connect_async(url).await.expect("connected");
                while let Some(Ok(message)) = socket.next().await {
                    if let Message::Text(text) = message {
                        heard.lock().expect("unpoisoned").push(serde_json::from_str(&text).expect("JSON"));
                    }
                }
            });
        });
        Self { frames, thread }
    }

    pub fn frames(&self) -> Vec<Value> {
        self.frames.lock().expect("unpoisoned").clone()
    }

    /// Waits for a frame of that type.
    pub fn hear(&self, kind: &str) -> Value {
        wait_for(kind, || self.frames().into_iter().find(|frame| frame["type"] == kind))
    }

    /// Everything it heard, once the connection has ended.
    pub fn finish(self) -> Vec<Value> {
        self.thread.join().expect("ended well");
        Arc::try_unwrap(self.frames).expect("ended").into_inner().expect("unpoisoned")
    }
}

/// Where a client got to: what it was welcomed at, and the newest fact since.
pub fn cursor(frames: &[Value]) -> String {
    let welcome = &frames[0]["payload"];
    let facts = frames.iter().filter(|f| f["type"] != "ACK").filter_map(|f| f["pos"].as_u64());
    let pos = facts.chain(welcome["pos"].as_u64()).max().expect("welcomed");
    format!("{}:{pos}", welcome["epoch"].as_str().expect("an epoch"))
}
