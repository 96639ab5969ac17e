//! One WebSocket: sends with a limit of time, closes politely.

use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use tokio::time::timeout;

use super::frame::Frame;

/// Whoever takes longer to read a message does not read.
const SEND: Duration = Duration::from_secs(10);
const GOODBYE: Duration = Duration::from_secs(1);

/// Why a connection is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// The client went, or the network did.
    Left,
    /// The client does not read.
    Slow,
    /// We close, with this code and reason.
    Closing(u16, &'static str),
}

/// An accepted socket.
pub(super) struct Connection {
    socket: WebSocket,
    gzip: bool,
}

impl Connection {
    pub(super) fn new(socket: WebSocket, gzip: bool) -> Self {
        Self { socket, gzip }
    }

    /// Sends a frame.
    pub(super) async fn send(&mut self, frame: &Frame) -> Result<(), Gone> {
        let message = frame.message(self.gzip);
        self.put(message).await
    }

    /// Asks for a sign of life.
    pub(super) async fn ping(&mut self) -> Result<(), Gone> {
        self.put(Message::Ping(axum::body::Bytes::new())).await
    }

    async fn put(&mut self, message: Message) -> Result<(), Gone> {
        match timeout(SEND, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Gone::Left),
            Err(_) => Err(Gone::Slow),
        }
    }

    /// The next message; safe to drop half way.
    pub(super) async fn next(&mut self) -> Result<Message, Gone> {
        match self.socket.recv().await {
            Some(Ok(Message::Close(_))) | None => Err(Gone::Left),
            Some(Ok(message)) => Ok(message),
            // Only what is far too large or breaks the protocol fails without the network failing.
            Some(Err(error)) if is_too_large(&error) => Err(Gone::Closing(1009, "Message too big")),
            Some(Err(_)) => Err(Gone::Left),
        }
    }

    /// Says why, and waits a moment for the client to hear it.
    pub(super) async fn close(mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code, reason: reason.into() };
        if !matches!(timeout(GOODBYE, self.socket.send(Message::Close(Some(frame)))).await, Ok(Ok(()))) {
            return;
        }
        let heard = async { while let Some(Ok(_)) = self.socket.recv().await {} };
        // Who does not answer is left alone.
        let _ = timeout(GOODBYE, heard).await;
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    error.to_string().contains("too long")
}
