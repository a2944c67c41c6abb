//! The network of SSSD-ECG: residual blocks whose gates see the whole signal through two state space
//! layers, told the step and a sum of label embeddings.
//!
//! Two kinds of state space layers fit in. The frozen S4 layers are those of the original: published
//! checkpoints load by their own key names, and the poles are buffers that no training moves. The
//! diagonal layers train their poles and cost less; they are the better start for a new network.
//!
//! One file because the two kinds share the network around them, its parameters by name and its cache.

use std::sync::Arc;

use burn::tensor::{Tensor, activation};
use serde::{Deserialize, Serialize};

use super::hippo::{LegS, start_frozen};
use super::kernel::{CauchySum, Gate, GateOut, gated_output};
use super::layer::{
    conv, conv_normed, declare_constant, declare_linear, declare_normed_conv, linear, normed_weight,
    sinusoidal_embedding, start_lengths,
};
use super::recompute::recomputed;
use super::s4::{FrozenS4, LongConv, S4d, join_kernels, residual_norm, s4_block, s4_block_cached};
use super::told::ToldTables;
use super::weights::{Init, ParamSpec, View, Weights, host};
use crate::dataset::condition::Told;
use crate::error::{Error, Result};
use crate::seed::Seed;

/// Kind of the state space layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateSpace {
    /// S4 with fixed poles, as in the original.
    Frozen,
    /// S4D with trained poles.
    Diagonal,
}

/// Shape of an [`Sssd`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SssdConfig {
    /// Leads of the signal.
    #[serde(default)]
    pub channels: usize,
    /// Leads of the prediction.
    #[serde(default)]
    pub out_channels: usize,
    /// Channels of the residual signal.
    pub width: usize,
    /// Channels of the skip signals.
    pub skip_width: usize,
    /// Residual blocks.
    pub blocks: usize,
    /// Width of the step embedding: of its sines and cosines, after the first and the second map.
    pub step_width: [usize; 3],
    /// Longest signal of the frozen layers without lengthening; even.
    pub length: usize,
    /// State of each system; half of them conjugate modes.
    pub state: usize,
    /// Whether a second kernel runs backward in time.
    pub is_bidirectional: bool,
    /// Whether a layer normalization ends each state space layer.
    pub has_norm: bool,
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
    /// Kind of the state space layers.
    pub state_space: StateSpace,
}

impl SssdConfig {
    /// The published network of SSSD-ECG for a number of labels: 36 blocks of 256 channels, 50.2 million weights.
    pub fn published(labels: usize) -> SssdConfig {
        SssdConfig {
            channels: 8,
            out_channels: 8,
            width: 256,
            skip_width: 256,
            blocks: 36,
            step_width: [128, 512, 512],
            length: 1000,
            state: 64,
            is_bidirectional: true,
            has_norm: true,
            labels,
            label_width: 128,
            is_paired: false,
            told: Told::default(),
            state_space: StateSpace::Frozen,
        }
    }

    /// Checks that a network can be built.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        let positive = [
            ("channels", self.channels),
            ("out_channels", self.out_channels),
            ("width", self.width),
            ("skip_width", self.skip_width),
            ("blocks", self.blocks),
            ("step_width", self.step_width[1].min(self.step_width[2])),
            ("label_width", if self.is_told() { self.label_width } else { 1 }),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(Error::config(key, "found 0, expected at least 1"));
        }
        let even = [("step_width", self.step_width[0], 4), ("length", self.length, 2), ("state", self.state, 2)];
        for (key, value, least) in even {
            if value < least || value % 2 == 1 {
                return Err(Error::config(key, format!("found {value}, expected an even number of at least {least}")));
            }
        }
        Ok(())
    }

    fn is_told(&self) -> bool {
        self.labels > 0 || !self.told.is_empty()
    }

    /// The tables of labels and facts.
    pub(super) fn tables(&self) -> ToldTables<'_> {
        ToldTables { name: "embedding", n_labels: self.labels, is_paired: self.is_paired, told: &self.told }
    }
}

/// The network: a shape and, where they are frozen, the poles of its state space layers.
#[derive(Debug, Clone)]
pub struct Sssd {
    config: SssdConfig,
    /// Two for each block; empty for diagonal layers.
    frozen: Vec<FrozenS4>,
    /// The frozen arrays under their names, to be stored with the weights.
    buffers: Weights,
}

/// Long convolutions of signals of one length, two for each block: what a sampler computes once.
#[derive(Debug, Clone)]
pub struct KernelCache {
    length: usize,
    layers: Vec<LongConv>,
}

