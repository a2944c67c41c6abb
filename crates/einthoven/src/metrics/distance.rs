//! How far apart two sets of signals or feature vectors are.
//!
//! Pairs are compared in tiles by one matrix product each, which is what makes an exact search over
//! 50,000 beats a matter of seconds. Distances that are handed out are computed again from the
//! differences, because the product loses the digits of a distance near 0 - the ones that tell a copy.
//!
//! Left out: approximate neighbours. A privacy claim must not rest on a search that may miss.

use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A set of vectors of one length, `[n, dim]`, finite.
#[derive(Debug, Clone, Copy)]
pub struct Points<'a> {
    values: &'a [f64],
    dim: usize,
}

/// Nearest neighbours of each query.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbors {
    /// Number of neighbours of each query.
    pub k: usize,
    /// Place of each neighbour in the reference set, `[n_queries, k]`, nearest first.
    pub index: Vec<usize>,
    /// Euclidean distance to each neighbour, `[n_queries, k]`, rising.
    pub distance: Vec<f64>,
}

/// Whether a set is searched for the neighbours of its own members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// Queries and references are different sets.
    Distinct,
    /// They are the same set: item `i` is not its own neighbour.
    SameSet,
}

/// Squared maximum mean discrepancy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mmd {
    /// With the pairs of an item with itself; never negative.
    pub biased: f64,
    /// Without them; may be negative when the sets agree.
    pub unbiased: f64,
}

/// Precision, recall, density and coverage of a synthetic set.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Prdc {
    /// Share of synthetic items inside some real item's ball.
    pub precision: f64,
    /// Share of real items inside some synthetic item's ball.
    pub recall: f64,
    /// Mean number of real balls around a synthetic item, divided by k.
    pub density: f64,
    /// Share of real balls with a synthetic item inside.
    pub coverage: f64,
}

/// Queries and references in a tile: large enough to pay for packing, small enough for the cache.
const QUERY_TILE: usize = 128;
const REFERENCE_TILE: usize = 512;

impl<'a> Points<'a> {
    /// A view of `[n, dim]` values.
    ///
    /// # Errors
    /// [`Error::Shape`] when `dim` does not divide the length; [`Error::Data`] for values that are not finite.
    pub fn new(values: &'a [f64], dim: usize) -> Result<Points<'a>> {
        if dim == 0 || !values.len().is_multiple_of(dim) {
            let expected = vec![values.len().checked_div(dim).unwrap_or(0), dim];
            return Err(Error::Shape { what: "points".into(), expected, actual: vec![values.len()] });
        }
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(Error::data("points", format!("item {} has {}, expected finite", at / dim, values[at])));
        }
        Ok(Points { values, dim })
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Whether there are no vectors.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Length of each vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Vector `i`.
    pub fn row(&self, i: usize) -> &'a [f64] {
        &self.values[i * self.dim..(i + 1) * self.dim]
    }

