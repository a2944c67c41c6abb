//! Auxiliary losses: what else a network's estimate of the clean signal is held to while it learns to denoise.
//!
//! Each is a pure function of an estimate and what it should be like, one file each, and off unless a recipe gives it a
//! weight. All count in proportion to `alpha^2`, the share of signal, as an estimate from mere noise is an average that
//! owes nobody a spectrum or a beat.

pub mod beats;
pub mod correlation;
pub mod ode;
pub mod simulator;
pub mod spectral;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::level::{NoiseLevel, items_tensor};
use crate::config::check;
use crate::error::Result;
use crate::nn::weights::{ParamSpec, Params};

use beats::BeatDecoder;
use spectral::Spectra;

/// Weights of the auxiliary losses; 0 leaves one out.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuxiliaryConfig {
    /// Log spectra over several windows; 0.1 is usual.
    pub spectral: f64,
    /// Correlations between leads; 0.05 is usual.
    pub correlation: f64,
    /// Distance of each beat from one that the simulator can make; 0.1 is usual.
    pub simulator: f64,
    /// Distance of each beat's slopes from those of the simulator's equation; 0.1 is usual.
    pub ode: f64,
}

/// Weight of the wave parameters' own penalty beside that of the loss which uses them.
const DECODER_PENALTY: f64 = 0.01;

impl AuxiliaryConfig {
    /// Whether every loss is left out.
    pub fn is_off(&self) -> bool {
        *self == AuxiliaryConfig::default()
    }

    /// Whether beats have to be found in the training data.
    pub fn needs_beats(&self) -> bool {
        self.simulator > 0.0 || self.ode > 0.0
    }

    /// Checks the weights, named below `key`.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for a weight below 0 or not finite.
    pub fn validate(&self, key: &str) -> Result<()> {
        let weights = [
            ("spectral", self.spectral),
            ("correlation", self.correlation),
            ("simulator", self.simulator),
            ("ode", self.ode),
        ];
        weights.into_iter().try_for_each(|(name, weight)| {
            check(&format!("{key}.{name}"), weight.is_finite() && weight >= 0.0, weight, "a weight of at least 0")
        })
    }
}

/// The auxiliary losses of a training.
#[derive(Debug, Clone)]
pub struct Auxiliary {
    config: AuxiliaryConfig,
    spectra: Vec<Spectra>,
    decoder: Option<BeatDecoder>,
}

impl Auxiliary {
    /// The losses of a configuration, for signals of `sig_len` points; `decoder` knows the beats where they are needed.
    ///
    /// # Errors
    /// [`crate::Error::Config`] as [`AuxiliaryConfig::validate`], for signals shorter than every window of a spectrum,
    /// and where beats are needed and there is no decoder.
    pub fn new(config: AuxiliaryConfig, fs_hz: f64, sig_len: usize, decoder: Option<BeatDecoder>) -> Result<Auxiliary> {
        config.validate("auxiliary")?;
        let spectra = if config.spectral > 0.0 { Spectra::all(fs_hz, sig_len)? } else { Vec::new() };
        check("auxiliary", decoder.is_some() || !config.needs_beats(), "no beats", "beats for simulator and ode")?;
        Ok(Auxiliary { config, spectra, decoder })
    }

    /// Parameters that are trained along and belong to no model.
    pub fn params(&self) -> Vec<ParamSpec> {
        self.decoder.as_ref().map(BeatDecoder::params).unwrap_or_default()
    }

    /// Loss of each item.
    ///
    /// # Shape
    /// `estimate` and `x0` are `[batch, lead, time]`, in units of the data's standard deviation; `items` are their
    /// places in the training data. The result is `[batch]`.
    /// # Errors
    /// [`crate::Error::Shape`] if the shapes differ.
    pub fn loss(
        &self,
        estimate: Tensor<3>,
        x0: Tensor<3>,
        levels: &[NoiseLevel],
        items: &[u64],
        step: u64,
        params: &Params,
    ) -> Result<Tensor<1>> {
        let c = &self.config;
        let device = estimate.device();
        let mut sum = Tensor::<1>::zeros([levels.len()], &device);
        if c.spectral > 0.0 {
            sum = sum + spectral::spectral_loss(&self.spectra, estimate.clone(), x0.clone())? * c.spectral;
        }
        if c.correlation > 0.0 {
            sum = sum + correlation::correlation_loss(estimate.clone(), x0)? * c.correlation;
        }
        if let Some(decoder) = &self.decoder {
            let (beats, waves) = decoder.decode(estimate, items, step, params);
            if c.simulator > 0.0 {
                sum = sum + simulator::simulator_loss(&beats, &waves) * c.simulator;
            }
            if c.ode > 0.0 {
                sum = sum + ode::euler_loss(&beats, &waves) * c.ode;
            }
            sum = sum + waves.penalty * (DECODER_PENALTY * (c.simulator + c.ode));
        }
        let share = levels.iter().map(|level| level.alpha().powi(2) as f32).collect();
        Ok(sum * items_tensor(share, &device))
    }
}

