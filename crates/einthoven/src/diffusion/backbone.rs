//! The networks of `nn` as backbones.

use burn::tensor::{Tensor, TensorData};

use super::denoiser::{Backbone, Condition};
use crate::dataset::Facts;
use crate::dataset::condition::Told;
use crate::error::Result;
use crate::nn::diffusion_ts::DiffusionTs;
use crate::nn::diffwave::Diffwave;
use crate::nn::dit::Dit;
use crate::nn::shown_beats;
use crate::nn::sssd::{KernelCache, Sssd};
use crate::nn::temporal_blocks::TemporalBlocks;
use crate::nn::told;
use crate::nn::unet1d::Unet1d;
use crate::nn::weights::Params;

/// A 1-D U-Net with its parameters on a device.
#[derive(Debug, Clone)]
pub struct UnetBackbone {
    /// The network.
    pub network: Unet1d,
    /// Its parameters.
    pub params: Params,
}

impl Backbone for UnetBackbone {
    /// A length that the levels cannot halve is filled up with the mirror image of the signal's end.
    fn predict(&self, x: Tensor<3>, time: Tensor<1>, condition: &Condition) -> Result<Tensor<3>> {
        let [n_items, _, length] = x.dims();
        let config = self.network.config();
        let labels = told_rows(condition, n_items, config.classes, &config.told)?;
        let x = if config.beats { with_beats(x, condition, config.waves) } else { x };
        let x = filled_up(x, config.length_multiple());
        Ok(self.network.forward(&self.params.root(), x, time, &labels, None)?.narrow(2, 0, length))
    }
}

/// A DiffWave with its parameters on a device.
#[derive(Debug, Clone)]
pub struct DiffwaveBackbone {
    /// The network.
    pub network: Diffwave,
    /// Its parameters.
    pub params: Params,
    /// What conditions it, `[batch, band, frame]`, where it takes one.
    pub spectrogram: Option<Tensor<3>>,
}

impl Backbone for DiffwaveBackbone {
    fn predict(&self, x: Tensor<3>, time: Tensor<1>, condition: &Condition) -> Result<Tensor<3>> {
        let c = self.network.config();
        let labels = told_tensor(condition, &x, c.labels, &c.told)?;
        self.network.forward(&self.params.root(), x, time, labels, self.spectrogram.clone())
    }
}

/// An SSSD with its parameters on a device.
#[derive(Debug, Clone)]
pub struct SssdBackbone {
    /// The network.
    pub network: Sssd,
    /// Its parameters.
    pub params: Params,
    /// The kernels of its parameters for one length, where no gradient of them is asked for.
    pub cache: Option<KernelCache>,
}

impl Backbone for SssdBackbone {
    fn predict(&self, x: Tensor<3>, time: Tensor<1>, condition: &Condition) -> Result<Tensor<3>> {
        let c = self.network.config();
        let labels = told_tensor(condition, &x, c.labels, &c.told)?;
        self.network.forward(&self.params.root(), x, time, labels, self.cache.as_ref())
    }
}

/// A diffusion transformer with its parameters on a device.
#[derive(Debug, Clone)]
pub struct DitBackbone {
    /// The network.
    pub network: Dit,
    /// Its parameters.
    pub params: Params,
}

impl Backbone for DitBackbone {
    /// A length that patches do not divide is filled up with the mirror image of the signal's end.
    fn predict(&self, x: Tensor<3>, time: Tensor<1>, condition: &Condition) -> Result<Tensor<3>> {
        let config = self.network.config();
        let length = x.dims()[2];
        let labels = told_tensor(condition, &x, config.labels, &config.told)?;
        let x = filled_up(x, config.patch);
        Ok(self.network.forward(&self.params.root(), x, time, labels)?.narrow(2, 0, length))
    }
}

/// The temporal blocks of `timediffusion` with their parameters on a device.
#[derive(Debug, Clone)]
pub struct TemporalBlocksBackbone {
    /// The network.
    pub network: TemporalBlocks,
    /// Its parameters.
    pub params: Params,
}

impl Backbone for TemporalBlocksBackbone {
    fn predict(&self, x: Tensor<3>, time: Tensor<1>, condition: &Condition) -> Result<Tensor<3>> {
        let c = self.network.config();
        let labels = told_tensor(condition, &x, c.labels, &c.told)?;
        self.network.forward(&self.params.root(), x, time, labels)
    }
}

/// A Diffusion-TS with its parameters on a device; what it puts out is the sum of its parts.
#[derive(Debug, Clone)]
pub struct DiffusionTsBackbone {
    /// The network.
    pub network: DiffusionTs,
    /// Its parameters.
    pub params: Params,
}

impl Backbone for DiffusionTsBackbone {
    fn predict(&self, x: Tensor<3>, time: Tensor<1>, condition: &Condition) -> Result<Tensor<3>> {
        let c = self.network.config();
        let labels = told_tensor(condition, &x, c.labels, &c.told)?;
        Ok(self.network.forward(&self.params.root(), x, time, labels)?.signal())
    }
}

/// How much each label and each row of the facts counts, `[batch, label + fact row]`.
fn told_rows(condition: &Condition, n_items: usize, n_labels: usize, told: &Told) -> Result<Vec<f32>> {
    let labels = condition.label_rows(n_items, n_labels)?;
    if told.is_empty() {
        return Ok(labels);
    }
    let unknown = Facts::default();
    let facts = |item: usize| condition.facts.as_ref().map_or(&unknown, |facts| &facts[item]);
    let row = |item: usize| [&labels[item * n_labels..(item + 1) * n_labels], &told::rows(told, facts(item))].concat();
    Ok((0..n_items).flat_map(row).collect())
}

/// The same on the device of `x`; `None` for a network that is told nothing.
fn told_tensor(condition: &Condition, x: &Tensor<3>, n_labels: usize, told: &Told) -> Result<Option<Tensor<2>>> {
    let n_items = x.dims()[0];
    let rows = told_rows(condition, n_items, n_labels, told)?;
    let width = n_labels + told::n_rows(told);
    Ok((width > 0).then(|| Tensor::from_data(TensorData::new(rows, [n_items, width]), &x.device())))
}

/// A signal with the channels of its beats after the leads; of a condition without beats none are known.
fn with_beats(x: Tensor<3>, condition: &Condition, with_waves: bool) -> Tensor<3> {
    let [n_items, _, length] = x.dims();
    let unknown = Vec::new();
    let beats = |item: usize| condition.beats.as_ref().map_or(&unknown, |beats| &beats[item]);
    let rows: Vec<f32> = (0..n_items).flat_map(|item| shown_beats::channels(beats(item), length, with_waves)).collect();
    let shape = [n_items, shown_beats::n_channels(with_waves), length];
    let rows = Tensor::from_data(TensorData::new(rows, shape), &x.device());
    Tensor::cat(vec![x, rows], 1)
}

/// A signal whose length is the next multiple, filled up with the mirror image of its end; one that is too short for
/// that stays as it is, for the network to refuse.
fn filled_up(x: Tensor<3>, multiple: usize) -> Tensor<3> {
    let length = x.dims()[2];
    let extra = length.next_multiple_of(multiple) - length;
    if extra == 0 || extra >= length {
        return x;
    }
    Tensor::cat(vec![x.clone(), x.narrow(2, length - 1 - extra, extra).flip([2])], 2)
}
