//! `showfloor calibrate`: fits the site's anchors from surveys and writes the site file anew with what was learnt.
//!
//! Comments and everything else in the site file are kept. Truth that names only zones is refused: it says no distances.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::{
    config::load_site,
    domain::{AnchorId, Reading, TagId},
    presence::{Calibration, Sample, fit, second_level},
    sources::{Item, Recording},
};

/// Readings are taken to be at a moving tag's place only between two truths this close, seconds, as by the scoring rule.
const LONGEST_STEP_S: f64 = 2.0;

/// Arguments of `showfloor calibrate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The site file
    #[arg(long, value_name = "SITE")]
    pub site: PathBuf,
    /// A recording of a survey; may be given more than once
    #[arg(long = "in", value_name = "RECORDING", required = true)]
    pub inputs: Vec<PathBuf>,
    /// Where the tags of each recording were, in the same order
    #[arg(long, value_name = "TRUTH", required = true)]
    pub truth: Vec<PathBuf>,
    /// Where the site file with what was learnt goes
    #[arg(long, value_name = "SITE2")]
    pub out: PathBuf,
}

/// Fits and writes.
///
/// # Errors
/// When a file cannot be read or written, truth has no places, or there is too little to fit.
pub fn run(args: &Args) -> Result<()> {
    ensure!(args.inputs.len() == args.truth.len(), "as many --truth as --in are needed, pairs in order");
    let site = load_site(&args.site)?;
    let mut samples = Vec::new();
    for (input, truth) in args.inputs.iter().zip(&args.truth) {
        samples.extend(survey(input, &read_truth(truth)?)?);
    }
    let calibration = fit(&site, &samples)?;
    let text = fs::read_to_string(&args.site).with_context(|| format!("{} could not be read", args.site.display()))?;
    let text = with_calibration(&text, &calibration)?;
    fs::write(&args.out, text).with_context(|| format!("{} could not be written", args.out.display()))?;
    Ok(print(&calibration)?)
}

/// One line of truth, as `score_positions.py` reads it.
#[derive(Deserialize)]
struct RawTruth {
    t: Option<f64>,
    from: Option<f64>,
    to: Option<f64>,
    tag: TagId,
    x: Option<f64>,
    y: Option<f64>,
}

/// Readings that are averaged: of one stay, or of one second of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Observation {
    Stay(usize),
    Second(i64),
}

/// Where one tag was.
#[derive(Default)]
struct Whereabouts {
    /// `(from, to, x, y)`
    stays: Vec<(f64, f64, f64, f64)>,
    /// `(t, x, y)` by time.
    moves: Vec<(f64, f64, f64)>,
}

