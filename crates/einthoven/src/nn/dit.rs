//! A diffusion transformer over time: patches of the signal as tokens, told the noise level and the labels
//! through the gains, shifts and gates of every block.
//!
//! All gates start at 0, so that a block starts as the identity and the network as a constant (adaLN-zero).
//! Positions are fixed sines of the token's number, so that any length can be taken.
//!
//! # Reference
//! Peebles and Xie 2023, "Scalable diffusion models with transformers", section 3.2.
//! # Differs from the paper
//! Patches lie in time alone and hold all leads. Labels are a weighted sum of embeddings, and no label is none; facts are told
//! beside them, see [`told`](super::told).
//! The activation is the exact GELU.

use burn::tensor::{Device, Tensor, TensorData, activation};
use serde::{Deserialize, Serialize};

use super::kernel::{Pointwise, attention, gelu, layer_norm_act, silu};
use super::layer::{conv, declare_constant, declare_conv, declare_linear, dense, linear, sinusoidal_embedding};
use super::recompute::recomputed;
use super::told::ToldTables;
use super::weights::{Init, ParamSpec, View};
use crate::dataset::condition::Told;
use crate::error::{Error, Result};

/// Added to the variance in layer normalization, as in the original.
pub(super) const EPSILON: f64 = 1e-6;
/// Slowest period of the sines of time and position.
pub(super) const THETA: f64 = 10_000.0;

/// Shape of a [`Dit`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DitConfig {
    /// Leads of the signal and of the prediction.
    #[serde(default)]
    pub channels: usize,
    /// Points in time that make a token.
    pub patch: usize,
    /// Channels of a token; even, and a multiple of `heads`.
    pub width: usize,
    /// Blocks.
    pub depth: usize,
    /// Heads of the attention.
    pub heads: usize,
    /// Channels between the two maps of a block as a multiple of `width`.
    pub hidden_times: usize,
    /// Sines and cosines of the noise level; even.
    pub time_width: usize,
    /// Number of labels; 0 for a network without.
    #[serde(default)]
    pub labels: usize,
    /// What it is told beside labels.
    #[serde(default, skip_serializing_if = "Told::is_empty")]
    pub told: Told,
}

impl DitConfig {
    /// Checks that a network can be built.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        let least = [
            ("channels", self.channels, 1),
            ("patch", self.patch, 1),
            ("width", self.width, 4),
            ("depth", self.depth, 1),
            ("heads", self.heads, 1),
            ("hidden_times", self.hidden_times, 1),
            ("time_width", self.time_width, 4),
        ];
        if let Some((key, value, least)) = least.into_iter().find(|(_, value, least)| value < least) {
            return Err(Error::config(key, format!("found {value}, expected at least {least}")));
        }
        if !self.time_width.is_multiple_of(2) {
            return Err(Error::config("time_width", format!("found {}, expected an even number", self.time_width)));
        }
        if !self.width.is_multiple_of(2) || !self.width.is_multiple_of(self.heads) {
            let reason = format!("found {}, expected an even multiple of {} heads", self.width, self.heads);
            return Err(Error::config("width", reason));
        }
        Ok(())
    }

    /// The tables of labels and facts.
    pub(super) fn tables(&self) -> ToldTables<'_> {
        ToldTables { name: "y_embedder.embedding_table", n_labels: self.labels, is_paired: false, told: &self.told }
    }
}

/// Standard deviation of the start of what turns noise level and labels into the width, as in the original.
const TOLD_START: f64 = 0.02;

/// The network: a shape, to be applied to parameters.
#[derive(Debug, Clone)]
pub struct Dit {
    config: DitConfig,
}

impl Dit {
    /// Checks the shape.
    ///
    /// # Errors
    /// [`Error::Config`] as in [`DitConfig::validate`].
    pub fn new(config: DitConfig) -> Result<Dit> {
        config.validate()?;
        Ok(Dit { config })
    }

    /// Its shape.
    pub fn config(&self) -> &DitConfig {
        &self.config
    }