    /// Mean vector.
    fn mean(&self) -> Vec<f64> {
        let mut mean = vec![0.0; self.dim];
        for row in self.values.chunks_exact(self.dim) {
            mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        mean.iter_mut().for_each(|sum| *sum /= self.len().max(1) as f64);
        mean
    }

    fn minus(&self, offset: &[f64]) -> Vec<f64> {
        self.values.chunks_exact(self.dim).flat_map(|row| row.iter().zip(offset).map(|(v, o)| v - o)).collect()
    }
}

/// Euclidean distance.
pub fn euclidean(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}

/// Root mean squared difference, in the unit of the values.
///
/// # Errors
/// [`Error::Shape`] when the lengths differ; [`Error::Data`] without values.
pub fn rmse(a: &[f64], b: &[f64]) -> Result<f64> {
    let squares = squared_difference(a, b)?;
    Ok((squares / a.len() as f64).sqrt())
}

/// Percentage root-mean-square difference of a reconstruction, of the original's energy around its mean.
///
/// # Units
/// Percent by the definition in use since 1983; NaN for a constant original.
/// # Errors
/// [`Error::Shape`] when the lengths differ; [`Error::Data`] without values.
/// # Reference
/// Blanco-Velasco et al. 2005 (the form with the mean removed, so that an offset does not flatter it).
pub fn prd_percent(original: &[f64], reconstructed: &[f64]) -> Result<f64> {
    let squares = squared_difference(original, reconstructed)?;
    let mean = original.iter().sum::<f64>() / original.len() as f64;
    let energy: f64 = original.iter().map(|x| (x - mean) * (x - mean)).sum();
    Ok(if energy > 0.0 { 100.0 * (squares / energy).sqrt() } else { f64::NAN })
}

fn squared_difference(a: &[f64], b: &[f64]) -> Result<f64> {
    if a.len() != b.len() {
        return Err(Error::Shape { what: "second signal".into(), expected: vec![a.len()], actual: vec![b.len()] });
    }
    if a.is_empty() {
        return Err(Error::data("signal", "0 values, expected at least 1"));
    }
    Ok(a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum())
}

/// The `k` nearest references of each query, exactly.
///
/// # Errors
/// [`Error::Shape`] when the vectors differ in length, or the two sets of [`Pairing::SameSet`] in
/// number; [`Error::Data`] when there are fewer than `k` candidates or `k` is 0.
pub fn nearest_neighbors(queries: Points, references: Points, k: usize, pairing: Pairing) -> Result<Neighbors> {
    same_dim(queries, references)?;
    if pairing == Pairing::SameSet && queries.len() != references.len() {
        let (expected, actual) = (vec![references.len(), references.dim], vec![queries.len(), queries.dim]);
        return Err(Error::Shape { what: "queries".into(), expected, actual });
    }
    let candidates = references.len() - usize::from(pairing == Pairing::SameSet && !references.is_empty());
    if k == 0 || k > candidates {
        return Err(Error::data("references", format!("{candidates} candidates for {k} neighbours")));
    }
    // A few spare candidates make sure that rounding in the product drops none of the nearest.
    let kept = (k + 8).min(candidates);
    let found = fold_tiles(
        queries,
        references,
        |_| Vec::<(f64, usize)>::with_capacity(kept + 1),
        |best, query, start, squared| {
            let mut limit = if best.len() < kept { f64::INFINITY } else { best[kept - 1].0 };
            for (offset, &d) in squared.iter().enumerate() {
                let reference = start + offset;
                if d >= limit || (pairing == Pairing::SameSet && reference == query) {
                    continue;
                }
                let at = best.partition_point(|(other, _)| *other <= d);
                best.insert(at, (d, reference));
                best.truncate(kept);
                if best.len() == kept {
                    limit = best[kept - 1].0;
                }
            }
        },
        |best, query| {
            let mut exact: Vec<(f64, usize)> =
                best.iter().map(|&(_, i)| (euclidean(queries.row(query), references.row(i)), i)).collect();
            exact.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            exact.truncate(k);
            exact
        },
    );
    Ok(Neighbors {
        k,
        index: found.iter().flatten().map(|(_, index)| *index).collect(),
        distance: found.iter().flatten().map(|(distance, _)| *distance).collect(),
    })
}

impl Neighbors {
    /// Distance of each query to its nearest neighbour.
    pub fn nearest(&self) -> Vec<f64> {
        self.distance.iter().step_by(self.k).copied().collect()
    }
}

/// Squared MMD with the Gaussian kernel `exp(-gamma |x - y|^2)`.
///
/// # Errors
/// [`Error::Shape`] when the vectors differ in length; [`Error::Data`] with fewer than two in a set.
/// # Reference
/// Gretton et al. 2012, eqs. 3 and 5.
pub fn mmd_rbf(x: Points, y: Points, gamma: f64) -> Result<Mmd> {
    same_dim(x, y)?;
    for (name, set) in [("first set", x), ("second set", y)] {
        at_least(name, set, 2)?;
    }
    // Sums in the order of the queries, so that the number of threads does not change the rounding.
    let kernel_sum = |a: Points, b: Points| -> f64 {
        let visit = |sum: &mut f64, _: usize, _: usize, squared: &[f64]| {
            *sum += squared.iter().map(|d| libm::exp(-gamma * d)).sum::<f64>();
        };
        fold_tiles(a, b, |_| 0.0, visit, |sum, _| sum).iter().sum()
    };
    let (n, m) = (x.len() as f64, y.len() as f64);
    let (xx, yy, xy) = (kernel_sum(x, x), kernel_sum(y, y), kernel_sum(x, y));
    let across = 2.0 * xy / (n * m);
    Ok(Mmd {
        biased: xx / (n * n) + yy / (m * m) - across,
        // The kernel of an item with itself is 1.
        unbiased: (xx - n) / (n * (n - 1.0)) + (yy - m) / (m * (m - 1.0)) - across,
    })
}

/// Median Euclidean distance of all pairs of the pooled sets: the usual width of the Gaussian kernel.
///
/// Needs memory for all pairs; use a few thousand items.
/// # Errors
/// [`Error::Shape`] when the vectors differ in length; [`Error::Data`] with fewer than two items.
/// # Reference
/// Gretton et al. 2012, section 8.
pub fn median_distance(x: Points, y: Points) -> Result<f64> {
    same_dim(x, y)?;
    let pooled: Vec<f64> = x.values.iter().chain(y.values).copied().collect();
    let pooled = Points { values: &pooled, dim: x.dim };
    at_least("pooled sets", pooled, 2)?;
    let rows: Vec<Vec<f64>> = (0..pooled.len())
        .into_par_iter()
        .map(|i| (0..i).map(|j| euclidean(pooled.row(i), pooled.row(j))).collect())
        .collect();
    let mut all: Vec<f64> = rows.into_iter().flatten().collect();
    all.sort_unstable_by(f64::total_cmp);
    Ok(super::bootstrap::quantile(&all, 0.5))
}

/// Squared Fréchet distance of the normal laws fitted to two sets, with unbiased covariances.
///
/// # Errors
/// [`Error::Shape`] when the vectors differ in length; [`Error::Data`] with fewer than two in a set.
/// # Reference
/// Dowson and Landau 1982; Heusel et al. 2017 (its use as a score of generators).
pub fn frechet_distance(x: Points, y: Points) -> Result<f64> {
    same_dim(x, y)?;
    for (name, set) in [("first set", x), ("second set", y)] {
        at_least(name, set, 2)?;
    }
    let dim = x.dim;
    let (mean_x, mean_y) = (x.mean(), y.mean());
    let (cov_x, cov_y) = (covariance(x, &mean_x), covariance(y, &mean_y));
    let trace = |matrix: &[f64]| (0..dim).map(|i| matrix[i * dim + i]).sum::<f64>();
    // tr (A B)^(1/2) is the sum of the roots of the eigenvalues of A^(1/2) B A^(1/2), which is symmetric.
    let root = symmetric_root(&cov_x, dim);
    let inner = product(&product(&root, &cov_y, dim), &root, dim);
    let (eigenvalues, _) = symmetric_eigen(&inner, dim);
    let cross: f64 = eigenvalues.iter().map(|value| value.max(0.0).sqrt()).sum();
    let shift: f64 = mean_x.iter().zip(&mean_y).map(|(a, b)| (a - b) * (a - b)).sum();
    Ok((shift + trace(&cov_x) + trace(&cov_y) - 2.0 * cross).max(0.0))
}

/// Precision, recall, density and coverage with balls that reach to the `k`-th neighbour of an item's own set.
///
/// # Errors
/// [`Error::Shape`] when the vectors differ in length; [`Error::Data`] when a set has not more than `k` items.
/// # Reference
/// Kynkäänniemi et al. 2019 (precision, recall); Naeem et al. 2020 (density, coverage).
pub fn prdc(real: Points, synthetic: Points, k: usize) -> Result<Prdc> {
    same_dim(real, synthetic)?;
    let radii = |set: Points| -> Result<Vec<f64>> {
        let neighbors = nearest_neighbors(set, set, k, Pairing::SameSet)?;
        Ok(neighbors.distance.iter().skip(k - 1).step_by(k).map(|radius| radius * radius).collect())
    };
    let (real_radii, synthetic_radii) = (radii(real)?, radii(synthetic)?);
    // For each query: the number of reference balls around it, and its own nearest reference.
    let count = |queries: Points, references: Points, radii: &[f64]| {
        fold_tiles(
            queries,
            references,
            |_| (0usize, f64::INFINITY),
            |(inside, nearest), _, start, squared| {
                *inside += squared.iter().zip(&radii[start..]).filter(|(d, radius)| d < radius).count();
                *nearest = squared.iter().fold(*nearest, |least, d| least.min(*d));
            },
            |state, _| state,
        )
    };
    let around_synthetic = count(synthetic, real, &real_radii);
    let around_real = count(real, synthetic, &synthetic_radii);
    let share = |count: usize, of: usize| count as f64 / of as f64;
    let covered = around_real.iter().zip(&real_radii).filter(|((_, nearest), radius)| nearest < radius).count();
    Ok(Prdc {
        precision: share(around_synthetic.iter().filter(|(inside, _)| *inside > 0).count(), synthetic.len()),
        recall: share(around_real.iter().filter(|(inside, _)| *inside > 0).count(), real.len()),
        density: share(around_synthetic.iter().map(|(inside, _)| inside).sum(), k * synthetic.len()),
        coverage: share(covered, real.len()),
    })
}

/// Visits the squared distances of each query to all references, tile by tile in a fixed order.
///
/// `init` makes the state of a query, `visit` gets it with the query, the first reference of the
/// tile and the squared distances to the references from there on, and `finish` ends it.
pub(super) fn fold_tiles<S, R: Send>(
    queries: Points,
    references: Points,
    init: impl Fn(usize) -> S + Sync,
    visit: impl Fn(&mut S, usize, usize, &[f64]) + Sync,
    finish: impl Fn(S, usize) -> R + Sync,
) -> Vec<R> {
    let dim = queries.dim;
    // Distances do not change when both sets move; around the origin the product loses fewest digits.
    let center = references.mean();
    let (q, r) = (queries.minus(&center), references.minus(&center));
    let squares =
        |values: &[f64]| -> Vec<f64> { values.chunks_exact(dim).map(|row| row.iter().map(|v| v * v).sum()).collect() };
    let (q_squares, r_squares) = (squares(&q), squares(&r));
    let blocks: Vec<Vec<R>> = q
        .par_chunks(QUERY_TILE * dim)
        .enumerate()
        .map(|(block, q_tile)| {
            let first = block * QUERY_TILE;
            let n_q = q_tile.len() / dim;
            let mut states: Vec<S> = (0..n_q).map(|i| init(first + i)).collect();
            let mut buffer = vec![0.0; n_q * REFERENCE_TILE];
            for (tile, r_tile) in r.chunks(REFERENCE_TILE * dim).enumerate() {
                let start = tile * REFERENCE_TILE;
                let n_r = r_tile.len() / dim;
                let distances = &mut buffer[..n_q * n_r];
                minus_twice_product(q_tile, r_tile, dim, distances);
                for (i, row) in distances.chunks_exact_mut(n_r).enumerate() {
                    let own = q_squares[first + i];
                    let others = &r_squares[start..start + n_r];
                    row.iter_mut().zip(others).for_each(|(d, other)| *d = (*d + own + other).max(0.0));
                    visit(&mut states[i], first + i, start, row);
                }
            }
            states.into_iter().enumerate().map(|(i, state)| finish(state, first + i)).collect()
        })
        .collect();
    blocks.into_iter().flatten().collect()
}

/// `out = -2 q r^T` for rows of length `dim`.
fn minus_twice_product(q: &[f64], r: &[f64], dim: usize, out: &mut [f64]) {
    let (n_q, n_r) = (q.len() / dim, r.len() / dim);
    let views = (
        ArrayView2::from_shape((n_q, dim), q),
        ArrayView2::from_shape((n_r, dim), r),
        ArrayViewMut2::from_shape((n_q, n_r), out),
    );
    // The shapes hold by construction: both slices are whole rows and `out` is n_q * n_r long.
    if let (Ok(q), Ok(r), Ok(mut out)) = views {
        general_mat_mul(-2.0, &q, &r.reversed_axes(), 0.0, &mut out);
    } else {
        unreachable!("tiles are whole rows");
    }
}

fn covariance(points: Points, mean: &[f64]) -> Vec<f64> {
    let dim = points.dim;
    let centered = points.minus(mean);
    let mut out = vec![0.0; dim * dim];
    for row in centered.chunks_exact(dim) {
        for i in 0..dim {
            let scaled = row[i] / (points.len() as f64 - 1.0);
            out[i * dim..(i + 1) * dim].iter_mut().zip(row).for_each(|(sum, value)| *sum += scaled * value);
        }
    }
    out
}

fn product(a: &[f64], b: &[f64], dim: usize) -> Vec<f64> {
    let mut out = vec![0.0; dim * dim];
    for i in 0..dim {
        for k in 0..dim {
            let factor = a[i * dim + k];
            let (row, other) = (&mut out[i * dim..(i + 1) * dim], &b[k * dim..(k + 1) * dim]);
            row.iter_mut().zip(other).for_each(|(sum, value)| *sum += factor * value);
        }
    }
    out
}

/// Symmetric square root of a positive semi-definite matrix; eigenvalues below 0 are rounding and count as 0.
fn symmetric_root(matrix: &[f64], dim: usize) -> Vec<f64> {
    let (values, vectors) = symmetric_eigen(matrix, dim);
    let mut out = vec![0.0; dim * dim];
    for (k, value) in values.iter().enumerate() {
        let root = value.max(0.0).sqrt();
        for i in 0..dim {
            let scaled = root * vectors[i * dim + k];
            (0..dim).for_each(|j| out[i * dim + j] += scaled * vectors[j * dim + k]);
        }
    }
    out
}

/// Eigenvalues and eigenvectors (columns) of a symmetric matrix by cyclic rotations (Jacobi 1846).
fn symmetric_eigen(matrix: &[f64], dim: usize) -> (Vec<f64>, Vec<f64>) {
    let mut a = matrix.to_vec();
    let mut v = vec![0.0; dim * dim];
    (0..dim).for_each(|i| v[i * dim + i] = 1.0);
    let scale: f64 = a.iter().map(|x| x * x).sum::<f64>();
    // Convergence is quadratic; ten sweeps are plenty for any size that fits into memory.
    for _ in 0..60 {
        let off: f64 = (0..dim).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[i * dim + j].powi(2)).sum();
        if off <= 1e-32 * scale {
            break;
        }
        for p in 0..dim {
            for q in p + 1..dim {
                let apq = a[p * dim + q];
                if apq == 0.0 {
                    continue;
                }
                let theta = (a[q * dim + q] - a[p * dim + p]) / (2.0 * apq);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let cosine = 1.0 / (t * t + 1.0).sqrt();
                let sine = t * cosine;
                for k in 0..dim {
                    let (x, y) = (a[k * dim + p], a[k * dim + q]);
                    a[k * dim + p] = cosine * x - sine * y;
                    a[k * dim + q] = sine * x + cosine * y;
                }
                for k in 0..dim {
                    let (x, y) = (a[p * dim + k], a[q * dim + k]);
                    a[p * dim + k] = cosine * x - sine * y;
                    a[q * dim + k] = sine * x + cosine * y;
                }
                for k in 0..dim {
                    let (x, y) = (v[k * dim + p], v[k * dim + q]);
                    v[k * dim + p] = cosine * x - sine * y;
                    v[k * dim + q] = sine * x + cosine * y;
                }
            }
        }
    }
    ((0..dim).map(|i| a[i * dim + i]).collect(), v)
}

