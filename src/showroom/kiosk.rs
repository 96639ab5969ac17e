//! Kiosks: each guest is a session; nothing is done outside one, and only one is open at a kiosk.

use super::{
    Context, KioskCommand, KioskSession, Refusal, RefusalCode, Rejection, TestDriveRequest, View, customer, vehicle,
};
use crate::domain::{
    CustomerId, CustomerInterested, EventBody, InterestSource, KioskCalled, KioskEnded, KioskId, KioskStarted,
    KioskViewed, NewEvent, SessionEnd, SessionId, Subjects, TestDriveId, TestDriveScheduled, VehicleId,
};

const MAX_VIEW_SECONDS: f64 = 86_400.0;

/// What a touch at `kiosk` means.
pub(super) fn touch(
    view: &dyn View,
    kiosk: &KioskId,
    command: &KioskCommand,
    context: &Context,
) -> Result<Vec<NewEvent>, Rejection> {
    let open = view.kiosk_session(kiosk)?;
    match command {
        KioskCommand::StartSession => Ok(start(kiosk, open.as_ref(), context)),
        KioskCommand::EndSession(reason) => {
            let ended = open.map(|session| end(&session, *reason));
            Ok(ended.into_iter().collect())
        }
        KioskCommand::EndSilent(silent) => {
            let ended = open.filter(|session| session.id == *silent).map(|session| end(&session, SessionEnd::Silence));
            Ok(ended.into_iter().collect())
        }
        KioskCommand::View { vehicle, seconds } => viewed(view, &expect(open)?, vehicle, *seconds),
        KioskCommand::Interest { vehicle, level } => interested(view, &expect(open)?, vehicle, *level),
        KioskCommand::Call => {
            let session = expect(open)?;
            let body = KioskCalled { kiosk: session.kiosk, session: session.id };
            Ok(vec![NewEvent::new(EventBody::KioskCalled(body), Subjects::default())])
        }
        KioskCommand::TestDrive(request) => test_drive(view, &expect(open)?, request, context),
    }
}

fn expect(open: Option<KioskSession>) -> Result<KioskSession, Refusal> {
    let message = "no session is open at this kiosk; send SESSION_START first";
    open.ok_or_else(|| Refusal::new(RefusalCode::Conflict, message))
}

fn start(kiosk: &KioskId, open: Option<&KioskSession>, context: &Context) -> Vec<NewEvent> {
    let body = KioskStarted { kiosk: kiosk.clone(), session: SessionId(context.fresh) };
    let started = NewEvent::new(EventBody::KioskStarted(body), Subjects::default());
    open.map(|session| end(session, SessionEnd::Superseded)).into_iter().chain([started]).collect()
}

fn end(session: &KioskSession, reason: SessionEnd) -> NewEvent {
    let body = KioskEnded { kiosk: session.kiosk.clone(), session: session.id, reason };
    NewEvent::new(EventBody::KioskEnded(body), Subjects::default())
}

fn about(vehicle: &VehicleId) -> Subjects {
    Subjects { vehicle: Some(vehicle.clone()), ..Subjects::default() }
}

fn viewed(
    view: &dyn View,
    session: &KioskSession,
    vehicle: &VehicleId,
    seconds: f64,
) -> Result<Vec<NewEvent>, Rejection> {
    if !(0.0..=MAX_VIEW_SECONDS).contains(&seconds) {
        let message = format!("seconds must be between 0 and {MAX_VIEW_SECONDS}");
        return Err(Refusal::new(RefusalCode::Invalid, message).into());
    }
    vehicle::expect(view, vehicle)?;
    let body = KioskViewed { kiosk: session.kiosk.clone(), session: session.id, vehicle: vehicle.clone(), seconds };
    Ok(vec![NewEvent::new(EventBody::KioskViewed(body), about(vehicle))])
}

fn interested(
    view: &dyn View,
    session: &KioskSession,
    vehicle: &VehicleId,
    level: f64,
) -> Result<Vec<NewEvent>, Rejection> {
    if !(0.0..=1.0).contains(&level) {
        return Err(Refusal::new(RefusalCode::Invalid, "interestLevel must be between 0 and 1").into());
    }
    vehicle::expect(view, vehicle)?;
    let body = CustomerInterested {
        vehicle: vehicle.clone(),
        level,
        source: InterestSource::Kiosk,
        kiosk: Some(session.kiosk.clone()),
        session: Some(session.id),
    };
    Ok(vec![NewEvent::new(EventBody::CustomerInterested(body), about(vehicle))])
}

