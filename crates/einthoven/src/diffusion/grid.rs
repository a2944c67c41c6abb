//! Grids: the noise levels that a sampler visits, from the noisiest down to clean.

use super::level::NoiseLevel;
use crate::error::{Error, Result};

/// How the levels of a grid are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    /// In equal steps of the network's own time.
    Network,
    /// In equal steps along the rectified path, as [`rectified_grid`].
    Rectified,
    /// As [`karras_grid`].
    Karras,
}

/// Ratios of noise to signal, `sigma / alpha`, between which a Karras grid lies: 0.002 and 80 for data of
/// standard deviation 0.5, here for 1.
///
/// # Reference
/// Karras et al. 2022, table 1.
pub const KARRAS_RATIOS: (f64, f64) = (0.004, 160.0);

/// Exponent of a Karras grid.
const RHO: f64 = 7.0;

/// Levels for `n_steps` steps, equally spaced in angle from `first` down to clean.
///
/// The result has `n_steps + 1` levels. From [`NoiseLevel::PURE_NOISE`] this is the
/// continuous cosine schedule; it halves exactly, as step distillation needs.
///
/// # Errors
/// [`Error::Config`] if `n_steps` is 0 or `first` is clean.
pub fn angle_grid(n_steps: usize, first: NoiseLevel) -> Result<Vec<NoiseLevel>> {
    check_steps(n_steps, 1, first)?;
    let n = n_steps as f64;
    (0..=n_steps).map(|k| NoiseLevel::new(first.angle() * ((n_steps - k) as f64 / n))).collect()
}

/// Levels for `n_steps` steps, equally spaced in the time of the rectified path from `first` to clean.
///
/// # Errors
/// As [`angle_grid`].
/// # Reference
/// Lipman et al. 2023, "Flow matching for generative modeling"; Liu et al. 2023, "Flow straight and fast".
pub fn rectified_grid(n_steps: usize, first: NoiseLevel) -> Result<Vec<NoiseLevel>> {
    check_steps(n_steps, 1, first)?;
    let (start, n) = (first.flow_time(), n_steps as f64);
    let mut grid = vec![first];
    for k in 1..n_steps {
        grid.push(NoiseLevel::from_flow_time(start + (1.0 - start) * (k as f64 / n))?);
    }
    grid.push(NoiseLevel::CLEAN);
    Ok(grid)
}

/// Levels for `n_steps` steps, equally spaced in log-SNR from `first` to `last`, then clean.
///
/// The natural grid of solvers that step in log-SNR. Its ends are finite, so `first` must hold some
/// signal and `last` some noise.
///
/// # Errors
/// [`Error::Config`] unless there are at least 2 steps and `first > last` have finite log-SNR.
pub fn log_snr_grid(n_steps: usize, first: NoiseLevel, last: NoiseLevel) -> Result<Vec<NoiseLevel>> {
    let (low, high) = (first.log_snr(), last.log_snr());
    if !(low.is_finite() && high.is_finite() && low < high) {
        return Err(Error::config("steps", "a log-SNR grid needs two levels of finite SNR"));
    }
    check_steps(n_steps, 2, first)?;
    let gap = (high - low) / (n_steps - 1) as f64;
    let mut grid = vec![first];
    for k in 1..n_steps {
        grid.push(NoiseLevel::from_log_snr(low + gap * k as f64)?);
    }
    grid.push(NoiseLevel::CLEAN);
    Ok(grid)
}

/// Levels for `n_steps` steps from `first` to `last`, then clean: the ratio of noise to signal falls as a seventh
/// power, so that most levels lie where signals take shape.
///
/// # Errors
/// [`Error::Config`] if `n_steps` is 0, or unless `first > last` have finite log-SNR.
/// # Reference
/// Karras, Aittala, Aila, Laine 2022, "Elucidating the design space of diffusion-based generative models", eq. 5.
pub fn karras_grid(n_steps: usize, first: NoiseLevel, last: NoiseLevel) -> Result<Vec<NoiseLevel>> {
    let ratio = |level: NoiseLevel| level.sigma() / level.alpha();
    let (low, high) = (ratio(last), ratio(first));
    if !(high.is_finite() && low > 0.0 && low < high) {
        return Err(Error::config("steps", "a Karras grid needs two levels of finite SNR"));
    }
    check_steps(n_steps, 1, first)?;
    let root = |ratio: f64| libm::pow(ratio, 1.0 / RHO);
    let mut grid = vec![first];
    for k in 1..n_steps {
        let share = k as f64 / (n_steps - 1) as f64;
        let ratio = libm::pow(root(high) + share * (root(low) - root(high)), RHO);
        grid.push(NoiseLevel::new(libm::atan(ratio))?);
    }
    grid.push(NoiseLevel::CLEAN);
    Ok(grid)
}

