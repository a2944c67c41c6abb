//! `inception1d`: blocks that look at the signal through kernels of three lengths and a maximum at once.
//!
//! # Reference
//! Ismail Fawaz et al. 2020, "InceptionTime: finding AlexNet for time series classification", section 3.1; with the
//! benchmark's head.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::head::HeadConfig;
use super::{BenchmarkNetwork, Layers, Pass, Trace, check_input, check_positive, conv, graph, overlapping_max_pool};
use crate::error::{Error, Result};
use crate::nn::kernel::Pointwise;
use crate::nn::onnx::{Graph, Value};
use crate::nn::weights::View;

/// Blocks from one shortcut to the next.
const PERIOD: usize = 3;

/// Shortest length from which the three kernels are derived that the original accepts.
const SHORTEST: usize = 40;

/// Position of the head.
const HEAD: &str = "layers.1";

/// Shape of an [`Inception1d`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inception1dConfig {
    /// Leads of the signal.
    pub leads: usize,
    /// Number of labels.
    pub classes: usize,
    /// Length of the longest kernel, at least 40; the others have a half and a quarter, and even ones lose one.
    pub kernel: usize,
    /// Blocks, a multiple of three.
    pub depth: usize,
    /// Channels that the kernels see; 0 lets them see all.
    pub bottleneck: usize,
    /// Channels of each of the four branches.
    pub filters: usize,
    /// Whether shortcuts are added. Without, the state dict holds their weights all the same.
    pub has_shortcuts: bool,
    /// The head.
    pub head: HeadConfig,
}

impl Inception1dConfig {
    /// The published network: 516 167 weights for 12 leads and 71 labels.
    pub fn published(leads: usize, classes: usize) -> Inception1dConfig {
        Inception1dConfig {
            leads,
            classes,
            kernel: 40,
            depth: 6,
            bottleneck: 32,
            filters: 32,
            has_shortcuts: true,
            head: HeadConfig::published(),
        }
    }

    /// Checks that a network can be built.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        check_positive(&[
            ("leads", self.leads),
            ("classes", self.classes),
            ("depth", self.depth),
            ("filters", self.filters),
        ])?;
        if self.kernel < SHORTEST {
            return Err(Error::config("kernel", format!("found {}, expected at least {SHORTEST}", self.kernel)));
        }
        if !self.depth.is_multiple_of(PERIOD) {
            return Err(Error::config("depth", format!("found {}, expected a multiple of {PERIOD}", self.depth)));
        }
        self.head.validate()
    }

    fn kernels(&self) -> [usize; 3] {
        kernels(self.kernel)
    }

    /// Channels after each block: those of the kernels and of the maximum.
    fn width(&self) -> usize {
        (self.kernels().len() + 1) * self.filters
    }

    /// Channels before a block.
    fn n_in(&self, block: usize) -> usize {
        if block == 0 { self.leads } else { self.width() }
    }
}

/// Lengths of the kernels side by side, each odd.
pub(super) fn kernels(longest: usize) -> [usize; 3] {
    [longest, longest / 2, longest / 4].map(|kernel| kernel.saturating_sub(usize::from(kernel % 2 == 0)))
}

/// The network: a shape, to be applied to parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Inception1d {
    config: Inception1dConfig,
}

impl Inception1d {
    /// A network of this shape.
    ///
    /// # Errors
    /// [`Error::Config`] as in [`Inception1dConfig::validate`].
    pub fn new(config: Inception1dConfig) -> Result<Inception1d> {
        config.validate()?;
        Ok(Inception1d { config })
    }

    /// Its shape.
    pub fn config(&self) -> &Inception1dConfig {
        &self.config
    }

    fn block(&self, p: &View, pass: &mut Pass, block: usize, x: Tensor<3>) -> Result<Tensor<3>> {
        let name = block_name(block);
        let narrow = match self.config.bottleneck {
            0 => x.clone(),
            _ => conv(p, &format!("{name}.bottleneck"), x.clone(), 1)?,
        };
        let mut branches = Vec::new();
        for i in 0..self.config.kernels().len() {
            branches.push(conv(p, &format!("{name}.convs.{i}"), narrow.clone(), 1)?);
        }
        let largest = overlapping_max_pool(&format!("{name}.conv_bottle.0"), x, 3, 1)?;
        branches.push(conv(p, &format!("{name}.conv_bottle.1"), largest, 1)?);
        pass.norm(p, &format!("{name}.bn_relu.0"), Tensor::cat(branches, 1), None, Pointwise::Relu)
    }
}

fn block_name(block: usize) -> String {
    format!("layers.0.im.{block}")
}

