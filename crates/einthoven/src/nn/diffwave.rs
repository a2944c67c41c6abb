//! The network of DiffWave: gated residual layers of growing dilation, told the step through a table
//! and, where it has one, a spectrogram.
//!
//! Published checkpoints load by their own key names. Beyond the original: several leads, and labels
//! that every layer is told beside the step.

use std::ops::Range;

use burn::tensor::ops::ConvTransposeOptions;
use burn::tensor::{Tensor, TensorData, activation, module};
use serde::{Deserialize, Serialize};

use super::kernel::{Gate, GateConv, GateOut, gated_residual};
use super::layer::{conv, declare_constant, declare_conv, declare_linear, linear};
use super::recompute::recomputed;
use super::told::ToldTables;
use super::weights::{Init, ParamSpec, View, host};
use crate::dataset::condition::Told;
use crate::error::{Error, Result};

/// Sines and cosines of the step embedding.
pub(super) const FEATURES: usize = 128;
/// Width of the step embedding after each of its two maps.
const EMBEDDING: usize = 512;
/// Points in time for one frame of the spectrogram: two upsamplings of 16.
pub const HOP: usize = 256;

/// Layers that are recomputed together: their inputs and gates live at once in the backward pass, against one input for
/// each part all the time. Near the root of the number of layers, where the sum is least.
const RECOMPUTED_LAYERS: usize = 4;

/// Shape of a [`Diffwave`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiffwaveConfig {
    /// Leads of the signal and of the prediction.
    #[serde(default)]
    pub channels: usize,
    /// Channels of the residual signal.
    pub width: usize,
    /// Residual layers.
    pub layers: usize,
    /// Layers after which the dilation, doubled from layer to layer, is 1 again.
    pub dilation_cycle: usize,
    /// Rows of the step table: steps of the schedule.
    pub steps: usize,
    /// Bands of a spectrogram that conditions the network; 0 for none.
    #[serde(default)]
    pub mel_bands: usize,
    /// Number of labels; 0 for a network without.
    #[serde(default)]
    pub labels: usize,
    /// Width of the embedding of labels and facts.
    pub label_width: usize,
    /// Whether each label has a row for its absence too, as in SSSD-ECG-nle.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_paired: bool,
    /// What it is told beside labels.
    #[serde(default, skip_serializing_if = "Told::is_empty")]
    pub told: Told,
}

impl DiffwaveConfig {
    /// Checks that a network can be built.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        let positive = [
            ("channels", self.channels),
            ("width", self.width),
            ("layers", self.layers),
            ("dilation_cycle", self.dilation_cycle),
            ("steps", self.steps),
            ("label_width", if self.is_told() { self.label_width } else { 1 }),
        ];
        match positive.into_iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => Err(Error::config(key, "found 0, expected at least 1")),
            None if self.dilation_cycle > 20 => {
                Err(Error::config("dilation_cycle", format!("found {}, expected at most 20", self.dilation_cycle)))
            }
            None => Ok(()),
        }
    }

    fn is_told(&self) -> bool {
        self.labels > 0 || !self.told.is_empty()
    }

    /// The tables of labels and facts.
    pub(super) fn tables(&self) -> ToldTables<'_> {
        ToldTables { name: "label_embedding", n_labels: self.labels, is_paired: self.is_paired, told: &self.told }
    }

    /// One residual layer; `told` is its shift for the step and, where there are labels, one before the gate.
    fn layer(
        &self,
        p: &View,
        layer: usize,
        state: Tensor<3>,
        told: &[Tensor<2>],
        spectrogram: Option<Tensor<3>>,
    ) -> Tensor<3> {
        let [batch, _, length] = state.dims();
        let p = p.at(&layer_name(layer));
        let gate = GateConv {
            weight: p.at("dilated_conv").get("weight"),
            bias: p.at("dilated_conv").get("bias"),
            dilation: 1 << (layer % self.dilation_cycle),
        };
        let of_spectrogram = spectrogram.map(|s| conv(&p.at("conditioner_projection"), s, 1, 0));
        let of_labels =
            told.get(1).map(|row| row.clone().unsqueeze_dim::<3>(2).expand([batch, 2 * self.width, length]));
        let conditioner = match (of_spectrogram, of_labels) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
        let out =
            GateOut { weight: p.at("output_projection").get("weight"), bias: p.at("output_projection").get("bias") };
        gated_residual(state, told[0].clone(), gate, conditioner, out, Gate::First, p.kept())
    }

    /// Several layers of which the input alone is kept; `told` holds the rows of one layer after the other.
    fn recomputed_layers(&self, p: &View, layers: Range<usize>, state: Tensor<3>, told: Vec<Tensor<2>>) -> Tensor<3> {
        let names: Vec<String> = layers.clone().map(layer_name).collect();
        let (config, per_layer) = (self.clone(), told.len() / layers.len());
        recomputed(p, &names, state, told, move |p, state, told| {
            let layers = layers.clone().zip(told.chunks_exact(per_layer));
            layers.fold(state, |state, (layer, told)| config.layer(p, layer, state, told, None))
        })
    }
}

