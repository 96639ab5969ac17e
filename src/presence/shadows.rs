//! How far an anchor's levels are off the line of distance, over the floor, from a survey of known places: a Gaussian
//! process whose shadows fade out with the distance from what was surveyed.
//!
//! Walls and furniture shadow neighbouring places alike: correlation falls exponentially with distance (Gudmundson 1991).
//! What only one place has, small-scale fading, is noise. Far from every point the map says nothing, and nowhere more than
//! [`MOST_DB`], so that a survey of one corner does no harm in the others.

/// Standard deviation of the shadows, dB, and the distance over which their correlation falls to 1/e, metres.
const SHADOW_DB: f64 = 3.5;
const REACH_M: f64 = 5.0;
/// Standard deviation of what one place has alone, dB.
const PLACE_DB: f64 = 2.0;
/// No shadow is believed to be deeper, dB.
const MOST_DB: f64 = 12.0;

/// The variance of what only one place has, dB².
pub(super) const PLACE_VARIANCE: f64 = PLACE_DB * PLACE_DB;

/// The shadows of one anchor.
pub(super) struct Shadows<'a> {
    points: &'a [[f64; 3]],
    weights: Vec<f64>,
    /// Square root of the covariance of the points, lower triangle row by row.
    root: Vec<Vec<f64>>,
}

impl<'a> Shadows<'a> {
    /// From `[x, y, dB off the line]`.
    pub(super) fn new(points: &'a [[f64; 3]]) -> Self {
        let root = cholesky(points);
        let mut weights: Vec<f64> = points.iter().map(|point| point[2]).collect();
        solve(&root, &mut weights);
        Self { points, weights, root }
    }

    /// How far levels at a place are off the line, dB.
    pub(super) fn at(&self, x: f64, y: f64) -> f64 {
        let terms = self.points.iter().zip(&self.weights).map(|(point, weight)| weight * covariance(point, x, y));
        terms.sum::<f64>().clamp(-MOST_DB, MOST_DB)
    }

    /// How far each point is off what the others say of its place, dB.
    pub(super) fn left_out(&self) -> Vec<f64> {
        let mut unit = vec![0.0; self.points.len()];
        let one = |i: usize| {
            unit.fill(0.0);
            unit[i] = 1.0;
            solve(&self.root, &mut unit);
            self.weights[i] / unit[i]
        };
        (0..self.points.len()).map(one).collect()
    }
}

fn covariance(point: &[f64; 3], x: f64, y: f64) -> f64 {
    SHADOW_DB * SHADOW_DB * (-(point[0] - x).hypot(point[1] - y) / REACH_M).exp()
}

/// The covariance is positive definite by what a place has alone, so every root exists.
fn cholesky(points: &[[f64; 3]]) -> Vec<Vec<f64>> {
    let mut root: Vec<Vec<f64>> = Vec::with_capacity(points.len());
    for (i, point) in points.iter().enumerate() {
        let mut row = Vec::with_capacity(i + 1);
        for (j, before) in root.iter().enumerate() {
            let product: f64 = row.iter().zip(before).map(|(a, b): (&f64, &f64)| a * b).sum();
            row.push((covariance(&points[j], point[0], point[1]) - product) / before[j]);
        }
        let squares: f64 = row.iter().map(|a| a * a).sum();
        row.push((SHADOW_DB * SHADOW_DB + PLACE_VARIANCE - squares).max(f64::MIN_POSITIVE).sqrt());
        root.push(row);
    }
    root
}

/// Turns `values` into the solution of covariance · x = values.
fn solve(root: &[Vec<f64>], values: &mut [f64]) {
    for (i, row) in root.iter().enumerate() {
        let known: f64 = row[..i].iter().zip(values.iter()).map(|(a, b)| a * b).sum();
        values[i] = (values[i] - known) / row[i];
    }
    for i in (0..root.len()).rev() {
        let known: f64 = (i + 1..root.len()).map(|j| root[j][i] * values[j]).sum();
        values[i] = (values[i] - known) / root[i][i];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Vec<[f64; 3]> {
        (0..36)
            .map(|i| (f64::from(i % 6) * 2.0, f64::from(i / 6) * 2.0))
            .map(|(x, y)| [x, y, if x < 5.0 { 6.0 } else { -4.0 }])
            .collect()
    }

    #[test]
    fn a_shadow_is_found_where_it_was_surveyed_and_nowhere_else() {
        let points = grid();
        let shadows = Shadows::new(&points);
        assert!(
            shadows.at(1.0, 5.0) > 4.0 && shadows.at(9.0, 5.0) < -2.5,
            "{} {}",
            shadows.at(1.0, 5.0),
            shadows.at(9.0, 5.0)
        );
        assert!(shadows.at(60.0, 5.0).abs() < 0.01, "{}", shadows.at(60.0, 5.0));
        let absurd = Shadows::new(&[[0.0, 0.0, 500.0]]).at(0.0, 0.0);
        assert!((absurd - MOST_DB).abs() < 1e-9);
        assert!(Shadows::new(&[]).at(1.0, 1.0).abs() < 1e-12);
    }

    #[test]
    fn what_is_left_out_is_judged_by_the_others() {
        let points = grid();
        let left_out = Shadows::new(&points).left_out();
        for (i, left_out) in left_out.iter().enumerate() {
            let others: Vec<_> = points.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, point)| *point).collect();
            let expected = points[i][2] - Shadows::new(&others).at(points[i][0], points[i][1]);
            assert!((left_out - expected).abs() < 1e-6, "{left_out} {expected}");
        }
    }

    #[test]
    fn the_same_place_twice_is_no_trouble() {
        let shadows = Shadows::new(&[[1.0, 1.0, 5.0], [1.0, 1.0, 5.0], [1.0, 1.0, -40.0]]);
        assert!(shadows.at(1.0, 1.0).is_finite());
    }
}
