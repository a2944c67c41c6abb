//! Signals longer than a network: overlapping windows, joined in every call.
//!
//! The windows of a signal are denoised side by side and their estimates cross-faded, so that they agree wherever two
//! meet, at every level. A sampler sees one long signal without seams.

use burn::tensor::Tensor;

use super::denoiser::{Condition, Denoiser, Prediction};
use super::level::NoiseLevel;
use crate::error::{Error, Result};

/// Windows that are denoised at once.
const AT_ONCE: usize = 8;

/// A denoiser of signals of at least `length` points, from one of signals of just that length.
///
/// # Reference
/// Bar-Tal, Yariv, Lipman, Dekel 2023, "MultiDiffusion: fusing diffusion paths for controlled image generation", eq. 5:
/// the fused estimate is the weighted mean of those of the windows.
#[derive(Debug, Clone)]
pub struct Windowed<D> {
    denoiser: D,
    length: usize,
}

impl<D: Denoiser> Windowed<D> {
    /// Windows of `length` points for `denoiser`.
    ///
    /// # Errors
    /// [`Error::Config`] for windows of no points.
    pub fn new(denoiser: D, length: usize) -> Result<Windowed<D>> {
        match length {
            0 => Err(Error::config("window", "found 0 points, expected at least 1")),
            _ => Ok(Windowed { denoiser, length }),
        }
    }
}

/// Where windows begin: a quarter overlaps, and the last one, which ends with the signal, overlaps more.
fn starts(n: usize, length: usize) -> Vec<usize> {
    let hop = (length - length / 4).max(1);
    let last = n - length;
    (0..last).step_by(hop).chain([last]).collect()
}

/// Weight of each point of a window: rising over a quarter from its ends, never zero.
fn weights(length: usize) -> Vec<f32> {
    let ramp = (length / 4).max(1);
    (0..length).map(|t| (t + 1).min(length - t).min(ramp) as f32 / ramp as f32).collect()
}

/// The condition of some items for windows of them that begin at these points.
fn of_windows(condition: &Condition, starts: &[usize]) -> Condition {
    let times = starts.len();
    fn rows<T: Clone>(rows: &Option<Vec<T>>, times: usize) -> Option<Vec<T>> {
        rows.as_ref().map(|rows| std::iter::repeat_n(rows, times).flatten().cloned().collect())
    }
    Condition {
        classes: rows(&condition.classes, times),
        labels: rows(&condition.labels, times),
        facts: rows(&condition.facts, times),
        beats: condition.beats.as_ref().map(|items| {
            let shifted = |start: usize| {
                items.iter().map(move |beats| beats.iter().map(|beat| beat.after(start as f32)).collect())
            };
            starts.iter().flat_map(|&start| shifted(start)).collect()
        }),
    }
}

impl<D: Denoiser> Denoiser for Windowed<D> {
    fn denoise_each(&self, x: Tensor<3>, levels: &[NoiseLevel], condition: &Condition) -> Result<Prediction> {
        let ([n_items, n_leads, n], length) = (x.dims(), self.length);
        if n < length {
            let (expected, actual) = (vec![n_items, n_leads, length], vec![n_items, n_leads, n]);
            return Err(Error::Shape { what: "signal to denoise in windows".into(), expected, actual });
        }
        if n == length {
            return self.denoiser.denoise_each(x, levels, condition);
        }
        let (starts, weights) = (starts(n, length), weights(length));
        let mut weight_sums = vec![0.0f32; n];
        for start in &starts {
            weight_sums[*start..start + length].iter_mut().zip(&weights).for_each(|(sum, weight)| *sum += weight);
        }
        let row = |values: Vec<f32>| Tensor::<1>::from_floats(values.as_slice(), &x.device()).reshape([1, 1, -1]);
        let weights: Tensor<3> = row(weights);
        let mut sum = Tensor::<3>::zeros([n_items, n_leads, n], &x.device());
        for starts in starts.chunks(AT_ONCE) {
            let windows = starts.iter().map(|&start| x.clone().narrow(2, start, length)).collect();
            let condition = of_windows(condition, starts);
            let found =
                self.denoiser.denoise_each(Tensor::cat(windows, 0), &levels.repeat(starts.len()), &condition)?.x0;
            for (k, &start) in starts.iter().enumerate() {
                let place = [0..n_items, 0..n_leads, start..start + length];
                let own = found.clone().narrow(0, k * n_items, n_items) * weights.clone();
                let joined = sum.clone().slice(place.clone()) + own;
                sum = sum.slice_assign(place, joined);
            }
        }
        Prediction::from_x0(sum / row(weight_sums), x, levels)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::nn::weights::host;

    /// Knows the clean signal up to the place of a window: the mean of the window.
    struct Mean;

    impl Denoiser for Mean {
        fn denoise_each(&self, x: Tensor<3>, levels: &[NoiseLevel], condition: &Condition) -> Result<Prediction> {
            assert_eq!((x.dims()[0], levels.len()), (condition.labels.as_ref().unwrap().len(), levels.len()));
            let mean = x.clone().mean_dim(2).expand(x.dims());
            Prediction::from_x0(mean, x, levels)
        }
    }

    #[test]
    fn windows_cover_every_point_and_end_with_the_signal() {
        for (n, length) in [(8, 8), (9, 8), (14, 8), (15, 8), (100, 8), (7, 3), (5, 1)] {
            let starts = starts(n, length);
            let covered = |t: usize| starts.iter().any(|&start| (start..start + length).contains(&t));
            assert!((0..n).all(covered) && starts.last() == Some(&(n - length)), "{n} {length} {starts:?}");
            assert!(starts.windows(2).all(|pair| pair[0] < pair[1]), "{starts:?}");
        }
    }

    #[test]
    fn estimates_are_cross_faded_and_each_item_is_its_own() {
        let device = Device::flex();
        let (n, length) = (20, 8);
        let values: Vec<f32> = (0..2 * 20).map(|k| k as f32).collect();
        let x = Tensor::<3>::from_data(TensorData::new(values, [2, 1, n]), &device);
        let level = NoiseLevel::new(0.5).unwrap();
        let condition = Condition::of_labels(vec![vec![1.0], vec![0.0]]);
        let windowed = Windowed::new(Mean, length).unwrap();
        let found = windowed.denoise(x.clone(), level, &condition).unwrap();
        let x0 = host(found.x0.clone());
        for item in 0..2 {
            let first = (item * n) as f32;
            // Windows begin at 0, 6 and 12; their means are 3.5 points after that.
            assert!((x0[item * n] - first - 3.5).abs() < 1e-5 && (x0[item * n + 19] - first - 15.5).abs() < 1e-5);
            // Weights at points 6 and 7: 1 and 0.5 falling, 0.5 and 1 rising.
            assert!((x0[item * n + 6] - first - (3.5 + 0.5 * 9.5) / 1.5).abs() < 1e-5, "{x0:?}");
        }
        // The answer is one: noise and signal add up to what was given.
        let again = found.x0 * level.alpha() + found.noise * level.sigma();
        assert!(host(again - x).iter().all(|error| error.abs() < 1e-4));
        let short = Tensor::<3>::zeros([1, 1, 7], &device);
        let one = Condition::of_labels(vec![vec![1.0]]);
        assert!(matches!(windowed.denoise(short, level, &one), Err(Error::Shape { .. })));
    }
}