/// The network: a shape, to be applied to parameters.
#[derive(Debug, Clone)]
pub struct Diffwave {
    config: DiffwaveConfig,
    /// `[steps, 128]`: not a parameter, and in no checkpoint.
    table: Vec<f32>,
}

impl Diffwave {
    /// Checks the shape.
    ///
    /// # Errors
    /// [`Error::Config`] as in [`DiffwaveConfig::validate`].
    pub fn new(config: DiffwaveConfig) -> Result<Diffwave> {
        config.validate()?;
        let table = step_table(config.steps);
        Ok(Diffwave { config, table })
    }

    /// Its shape.
    pub fn config(&self) -> &DiffwaveConfig {
        &self.config
    }

    /// Name, shape and start of every parameter.
    pub fn params(&self) -> Vec<ParamSpec> {
        let c = &self.config;
        let mut out = Vec::new();
        // Kaiming's normal start where the original has it.
        let kaiming = |fan_in: usize| Init::Normal((2.0 / fan_in as f64).sqrt());
        let declare = |out: &mut Vec<ParamSpec>, name: &str, n_in: usize, n_out: usize, kernel: usize| {
            declare_conv(out, name, n_in, n_out, kernel, true);
            let weight = out.len() - 2;
            out[weight].init = kaiming(n_in * kernel);
        };
        declare(&mut out, "input_projection", c.channels, c.width, 1);
        declare_linear(&mut out, "diffusion_embedding.projection1", FEATURES, EMBEDDING);
        declare_linear(&mut out, "diffusion_embedding.projection2", EMBEDDING, EMBEDDING);
        if c.mel_bands > 0 {
            for name in ["spectrogram_upsampler.conv1", "spectrogram_upsampler.conv2"] {
                let bound = Init::Uniform(1.0 / 96f64.sqrt());
                declare_constant(&mut out, &format!("{name}.weight"), &[1, 1, 3, 32], bound);
                declare_constant(&mut out, &format!("{name}.bias"), &[1], bound);
            }
        }
        c.tables().declare(&mut out, c.label_width);
        for layer in 0..c.layers {
            let name = format!("residual_layers.{layer}");
            declare(&mut out, &format!("{name}.dilated_conv"), c.width, 2 * c.width, 3);
            declare_linear(&mut out, &format!("{name}.diffusion_projection"), EMBEDDING, c.width);
            if c.mel_bands > 0 {
                declare(&mut out, &format!("{name}.conditioner_projection"), c.mel_bands, 2 * c.width, 1);
            }
            if c.is_told() {
                declare_linear(&mut out, &format!("{name}.label_projection"), c.label_width, 2 * c.width);
            }
            declare(&mut out, &format!("{name}.output_projection"), c.width, 2 * c.width, 1);
        }
        declare(&mut out, "skip_projection", c.width, c.width, 1);
        declare_constant(&mut out, "output_projection.weight", &[c.channels, c.width, 1], Init::Zeros);
        let bound = Init::Uniform(1.0 / (c.width as f64).sqrt());
        declare_constant(&mut out, "output_projection.bias", &[c.channels], bound);
        out
    }

