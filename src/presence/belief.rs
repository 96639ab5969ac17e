//! What is believed about one tag's place: a probability for each cell of the floor, by Bayes' rule once a second.
//!
//! Motion: a random walk; levels: log-distance with errors in dB after Student's t, heavier on the weak side, because bodies
//! and walls take away and hardly anything adds (Bermuda and others use the same asymmetry). With three degrees of freedom
//! the likelihood is one over a square, so a cell costs multiplications and one division, no logarithm.
//!
//! Invariants: probabilities are finite, not negative and sum to one.

use super::floor::Floor;

/// Step of a walker in one second per axis, metres: about 1.3 m/s with turns; what fits office12 best lies between 1 and 2.
const STEP_M: f64 = 1.3;
/// Half width of the step's kernel in standard deviations.
const KERNEL_REACH: f64 = 2.2;
/// Share of belief given to every place alike each second: how the filter recovers when it is wrong altogether.
const ANYWHERE: f32 = 1e-4;
/// Scale of Student's t, dB, for levels above what is expected …
const SCALE_DB: f32 = 6.0;
/// … and how much wider it is for those below.
const WEAK_SIDE: f32 = 1.2;
const FREEDOM: f32 = 3.0;
/// What one second's levels may have in common (a body in the way, a turned tag), standard deviation in dB.
const COMMON_DB: f32 = 0.7;
/// One term of the product stays below this, so that [`super::radio::MAX_HEARD`] of them fit into an `f32`.
const MAX_TERM: f32 = 60.0;

/// Work space shared by all tags of an engine.
pub(super) struct Workbench {
    kernel: Vec<f32>,
    padded: Vec<f32>,
    across: Vec<f32>,
    product: Vec<f32>,
    common: Vec<f32>,
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
        let padded = vec![0.0; floor.cols + 2 * reach];
        let zone_mass = vec![0.0; floor.site.zones.len() + 1];
        Self { kernel, padded, across: cells.clone(), product: cells.clone(), common: cells, zone_mass }
    }
}

/// Mean place and its standard deviation per axis, metres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Estimate {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) sigma: f64,
}

/// The probability of each cell.
pub(super) struct Belief(Vec<f32>);

impl Belief {
    /// Anywhere.
    pub(super) fn new(floor: &Floor) -> Self {
        Self(vec![1.0 / floor.cells() as f32; floor.cells()])
    }

    /// One second passes.
    pub(super) fn walk(&mut self, floor: &Floor, bench: &mut Workbench) {
        let (cols, reach) = (floor.cols, bench.kernel.len() / 2);
        let rows = self.0.chunks_exact(cols).zip(bench.across.chunks_exact_mut(cols));
        for (row, out) in rows {
            pad(row, reach, &mut bench.padded);
            out.fill(0.0);
            for (&weight, shifted) in bench.kernel.iter().zip(bench.padded.windows(cols)) {
                add_scaled(out, shifted, weight);
            }
        }
        let anywhere = ANYWHERE / floor.cells() as f32;
        let last = floor.rows - 1;
        for (row, out) in self.0.chunks_exact_mut(cols).enumerate() {
            out.fill(anywhere);
            for (i, &weight) in bench.kernel.iter().enumerate() {
                let from = (row + i).saturating_sub(reach).min(last) * cols;
                add_scaled(out, &bench.across[from..from + cols], weight);
            }
        }
    }

