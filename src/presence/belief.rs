//! What is believed about one tag's place: a probability for each cell of the floor, once a second.
//!
//! Motion: stays, or a random step, mixed by the probability that the tag moves. Levels: log-distance (or the surveyed map)
//! with normal errors in dB, cut off where they are absurd, and what all anchors hear too loud alike taken out. Errors of
//! bodies, walls and multipath do not change from one second to the next, so seconds do not add up like independent
//! witnesses: what was believed is weakened a little each second (a power below one) and a second's evidence counts less,
//! as far as errors persist. That keeps the spread honest however long a tag stands still.
//!
//! Invariants: no cell is ever out of the question; probabilities are finite and sum to one. A belief is kept in 16 bits a
//! cell, the likeliest at the top: less than 3 KB.

use super::{
    approx::{exp, ln},
    floor::Floor,
    prints::Second,
};

/// Step of a walker in one second per axis, metres: about 1.3 m/s with turns; what fits office12 best lies between 1 and 2.
const STEP_M: f64 = 1.3;
/// Half width of the step's kernel in standard deviations.
const KERNEL_REACH: f64 = 2.2;
/// What a second's levels may have in common (a body in the way, a turned tag), standard deviation in dB.
const COMMON_DB: f32 = 0.7;
/// An error of this many squared standard deviations is as bad as any: one receiver that is off by 10 dB decides nothing.
const FARTHEST: f32 = 16.0;
/// Where errors persist: how much of the belief's sharpness a second takes away and how much of its evidence counts, while
/// the tag moves and while it stands.
const FADE: [f32; 2] = [0.4, 0.1];
const COUNTS: [f32; 2] = [0.8, 0.1];
/// The likeliest cell, in the 16 bits of a belief; the others lie between 1 and it.
const TOP: f32 = 65_535.0;

/// What one anchor heard, freed of what the tag and the anchor have of their own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    pub(super) anchor: usize,
    /// dBm.
    pub(super) level: f32,
    /// Variance that averaging can take away, dB².
    pub(super) noise: f32,
    /// One over the variance of the whole error, 1/dB².
    pub(super) precision: f32,
}

/// What one second says.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    pub(super) heard: Vec<Heard>,
    /// The second alone, as it was heard.
    pub(super) seconds: Vec<Second>,
    /// Probability that the tag moves.
    pub(super) moving: f32,
    /// Share of its errors that will be the same in the next second.
    pub(super) persists: f32,
}

/// Work space shared by all tags of an engine.
pub(super) struct Workbench {
    kernel: Vec<f32>,
    padded: Vec<f32>,
    across: Vec<f32>,
    now: Vec<f32>,
    moved: Vec<f32>,
    common: Vec<f32>,
    squares: Vec<f32>,
    /// Belief by number of zone, as [`Belief::summary`] left it.
    pub(super) zone_mass: Vec<f32>,
}

impl Workbench {
    pub(super) fn new(floor: &Floor) -> Self {
        let reach = (KERNEL_REACH * STEP_M / floor.cell).ceil() as usize;
        let weight = |i: usize| {
            let steps = (i as f64 - reach as f64) * floor.cell / STEP_M;
            (-0.5 * steps * steps).exp()
        };
        let total: f64 = (0..=2 * reach).map(weight).sum();
        let kernel = (0..=2 * reach).map(|i| (weight(i) / total) as f32).collect();
        let cells = vec![0.0; floor.cells()];
        Self {
            kernel,
            padded: vec![0.0; floor.cols + 2 * reach],
            across: cells.clone(),
            now: cells.clone(),
            moved: cells.clone(),
            common: cells.clone(),
            squares: cells,
            zone_mass: vec![0.0; floor.site.zones.len() + 1],
        }
    }

    /// From `now`, one random step later, into `moved`.
    fn step(&mut self, floor: &Floor) {
        let (cols, reach, last) = (floor.cols, self.kernel.len() / 2, floor.rows - 1);
        for (row, out) in self.now.chunks_exact(cols).zip(self.across.chunks_exact_mut(cols)) {
            pad(row, reach, &mut self.padded);
            out.fill(0.0);
            for (&weight, shifted) in self.kernel.iter().zip(self.padded.windows(cols)) {
                add_scaled(out, shifted, weight);
            }
        }
        for (row, out) in self.moved.chunks_exact_mut(cols).enumerate() {
            out.fill(0.0);
            for (i, &weight) in self.kernel.iter().enumerate() {
                let from = (row + i).saturating_sub(reach).min(last) * cols;
                add_scaled(out, &self.across[from..from + cols], weight);
            }
        }
    }