fn check_steps(n_steps: usize, least: usize, first: NoiseLevel) -> Result<()> {
    if n_steps < least {
        return Err(Error::config("steps", format!("found {n_steps}, expected at least {least}")));
    }
    if first == NoiseLevel::CLEAN {
        return Err(Error::config("steps", "found a first level without noise, expected a noisy one"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_a_grid_keeps_every_second_level() {
        for grid in [angle_grid, rectified_grid] {
            let fine = grid(64, NoiseLevel::PURE_NOISE).unwrap();
            let coarse = grid(32, NoiseLevel::PURE_NOISE).unwrap();
            assert_eq!(coarse, fine.iter().copied().step_by(2).collect::<Vec<_>>());
            assert_eq!((fine[0], fine[64]), (NoiseLevel::PURE_NOISE, NoiseLevel::CLEAN));
            let refused = |n, first| grid(n, first).unwrap_err().to_string();
            assert_eq!(refused(0, NoiseLevel::PURE_NOISE), "steps: found 0, expected at least 1");
            assert!(refused(3, NoiseLevel::CLEAN).contains("expected a noisy one"));
        }
    }

    #[test]
    fn a_log_snr_grid_has_equal_steps() {
        let (first, last) = (NoiseLevel::from_log_snr(-8.0).unwrap(), NoiseLevel::from_log_snr(10.0).unwrap());
        let grid = log_snr_grid(7, first, last).unwrap();
        assert_eq!((grid.len(), grid[0], grid[7]), (8, first, NoiseLevel::CLEAN));
        for pair in grid[..7].windows(2) {
            assert!((pair[1].log_snr() - pair[0].log_snr() - 3.0).abs() < 1e-9);
        }
        assert!(log_snr_grid(7, NoiseLevel::PURE_NOISE, last).is_err() && log_snr_grid(7, last, first).is_err());
    }

    #[test]
    fn a_rectified_grid_has_equal_steps_of_its_time() {
        let first = NoiseLevel::new(1.4).unwrap();
        let grid = rectified_grid(5, first).unwrap();
        let gap = (1.0 - first.flow_time()) / 5.0;
        for pair in grid.windows(2) {
            assert!((pair[1].flow_time() - pair[0].flow_time() - gap).abs() < 1e-12);
        }
    }

    /// The grid of the paper: 18 steps from 80 to 0.002.
    #[test]
    fn a_karras_grid_falls_as_a_seventh_power() {
        let level = |ratio: f64| NoiseLevel::new(ratio.atan()).unwrap();
        let grid = karras_grid(18, level(80.0), level(0.002)).unwrap();
        assert_eq!(grid.len(), 19);
        let ratio = |k: usize| grid[k].angle().tan();
        let expected =
            (80f64.powf(1.0 / 7.0) + 9.0 / 17.0 * (0.002f64.powf(1.0 / 7.0) - 80f64.powf(1.0 / 7.0))).powi(7);
        assert!((ratio(9) - expected).abs() < 1e-9 * expected && (ratio(17) - 0.002).abs() < 1e-9);
        assert!(grid.windows(2).all(|pair| pair[0] > pair[1]) && grid[18] == NoiseLevel::CLEAN);
        assert_eq!(karras_grid(1, level(80.0), level(0.002)).unwrap(), [level(80.0), NoiseLevel::CLEAN]);
        assert!(karras_grid(4, NoiseLevel::PURE_NOISE, level(0.002)).is_err());
    }
}