    /// Prediction for noisy signals.
    ///
    /// # Shape
    /// `x` and the result are `[batch, lead, time]`; `time` is `[batch]`, one step number per item,
    /// held within the table and interpolated between its rows; `labels` is `[batch, label + fact row]`
    /// and says how much each counts; `spectrogram` is `[batch, band, time / 256]` where the network takes one.
    /// # Errors
    /// [`Error::Shape`] for other leads or a spectrogram of another size; [`Error::Config`] for a
    /// missing one.
    pub fn forward(
        &self,
        p: &View,
        x: Tensor<3>,
        time: Tensor<1>,
        labels: Option<Tensor<2>>,
        spectrogram: Option<Tensor<3>>,
    ) -> Result<Tensor<3>> {
        self.forward_traced(p, x, time, labels, spectrogram, &mut |_, _| {})
    }

    /// As [`Diffwave::forward`], handing named intermediates to `trace`.
    ///
    /// # Errors
    /// As [`Diffwave::forward`].
    pub fn forward_traced(
        &self,
        p: &View,
        x: Tensor<3>,
        time: Tensor<1>,
        labels: Option<Tensor<2>>,
        spectrogram: Option<Tensor<3>>,
        trace: &mut dyn FnMut(&str, &Tensor<3>),
    ) -> Result<Tensor<3>> {
        let c = &self.config;
        let [batch, channels, length] = x.dims();
        if channels != c.channels {
            let (expected, actual) = (vec![batch, c.channels, length], vec![batch, channels, length]);
            return Err(Error::Shape { what: "network input".into(), expected, actual });
        }
        let spectrogram = self.upsample(p, spectrogram, [batch, length])?;
        if let Some(spectrogram) = &spectrogram {
            trace("upsampled_spectrogram", spectrogram);
        }
        let labels = labels.and_then(|rows| c.tables().embed(p, rows));
        let x = conv(&p.at("input_projection"), x, 1, 0);
        trace("input_projection", &x);
        let x = activation::relu(x);
        let step = self.embed_step(&p.at("diffusion_embedding"), time);
        trace("diffusion_embedding", &step.clone().unsqueeze_dim(2));
        let mut state = Tensor::cat(vec![x.clone(), x.zeros_like()], 1);
        // What a layer is told: a shift for the step and, where there are labels, one before the gate.
        let told = |layer: usize| -> Vec<Tensor<2>> {
            let p = p.at(&layer_name(layer));
            let shift = linear(&p.at("diffusion_projection"), step.clone());
            let of_labels = labels.clone().map(|labels| linear(&p.at("label_projection"), labels));
            std::iter::once(shift).chain(of_labels).collect()
        };
        // No training of ours has a spectrogram, whose gradient would be added up in another order.
        let part = if p.recomputes() && spectrogram.is_none() { RECOMPUTED_LAYERS } else { 1 };
        for first in (0..c.layers).step_by(part) {
            let layers = first..c.layers.min(first + part);
            if part > 1 {
                let rows = layers.clone().flat_map(told).collect();
                state = c.recomputed_layers(p, layers, state, rows);
                continue;
            }
            if first + 1 == c.layers {
                trace("last_block.input", &state.clone().narrow(1, 0, c.width));
            }
            state = c.layer(p, first, state, &told(first), spectrogram.clone());
            if first == 0 {
                trace("block0.residual", &state.clone().narrow(1, 0, c.width));
            }
        }
        let skips = state.narrow(1, c.width, c.width) * (1.0 / c.layers as f64).sqrt();
        let x = conv(&p.at("skip_projection"), skips, 1, 0);
        trace("skip_projection", &x);
        Ok(conv(&p.at("output_projection"), activation::relu(x), 1, 0))
    }