    /// Logarithm of how likely the levels are in each cell, into `squares`, and what they have in common there into
    /// `common`. Gives the likeliest cell.
    fn weigh(&mut self, floor: &Floor, heard: &[Heard]) -> usize {
        let (common, squares) = (&mut self.common, &mut self.squares);
        let stiffness = 1.0 / (COMMON_DB * COMMON_DB);
        let total: f32 = stiffness + heard.iter().map(|it| it.precision).sum::<f32>();
        common.fill(0.0);
        for it in heard {
            let share = it.precision / total;
            for (common, expected) in common.iter_mut().zip(&floor.levels[it.anchor]) {
                *common += (it.level - expected) * share;
            }
        }
        for (square, common) in squares.iter_mut().zip(common.iter()) {
            *square = common * common * stiffness;
        }
        for it in heard {
            let expected = floor.levels[it.anchor].iter();
            for ((square, expected), common) in squares.iter_mut().zip(expected).zip(common.iter()) {
                let off = it.level - expected - common;
                *square += (off * off * it.precision).min(FARTHEST);
            }
        }
        let least = |best: (usize, f32), (cell, square): (usize, &f32)| {
            if *square < best.1 { (cell, *square) } else { best }
        };
        squares.iter().enumerate().fold((0, f32::INFINITY), least).0
    }
}

/// Mean place and its standard deviation per axis, metres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) sigma: f64,
}

/// The probability of each cell, as a share of that of the likeliest.
pub(super) struct Belief {
    cells: Vec<u16>,
    /// Nothing was taken in yet.
    new: bool,
}

impl Belief {
    /// Anywhere.
    pub(super) fn new(floor: &Floor) -> Self {
        Self { cells: vec![u16::MAX; floor.cells()], new: true }
    }

    /// One second passes in which nothing was heard.
    pub(super) fn wait(&mut self, floor: &Floor, moving: f32, bench: &mut Workbench) {
        self.pass(floor, moving, bench);
        let top = bench.now.iter().copied().fold(f32::MIN_POSITIVE, f32::max);
        for (cell, p) in self.cells.iter_mut().zip(&bench.now) {
            *cell = kept(p / top);
        }
    }

    /// One second passes, and this was heard in it. Gives the cell that suits the levels best, whatever was believed
    /// before, and what the levels have in common there.
    pub(super) fn hear(&mut self, floor: &Floor, evidence: &Evidence, bench: &mut Workbench) -> (usize, f32) {
        self.pass(floor, evidence.moving, bench);
        let best = bench.weigh(floor, &evidence.heard);
        let between = |[moving, standing]: [f32; 2]| standing + evidence.moving * (moving - standing);
        let keep = 1.0 - evidence.persists * between(FADE);
        let counts = 1.0 - evidence.persists * (1.0 - between(COUNTS));
        let counts = -0.5 * if std::mem::take(&mut self.new) { 1.0 } else { counts };
        let mut top = f32::NEG_INFINITY;
        for (p, square) in bench.now.iter_mut().zip(&bench.squares) {
            *p = keep * ln(*p) + counts * square;
            top = top.max(*p);
        }
        for (cell, log) in self.cells.iter_mut().zip(&bench.now) {
            *cell = kept(exp(log - top));
        }
        (best, bench.common.get(best).copied().unwrap_or(0.0))
    }

    /// Leaves in `bench.now` what is believed a second later.
    fn pass(&self, floor: &Floor, moving: f32, bench: &mut Workbench) {
        for (now, cell) in bench.now.iter_mut().zip(&self.cells) {
            *now = f32::from(*cell) / TOP;
        }
        bench.step(floor);
        for (now, moved) in bench.now.iter_mut().zip(&bench.moved) {
            *now += moving * (moved - *now);
        }
    }

