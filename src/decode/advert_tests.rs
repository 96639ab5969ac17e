//! Own vectors, other projects' vectors, and bytes of chance.

use std::path::PathBuf;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn tag_of(hex_text: &str) -> Option<String> {
    let bytes = hex::decode(hex_text).expect("hexadecimal");
    beacon(&bytes).map(|beacon| beacon.tag().expect("a tag").to_string())
}

const IBEACON: &str = "0201061aff4c00021574278bdab64445208f0c720eaf05993500010007c5";

#[test]
fn beacons_are_found_and_named() {
    let ibeacon = "ibeacon:74278bda-b644-4520-8f0c-720eaf059935:1:7";
    let eddystone_ad = "1516aafe00e70001020304050607080901020304aabb";
    let eddystone = "eddystone:00010203040506070809:01020304aabb";
    let cases = [
        (IBEACON.to_owned(), Some(ibeacon)),
        (format!("0201060303aafe{eddystone_ad}"), Some(eddystone)),
        // Both in one: the iBeacon's name wins, in either order.
        (format!("{eddystone_ad}{}", &IBEACON[6..]), Some(ibeacon)),
        (format!("{IBEACON}{eddystone_ad}"), Some(ibeacon)),
        // Cut off at the last byte, one byte too short inside its structure, a zero length before it.
        (IBEACON[..IBEACON.len() - 2].to_owned(), None),
        ("19ff4c00021574278bdab64445208f0c720eaf0599350001000700".to_owned(), None),
        (format!("00{IBEACON}"), None),
        // What stands before a structure that is cut off counts.
        (format!("{IBEACON}ff09"), Some(ibeacon)),
        // Eddystone-URL and TLM hold no identity.
        ("0303aafe0616aafe10e70261".to_owned(), None),
        ("1116aafe2000021203130414243405152535".to_owned(), None),
        (String::new(), None),
    ];
    for (data, expected) in cases {
        assert_eq!(tag_of(&data).as_deref(), expected, "{data}");
    }
}

proptest! {
    #[test]
    fn structures_never_run_past_the_end(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let spent: usize = structures(&bytes).map(|s| 2 + s.data.len()).sum();
        prop_assert!(spent <= bytes.len());
        let _ = beacon(&bytes).map(|beacon| beacon.tag());
    }

    #[test]
    fn any_ibeacon_is_read_back(uuid: [u8; 16], major: u16, minor: u16, prefix in proptest::collection::vec(any::<u8>(), 0..6)) {
        let mut bytes = vec![prefix.len() as u8 + 1, 0x09];
        bytes.extend(prefix);
        bytes.extend([0x1a, 0xff, 0x4c, 0x00, 0x02, 0x15]);
        bytes.extend(uuid);
        bytes.extend(major.to_be_bytes());
        bytes.extend(minor.to_be_bytes());
        bytes.push(0xc5);
        prop_assert_eq!(beacon(&bytes), Some(Beacon::IBeacon { uuid, major, minor }));
    }
}

/// `../shared/data` beside the repository, or `SHOWFLOOR_DATA`; `None`, said aloud, when it is not there. A failure in CI.
fn vectors(file: &str) -> Option<Value> {
    let told = std::env::var_os("SHOWFLOOR_DATA").map(PathBuf::from);
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let path = told.unwrap_or(beside).join("adverts").join(file);
    let Ok(text) = std::fs::read_to_string(&path) else {
        assert!(std::env::var_os("CI").is_none(), "{} is missing, and CI must not skip", path.display());
        println!("SKIPPED: {} is missing", path.display());
        return None;
    };
    Some(serde_json::from_str(&text).expect("vectors are JSON"))
}

#[test]
fn vectors_of_bleparser_agree() {
    let Some(file) = vectors("bleparser_vectors.json") else { return };
    let (mut beacons, mut others) = (0, 0);
    for vector in file["vectors"].as_array().expect("a list") {
        let raw = hex::decode(vector["raw"].as_str().expect("hexadecimal")).expect("hexadecimal");
        // 043e, length, 02 (legacy report), reports, type, address type, address (6), length of data, data, level.
        let Some(&[0x04, 0x3e, _, 0x02, ..]) = raw.first_chunk::<4>() else { continue };
        let data = raw.get(14..raw.len() - 1).expect("a whole report");
        let (sensor, tracker) = (&vector["expect"], &vector["tracker_expect"]);
        let expect = if sensor["major"].is_u64() { sensor } else { tracker };
        let found = beacon(data).map(|beacon| beacon.tag().expect("a tag").to_string());
        if let (Some(major), Some(minor)) = (expect["major"].as_u64(), expect["minor"].as_u64()) {
            let uuid = Uuid::parse_str(expect["uuid"].as_str().expect("a text")).expect("a uuid");
            let name = if expect["type"] == "AltBeacon" {
                format!("altbeacon:{}{major:04x}{minor:04x}", uuid.simple())
            } else {
                format!("ibeacon:{uuid}:{major}:{minor}")
            };
            assert_eq!(found, Some(name), "{}", vector["test"]);
            beacons += 1;
        } else {
            // Thermometers of Govee and Tilt send an iBeacon besides: then, and only then, one may be found.
            let holds_beacon = ["4c000215", "beac"].iter().any(|mark| hex::encode(data).contains(mark));
            assert!(found.is_none() || holds_beacon, "{} gave {found:?}", vector["test"]);
            others += 1;
        }
    }
    assert!(beacons >= 4 && others >= 100, "{beacons} beacons, {others} others");
}

#[test]
fn vectors_of_android_beacon_library_agree() {
    let Some(file) = vectors("android_beacon_library_vectors.json") else { return };
    let mut checked = 0;
    for vector in file["vectors"].as_array().expect("a list") {
        let expect = &vector["expect"];
        let name = match expect["type"].as_str() {
            Some("AltBeacon") => {
                let uuid = Uuid::parse_str(expect["id1"].as_str().expect("id1")).expect("a uuid");
                let (id2, id3) = (expect["id2"].as_u64().expect("id2"), expect["id3"].as_u64().expect("id3"));
                Some(format!("altbeacon:{}{id2:04x}{id3:04x}", uuid.simple()))
            }
            Some("Eddystone-UID") => {
                let text = |key: &str| expect[key].as_str().expect("text").to_owned();
                Some(format!("eddystone:{}:{}", text("namespace"), text("instance")))
            }
            _ => None,
        };
        // This record's structure claims one byte more than upstream's own test of it has.
        let test = vector["test"].as_str().expect("a name");
        if test.starts_with("BeaconParserTest.testSetBeaconLayout") {
            continue;
        }
        assert_eq!(tag_of(vector["raw"].as_str().expect("hexadecimal")), name, "{test}");
        checked += 1;
    }
    assert!(checked >= 9, "{checked}");
}
