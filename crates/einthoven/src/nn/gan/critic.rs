//! The critic that Pulse2Pulse, WaveGAN* and the baselines of SSSD-ECG share: strided convolutions,
//! leaky ReLU and phase shuffle, then one linear score.
//!
//! The gradient penalty needs the parameters' gradient of a function of the input's gradient. The
//! framework differentiates once only, so [`Critic::input_gradient`] writes the input's gradient as
//! a computation of its own: the layers backward, each transposed. Leaky ReLU is linear on both
//! sides of zero, so the slopes met on the way forward are constants, and differentiating that
//! computation once gives the exact second derivatives. The biases act through the slopes alone:
//! their gradient of the penalty is zero.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::layer::{KERNEL, start_kaiming};
use super::phase_shuffle::{phase_shuffle, phase_shuffle_transposed};
use crate::error::{Error, Result};
use crate::nn::kernel::{Conv1dOptions, conv_transpose1d, conv1d};
use crate::nn::layer::{declare_conv, declare_linear, linear};
use crate::nn::weights::{ParamSpec, View};
use crate::seed::Stream;

/// Channels in widths and stride of each convolution.
const LAYERS: [(usize, usize); 7] = [(1, 2), (2, 2), (5, 2), (10, 2), (20, 4), (25, 4), (100, 4)];
/// Zeros at each end: one less than would keep the length.
const PADDING: usize = 11;

/// Shape of a [`Critic`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CriticConfig {
    /// Leads of the signal.
    #[serde(default)]
    pub channels: usize,
    /// Channels after the first convolution; up to a hundred times of it later.
    pub width: usize,
    /// Convolutions: 7 for 5,000 points, 6 for 1,000 in the published networks.
    pub layers: usize,
    /// Points in time of the signal, which the linear score is made for.
    #[serde(default)]
    pub length: usize,
    /// Largest phase shift in either direction.
    pub shift: usize,
    /// Slope of the leaky ReLU below zero.
    pub slope: f64,
}

impl CriticConfig {
    /// The published critic of Pulse2Pulse and WaveGAN*: 10 s at 500 Hz.
    pub fn published() -> CriticConfig {
        CriticConfig { channels: 8, width: 50, layers: 7, length: 5000, shift: 2, slope: 0.2 }
    }

    /// The published critic of the baselines of SSSD-ECG, which does not see the label: 10 s at 100 Hz.
    pub fn published_conditional() -> CriticConfig {
        CriticConfig { layers: 6, length: 1000, ..CriticConfig::published() }
    }

    /// The same shape for signals of a number of leads and points in time.
    pub fn sized(&self, n_leads: usize, sig_len: usize) -> CriticConfig {
        CriticConfig { channels: n_leads, length: sig_len, ..*self }
    }

    /// Checks that a network can be built.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        for (key, value) in [("channels", self.channels), ("width", self.width)] {
            if value == 0 {
                return Err(Error::config(key, "found 0, expected at least 1"));
            }
        }
        if !(1..=LAYERS.len()).contains(&self.layers) {
            return Err(Error::config("layers", format!("found {}, expected 1 to {}", self.layers, LAYERS.len())));
        }
        if !self.slope.is_finite() {
            return Err(Error::config("slope", format!("found {}, expected a finite number", self.slope)));
        }
        let lengths = self.lengths();
        let (shuffled, last) = (&lengths[1..self.layers], lengths[self.layers]);
        if last == 0 {
            let reason = format!("{} convolutions leave nothing of {} points", self.layers, self.length);
            return Err(Error::config("length", reason));
        }
        // A reflection reaches as far as the signal and no farther.
        if let Some(short) = shuffled.iter().find(|length| **length <= 2 * self.shift) {
            let reason = format!("found {}, which is too far for features of {short} points", self.shift);
            return Err(Error::config("shift", reason));
        }
        Ok(())
    }

    /// Points in time of the signal and after each convolution.
    fn lengths(&self) -> Vec<usize> {
        let mut lengths = vec![self.length];
        for layer in 0..self.layers {
            lengths.push(options(layer).output_length(lengths[layer], KERNEL));
        }
        lengths
    }
}

