//! The seasonal part of a decoder block: the strongest frequencies of each channel, and nothing else.

use burn::tensor::{Device, IndexingUpdateOp, Tensor};

use super::dft::{Dft, Waves};

/// Which frequencies there are for a length, and how many are kept.
#[derive(Debug, Clone)]
pub(super) struct Season {
    dft: Dft,
    kept: usize,
    /// Of the sum of the waves: a frequency stands for itself and its conjugate.
    factor: f64,
}

impl Season {
    /// Frequencies strictly between none and half the sampling rate; the whole part of the logarithm of
    /// their number is kept, which is none for fewer than three. Sums of waves are divided by the length if `is_unit`.
    pub fn new(length: usize, is_unit: bool) -> Season {
        let dft = Dft::new(length, 1..(length - 1) / 2 + 1);
        let kept = libm::log(dft.bins() as f64) as usize;
        let factor = if is_unit { 2.0 / length as f64 } else { 2.0 };
        Season { dft, kept, factor }
    }

    /// The waves on the host, the number of frequencies, and how many are kept.
    pub fn waves(&self) -> (&[f32], usize, usize) {
        (self.dft.waves(), self.dft.bins(), self.kept)
    }

    /// Factor of the sum of the waves that are kept.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// The waves on a device, to be given to [`Season::apply`].
    pub fn on(&self, device: &Device) -> Waves {
        self.dft.on(device)
    }

    /// The strongest frequencies of each channel, as in the original not divided by the length unless asked for.
    ///
    /// Each stands for itself and its conjugate, as `2 |X| cos(2 pi f t + angle(X))`. That is linear in
    /// the spectrum X, so it is computed without magnitude and angle; which frequencies are the strongest
    /// has no gradient, in the original neither.
    ///
    /// # Shape
    /// `x` and the result are `[batch, time, channel]`.
    /// # Reference
    /// Yuan and Qiao 2024, "Diffusion-TS"; `FourierLayer` of Y-debug-sys/Diffusion-TS.
    pub fn apply(&self, waves: &Waves, x: Tensor<3>) -> Tensor<3> {
        if self.kept == 0 {
            return x.zeros_like();
        }
        let [batch, _, channels] = x.dims();
        let bins = self.dft.bins();
        let spectrum = waves.analyze(x);
        let squares = spectrum.clone().detach().square();
        let power = squares.clone().narrow(1, 0, bins) + squares.narrow(1, bins, bins);
        let device = power.device();
        let strongest = power.argtopk(self.kept, 1);
        let ones = Tensor::<3>::ones([batch, self.kept, channels], &device);
        let nothing = Tensor::<3>::zeros([batch, bins, channels], &device);
        let mask = nothing.scatter(1, strongest, ones, IndexingUpdateOp::Add);
        waves.synthesize(spectrum * Tensor::cat(vec![mask.clone(), mask], 1)) * self.factor
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use burn::tensor::TensorData;

    use super::*;
    use crate::nn::weights::host;

    /// Of the 11 frequencies of 24 points the two strongest are kept, of the 10 of 21 points as well.
    #[test]
    fn two_pure_tones_are_kept_and_a_weaker_third_and_the_mean_are_not() {
        let device = Device::flex();
        for length in [24usize, 21] {
            let tone = |periods: usize, t: usize| libm::cos(TAU * (periods * t) as f64 / length as f64 + 0.4);
            let kept = |t: usize| 1.5 * tone(3, t) - 0.8 * tone(7, t);
            let values: Vec<f32> = (0..length).map(|t| (kept(t) + 0.5 * tone(5, t) + 2.0) as f32).collect();
            let x = Tensor::<3>::from_data(TensorData::new(values, [1, length, 1]), &device);
            let season = Season::new(length, false);
            let found = host(season.apply(&season.on(&device), x));
            for (t, found) in found.iter().enumerate() {
                let expected = length as f64 * kept(t);
                assert!((f64::from(*found) - expected).abs() < 1e-3, "{found} at {t} of {length}, expected {expected}");
            }
        }
    }

    #[test]
    fn the_shortest_signals_have_no_season() {
        let device = Device::flex();
        let x = Tensor::<3>::ones([1, 6, 2], &device);
        let season = Season::new(6, false);
        assert!(host(season.apply(&season.on(&device), x)).iter().all(|value| *value == 0.0));
    }
}
