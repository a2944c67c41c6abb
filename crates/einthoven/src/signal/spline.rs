//! Cubic splines through given points.

use crate::error::{Error, Result};

/// What a spline does at its two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplineEnd {
    /// No curvature.
    Natural,
    /// The first two pieces are one polynomial, and so are the last two; the default of `scipy`.
    NotAKnot,
}

/// A curve with continuous second derivative through given points.
#[derive(Debug, Clone, PartialEq)]
pub struct CubicSpline {
    at: Vec<f64>,
    value: Vec<f64>,
    /// Second derivative at each knot.
    bend: Vec<f64>,
}

impl CubicSpline {
    /// The spline through `value[k]` at `at[k]`.
    ///
    /// # Errors
    /// [`Error::Shape`] when the lengths differ; [`Error::Data`] with fewer than two knots, knots that
    /// do not rise, or values that are not finite.
    /// # Reference
    /// de Boor 1978, chapter IV; agrees with `scipy.interpolate.CubicSpline`.
    pub fn new(at: Vec<f64>, value: Vec<f64>, end: SplineEnd) -> Result<CubicSpline> {
        if at.len() != value.len() {
            return Err(Error::Shape {
                what: "values at the knots".into(),
                expected: vec![at.len()],
                actual: vec![value.len()],
            });
        }
        let is_rising = at.windows(2).all(|pair| pair[0] < pair[1]);
        if at.len() < 2 || !is_rising || !at.iter().chain(&value).all(|v| v.is_finite()) {
            return Err(Error::data("knots", "expected at least two finite knots in rising order"));
        }
        let bend = second_derivatives(&at, &value, end);
        Ok(CubicSpline { at, value, bend })
    }

    /// Value at `t`; beyond the knots that of the nearest one, because a cubic runs away there.
    pub fn value(&self, t: f64) -> f64 {
        let last = self.at.len() - 1;
        let t = t.clamp(self.at[0], self.at[last]);
        let k = self.at.partition_point(|knot| *knot <= t).clamp(1, last) - 1;
        let h = self.at[k + 1] - self.at[k];
        let (a, b) = ((self.at[k + 1] - t) / h, (t - self.at[k]) / h);
        let cubic = ((a * a * a - a) * self.bend[k] + (b * b * b - b) * self.bend[k + 1]) * h * h / 6.0;
        a * self.value[k] + b * self.value[k + 1] + cubic
    }
}

/// Solves `h[k-1] m[k-1] + 2 (h[k-1] + h[k]) m[k] + h[k] m[k+1] = 6 (slope[k] - slope[k-1])`.
fn second_derivatives(at: &[f64], value: &[f64], end: SplineEnd) -> Vec<f64> {
    let n = at.len();
    let mut bend = vec![0.0; n];
    if n == 2 {
        return bend;
    }
    let h: Vec<f64> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let slope: Vec<f64> = value.windows(2).zip(&h).map(|(pair, h)| (pair[1] - pair[0]) / h).collect();
    let inner = n - 2;
    let mut diagonal: Vec<f64> = (0..inner).map(|k| 2.0 * (h[k] + h[k + 1])).collect();
    let mut below: Vec<f64> = h[..inner].to_vec();
    let mut above: Vec<f64> = h[1..].to_vec();
    let mut right: Vec<f64> = (0..inner).map(|k| 6.0 * (slope[k + 1] - slope[k])).collect();
    if end == SplineEnd::NotAKnot {
        if n == 3 {
            // One parabola.
            return vec![right[0] / (3.0 * (h[0] + h[1])); 3];
        }
        // The third derivative is continuous at the second and the last but one knot.
        diagonal[0] += h[0] * (1.0 + h[0] / h[1]);
        above[0] -= h[0] * h[0] / h[1];
        let (last, before) = (h[n - 2], h[n - 3]);
        diagonal[inner - 1] += last * (1.0 + last / before);
        below[inner - 1] -= last * last / before;
    }
    // Elimination without pivots: the rows are dominated by their diagonal.
    for k in 1..inner {
        let factor = below[k] / diagonal[k - 1];
        diagonal[k] -= factor * above[k - 1];
        right[k] -= factor * right[k - 1];
    }
    for k in (0..inner).rev() {
        let next = if k + 1 < inner { above[k] * bend[k + 2] } else { 0.0 };
        bend[k + 1] = (right[k] - next) / diagonal[k];
    }
    if end == SplineEnd::NotAKnot {
        bend[0] = bend[1] + (bend[1] - bend[2]) * h[0] / h[1];
        bend[n - 1] = bend[n - 2] + (bend[n - 2] - bend[n - 3]) * h[n - 2] / h[n - 3];
    }
    bend
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cubic_is_its_own_spline() {
        let cubic = |t: f64| 2.0 - t + 0.5 * t * t - 0.1 * t * t * t;
        let at = vec![0.0, 0.7, 1.1, 2.5, 4.0];
        let value = at.iter().map(|&t| cubic(t)).collect();
        let spline = CubicSpline::new(at, value, SplineEnd::NotAKnot).unwrap();
        for k in 0..=40 {
            let t = f64::from(k) / 10.0;
            assert!((spline.value(t) - cubic(t)).abs() < 1e-12, "{t}");
        }
        assert_eq!(spline.value(9.0), spline.value(4.0));
    }

    #[test]
    fn few_knots_give_a_line_and_a_parabola() {
        let line = CubicSpline::new(vec![0.0, 2.0], vec![1.0, 5.0], SplineEnd::NotAKnot).unwrap();
        assert_eq!(line.value(0.5), 2.0);
        let parabola = CubicSpline::new(vec![0.0, 1.0, 3.0], vec![0.0, 1.0, 9.0], SplineEnd::NotAKnot).unwrap();
        assert!((parabola.value(2.0) - 4.0).abs() < 1e-12);
    }

    #[test]
    fn bad_knots_are_errors() {
        let new = |at: Vec<f64>, value: Vec<f64>| CubicSpline::new(at, value, SplineEnd::Natural);
        assert!(new(vec![0.0], vec![0.0]).is_err());
        assert!(new(vec![0.0, 0.0], vec![0.0, 1.0]).is_err());
        assert!(new(vec![0.0, 1.0], vec![0.0]).is_err());
        assert!(new(vec![0.0, 1.0], vec![0.0, f64::NAN]).is_err());
    }
}
