//! Makes the prints of zones from seconds of which only the zone is known: for each zone two ways of being in it, found by
//! splitting its seconds where they differ most, each with means and spreads of what every anchor heard.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{AnchorId, Print, PrintHeard, Site, ZoneId, ZonePrints};

/// Seconds of a zone below which nothing is said of it.
const FEWEST_S: usize = 10;
/// Seconds of one way below which the zone has only one.
const FEWEST_OF_A_WAY: usize = 5;
const ROUNDS: usize = 20;
/// A spread is drawn towards this, dB, as by so many seconds, and never less than the least.
const SPREAD_DB: f64 = 3.0;
const SPREAD_S: f64 = 5.0;
const LEAST_SPREAD_DB: f64 = 2.0;
/// What an anchor that hears nothing in a zone would hear there, dBm, and how sure that is.
const UNHEARD: (f64, f64) = (-100.0, 8.0);

/// What was heard in one second in a known zone.
#[derive(Debug, Clone, PartialEq)]
pub struct ZoneSecond {
    /// Which stay in a zone it belongs to; stays count up.
    pub stay: usize,
    /// Where the tag was.
    pub zone: ZoneId,
    /// By anchor: level, dBm, and how much more that is than three seconds before.
    pub heard: BTreeMap<AnchorId, (f64, Option<f64>)>,
}

/// The prints of every zone of `site` that has enough seconds.
#[must_use]
pub fn fit_zones(site: &Site, seconds: &[ZoneSecond]) -> BTreeMap<ZoneId, ZonePrints> {
    let of_zone = |zone: &ZoneId| seconds.iter().filter(|second| second.zone == *zone).collect::<Vec<_>>();
    let zones = site.zones.iter().map(|zone| (zone.id.clone(), of_zone(&zone.id)));
    let fitted = zones.filter(|(_, seconds)| seconds.len() >= FEWEST_S).map(|(zone, seconds)| {
        let stays: BTreeSet<usize> = seconds.iter().map(|second| second.stay).collect();
        let mean_s = tenths(seconds.len() as f64 / stays.len().max(1) as f64);
        (zone, ZonePrints { stay_s: mean_s, prints: ways(site, &seconds) })
    });
    fitted.collect()
}

/// A second as numbers: levels, then changes; what is missing is the zone's mean.
fn features(site: &Site, seconds: &[&ZoneSecond]) -> Vec<Vec<f64>> {
    let columns: Vec<Vec<Option<f64>>> = (0..2 * site.anchors.len())
        .map(|column| {
            let anchor = &site.anchors[column % site.anchors.len()].id;
            let of = |second: &&ZoneSecond| {
                let (level, change) = second.heard.get(anchor)?;
                if column < site.anchors.len() { Some(*level) } else { *change }
            };
            seconds.iter().map(of).collect()
        })
        .collect();
    let means: Vec<f64> = columns.iter().map(|column| mean(column.iter().flatten().copied()).unwrap_or(0.0)).collect();
    let row = |i: usize| columns.iter().zip(&means).map(|(column, mean)| column[i].unwrap_or(*mean)).collect();
    (0..seconds.len()).map(row).collect()
}

fn ways(site: &Site, seconds: &[&ZoneSecond]) -> Vec<Print> {
    let second_of = split(&features(site, seconds));
    let parts = [false, true].map(|second| {
        let part = seconds.iter().zip(&second_of).filter(|(_, it)| **it == second);
        part.map(|(second, _)| *second).collect::<Vec<_>>()
    });
    if parts.iter().any(|part| part.len() < FEWEST_OF_A_WAY) {
        return vec![print(site, seconds, 1.0)];
    }
    parts.iter().map(|part| print(site, part, part.len() as f64 / seconds.len() as f64)).collect()
}

/// Two means (Lloyd), begun on either side of the mean where the numbers spread most.
fn split(rows: &[Vec<f64>]) -> Vec<bool> {
    let width = rows.first().map_or(0, Vec::len);
    let column = |i: usize| rows.iter().map(move |row| row[i]);
    let centre: Vec<f64> = (0..width).map(|i| mean(column(i)).unwrap_or(0.0)).collect();
    let spread: Vec<f64> = (0..width).map(|i| column(i).map(|v| (v - centre[i]).powi(2)).sum()).collect();
    let widest = spread.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(i, _)| i);
    let mut second: Vec<bool> = rows.iter().map(|row| row.get(widest) > centre.get(widest)).collect();
    for _ in 0..ROUNDS {
        let middle = |which: bool| -> Vec<f64> {
            let of = |i: usize| mean(rows.iter().zip(&second).filter(|(_, it)| **it == which).map(|(row, _)| row[i]));
            (0..width).map(|i| of(i).unwrap_or(centre[i])).collect()
        };
        let (one, two) = (middle(false), middle(true));
        let far = |row: &[f64], middle: &[f64]| row.iter().zip(middle).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        second = rows.iter().map(|row| far(row, &two) < far(row, &one)).collect();
    }
    second
}

fn print(site: &Site, seconds: &[&ZoneSecond], share: f64) -> Print {
    let heard = site.anchors.iter().map(|anchor| {
        let heard = || seconds.iter().filter_map(|second| second.heard.get(&anchor.id));
        let levels: Vec<f64> = heard().map(|it| it.0).collect();
        let changes: Vec<f64> = heard().filter_map(|it| it.1).collect();
        let (level, level_spread) = if levels.is_empty() { UNHEARD } else { normal(&levels) };
        let (change, change_spread) = normal(&changes);
        PrintHeard { anchor: anchor.id.clone(), level, level_spread, change, change_spread }
    });
    Print { share: (share * 100.0).round() / 100.0, heard: heard.collect() }
}

/// Mean and spread, to a tenth.
fn normal(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let middle = mean(values.iter().copied()).unwrap_or(0.0);
    let squares: f64 = values.iter().map(|value| (value - middle).powi(2)).sum();
    let variance = (squares + SPREAD_S * SPREAD_DB * SPREAD_DB) / (count + SPREAD_S);
    (tenths(middle), tenths((variance + LEAST_SPREAD_DB * LEAST_SPREAD_DB).sqrt()))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::testing::square_site;

    #[test]
    fn a_zone_gets_two_ways_when_it_has_them_and_none_when_it_is_hardly_known() {
        let site = square_site();
        let anchor = site.anchors[0].id.clone();
        let second = |i: usize, zone: &str, level: f64| ZoneSecond {
            stay: i / 20,
            zone: zone.parse().expect("id"),
            heard: [(anchor.clone(), (level, (i > 2).then_some(1.0)))].into(),
        };
        let mut seconds: Vec<_> = (0..40).map(|i| second(i, "door", if i % 4 == 0 { -80.0 } else { -60.0 })).collect();
        seconds.extend((0..5).map(|i| second(i, "floor", -70.0)));
        let prints = fit_zones(&site, &seconds);
        assert_eq!(prints.len(), 1);
        let door = &prints["door"];
        assert_eq!((door.stay_s, door.prints.len()), (20.0, 2));
        let mut levels: Vec<_> = door.prints.iter().map(|print| (print.share, print.heard[0].level)).collect();
        levels.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert_eq!(levels, [(0.25, -80.0), (0.75, -60.0)]);
        assert!((door.prints[0].heard[1].level + 100.0).abs() < 1e-9, "never heard by the second");
    }
}
