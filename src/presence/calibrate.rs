//! Fits the level at one metre and the path-loss exponent of every anchor to levels heard from known places, and says how
//! far each place is off that line.
//!
//! One line an anchor, level over the logarithm of the distance, with Huber's weights against the outliers that bodies and
//! walls make, and drawn towards the line of all anchors together where an anchor has little to say. The caller gives one
//! sample a place and anchor, not one a reading: a minute at one place is one observation of the radio's shadows.

use std::collections::BTreeMap;

use super::shadows::{PLACE_VARIANCE, Shadows};
use crate::domain::{Anchor, AnchorId, Site, Survey};

/// Distances below this are taken for it, metres, as by the engine.
const NEAREST_M: f64 = 0.3;
/// Beyond this many standard deviations a residual counts by its size, not its square (Huber 1964: 95 % efficiency).
const HUBER: f64 = 1.345;
const ROUNDS: usize = 20;
/// Standard deviations, in dB: of one sample about its line, and of one anchor's level about that of all.
const SAMPLE_DB: f64 = 6.0;
const ANCHOR_DB: f64 = 3.0;
/// Standard deviation of one anchor's exponent about that of all.
const ANCHOR_EXPONENT: f64 = 0.3;
/// Exponents outside are no physics of a room.
const EXPONENTS: (f64, f64) = (1.0, 5.0);
/// Places of one anchor that are kept; neighbours are joined until there are no more.
const MOST_PLACES: usize = 200;
/// Side of the squares within which places are joined at first, metres.
const JOINED_M: f64 = 0.5;
/// What a place is off its line counts no more than this, dB.
const MOST_OFF_DB: f64 = 30.0;
/// Nothing is ever known better, dB².
const LEAST_DOUBT: f64 = 1.0;
/// Samples, and different distances, below which nothing is fitted.
const FEWEST: usize = 10;

/// A level heard from a known place.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Who heard it.
    pub anchor: AnchorId,
    /// Where the tag was, metres.
    pub x: f64,
    /// Where the tag was, metres.
    pub y: f64,
    /// Mean level, dBm.
    pub level: f64,
}

/// What was fitted for one anchor.
#[derive(Debug, Clone, PartialEq)]
pub struct AnchorFit {
    /// Which.
    pub anchor: AnchorId,
    /// Samples it had.
    pub samples: usize,
    /// Level at one metre, dBm.
    pub rssi_at_1m: f64,
    /// Path-loss exponent.
    pub path_loss: f64,
    /// Root mean square of what is left, dB; `None` without samples.
    pub residual_db: Option<f64>,
    /// The same with the line of all anchors, dB.
    pub pooled_residual_db: Option<f64>,
    /// How far the places are off the line, and what stays wrong at others.
    pub survey: Survey,
}

/// Every anchor of a site, in its order.
#[derive(Debug, Clone, PartialEq)]
pub struct Calibration {
    /// Level at one metre and exponent of all anchors together.
    pub pooled: (f64, f64),
    /// By anchor.
    pub anchors: Vec<AnchorFit>,
}

/// Why nothing was fitted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalibrationError {
    /// There is too little to fit a line to.
    #[error("{found} levels from known places are too few, at least {FEWEST} at different distances are needed")]
    TooFew {
        /// How many there are.
        found: usize,
    },
}

/// `(10·log10 of the distance, level)`.
type Point = (f64, f64);

/// Fits every anchor of `site`. Samples of anchors that it does not have, or that are not finite, are left out.
///
/// # Errors
/// When there are too few samples, or all at one distance.
pub fn fit(site: &Site, samples: &[Sample]) -> Result<Calibration, CalibrationError> {
    let by_anchor: Vec<Vec<Point>> = site.anchors.iter().map(|anchor| points(site, anchor, samples)).collect();
    let all: Vec<Point> = by_anchor.iter().flatten().copied().collect();
    let too_few = CalibrationError::TooFew { found: all.len() };
    let spread = all.iter().map(|p| p.0).fold(f64::NEG_INFINITY, f64::max)
        - all.iter().map(|p| p.0).fold(f64::INFINITY, f64::min);
    if all.len() < FEWEST || spread < 3.0 {
        return Err(too_few);
    }
    let free = Line { level: 0.0, exponent: 0.0 };
    let pooled = robust(&all, mean_log(&all), free, (0.0, 0.0)).ok_or(too_few)?;
    let anchors = site.anchors.iter().zip(&by_anchor).map(|(anchor, points)| {
        let centre = mean_log(&all);
        let ties = ((SAMPLE_DB / ANCHOR_DB).powi(2), (SAMPLE_DB / ANCHOR_EXPONENT).powi(2));
        let line = robust(points, centre, pooled.moved(centre), ties).map_or(pooled, |line| line);
        AnchorFit {
            anchor: anchor.id.clone(),
            samples: points.len(),
            rssi_at_1m: tenths(line.level),
            path_loss: (line.exponent * 1000.0).round() / 1000.0,
            residual_db: residual(points, line),
            pooled_residual_db: residual(points, pooled),
            survey: survey(anchor, site, samples, line),
        }
    });
    Ok(Calibration {
        pooled: (tenths(pooled.level), (pooled.exponent * 1000.0).round() / 1000.0),
        anchors: anchors.collect(),
    })
}

