//! Events: what happened, as the log keeps it. The kind decides the lane, except `clock.synced`, which goes into each.

use serde::{Deserialize, Serialize};

use super::event_data as data;
use super::{
    BootId, ClockQuality, CustomerId, Epoch, EventId, Revealed, Sealable, StaffId, Timestamp, VehicleId, VisitId,
};

/// A stream of the log with its own numbering for the cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// Business: never shed.
    Sales,
    /// Visits: shed last.
    Presence,
    /// Positions and heat: shed first.
    Trace,
}

impl Lane {
    /// All of them, in the order of their worth.
    pub const ALL: [Self; 3] = [Self::Sales, Self::Presence, Self::Trace];

    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sales => "sales",
            Self::Presence => "presence",
            Self::Trace => "trace",
        }
    }

    /// The lane of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|lane| lane.as_str() == name)
    }
}

/// Why a stored event cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Written by a newer program.
    #[error("unknown kind of event {0:?}")]
    UnknownKind(String),
    /// Its data is not what its kind says.
    #[error("data of {kind} is not understood")]
    Data {
        /// Its kind.
        kind: &'static str,
        /// What is wrong.
        source: serde_json::Error,
    },
}

macro_rules! event_bodies {
    ($($variant:ident($type:ident) = $kind:literal in $lane:ident;)+) => {
        /// What happened, with what its kind says about it.
        #[derive(Debug, Clone, PartialEq)]
        pub enum EventBody {
            $(#[doc = concat!("`", $kind, "`")] $variant(data::$type),)+
        }

        impl EventBody {
            /// The name of its kind on the wire.
            #[must_use]
            pub const fn kind(&self) -> &'static str {
                match self { $(Self::$variant(_) => $kind,)+ }
            }

            /// The lane of its kind.
            #[must_use]
            pub const fn lane(&self) -> Lane {
                match self { $(Self::$variant(_) => Lane::$lane,)+ }
            }

            /// Its data as JSON.
            #[must_use]
            pub fn to_data(&self) -> String {
                let json = match self { $(Self::$variant(data) => serde_json::to_string(data),)+ };
                // The types in `event_data` have only text keys and derive their encoding: it cannot fail.
                json.unwrap_or_default()
            }

            /// Reads what [`Self::kind`] and [`Self::to_data`] wrote.
            ///
            /// # Errors
            /// When the kind is not known here, or the data does not fit it.
            pub fn from_parts(kind: &str, json: &str) -> Result<Self, EventError> {
                match kind {
                    $($kind => serde_json::from_str(json)
                        .map(Self::$variant)
                        .map_err(|source| EventError::Data { kind: $kind, source }),)+
                    _ => Err(EventError::UnknownKind(kind.to_owned())),
                }
            }
        }
    };
}

event_bodies! {
    CustomerInterested(CustomerInterested) = "customer.interested" in Sales;
    CustomerEngaged(CustomerEngaged) = "customer.engaged" in Sales;
    LeadAssigned(LeadAssigned) = "lead.assigned" in Sales;
    KioskStarted(KioskStarted) = "kiosk.started" in Sales;
    KioskEnded(KioskEnded) = "kiosk.ended" in Sales;
    KioskViewed(KioskViewed) = "kiosk.viewed" in Sales;
    KioskCalled(KioskCalled) = "kiosk.called" in Sales;
    KioskAnswered(KioskAnswered) = "kiosk.answered" in Sales;
    TestDriveScheduled(TestDriveScheduled) = "testdrive.scheduled" in Sales;
    InventoryUpdated(Vehicle) = "inventory.updated" in Sales;
    InventoryReserved(Vehicle) = "inventory.reserved" in Sales;
    InventoryReleased(Vehicle) = "inventory.released" in Sales;
    InventoryRemoved(InventoryRemoved) = "inventory.removed" in Sales;
    CustomerUpserted(CustomerUpserted) = "customer.upserted" in Sales;
    CustomerErased(CustomerErased) = "customer.erased" in Sales;
    TagAssigned(TagAssigned) = "tag.assigned" in Sales;
    TagReleased(TagReleased) = "tag.released" in Sales;
    StaffChanged(StaffChanged) = "staff.changed" in Sales;
    CustomerEntered(CustomerEntered) = "customer.entered" in Presence;
    CustomerMoved(CustomerMoved) = "customer.moved" in Presence;
    CustomerDwelled(CustomerDwelled) = "customer.dwelled" in Presence;
    CustomerExited(CustomerExited) = "customer.exited" in Presence;
    TracePositions(TracePositions) = "trace.positions" in Trace;
    HeatMinute(HeatMinute) = "heat.minute" in Trace;
    ClockSynced(ClockSynced) = "clock.synced" in Sales;
}

