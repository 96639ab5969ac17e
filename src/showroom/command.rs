//! Everything that can be asked of the showroom, checked in form by whoever read it off a wire.

use std::time::Duration;

use crate::domain::{
    ClockSynced, CustomerId, Fact, KioskId, Personal, Registration, SessionEnd, SessionId, StaffId, TagId, Timestamp,
    Vehicle, VehicleId, VisitId,
};

/// How a fact's time relates to the box's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dating {
    /// It happened that long before now: the engine runs on the box's clock.
    Ago(Duration),
    /// It happened when it says: the engine runs on the readings' own clock (simulations, recordings).
    AsSaid,
}

/// Something that somebody wants, or found out.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// The presence engine found something out.
    Presence {
        /// What.
        fact: Fact,
        /// When.
        dating: Dating,
    },
    /// A guest touched a kiosk.
    Kiosk {
        /// Which kiosk, by its token.
        kiosk: KioskId,
        /// What the guest wants.
        command: KioskCommand,
    },
    /// A member of the staff did something on the tablet.
    Staff {
        /// Who, by the token.
        staff: StaffId,
        /// What.
        command: StaffCommand,
    },
    /// The cloud said something.
    Cloud(CloudCommand),
    /// The wall clock was learnt or stepped; goes into every lane.
    ClockSynced(ClockSynced),
}

/// What a guest does at a kiosk.
#[derive(Debug, Clone, PartialEq)]
pub enum KioskCommand {
    /// Begins a session; one that is open ends.
    StartSession,
    /// Ends the session that is open.
    EndSession(SessionEnd),
    /// Ends this session, if it is still the one that is open: nobody touched it for too long.
    EndSilent(SessionId),
    /// Looked at a car for so many seconds.
    View {
        /// Which.
        vehicle: VehicleId,
        /// How long.
        seconds: f64,
    },
    /// Is interested in a car.
    Interest {
        /// Which.
        vehicle: VehicleId,
        /// 0 to 1.
        level: f64,
    },
    /// Asks for a person.
    Call,
    /// Asks for a test drive.
    TestDrive(TestDriveRequest),
}

/// A test drive as asked for at a kiosk: the least that is needed.
#[derive(Debug, Clone, PartialEq)]
pub struct TestDriveRequest {
    /// In which car.
    pub vehicle: VehicleId,
    /// `name` and `phone`, where given.
    pub contact: Personal,
    /// When.
    pub preferred_time: Option<Timestamp>,
}

/// What a member of the staff does.
#[derive(Debug, Clone, PartialEq)]
pub enum StaffCommand {
    /// Can take a visitor, or cannot.
    SetAvailability {
        /// Which.
        available: bool,
    },
    /// Takes a visit.
    Claim {
        /// Which.
        visit: VisitId,
    },
    /// Goes to a guest who called from a kiosk.
    AnswerCall {
        /// Which kiosk.
        kiosk: KioskId,
    },
    /// Serves a visitor.
    Engage {
        /// Which visit.
        visit: VisitId,
        /// What kind: `greeting`, `consultation`, `test_drive_request` …
        kind: String,
        /// About which car.
        vehicle: Option<VehicleId>,
    },
}

/// What the cloud sends down.
#[derive(Debug, Clone, PartialEq)]
pub enum CloudCommand {
    /// A car as it is now.
    VehicleUpsert(Vehicle),
    /// A car that left.
    VehicleRemove(VehicleId),
    /// A customer as the cloud knows them.
    CustomerUpsert {
        /// Who.
        id: CustomerId,
        /// Name, phone, e-mail …
        personal: Personal,
        /// What identifies nobody.
        profile: serde_json::Map<String, serde_json::Value>,
    },
    /// A customer who is to be forgotten.
    CustomerErase(CustomerId),
    /// A member of the staff as the cloud knows them.
    StaffUpsert {
        /// Who.
        id: StaffId,
        /// `name` and `phone`.
        personal: Personal,
        /// Works here.
        active: bool,
        /// May be given a visitor.
        available: bool,
    },
    /// A tag means somebody from now on.
    TagAssign {
        /// Which.
        tag: TagId,
        /// What it means.
        registration: Registration,
    },
    /// A tag means nobody from now on.
    TagRelease(TagId),
}