fn options(layer: usize) -> Conv1dOptions {
    Conv1dOptions { stride: LAYERS[layer].1, padding: PADDING, dilation: 1 }
}

fn name(layer: usize) -> String {
    format!("conv{}", layer + 1)
}

/// The network: a shape, to be applied to parameters.
///
/// # Reference
/// Thambawita et al. 2021, Scientific Reports 11:21896, after Donahue et al. 2019, "Adversarial audio synthesis";
/// `models/pulse2pulse.py` of vlbthambawita/Pulse2Pulse.
#[derive(Debug, Clone)]
pub struct Critic {
    config: CriticConfig,
}

impl Critic {
    /// Checks the shape.
    ///
    /// # Errors
    /// [`Error::Config`] as in [`CriticConfig::validate`].
    pub fn new(config: CriticConfig) -> Result<Critic> {
        config.validate()?;
        Ok(Critic { config })
    }

    /// Its shape.
    pub fn config(&self) -> &CriticConfig {
        &self.config
    }

    /// Name, shape and start of every parameter.
    pub fn params(&self) -> Vec<ParamSpec> {
        let c = &self.config;
        let (mut out, mut n_in) = (Vec::new(), c.channels);
        for (layer, (widths, _)) in LAYERS.iter().take(c.layers).enumerate() {
            declare_conv(&mut out, &name(layer), n_in, widths * c.width, KERNEL, true);
            start_kaiming(&mut out);
            n_in = widths * c.width;
        }
        declare_linear(&mut out, "fc1", n_in * c.lengths()[c.layers], 1);
        start_kaiming(&mut out);
        out
    }

    /// Phase shifts after each convolution but the last, for one record per stream: `[layer][record]`.
    pub fn draw_shifts(&self, streams: &mut [Stream]) -> Vec<Vec<isize>> {
        let shift = self.config.shift;
        let draw = |stream: &mut Stream| stream.below(2 * shift + 1) as isize - shift as isize;
        (1..self.config.layers).map(|_| streams.iter_mut().map(draw).collect()).collect()
    }

    /// Scores of signals: higher is closer to real.
    ///
    /// # Shape
    /// `x` is `[batch, lead, time]`; `shifts` has a row for each convolution but the last and a number for each
    /// record, or no row for none; the result is `[batch, 1]`.
    /// # Errors
    /// [`Error::Shape`] for signals or shifts of another shape; [`Error::Config`] for a shift out of range.
    pub fn forward(&self, p: &View, x: Tensor<3>, shifts: &[Vec<isize>]) -> Result<Tensor<2>> {
        self.forward_traced(p, x, shifts, &mut |_, _| {})
    }

    /// As [`Critic::forward`], handing each convolution's values before its activation to `trace`.
    ///
    /// # Errors
    /// As [`Critic::forward`].
    pub fn forward_traced(
        &self,
        p: &View,
        x: Tensor<3>,
        shifts: &[Vec<isize>],
        trace: &mut dyn FnMut(&str, &Tensor<3>),
    ) -> Result<Tensor<2>> {
        self.check(&x, shifts)?;
        let mut x = x;
        for layer in 0..self.config.layers {
            let p = p.at(&name(layer));
            let values = conv1d(x, p.get("weight"), Some(p.get("bias")), options(layer));
            trace(&name(layer), &values);
            let slopes = self.slopes(&values);
            x = self.shuffled(values * slopes, layer, shifts);
        }
        let [batch, channels, length] = x.dims();
        Ok(linear(&p.at("fc1"), x.reshape([batch, channels * length])))
    }

