//! The data of a Bluetooth LE advertisement: a row of structures (length, type, data), and in them the beacons that we
//! know (Core specification, Supplement part A; Apple's Proximity Beacon; Eddystone-UID; `AltBeacon` 1.0).
//!
//! A structure that claims more bytes than there are ends the reading, as does a length of zero: what came before counts.

use uuid::Uuid;

use crate::domain::{IdError, TagId};

const MANUFACTURER_DATA: u8 = 0xff;
const SERVICE_DATA_16: u8 = 0x16;

/// One structure of an advertisement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdStructure<'a> {
    /// Assigned number of the type.
    pub kind: u8,
    /// What follows the type.
    pub data: &'a [u8],
}

/// The structures of `bytes`, up to the first that is empty or cut off.
pub fn structures(bytes: &[u8]) -> impl Iterator<Item = AdStructure<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (&length, tail) = rest.split_first()?;
        let (structure, tail) = tail.split_at_checked(usize::from(length))?;
        let (&kind, data) = structure.split_first()?;
        rest = tail;
        Some(AdStructure { kind, data })
    })
}

/// An identity that a beacon sends, stable while radio addresses change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beacon {
    /// Apple's format.
    IBeacon {
        /// The fleet.
        uuid: [u8; 16],
        /// The group.
        major: u16,
        /// The beacon.
        minor: u16,
    },
    /// Google's format, frame UID.
    EddystoneUid {
        /// The fleet.
        namespace: [u8; 10],
        /// The beacon.
        instance: [u8; 6],
    },
    /// Radius Networks' format; any manufacturer.
    AltBeacon {
        /// Fleet, group and beacon in one.
        id: [u8; 20],
    },
}

impl Beacon {
    /// The notation of `docs/protocol.md` §1.
    ///
    /// # Errors
    /// Never in practice: what is written is always a tag.
    pub fn tag(&self) -> Result<TagId, IdError> {
        TagId::new(match self {
            Self::IBeacon { uuid, major, minor } => {
                format!("ibeacon:{}:{major}:{minor}", Uuid::from_bytes(*uuid).hyphenated())
            }
            Self::EddystoneUid { namespace, instance } => {
                format!("eddystone:{}:{}", hex::encode(namespace), hex::encode(instance))
            }
            Self::AltBeacon { id } => format!("altbeacon:{}", hex::encode(id)),
        })
    }

    fn in_structure(structure: AdStructure<'_>) -> Option<Self> {
        match (structure.kind, structure.data) {
            // Company 0x004c, type 2, 21 bytes follow: uuid, major, minor, level at one metre.
            (MANUFACTURER_DATA, [0x4c, 0x00, 0x02, 0x15, body @ ..]) if body.len() >= 21 => {
                let (uuid, rest) = body.split_first_chunk::<16>()?;
                let (major, rest) = rest.split_first_chunk::<2>()?;
                let (minor, _level) = rest.split_first_chunk::<2>()?;
                let (major, minor) = (u16::from_be_bytes(*major), u16::from_be_bytes(*minor));
                Some(Self::IBeacon { uuid: *uuid, major, minor })
            }
            // Any company, 0xbeac, 20 bytes, level at one metre, one byte of the manufacturer's own.
            (MANUFACTURER_DATA, [_, _, 0xbe, 0xac, body @ ..]) if body.len() >= 21 => {
                body.first_chunk::<20>().map(|id| Self::AltBeacon { id: *id })
            }
            // Service 0xfeaa, frame 0x00, level at zero metres; the two reserved bytes at the end are often left out.
            (SERVICE_DATA_16, [0xaa, 0xfe, 0x00, _level, body @ ..]) => {
                let (namespace, rest) = body.split_first_chunk::<10>()?;
                let (instance, _reserved) = rest.split_first_chunk::<6>()?;
                Some(Self::EddystoneUid { namespace: *namespace, instance: *instance })
            }
            _ => None,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::IBeacon { .. } => 0,
            Self::EddystoneUid { .. } => 1,
            Self::AltBeacon { .. } => 2,
        }
    }
}

/// The beacon in an advertisement; of several, iBeacon before Eddystone before `AltBeacon`, then the first.
#[must_use]
pub fn beacon(bytes: &[u8]) -> Option<Beacon> {
    structures(bytes).filter_map(Beacon::in_structure).min_by_key(Beacon::rank)
}

#[cfg(test)]
#[path = "advert_tests.rs"]
mod tests;
