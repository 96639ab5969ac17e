//! Where visitors were: person-seconds of the minute by zone and by cell of one metre, and a picture of the last quarter of
//! an hour that fades.

use std::collections::BTreeMap;

use super::floor::{Floor, NOWHERE};
use crate::domain::Heat;

/// The picture halves in so many minutes.
const HALF_LIFE_MIN: f64 = 10.0;
/// What has faded below this is dropped, person-seconds.
const FAINT_S: f64 = 0.5;

#[derive(Debug, Default, Clone)]
struct Sums {
    zones: BTreeMap<u16, f64>,
    cells: BTreeMap<(u16, u16), f64>,
}

impl Sums {
    fn heat(&self, floor: &Floor) -> Heat {
        let zones = self.zones.iter().filter_map(|(&zone, &s)| Some((floor.zone_id(zone)?, tenths(s)))).collect();
        let cells = self.cells.iter().map(|(&(column, row), &s)| (column, row, tenths(s))).collect();
        Heat { zones, cells }
    }

    fn fade(&mut self, minutes: i64) {
        let factor = 0.5_f64.powf(minutes as f64 / HALF_LIFE_MIN);
        self.zones.values_mut().chain(self.cells.values_mut()).for_each(|s| *s *= factor);
        self.zones.retain(|_, s| *s >= FAINT_S);
        self.cells.retain(|_, s| *s >= FAINT_S);
    }

    fn add(&mut self, other: &Self) {
        other.zones.iter().for_each(|(zone, s)| *self.zones.entry(*zone).or_default() += s);
        other.cells.iter().for_each(|(cell, s)| *self.cells.entry(*cell).or_default() += s);
    }
}

/// The minute being counted and the fading picture.
#[derive(Debug, Default)]
pub(super) struct HeatMap {
    minute: Sums,
    picture: Sums,
    pictured: Option<i64>,
}

impl HeatMap {
    /// A visitor was there for one second.
    pub(super) fn add(&mut self, floor: &Floor, zone: u16, x: f64, y: f64) {
        if zone != NOWHERE {
            *self.minute.zones.entry(zone).or_default() += 1.0;
        }
        let [min_x, min_y, max_x, max_y] = floor.site.bounds;
        let cell = |v: f64, min: f64, max: f64| (v.clamp(min, max.max(min)) - min) as u16;
        // A point on the far edge belongs to the last cell.
        let cell = (cell(x, min_x, max_x - 0.01), cell(y, min_y, max_y - 0.01));
        *self.minute.cells.entry(cell).or_default() += 1.0;
    }

    /// The minute that ends with number `minute` (of Unix time) is over; `None` when nobody was there.
    pub(super) fn turn(&mut self, floor: &Floor, minute: i64) -> Option<Heat> {
        let passed = minute - self.pictured.unwrap_or(minute);
        self.pictured = Some(minute);
        self.picture.fade(passed.max(0));
        if self.is_empty() {
            return None;
        }
        let over = std::mem::take(&mut self.minute);
        self.picture.add(&over);
        Some(over.heat(floor))
    }

    /// The fading picture as of `minute`.
    pub(super) fn picture(&self, floor: &Floor, minute: i64) -> Option<Heat> {
        let mut picture = self.picture.clone();
        picture.fade((minute - self.pictured.unwrap_or(minute)).max(0));
        (!picture.cells.is_empty()).then(|| picture.heat(floor))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.minute.cells.is_empty()
    }
}

fn tenths(seconds: f64) -> f64 {
    (seconds * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::{Settings, testing::square_site};

    #[test]
    fn a_minute_counts_person_seconds_and_the_picture_fades() {
        let floor = Floor::new(square_site(), &Settings::default());
        let mut map = HeatMap::default();
        for _ in 0..8 {
            map.add(&floor, 1, 3.4, 99.0);
        }
        let heat = map.turn(&floor, 5).expect("somebody was there");
        assert_eq!(heat.cells, [(3, 9, 8.0)]);
        assert_eq!(heat.zones.len(), 1);
        assert_eq!(map.turn(&floor, 6), None);
        let faded = map.picture(&floor, 15).expect("not yet gone").cells;
        assert_eq!(faded, [(3, 9, 4.0)]);
        assert_eq!(map.picture(&floor, 500), None);
    }
}
