//! `…/health` and `…/state` of our own anchors.

use super::{DecodeError, Health, Message, anchor::object};
use crate::domain::AnchorId;

pub(super) fn health(anchor: AnchorId, payload: &[u8]) -> Result<Message, DecodeError> {
    let health: Health = object(payload)?;
    Ok(Message::Health { anchor, health })
}

/// An empty payload is how a retained message is deleted: nobody is there.
pub(super) fn state(anchor: AnchorId, payload: &[u8]) -> Result<Message, DecodeError> {
    let online = match payload {
        b"online" => true,
        b"offline" | b"" => false,
        _ => return Err(DecodeError::State),
    };
    Ok(Message::State { anchor, online })
}