    /// Gradient of each record's score for the record itself, as a differentiable function of the weights.
    ///
    /// # Shape
    /// As [`Critic::forward`]; the result has the shape of `x`, which counts as a constant.
    /// # Errors
    /// As [`Critic::forward`].
    pub fn input_gradient(&self, p: &View, x: Tensor<3>, shifts: &[Vec<isize>]) -> Result<Tensor<3>> {
        self.check(&x, shifts)?;
        let slopes = self.slopes_met(p, x, shifts);
        let lengths = self.config.lengths();
        let last = self.config.layers - 1;
        let channels = slopes[last].dims()[1];
        // The same for every record until it meets the slopes.
        let mut gradient: Tensor<3> = p.at("fc1").get::<2>("weight").reshape([1, channels, lengths[last + 1]]);
        for (layer, slopes) in slopes.into_iter().enumerate().rev() {
            if let Some(shifts) = shifts.get(layer) {
                gradient = phase_shuffle_transposed(gradient, shifts);
            }
            let weight: Tensor<3> = p.at(&name(layer)).get("weight");
            let none = Tensor::zeros([weight.dims()[1]], &weight.device());
            let options = options(layer);
            // Points at the end that the convolution did not reach.
            let reach = (lengths[layer + 1] - 1) * options.stride + KERNEL;
            let extra = lengths[layer] + 2 * options.padding - reach;
            gradient = conv_transpose1d(gradient * slopes, weight, none, options, extra);
        }
        Ok(gradient)
    }

    /// The slope of each leaky ReLU at each value, convolution by convolution, off the tape.
    fn slopes_met(&self, p: &View, x: Tensor<3>, shifts: &[Vec<isize>]) -> Vec<Tensor<3>> {
        let (mut x, mut all) = (x.without_autodiff(), Vec::new());
        for layer in 0..self.config.layers {
            let p = p.at(&name(layer));
            let (weight, bias): (Tensor<3>, Tensor<1>) = (p.get("weight"), p.get("bias"));
            let values = conv1d(x, weight.without_autodiff(), Some(bias.without_autodiff()), options(layer));
            let slopes = self.slopes(&values);
            x = self.shuffled(values * slopes.clone(), layer, shifts);
            all.push(slopes);
        }
        all
    }

    /// One above zero and the slope of the leaky ReLU elsewhere, as constants.
    fn slopes(&self, values: &Tensor<3>) -> Tensor<3> {
        values.ones_like().mask_fill(values.clone().lower_equal_elem(0.0), self.config.slope)
    }

    fn shuffled(&self, x: Tensor<3>, layer: usize, shifts: &[Vec<isize>]) -> Tensor<3> {
        match shifts.get(layer) {
            Some(shifts) => phase_shuffle(x, shifts),
            None => x,
        }
    }

