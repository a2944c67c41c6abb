//! `resnet1d_wang`: a residual network of three blocks of one width, the later two at half the rate of the one before.
//!
//! # Reference
//! Wang et al. 2017, "Time series classification from scratch with deep neural networks: a strong baseline", figure 1c,
//! in the benchmark's variant: two convolutions to a block, a stem, and strides.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::head::HeadConfig;
use super::{BenchmarkNetwork, Layers, Pass, Trace, check_input, check_odd, check_positive, conv, conv_norm, graph};
use crate::error::Result;
use crate::nn::kernel::Pointwise;
use crate::nn::onnx::{Graph, Value};
use crate::nn::weights::View;

/// Blocks of the network.
const STAGES: usize = 3;

/// Position of the first block, after the stem's convolution, normalization and activation.
const FIRST_STAGE: usize = 3;

/// Shape of a [`Resnet1dWang`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resnet1dWangConfig {
    /// Leads of the signal.
    pub leads: usize,
    /// Number of labels.
    pub classes: usize,
    /// Channels everywhere.
    pub width: usize,
    /// Length of the stem's kernel.
    pub stem_kernel: usize,
    /// Lengths of the first and the second kernel of each block, odd.
    pub kernels: [usize; 2],
    /// Stride of the second and third block.
    pub stride: usize,
    /// The head.
    pub head: HeadConfig,
}

impl Resnet1dWangConfig {
    /// The published network: 481 863 weights for 12 leads and 71 labels.
    pub fn published(leads: usize, classes: usize) -> Resnet1dWangConfig {
        Resnet1dWangConfig {
            leads,
            classes,
            width: 128,
            stem_kernel: 7,
            kernels: [5, 3],
            stride: 2,
            head: HeadConfig::published(),
        }
    }

    /// Checks that a network can be built.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        check_positive(&[
            ("leads", self.leads),
            ("classes", self.classes),
            ("width", self.width),
            ("stem_kernel", self.stem_kernel),
            ("stride", self.stride),
        ])?;
        self.kernels.iter().try_for_each(|&kernel| check_odd("kernels", kernel))?;
        self.head.validate()
    }
}

/// The network: a shape, to be applied to parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Resnet1dWang {
    config: Resnet1dWangConfig,
}

impl Resnet1dWang {
    /// A network of this shape.
    ///
    /// # Errors
    /// [`crate::Error::Config`] as in [`Resnet1dWangConfig::validate`].
    pub fn new(config: Resnet1dWangConfig) -> Result<Resnet1dWang> {
        config.validate()?;
        Ok(Resnet1dWang { config })
    }

    /// Its shape.
    pub fn config(&self) -> &Resnet1dWangConfig {
        &self.config
    }

    fn stride(&self, stage: usize) -> usize {
        if stage == 0 { 1 } else { self.config.stride }
    }

    fn block(&self, p: &View, pass: &mut Pass, stage: usize, x: Tensor<3>) -> Result<Tensor<3>> {
        let (name, stride) = (block_name(stage), self.stride(stage));
        let h = conv(p, &format!("{name}.conv1"), x.clone(), stride)?;
        let h = pass.norm(p, &format!("{name}.bn1"), h, None, Pointwise::Relu)?;
        let h = conv(p, &format!("{name}.conv2"), h, 1)?;
        // All widths are equal, so only a stride makes the shortcut a layer.
        let shortcut = match stride {
            1 => x,
            _ => conv_norm(p, pass, &format!("{name}.downsample"), x, stride, None, Pointwise::None)?,
        };
        pass.norm(p, &format!("{name}.bn2"), h, Some(shortcut), Pointwise::Relu)
    }
}

fn block_name(stage: usize) -> String {
    format!("{}.0", FIRST_STAGE + stage)
}

fn head_name() -> String {
    (FIRST_STAGE + STAGES).to_string()
}

impl BenchmarkNetwork for Resnet1dWang {
    fn layers(&self) -> Layers {
        let c = &self.config;
        let mut layers = Layers::default();
        layers.conv("0", c.leads, c.width, c.stem_kernel);
        layers.norm("1", c.width);
        for stage in 0..STAGES {
            let name = block_name(stage);
            for (i, kernel) in c.kernels.into_iter().enumerate() {
                layers.conv(&format!("{name}.conv{}", i + 1), c.width, c.width, kernel);
                layers.norm(&format!("{name}.bn{}", i + 1), c.width);
            }
            if self.stride(stage) != 1 {
                layers.conv_norm(&format!("{name}.downsample"), c.width, c.width, 1);
            }
        }
        c.head.declare(&mut layers, &head_name(), c.width, c.classes);
        layers
    }

    fn forward_traced(&self, p: &View, pass: &mut Pass, x: Tensor<3>, trace: &mut Trace) -> Result<Tensor<2>> {
        check_input(&x, self.config.leads)?;
        let x = conv(p, "0", x, 1)?;
        let mut x = pass.norm(p, "1", x, None, Pointwise::Relu)?;
        trace("stem", &x);
        for stage in 0..STAGES {
            x = self.block(p, pass, stage, x)?;
            trace(&format!("stage{stage}"), &x);
        }
        self.config.head.forward(p, pass, &head_name(), x, trace)
    }

    fn n_leads(&self) -> usize {
        self.config.leads
    }

    fn n_classes(&self) -> usize {
        self.config.classes
    }

    fn graph(&self, g: &mut Graph, x: Value) -> Value {
        let x = graph::conv(g, "0", &x, 1);
        let x = g.batch_norm("1", &x);
        let mut x = g.relu(&x);
        for stage in 0..STAGES {
            let (name, stride) = (block_name(stage), self.stride(stage));
            let h = graph::conv(g, &format!("{name}.conv1"), &x, stride);
            let h = g.batch_norm(&format!("{name}.bn1"), &h);
            let h = g.relu(&h);
            let h = graph::conv(g, &format!("{name}.conv2"), &h, 1);
            let h = g.batch_norm(&format!("{name}.bn2"), &h);
            let shortcut = match stride {
                1 => x,
                _ => graph::conv_norm(g, &format!("{name}.downsample"), &x, stride),
            };
            x = graph::add_relu(g, &h, &shortcut);
        }
        self.config.head.graph(g, &head_name(), &x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the benchmark builds it for 12 leads and 71 statements: 481 863 trained values, 3 083 others.
    #[test]
    fn the_published_size_is_that_of_the_original() {
        let network = Resnet1dWang::new(Resnet1dWangConfig::published(12, 71)).unwrap();
        let n_values = network.params().iter().map(|spec| spec.shape.iter().product::<usize>()).sum::<usize>();
        assert_eq!((n_values, network.buffers().n_values()), (481_863, 3_083));
    }

    #[test]
    fn even_kernels_are_refused() {
        let config = Resnet1dWangConfig { kernels: [5, 4], ..Resnet1dWangConfig::published(12, 5) };
        let error = Resnet1dWang::new(config).unwrap_err().to_string();
        assert_eq!(error, "kernels: found 4, expected an odd length");
    }
}