/// Whom an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subjects {
    /// The visit.
    pub visit: Option<VisitId>,
    /// The customer.
    pub customer: Option<CustomerId>,
    /// The car.
    pub vehicle: Option<VehicleId>,
    /// The member of the staff.
    pub staff: Option<StaffId>,
}

/// An event before the log numbers and dates it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Where it goes: the lane of its kind, or any for `clock.synced`.
    pub lane: Lane,
    /// What happened.
    pub body: EventBody,
    /// To whom.
    pub subjects: Subjects,
    /// What is personal about it, before sealing.
    pub personal: Option<Sealable>,
}

impl NewEvent {
    /// An event in the lane of its kind, with nothing personal.
    #[must_use]
    pub fn new(body: EventBody, subjects: Subjects) -> Self {
        Self { lane: body.lane(), body, subjects, personal: None }
    }

    /// The same with a personal part.
    #[must_use]
    pub fn sealing(mut self, personal: Sealable) -> Self {
        self.personal = Some(personal);
        self
    }
}

/// Where an event stands on the box's own clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockMark {
    /// The boot.
    pub boot: BootId,
    /// `CLOCK_BOOTTIME`, nanoseconds, of the moment of `at`: with a `clock.synced` of that boot it dates the event anew.
    pub mono_ns: i64,
    /// Whether the wall clock was believed.
    pub quality: ClockQuality,
}

/// Where a salvaged event stood before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The database it is from.
    pub epoch: Epoch,
    /// Its number in its lane there.
    pub seq: u64,
}

/// An event as the log holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Position in the whole log, rising.
    pub pos: u64,
    /// Its lane.
    pub lane: Lane,
    /// Its number in the lane: 1, 2, 3…
    pub seq: u64,
    /// Its id, the same after a salvage.
    pub id: EventId,
    /// When, by the wall clock of then.
    pub at: Timestamp,
    /// What the clock said.
    pub clock: ClockMark,
    /// To whom it happened.
    pub subjects: Subjects,
    /// What happened.
    pub body: EventBody,
    /// What is personal about it.
    pub personal: Revealed,
    /// Where it stood before a salvage.
    pub origin: Option<Origin>,
    /// Version of its data.
    pub version: u16,
}

/// Why numbers of a lane hold no events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// Older than what has to be kept, and acknowledged.
    Retention,
    /// Shed to keep the box going.
    DiskFull,
    /// Lost with a damaged file.
    Corruption,
}

/// A run of numbers of a lane that hold no events any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// First number.
    pub from: u64,
    /// Last number.
    pub to: u64,
    /// How many events that were.
    pub count: u64,
    /// Why.
    pub reason: GapReason,
    /// When they went.
    pub at: Timestamp,
}

/// One line of a lane, in order: every number is one event or inside one gap.
#[derive(Debug, Clone, PartialEq)]
pub enum LaneItem {
    /// An event.
    Event(Box<Event>),
    /// Numbers without events.
    Gap(Gap),
}

impl LaneItem {
    /// The last number it covers.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        match self {
            Self::Event(event) => event.seq,
            Self::Gap(gap) => gap.to,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_back_as_they_were_written() {
        let body = EventBody::KioskViewed(data::KioskViewed {
            kiosk: "K1".parse().expect("id"),
            session: super::super::SessionId(uuid::Uuid::nil()),
            vehicle: "V1".parse().expect("id"),
            seconds: 12.5,
        });
        assert_eq!(EventBody::from_parts(body.kind(), &body.to_data()).expect("reads"), body);
        assert_eq!(body.lane(), Lane::Sales);
    }

    #[test]
    fn unknown_kinds_and_wrong_data_are_told_apart() {
        assert!(matches!(EventBody::from_parts("ufo.landed", "{}"), Err(EventError::UnknownKind(_))));
        assert!(matches!(EventBody::from_parts("kiosk.called", "{}"), Err(EventError::Data { .. })));
    }
}
