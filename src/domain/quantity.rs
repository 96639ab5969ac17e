//! Measured quantities: finite, within physical bounds, unit in the type.

use serde::{Deserialize, Serialize};

/// Why a number is no such quantity.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{value} {unit} is outside {min} to {max}")]
pub struct QuantityError {
    value: f64,
    unit: &'static str,
    min: f64,
    max: f64,
}

/// A received signal strength, dBm. Receivers report about -110 to 0; 127 means "unknown" in Bluetooth's HCI.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f32", into = "f32")]
pub struct Dbm(f32);

impl Dbm {
    const MIN: f32 = -127.0;
    const MAX: f32 = 20.0;

    /// Checks `value` (dBm).
    ///
    /// # Errors
    /// When it is not finite or outside -127 to 20.
    pub fn new(value: f32) -> Result<Self, QuantityError> {
        if value.is_finite() && (Self::MIN..=Self::MAX).contains(&value) {
            Ok(Self(value))
        } else {
            let (min, max) = (f64::from(Self::MIN), f64::from(Self::MAX));
            Err(QuantityError { value: f64::from(value), unit: "dBm", min, max })
        }
    }

    /// The value in dBm.
    #[must_use]
    pub fn get(self) -> f32 {
        self.0
    }
}

impl TryFrom<f32> for Dbm {
    type Error = QuantityError;
    fn try_from(value: f32) -> Result<Self, QuantityError> {
        Self::new(value)
    }
}

impl From<Dbm> for f32 {
    fn from(value: Dbm) -> Self {
        value.0
    }
}

/// A length or coordinate on the floor, metres.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Metres(f64);

impl Metres {
    const LIMIT: f64 = 10_000.0;

    /// Checks `value` (metres).
    ///
    /// # Errors
    /// When it is not finite or farther than 10 km from the origin.
    pub fn new(value: f64) -> Result<Self, QuantityError> {
        if value.is_finite() && value.abs() <= Self::LIMIT {
            Ok(Self(value))
        } else {
            Err(QuantityError { value, unit: "m", min: -Self::LIMIT, max: Self::LIMIT })
        }
    }

    /// The value in metres.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Metres {
    type Error = QuantityError;
    fn try_from(value: f64) -> Result<Self, QuantityError> {
        Self::new(value)
    }
}

impl From<Metres> for f64 {
    fn from(value: Metres) -> Self {
        value.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_quantities_are_refused() {
        for bad in [f32::NAN, f32::INFINITY, 127.0, -128.0, 1e9] {
            assert!(Dbm::new(bad).is_err(), "{bad}");
        }
        assert!(Dbm::new(-72.0).is_ok());
        assert!(Metres::new(f64::NAN).is_err());
        assert!(Metres::new(-3.5).is_ok());
    }
}