/// Mean of each item over all axes but the first.
fn item_means<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let n_items = x.dims()[0];
    let n_each = x.dims().iter().product::<usize>() / n_items;
    x.reshape([n_items, n_each]).mean_dim(1).reshape([n_items])
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::beats::{Beats, WAVES, Waves};
    use super::*;
    use crate::nn::weights::host;
    use crate::seed::Seed;

    /// Normal numbers as a tensor on the host.
    pub fn normal<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
        let mut values = vec![0.0; shape.iter().product()];
        Seed::new(seed).stream().fill_normal(&mut values);
        Tensor::from_data(TensorData::new(values, shape), &Device::flex())
    }

    /// Compares the gradient of a sum of losses with central differences, along a few random directions.
    pub fn check_gradient<const D: usize>(loss: impl Fn(Tensor<D>) -> Tensor<1>, x: Tensor<D>) {
        let data = TensorData::new(host(x.clone()), x.dims());
        let tracked = Tensor::<D>::from_data(data, &Device::flex().autodiff()).require_grad();
        let gradients = loss(tracked.clone()).sum().backward();
        let gradient = host(tracked.grad(&gradients).expect("the loss depends on its input"));
        let sum = |x: Tensor<D>| host(loss(x)).iter().map(|v| f64::from(*v)).sum::<f64>();
        for seed in 0..4 {
            let direction = normal(x.dims(), 100 + seed);
            // Small against what the losses bend over, large against rounding.
            let h = 2e-3;
            let slope = (sum(x.clone() + direction.clone() * h) - sum(x.clone() - direction.clone() * h)) / (2.0 * h);
            let expected: f64 = gradient.iter().zip(host(direction)).map(|(g, d)| f64::from(*g) * f64::from(d)).sum();
            let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
            assert!((slope - expected).abs() < 0.02 * norm, "slope {slope}, gradient {expected}, norm {norm}");
            assert!(norm > 1e-6, "the gradient vanishes");
        }
    }

    /// Waves of one beat in two leads, with every number its own, and the beat's points at 100 Hz.
    pub fn example() -> (Beats, Waves) {
        let device = Device::flex();
        let tensor =
            |values: Vec<f32>, shape: [usize; 3]| Tensor::<3>::from_data(TensorData::new(values, shape), &device);
        let waves = Waves {
            center_s: tensor(WAVES.map(|(center, _)| center as f32 + 0.004).to_vec(), [1, 5, 1]),
            width_s: tensor(WAVES.map(|(_, width)| width as f32 * 1.2).to_vec(), [1, 5, 1]),
            amplitude: normal([1, 5, 2], 5),
            offset: normal([1, 2, 1], 6),
            penalty: Tensor::zeros([1], &device),
        };
        let time_s: Vec<f64> = (0..77).map(|t| f64::from(t - 30) / 100.0).collect();
        let mask = tensor((0..77).map(|t| f32::from(u8::from(t < 70))).collect(), [1, 1, 77]);
        (Beats { x: normal([1, 2, 77], 7), mask, time_s }, waves)
    }

    impl Beats {
        /// The same with other amplitudes.
        pub fn with(mut self, x: Tensor<3>) -> Beats {
            self.x = x;
            self
        }

        /// The same on a device.
        pub fn on(self, device: &Device) -> Beats {
            Beats { x: self.x.to_device(device), mask: self.mask.to_device(device), ..self }
        }
    }

    impl Waves {
        /// The same on a device.
        pub fn on(self, device: &Device) -> Waves {
            Waves {
                center_s: self.center_s.to_device(device),
                width_s: self.width_s.to_device(device),
                amplitude: self.amplitude.to_device(device),
                offset: self.offset.to_device(device),
                penalty: self.penalty.to_device(device),
            }
        }
    }

    #[test]
    fn what_is_off_costs_nothing_and_what_is_on_counts_by_the_share_of_signal() {
        assert!(AuxiliaryConfig::default().is_off());
        let config = AuxiliaryConfig { spectral: 0.1, correlation: 0.05, ..AuxiliaryConfig::default() };
        let auxiliary = Auxiliary::new(config, 100.0, 200, None).unwrap();
        let (estimate, x0) = (normal([3, 2, 200], 1), normal([3, 2, 200], 2));
        let at = |angles: [f64; 3]| {
            let levels = angles.map(|angle| NoiseLevel::new(angle).unwrap());
            let params = crate::nn::weights::Weights::default().on(&Device::flex());
            host(auxiliary.loss(estimate.clone(), x0.clone(), &levels, &[0, 1, 2], 0, &params).unwrap())
        };
        let (clean, mixed) = (at([0.0; 3]), at([0.0, 1.0, std::f64::consts::FRAC_PI_2]));
        assert_eq!(clean[0], mixed[0]);
        assert!((mixed[1] - clean[1] * 1f32.cos().powi(2)).abs() < 1e-5 * clean[1] && mixed[2] == 0.0);
        let bad = AuxiliaryConfig { ode: -1.0, ..config };
        assert!(Auxiliary::new(bad, 100.0, 200, None).is_err());
        assert!(Auxiliary::new(AuxiliaryConfig { simulator: 1.0, ..config }, 100.0, 200, None).is_err());
    }
}
