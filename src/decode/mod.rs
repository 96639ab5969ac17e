//! Bytes that anchors send → readings. Pure and total: whatever arrives, the answer is a [`Message`] or a [`DecodeError`],
//! never a panic, and no more memory is taken than the payload's own size allows.
//!
//! Formats: `docs/protocol.md` §8, our own batches and ESPresense's messages. Tags are written in the notation of §1, so
//! that the same beacon has the same name whichever receiver heard it. Time is not decided here: a reading says how old
//! it was, and what the sender's clock said; the source decides which clock to believe.

mod advert;
mod anchor;
mod error;
mod espresense;
mod health;
mod mac;
mod message;
mod own_batch;
mod scalar;

pub use advert::{AdStructure, Beacon, beacon, structures};
pub use anchor::{MAX_PAYLOAD_BYTES, anchor_message};
pub use error::{DecodeError, ItemError};
pub use espresense::tag as espresense_tag;
pub use mac::Mac;
pub use message::{Health, Heard, Message, Rejected};
pub use own_batch::{MAX_ADVERTS, MAX_AGE};