    fn check(&self, x: &Tensor<3>, shifts: &[Vec<isize>]) -> Result<()> {
        let c = &self.config;
        let [batch, channels, length] = x.dims();
        if [channels, length] != [c.channels, c.length] {
            let (expected, actual) = (vec![batch, c.channels, c.length], vec![batch, channels, length]);
            return Err(Error::Shape { what: "network input".into(), expected, actual });
        }
        let ragged = shifts.iter().find(|row| row.len() != batch);
        if ragged.is_some() || ![0, c.layers - 1].contains(&shifts.len()) {
            let (expected, found) = (vec![c.layers - 1, batch], ragged.or(shifts.first()).map_or(0, Vec::len));
            return Err(Error::Shape { what: "phase shifts".into(), expected, actual: vec![shifts.len(), found] });
        }
        match shifts.iter().flatten().find(|shift| shift.unsigned_abs() > c.shift) {
            Some(far) => Err(Error::config("shifts", format!("found {far}, expected at most {} in size", c.shift))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, TensorData};

    use super::*;
    use crate::nn::gan::wgan::gradient_penalty;
    use crate::nn::weights::{Weights, host};
    use crate::seed::Seed;

    const SMALL: CriticConfig = CriticConfig { channels: 2, width: 1, layers: 3, length: 90, shift: 2, slope: 0.2 };

    fn signals(batch: usize, device: &Device) -> Tensor<3> {
        let n = batch * SMALL.channels * SMALL.length;
        let mut stream = Seed::new(5).stream();
        let values: Vec<f32> = (0..n).map(|_| stream.normal() as f32).collect();
        Tensor::from_data(TensorData::new(values, [batch, SMALL.channels, SMALL.length]), device)
    }

    /// `shapes.json` of the originals: 203.9 and 47.6 million weights.
    #[test]
    fn published_sizes_are_those_of_the_originals() {
        let count = |config| -> usize {
            Critic::new(config).unwrap().params().iter().map(|p| p.shape.iter().product::<usize>()).sum()
        };
        assert_eq!(count(CriticConfig::published()), 203_918_151);
        assert_eq!(count(CriticConfig::published_conditional()), 47_643_151);
    }

    #[test]
    fn shapes_that_cannot_be_are_refused() {
        for (key, config) in [
            ("layers", CriticConfig { layers: 8, ..SMALL }),
            ("length", CriticConfig { length: 2, ..SMALL }),
            ("shift", CriticConfig { shift: 30, ..SMALL }),
            ("slope", CriticConfig { slope: f64::NAN, ..SMALL }),
        ] {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
        }
        let critic = Critic::new(SMALL).unwrap();
        let device = Device::flex();
        let params = Weights::initialize(&critic.params(), Seed::new(1)).on(&device);
        let run = |shifts: &[Vec<isize>]| critic.forward(&params.root(), signals(2, &device), shifts);
        assert_eq!(run(&[]).unwrap().dims(), [2, 1]);
        for (shifts, expected) in [
            (vec![vec![0, 0]], "[2, 2]"),
            (vec![vec![0, 0], vec![0]], "[2, 2]"),
            (vec![vec![0, 0], vec![3, 0]], "found 3, expected at most 2"),
        ] {
            let error = run(&shifts).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    /// The written-out gradient against the framework's, with shuffled phases.
    #[test]
    fn the_gradient_of_the_score_is_that_of_the_tape() {
        let critic = Critic::new(SMALL).unwrap();
        let device = Device::flex().autodiff();
        let params = Weights::initialize(&critic.params(), Seed::new(1)).tracked(&device);
        let mut streams: Vec<Stream> = (0..3).map(|record| Seed::new(2).index(record).stream()).collect();
        let shifts = critic.draw_shifts(&mut streams);
        assert!(shifts.iter().flatten().any(|shift| *shift != 0), "{shifts:?}");
        let x = signals(3, &device).require_grad();
        let score = critic.forward(&params.root(), x.clone(), &shifts).unwrap().sum();
        let expected = host(x.grad(&score.backward()).unwrap());
        let found = host(critic.input_gradient(&params.root(), x, &shifts).unwrap());
        let scale = expected.iter().fold(0f32, |scale, value| scale.max(value.abs()));
        // Sums of up to 125 products in another order.
        let worst = found.iter().zip(&expected).fold(0f32, |worst, (a, b)| worst.max((a - b).abs()));
        assert!(scale > 0.0 && worst < 1e-5 * scale, "{worst} of {scale}");
    }

    /// The score's gradient is of first degree in each convolution's weight, so the norm of the gradient is
    /// too, and the penalty `(norm - 1)^2` has the derivative `2 (norm - 1) norm` along each weight.
    #[test]
    fn the_gradient_of_the_penalty_has_the_degree_of_the_weights() {
        let critic = Critic::new(SMALL).unwrap();
        let device = Device::flex().autodiff();
        let weights = Weights::initialize(&critic.params(), Seed::new(1));
        let params = weights.tracked(&device);
        let gradient = critic.input_gradient(&params.root(), signals(1, &device), &[]).unwrap();
        let norm = host(gradient.clone()).iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let gradients = params.gradients(gradient_penalty(gradient, 1.0).backward());
        let expected = 2.0 * (norm - 1.0) * norm;
        for (name, gradient) in &gradients {
            let along: f64 = weights.entries[name].values.iter().zip(gradient).map(|(w, g)| f64::from(w * g)).sum();
            let expected = if name.ends_with("weight") { expected } else { 0.0 };
            assert!((along - expected).abs() < 1e-4 * (1.0 + expected.abs()), "{name}: {along}, expected {expected}");
        }
    }
}