/// Names of a block's two state space layers.
pub(super) const LAYERS: [&str; 2] = ["S41", "S42"];
/// Arrays of a frozen layer that no training moves.
const FROZEN: [&str; 7] = ["omega", "z", "log_dt", "B", "P", "Q", "w"];

impl Sssd {
    /// A network to be trained, with frozen poles at their start where it has some.
    ///
    /// # Errors
    /// [`Error::Config`] as in [`SssdConfig::validate`].
    pub fn new(config: SssdConfig, seed: Seed) -> Result<Sssd> {
        config.validate()?;
        let mut buffers = Weights::default();
        if config.state_space == StateSpace::Frozen {
            let measure = LegS::new(config.state);
            for name in layer_names(&config) {
                let prefix = kernel_name(&name);
                start_frozen(&mut buffers, &prefix, &measure, 2 * config.width, config.length, seed.purpose(&name));
            }
        }
        Sssd::with_buffers(config, buffers, CauchySum::ConjugatePairs)
    }

    /// A network with the frozen arrays of a state dict; the others are left to [`Weights::check`].
    ///
    /// # Errors
    /// [`Error::Config`] as in [`SssdConfig::validate`]; [`Error::Data`] for arrays that are missing
    /// or do not fit.
    pub fn from_state(config: SssdConfig, state: &Weights, sum: CauchySum) -> Result<Sssd> {
        config.validate()?;
        let mut buffers = Weights::default();
        if config.state_space == StateSpace::Frozen {
            for name in layer_names(&config) {
                let prefix = kernel_name(&name);
                for array in FROZEN {
                    let full = format!("{prefix}.{array}");
                    let found = state.entries.get(&full).ok_or_else(|| Error::data(&full, "is missing"))?;
                    buffers.entries.insert(full, found.clone());
                }
            }
        }
        Sssd::with_buffers(config, buffers, sum)
    }

    fn with_buffers(config: SssdConfig, buffers: Weights, sum: CauchySum) -> Result<Sssd> {
        let mut frozen = Vec::new();
        if config.state_space == StateSpace::Frozen {
            for name in layer_names(&config) {
                let prefix = kernel_name(&name);
                let layer = FrozenS4::read(&buffers, &prefix, sum)?;
                if layer.features() != 2 * config.width || layer.modes() != config.state / 2 {
                    let reason = format!(
                        "has {} systems of {} modes, expected {} of {}",
                        layer.features(),
                        layer.modes(),
                        2 * config.width,
                        config.state / 2
                    );
                    return Err(Error::data(prefix, reason));
                }
                frozen.push(layer);
            }
        }
        Ok(Sssd { config, frozen, buffers })
    }

    /// Its shape.
    pub fn config(&self) -> &SssdConfig {
        &self.config
    }

    /// The frozen arrays under their names.
    pub fn buffers(&self) -> &Weights {
        &self.buffers
    }

    /// Name, shape and start of every trained parameter of a shape, without the poles that cost time to make.
    ///
    /// # Errors
    /// [`Error::Config`] as in [`SssdConfig::validate`].
    pub fn params_of(config: SssdConfig) -> Result<Vec<ParamSpec>> {
        config.validate()?;
        Ok(Sssd { config, frozen: Vec::new(), buffers: Weights::default() }.params())
    }

    /// Name, shape and start of every trained parameter.
    pub fn params(&self) -> Vec<ParamSpec> {
        let c = &self.config;
        let mut out = Vec::new();
        declare_normed_conv(&mut out, "init_conv.0.conv", c.channels, c.width, 1);
        c.tables().declare(&mut out, c.label_width);
        let [features, first, second] = c.step_width;
        declare_linear(&mut out, "residual_layer.fc_t1", features, first);
        declare_linear(&mut out, "residual_layer.fc_t2", first, second);
        for block in 0..c.blocks {
            let name = block_name(block);
            declare_linear(&mut out, &format!("{name}.fc_t"), second, c.width);
            declare_normed_conv(&mut out, &format!("{name}.conv_layer.conv"), c.width, 2 * c.width, 3);
            if c.is_told() {
                declare_linear(&mut out, &format!("{name}.fc_label"), c.label_width, 2 * c.width);
            }
            LAYERS.iter().for_each(|layer| self.declare_layer(&mut out, &format!("{name}.{layer}")));
            declare_normed_conv(&mut out, &format!("{name}.res_conv"), c.width, c.width, 1);
            declare_normed_conv(&mut out, &format!("{name}.skip_conv"), c.width, c.skip_width, 1);
        }
        declare_normed_conv(&mut out, "final_conv.0.conv", c.skip_width, c.skip_width, 1);
        declare_constant(&mut out, "final_conv.2.conv.weight", &[c.out_channels, c.skip_width, 1], Init::Zeros);
        declare_constant(&mut out, "final_conv.2.conv.bias", &[c.out_channels], Init::Zeros);
        out
    }

