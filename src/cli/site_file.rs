//! Reads a site file for the tools that need nothing else of the configuration.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::domain::{Anchor, Registration, Registry, Role, Site, SiteId, Spot, SpotId, TagId, Zone, ZoneId, ZoneKind};

#[derive(Deserialize)]
struct RawSite {
    site: RawFloor,
    #[serde(default)]
    anchor: Vec<RawAnchor>,
    #[serde(default)]
    zone: Vec<RawZone>,
    #[serde(default)]
    spot: Vec<RawSpot>,
    #[serde(default)]
    tag: Vec<RawTag>,
}

#[derive(Deserialize)]
struct RawFloor {
    id: SiteId,
    name: String,
    timezone: String,
    bounds: [f64; 4],
    tag_height_m: f64,
}

#[derive(Deserialize)]
struct RawAnchor {
    id: crate::domain::AnchorId,
    x: f64,
    y: f64,
    z: f64,
    rssi_at_1m: Option<f64>,
    path_loss: Option<f64>,
}

#[derive(Deserialize)]
struct RawZone {
    id: ZoneId,
    name: String,
    kind: ZoneKind,
    polygon: Vec<[f64; 2]>,
}

#[derive(Deserialize)]
struct RawSpot {
    id: SpotId,
    x: f64,
    y: f64,
    zone: Option<ZoneId>,
}

#[derive(Deserialize)]
struct RawTag {
    id: TagId,
    role: Role,
    subject: Option<String>,
}

/// Reads and checks the site file at `path`.
pub(super) fn load_site(path: &Path) -> Result<Site> {
    let shown = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("site file {shown} could not be read"))?;
    let raw: RawSite = toml::from_str(&text).with_context(|| format!("site file {shown} is not understood"))?;
    let [min_x, min_y, max_x, max_y] = raw.site.bounds;
    let numbers =
        raw.anchor.iter().flat_map(|a| [a.x, a.y, a.z, a.rssi_at_1m.unwrap_or(0.0), a.path_loss.unwrap_or(1.0)]);
    let finite = raw.site.bounds.into_iter().chain([raw.site.tag_height_m]).chain(numbers).all(f64::is_finite);
    ensure!(finite && min_x < max_x && min_y < max_y, "site file {shown} has numbers that make no floor");
    ensure!(!raw.anchor.is_empty(), "site file {shown} has no anchors");
    Ok(site(raw))
}

fn site(raw: RawSite) -> Site {
    let anchor =
        |a: RawAnchor| Anchor { id: a.id, x: a.x, y: a.y, z: a.z, rssi_at_1m: a.rssi_at_1m, path_loss: a.path_loss };
    let zone = |z: RawZone| Zone { id: z.id, name: z.name, kind: z.kind, polygon: z.polygon };
    let spot = |s: RawSpot| Spot { id: s.id, x: s.x, y: s.y, zone: s.zone };
    let mut tags = Registry::default();
    for tag in raw.tag {
        tags.assign(tag.id, Registration { role: tag.role, subject: tag.subject, until: None });
    }
    Site {
        id: raw.site.id,
        name: raw.site.name,
        timezone: raw.site.timezone,
        bounds: raw.site.bounds,
        tag_height_m: raw.site.tag_height_m,
        anchors: raw.anchor.into_iter().map(anchor).collect(),
        zones: raw.zone.into_iter().map(zone).collect(),
        spots: raw.spot.into_iter().map(spot).collect(),
        tags,
    }
}
