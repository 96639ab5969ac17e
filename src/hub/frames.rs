//! What is said of an event, and to whom. Pure.

use super::{
    frame::{Frame, Told},
    payloads::{
        Answered, Assigned, Called, Car, CarGone, Coming, CustomerFrame, Engaged, Entered, Exited, Interested, Moved,
        Place, SessionFrame, StaffFrame, TestDrive, Who,
    },
    rooms::Audience,
};
use crate::{
    domain::{
        CustomerEngaged, CustomerEntered, CustomerInterested, CustomerMoved, Epoch, EventBody, KioskAnswered, KioskId,
        SessionId, Site, Timestamp, Vehicle, VehicleId,
    },
    store::LogEntry,
};

/// From here on an interest is worth an alert.
const HIGH_INTEREST: f64 = 0.7;

/// Makes the frames of one event.
pub(super) fn tell(entry: &LogEntry, epoch: Epoch, site: &Site) -> Told {
    let mut teller = Teller { entry, epoch, site, frames: Vec::new() };
    let boundary = teller.tell();
    Told { pos: entry.event.pos, frames: teller.frames, boundary }
}

struct Teller<'a> {
    entry: &'a LogEntry,
    epoch: Epoch,
    site: &'a Site,
    frames: Vec<(Audience, Frame)>,
}

impl<'a> Teller<'a> {
    fn tell(&mut self) -> Option<KioskId> {
        let entry = self.entry;
        match &entry.event.body {
            EventBody::CustomerEntered(data) => self.entered(data),
            EventBody::CustomerMoved(data) => self.moved(data),
            EventBody::CustomerExited(data) => {
                let (who, showroom_id, timestamp) = (self.who(), &self.site.id, self.at());
                let exited = Exited { who, showroom_id, duration: data.duration_s, timestamp };
                self.staff("CUSTOMER_EXITED", &exited);
            }
            EventBody::CustomerInterested(data) => self.interested(data),
            EventBody::CustomerEngaged(data) => self.engaged(data),
            EventBody::LeadAssigned(data) => {
                let (who, sales_rep_name, timestamp) = (self.who(), self.staff_name(), self.at());
                let assigned = Assigned { who, sales_rep_id: &data.staff, sales_rep_name, timestamp };
                self.staff("LEAD_ASSIGNED", &assigned);
            }
            EventBody::KioskStarted(data) => {
                self.session("SESSION_STARTED", &data.kiosk, data.session);
                return Some(data.kiosk.clone());
            }
            EventBody::KioskEnded(data) => {
                self.session("SESSION_ENDED", &data.kiosk, data.session);
                return Some(data.kiosk.clone());
            }
            EventBody::KioskCalled(data) => {
                let called = Called { kiosk_id: &data.kiosk, visit_id: None, timestamp: self.at() };
                self.staff("KIOSK_CALLED", &called);
            }
            EventBody::KioskAnswered(data) => self.answered(data),
            EventBody::TestDriveScheduled(_) => self.test_drive(),
            EventBody::InventoryUpdated(car) => self.car("INVENTORY_UPDATED", car),
            EventBody::InventoryReserved(car) => self.car("INVENTORY_RESERVED", car),
            EventBody::InventoryReleased(car) => self.car("INVENTORY_RELEASED", car),
            EventBody::InventoryRemoved(gone) => self.car_gone(&gone.vehicle),
            EventBody::CustomerUpserted(_) | EventBody::CustomerErased(_) => {
                if let Some(customer_id) = entry.event.subjects.customer {
                    let customer_name = entry.about.customer_name.as_deref();
                    self.staff("CUSTOMER_UPDATED", &CustomerFrame { customer_id, customer_name });
                }
            }
            EventBody::StaffChanged(data) => {
                let (active, available) = (data.active, data.available);
                let changed = StaffFrame { staff_id: &data.staff, name: self.staff_name(), active, available };
                self.staff("STAFF_CHANGED", &changed);
            }
            EventBody::KioskViewed(_)
            | EventBody::TagAssigned(_)
            | EventBody::TagReleased(_)
            | EventBody::CustomerDwelled(_)
            | EventBody::TracePositions(_)
            | EventBody::HeatMinute(_)
            | EventBody::ClockSynced(_) => {}
        }
        None
    }

    fn staff<P: serde::Serialize>(&mut self, kind: &'static str, payload: &P) {
        let frame = match self.entry.event.pos {
            0 => Frame::unstored(kind, payload),
            pos => Frame::at(kind, self.epoch, pos, payload),
        };
        self.frames.push((Audience::Staff, frame));
    }

    fn kiosk<P: serde::Serialize>(&mut self, kiosk: &KioskId, kind: &'static str, payload: &P) {
        let frame = Frame::at(kind, self.epoch, self.entry.event.pos, payload);
        self.frames.push((Audience::Kiosk(kiosk.clone()), frame));
    }

