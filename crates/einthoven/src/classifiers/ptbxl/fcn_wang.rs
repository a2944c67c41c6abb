//! `fcn_wang`: three convolutions that keep the length, the plainest network of the benchmark.
//!
//! # Reference
//! Wang et al. 2017, "Time series classification from scratch with deep neural networks: a strong baseline", figure 1b;
//! with the benchmark's head in place of the average.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::head::HeadConfig;
use super::{
    BenchmarkNetwork, Layers, Pass, Trace, check_input, check_positive, conv_norm, graph, overlapping_max_pool,
};
use crate::error::{Error, Result};
use crate::nn::kernel::Pointwise;
use crate::nn::onnx::{Graph, Value};
use crate::nn::weights::View;

/// Shape of an [`FcnWang`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FcnWangConfig {
    /// Leads of the signal.
    pub leads: usize,
    /// Number of labels.
    pub classes: usize,
    /// Channels after each convolution.
    pub filters: Vec<usize>,
    /// Length of each kernel; an even one shortens the signal by one.
    pub kernels: Vec<usize>,
    /// Stride of every convolution.
    pub stride: usize,
    /// Width of the pooling between convolutions; 0 for none.
    pub pool: usize,
    /// Stride of that pooling.
    pub pool_stride: usize,
    /// The head.
    pub head: HeadConfig,
}

impl FcnWangConfig {
    /// The published network: 318 279 weights for 12 leads and 71 labels.
    pub fn published(leads: usize, classes: usize) -> FcnWangConfig {
        FcnWangConfig {
            leads,
            classes,
            filters: vec![128, 256, 128],
            kernels: vec![8, 5, 3],
            stride: 1,
            pool: 0,
            pool_stride: 2,
            head: HeadConfig::published(),
        }
    }

    /// Checks that a network can be built.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        check_positive(&[("leads", self.leads), ("classes", self.classes), ("filters", self.filters.len())])?;
        check_positive(&[("stride", self.stride), ("pool_stride", self.pool_stride)])?;
        let each =
            |key: &str, sizes: &[usize]| check_positive(&sizes.iter().map(|&size| (key, size)).collect::<Vec<_>>());
        each("filters", &self.filters)?;
        each("kernels", &self.kernels)?;
        if self.kernels.len() != self.filters.len() {
            let reason = format!("found {} lengths for {} convolutions", self.kernels.len(), self.filters.len());
            return Err(Error::config("kernels", reason));
        }
        self.head.validate()
    }
}

/// The network: a shape, to be applied to parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct FcnWang {
    config: FcnWangConfig,
}

impl FcnWang {
    /// A network of this shape.
    ///
    /// # Errors
    /// [`Error::Config`] as in [`FcnWangConfig::validate`].
    pub fn new(config: FcnWangConfig) -> Result<FcnWang> {
        config.validate()?;
        Ok(FcnWang { config })
    }

    /// Its shape.
    pub fn config(&self) -> &FcnWangConfig {
        &self.config
    }
}

impl BenchmarkNetwork for FcnWang {
    fn layers(&self) -> Layers {
        let c = &self.config;
        let mut layers = Layers::default();
        let mut n_in = c.leads;
        for (i, (&filters, &kernel)) in c.filters.iter().zip(&c.kernels).enumerate() {
            layers.conv_norm(&format!("{i}.0"), n_in, filters, kernel);
            n_in = filters;
        }
        c.head.declare(&mut layers, &c.filters.len().to_string(), n_in, c.classes);
        layers
    }

    fn forward_traced(&self, p: &View, pass: &mut Pass, mut x: Tensor<3>, trace: &mut Trace) -> Result<Tensor<2>> {
        let c = &self.config;
        check_input(&x, c.leads)?;
        let last = c.filters.len() - 1;
        for i in 0..=last {
            x = conv_norm(p, pass, &format!("{i}.0"), x, c.stride, None, Pointwise::Relu)?;
            if c.pool > 0 && i < last {
                x = overlapping_max_pool(&format!("{i}.1"), x, c.pool, c.pool_stride)?;
            }
            trace(&format!("conv{i}"), &x);
        }
        c.head.forward(p, pass, &c.filters.len().to_string(), x, trace)
    }

    fn n_leads(&self) -> usize {
        self.config.leads
    }

    fn n_classes(&self) -> usize {
        self.config.classes
    }

    fn graph(&self, g: &mut Graph, mut x: Value) -> Value {
        let c = &self.config;
        let last = c.filters.len() - 1;
        for i in 0..=last {
            x = graph::conv_norm(g, &format!("{i}.0"), &x, c.stride);
            x = g.relu(&x);
            if c.pool > 0 && i < last {
                x = graph::max_pool(g, &x, c.pool, c.pool_stride);
            }
        }
        c.head.graph(g, &c.filters.len().to_string(), &x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the benchmark builds it for 12 leads and 71 statements: 318 279 trained values, 1 797 others.
    #[test]
    fn the_published_size_is_that_of_the_original() {
        let network = FcnWang::new(FcnWangConfig::published(12, 71)).unwrap();
        let n_values = network.params().iter().map(|spec| spec.shape.iter().product::<usize>()).sum::<usize>();
        assert_eq!((n_values, network.buffers().n_values()), (318_279, 1_797));
    }

    #[test]
    fn kernels_that_do_not_fit_the_filters_are_refused() {
        for kernels in [vec![8, 5], vec![8, 0, 3]] {
            let config = FcnWangConfig { kernels, ..FcnWangConfig::published(12, 5) };
            let error = FcnWang::new(config).unwrap_err().to_string();
            assert!(error.starts_with("kernels"), "{error}");
        }
    }
}
