//! Salespeople: who may be given a visitor, who serves whom. A token proves who asks; the cloud may not know them yet.

use super::{Context, Refusal, RefusalCode, Rejection, StaffCommand, View, Visit, vehicle};
use crate::domain::{
    CustomerEngaged, EventBody, KioskAnswered, KioskId, LeadAssigned, NewEvent, Personal, Sealable, StaffChanged,
    StaffId, Subject, Subjects, TestDriveId, TestDriveScheduled, VehicleId, VisitId,
};

const TEST_DRIVE_REQUEST: &str = "test_drive_request";

/// What a member of the staff did means.
pub(super) fn act(
    view: &dyn View,
    who: &StaffId,
    command: &StaffCommand,
    context: &Context,
) -> Result<Vec<NewEvent>, Rejection> {
    let known = view.staff(who)?;
    if known.as_ref().is_some_and(|member| !member.active) {
        let message = format!("{who} does not work here any more; the cloud said so");
        return Err(Refusal::new(RefusalCode::Forbidden, message).into());
    }
    match command {
        StaffCommand::SetAvailability { available } => {
            if known.is_some_and(|member| member.available == *available) {
                return Ok(Vec::new());
            }
            let body = StaffChanged { staff: who.clone(), active: true, available: *available };
            Ok(vec![NewEvent::new(EventBody::StaffChanged(body), about(who))])
        }
        StaffCommand::Claim { visit } => claim(&open_visit(view, *visit)?, who),
        StaffCommand::AnswerCall { kiosk } => answer(view, who, kiosk),
        StaffCommand::Engage { visit, kind, vehicle } => {
            engage(view, who, &open_visit(view, *visit)?, kind, vehicle.as_ref(), context)
        }
    }
}

/// A member of the staff as the cloud knows them.
pub(super) fn upsert(id: &StaffId, personal: &Personal, active: bool, available: bool) -> Vec<NewEvent> {
    let body = StaffChanged { staff: id.clone(), active, available };
    let sealed = Sealable { subject: Subject::Staff(id.clone()), fields: personal.clone() };
    vec![NewEvent::new(EventBody::StaffChanged(body), about(id)).sealing(sealed)]
}

fn about(id: &StaffId) -> Subjects {
    Subjects { staff: Some(id.clone()), ..Subjects::default() }
}

fn open_visit(view: &dyn View, id: VisitId) -> Result<Visit, Rejection> {
    let visit = view.visit(id)?;
    let visit = visit.ok_or_else(|| Refusal::new(RefusalCode::Unknown, format!("visit {id} is not known")))?;
    if visit.exited_at.is_some() {
        return Err(Refusal::new(RefusalCode::Conflict, format!("visit {id} is over")).into());
    }
    Ok(visit)
}

fn served(visit: &Visit, who: &StaffId) -> Subjects {
    Subjects { visit: Some(visit.id), customer: visit.customer, staff: Some(who.clone()), vehicle: None }
}

fn claim(visit: &Visit, who: &StaffId) -> Result<Vec<NewEvent>, Rejection> {
    match &visit.assigned_to {
        Some(holder) if holder == who => Ok(Vec::new()),
        Some(holder) => Err(Refusal::new(RefusalCode::Conflict, format!("this visit is {holder}'s already")).into()),
        None => {
            let body = EventBody::LeadAssigned(LeadAssigned { staff: who.clone() });
            Ok(vec![NewEvent::new(body, served(visit, who))])
        }
    }
}

fn answer(view: &dyn View, who: &StaffId, kiosk: &KioskId) -> Result<Vec<NewEvent>, Rejection> {
    let session = view.kiosk_session(kiosk)?;
    let message = || format!("nobody is at kiosk {kiosk} any more");
    let session = session.ok_or_else(|| Refusal::new(RefusalCode::Conflict, message()))?;
    let body = KioskAnswered { kiosk: kiosk.clone(), session: session.id, staff: who.clone() };
    Ok(vec![NewEvent::new(EventBody::KioskAnswered(body), about(who))])
}

fn engage(
    view: &dyn View,
    who: &StaffId,
    visit: &Visit,
    kind: &str,
    car: Option<&VehicleId>,
    context: &Context,
) -> Result<Vec<NewEvent>, Rejection> {
    let named = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if !(1..=64).contains(&kind.len()) || !kind.bytes().all(named) {
        let message = "engagementType must be 1 to 64 of a-z, 0-9 and _";
        return Err(Refusal::new(RefusalCode::Invalid, message).into());
    }
    if let Some(car) = car {
        vehicle::expect(view, car)?;
    }
    let subjects = Subjects { vehicle: car.cloned(), ..served(visit, who) };
    let body = CustomerEngaged { staff: who.clone(), kind: kind.to_owned(), vehicle: car.cloned() };
    let mut events = vec![NewEvent::new(EventBody::CustomerEngaged(body), subjects.clone())];
    if kind == TEST_DRIVE_REQUEST {
        let message = "a test drive needs a vehicleId";
        let vehicle = car.cloned().ok_or_else(|| Refusal::new(RefusalCode::Invalid, message))?;
        let test_drive = TestDriveId(context.fresh);
        let body = TestDriveScheduled { test_drive, vehicle, scheduled_time: None, kiosk: None, session: None };
        events.push(NewEvent::new(EventBody::TestDriveScheduled(body), subjects));
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::showroom::testing::{Showroom, car, context, open_visit as visit};

    fn kinds(showroom: &Showroom, command: &StaffCommand) -> Result<Vec<&'static str>, Rejection> {
        let events = act(showroom, &"anna".parse().expect("id"), command, &context())?;
        Ok(events.iter().map(|event| event.body.kind()).collect())
    }

    #[test]
    fn a_visit_is_claimed_once() {
        let claim = StaffCommand::Claim { visit: visit(None).id };
        let free = Showroom::default().with_visit(visit(None));
        assert_eq!(kinds(&free, &claim).expect("decides"), ["lead.assigned"]);
        let mine = Showroom::default().with_visit(visit(Some("anna")));
        assert_eq!(kinds(&mine, &claim).expect("decides"), [""; 0]);
        let theirs = Showroom::default().with_visit(visit(Some("ben")));
        assert!(matches!(kinds(&theirs, &claim), Err(Rejection::Refused(_))));
    }

    #[test]
    fn asking_for_a_test_drive_schedules_one() {
        let showroom = Showroom::default().with_visit(visit(None)).with_vehicle(car("V1", None));
        let engage = |vehicle: Option<&str>| StaffCommand::Engage {
            visit: visit(None).id,
            kind: TEST_DRIVE_REQUEST.into(),
            vehicle: vehicle.map(|id| id.parse().expect("id")),
        };
        assert_eq!(
            kinds(&showroom, &engage(Some("V1"))).expect("decides"),
            ["customer.engaged", "testdrive.scheduled"]
        );
        assert!(kinds(&showroom, &engage(None)).is_err());
    }
}
