//! Start of a frozen state space layer: the matrix that remembers by Legendre polynomials, made diagonal.
//!
//! # Reference
//! Gu et al. 2020, "HiPPO: Recurrent memory with optimal polynomial projections" (the matrix); Gu et al.
//! 2022, "Efficiently modeling long sequences with structured state spaces", appendix B (its normal part).

use realfft::num_complex::Complex64;

use super::s4::{ComplexMatrix, nodes};
use super::weights::{Weight, Weights};
use crate::seed::Seed;

/// The scaled Legendre measure in normal plus low-rank form, one mode of each conjugate pair.
#[derive(Debug, Clone, PartialEq)]
pub struct LegS {
    /// Poles with a positive imaginary part, rising.
    pub poles: Vec<Complex64>,
    /// Low-rank vector in the basis of the modes.
    pub p: Vec<Complex64>,
    /// Input vector in the basis of the modes.
    pub b: Vec<Complex64>,
}

impl LegS {
    /// The measure for a state of even size.
    pub fn new(state: usize) -> LegS {
        // A + P P^T is -1/2 on the diagonal and antisymmetric beside it, so that times -i it is Hermitian.
        let entry = |row: usize, column: usize| {
            let size = (((2 * row + 1) * (2 * column + 1)) as f64).sqrt();
            let below = 0.5 * size * (column as f64 - row as f64).signum();
            if row == column { Complex64::ZERO } else { Complex64::new(0.0, -below) }
        };
        let matrix = (0..state * state).map(|at| entry(at / state, at % state)).collect();
        let (values, vectors) = hermitian_modes(matrix, state);
        let mut order: Vec<usize> = (0..state).filter(|&mode| values[mode] > 0.0).collect();
        order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
        let in_basis = |of: &dyn Fn(usize) -> f64| {
            let one = |&mode: &usize| (0..state).map(|row| vectors[row * state + mode].conj() * of(row)).sum();
            order.iter().map(one).collect()
        };
        LegS {
            poles: order.iter().map(|&mode| Complex64::new(-0.5, values[mode])).collect(),
            p: in_basis(&|row| (row as f64 + 0.5).sqrt()),
            b: in_basis(&|row| (2.0 * row as f64 + 1.0).sqrt()),
        }
    }
}

/// Puts the frozen arrays of a layer of `features` systems among `buffers`, below `prefix`; time steps
/// are drawn log-uniform between 0.001 and 0.1.
pub fn start_frozen(buffers: &mut Weights, prefix: &str, measure: &LegS, features: usize, length: usize, seed: Seed) {
    let modes = measure.poles.len();
    let mut put = |name: &str, shape: Vec<usize>, values: Vec<f32>| {
        buffers.entries.insert(format!("{prefix}.{name}"), Weight { shape, values });
    };
    let repeated = |values: &[Complex64]| pairs(&values.repeat(features));
    let conjugate: Vec<Complex64> = measure.p.iter().map(Complex64::conj).collect();
    put("w", vec![features, modes, 2], repeated(&measure.poles));
    for (name, values) in [("B", &measure.b), ("P", &measure.p), ("Q", &conjugate)] {
        put(name, vec![1, features, modes, 2], repeated(values));
    }
    let mut stream = seed.purpose("log_dt").stream();
    let (low, high) = (0.001f64.ln(), 0.1f64.ln());
    put("log_dt", vec![features], (0..features).map(|_| stream.uniform_in(low, high) as f32).collect());
    let omega = nodes(length);
    let z: Vec<Complex64> = omega.iter().map(|omega| 2.0 * (1.0 - omega) / (1.0 + omega)).collect();
    put("omega", vec![omega.len(), 2], pairs(&omega));
    put("z", vec![z.len(), 2], pairs(&z));
}

fn pairs(values: &[Complex64]) -> Vec<f32> {
    values.iter().flat_map(|z| [z.re as f32, z.im as f32]).collect()
}

/// Eigenvalues and, as columns, orthonormal eigenvectors of a Hermitian matrix of `n` rows, by plane rotations.
///
/// # Reference
/// Golub and Van Loan 2013, "Matrix computations", section 8.5 (Jacobi's method, cyclic by rows).
fn hermitian_modes(mut a: ComplexMatrix, n: usize) -> (Vec<f64>, ComplexMatrix) {
    let mut vectors: ComplexMatrix =
        (0..n * n).map(|at| if at % (n + 1) == 0 { Complex64::ONE } else { Complex64::ZERO }).collect();
    let size: f64 = a.iter().map(Complex64::norm_sqr).sum();
    let beside =
        |a: &[Complex64]| -> f64 { (0..n * n).filter(|at| at % (n + 1) != 0).map(|at| a[at].norm_sqr()).sum() };
    // Converges quadratically: a state of 64 takes about ten sweeps.
    for _ in 0..60 {
        if beside(&a) <= 1e-30 * size {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                let pivot = a[p * n + q];
                if pivot.norm_sqr() <= 1e-60 * size {
                    continue;
                }
                // A phase makes the pivot real; then the rotation of the real case removes it.
                let phase = pivot / pivot.norm();
                let theta = (a[q * n + q].re - a[p * n + p].re) / (2.0 * pivot.norm());
                let sign = if theta < 0.0 { -1.0 } else { 1.0 };
                let tangent = sign / (theta.abs() + (theta * theta + 1.0).sqrt());
                let cosine = 1.0 / (tangent * tangent + 1.0).sqrt();
                let sine = phase * (tangent * cosine);
                for row in 0..n {
                    let (x, y) = (a[row * n + p], a[row * n + q]);
                    a[row * n + p] = x * cosine - y * sine.conj();
                    a[row * n + q] = x * sine + y * cosine;
                    let (x, y) = (vectors[row * n + p], vectors[row * n + q]);
                    vectors[row * n + p] = x * cosine - y * sine.conj();
                    vectors[row * n + q] = x * sine + y * cosine;
                }
                for column in 0..n {
                    let (x, y) = (a[p * n + column], a[q * n + column]);
                    a[p * n + column] = x * cosine - y * sine;
                    a[q * n + column] = x * sine.conj() + y * cosine;
                }
            }
        }
    }
    ((0..n).map(|at| a[at * n + at].re).collect(), vectors)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The modes put the matrix together again: A = V diag(w) V* - P P^T, here by its action on vectors.
    #[test]
    fn modes_rebuild_the_matrix() {
        for state in [2, 8, 64] {
            let measure = LegS::new(state);
            assert_eq!(measure.poles.len(), state / 2);
            // trace(A) = -sum(n + 1); trace(A + P P^T) = -n/2; P and B keep their length in the basis of the modes.
            let whole = |values: &[Complex64]| 2.0 * values.iter().map(Complex64::norm_sqr).sum::<f64>();
            let p: f64 = (0..state).map(|n| n as f64 + 0.5).sum();
            assert!((whole(&measure.p) / p - 1.0).abs() < 1e-12, "{state}");
            assert!((whole(&measure.b) / (2.0 * p) - 1.0).abs() < 1e-12, "{state}");
            // The sum of squared poles is the trace of the squared normal part.
            let n = state as f64;
            let beside: f64 = (0..state * state)
                .filter(|at| at % (state + 1) != 0)
                .map(|at| -0.25 * ((2 * (at / state) + 1) * (2 * (at % state) + 1)) as f64)
                .sum();
            let squares = 2.0 * measure.poles.iter().map(|w| (w * w).re).sum::<f64>();
            assert!((squares / (0.25 * n + beside) - 1.0).abs() < 1e-12, "{state}");
        }
    }
}
