//! The site file as trusted: `docs/protocol.md` §2.

use std::{collections::HashSet, hash::Hash};

use super::{
    Problem,
    document::{Document, Section},
    polygon,
};
use crate::domain::{
    Anchor, Print, PrintHeard, Registration, Registry, Role, Site, Spot, Survey, TagId, Zone, ZoneId, ZoneKind,
    ZonePrints,
};

const FAR_OUTSIDE_M: f64 = 20.0;
/// Surveyed points of one anchor: the time and memory they take at the start grow with their square and more.
const SURVEY_MOST: usize = 300;
const SURVEY_OFF_DB: f64 = 60.0;
const PRINTS_MOST: usize = 8;
const PRINT_DB: f64 = 200.0;
const FLOOR: std::ops::RangeInclusive<f64> = -10_000.0..=10_000.0;

/// Checks the text of a site file.
pub(super) fn check(file: &str, text: &str) -> Result<Site, Vec<Problem>> {
    let document = Document::new(file, text);
    let table = document.parse();
    let site = read(document.root(&table));
    let problems = document.into_problems();
    match site {
        Some(site) if problems.is_empty() => Ok(site),
        _ => Err(problems),
    }
}

fn read(mut root: Section<'_, '_>) -> Option<Site> {
    let head = root.section("site");
    let head = root.required("site", head).map(head_of);
    let bounds = head.as_ref().and_then(|head| head.bounds);
    let anchors = anchors(root.sections("anchor"), bounds);
    let zones = zones(root.sections("zone"));
    let spots = spots(root.sections("spot"), &zones);
    let tags = tags(root.sections("tag"));
    root.allow("calibration");
    root.finish();
    let head = head?;
    Some(Site {
        id: head.id?,
        name: head.name?,
        timezone: head.timezone?,
        bounds: bounds?,
        tag_height_m: head.tag_height_m?,
        anchors,
        zones,
        spots,
        tags,
    })
}

struct Head {
    id: Option<crate::domain::SiteId>,
    name: Option<String>,
    timezone: Option<String>,
    bounds: Option<[f64; 4]>,
    tag_height_m: Option<f64>,
}

fn head_of(mut head: Section<'_, '_>) -> Head {
    let id = head.parsed("id");
    let name = head.text("name");
    let timezone = head.text("timezone");
    let bounds = head.numbers("bounds");
    let height = head.number("tag_height_m", 0.0..=10.0);
    let zoned = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '-' | '+');
    if timezone.as_ref().is_some_and(|zone| zone.is_empty() || !zone.chars().all(zoned)) {
        head.complain("timezone", "must be a name of the IANA time zones, as Europe/Helsinki");
    }
    let id = head.required("id", id);
    let name = head.required("name", name);
    let timezone = head.required("timezone", timezone);
    let bounds = head.required("bounds", bounds).and_then(|list| {
        let bounds: Option<[f64; 4]> = list.try_into().ok();
        let good = bounds.filter(|b| b[0] < b[2] && b[1] < b[3] && b.iter().all(|v| FLOOR.contains(v)));
        if good.is_none() {
            head.complain("bounds", "must be [min_x, min_y, max_x, max_y] in metres, each minimum below its maximum");
        }
        good
    });
    head.finish();
    Head { id, name, timezone, bounds, tag_height_m: Some(height.unwrap_or(1.2)) }
}

/// Whether `id` is new; complains when it is not.
fn is_new<T: Eq + Hash + Clone>(seen: &mut HashSet<T>, section: &Section<'_, '_>, id: &T) -> bool {
    let new = seen.insert(id.clone());
    if !new {
        section.complain("id", "is used twice");
    }
    new
}

fn anchors(sections: Vec<Section<'_, '_>>, bounds: Option<[f64; 4]>) -> Vec<Anchor> {
    let mut seen = HashSet::new();
    let mut anchors = Vec::new();
    for mut section in sections {
        let id = section.parsed("id");
        let (x, y) = (section.number("x", FLOOR), section.number("y", FLOOR));
        let z = section.number("z", -100.0..=100.0);
        let rssi_at_1m = section.number("rssi_at_1m", -120.0..=20.0);
        let path_loss = section.number("path_loss", 0.1..=10.0);
        let survey = survey(&mut section);
        let id = section.required("id", id);
        let (x, y) = (section.required("x", x), section.required("y", y));
        let z = section.required("z", z);
        if let (Some(x), Some(y), Some([min_x, min_y, max_x, max_y])) = (x, y, bounds) {
            let outside = (min_x - x).max(x - max_x).max(min_y - y).max(y - max_y);
            if outside > FAR_OUTSIDE_M {
                let message = format!("stands {outside:.1} m outside the bounds; at most {FAR_OUTSIDE_M} m");
                section.complain("x", message);
            }
        }
        if let (Some(id), Some(x), Some(y), Some(z)) = (id, x, y, z)
            && is_new(&mut seen, &section, &id)
        {
            anchors.push(Anchor { id, x, y, z, rssi_at_1m, path_loss, survey });
        }
        section.finish();
    }
    anchors
}

fn survey(section: &mut Section<'_, '_>) -> Survey {
    let points = section.points("survey", "points [x, y, dB]").unwrap_or_default();
    let doubt_db = section.number("doubt_db", 0.1..=30.0);
    if points.len() > SURVEY_MOST {
        section.complain("survey", format!("has {} points, at most {SURVEY_MOST} are taken", points.len()));
    }
    let in_range = |[x, y, off]: &[f64; 3]| FLOOR.contains(x) && FLOOR.contains(y) && off.abs() <= SURVEY_OFF_DB;
    if !points.iter().all(in_range) {
        section.complain("survey", format!("has a point more than {SURVEY_OFF_DB} dB off, or off the floor"));
    }
    Survey { points, doubt_db }
}