pub(super) fn same_dim(a: Points, b: Points) -> Result<()> {
    if a.dim == b.dim {
        return Ok(());
    }
    Err(Error::Shape { what: "second set".into(), expected: vec![b.len(), a.dim], actual: vec![b.len(), b.dim] })
}

pub(super) fn at_least(name: &str, points: Points, n: usize) -> Result<()> {
    if points.len() >= n {
        return Ok(());
    }
    Err(Error::data(name, format!("{} items, expected at least {n}", points.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn normal(n: usize, dim: usize, seed: u64) -> Vec<f64> {
        let mut stream = Seed::new(seed).stream();
        (0..n * dim).map(|_| stream.normal()).collect()
    }

    #[test]
    fn neighbours_agree_with_sorting_all_pairs() {
        // Far from the origin, and more than one tile on both sides.
        let (dim, k) = (7, 5);
        let references: Vec<f64> = normal(1100, dim, 1).iter().map(|v| v + 100.0).collect();
        let mut queries: Vec<f64> = normal(150, dim, 2).iter().map(|v| v + 100.0).collect();
        queries[..dim].copy_from_slice(&references[1000 * dim..1001 * dim]);
        let (q, r) = (Points::new(&queries, dim).unwrap(), Points::new(&references, dim).unwrap());
        let found = nearest_neighbors(q, r, k, Pairing::Distinct).unwrap();
        assert_eq!((found.distance[0], found.index[0]), (0.0, 1000), "a copy has distance 0, exactly");
        for i in 0..q.len() {
            let mut all: Vec<(f64, usize)> = (0..r.len()).map(|j| (euclidean(q.row(i), r.row(j)), j)).collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            for rank in 0..k {
                assert_eq!((found.distance[i * k + rank], found.index[i * k + rank]), all[rank]);
            }
        }
        let own = nearest_neighbors(r, r, 1, Pairing::SameSet).unwrap();
        assert!(own.index.iter().enumerate().all(|(i, neighbor)| i != *neighbor));
        assert!(nearest_neighbors(q, r, 1101, Pairing::Distinct).is_err());
    }

    #[test]
    fn frechet_distance_of_scaled_and_moved_sets_is_known() {
        // For y = 2 x + m: |shift|^2 + tr(S + 4 S - 2 * 2 S) = |shift|^2 + tr S.
        let dim = 6;
        let x = normal(200, dim, 3);
        let y: Vec<f64> = x.iter().map(|v| 2.0 * v + 1.0).collect();
        let (px, py) = (Points::new(&x, dim).unwrap(), Points::new(&y, dim).unwrap());
        let mean = px.mean();
        let cov = covariance(px, &mean);
        let expected = mean.iter().map(|m| (m + 1.0).powi(2)).sum::<f64>() + (0..dim).map(|i| cov[i * 7]).sum::<f64>();
        assert!((frechet_distance(px, py).unwrap() - expected).abs() < 1e-10);
        assert!(frechet_distance(px, px).unwrap() < 1e-10);
    }

    #[test]
    fn differences_of_signals_have_their_units() {
        assert_eq!(rmse(&[0.0, 0.0], &[3.0, 4.0]).unwrap(), 12.5f64.sqrt());
        assert!((prd_percent(&[1.0, -1.0], &[1.1, -1.0]).unwrap() - 100.0 * (0.01f64 / 2.0).sqrt()).abs() < 1e-9);
        assert!(rmse(&[1.0], &[]).is_err() && rmse(&[], &[]).is_err());
        assert!(prd_percent(&[1.0, 1.0], &[1.0, 2.0]).unwrap().is_nan());
    }

    #[test]
    fn points_reject_bad_values_and_shapes() {
        assert!(Points::new(&[1.0, f64::NAN], 2).is_err());
        assert!(Points::new(&[1.0, 2.0, 3.0], 2).is_err());
        assert!(Points::new(&[], 0).is_err());
    }
}
