//! Where readings come from.

mod recording;

pub use recording::{Item, Recording, RecordingError};
