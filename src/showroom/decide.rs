//! The one entrance of the business: a command, and what it means.

use uuid::Uuid;

use super::{CloudCommand, Command, View, ViewError, customer, kiosk, staff, tag, vehicle, visit};
use crate::domain::{EventBody, Lane, NewEvent, Stamp, Subjects};

/// What a decision may know beside the projections: the time, and fresh ids, so that it stays pure.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// What the box's clock says.
    pub now: Stamp,
    /// A random id for the new thing that a command may make.
    pub fresh: Uuid,
    /// Another, for a customer who is made with it.
    pub fresh_customer: Uuid,
}

/// Why a command may not be done, in classes that a client can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalCode {
    /// It names something that is not there.
    Unknown,
    /// Its values make no sense.
    Invalid,
    /// Who asks may not.
    Forbidden,
    /// The state of the showroom is against it.
    Conflict,
}

impl RefusalCode {
    /// Its name on the wire and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Invalid => "invalid",
            Self::Forbidden => "forbidden",
            Self::Conflict => "conflict",
        }
    }

    /// The code of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Unknown, Self::Invalid, Self::Forbidden, Self::Conflict].into_iter().find(|code| code.as_str() == name)
    }
}

/// A command that may not be done, with a sentence for whoever asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// Its class.
    pub code: RefusalCode,
    /// What, why, and what to do.
    pub message: String,
}

impl Refusal {
    pub(super) fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// Why a decision gave no events.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// It may not be done.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The projections could not be read.
    #[error(transparent)]
    View(#[from] ViewError),
}

/// What `command` means now: its events, in order; none when it changes nothing.
///
/// # Errors
/// When the showroom refuses it, or `view` cannot be read.
pub fn decide(view: &dyn View, command: &Command, context: &Context) -> Result<Vec<NewEvent>, Rejection> {
    match command {
        Command::Presence { fact, .. } => visit::observe(view, &fact.presence),
        Command::Kiosk { kiosk, command } => kiosk::touch(view, kiosk, command, context),
        Command::Staff { staff, command } => staff::act(view, staff, command, context),
        Command::Cloud(command) => obey(view, command),
        Command::ClockSynced(synced) => {
            let event = |lane| NewEvent {
                lane,
                body: EventBody::ClockSynced(synced.clone()),
                subjects: Subjects::default(),
                personal: None,
            };
            Ok(Lane::ALL.into_iter().map(event).collect())
        }
    }
}

fn obey(view: &dyn View, command: &CloudCommand) -> Result<Vec<NewEvent>, Rejection> {
    match command {
        CloudCommand::VehicleUpsert(car) => vehicle::upsert(view, car),
        CloudCommand::VehicleRemove(id) => vehicle::remove(view, id),
        CloudCommand::CustomerUpsert { id, personal, profile } => Ok(customer::upsert(*id, personal, profile)),
        CloudCommand::CustomerErase(id) => Ok(customer::erase(*id)),
        CloudCommand::StaffUpsert { id, personal, active, available } => {
            Ok(staff::upsert(id, personal, *active, *available))
        }
        CloudCommand::TagAssign { tag, registration } => tag::assign(view, tag, registration),
        CloudCommand::TagRelease(tag) => tag::release(view, tag),
    }
}