/// `level - exponent · log`, the level being that at log 0, or at another place after [`Line::moved`].
#[derive(Debug, Clone, Copy)]
struct Line {
    level: f64,
    exponent: f64,
}

impl Line {
    /// The same line with its level told at `log`.
    fn moved(self, log: f64) -> Self {
        Self { level: self.level - self.exponent * log, exponent: self.exponent }
    }
}

/// Huber's regression of `points` about `centre`, tied to `prior` (told at `centre`) by so many imagined samples of level
/// and of exponent. The line given back is told at log 0.
fn robust(points: &[Point], centre: f64, prior: Line, ties: (f64, f64)) -> Option<Line> {
    let mut weights = vec![1.0; points.len()];
    let mut line = None;
    for _ in 0..ROUNDS {
        let next = weighted(points, &weights, centre, prior, ties)?;
        for (weight, &(log, level)) in weights.iter_mut().zip(points) {
            let residual = (level - (next.level - next.exponent * (log - centre))).abs() / SAMPLE_DB;
            *weight = if residual <= HUBER { 1.0 } else { HUBER / residual };
        }
        line = Some(next);
    }
    let line = line?;
    let exponent = line.exponent.clamp(EXPONENTS.0, EXPONENTS.1);
    Some(Line { level: line.level + exponent * centre, exponent })
}

/// Weighted least squares in two unknowns with ties; `None` when the points do not tell them apart.
fn weighted(points: &[Point], weights: &[f64], centre: f64, prior: Line, ties: (f64, f64)) -> Option<Line> {
    let (mut n, mut sx, mut sxx, mut sy, mut sxy) =
        (ties.0, 0.0, ties.1, ties.0 * prior.level, -ties.1 * prior.exponent);
    for (&(log, level), weight) in points.iter().zip(weights) {
        let x = log - centre;
        n += weight;
        sx += weight * x;
        sxx += weight * x * x;
        sy += weight * level;
        sxy += weight * x * level;
    }
    let determinant = n * sxx - sx * sx;
    let line = Line { level: (sxx * sy - sx * sxy) / determinant, exponent: -(n * sxy - sx * sy) / determinant };
    (determinant > 1e-9 && line.level.is_finite() && line.exponent.is_finite()).then_some(line)
}

/// What the places have beyond the line.
fn survey(anchor: &Anchor, site: &Site, samples: &[Sample], line: Line) -> Survey {
    let own = samples.iter().filter(|sample| sample.anchor == anchor.id);
    let off = |sample: &Sample| {
        let off = sample.level - (line.level - line.exponent * log_distance(site, anchor, sample));
        [sample.x, sample.y, off.clamp(-MOST_OFF_DB, MOST_OFF_DB)]
    };
    let places: Vec<[f64; 3]> = own.map(off).filter(|place| place.iter().all(|v| v.is_finite())).collect();
    let mut grain = JOINED_M;
    let mut points = joined(&places, grain);
    while points.len() > MOST_PLACES {
        grain *= 1.3;
        points = joined(&places, grain);
    }
    let squares: f64 = Shadows::new(&points).left_out().iter().map(|off| off * off).sum();
    let doubt = (squares / points.len().max(1) as f64 - PLACE_VARIANCE).max(LEAST_DOUBT).sqrt();
    let doubt_db = (points.len() >= FEWEST).then(|| (doubt * 100.0).round() / 100.0);
    let rounded = |[x, y, off]: [f64; 3]| [(x * 100.0).round() / 100.0, (y * 100.0).round() / 100.0, tenths(off)];
    Survey { points: points.into_iter().map(rounded).collect(), doubt_db }
}

