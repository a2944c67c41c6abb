//! The published classifiers of the PTB-XL benchmark, with the key names of their state dicts.
//!
//! Whoever says that synthetic ECGs help a classifier says it about these four: `xresnet1d`, `resnet1d_wang`,
//! `fcn_wang` and `inception1d`. Each is a backbone of convolutions and batch normalizations under one common
//! [`head`]; [`benchmark`] reads a constructor's arguments and a state dict. Training and data preparation are
//! left to others: a network here is a shape, a map of weights, and a map of running statistics.
//!
//! # Reference
//! Strodthoff et al. 2021, "Deep learning for ECG analysis: benchmarks and insights from PTB-XL", IEEE Journal of
//! Biomedical and Health Informatics 25(5), doi 10.1109/JBHI.2020.3022989. The authors' program
//! (helme/ecg_ptbxl_benchmarking) is under GPL-3.0: order, sizes and names of the layers are facts from it, no line is.

pub mod fcn_wang;
mod graph;
pub mod head;
mod import;
pub mod inception1d;
pub mod model;
mod norm;
pub mod resnet1d_wang;
pub mod xresnet1d;

use burn::tensor::module::max_pool1d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Tensor, activation};

use crate::error::{Error, Result};
use crate::nn::kernel::{Conv1dOptions, Pointwise, conv1d};
use crate::nn::layer::{declare_constant, declare_conv, declare_linear};
use crate::nn::onnx::{Graph, Value};
use crate::nn::running;
use crate::nn::weights::{Init, ParamSpec, View, Weight, Weights};

pub use graph::to_onnx;
pub use import::{Imported, arguments_of, benchmark, landmark, names};
pub use norm::Pass;

/// A receiver of named intermediate values, `[batch, channel, time]`.
pub type Trace<'a> = dyn FnMut(&str, &Tensor<3>) + 'a;

/// One of the benchmark's networks.
pub trait BenchmarkNetwork {
    /// Everything that its state dict holds.
    fn layers(&self) -> Layers;

    /// As [`BenchmarkNetwork::forward`], handing named intermediates to `trace`.
    ///
    /// # Errors
    /// As [`BenchmarkNetwork::forward`].
    fn forward_traced(&self, p: &View, pass: &mut Pass, x: Tensor<3>, trace: &mut Trace) -> Result<Tensor<2>>;

    /// Logits, one for each label.
    ///
    /// # Shape
    /// `x` is `[batch, lead, time]`; the result `[batch, label]`.
    /// # Errors
    /// [`Error::Shape`] for other leads, a signal that is too short, or a training batch that leaves a
    /// normalization with one value per channel; [`Error::Data`] for running statistics that are missing.
    fn forward(&self, p: &View, pass: &mut Pass, x: Tensor<3>) -> Result<Tensor<2>> {
        self.forward_traced(p, pass, x, &mut |_, _| {})
    }

    /// Leads of the signal.
    fn n_leads(&self) -> usize;

    /// Number of labels.
    fn n_classes(&self) -> usize;

    /// Logits of a signal as a graph, by the running statistics.
    fn graph(&self, g: &mut Graph, x: Value) -> Value;

    /// Name, shape and start of every trained parameter.
    fn params(&self) -> Vec<ParamSpec> {
        self.layers().params
    }

    /// Running statistics at the start of a training: mean 0, variance 1, no batch seen.
    fn buffers(&self) -> Weights {
        let start = self.layers().buffers.into_iter().map(|spec| {
            let value = if spec.init == Init::Ones { 1.0 } else { 0.0 };
            let values = vec![value; spec.shape.iter().product()];
            (spec.name, Weight { shape: spec.shape, values })
        });
        Weights { entries: start.collect() }
    }
}

/// What a state dict holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Layers {
    /// The trained parameters.
    pub params: Vec<ParamSpec>,
    /// The running statistics of the normalizations.
    pub buffers: Vec<ParamSpec>,
}

impl Layers {
    /// A convolution without bias.
    fn conv(&mut self, name: &str, n_in: usize, n_out: usize, kernel: usize) {
        declare_conv(&mut self.params, name, n_in, n_out, kernel, false);
    }

