//! The waves of the discrete Fourier transform as matrices, for references that transform by a product.
//!
//! A product with fixed waves takes any length and has a gradient; the framework's own transform has none.

use std::f64::consts::TAU;

use burn::tensor::{DType, Device, Int, Tensor};

/// Waves of some points in time and every frequency of a period.
pub(super) struct Waves {
    /// Cosines, `[time, bin]`.
    pub cosines: Tensor<2>,
    /// Sines, `[time, bin]`.
    pub sines: Tensor<2>,
    /// What each frequency counts in the sum back to a signal, `[1, bin]`.
    pub shares: Tensor<2>,
}

impl Waves {
    /// The first `length` points of the waves of a period.
    ///
    /// They are read from a table of one period: the angles themselves, which grow with time and frequency, would be
    /// rounded, and devices differ in their cosines.
    pub fn new(period: usize, length: usize, device: &Device, dtype: DType) -> Waves {
        let bins = period / 2 + 1;
        let count = |n: usize| Tensor::<1, Int>::arange(0..n as i64, device);
        let turns = count(length).unsqueeze_dim::<2>(1) * count(bins).unsqueeze_dim::<2>(0);
        let turns = turns.remainder_scalar(period as i64).reshape([length * bins]);
        let values = |values: Vec<f64>| Tensor::<1>::from_data(values.as_slice(), (device, dtype));
        let waves = |wave: fn(f64) -> f64| {
            let table = (0..period).map(|k| wave(TAU * k as f64 / period as f64)).collect();
            values(table).select(0, turns.clone()).reshape([length, bins])
        };
        // Frequencies between the ends stand for their mirror image too.
        let share = |bin: usize| if bin == 0 || 2 * bin == period { 1.0 } else { 2.0 } / period as f64;
        let shares = values((0..bins).map(share).collect()).unsqueeze_dim(0);
        Waves { cosines: waves(libm::cos), sines: waves(libm::sin), shares }
    }
}