    /// Name, shape and start of every parameter.
    pub fn params(&self) -> Vec<ParamSpec> {
        let c = &self.config;
        let mut out = Vec::new();
        declare_conv(&mut out, "x_embedder.proj", c.channels, c.width, c.patch, true);
        declare_linear(&mut out, "t_embedder.mlp.0", c.time_width, c.width);
        declare_linear(&mut out, "t_embedder.mlp.2", c.width, c.width);
        let told = out.len() - 4;
        [told, told + 2].into_iter().for_each(|weight| out[weight].init = Init::Normal(TOLD_START));
        if c.labels > 0 {
            let table = "y_embedder.embedding_table.weight";
            declare_constant(&mut out, table, &[c.labels, c.width], Init::Normal(TOLD_START));
        }
        c.tables().declare_facts(&mut out, c.width, TOLD_START);
        for block in 0..c.depth {
            let name = format!("blocks.{block}");
            self.declare_glorot(&mut out, &format!("{name}.attn.qkv"), c.width, 3 * c.width);
            self.declare_glorot(&mut out, &format!("{name}.attn.proj"), c.width, c.width);
            self.declare_glorot(&mut out, &format!("{name}.mlp.fc1"), c.width, c.hidden_times * c.width);
            self.declare_glorot(&mut out, &format!("{name}.mlp.fc2"), c.hidden_times * c.width, c.width);
            declare_zero(&mut out, &format!("{name}.adaLN_modulation.1"), c.width, 6 * c.width);
        }
        declare_zero(&mut out, "final_layer.adaLN_modulation.1", c.width, 2 * c.width);
        declare_zero(&mut out, "final_layer.linear", c.width, c.patch * c.channels);
        out
    }

    /// A map whose weight starts uniform within sqrt(6 / (n_in + n_out)) and whose bias starts at 0.
    fn declare_glorot(&self, out: &mut Vec<ParamSpec>, name: &str, n_in: usize, n_out: usize) {
        declare_zero(out, name, n_in, n_out);
        let weight = out.len() - 2;
        out[weight].init = Init::Uniform((6.0 / (n_in + n_out) as f64).sqrt());
    }

    /// Prediction for noisy signals.
    ///
    /// # Shape
    /// `x` and the result are `[batch, lead, time]` with `time` a multiple of the patch; `time` is `[batch]`, one
    /// network time per item; `labels` is `[batch, label + fact row]` and says how much each counts.
    /// # Errors
    /// [`Error::Shape`] for other leads or a length that is no multiple of the patch.
    pub fn forward(&self, p: &View, x: Tensor<3>, time: Tensor<1>, labels: Option<Tensor<2>>) -> Result<Tensor<3>> {
        let c = &self.config;
        let [batch, channels, length] = x.dims();
        if channels != c.channels || length == 0 || !length.is_multiple_of(c.patch) {
            return Err(Error::Shape {
                what: format!("network input (length must be a multiple of {})", c.patch),
                expected: vec![batch, c.channels, length.next_multiple_of(c.patch).max(c.patch)],
                actual: vec![batch, channels, length],
            });
        }
        let n_tokens = length / c.patch;
        let device = x.device();
        let told = self.told(p, time, labels);
        let mut x = conv(&p.at("x_embedder.proj"), x, c.patch, 0) + positions(c.width, n_tokens, &device);
        for block in 0..c.depth {
            let name = format!("blocks.{block}");
            let modulation = linear(&p.at(&name).at("adaLN_modulation.1"), told.clone());
            let (network, block) = (self.clone(), name.clone());
            x = recomputed(p, &[name], x, vec![modulation], move |p, x, mut rows| {
                network.block(&p.at(&block), x, rows.remove(0))
            });
        }
        let last = p.at("final_layer");
        let [shift, scale] = parts(linear(&last.at("adaLN_modulation.1"), told));
        let x = dense(&last.at("linear"), modulated_norm(x, shift, scale));
        // Channels of a token are its points in time, each with all leads.
        let x = x.reshape([batch, c.patch, c.channels, n_tokens]).permute([0, 2, 3, 1]);
        Ok(x.reshape([batch, c.channels, length]))
    }

    /// What every block is told, after its activation: noise level, labels and facts, `[batch, width]`.
    fn told(&self, p: &View, time: Tensor<1>, labels: Option<Tensor<2>>) -> Tensor<2> {
        let features = sinusoidal_embedding(time, self.config.time_width, THETA);
        let hidden = silu(linear(&p.at("t_embedder.mlp.0"), features));
        let told = linear(&p.at("t_embedder.mlp.2"), hidden);
        activation::silu(match labels.and_then(|rows| self.config.tables().embed(p, rows)) {
            Some(labels) => told + labels,
            None => told,
        })
    }