    /// Takes in one second's levels: `(anchor, dBm)`, already freed of what the tag has of its own.
    pub(super) fn hear(&mut self, floor: &Floor, heard: &[(usize, f32)], bench: &mut Workbench) {
        let count = heard.len() as f32;
        let variance = COMMON_DB * COMMON_DB;
        let share = variance / (variance * count + SCALE_DB * SCALE_DB);
        let (common, product) = (&mut bench.common, &mut bench.product);
        common.fill(0.0);
        for &(anchor, level) in heard {
            for (sum, expected) in common.iter_mut().zip(&floor.levels[anchor]) {
                *sum += (level - expected) * share;
            }
        }
        product.fill(1.0);
        let (strong, weak) = (1.0 / (SCALE_DB * FREEDOM.sqrt()), 1.0 / (SCALE_DB * FREEDOM.sqrt() * WEAK_SIDE));
        for &(anchor, level) in heard {
            for ((term, expected), common) in product.iter_mut().zip(&floor.levels[anchor]).zip(common.iter()) {
                let residual = level - expected - common;
                let scaled = residual * if residual < 0.0 { weak } else { strong };
                *term *= (1.0 + scaled * scaled).min(MAX_TERM);
            }
        }
        let best = product.iter().copied().fold(f32::INFINITY, f32::min);
        for (p, term) in self.0.iter_mut().zip(product.iter()) {
            let ratio = best / term;
            *p *= ratio * ratio;
        }
        self.normalise();
    }

    fn normalise(&mut self) {
        let total: f32 = self.0.iter().sum();
        if total.is_finite() && total > f32::MIN_POSITIVE {
            let factor = 1.0 / total;
            self.0.iter_mut().for_each(|p| *p *= factor);
        } else {
            let even = 1.0 / self.0.len() as f32;
            self.0.fill(even);
        }
    }

    /// Mean, spread, and the belief by zone (in `bench.zone_mass`).
    pub(super) fn summary(&self, floor: &Floor, bench: &mut Workbench) -> Estimate {
        bench.zone_mass.fill(0.0);
        let (mut total, mut x, mut y, mut xx, mut yy) = (0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64, 0.0_f64);
        let zones = floor.zone_of.chunks_exact(floor.cols);
        for (row, (beliefs, zones)) in self.0.chunks_exact(floor.cols).zip(zones).enumerate() {
            let (mut sum, mut first, mut second) = (0.0_f32, 0.0_f32, 0.0_f32);
            for (col, (&p, &zone)) in beliefs.iter().zip(zones).enumerate() {
                let col = col as f32;
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
        let (x, y) = (x / total, y / total);
        let variance = f64::midpoint(xx / total - x * x, yy / total - y * y).max(0.0);
        // A cell is itself a place of doubt: a uniform one over its side.
        let sigma = (variance + 1.0 / 12.0).sqrt() * floor.cell;
        Estimate { x: floor.x0 + (x + 0.5) * floor.cell, y: floor.y0 + (y + 0.5) * floor.cell, sigma }
    }
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

    #[test]
    fn levels_of_a_place_lead_to_that_place() {
        let floor = Floor::new(square_site(), &Settings::default());
        let mut bench = Workbench::new(&floor);
        let mut belief = Belief::new(&floor);
        let cell = floor.cell_at(3.0, 7.0);
        let heard: Vec<_> = floor.levels.iter().map(|levels| levels[cell]).enumerate().collect();
        for _ in 0..3 {
            belief.walk(&floor, &mut bench);
            belief.hear(&floor, &heard, &mut bench);
        }
        let found = belief.summary(&floor, &mut bench);
        assert!((found.x - 3.0).hypot(found.y - 7.0) < 1.0, "{found:?}");
        assert!(found.sigma > 0.1 && found.sigma < 2.5, "{found:?}");
        assert!((bench.zone_mass.iter().sum::<f32>() - 1.0).abs() < 1e-3);
    }

    #[test]
    fn an_absurd_level_leaves_a_belief_that_is_one() {
        let floor = Floor::new(square_site(), &Settings::default());
        let mut bench = Workbench::new(&floor);
        let mut belief = Belief::new(&floor);
        for level in [20.0, -127.0, 20.0] {
            belief.walk(&floor, &mut bench);
            belief.hear(&floor, &[(0, level), (1, -127.0), (2, 20.0)], &mut bench);
            assert!((belief.0.iter().sum::<f32>() - 1.0).abs() < 1e-3);
        }
    }
}