    fn embed_step(&self, p: &View, time: Tensor<1>) -> Tensor<2> {
        let device = time.device();
        let last = (self.config.steps - 1) as f32;
        let times = host(time);
        let row = |step: f32| &self.table[step as usize * FEATURES..][..FEATURES];
        let features: Vec<f32> = times
            .iter()
            .flat_map(|time| {
                let time = time.clamp(0.0, last);
                let (low, share) = (time.floor(), time - time.floor());
                let pairs = row(low).iter().zip(row(time.ceil()));
                pairs.map(|(low, high)| low + (high - low) * share).collect::<Vec<f32>>()
            })
            .collect();
        let features = Tensor::<2>::from_data(TensorData::new(features, [times.len(), FEATURES]), &device);
        let first = activation::silu(linear(&p.at("projection1"), features));
        activation::silu(linear(&p.at("projection2"), first))
    }

    fn upsample(&self, p: &View, spectrogram: Option<Tensor<3>>, shape: [usize; 2]) -> Result<Option<Tensor<3>>> {
        let bands = self.config.mel_bands;
        if bands == 0 {
            return Ok(None);
        }
        let Some(spectrogram) = spectrogram else {
            return Err(Error::config("spectrogram", format!("none, expected one of {bands} bands")));
        };
        let [batch, length] = shape;
        let expected = [batch, bands, length / HOP];
        if spectrogram.dims() != expected || !length.is_multiple_of(HOP) {
            let (expected, actual) = (expected.to_vec(), spectrogram.dims().to_vec());
            let what = format!("spectrogram (one frame for {HOP} points)");
            return Err(Error::Shape { what, expected, actual });
        }
        let mut x = spectrogram.unsqueeze_dim::<4>(1);
        for name in ["spectrogram_upsampler.conv1", "spectrogram_upsampler.conv2"] {
            let p = p.at(name);
            let options = ConvTransposeOptions::new([1, 16], [1, 8], [0, 0], [1, 1], 1);
            x = module::conv_transpose2d(x, p.get("weight"), Some(p.get("bias")), options);
            x = activation::leaky_relu(x, 0.4);
        }
        Ok(Some(x.squeeze_dim(1)))
    }
}

fn layer_name(layer: usize) -> String {
    format!("residual_layers.{layer}")
}

/// Sines and then cosines of each step, `[steps, 128]`.
///
/// The original computes it in single precision with arguments up to 5e5, where the last place of a
/// frequency shows: rounding is part of the table, and follows it step by step.
///
/// # Reference
/// Kong et al. 2021, "DiffWave", eq. 6; `src/diffwave/model.py` of lmnt-com/diffwave.
pub fn step_table(steps: usize) -> Vec<f32> {
    let half = FEATURES / 2;
    let exponent = |i: usize| (i as f64 * 4.0 / (half as f64 - 1.0)) as f32;
    let frequencies: Vec<f32> = (0..half).map(|i| libm::pow(10.0, f64::from(exponent(i))) as f32).collect();
    let row = |step: usize| {
        let angles: Vec<f64> = frequencies.iter().map(|frequency| f64::from(step as f32 * frequency)).collect();
        let sines: Vec<f32> = angles.iter().map(|&angle| libm::sin(angle) as f32).collect();
        sines.into_iter().chain(angles.into_iter().map(|angle| libm::cos(angle) as f32)).collect::<Vec<f32>>()
    };
    (0..steps).flat_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// arjona-augmentation section 5, and `shapes.json` of the fixtures: 2,308,737 weights without a spectrogram's.
    #[test]
    fn published_size_is_that_of_the_original() {
        let count = |config| -> usize {
            Diffwave::new(config).unwrap().params().iter().map(|p| p.shape.iter().product::<usize>()).sum()
        };
        let plain = DiffwaveConfig {
            channels: 1,
            width: 64,
            layers: 30,
            dilation_cycle: 10,
            steps: 50,
            mel_bands: 0,
            labels: 0,
            label_width: 0,
            is_paired: false,
            told: Told::default(),
        };
        assert_eq!(count(plain), 2_308_737);
    }
}