/// What `showfloor calibrate` found of a zone: anchors by name, and of each `[level, spread, change, spread]`.
fn prints(zone: &mut Section<'_, '_>) -> ZonePrints {
    let stay_s = zone.number("stay_s", 0.0..=1e6).unwrap_or_default();
    let mut prints = Vec::new();
    for mut section in zone.sections("print") {
        let share = section.number("share", 0.0..=1.0);
        let anchors = section.texts("anchors").unwrap_or_default();
        let levels = section.points("levels", "[level, spread, change, spread] in dB").unwrap_or_default();
        if anchors.len() != levels.len() {
            section.complain("levels", format!("are {}, for {} anchors", levels.len(), anchors.len()));
        }
        let mut heard = Vec::new();
        for (anchor, [level, level_spread, change, change_spread]) in anchors.iter().zip(levels) {
            match anchor.parse() {
                Ok(anchor) => heard.push(PrintHeard { anchor, level, level_spread, change, change_spread }),
                Err(error) => section.complain("anchors", error),
            }
            if [level, level_spread, change, change_spread].iter().any(|db| db.abs() > PRINT_DB) {
                section.complain("levels", format!("are beyond {PRINT_DB} dB"));
            }
        }
        if let Some(share) = section.required("share", share) {
            prints.push(Print { share, heard });
        }
        section.finish();
    }
    if prints.len() > PRINTS_MOST {
        zone.complain("print", format!("is there {} times, at most {PRINTS_MOST} are taken", prints.len()));
    }
    ZonePrints { stay_s, prints }
}

const ZONE_KINDS: [(&str, ZoneKind); 6] = [
    ("entrance", ZoneKind::Entrance),
    ("vehicle", ZoneKind::Vehicle),
    ("desk", ZoneKind::Desk),
    ("lounge", ZoneKind::Lounge),
    ("service", ZoneKind::Service),
    ("outside", ZoneKind::Outside),
];

fn zones(sections: Vec<Section<'_, '_>>) -> Vec<Zone> {
    let mut seen = HashSet::new();
    let mut zones = Vec::new();
    for mut section in sections {
        let id: Option<ZoneId> = section.parsed("id");
        let name = section.text("name");
        let kind = section.choice("kind", &ZONE_KINDS);
        let polygon = section.points("polygon", "corners [x, y] in metres");
        let prints = prints(&mut section);
        let id = section.required("id", id);
        let kind = section.required("kind", kind);
        let polygon = section.required("polygon", polygon);
        let polygon = polygon.filter(|corners| is_simple(&section, corners));
        if let (Some(id), Some(kind), Some(polygon)) = (id, kind, polygon)
            && is_new(&mut seen, &section, &id)
        {
            let name = name.unwrap_or_else(|| id.to_string());
            zones.push(Zone { id, name, kind, polygon, prints });
        }
        section.finish();
    }
    zones
}

fn is_simple(section: &Section<'_, '_>, corners: &[[f64; 2]]) -> bool {
    let wrong = if corners.len() < 3 {
        "needs at least three corners"
    } else if polygon::crosses_itself(corners) {
        "crosses itself; list the corners in order around the zone"
    } else if polygon::double_area(corners).abs() < 1e-6 {
        "encloses nothing"
    } else {
        return true;
    };
    section.complain("polygon", wrong);
    false
}

fn spots(sections: Vec<Section<'_, '_>>, zones: &[Zone]) -> Vec<Spot> {
    let mut seen = HashSet::new();
    let mut spots = Vec::new();
    for mut section in sections {
        let id = section.parsed("id");
        let (x, y) = (section.number("x", FLOOR), section.number("y", FLOOR));
        let zone: Option<ZoneId> = section.parsed("zone");
        let id = section.required("id", id);
        let (x, y) = (section.required("x", x), section.required("y", y));
        if zone.as_ref().is_some_and(|zone| !zones.iter().any(|known| known.id == *zone)) {
            section.complain("zone", "is no zone of this file");
        }
        if let (Some(id), Some(x), Some(y)) = (id, x, y)
            && is_new(&mut seen, &section, &id)
        {
            spots.push(Spot { id, x, y, zone });
        }
        section.finish();
    }
    spots
}

const ROLES: [(&str, Role); 4] =
    [("visitor", Role::Visitor), ("staff", Role::Staff), ("vehicle", Role::Vehicle), ("reference", Role::Reference)];

fn tags(sections: Vec<Section<'_, '_>>) -> Registry {
    let mut seen = HashSet::new();
    let mut tags = Registry::default();
    for mut section in sections {
        let id: Option<TagId> = section.parsed("id");
        let role = section.choice("role", &ROLES);
        let subject = section.text("subject");
        let id = section.required("id", id);
        let role = section.required("role", role);
        if let (Some(Role::Visitor), Some(subject)) = (role, &subject)
            && subject.parse::<crate::domain::CustomerId>().is_err()
        {
            section.complain("subject", "of a visitor must be a customer id (a UUID)");
        }
        if let (Some(id), Some(role)) = (id, role)
            && is_new(&mut seen, &section, &id)
        {
            tags.assign(id, Registration { role, subject, until: None });
        }
        section.finish();
    }
    tags
}