    /// Mean, spread, and the belief by zone (in `bench.zone_mass`).
    pub(super) fn summary(&self, floor: &Floor, bench: &mut Workbench) -> Estimate {
        bench.zone_mass.fill(0.0);
        let (mut total, mut x, mut y, mut xx, mut yy) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
        let zones = floor.zone_of.chunks_exact(floor.cols);
        for (row, (cells, zones)) in self.cells.chunks_exact(floor.cols).zip(zones).enumerate() {
            let (mut sum, mut first, mut second) = (0.0_f32, 0.0_f32, 0.0_f32);
            for (col, (&cell, &zone)) in cells.iter().zip(zones).enumerate() {
                let (p, col) = (f32::from(cell) / TOP, col as f32);
                sum += p;
                first += p * col;
                second += p * col * col;
                bench.zone_mass[usize::from(zone)] += p;
            }
            let (row, sum) = (row as f64, f64::from(sum));
            total += sum;
            x += f64::from(first);
            xx += f64::from(second);
            y += sum * row;
            yy += sum * row * row;
        }
        let (x, y, share) = (x / total, y / total, (1.0 / total) as f32);
        bench.zone_mass.iter_mut().for_each(|mass| *mass *= share);
        let variance = f64::midpoint(xx / total - x * x, yy / total - y * y).max(0.0);
        // A cell is itself a place of doubt: a uniform one over its side.
        let sigma = (variance + 1.0 / 12.0).sqrt() * floor.cell;
        Estimate { x: floor.x0 + (x + 0.5) * floor.cell, y: floor.y0 + (y + 0.5) * floor.cell, sigma }
    }
}

/// A share of the likeliest cell in 16 bits; never nothing.
fn kept(share: f32) -> u16 {
    1 + (share * (TOP - 1.0) + 0.5) as u16
}

/// `row` with its ends repeated `reach` times: who walks into a wall stays at it.
fn pad(row: &[f32], reach: usize, padded: &mut [f32]) {
    let (first, last) = (row.first().copied().unwrap_or(0.0), row.last().copied().unwrap_or(0.0));
    padded[..reach].fill(first);
    padded[reach..reach + row.len()].copy_from_slice(row);
    padded[reach + row.len()..].fill(last);
}

fn add_scaled(out: &mut [f32], from: &[f32], weight: f32) {
    for (out, from) in out.iter_mut().zip(from) {
        *out += weight * from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::{Settings, testing::square_site};

    fn evidence(levels: impl IntoIterator<Item = f32>) -> Evidence {
        let heard = |(anchor, level)| Heard { anchor, level, noise: 9.0, precision: 1.0 / 25.0 };
        Evidence {
            heard: levels.into_iter().enumerate().map(heard).collect(),
            moving: 0.5,
            persists: 0.7,
            ..Evidence::default()
        }
    }

    fn total(belief: &Belief) -> f32 {
        belief.cells.iter().map(|cell| f32::from(*cell) / TOP).sum()
    }

    #[test]
    fn levels_of_a_place_lead_to_that_place_and_never_to_false_certainty() {
        let floor = Floor::new(square_site(), &Settings::default());
        let mut bench = Workbench::new(&floor);
        let mut belief = Belief::new(&floor);
        let cell = floor.cell_at(3.0, 7.0);
        let evidence = evidence(floor.levels.iter().map(|levels| levels[cell]));
        let mut sigmas = Vec::new();
        for _ in 0..200 {
            let (best, common) = belief.hear(&floor, &evidence, &mut bench);
            assert!(best == cell && common.abs() < 1e-3, "{best} {common}");
            let found = belief.summary(&floor, &mut bench);
            assert!((found.x - 3.0).hypot(found.y - 7.0) < 1.2, "{found:?}");
            sigmas.push(found.sigma);
        }
        assert!((1.0..3.0).contains(&sigmas[199]) && sigmas[199] > 0.6 * sigmas[0], "{sigmas:?}");
        assert!((bench.zone_mass.iter().sum::<f32>() - 1.0).abs() < 1e-3);
    }

    #[test]
    fn an_absurd_level_leaves_a_belief() {
        let floor = Floor::new(square_site(), &Settings::default());
        let mut bench = Workbench::new(&floor);
        let mut belief = Belief::new(&floor);
        for level in [20.0, -127.0, 20.0] {
            belief.hear(&floor, &evidence([level, -127.0, 20.0]), &mut bench);
            assert!(total(&belief).is_finite() && belief.cells.contains(&u16::MAX));
        }
        for _ in 0..60 {
            belief.wait(&floor, 0.8, &mut bench);
        }
        assert!(belief.cells.iter().all(|cell| *cell > 1000), "who walks for a minute unheard may be anywhere");
    }
}