    /// Attention and perceptron, each normalized and modulated before and gated after.
    fn block(&self, p: &View, x: Tensor<3>, modulation: Tensor<2>) -> Tensor<3> {
        let c = &self.config;
        let [shift, scale, gate, mlp_shift, mlp_scale, mlp_gate] = parts(modulation);
        let qkv = dense(&p.at("attn.qkv"), modulated_norm(x.clone(), shift, scale));
        let mixed = dense(&p.at("attn.proj"), attention(qkv, c.heads, c.width / c.heads));
        let x = x + mixed * gate;
        let hidden = gelu(dense(&p.at("mlp.fc1"), modulated_norm(x.clone(), mlp_shift, mlp_scale)));
        x + dense(&p.at("mlp.fc2"), hidden) * mlp_gate
    }
}

fn declare_zero(out: &mut Vec<ParamSpec>, name: &str, n_in: usize, n_out: usize) {
    declare_constant(out, &format!("{name}.weight"), &[n_out, n_in], Init::Zeros);
    declare_constant(out, &format!("{name}.bias"), &[n_out], Init::Zeros);
}

/// The channels of a modulation in `N` equal parts, `[batch, width, 1]` each.
fn parts<const N: usize>(modulation: Tensor<2>) -> [Tensor<3>; N] {
    let width = modulation.dims()[1] / N;
    std::array::from_fn(|part| modulation.clone().narrow(1, part * width, width).unsqueeze_dim(2))
}

/// Layer normalization over the width without gain and bias of its own, then a shift and a scale from outside.
fn modulated_norm(x: Tensor<3>, shift: Tensor<3>, scale: Tensor<3>) -> Tensor<3> {
    let (width, device) = (x.dims()[1], x.device());
    let (gain, bias) = (Tensor::ones([width], &device), Tensor::zeros([width], &device));
    layer_norm_act(x, gain, bias, Pointwise::None, EPSILON) * (scale + 1.0) + shift
}

/// Sines, then cosines, of the number of each token: `[1, width, token]`.
fn positions(width: usize, n_tokens: usize, device: &Device) -> Tensor<3> {
    Tensor::from_data(TensorData::new(position_values(width, n_tokens), [1, width, n_tokens]), device)
}

