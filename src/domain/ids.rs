//! Identifiers, checked on construction: whoever holds one may put it in a topic, a path or a log line.
//!
//! Names are cheap to clone (`Arc<str>`); UUIDs are `Copy`.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is no identifier of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}: {rule}")]
pub struct IdError {
    what: &'static str,
    rule: &'static str,
    text: String,
}

const MAX_TAG_BYTES: usize = 128;

fn is_site(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_tag(text: &str) -> bool {
    (1..=MAX_TAG_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

macro_rules! text_ids {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $check:ident, $rule:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text`.
            ///
            /// # Errors
            /// When `text` breaks the rule of this kind of identifier.
            pub fn new(text: impl Into<Arc<str>>) -> Result<Self, IdError> {
                let text = text.into();
                if $check(&text) {
                    Ok(Self(text))
                } else {
                    let shown = text.chars().take(80).collect();
                    Err(IdError { what: $what, rule: $rule, text: shown })
                }
            }

            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }
    )+};
}

text_ids! {
    /// A showroom.
    SiteId, "site id", is_site, "1 to 64 of a-z, 0-9 and -";
    /// A receiver with a known place.
    AnchorId, "anchor id", is_name, "1 to 64 of A-Z, a-z, 0-9, _, . and -";
    /// A named part of the floor.
    ZoneId, "zone id", is_name, "1 to 64 of A-Z, a-z, 0-9, _, . and -";
    /// A place where a car stands.
    SpotId, "spot id", is_name, "1 to 64 of A-Z, a-z, 0-9, _, . and -";
    /// A car of the inventory.
    VehicleId, "vehicle id", is_name, "1 to 64 of A-Z, a-z, 0-9, _, . and -";
    /// A member of the staff.
    StaffId, "staff id", is_name, "1 to 64 of A-Z, a-z, 0-9, _, . and -";
    /// A kiosk.
    KioskId, "kiosk id", is_name, "1 to 64 of A-Z, a-z, 0-9, _, . and -";
    /// A puller of the log: one cursor in each lane.
    ConsumerId, "consumer id", is_name, "1 to 64 of A-Z, a-z, 0-9, _, . and -";
    /// A radio tag, in the notation of `docs/protocol.md` §1; recordings may use any text.
    TagId, "tag id", is_tag, "1 to 128 bytes without control characters";
}

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )+};
}

uuid_ids! {
    /// One database; a new one after a rebuild.
    Epoch;
    /// An event, version 7.
    EventId;
    /// One stay of one visitor.
    VisitId;
    /// A person known to the business.
    CustomerId;
    /// One guest at one kiosk.
    SessionId;
    /// A scheduled test drive.
    TestDriveId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked_on_construction() {
        assert!(SiteId::new("hel-01").is_ok());
        assert!(SiteId::new("Hel-01").is_err());
        assert!(SiteId::new("").is_err());
        assert!(AnchorId::new("north_door.2").is_ok());
        assert!(AnchorId::new("a/b").is_err());
        assert!(AnchorId::new("x".repeat(65)).is_err());
        assert!(TagId::new("ibeacon:u:1:7").is_ok());
        assert!(TagId::new("a\nb").is_err());
        assert!(serde_json::from_str::<SiteId>("\"UPPER\"").is_err());
    }
}
