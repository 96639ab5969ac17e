//! The floor as the filter sees it: square cells with, for each, the zone around it and the level every anchor should hear.
//!
//! Made once per site. The number of cells is nearly the same whatever the size of the site: small floors get fine cells,
//! large ones coarse cells, so that one tag's belief stays within 3 KB. Cells of a metre lose office12 nothing.

use std::{collections::HashMap, sync::Arc};

use super::{prints::Prints, settings::Settings, shadows::Shadows};
use crate::domain::{Anchor, AnchorId, Site, SpotId, ZoneId, ZoneKind};

/// Cells reach this far beyond the bounds, so that a tag at a wall is not pushed inwards.
const MARGIN_M: f64 = 0.5;
const MAX_CELLS: f64 = 1400.0;
/// No cell is smaller, metres: nothing that is heard tells more.
const FINEST_M: f64 = 0.1;
/// Standard deviation of what stays wrong with the level expected at a place, dB: of anchors that nobody calibrated, and of
/// those whose level and exponent the site file knows.
const DOUBT_DB: f64 = 4.9;
const DOUBT_CALIBRATED_DB: f64 = 2.45;
/// Log-distance has a pole at zero; antennas are never this close.
const NEAREST_M: f64 = 0.3;

/// No zone, in [`Floor::zone_of`].
pub(super) const NOWHERE: u16 = 0;

/// Cells of a site, row by row from the lower left.
pub(super) struct Floor {
    pub(super) site: Arc<Site>,
    pub(super) cols: usize,
    pub(super) rows: usize,
    pub(super) cell: f64,
    pub(super) x0: f64,
    pub(super) y0: f64,
    /// Expected level, dBm, by anchor and cell.
    pub(super) levels: Vec<Vec<f32>>,
    /// Variance of what stays wrong with them, dB², before anything was heard …
    pub(super) doubt: f32,
    /// … and whether a survey told it, so that nothing is to be learnt of it.
    pub(super) surveyed: bool,
    /// [`NOWHERE`], or one more than the index of the cell's zone.
    pub(super) zone_of: Vec<u16>,
    /// What is heard in the zones, where they were shown.
    pub(super) prints: Option<Prints>,
    anchors: HashMap<AnchorId, u16>,
}

impl Floor {
    pub(super) fn new(site: Arc<Site>, settings: &Settings) -> Self {
        let [min_x, min_y, max_x, max_y] = site.bounds;
        let (width, height) = (max_x - min_x + 2.0 * MARGIN_M, max_y - min_y + 2.0 * MARGIN_M);
        // One more row and column than the area holds may be needed: a little less than the maximum is aimed for.
        let cell = FINEST_M.max((width * height / (MAX_CELLS * 0.95)).sqrt()).max(width.max(height) / 350.0);
        let (cols, rows) = ((width / cell).ceil().max(1.0) as usize, (height / cell).ceil().max(1.0) as usize);
        let x0 = f64::midpoint(min_x, max_x) - 0.5 * cols as f64 * cell;
        let y0 = f64::midpoint(min_y, max_y) - 0.5 * rows as f64 * cell;
        let anchors = site.anchors.iter().zip(0u16..).map(|(anchor, i)| (anchor.id.clone(), i)).collect();
        let prints = Prints::new(&site);
        let mut floor = Self {
            site,
            cols,
            rows,
            cell,
            x0,
            y0,
            levels: Vec::new(),
            doubt: 0.0,
            surveyed: false,
            zone_of: Vec::new(),
            prints,
            anchors,
        };
        floor.zone_of = floor.centres().map(|(x, y)| floor.zone_around(x, y)).collect();
        floor.levels = (0..floor.site.anchors.len()).map(|anchor| floor.levels_of(anchor, settings)).collect();
        floor.doubt = floor.doubt();
        floor.surveyed = floor.site.anchors.iter().all(|anchor| anchor.survey.doubt_db.is_some());
        floor
    }

    pub(super) fn cells(&self) -> usize {
        self.cols * self.rows
    }

    pub(super) fn anchor(&self, id: &AnchorId) -> Option<usize> {
        self.anchors.get(id).map(|&i| usize::from(i))
    }