fn test_drive(
    view: &dyn View,
    session: &KioskSession,
    request: &TestDriveRequest,
    context: &Context,
) -> Result<Vec<NewEvent>, Rejection> {
    vehicle::expect(view, &request.vehicle)?;
    let mut events = Vec::with_capacity(2);
    let mut subjects = about(&request.vehicle);
    if !request.contact.0.is_empty() {
        let id = CustomerId(context.fresh_customer);
        subjects.customer = Some(id);
        events.extend(customer::upsert(id, &request.contact, &serde_json::Map::new()));
    }
    let body = TestDriveScheduled {
        test_drive: TestDriveId(context.fresh),
        vehicle: request.vehicle.clone(),
        scheduled_time: request.preferred_time,
        kiosk: Some(session.kiosk.clone()),
        session: Some(session.id),
    };
    events.push(NewEvent::new(EventBody::TestDriveScheduled(body), subjects));
    Ok(events)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::Personal,
        showroom::testing::{Showroom, car, context, session},
    };

    fn kinds(showroom: &Showroom, command: &KioskCommand) -> Result<Vec<&'static str>, Rejection> {
        let kiosk = "K1".parse().expect("id");
        let events = touch(showroom, &kiosk, command, &context())?;
        Ok(events.iter().map(|event| event.body.kind()).collect())
    }

    #[test]
    fn the_next_guest_ends_the_session_of_the_one_before() {
        let fresh = Showroom::default();
        assert_eq!(kinds(&fresh, &KioskCommand::StartSession).expect("decides"), ["kiosk.started"]);
        let busy = Showroom::default().with_session(session("K1"));
        assert_eq!(kinds(&busy, &KioskCommand::StartSession).expect("decides"), ["kiosk.ended", "kiosk.started"]);
    }

    #[test]
    fn silence_ends_only_the_session_that_was_silent() {
        let open = session("K1");
        let busy = Showroom::default().with_session(open.clone());
        assert_eq!(kinds(&busy, &KioskCommand::EndSilent(open.id)).expect("decides"), ["kiosk.ended"]);
        let other = SessionId(uuid::Uuid::from_u128(99));
        assert_eq!(kinds(&busy, &KioskCommand::EndSilent(other)).expect("decides"), [""; 0]);
    }

    #[test]
    fn nothing_is_done_outside_a_session_or_about_unknown_cars() {
        let vehicle: VehicleId = "V1".parse().expect("id");
        let interest = |level| KioskCommand::Interest { vehicle: vehicle.clone(), level };
        let busy = Showroom::default().with_session(session("K1"));
        let stocked = Showroom::default().with_session(session("K1")).with_vehicle(car("V1", None));
        assert!(matches!(kinds(&Showroom::default(), &KioskCommand::Call), Err(Rejection::Refused(_))));
        assert!(matches!(kinds(&busy, &interest(0.5)), Err(Rejection::Refused(_))));
        assert!(matches!(kinds(&stocked, &interest(f64::NAN)), Err(Rejection::Refused(_))));
        assert_eq!(kinds(&stocked, &interest(0.5)).expect("decides"), ["customer.interested"]);
    }

    #[test]
    fn contact_of_a_test_drive_is_a_customers_and_sealed() {
        let stocked = Showroom::default().with_session(session("K1")).with_vehicle(car("V1", None));
        let contact = Personal::default().with("name", "Aino");
        let vehicle = "V1".parse().expect("id");
        let command = KioskCommand::TestDrive(TestDriveRequest { vehicle, contact, preferred_time: None });
        let events = touch(&stocked, &"K1".parse().expect("id"), &command, &context()).expect("decides");
        assert_eq!(events[0].body.kind(), "customer.upserted");
        assert!(events[0].personal.is_some());
        assert_eq!(events[1].subjects.customer, events[0].subjects.customer);
        assert!(!events[1].body.to_data().contains("Aino"));
    }
}