    fn norm(&mut self, name: &str, channels: usize) {
        declare_constant(&mut self.params, &format!("{name}.weight"), &[channels], Init::Ones);
        declare_constant(&mut self.params, &format!("{name}.bias"), &[channels], Init::Zeros);
        running::declare(&mut self.buffers, name, channels);
    }

    /// A convolution `NAME.0` and a normalization `NAME.1`.
    fn conv_norm(&mut self, name: &str, n_in: usize, n_out: usize, kernel: usize) {
        self.conv(&format!("{name}.0"), n_in, n_out, kernel);
        self.norm(&format!("{name}.1"), n_out);
    }

    fn linear(&mut self, name: &str, n_in: usize, n_out: usize) {
        declare_linear(&mut self.params, name, n_in, n_out);
    }
}

/// Convolution without bias, with `(kernel - 1) / 2` zeros at both ends: an even kernel shortens the signal by one.
fn conv(p: &View, name: &str, x: Tensor<3>, stride: usize) -> Result<Tensor<3>> {
    let weight: Tensor<3> = p.get(&format!("{name}.weight"));
    let kernel = weight.dims()[2];
    let options = Conv1dOptions { stride, padding: (kernel - 1) / 2, dilation: 1 };
    check_reach(name, &x, kernel, options.padding)?;
    Ok(conv1d(x, weight, None, options))
}

/// [`conv`] `NAME.0` and the normalization `NAME.1`; `added` comes between it and the activation.
fn conv_norm(
    p: &View,
    pass: &mut Pass,
    name: &str,
    x: Tensor<3>,
    stride: usize,
    added: Option<Tensor<3>>,
    activation: Pointwise,
) -> Result<Tensor<3>> {
    let x = conv(p, &format!("{name}.0"), x, stride)?;
    pass.norm(p, &format!("{name}.1"), x, added, activation)
}

/// Largest of overlapping windows, centered for odd widths.
fn overlapping_max_pool(name: &str, x: Tensor<3>, width: usize, stride: usize) -> Result<Tensor<3>> {
    let padding = (width - 1) / 2;
    check_reach(name, &x, width, padding)?;
    Ok(max_pool1d(x, MaxPoolOptions::new([width]).with_stride([stride]).with_padding([padding])))
}

/// Refuses a signal into which a window does not fit.
fn check_reach(name: &str, x: &Tensor<3>, width: usize, padding: usize) -> Result<()> {
    let [batch, channels, length] = x.dims();
    let shortest = width.saturating_sub(2 * padding).max(1);
    if length < shortest {
        return Err(Error::Shape {
            what: format!("input of layer {name} (expected at least this length)"),
            expected: vec![batch, channels, shortest],
            actual: vec![batch, channels, length],
        });
    }
    Ok(())
}

/// Refuses a signal of other leads or without values.
fn check_input(x: &Tensor<3>, leads: usize) -> Result<()> {
    let [batch, channels, length] = x.dims();
    if batch == 0 || channels != leads || length == 0 {
        return Err(Error::Shape {
            what: "network input".into(),
            expected: vec![batch.max(1), leads, length.max(1)],
            actual: vec![batch, channels, length],
        });
    }
    Ok(())
}

/// Refuses a size of 0, naming its key.
fn check_positive(sizes: &[(&str, usize)]) -> Result<()> {
    match sizes.iter().find(|(_, size)| *size == 0) {
        Some((key, _)) => Err(Error::config(*key, "found 0, expected at least 1")),
        None => Ok(()),
    }
}

/// Refuses a kernel of even length, which would shorten a signal beside the one that is added to it.
fn check_odd(key: &str, kernel: usize) -> Result<()> {
    if kernel.is_multiple_of(2) {
        return Err(Error::config(key, format!("found {kernel}, expected an odd length")));
    }
    Ok(())
}

/// The benchmark's loss: binary cross entropy of logits, averaged over records and labels.
///
/// # Shape
/// `logits` and `targets` are `[batch, label]`, targets between 0 and 1; the result is one number.
pub fn binary_cross_entropy(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    let (on, off) = (activation::log_sigmoid(logits.clone()), activation::log_sigmoid(-logits));
    // t on + (1 - t) off
    (targets * (on - off.clone()) + off).mean() * -1.0
}