    fn declare_layer(&self, out: &mut Vec<ParamSpec>, name: &str) {
        let c = &self.config;
        let features = 2 * c.width;
        match c.state_space {
            StateSpace::Frozen => {
                let channels = 1 + usize::from(c.is_bidirectional);
                let start = Init::Normal(0.5f64.sqrt());
                declare_constant(out, &format!("{name}.s4_layer.D"), &[1, features], Init::Normal(1.0));
                let shape = [channels, features, c.state / 2, 2];
                declare_constant(out, &format!("{}.C", kernel_name(name)), &shape, start);
                let bound = Init::Uniform(1.0 / (features as f64).sqrt());
                let linear = format!("{name}.s4_layer.output_linear");
                declare_constant(out, &format!("{linear}.weight"), &[features, features], bound);
                declare_constant(out, &format!("{linear}.bias"), &[features, 1], Init::Zeros);
            }
            StateSpace::Diagonal => self.diagonal().declare(out, &format!("{name}.s4d")),
        }
        if c.has_norm {
            declare_constant(out, &format!("{name}.norm_layer.weight"), &[features], Init::Ones);
            declare_constant(out, &format!("{name}.norm_layer.bias"), &[features], Init::Zeros);
        }
    }

    fn diagonal(&self) -> S4d {
        let c = &self.config;
        S4d { features: 2 * c.width, modes: c.state / 2, is_bidirectional: c.is_bidirectional }
    }

    /// Start values of every trained parameter.
    pub fn start(&self, seed: Seed) -> Weights {
        let mut weights = Weights::initialize(&self.params(), seed);
        start_lengths(&mut weights);
        for (at, name) in layer_names(&self.config).into_iter().enumerate() {
            match self.config.state_space {
                StateSpace::Frozen => {
                    // Stored is C (I - A^length), as the original's set-up leaves it.
                    let c = weights.entries.get_mut(&format!("{}.C", kernel_name(&name)));
                    if let Some(c) = c {
                        c.values = self.frozen[at].corrected(&c.values);
                    }
                }
                StateSpace::Diagonal => self.diagonal().start(&mut weights, &format!("{name}.s4d"), seed),
            }
        }
        weights
    }

    /// The same network and weights for longer signals: each frozen layer doubles its length until
    /// it holds `length`; others are long enough already.
    pub fn lengthened(&self, weights: &Weights, length: usize) -> Result<(Sssd, Weights)> {
        let (mut longer, mut weights) = (self.clone(), weights.clone());
        for (layer, name) in longer.frozen.iter_mut().zip(layer_names(&self.config)) {
            let name = format!("{}.C", kernel_name(&name));
            let c = weights.entries.get_mut(&name).ok_or_else(|| Error::data(&name, "is missing"))?;
            while layer.length() < length {
                (*layer, c.values) = layer.doubled(&c.values);
            }
        }
        // Their stored arrays are those of the shorter kernel: a longer network is for use, not for storage.
        longer.buffers = Weights::default();
        longer.config.length = longer.frozen.first().map_or(self.config.length, FrozenS4::length);
        Ok((longer, weights))
    }

    /// The kernels for signals of one length.
    pub fn cache(&self, p: &View, length: usize) -> KernelCache {
        let layers = self.layer_kernels(p, length).map(|(kernels, direct)| LongConv::new(kernels, direct)).collect();
        KernelCache { length, layers }
    }

    /// Taps `[feature, tap]` of every layer's convolution of signals of one length, and which of them is lag 0.
    ///
    /// # Errors
    /// [`Error::Shape`] for a length beyond that of frozen kernels.
    pub fn taps(&self, p: &View, length: usize) -> Result<Vec<(Vec<f32>, usize)>> {
        if let Some(longest) = self.frozen.first().map(FrozenS4::length).filter(|&longest| length > longest) {
            let what = format!("signal (at most {longest} points, see lengthened)");
            return Err(Error::Shape { what, expected: vec![longest], actual: vec![length] });
        }
        let joined = self.layer_kernels(p, length).map(|(kernels, direct)| {
            let (taps, origin) = join_kernels(kernels, direct);
            (host(taps), origin)
        });
        Ok(joined.collect())
    }

