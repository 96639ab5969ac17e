//! What was heard where: levels of seconds, as the engine takes them, by place or by zone.

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use anyhow::Result;

use super::truth::{Observation, Whereabouts};
use crate::{
    domain::{AnchorId, Reading, TagId, ZoneId},
    presence::{Sample, ZoneSecond, second_level},
    sources::{Item, Recording},
};

/// The change of a level is told over so many seconds, as by the engine.
const CHANGE_S: i64 = 3;

/// What was heard of tags while it was known where they were.
#[derive(Default)]
pub(super) struct Survey {
    /// By place and anchor: a stay is one place, a walk one a second.
    pub(super) samples: Vec<Sample>,
    /// Where only zones are known.
    pub(super) seconds: Vec<ZoneSecond>,
}

/// Readings of one second of one anchor.
#[derive(Default)]
struct Second {
    count: f64,
    x: f64,
    y: f64,
    level: f32,
    loudest: Option<f32>,
}

impl Second {
    fn add(&mut self, level: f32, x: f64, y: f64) {
        self.count += 1.0;
        self.x += x;
        self.y += y;
        self.level += level;
        self.loudest = Some(self.loudest.map_or(level, |loudest| loudest.max(level)));
    }

    fn level(&self) -> f64 {
        let mean = self.level / self.count as f32;
        f64::from(second_level(mean, self.loudest.unwrap_or(mean)))
    }
}

type Places = BTreeMap<(TagId, Observation, AnchorId, i64), Second>;
type Zones = BTreeMap<(TagId, i64), (usize, ZoneId, BTreeMap<AnchorId, Second>)>;

impl Survey {
    /// Adds a recording with its truth.
    pub(super) fn add(&mut self, input: &Path, truth: &HashMap<TagId, Whereabouts>) -> Result<()> {
        let (mut places, mut zones) = (Places::new(), Zones::new());
        for item in Recording::open(input)? {
            let Item::Reading(Reading { at, anchor, tag, rssi }) = item? else { continue };
            let Some(whereabouts) = truth.get(&tag) else { continue };
            let (t, second) = (at.unix_seconds(), at.whole_second());
            if let Some((key, x, y)) = whereabouts.at(t) {
                places.entry((tag, key, anchor, second)).or_default().add(rssi.get(), x, y);
            } else if let Some((stay, zone)) = whereabouts.zone_at(t) {
                let heard = zones.entry((tag, second)).or_insert_with(|| (stay, zone.clone(), BTreeMap::new()));
                // A second is told at its end.
                if heard.0 != stay {
                    (heard.0, heard.1) = (stay, zone.clone());
                }
                heard.2.entry(anchor).or_default().add(rssi.get(), 0.0, 0.0);
            }
        }
        self.add_places(places);
        self.add_zones(&zones);
        Ok(())
    }

    fn add_places(&mut self, places: Places) {
        let mut means: BTreeMap<(TagId, Observation, AnchorId), [f64; 4]> = BTreeMap::new();
        for ((tag, key, anchor, _), second) in places {
            let sums = means.entry((tag, key, anchor)).or_default();
            let one = [1.0, second.x / second.count, second.y / second.count, second.level()];
            sums.iter_mut().zip(one).for_each(|(sum, value)| *sum += value);
        }
        let sample = |((_, _, anchor), [count, x, y, level]): ((TagId, Observation, AnchorId), [f64; 4])| Sample {
            anchor,
            x: x / count,
            y: y / count,
            level: level / count,
        };
        self.samples.extend(means.into_iter().map(sample));
    }

    fn add_zones(&mut self, zones: &Zones) {
        let first = self.seconds.last().map_or(0, |last| last.stay + 1);
        for ((tag, second), (stay, zone, heard)) in zones {
            let before = zones.get(&(tag.clone(), second - CHANGE_S)).map(|(_, _, heard)| heard);
            let one = |(anchor, second): (&AnchorId, &Second)| {
                let level = second.level();
                let change = before.and_then(|before| before.get(anchor)).map(|before| level - before.level());
                (anchor.clone(), (level, change))
            };
            let heard = heard.iter().map(one).collect();
            self.seconds.push(ZoneSecond { stay: first + stay, zone: zone.clone(), heard });
        }
    }
}