    fn at(&self) -> Timestamp {
        self.entry.event.at
    }

    fn who(&self) -> Who<'a> {
        let subjects = &self.entry.event.subjects;
        let visit = self.entry.about.visit.as_ref();
        Who {
            visit_id: subjects.visit,
            customer_id: subjects.customer.or_else(|| visit.and_then(|visit| visit.customer)),
            customer_name: self
                .entry
                .about
                .customer_name
                .as_deref()
                .or_else(|| visit.and_then(|visit| visit.customer_name.as_deref())),
        }
    }

    fn staff_name(&self) -> Option<&'a str> {
        self.entry.about.staff_name.as_deref()
    }

    fn entered(&mut self, data: &'a CustomerEntered) {
        let visit = self.entry.about.visit.as_ref();
        let interests = visit.map(|visit| visit.interests.iter().map(|interest| &interest.vehicle).collect());
        let entered = Entered {
            who: self.who(),
            showroom_id: &self.site.id,
            showroom_name: &self.site.name,
            location: Place { x: data.x, y: data.y, zone: data.zone.as_ref() },
            lead_score: None,
            interests: interests.unwrap_or_default(),
            returning: data.returning,
            timestamp: self.at(),
        };
        self.staff("CUSTOMER_ENTERED", &entered);
    }

    fn moved(&mut self, data: &'a CustomerMoved) {
        let moved = Moved {
            who: self.who(),
            showroom_id: &self.site.id,
            new_location: Place { x: data.x, y: data.y, zone: data.to.as_ref() },
            timestamp: self.at(),
        };
        self.staff("CUSTOMER_MOVED", &moved);
    }

    fn interested(&mut self, data: &'a CustomerInterested) {
        let car = self.entry.about.vehicle.as_ref();
        let interested = Interested {
            who: self.who(),
            showroom_id: &self.site.id,
            kiosk_id: data.kiosk.as_ref(),
            vehicle_id: &data.vehicle,
            make: car.map(|car| car.make.as_str()),
            model: car.map(|car| car.model.as_str()),
            year: car.map(|car| car.year),
            interest_level: data.level,
            timestamp: self.at(),
        };
        self.staff("CUSTOMER_INTERESTED", &interested);
        if data.level >= HIGH_INTEREST {
            self.staff("HIGH_INTEREST_ALERT", &interested);
        }
    }

    fn engaged(&mut self, data: &'a CustomerEngaged) {
        let engaged = Engaged {
            who: self.who(),
            showroom_id: &self.site.id,
            sales_rep_id: &data.staff,
            sales_rep_name: self.staff_name(),
            engagement_type: &data.kind,
            vehicle_id: data.vehicle.as_ref(),
            timestamp: self.at(),
        };
        self.staff("CUSTOMER_ENGAGED", &engaged);
    }

    fn answered(&mut self, data: &'a KioskAnswered) {
        let name = self.staff_name();
        let answered =
            Answered { kiosk_id: &data.kiosk, sales_rep_id: &data.staff, sales_rep_name: name, timestamp: self.at() };
        self.staff("KIOSK_ANSWERED", &answered);
        self.kiosk(&data.kiosk, "STAFF_COMING", &Coming { name });
    }

    fn test_drive(&mut self) {
        let EventBody::TestDriveScheduled(data) = &self.entry.event.body else { return };
        let who = self.who();
        let drive = TestDrive {
            id: data.test_drive,
            customer_id: who.customer_id,
            customer_name: who.customer_name,
            sales_rep_id: None,
            sales_rep_name: None,
            vehicle_id: &data.vehicle,
            showroom_id: &self.site.id,
            kiosk_id: data.kiosk.as_ref(),
            scheduled_time: data.scheduled_time,
            timestamp: self.at(),
        };
        self.staff("TEST_DRIVE_SCHEDULED", &drive);
    }

    fn session(&mut self, kind: &'static str, kiosk: &KioskId, session_id: SessionId) {
        self.kiosk(kiosk, kind, &SessionFrame { session_id });
    }

    fn car(&mut self, kind: &'static str, car: &Vehicle) {
        let frame = Frame::at(kind, self.epoch, self.entry.event.pos, &Car::from(car));
        self.everybody(&frame);
    }

    fn car_gone(&mut self, vehicle_id: &VehicleId) {
        let gone = CarGone { vehicle_id, status: "removed" };
        let frame = Frame::at("INVENTORY_UPDATED", self.epoch, self.entry.event.pos, &gone);
        self.everybody(&frame);
    }

    fn everybody(&mut self, frame: &Frame) {
        self.frames.extend([(Audience::Staff, frame.clone()), (Audience::Kiosks, frame.clone())]);
    }
}

#[cfg(test)]
#[path = "frames_tests.rs"]
mod tests;