    /// Kernels `[direction, feature, time]` and direct weights of every layer, two for each block.
    fn layer_kernels(&self, p: &View, length: usize) -> impl Iterator<Item = (Tensor<3>, Tensor<1>)> {
        let layers = (0..self.config.blocks).flat_map(|block| LAYERS.map(|layer| (block, layer)));
        layers.enumerate().map(move |(at, (block, layer))| {
            let p = p.at(&block_name(block)).at(layer);
            match self.config.state_space {
                StateSpace::Frozen => {
                    let direct = p.at("s4_layer").get::<2>("D").squeeze_dim(0);
                    (self.kernels(at, &p).narrow(2, 0, length), direct)
                }
                StateSpace::Diagonal => {
                    let p = p.at("s4d");
                    (self.diagonal().kernels(&p, length), p.get("direct"))
                }
            }
        })
    }

    /// Kernels `[direction, feature, time]` of one of the two frozen layers of a block.
    ///
    /// # Panics
    /// If there is no such layer or it is not frozen.
    pub fn kernels_of(&self, p: &View, block: usize, layer: usize) -> Tensor<3> {
        self.kernels(2 * block + layer, &p.at(&block_name(block)).at(LAYERS[layer]))
    }

    fn kernels(&self, layer: usize, p: &View) -> Tensor<3> {
        self.frozen[layer].kernels(p.at("s4_layer.kernel.kernel").get("C"))
    }

    /// Prediction for noisy signals.
    ///
    /// # Shape
    /// `x` is `[batch, lead, time]`, `time` `[batch]`, one step number per item; `labels` is
    /// `[batch, label + fact row]` and says how much each counts; the result is `[batch, lead, time]`.
    /// `cache` holds the kernels of just these parameters for this length.
    /// # Errors
    /// [`Error::Shape`] for other leads or a signal that is longer than the kernels.
    pub fn forward(
        &self,
        p: &View,
        x: Tensor<3>,
        time: Tensor<1>,
        labels: Option<Tensor<2>>,
        cache: Option<&KernelCache>,
    ) -> Result<Tensor<3>> {
        self.forward_traced(p, x, time, labels, cache, &mut |_, _| {})
    }

    /// As [`Sssd::forward`], handing named intermediates to `trace`, flattened.
    ///
    /// # Errors
    /// As [`Sssd::forward`].
    pub fn forward_traced(
        &self,
        p: &View,
        x: Tensor<3>,
        time: Tensor<1>,
        labels: Option<Tensor<2>>,
        cache: Option<&KernelCache>,
        trace: &mut dyn FnMut(&str, &Tensor<3>),
    ) -> Result<Tensor<3>> {
        let c = &self.config;
        let [batch, channels, length] = x.dims();
        let longest = self.frozen.first().map_or(length, FrozenS4::length);
        if channels != c.channels || length > longest {
            return Err(Error::Shape {
                what: format!("network input (at most {longest} points, see lengthened)"),
                expected: vec![batch, c.channels, length.min(longest)],
                actual: vec![batch, channels, length],
            });
        }
        if let Some(cache) = cache.filter(|cache| cache.length != length) {
            return Err(Error::Shape {
                what: "network input of the prepared kernels".into(),
                expected: vec![batch, c.channels, cache.length],
                actual: vec![batch, channels, length],
            });
        }
        let x = activation::relu(conv_normed(&p.at("init_conv.0.conv"), x, 0));
        trace("init_conv", &x);
        let embedding = self.embed_step(&p.at("residual_layer"), time, trace);
        let labels = labels.and_then(|rows| c.tables().embed(p, rows));
        if let Some(labels) = &labels {
            trace("label_embedding", &labels.clone().unsqueeze_dim(2));
        }
        let skips = Tensor::zeros([batch, c.skip_width, length], &x.device());
        let mut state = Tensor::cat(vec![x, skips], 1);
        // What recomputed blocks outlive this call with.
        let kept = p
            .recomputes()
            .then(|| Arc::new(Sssd { config: c.clone(), frozen: self.frozen.clone(), buffers: Weights::default() }));
        for block in 0..c.blocks {
            let name = block_name(block);
            let step = linear(&p.at(&name).at("fc_t"), embedding.clone());
            let of_labels = labels.clone().map(|labels| linear(&p.at(&name).at("fc_label"), labels));
            let Some(network) = kept.clone() else {
                state = self.block(p, block, state, step, of_labels, cache, trace);
                continue;
            };
            let told = std::iter::once(step).chain(of_labels).collect();
            state = recomputed(p, &[name], state, told, move |p, state, told| {
                let mut told = told.into_iter();
                let step = told.next().expect("the step comes first");
                network.block(p, block, state, step, told.next(), None, &mut |_, _| {})
            });
        }
        let skips = state.narrow(1, c.width, c.skip_width) * (1.0 / c.blocks as f64).sqrt();
        trace("residual_group", &skips);
        let x = activation::relu(conv_normed(&p.at("final_conv.0.conv"), skips, 0));
        Ok(conv(&p.at("final_conv.2.conv"), x, 1, 0))
    }

