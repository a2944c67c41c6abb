//! Distribution functions that the tests and intervals need: normal, Student t and beta.
//!
//! They are written here because three short functions replace a dependency. The normal integral
//! comes from `libm`; the rest is checked against published table values below.

use std::f64::consts::SQRT_2;

/// Probability that a standard normal is at most `z`.
///
/// # Reference
/// Abramowitz and Stegun 1964, 26.2.29, through the complementary error function.
pub fn normal_cdf(z: f64) -> f64 {
    0.5 * libm::erfc(-z / SQRT_2)
}

/// The `z` at which the standard normal integral is `p`; infinite at 0 and 1, NaN outside.
///
/// # Reference
/// Acklam 2003 (rational start value), refined by two steps of Halley's method on [`normal_cdf`].
pub fn normal_quantile(p: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    if p == 0.0 {
        return f64::NEG_INFINITY;
    }
    if p == 1.0 {
        return f64::INFINITY;
    }
    // The upper half is the mirror of the lower one, where the integral keeps its relative accuracy.
    if p > 0.5 {
        return -normal_quantile(1.0 - p);
    }
    let mut z = quantile_start(p);
    for _ in 0..2 {
        let error = normal_cdf(z) - p;
        let density = libm::exp(-0.5 * z * z) / std::f64::consts::TAU.sqrt();
        if density == 0.0 {
            break;
        }
        let newton = error / density;
        z -= newton / (1.0 + 0.5 * z * newton);
    }
    z
}

/// Acklam's rational approximation for `0 < p <= 0.5`, relative error below 1.2e-9.
fn quantile_start(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.38357751867269e2,
        -3.066479806614716e1,
        2.506628277459239,
    ];
    const B: [f64; 6] = [
        -5.447609879822406e1,
        1.615858368580409e2,
        -1.556989798598866e2,
        6.680131188771972e1,
        -1.328068155288572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-3,
        -3.223964580411365e-1,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    ];
    const D: [f64; 5] = [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1.0];
    let horner = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    if p < 0.02425 {
        let q = libm::sqrt(-2.0 * libm::log(p));
        horner(&C, q) / horner(&D, q)
    } else {
        let q = p - 0.5;
        let r = q * q;
        horner(&A, r) * q / horner(&B, r)
    }
}

/// Regularised incomplete beta function I_x(a, b): the distribution function of Beta(a, b).
///
/// NaN unless `a` and `b` are positive.
/// # Reference
/// Abramowitz and Stegun 1964, 26.5.8 (continued fraction), evaluated as in Lentz 1976.
pub fn beta_cdf(x: f64, a: f64, b: f64) -> f64 {
    if !(a > 0.0 && b > 0.0) || x.is_nan() {
        return f64::NAN;
    }
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The fraction converges fast below the mean; above it the mirrored one is used.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_fraction(1.0 - x, b, a);
    }
    beta_fraction(x, a, b)
}

fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let log_front = libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b) + a * libm::log(x) + b * libm::log1p(-x);
    let nonzero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / nonzero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    // Some tens of terms suffice for the sizes that occur; the limit keeps absurd ones finite.
    for term in 1..100_000 {
        let m = term as f64;
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / nonzero(1.0 + even * d);
        c = nonzero(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / nonzero(1.0 + odd * d);
        c = nonzero(1.0 + odd / c);
        let change = d * c;
        fraction *= change;
        if (change - 1.0).abs() < 1e-16 {
            break;
        }
    }
    libm::exp(log_front) * fraction / a
}

/// The `x` at which the distribution function of Beta(a, b) is `p`.
pub fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    if !((0.0..=1.0).contains(&p) && a > 0.0 && b > 0.0) {
        return f64::NAN;
    }
    bisect(0.0, 1.0, |x| beta_cdf(x, a, b) < p)
}

/// Probability that Student's t with `df` degrees of freedom is at most `t`.
///
/// # Reference
/// Abramowitz and Stegun 1964, 26.7.1.
pub fn student_t_cdf(t: f64, df: f64) -> f64 {
    if t.is_nan() || !(df > 0.0) {
        return f64::NAN;
    }
    if t.is_infinite() {
        return if t > 0.0 { 1.0 } else { 0.0 };
    }
    let tail = 0.5 * beta_cdf(df / (df + t * t), 0.5 * df, 0.5);
    if t > 0.0 { 1.0 - tail } else { tail }
}

/// The `t` at which Student's distribution function with `df` degrees of freedom is `p`.
pub fn student_t_quantile(p: f64, df: f64) -> f64 {
    if !(0.0..=1.0).contains(&p) || !(df > 0.0) {
        return f64::NAN;
    }
    if p > 0.5 {
        return -student_t_quantile(1.0 - p, df);
    }
    if p == 0.5 {
        return 0.0;
    }
    if p == 0.0 {
        return f64::NEG_INFINITY;
    }
    // The tail is I_x(df/2, 1/2) / 2 with x = df / (df + t^2), so that the search has a finite range.
    let x = bisect(0.0, 1.0, |x| beta_cdf(x, 0.5 * df, 0.5) < 2.0 * p);
    -(df * (1.0 - x) / x).sqrt()
}

/// Halves an interval until neighbouring numbers are left; `is_below` tells that the root lies above.
fn bisect(mut low: f64, mut high: f64, is_below: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if is_below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(actual: f64, expected: f64, tolerance: f64) {
        assert!((actual - expected).abs() <= tolerance, "{actual} is not {expected}");
    }

    #[test]
    fn normal_agrees_with_tables() {
        close(normal_cdf(1.959963984540054), 0.975, 1e-15);
        close(normal_quantile(0.975), 1.959963984540054, 1e-13);
        close(normal_quantile(1e-10), -6.361340902404056, 1e-9);
        close(normal_quantile(0.5), 0.0, 1e-15);
        assert!(normal_quantile(1.5).is_nan());
    }

    #[test]
    fn student_t_agrees_with_closed_forms_and_tables() {
        // One degree of freedom is Cauchy, two have an algebraic distribution function.
        close(student_t_cdf(1.0, 1.0), 0.75, 1e-14);
        close(student_t_cdf(2.0, 2.0), 0.5 + 2.0 / (2.0 * 6.0f64.sqrt()), 1e-14);
        // Tables: t(0.975; 10) = 2.228139, t(0.95; 4) = 2.131847.
        close(student_t_quantile(0.975, 10.0), 2.228139, 5e-7);
        close(student_t_quantile(0.95, 4.0), 2.131847, 5e-7);
        close(student_t_quantile(0.2, 1.0), -(0.3 * std::f64::consts::PI).tan(), 1e-10);
    }

    #[test]
    fn beta_agrees_with_closed_forms() {
        for x in [0.01, 0.3, 0.5, 0.9, 0.999] {
            close(beta_cdf(x, 1.0, 7.0), 1.0 - (1.0 - x).powi(7), 1e-13);
            close(beta_cdf(x, 4.0, 1.0), x.powi(4), 1e-13);
            close(beta_cdf(x, 0.5, 0.5), x.sqrt().asin() / std::f64::consts::FRAC_PI_2, 1e-13);
        }
        close(beta_quantile(0.95, 1.0, 100.0), 1.0 - 0.05f64.powf(0.01), 1e-13);
        // Large parameters approach the normal law around the mean.
        close(beta_cdf(0.5, 1e6, 1e6), 0.5, 1e-8);
    }
}
