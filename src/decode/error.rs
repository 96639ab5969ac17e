//! Why a message, or one item of it, was refused. Texts may go to the log: they never hold a radio address.

use crate::domain::{IdError, QuantityError};

/// Why a whole message was refused.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// More than one message may hold.
    #[error("payload of {bytes} bytes, at most {limit} are read")]
    TooLarge {
        /// What arrived.
        bytes: usize,
        /// What is read at most.
        limit: usize,
    },
    /// Broken JSON, or a value of the wrong type where the message cannot be understood without it.
    #[error("broken payload: {0}")]
    Json(#[from] serde_json::Error),
    /// A list or a bare value.
    #[error("payload is no JSON object")]
    NotAnObject,
    /// The topic names something that can be no anchor.
    #[error("topic names no anchor: {0}")]
    Anchor(IdError),
    /// A state that is neither `online` nor `offline`.
    #[error("state is neither online nor offline")]
    State,
    /// The only reading of the message was refused.
    #[error("{0}")]
    Item(#[from] ItemError),
}

/// Why one reading was refused while the rest of its message went on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ItemError {
    /// No level, or one that is no number.
    #[error("rssi is missing or no number")]
    NoRssi,
    /// A level no receiver can report.
    #[error("rssi of {0}")]
    Rssi(QuantityError),
    /// An age that is no number, negative, or so high that the reading is history.
    #[error("age is no number between 0 and 60000 ms")]
    Age,
    /// Neither a beacon in the data nor an address of six bytes.
    #[error("neither a beacon nor a mac of 12 hexadecimal digits")]
    Sender,
    /// Advertisement data that are not hexadecimal, or longer than an advertisement can be.
    #[error("advertisement data are not hexadecimal or longer than 1650 bytes")]
    Data,
    /// A tag that is empty, too long or holds control characters. The text stays out: it may be somebody's address.
    #[error("id makes no tag of 1 to 128 bytes without control characters")]
    Tag,
    /// One of more items than a message may hold.
    #[error("more than 1000 adverts in one message")]
    TooMany,
}
