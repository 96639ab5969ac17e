//! Whether a polygon encloses one area.

type Point = [f64; 2];

/// Whether two edges of `polygon` that are not neighbours touch or cross.
pub(super) fn crosses_itself(polygon: &[Point]) -> bool {
    let n = polygon.len();
    let edge = |i: usize| (polygon[i], polygon[(i + 1) % n]);
    (0..n).any(|i| {
        (i + 1..n).any(|j| {
            let neighbours = j == i + 1 || (i == 0 && j == n - 1);
            !neighbours && touch(edge(i), edge(j))
        })
    })
}

/// Twice the signed area, square metres.
pub(super) fn double_area(polygon: &[Point]) -> f64 {
    let next = polygon.iter().cycle().skip(1);
    polygon.iter().zip(next).map(|(a, b)| a[0] * b[1] - b[0] * a[1]).sum()
}

fn side(a: Point, b: Point, p: Point) -> f64 {
    (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])
}

fn within(a: Point, b: Point, p: Point) -> bool {
    (0..2).all(|axis| p[axis] >= a[axis].min(b[axis]) && p[axis] <= a[axis].max(b[axis]))
}

fn touch((a, b): (Point, Point), (c, d): (Point, Point)) -> bool {
    let (s1, s2, s3, s4) = (side(a, b, c), side(a, b, d), side(c, d, a), side(c, d, b));
    if s1 * s2 < 0.0 && s3 * s4 < 0.0 {
        return true;
    }
    let on = |s: f64, a, b, p| s == 0.0 && within(a, b, p);
    on(s1, a, b, c) || on(s2, a, b, d) || on(s3, c, d, a) || on(s4, c, d, b)
}