    /// The cell of a point; the nearest one when it is off the grid.
    pub(super) fn cell_at(&self, x: f64, y: f64) -> usize {
        let col = ((x - self.x0) / self.cell).clamp(0.0, (self.cols - 1) as f64) as usize;
        let row = ((y - self.y0) / self.cell).clamp(0.0, (self.rows - 1) as f64) as usize;
        row * self.cols + col
    }

    /// The name of a zone by its number in [`Self::zone_of`].
    pub(super) fn zone_id(&self, zone: u16) -> Option<ZoneId> {
        let index = usize::from(zone).checked_sub(1)?;
        self.site.zones.get(index).map(|zone| zone.id.clone())
    }

    /// The number of a zone by its name; [`NOWHERE`] when the site has none of that name (any more).
    pub(super) fn zone_number(&self, id: Option<&ZoneId>) -> u16 {
        let index = id.and_then(|id| self.site.zones.iter().position(|zone| zone.id == *id));
        index.and_then(|i| u16::try_from(i + 1).ok()).unwrap_or(NOWHERE)
    }

    /// Whether people leave from there: at a door or outside.
    pub(super) fn is_door(&self, zone: u16) -> bool {
        let zone = usize::from(zone).checked_sub(1).and_then(|i| self.site.zones.get(i));
        zone.is_some_and(|zone| matches!(zone.kind, ZoneKind::Entrance | ZoneKind::Outside))
    }

    /// Spots within `radius` metres, nearest first.
    pub(super) fn spots_near(&self, x: f64, y: f64, radius: f64) -> Vec<(usize, f64)> {
        let distances = self.site.spots.iter().map(|spot| (spot.x - x).hypot(spot.y - y)).enumerate();
        let mut near: Vec<_> = distances.filter(|&(_, distance)| distance <= radius).collect();
        near.sort_by(|a, b| a.1.total_cmp(&b.1));
        near
    }

    pub(super) fn spot_id(&self, spot: usize) -> Option<SpotId> {
        self.site.spots.get(spot).map(|spot| spot.id.clone())
    }

    fn centres(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let centre = |cell: usize, from: f64| from + (cell as f64 + 0.5) * self.cell;
        (0..self.rows).flat_map(move |row| (0..self.cols).map(move |col| (centre(col, self.x0), centre(row, self.y0))))
    }

    /// Cells of the margin belong to the zone at the nearest point within the bounds.
    fn zone_around(&self, x: f64, y: f64) -> u16 {
        let [min_x, min_y, max_x, max_y] = self.site.bounds;
        let (x, y) = (x.max(min_x + 0.01).min(max_x - 0.01), y.max(min_y + 0.01).min(max_y - 0.01));
        let index = self.site.zones.iter().position(|zone| zone.contains(x, y));
        index.and_then(|i| u16::try_from(i + 1).ok()).unwrap_or(NOWHERE)
    }

    fn doubt(&self) -> f32 {
        let of = |anchor: &Anchor| {
            let calibrated = anchor.rssi_at_1m.is_some() && anchor.path_loss.is_some();
            let db = anchor.survey.doubt_db.unwrap_or(if calibrated { DOUBT_CALIBRATED_DB } else { DOUBT_DB });
            db * db
        };
        let anchors = self.site.anchors.len().max(1) as f64;
        (self.site.anchors.iter().map(of).sum::<f64>() / anchors) as f32
    }

    fn levels_of(&self, anchor: usize, settings: &Settings) -> Vec<f32> {
        let Some(anchor) = self.site.anchors.get(anchor) else { return Vec::new() };
        let at_1m = anchor.rssi_at_1m.unwrap_or(settings.rssi_at_1m);
        let exponent = anchor.path_loss.unwrap_or(settings.path_loss);
        let above = anchor.z - self.site.tag_height_m;
        let shadows = Shadows::new(&anchor.survey.points);
        let level = |(x, y): (f64, f64)| {
            let distance = (x - anchor.x).hypot(y - anchor.y).hypot(above).max(NEAREST_M);
            (at_1m - 10.0 * exponent * distance.log10() + shadows.at(x, y)) as f32
        };
        self.centres().map(level).collect()
    }
}
