//! What is said to a cloud that asked for something it cannot have. A code is part of the contract (`docs/protocol.md`
//! §6); a message is for people and may change. Nothing personal and nothing secret stands in either, but for what the
//! asker itself wrote, so messages go back to the asker and never into the log.

use serde_json::{Value, json};

use crate::{
    domain::Epoch,
    showroom::{self, RefusalCode},
};

/// Why something was refused, in classes that a program can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    /// The question is about another database; the answer says which one is here.
    EpochChanged,
    /// There is no such lane.
    UnknownLane,
    /// The configuration names no such consumer.
    UnknownConsumer,
    /// It is about numbers that do not exist yet.
    AfterBeyondHead,
    /// It is not what the contract says.
    BadRequest,
    /// A newer question of the same consumer about the same lane took its place.
    Superseded,
    /// More than this box holds at once; ask later.
    TooManyRequests,
    /// The disk did not take it, or could not be read; asking again later may do.
    NotStored,
    /// The lane could not be read; asking again later may do.
    Unreadable,
    /// A kind of command that nobody knows.
    UnknownKind,
    /// A kind of command that this version does not do yet.
    Unsupported,
    /// A command that came too late.
    Expired,
    /// The showroom says no.
    Showroom(RefusalCode),
}

impl Code {
    /// Its name on the wire.
    #[must_use]
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::EpochChanged => "epoch_changed",
            Self::UnknownLane => "unknown_lane",
            Self::UnknownConsumer => "unknown_consumer",
            Self::AfterBeyondHead => "after_beyond_head",
            Self::BadRequest => "bad_request",
            Self::Superseded => "superseded",
            Self::TooManyRequests => "too_many_requests",
            Self::NotStored => "not_stored",
            Self::Unreadable => "unreadable",
            Self::UnknownKind => "unknown_kind",
            Self::Unsupported => "unsupported",
            Self::Expired => "expired",
            Self::Showroom(code) => code.as_str(),
        }
    }
}

/// A refusal with a sentence for whoever asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Its class.
    pub(super) code: Code,
    /// What is wrong and what to do.
    pub(super) message: String,
    /// The epoch of this database, with [`Code::EpochChanged`].
    pub(super) epoch: Option<Epoch>,
}

impl Refusal {
    /// A refusal that says nothing of epochs.
    #[must_use]
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), epoch: None }
    }

    /// The form is wrong.
    #[must_use]
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(Code::BadRequest, message)
    }

    /// The question is about another database than `epoch`.
    #[must_use]
    pub(super) fn epoch_changed(epoch: Epoch) -> Self {
        let message = format!("the epoch of this database is {epoch}; start it from 0");
        Self { code: Code::EpochChanged, message, epoch: Some(epoch) }
    }

    /// `{"code","message","epoch"?}`.
    #[must_use]
    pub(super) fn to_json(&self) -> Value {
        let mut error = json!({"code": self.code.as_str(), "message": self.message});
        if let Some(epoch) = self.epoch {
            error["epoch"] = json!(epoch);
        }
        error
    }
}

impl From<showroom::Refusal> for Refusal {
    fn from(refusal: showroom::Refusal) -> Self {
        Self::new(Code::Showroom(refusal.code), refusal.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_said_only_when_it_changed() {
        let text = Refusal::epoch_changed(Epoch(uuid::Uuid::nil())).to_json().to_string();
        insta::assert_snapshot!(text, @r#"{"code":"epoch_changed","epoch":"00000000-0000-0000-0000-000000000000","message":"the epoch of this database is 00000000-0000-0000-0000-000000000000; start it from 0"}"#);
        insta::assert_snapshot!(Refusal::bad("id is missing").to_json().to_string(), @r#"{"code":"bad_request","message":"id is missing"}"#);
    }
}
