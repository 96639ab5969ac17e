//! One WebSocket: sends with a limit of time and in small pieces, closes politely.
//!
//! A large message goes in fragments, so that no client holds a buffer of its size; its text is shared by all clients.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Bytes, Error, Message,
        protocol::{
            CloseFrame, Role, WebSocketConfig,
            frame::{
                Frame as Fragment,
                coding::{Data, OpCode},
            },
        },
    },
};

use super::frame::{Content, Frame};

/// Whoever takes longer to read a message does not read.
const SEND: Duration = Duration::from_secs(10);
const GOODBYE: Duration = Duration::from_secs(1);
const FRAGMENT: usize = 16 * 1024;
/// Of each client, and there may be many.
const BUFFER: usize = 8 * 1024;
const MAX_UNSENT: usize = 64 * 1024;
/// A message that is a little too long is read, so that its sender can be told.
const LENIENCE: usize = 64 * 1024;

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
    socket: WebSocketStream<TokioIo<Upgraded>>,
    gzip: bool,
}

impl Connection {
    /// A connection after its handshake; messages beyond `message_bytes` are not for reading.
    pub(super) async fn new(upgraded: Upgraded, message_bytes: usize, gzip: bool) -> Self {
        let largest = Some(message_bytes + LENIENCE);
        let config = WebSocketConfig::default()
            .read_buffer_size(BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_UNSENT)
            .max_message_size(largest)
            .max_frame_size(largest);
        let io = TokioIo::new(upgraded);
        Self { socket: WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await, gzip }
    }

    /// Sends a frame.
    pub(super) async fn send(&mut self, frame: &Frame) -> Result<(), Gone> {
        let (kind, bytes) = match frame.content(self.gzip) {
            Content::Text(bytes) => (Data::Text, bytes),
            Content::Gzip(bytes) => (Data::Binary, bytes),
        };
        self.within(SEND, kind, bytes).await
    }

    async fn within(&mut self, limit: Duration, kind: Data, bytes: Bytes) -> Result<(), Gone> {
        match timeout(limit, self.write(kind, bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Gone::Left),
            Err(_) => Err(Gone::Slow),
        }
    }

    async fn write(&mut self, kind: Data, mut bytes: Bytes) -> Result<(), Error> {
        let mut kind = OpCode::Data(kind);
        loop {
            let piece = bytes.split_to(bytes.len().min(FRAGMENT));
            let last = bytes.is_empty();
            self.socket.send(Message::Frame(Fragment::message(piece, kind, last))).await?;
            if last {
                return Ok(());
            }
            kind = OpCode::Data(Data::Continue);
        }
    }

    /// Asks for a sign of life.
    pub(super) async fn ping(&mut self) -> Result<(), Gone> {
        match timeout(SEND, self.socket.send(Message::Ping(Bytes::new()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Gone::Left),
            Err(_) => Err(Gone::Slow),
        }
    }

    /// The next message; safe to drop half way.
    pub(super) async fn next(&mut self) -> Result<Message, Gone> {
        match self.socket.next().await {
            Some(Ok(Message::Close(_))) | None => Err(Gone::Left),
            Some(Ok(message)) => Ok(message),
            Some(Err(Error::Capacity(_))) => Err(Gone::Closing(1009, "Message too big")),
            Some(Err(_)) => Err(Gone::Left),
        }
    }

    /// Says why, and waits a moment for the client to hear it.
    pub(super) async fn close(mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        if !matches!(timeout(GOODBYE, self.socket.send(Message::Close(Some(frame)))).await, Ok(Ok(()))) {
            return;
        }
        let heard = async { while let Some(Ok(_)) = self.socket.next().await {} };
        // Who does not answer is left alone.
        let _ = timeout(GOODBYE, heard).await;
    }
}