    fn embed_step(&self, p: &View, time: Tensor<1>, trace: &mut dyn FnMut(&str, &Tensor<3>)) -> Tensor<2> {
        let features = sinusoidal_embedding(time, self.config.step_width[0], 10_000.0);
        trace("step_embedding", &features.clone().unsqueeze_dim(2));
        let first = linear(&p.at("fc_t1"), features);
        trace("fc_t1", &first.clone().unsqueeze_dim(2));
        let second = linear(&p.at("fc_t2"), activation::silu(first));
        trace("fc_t2_before_swish", &second.clone().unsqueeze_dim(2));
        activation::silu(second)
    }

    #[allow(clippy::too_many_arguments)]
    fn block(
        &self,
        p: &View,
        block: usize,
        state: Tensor<3>,
        step: Tensor<2>,
        mut labels: Option<Tensor<2>>,
        cache: Option<&KernelCache>,
        trace: &mut dyn FnMut(&str, &Tensor<3>),
    ) -> Tensor<3> {
        let width = self.config.width;
        let p = p.at(&block_name(block));
        let named = |what: &str| format!("block{block}.{what}");
        let step = step.unsqueeze_dim::<3>(2);
        let mut h = conv_normed(&p.at("conv_layer.conv"), state.clone().narrow(1, 0, width) + step, 1);
        trace(&named("conv_layer"), &h);
        for (at, layer) in LAYERS.iter().enumerate() {
            h = self.state_space(2 * block + at, &p.at(layer), h, cache);
            trace(&named(&format!("{layer}_lbc")), &h);
            // After the first of the two alone.
            if let Some(labels) = labels.take() {
                h = h + labels.unsqueeze_dim::<3>(2);
            }
        }
        let (residual, skip) = (p.at("res_conv"), p.at("skip_conv"));
        let out = GateOut {
            weight: Tensor::cat(vec![normed_weight(&residual), normed_weight(&skip)], 0),
            bias: Tensor::cat(vec![residual.get::<1>("bias"), skip.get("bias")], 0),
        };
        let state = gated_output(state, h, out, Gate::Second, p.kept());
        trace(&named("out"), &state.clone().narrow(1, 0, width));
        if block == 0 {
            trace(&named("skip"), &state.clone().narrow(1, width, self.config.skip_width));
        }
        state
    }

    fn state_space(&self, at: usize, p: &View, x: Tensor<3>, cache: Option<&KernelCache>) -> Tensor<3> {
        let y = match (self.config.state_space, cache.map(|cache| &cache.layers[at])) {
            (StateSpace::Frozen, Some(long)) => s4_block_cached(&p.at("s4_layer"), long, x.clone()),
            (StateSpace::Frozen, None) => s4_block(&p.at("s4_layer"), self.kernels(at, p), x.clone()),
            (StateSpace::Diagonal, Some(long)) => self.diagonal().forward_cached(&p.at("s4d"), long, x.clone()),
            (StateSpace::Diagonal, None) => self.diagonal().forward(&p.at("s4d"), x.clone()),
        };
        residual_norm(p, x, y, self.config.has_norm)
    }
}

pub(super) fn block_name(block: usize) -> String {
    format!("residual_layer.residual_blocks.{block}")
}

fn layer_names(config: &SssdConfig) -> Vec<String> {
    (0..config.blocks).flat_map(|block| LAYERS.map(|layer| format!("{}.{layer}", block_name(block)))).collect()
}

fn kernel_name(layer: &str) -> String {
    format!("{layer}.s4_layer.kernel.kernel")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// sssd-ecg section 1: 50.20 million trained weights with 71 labels.
    #[test]
    fn the_published_size_is_that_of_the_original() {
        let params = count(SssdConfig::published(71));
        assert_eq!(params, 50_202_504);
    }

    fn count(config: SssdConfig) -> usize {
        // The frozen arrays do not count and are slow to start at this size.
        let network = Sssd { config, frozen: Vec::new(), buffers: Weights::default() };
        network.params().iter().map(|p| p.shape.iter().product::<usize>()).sum()
    }

    #[test]
    fn odd_lengths_and_states_are_refused() {
        for (key, config) in [
            ("length", SssdConfig { length: 999, ..SssdConfig::published(5) }),
            ("state", SssdConfig { state: 7, ..SssdConfig::published(5) }),
            ("blocks", SssdConfig { blocks: 0, ..SssdConfig::published(5) }),
        ] {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
        }
    }
}