/// The means of the places in each square of `side`.
fn joined(places: &[[f64; 3]], side: f64) -> Vec<[f64; 3]> {
    let mut squares: BTreeMap<(i64, i64), ([f64; 3], f64)> = BTreeMap::new();
    for place in places {
        let square = ((place[0] / side).floor() as i64, (place[1] / side).floor() as i64);
        let (sum, count) = squares.entry(square).or_default();
        sum.iter_mut().zip(place).for_each(|(sum, value)| *sum += value);
        *count += 1.0;
    }
    squares.into_values().map(|(sum, count)| sum.map(|value| value / count)).collect()
}

fn log_distance(site: &Site, anchor: &Anchor, sample: &Sample) -> f64 {
    let distance = (sample.x - anchor.x).hypot(sample.y - anchor.y).hypot(anchor.z - site.tag_height_m);
    10.0 * distance.max(NEAREST_M).log10()
}

fn points(site: &Site, anchor: &Anchor, samples: &[Sample]) -> Vec<Point> {
    let own = samples.iter().filter(|sample| sample.anchor == anchor.id);
    own.map(|sample| (log_distance(site, anchor, sample), sample.level))
        .filter(|p| p.0.is_finite() && p.1.is_finite())
        .collect()
}

fn mean_log(points: &[Point]) -> f64 {
    points.iter().map(|p| p.0).sum::<f64>() / points.len().max(1) as f64
}

fn residual(points: &[Point], line: Line) -> Option<f64> {
    let squares: f64 = points.iter().map(|(log, level)| (level - (line.level - line.exponent * log)).powi(2)).sum();
    (!points.is_empty()).then(|| (squares / points.len() as f64).sqrt())
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::testing::square_site;

    fn survey(level_of: impl Fn(usize, f64) -> Option<f64>) -> Vec<Sample> {
        let site = square_site();
        let places = (0..25).map(|i| (f64::from(i % 5) * 2.0 + 0.7, f64::from(i / 5) * 2.0 + 0.4));
        let samples = places.flat_map(|(x, y)| {
            let heard = site.anchors.iter().enumerate().filter_map(|(i, anchor)| {
                let distance = (x - anchor.x).hypot(y - anchor.y).hypot(1.2);
                let level = level_of(i, distance)?;
                Some(Sample { anchor: anchor.id.clone(), x, y, level })
            });
            heard.collect::<Vec<_>>()
        });
        samples.collect()
    }

    #[test]
    fn a_line_is_found_in_spite_of_outliers() {
        let mut samples = survey(|_, distance| Some(-57.0 - 22.0 * distance.log10()));
        for outlier in samples.iter_mut().step_by(9) {
            outlier.level -= 25.0;
        }
        let found = fit(&square_site(), &samples).expect("fits");
        assert!((found.pooled.0 + 57.0).abs() < 2.5 && (found.pooled.1 - 2.2).abs() < 0.25, "{:?}", found.pooled);
    }

    #[test]
    fn an_anchor_with_little_to_say_keeps_to_the_others_and_one_with_much_goes_its_way() {
        let samples = survey(|anchor, distance| {
            let level = -60.0 - 18.0 * distance.log10();
            match anchor {
                0 => Some(level - 9.0),
                1 => (distance < 2.0).then_some(level + 9.0),
                _ => Some(level),
            }
        });
        let found = fit(&square_site(), &samples).expect("fits");
        let at_5m = |i: usize| found.anchors[i].rssi_at_1m - 10.0 * found.anchors[i].path_loss * 5.0_f64.log10();
        assert!(at_5m(0) - at_5m(2) < -6.0, "{found:?}");
        assert!(at_5m(1) - at_5m(2) < 4.0, "{found:?}");
        assert!(found.anchors[0].residual_db < found.anchors[0].pooled_residual_db);
    }

    #[test]
    fn too_little_is_said_to_be_too_little() {
        let few: Vec<_> = survey(|_, _| Some(-60.0)).into_iter().take(5).collect();
        assert_eq!(fit(&square_site(), &few), Err(CalibrationError::TooFew { found: 5 }));
        let nan = survey(|_, _| Some(f64::NAN));
        assert_eq!(fit(&square_site(), &nan), Err(CalibrationError::TooFew { found: 0 }));
    }
}
