//! The words everything else is written in. Pure: no I/O, no clock, no randomness, nothing of ours imported.

mod age;
mod backoff;
mod broker_address;
mod clock_floor;
mod event;
mod event_data;
mod fact;
mod ids;
mod personal;
mod quantity;
mod reading;
mod registry;
mod site;
mod time;

pub use age::{age, dated};
pub use backoff::Backoff;
pub use broker_address::{BrokerAddress, BrokerAddressError};
pub use clock_floor::{Belief, ClockFloor};
pub use event::{ClockMark, Event, EventBody, EventError, Gap, GapReason, Lane, LaneItem, NewEvent, Origin, Subjects};
pub use event_data::*;
pub use fact::{ExitReason, Fact, FloorSnapshot, Heat, OpenVisit, Presence, Trace, VisitSnapshot};
pub use ids::{
    AnchorId, ConsumerId, CustomerId, Epoch, EventId, IdError, KioskId, SessionId, SiteId, SpotId, StaffId, TagId,
    TestDriveId, VehicleId, VisitId, ZoneId,
};
pub use personal::{Personal, Revealed, Sealable, Subject};
pub use quantity::{Dbm, Metres, QuantityError};
pub use reading::Reading;
pub use registry::{Registration, Registry, Role};
pub use site::{Anchor, Print, PrintHeard, Site, Spot, Survey, Zone, ZoneKind, ZonePrints};
pub use time::{BootId, Clock, ClockQuality, Stamp, Timestamp, TimestampError};
