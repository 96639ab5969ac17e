//! What is personal: never in an event's `data`, a log line or a metric; sealed on disk under a key of its subject.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{CustomerId, StaffId};

/// Personal fields by name (`name`, `phone`, `email`, `tag` …). Does not print.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Personal(pub serde_json::Map<String, serde_json::Value>);

impl Personal {
    /// One text field, if it is there and is a text.
    #[must_use]
    pub fn text(&self, field: &str) -> Option<&str> {
        self.0.get(field).and_then(serde_json::Value::as_str)
    }

    /// Puts a text field in.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<String>) -> Self {
        self.0.insert(field.to_owned(), serde_json::Value::String(value.into()));
        self
    }
}

impl fmt::Debug for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Personal({} fields)", self.0.len())
    }
}

/// Whose key seals a personal part. Erasing a customer deletes that key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A customer.
    Customer(CustomerId),
    /// A member of the staff.
    Staff(StaffId),
    /// The box itself: tags that belong to no person.
    Site,
}

/// A personal part before it is sealed.
#[derive(Debug, Clone, PartialEq)]
pub struct Sealable {
    /// Whose it is.
    pub subject: Subject,
    /// What it says.
    pub fields: Personal,
}

/// The personal part of an event as a reader finds it.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Revealed {
    /// The event never had one.
    #[default]
    Absent,
    /// Its key is deleted: `null` on the wire.
    Erased,
    /// What it says.
    Present(Personal),
}

impl Revealed {
    /// The fields, when they can be read.
    #[must_use]
    pub fn fields(&self) -> Option<&Personal> {
        match self {
            Self::Present(fields) => Some(fields),
            Self::Absent | Self::Erased => None,
        }
    }
}