impl Whereabouts {
    /// The observation that a moment belongs to, and the place.
    fn at(&self, t: f64) -> Option<(Observation, f64, f64)> {
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

fn read_truth(path: &Path) -> Result<HashMap<TagId, Whereabouts>> {
    let shown = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("truth {shown} could not be read"))?;
    let mut found: HashMap<TagId, Whereabouts> = HashMap::new();
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let raw: RawTruth = serde_json::from_str(text).with_context(|| format!("{shown}:{line} is no truth"))?;
        let (Some(x), Some(y)) = (raw.x, raw.y) else {
            bail!("{shown}:{line} says no place (x, y): zones alone tell no distances to calibrate with");
        };
        let tag = found.entry(raw.tag).or_default();
        match (raw.t, raw.from, raw.to) {
            (Some(t), None, None) => tag.moves.push((t, x, y)),
            (None, Some(from), Some(to)) => tag.stays.push((from, to, x, y)),
            _ => bail!("{shown}:{line} needs either t, or from and to"),
        }
    }
    for tag in found.values_mut() {
        tag.moves.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    Ok(found)
}

/// Mean levels of seconds, as the engine takes them, by place and anchor: a stay is one place, a walk one a second.
fn survey(input: &Path, truth: &HashMap<TagId, Whereabouts>) -> Result<Vec<Sample>> {
    let mut seconds: BTreeMap<(TagId, Observation, AnchorId, i64), Second> = BTreeMap::new();
    for item in Recording::open(input)? {
        let Item::Reading(Reading { at, anchor, tag, rssi }) = item? else { continue };
        let place = truth.get(&tag).and_then(|whereabouts| whereabouts.at(at.unix_seconds()));
        if let Some((key, x, y)) = place {
            let second = seconds.entry((tag, key, anchor, at.whole_second())).or_default();
            second.count += 1.0;
            second.x += x;
            second.y += y;
            second.level += rssi.get();
            second.loudest = Some(second.loudest.map_or(rssi.get(), |loudest| loudest.max(rssi.get())));
        }
    }
    let mut means: BTreeMap<(TagId, Observation, AnchorId), Mean> = BTreeMap::new();
    for ((tag, key, anchor, _), second) in seconds {
        let mean = means.entry((tag, key, anchor)).or_default();
        let level = second.level / second.count as f32;
        mean.count += 1.0;
        mean.x += second.x / second.count;
        mean.y += second.y / second.count;
        mean.level += f64::from(second_level(level, second.loudest.unwrap_or(level)));
    }
    let sample = |((_, _, anchor), m): ((TagId, Observation, AnchorId), Mean)| Sample {
        anchor,
        x: m.x / m.count,
        y: m.y / m.count,
        level: m.level / m.count,
    };
    Ok(means.into_iter().map(sample).collect())
}

#[derive(Default)]
struct Second {
    count: f64,
    x: f64,
    y: f64,
    level: f32,
    loudest: Option<f32>,
}

#[derive(Default)]
struct Mean {
    count: f64,
    x: f64,
    y: f64,
    level: f64,
}

/// The site file's text with the fitted keys in place of old ones; all else as it was.
fn with_calibration(text: &str, calibration: &Calibration) -> Result<String> {
    let mut document: toml_edit::DocumentMut = text.parse().context("the site file is not understood")?;
    let anchors = document.get_mut("anchor").and_then(toml_edit::Item::as_array_of_tables_mut);
    let anchors = anchors.context("the site file has no [[anchor]] tables to write to")?;
    for table in anchors.iter_mut() {
        let id = table.get("id").and_then(toml_edit::Item::as_str).unwrap_or_default();
        let Some(found) = calibration.anchors.iter().find(|it| it.anchor.as_str() == id) else { continue };
        table["rssi_at_1m"] = toml_edit::value(found.rssi_at_1m);
        table["path_loss"] = toml_edit::value(found.path_loss);
        match found.survey.doubt_db {
            Some(doubt) => table["doubt_db"] = toml_edit::value(doubt),
            None => _ = table.remove("doubt_db"),
        }
        table["survey"] = toml_edit::value(points(&found.survey.points));
    }
    Ok(document.to_string())
}

/// Four points a line.
fn points(points: &[[f64; 3]]) -> toml_edit::Array {
    let mut list = toml_edit::Array::new();
    for (i, point) in points.iter().enumerate() {
        let mut value = toml_edit::Value::Array(point.iter().copied().collect());
        value.decor_mut().set_prefix(if i % 4 == 0 { "\n  " } else { " " });
        list.push_formatted(value);
    }
    list.set_trailing("\n");
    list
}

fn print(calibration: &Calibration) -> io::Result<()> {
    let mut out = io::stdout();
    let (level, exponent) = calibration.pooled;
    writeln!(out, "all anchors together: {level:.1} dBm at 1 m, exponent {exponent:.2}")?;
    writeln!(
        out,
        "{:<20} {:>8} {:>9} {:>9} {:>14} {:>12}",
        "anchor", "places", "at 1 m", "exponent", "left, together", "left, own"
    )?;
    let db = |value: Option<f64>| value.map_or("-".to_owned(), |db| format!("{db:.1} dB"));
    for it in &calibration.anchors {
        let (together, own) = (db(it.pooled_residual_db), db(it.residual_db));
        let (id, places) = (it.anchor.as_str(), it.samples);
        writeln!(out, "{id:<20} {places:>8} {:>9.1} {:>9.2} {together:>14} {own:>12}", it.rssi_at_1m, it.path_loss)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::Survey, presence::AnchorFit};

    #[test]
    fn the_site_file_keeps_its_comments_and_gets_the_keys() {
        let text =
            "# ours\n[[anchor]]\nid = \"a\"   # by the door\nx = 1.0\nrssi_at_1m = -70.0\n\n[[anchor]]\nid = \"b\"\n";
        let fit = AnchorFit {
            anchor: "a".parse().expect("id"),
            samples: 3,
            rssi_at_1m: -59.5,
            path_loss: 1.9,
            residual_db: None,
            pooled_residual_db: None,
            survey: Survey { points: vec![[1.0, 2.5, -3.1]], doubt_db: Some(3.2) },
        };
        let calibration = Calibration { pooled: (-60.0, 1.8), anchors: vec![fit] };
        insta::assert_snapshot!(with_calibration(text, &calibration).expect("writes"), @r#"
        # ours
        [[anchor]]
        id = "a"   # by the door
        x = 1.0
        rssi_at_1m = -59.5
        path_loss = 1.9
        doubt_db = 3.2
        survey = [
          [1.0, 2.5, -3.1]
        ]

        [[anchor]]
        id = "b"
        "#);
        assert!(with_calibration("[site]\n", &calibration).is_err());
    }

    #[test]
    fn a_moment_of_truth_is_a_stay_or_lies_between_two_close_truths() {
        let whereabouts = Whereabouts {
            stays: vec![(100.0, 160.0, 1.0, 2.0)],
            moves: vec![(10.0, 0.0, 0.0), (11.0, 1.0, 2.0), (20.0, 5.0, 5.0)],
        };
        assert_eq!(whereabouts.at(130.0), Some((Observation::Stay(0), 1.0, 2.0)));
        assert_eq!(whereabouts.at(10.5), Some((Observation::Second(10), 0.5, 1.0)));
        assert_eq!([9.0, 15.0, 20.0, 170.0].map(|t| whereabouts.at(t)), [None; 4]);
    }

    #[test]
    fn zones_alone_are_no_truth_to_calibrate_with() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("t.jsonl");
        fs::write(&path, "{\"t\":1,\"tag\":\"a\",\"zone\":\"z\"}\n").expect("writes");
        let error = read_truth(&path).err().map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains("t.jsonl:1") && error.contains("zones alone"), "{error}");
    }
}
