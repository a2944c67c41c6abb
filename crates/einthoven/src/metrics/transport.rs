//! Optimal-transport distances between sets of vectors. The plans are made in [`crate::signal::transport`].

use super::distance::Points;
use crate::error::{Error, Result};
use crate::signal::transport::{Sinkhorn, exact_plan, sinkhorn};

/// What it costs to move a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// The distance.
    Euclidean,
    /// The squared distance.
    SquaredEuclidean,
}

/// Costs of all pairs, `[a, b]`.
///
/// # Errors
/// [`Error::Shape`] when the vectors differ in length.
pub fn ground_cost(a: Points, b: Points, ground: Ground) -> Result<Vec<f64>> {
    if a.dim() != b.dim() {
        return Err(Error::Shape { what: "second set".into(), expected: vec![a.dim()], actual: vec![b.dim()] });
    }
    let squared = |i: usize, j: usize| -> f64 { a.row(i).iter().zip(b.row(j)).map(|(x, y)| (x - y) * (x - y)).sum() };
    let pairs = (0..a.len()).flat_map(|i| (0..b.len()).map(move |j| (i, j)));
    Ok(match ground {
        Ground::Euclidean => pairs.map(|(i, j)| squared(i, j).sqrt()).collect(),
        Ground::SquaredEuclidean => pairs.map(|(i, j)| squared(i, j)).collect(),
    })
}

/// Second Wasserstein distance of two sets of equal weights, exact; for some hundred points.
///
/// # Errors
/// [`Error::Shape`] when the vectors differ in length; [`Error::Data`] for an empty set.
/// # Reference
/// Villani 2009, definition 6.1.
pub fn wasserstein_2(a: Points, b: Points) -> Result<f64> {
    let cost = ground_cost(a, b, Ground::SquaredEuclidean)?;
    Ok(exact_plan(&cost, &even(a.len()), &even(b.len()))?.cost(&cost).sqrt())
}

/// Sinkhorn divergence with squared distances: transport costs of the smoothed plans, minus half of
/// what either set has with itself.
///
/// # Errors
/// As [`wasserstein_2`]; [`Error::Config`] unless `epsilon` is positive and large enough to converge.
/// # Reference
/// Genevay, Peyré and Cuturi 2018, eq. 4, with sharp costs.
pub fn sinkhorn_divergence(a: Points, b: Points, epsilon: f64) -> Result<f64> {
    let settings = Sinkhorn { epsilon, tolerance: 1e-10, max_iterations: 10_000 };
    let sharp = |x: Points, y: Points| -> Result<f64> {
        let cost = ground_cost(x, y, Ground::SquaredEuclidean)?;
        let plan = sinkhorn(&cost, &even(x.len()), &even(y.len()), settings)?;
        // Nearly separate pieces exchange mass too slowly; their cost would be wrong without a sign of it.
        let share = 1.0 / x.len() as f64;
        let off = (0..x.len()).map(|i| (plan.row(i).iter().sum::<f64>() / share - 1.0).abs()).fold(0.0, f64::max);
        if off > 1e-4 {
            return Err(Error::config(
                "epsilon",
                format!("{epsilon} leaves masses off by {off:.1e}, expected a larger one"),
            ));
        }
        Ok(plan.cost(&cost))
    };
    Ok((sharp(a, b)? - 0.5 * (sharp(a, a)? + sharp(b, b)?)).max(0.0))
}

/// Root of the mean squared Wasserstein distance along the given directions, for sets of one size.
///
/// # Shape
/// `directions` holds unit vectors in rows.
/// # Errors
/// [`Error::Shape`] unless sets and directions have one dimension and the sets one size; [`Error::Data`]
/// without directions.
/// # Reference
/// Bonneel et al. 2015.
pub fn sliced_wasserstein_2(a: Points, b: Points, directions: Points) -> Result<f64> {
    let shape = |p: Points, n: usize| vec![n, p.dim()];
    for (what, set, n) in [("second set", b, a.len()), ("directions", directions, directions.len())] {
        if set.dim() != a.dim() || set.len() != n {
            return Err(Error::Shape { what: what.into(), expected: shape(a, n), actual: shape(set, set.len()) });
        }
    }
    if directions.is_empty() || a.is_empty() {
        return Err(Error::data("directions", "expected points and at least one direction"));
    }
    let project = |set: Points, direction: &[f64]| -> Vec<f64> {
        let mut along: Vec<f64> =
            (0..set.len()).map(|i| set.row(i).iter().zip(direction).map(|(x, d)| x * d).sum()).collect();
        along.sort_unstable_by(f64::total_cmp);
        along
    };
    let mut sum = 0.0;
    for k in 0..directions.len() {
        let (x, y) = (project(a, directions.row(k)), project(b, directions.row(k)));
        sum += x.iter().zip(&y).map(|(x, y)| (x - y) * (x - y)).sum::<f64>() / a.len() as f64;
    }
    Ok((sum / directions.len() as f64).sqrt())
}

fn even(n: usize) -> Vec<f64> {
    vec![1.0 / n as f64; n]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moved_set_is_as_far_as_it_was_moved() {
        let a = [0.0, 0.0, 1.0, 5.0, 2.0, 2.0, -3.0, 1.0];
        let b: Vec<f64> = a.chunks(2).flat_map(|p| [p[0] + 3.0, p[1] - 4.0]).collect();
        let (a, b) = (Points::new(&a, 2).unwrap(), Points::new(&b, 2).unwrap());
        assert!((wasserstein_2(a, b).unwrap() - 5.0).abs() < 1e-12);
        // All mass moves alike, so that the plans of a set with itself and with its copy are the same.
        assert!((sinkhorn_divergence(a, b, 20.0).unwrap() - 25.0).abs() < 1e-6);
        assert_eq!(sinkhorn_divergence(a, a, 20.0).unwrap(), 0.0);
        let along = Points::new(&[0.6, -0.8, 0.8, 0.6], 2).unwrap();
        // 5 along the first direction and 0 along the second.
        assert!((sliced_wasserstein_2(a, b, along).unwrap() - 12.5_f64.sqrt()).abs() < 1e-12);
        let other = Points::new(&[1.0, 2.0, 3.0], 3).unwrap();
        assert!(matches!(wasserstein_2(a, other), Err(Error::Shape { .. })));
        assert!(matches!(sliced_wasserstein_2(a, other, along), Err(Error::Shape { .. })));
    }
}
