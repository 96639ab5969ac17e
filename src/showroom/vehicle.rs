//! Cars: the inventory as the cloud keeps it. Each change is one event that holds the whole car.

use super::{Refusal, RefusalCode, Rejection, View};
use crate::domain::{EventBody, InventoryRemoved, NewEvent, Subjects, Vehicle, VehicleId, VehicleStatus};

const MAX_TEXT: usize = 200;

/// A car as it is now: reserved or released when that changed, else updated; nothing when it is known so already.
pub(super) fn upsert(view: &dyn View, car: &Vehicle) -> Result<Vec<NewEvent>, Rejection> {
    check(car)?;
    let before = view.vehicle(&car.id)?;
    if before.as_ref() == Some(car) {
        return Ok(Vec::new());
    }
    let was_reserved = before.is_some_and(|before| before.status == VehicleStatus::Reserved);
    let body = match (was_reserved, car.status) {
        (false, VehicleStatus::Reserved) => EventBody::InventoryReserved(car.clone()),
        (true, VehicleStatus::Available) => EventBody::InventoryReleased(car.clone()),
        _ => EventBody::InventoryUpdated(car.clone()),
    };
    Ok(vec![NewEvent::new(body, about(&car.id))])
}

/// A car that left; nothing when it is not known.
pub(super) fn remove(view: &dyn View, id: &VehicleId) -> Result<Vec<NewEvent>, Rejection> {
    if view.vehicle(id)?.is_none() {
        return Ok(Vec::new());
    }
    let body = EventBody::InventoryRemoved(InventoryRemoved { vehicle: id.clone() });
    Ok(vec![NewEvent::new(body, about(id))])
}

/// Refuses a car that nobody has heard of.
pub(super) fn expect(view: &dyn View, id: &VehicleId) -> Result<Vehicle, Rejection> {
    let refusal =
        || Refusal::new(RefusalCode::Unknown, format!("vehicle {id} is not in the inventory of this showroom"));
    view.vehicle(id)?.ok_or_else(|| refusal().into())
}

fn about(id: &VehicleId) -> Subjects {
    Subjects { vehicle: Some(id.clone()), ..Subjects::default() }
}

fn check(car: &Vehicle) -> Result<(), Refusal> {
    let refuse = |what: &str| Err(Refusal::new(RefusalCode::Invalid, format!("vehicle {}: {what}", car.id)));
    let texts = [Some(&car.make), Some(&car.model), Some(&car.body_type), car.location.as_ref()];
    if texts.into_iter().flatten().any(|text| text.chars().count() > MAX_TEXT) {
        return refuse("a text is longer than 200 characters");
    }
    if car.make.is_empty() || car.model.is_empty() {
        return refuse("make and model must not be empty");
    }
    if !(1886..=2200).contains(&car.year) {
        return refuse("year must be between 1886 and 2200");
    }
    if car.price.is_some_and(|price| !price.is_finite() || price < 0.0) {
        return refuse("price must be a number of at least 0");
    }
    if car.currency.as_ref().is_some_and(|code| code.len() != 3 || !code.bytes().all(|b| b.is_ascii_uppercase())) {
        return refuse("currency must be three capital letters (ISO 4217)");
    }
    if car.photo.as_ref().is_some_and(|address| address.len() > 2_000) {
        return refuse("photo must be at most 2000 bytes");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::showroom::testing::{Showroom, car};

    fn kind_of(before: Option<VehicleStatus>, after: VehicleStatus) -> Option<&'static str> {
        let with = |status| Vehicle { status, ..car("V1", None) };
        let showroom = before.map_or_else(Showroom::default, |status| Showroom::default().with_vehicle(with(status)));
        upsert(&showroom, &with(after)).expect("decides").first().map(|event| event.body.kind())
    }

    #[test]
    fn a_change_of_reservation_is_said_as_such() {
        use VehicleStatus::{Available, Reserved, Sold};
        assert_eq!(kind_of(None, Available), Some("inventory.updated"));
        assert_eq!(kind_of(Some(Available), Available), None);
        assert_eq!(kind_of(Some(Available), Reserved), Some("inventory.reserved"));
        assert_eq!(kind_of(Some(Reserved), Available), Some("inventory.released"));
        assert_eq!(kind_of(Some(Reserved), Sold), Some("inventory.updated"));
    }

    #[test]
    fn absurd_cars_are_refused() {
        for bad in [
            Vehicle { year: 3, ..car("V1", None) },
            Vehicle { price: Some(f64::NAN), ..car("V1", None) },
            Vehicle { make: String::new(), ..car("V1", None) },
            Vehicle { currency: Some("euro".into()), ..car("V1", None) },
        ] {
            assert!(matches!(upsert(&Showroom::default(), &bad), Err(Rejection::Refused(_))), "{bad:?}");
        }
    }
}