fn shortcut_name(shortcut: usize) -> String {
    format!("layers.0.sk.{shortcut}")
}

impl BenchmarkNetwork for Inception1d {
    fn layers(&self) -> Layers {
        let c = &self.config;
        let mut layers = Layers::default();
        for block in 0..c.depth {
            let (name, n_in) = (block_name(block), c.n_in(block));
            if c.bottleneck > 0 {
                layers.conv(&format!("{name}.bottleneck"), n_in, c.bottleneck, 1);
            }
            let seen = if c.bottleneck > 0 { c.bottleneck } else { n_in };
            for (i, kernel) in c.kernels().into_iter().enumerate() {
                layers.conv(&format!("{name}.convs.{i}"), seen, c.filters, kernel);
            }
            layers.conv(&format!("{name}.conv_bottle.1"), n_in, c.filters, 1);
            layers.norm(&format!("{name}.bn_relu.0"), c.width());
        }
        for shortcut in 0..c.depth / PERIOD {
            let name = shortcut_name(shortcut);
            layers.conv(&format!("{name}.conv"), c.n_in(shortcut), c.width(), 1);
            layers.norm(&format!("{name}.bn"), c.width());
        }
        c.head.declare(&mut layers, HEAD, c.width(), c.classes);
        layers
    }

    fn forward_traced(&self, p: &View, pass: &mut Pass, x: Tensor<3>, trace: &mut Trace) -> Result<Tensor<2>> {
        let c = &self.config;
        check_input(&x, c.leads)?;
        let (mut x, mut start) = (x.clone(), x);
        for block in 0..c.depth {
            x = self.block(p, pass, block, x)?;
            trace(&format!("block{block}"), &x);
            if c.has_shortcuts && block % PERIOD == PERIOD - 1 {
                let shortcut = block / PERIOD;
                let name = shortcut_name(shortcut);
                let h = conv(p, &format!("{name}.conv"), start, 1)?;
                x = pass.norm(p, &format!("{name}.bn"), h, Some(x), Pointwise::Relu)?;
                trace(&format!("shortcut{shortcut}"), &x);
                start = x.clone();
            }
        }
        trace("backbone", &x);
        c.head.forward(p, pass, HEAD, x, trace)
    }

    fn n_leads(&self) -> usize {
        self.config.leads
    }

    fn n_classes(&self) -> usize {
        self.config.classes
    }

    fn graph(&self, g: &mut Graph, x: Value) -> Value {
        let c = &self.config;
        let (mut x, mut start) = (x.clone(), x);
        for block in 0..c.depth {
            let name = block_name(block);
            let narrow = match c.bottleneck {
                0 => x.clone(),
                _ => graph::conv(g, &format!("{name}.bottleneck"), &x, 1),
            };
            let mut branches = Vec::new();
            for i in 0..c.kernels().len() {
                branches.push(graph::conv(g, &format!("{name}.convs.{i}"), &narrow, 1));
            }
            let largest = graph::max_pool(g, &x, 3, 1);
            branches.push(graph::conv(g, &format!("{name}.conv_bottle.1"), &largest, 1));
            let joined = g.concat(&branches.iter().collect::<Vec<_>>(), 1);
            let normed = g.batch_norm(&format!("{name}.bn_relu.0"), &joined);
            x = g.relu(&normed);
            if c.has_shortcuts && block % PERIOD == PERIOD - 1 {
                let name = shortcut_name(block / PERIOD);
                let h = graph::conv(g, &format!("{name}.conv"), &start, 1);
                let h = g.batch_norm(&format!("{name}.bn"), &h);
                x = graph::add_relu(g, &h, &x);
                start = x.clone();
            }
        }
        c.head.graph(g, HEAD, &x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the benchmark builds it for 12 leads and 71 statements: 516 167 trained values, 2 826 others.
    #[test]
    fn the_published_size_is_that_of_the_original() {
        let network = Inception1d::new(Inception1dConfig::published(12, 71)).unwrap();
        let n_values = network.params().iter().map(|spec| spec.shape.iter().product::<usize>()).sum::<usize>();
        assert_eq!((n_values, network.buffers().n_values()), (516_167, 2_826));
        assert_eq!(network.config().kernels(), [39, 19, 9]);
    }

    #[test]
    fn short_kernels_and_broken_periods_are_refused() {
        let published = Inception1dConfig::published(12, 5);
        for (key, config) in [
            ("kernel", Inception1dConfig { kernel: 39, ..published.clone() }),
            ("depth", Inception1dConfig { depth: 4, ..published.clone() }),
            ("filters", Inception1dConfig { filters: 0, ..published.clone() }),
        ] {
            let error = Inception1d::new(config).unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
        }
    }
}
