//! Where tags were, as `score_positions.py` reads it.

use std::{collections::HashMap, fs, path::Path};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::domain::{TagId, ZoneId};

/// Readings are taken to be at a moving tag's place only between two truths this close, seconds, as by the scoring rule.
const LONGEST_STEP_S: f64 = 2.0;

/// One line of truth, as `score_positions.py` reads it.
#[derive(Deserialize)]
struct RawTruth {
    t: Option<f64>,
    from: Option<f64>,
    to: Option<f64>,
    tag: TagId,
    x: Option<f64>,
    y: Option<f64>,
    zone: Option<ZoneId>,
}

/// Readings that are averaged: of one stay, or of one second of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Observation {
    Stay(usize),
    Second(i64),
}

/// Where one tag was.
#[derive(Default)]
pub(super) struct Whereabouts {
    /// `(from, to, x, y)`
    stays: Vec<(f64, f64, f64, f64)>,
    /// `(t, x, y)` by time.
    moves: Vec<(f64, f64, f64)>,
    /// Where only zones are known: `(t, zone)` by time.
    zones: Vec<(f64, ZoneId)>,
}

impl Whereabouts {
    /// The observation that a moment belongs to, and the place.
    pub(super) fn at(&self, t: f64) -> Option<(Observation, f64, f64)> {
        let stay = self.stays.iter().position(|(from, to, ..)| (*from..=*to).contains(&t));
        if let Some((i, (_, _, x, y))) = stay.and_then(|i| Some((i, self.stays.get(i)?))) {
            return Some((Observation::Stay(i), *x, *y));
        }
        let next = self.moves.partition_point(|(at, ..)| *at <= t);
        let (&(t0, x0, y0), &(t1, x1, y1)) = (self.moves.get(next.checked_sub(1)?)?, self.moves.get(next)?);
        let share = (t - t0) / (t1 - t0);
        (t1 - t0 <= LONGEST_STEP_S)
            .then(|| (Observation::Second(t.floor() as i64), x0 + share * (x1 - x0), y0 + share * (y1 - y0)))
    }
}

impl Whereabouts {
    /// The zone at a moment, and the number of the stay in it.
    pub(super) fn zone_at(&self, t: f64) -> Option<(usize, &ZoneId)> {
        let next = self.zones.partition_point(|(at, _)| *at <= t);
        let (at, zone) = self.zones.get(next.checked_sub(1)?)?;
        let changes = self.zones[..next].windows(2).filter(|pair| pair[0].1 != pair[1].1).count();
        (t - at <= LONGEST_STEP_S).then_some((changes, zone))
    }
}

/// The whereabouts of every tag in a file of truth.
pub(super) fn read_truth(path: &Path) -> Result<HashMap<TagId, Whereabouts>> {
    let shown = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("truth {shown} could not be read"))?;
    let mut found: HashMap<TagId, Whereabouts> = HashMap::new();
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let raw: RawTruth = serde_json::from_str(text).with_context(|| format!("{shown}:{line} is no truth"))?;
        let tag = found.entry(raw.tag).or_default();
        match (raw.x.zip(raw.y), raw.zone, raw.t, raw.from, raw.to) {
            (Some((x, y)), _, Some(t), None, None) => tag.moves.push((t, x, y)),
            (Some((x, y)), _, None, Some(from), Some(to)) => tag.stays.push((from, to, x, y)),
            (None, Some(zone), Some(t), None, None) => tag.zones.push((t, zone)),
            (None, None, ..) => bail!("{shown}:{line} says neither a place (x, y) nor a zone"),
            _ => bail!("{shown}:{line} needs either t, or a place with from and to"),
        }
    }
    for tag in found.values_mut() {
        tag.zones.sort_by(|a, b| a.0.total_cmp(&b.0));
        tag.moves.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_of_truth_is_a_stay_or_lies_between_two_close_truths() {
        let whereabouts = Whereabouts {
            stays: vec![(100.0, 160.0, 1.0, 2.0)],
            moves: vec![(10.0, 0.0, 0.0), (11.0, 1.0, 2.0), (20.0, 5.0, 5.0)],
            zones: Vec::new(),
        };
        assert_eq!(whereabouts.at(130.0), Some((Observation::Stay(0), 1.0, 2.0)));
        assert_eq!(whereabouts.at(10.5), Some((Observation::Second(10), 0.5, 1.0)));
        assert_eq!([9.0, 15.0, 20.0, 170.0].map(|t| whereabouts.at(t)), [None; 4]);
    }

    #[test]
    fn zones_are_known_for_a_moment_and_stays_are_counted() {
        let [a, b]: [ZoneId; 2] = ["a", "b"].map(|id| id.parse().expect("id"));
        let zones = vec![(1.0, a.clone()), (2.0, b.clone()), (3.0, b.clone()), (4.0, a.clone())];
        let whereabouts = Whereabouts { zones, ..Whereabouts::default() };
        assert_eq!([0.5, 9.0].map(|t| whereabouts.zone_at(t)), [None; 2]);
        assert_eq!([1.5, 3.9, 5.5].map(|t| whereabouts.zone_at(t)), [Some((0, &a)), Some((1, &b)), Some((2, &a))]);
    }

    #[test]
    fn truth_that_says_nothing_is_refused_by_line() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("t.jsonl");
        fs::write(&path, "{\"t\":1,\"tag\":\"a\",\"zone\":\"z\"}\n{\"t\":1,\"tag\":\"a\"}\n").expect("writes");
        let error = read_truth(&path).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("t.jsonl:2") && error.contains("neither"), "{error}");
    }
}