/// Values of [`positions`], row-major.
pub(super) fn position_values(width: usize, n_tokens: usize) -> Vec<f32> {
    let half = width / 2;
    let rate = |i: usize| (-THETA.ln() * i as f64 / half as f64).exp();
    let row = |wave: fn(f64) -> f64, i: usize| (0..n_tokens).map(move |token| wave(token as f64 * rate(i)) as f32);
    let sines = (0..half).flat_map(|i| row(libm::sin, i));
    sines.chain((0..half).flat_map(|i| row(libm::cos, i))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::weights::{Weights, host};
    use crate::seed::Seed;

    fn config() -> DitConfig {
        DitConfig {
            channels: 2,
            patch: 4,
            width: 8,
            depth: 2,
            heads: 2,
            hidden_times: 2,
            time_width: 6,
            labels: 3,
            told: Told::default(),
        }
    }

    /// Weights without a zero among them, so that nothing is hidden behind a gate.
    fn opened(network: &Dit) -> Weights {
        let mut specs = network.params();
        specs.iter_mut().for_each(|spec| spec.init = Init::Normal(0.3));
        Weights::initialize(&specs, Seed::new(5))
    }

    /// Table 1 and figure 2 of the paper: DiT-S, B, L and XL of 33, 130, 458 and 675 million weights. Their patches of
    /// 2 x 2 points of 4 channels have the size of 4 points of 4 leads.
    #[test]
    fn published_sizes_are_those_of_the_paper() {
        for (depth, width, heads, millions) in
            [(12, 384, 6, 33.0), (12, 768, 12, 130.0), (24, 1024, 16, 458.0), (28, 1152, 16, 675.0)]
        {
            let config = DitConfig {
                channels: 4,
                patch: 4,
                width,
                depth,
                heads,
                hidden_times: 4,
                time_width: 256,
                labels: 1000,
                told: Told::default(),
            };
            let params = Dit::new(config).unwrap().params();
            let found = params.iter().map(|p| p.shape.iter().product::<usize>()).sum::<usize>() as f64 / 1e6;
            assert!((found - millions).abs() < 0.75, "width {width}: {found} M, the paper says {millions} M");
        }
    }

    /// What adaLN-zero is for: the network starts at 0, whatever it is told.
    #[test]
    fn an_untrained_network_predicts_nothing() {
        let network = Dit::new(config()).unwrap();
        let params = Weights::initialize(&network.params(), Seed::new(1)).on(&Device::flex());
        let x = Tensor::<3>::ones([2, 2, 8], &Device::flex());
        let out = network.forward(&params.root(), x, Tensor::from_floats([0.0, 700.0], &Device::flex()), None).unwrap();
        assert_eq!(host(out), vec![0.0; 32]);
    }

    /// Tokens are told apart by position, levels by time and items by labels; an item does not see its neighbors.
    #[test]
    fn everything_that_is_told_is_heard_and_items_are_apart() {
        let device = Device::flex();
        let network = Dit::new(config()).unwrap();
        let params = opened(&network).on(&device);
        let run = |x: Vec<f32>, times: &[f32], labels: &[[f32; 3]]| {
            let n = times.len();
            let x = Tensor::<3>::from_data(TensorData::new(x, [n, 2, 8]), &device);
            let labels = Tensor::<2>::from_data(TensorData::new(labels.concat(), [n, 3]), &device);
            host(network.forward(&params.root(), x, Tensor::from_floats(times, &device), Some(labels)).unwrap())
        };
        let item: Vec<f32> = (0..16).map(|i| (i % 4) as f32 * 0.3 - (i / 8) as f32).collect();
        let told = [[1.0, 0.0, 0.0]];
        let one = run(item.clone(), &[300.0], &told);
        // Two equal patches: their predictions differ by position alone.
        assert_ne!(one[..4], one[4..8]);
        assert_ne!(one, run(item.clone(), &[301.0], &told));
        assert_ne!(one, run(item.clone(), &[300.0], &[[0.0; 3]]));
        let other: Vec<f32> = item.iter().map(|v| 1.0 - v).collect();
        let both = run([other, item].concat(), &[10.0, 300.0], &[[0.0, 1.0, 1.0], told[0]]);
        assert_eq!(both[16..], one);
    }

    /// A token's own prediction comes back to its own points and leads: with the blocks closed and one entry of the last
    /// bias set, one point of each patch of one lead moves.
    #[test]
    fn tokens_unfold_to_their_points() {
        let device = Device::flex();
        let network = Dit::new(config()).unwrap();
        let mut weights = Weights::initialize(&network.params(), Seed::new(1));
        // Point 2 of lead 1: the leads of a point lie side by side.
        weights.entries.get_mut("final_layer.linear.bias").unwrap().values[2 * 2 + 1] = 1.0;
        let x = Tensor::<3>::ones([1, 2, 8], &device);
        let out = network.forward(&weights.on(&device).root(), x, Tensor::zeros([1], &device), None).unwrap();
        let expected: Vec<f32> = (0..16).map(|i| f32::from(u8::from(i == 8 + 2 || i == 8 + 6))).collect();
        assert_eq!(host(out), expected);
    }

    #[test]
    fn networks_that_cannot_be_built_are_refused() {
        let refused = |change: &dyn Fn(&mut DitConfig)| {
            let mut config = config();
            change(&mut config);
            config.validate().unwrap_err().to_string()
        };
        assert_eq!(refused(&|c| c.depth = 0), "depth: found 0, expected at least 1");
        assert_eq!(refused(&|c| c.heads = 3), "width: found 8, expected an even multiple of 3 heads");
        assert_eq!(refused(&|c| c.time_width = 7), "time_width: found 7, expected an even number");
        let network = Dit::new(config()).unwrap();
        let params = opened(&network).on(&Device::flex());
        let x = Tensor::<3>::ones([1, 2, 6], &Device::flex());
        let error = network.forward(&params.root(), x, Tensor::zeros([1], &Device::flex()), None).unwrap_err();
        assert!(error.to_string().contains("multiple of 4"), "{error}");
    }
}
