//! The inventory of the demo.

use crate::domain::{IdError, Vehicle, VehicleStatus};

/// Spot, make, model, type, price in euros.
const CARS: [(&str, &str, &str, &str, f64); 12] = [
    ("A1", "Volvo", "XC60", "suv", 62_900.0),
    ("A2", "Volvo", "XC90", "suv", 84_500.0),
    ("A3", "Toyota", "RAV4", "suv", 46_990.0),
    ("B1", "Volvo", "EX40", "electric", 51_990.0),
    ("B2", "Kia", "EV6", "electric", 54_990.0),
    ("B3", "Polestar", "2", "electric", 49_900.0),
    ("C1", "Skoda", "Octavia", "estate", 34_490.0),
    ("C2", "Toyota", "Corolla", "estate", 33_690.0),
    ("C3", "Volkswagen", "Passat", "estate", 44_900.0),
    ("D1", "Porsche", "911", "sport", 178_000.0),
    ("D2", "BMW", "M2", "sport", 92_300.0),
    ("D3", "Toyota", "GR86", "sport", 48_500.0),
];

/// One car on each spot.
///
/// # Errors
/// Never in practice: the ids are written above.
pub(super) fn cars() -> Result<Vec<Vehicle>, IdError> {
    let car = |(spot, make, model, body_type, price): &(&str, &str, &str, &str, f64)| {
        Ok(Vehicle {
            id: format!("car-{}", spot.to_lowercase()).parse()?,
            make: (*make).to_owned(),
            model: (*model).to_owned(),
            year: 2026,
            body_type: (*body_type).to_owned(),
            price: Some(*price),
            currency: Some("EUR".to_owned()),
            spot: Some(spot.parse()?),
            location: None,
            status: VehicleStatus::Available,
            photo: None,
        })
    };
    CARS.iter().map(car).collect()
}
