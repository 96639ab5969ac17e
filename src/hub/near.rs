//! Who stands within 5 m of a car that they are interested in. Pure.
//!
//! Interested is who showed interest in that very car, or whose profile wishes for its make, model or type. Each car is
//! told once a visit; the engine says which spots are near.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{
    domain::{EventBody, FloorSnapshot, SpotId, Vehicle, VehicleId, VisitId},
    store::{LogEntry, Picture, VisitContext},
};

/// Open visits and the inventory, as the log has them.
#[derive(Debug, Default)]
pub(super) struct Near {
    visits: HashMap<VisitId, VisitContext>,
    vehicles: BTreeMap<VehicleId, Vehicle>,
    told: HashMap<VisitId, HashSet<VehicleId>>,
}

impl Near {
    /// The showroom as it is.
    pub(super) fn new(picture: Picture) -> Self {
        let visits = picture.visits.into_iter().map(|visit| (visit.id, visit)).collect();
        let vehicles = picture.vehicles.into_iter().map(|car| (car.id.clone(), car)).collect();
        Self { visits, vehicles, told: HashMap::new() }
    }

    /// Something happened.
    pub(super) fn follow(&mut self, entry: &LogEntry) {
        match &entry.event.body {
            EventBody::InventoryUpdated(car)
            | EventBody::InventoryReserved(car)
            | EventBody::InventoryReleased(car) => drop(self.vehicles.insert(car.id.clone(), car.clone())),
            EventBody::InventoryRemoved(gone) => drop(self.vehicles.remove(&gone.vehicle)),
            EventBody::CustomerErased(_) => {
                for visit in self.visits.values_mut().filter(|visit| visit.customer == entry.event.subjects.customer) {
                    (visit.customer, visit.customer_name) = (None, None);
                    visit.wishes.clear();
                }
            }
            EventBody::CustomerExited(_) => {
                if let Some(visit) = entry.event.subjects.visit {
                    self.visits.remove(&visit);
                    self.told.remove(&visit);
                }
                return;
            }
            _ => {}
        }
        if let Some(visit) = &entry.about.visit {
            self.visits.insert(visit.id, visit.clone());
        }
    }

    /// Visits with cars that they are near to and interested in, and that were not told before.
    pub(super) fn look<'a>(&'a mut self, floor: &FloorSnapshot) -> Vec<(&'a VisitContext, Vec<&'a Vehicle>)> {
        let at: HashMap<&SpotId, &Vehicle> =
            self.vehicles.values().filter_map(|car| Some((car.spot.as_ref()?, car))).collect();
        let mut found = Vec::new();
        for here in &floor.visits {
            let Some(visit) = self.visits.get(&here.visit) else { continue };
            if visit.wishes.is_empty() && visit.interests.is_empty() {
                continue;
            }
            let cars = here.near.iter().filter_map(|(spot, _)| at.get(spot).copied());
            let told = self.told.entry(here.visit).or_default();
            let news: Vec<_> = cars.filter(|car| wants(visit, car) && told.insert(car.id.clone())).collect();
            if !news.is_empty() {
                found.push((visit, news));
            }
        }
        found
    }
}

fn wants(visit: &VisitContext, car: &Vehicle) -> bool {
    let shown = visit.interests.iter().any(|interest| interest.vehicle == car.id);
    let named = |wish: &String| [&car.make, &car.model, &car.body_type].iter().any(|name| same(name, wish));
    shown || visit.wishes.iter().any(named)
}

fn same(name: &str, wish: &str) -> bool {
    name.to_lowercase() == wish.trim().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Timestamp, VehicleStatus, VisitSnapshot};

    fn car(id: &str, model: &str, spot: &str) -> Vehicle {
        Vehicle {
            id: id.parse().expect("id"),
            make: "Volvo".into(),
            model: model.into(),
            year: 2026,
            body_type: "suv".into(),
            price: None,
            currency: None,
            spot: Some(spot.parse().expect("id")),
            location: None,
            status: VehicleStatus::Available,
            photo: None,
        }
    }

    fn visit(wishes: &[&str]) -> VisitContext {
        VisitContext {
            id: VisitId(uuid::Uuid::nil()),
            customer: None,
            customer_name: None,
            entered_at: Timestamp::UNIX_EPOCH,
            zone: None,
            x: 0.0,
            y: 0.0,
            assigned_to: None,
            interests: Vec::new(),
            wishes: wishes.iter().map(|wish| (*wish).to_owned()).collect(),
        }
    }

    fn floor(near: &[&str]) -> FloorSnapshot {
        let near = near.iter().map(|spot| (spot.parse().expect("id"), 1.0)).collect();
        let here = VisitSnapshot {
            visit: VisitId(uuid::Uuid::nil()),
            x: 0.0,
            y: 0.0,
            sigma: 1.0,
            zone: None,
            stale: false,
            near,
        };
        FloorSnapshot { at: None, visits: vec![here], heat: None }
    }

    #[test]
    fn a_wish_is_matched_by_make_model_or_type_and_told_once() {
        for (wishes, told) in [
            (&["ex40"][..], &["V1"][..]),
            (&["VOLVO"], &["V1", "V2"]),
            (&[" suv "], &["V1", "V2"]),
            (&["convertible"], &[]),
            (&[], &[]),
        ] {
            let vehicles = vec![car("V1", "EX40", "A1"), car("V2", "XC90", "A2"), car("V3", "XC60", "A3")];
            let picture = Picture { visits: vec![visit(wishes)], vehicles, ..Picture::default() };
            let mut near = Near::new(picture);
            let mut look = |spots: &[&str]| -> Vec<String> {
                let found = near.look(&floor(spots));
                found.into_iter().flat_map(|(_, cars)| cars).map(|car| car.id.to_string()).collect()
            };
            assert_eq!(look(&["A1", "A2", "B7"]), told, "{wishes:?}");
            assert_eq!(look(&["A1", "A2"]), [""; 0], "told before");
        }
    }
}
