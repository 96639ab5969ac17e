//! Visits: what the presence engine found, told in terms of customers and cars.

use super::{Rejection, View};
use crate::domain::{
    CustomerDwelled, CustomerEntered, CustomerExited, CustomerMoved, EventBody, Heat, HeatMinute, NewEvent, Presence,
    SpotId, Subjects, TracePositions, VisitId, ZoneId,
};

/// The event of a finding. A dwell beside a spot without a car is none.
pub(super) fn observe(view: &dyn View, presence: &Presence) -> Result<Vec<NewEvent>, Rejection> {
    let event = match presence {
        Presence::Entered { visit, customer, zone, x, y, returning, tag: _ } => {
            let body = CustomerEntered { zone: zone.clone(), x: *x, y: *y, returning: *returning };
            let subjects = Subjects { visit: Some(*visit), customer: *customer, ..Subjects::default() };
            NewEvent::new(EventBody::CustomerEntered(body), subjects)
        }
        Presence::Moved { visit, from, to, x, y } => {
            let body = CustomerMoved { from: from.clone(), to: to.clone(), x: *x, y: *y };
            NewEvent::new(EventBody::CustomerMoved(body), of_visit(view, *visit)?)
        }
        Presence::Dwelled { visit, zone, spot, seconds } => {
            return dwelled(view, *visit, zone.as_ref(), spot.as_ref(), *seconds);
        }
        Presence::Exited { visit, duration_s, reason } => {
            let body = CustomerExited { duration_s: *duration_s, reason: *reason };
            NewEvent::new(EventBody::CustomerExited(body), of_visit(view, *visit)?)
        }
        Presence::Traced { visit, trace } => {
            let (x_cm, y_cm) = (trace.x_cm.clone(), trace.y_cm.clone());
            let body = TracePositions { t0: trace.t0, step_ms: trace.step_ms, x_cm, y_cm };
            let subjects = Subjects { visit: Some(*visit), ..Subjects::default() };
            NewEvent::new(EventBody::TracePositions(body), subjects)
        }
        Presence::Heated(Heat { zones, cells }) => {
            let body = HeatMinute { zones: zones.iter().cloned().collect(), cells: cells.clone() };
            NewEvent::new(EventBody::HeatMinute(body), Subjects::default())
        }
    };
    Ok(vec![event])
}

fn dwelled(
    view: &dyn View,
    visit: VisitId,
    zone: Option<&ZoneId>,
    spot: Option<&SpotId>,
    seconds: f64,
) -> Result<Vec<NewEvent>, Rejection> {
    let vehicle = match spot {
        Some(spot) => match view.vehicle_at(spot)? {
            Some(vehicle) => Some(vehicle),
            None => return Ok(Vec::new()),
        },
        None => None,
    };
    let body = CustomerDwelled { zone: zone.cloned(), vehicle: vehicle.clone(), seconds };
    let subjects = Subjects { vehicle, ..of_visit(view, visit)? };
    Ok(vec![NewEvent::new(EventBody::CustomerDwelled(body), subjects)])
}

fn of_visit(view: &dyn View, visit: VisitId) -> Result<Subjects, Rejection> {
    let customer = view.visit(visit)?.and_then(|known| known.customer);
    Ok(Subjects { visit: Some(visit), customer, ..Subjects::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::showroom::testing::{Showroom, car};

    #[test]
    fn a_dwell_beside_a_spot_is_told_by_the_car_that_stands_there() {
        let showroom = Showroom::default().with_vehicle(car("V1", Some("A1")));
        let visit = VisitId(uuid::Uuid::nil());
        let beside = |spot: &str| Presence::Dwelled { visit, zone: None, spot: spot.parse().ok(), seconds: 12.0 };
        let events = observe(&showroom, &beside("A1")).expect("decides");
        assert_eq!(events[0].subjects.vehicle, "V1".parse().ok());
        assert_eq!(observe(&showroom, &beside("A2")).expect("decides"), []);
    }
}
