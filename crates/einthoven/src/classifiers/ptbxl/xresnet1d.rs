//! `xresnet1d`: the deep residual network that the benchmark found best, in depths of 18 to 152 layers.
//!
//! A stem of three convolutions and a pooling, then stages of residual blocks. The shortcut of a block that halves the
//! rate is a mean of pairs, so that it sees every sample.
//!
//! # Reference
//! He et al. 2019, "Bag of tricks for image classification with convolutional neural networks", section 4: models C
//! (the stem) and D (the shortcut); normalizations that end a block start at gain 0 as in section 3.1.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::head::HeadConfig;
use super::{
    BenchmarkNetwork, Layers, Pass, Trace, check_input, check_odd, check_positive, conv_norm, graph,
    overlapping_max_pool,
};
use crate::error::{Error, Result};
use crate::nn::kernel::Pointwise;
use crate::nn::onnx::{Attribute, Graph, Value};
use crate::nn::weights::{Init, View};

/// Name, expansion and blocks of each stage of the published depths.
const DEPTHS: &[(&str, usize, &[usize])] = &[
    ("xresnet1d18", 1, &[2, 2, 2, 2]),
    ("xresnet1d34", 1, &[3, 4, 6, 3]),
    ("xresnet1d50", 4, &[3, 4, 6, 3]),
    ("xresnet1d101", 4, &[3, 4, 23, 3]),
    ("xresnet1d152", 4, &[3, 8, 36, 3]),
    ("xresnet1d18_deep", 1, &[2, 2, 2, 2, 1, 1]),
    ("xresnet1d34_deep", 1, &[3, 4, 6, 3, 1, 1]),
    ("xresnet1d50_deep", 4, &[3, 4, 6, 3, 1, 1]),
    ("xresnet1d18_deeper", 1, &[2, 2, 1, 1, 1, 1, 1, 1]),
    ("xresnet1d34_deeper", 1, &[3, 4, 6, 3, 1, 1, 1, 1]),
    ("xresnet1d50_deeper", 4, &[3, 4, 6, 3, 1, 1, 1, 1]),
];

/// Position of the first stage, after the stem and its pooling.
const FIRST_STAGE: usize = 4;

/// Names of the published depths.
pub fn depths() -> impl Iterator<Item = &'static str> {
    DEPTHS.iter().map(|(name, _, _)| *name)
}

/// Shape of an [`Xresnet1d`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Xresnet1dConfig {
    /// Leads of the signal.
    pub leads: usize,
    /// Number of labels.
    pub classes: usize,
    /// Channels after each convolution of the stem.
    pub stem: [usize; 3],
    /// Length of the stem's kernels.
    pub stem_kernel: usize,
    /// Length of the kernels in the blocks, odd.
    pub kernel: usize,
    /// Blocks of each stage.
    pub blocks: Vec<usize>,
    /// Channels inside the blocks of each stage.
    pub widths: Vec<usize>,
    /// How many times as many channels a block ends with. With 1, a block is two convolutions; with more, the kernel
    /// stands between two convolutions of one tap.
    pub expansion: usize,
    /// The head.
    pub head: HeadConfig,
}

impl Xresnet1dConfig {
    /// A published depth, such as `xresnet1d101`.
    ///
    /// # Errors
    /// [`Error::Unknown`] for another name.
    pub fn published(name: &str, leads: usize, classes: usize) -> Result<Xresnet1dConfig> {
        let Some((_, expansion, blocks)) = DEPTHS.iter().find(|(known, _, _)| *known == name) else {
            let known = depths().map(String::from).collect();
            return Err(Error::Unknown { kind: "depth of xresnet1d", name: name.into(), known });
        };
        Ok(Xresnet1dConfig {
            leads,
            classes,
            stem: [32, 32, 64],
            stem_kernel: 5,
            kernel: 5,
            blocks: blocks.to_vec(),
            widths: stage_widths(blocks.len(), 1.0),
            expansion: *expansion,
            head: HeadConfig::published(),
        })
    }

    /// Checks that a network can be built.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        check_positive(&[
            ("leads", self.leads),
            ("classes", self.classes),
            ("stem", self.stem.into_iter().min().unwrap_or(0)),
            ("stem_kernel", self.stem_kernel),
            ("blocks", self.blocks.iter().copied().min().unwrap_or(0)),
            ("widths", self.widths.iter().copied().min().unwrap_or(0)),
            ("expansion", self.expansion),
        ])?;
        check_odd("kernel", self.kernel)?;
        if self.widths.len() != self.blocks.len() {
            let reason = format!("found {} widths for {} stages", self.widths.len(), self.blocks.len());
            return Err(Error::config("widths", reason));
        }
        self.head.validate()
    }

    /// The blocks of each stage in order.
    fn stages(&self) -> Vec<Vec<Block>> {
        let mut n_in = self.stem[2];
        let mut stages = Vec::new();
        for (stage, (&blocks, &width)) in self.blocks.iter().zip(&self.widths).enumerate() {
            let mut list = Vec::new();
            for block in 0..blocks {
                let stride = if stage > 0 && block == 0 { 2 } else { 1 };
                let name = format!("{}.{block}", FIRST_STAGE + stage);
                let n_out = width * self.expansion;
                list.push(Block { name, n_in, width, n_out, stride, kernel: self.kernel });
                n_in = n_out;
            }
            stages.push(list);
        }
        stages
    }

    fn head_name(&self) -> String {
        (FIRST_STAGE + self.blocks.len()).to_string()
    }
}

/// Channels inside the blocks of each stage: 64 in the first four and 32 in later ones, times a factor.
pub(super) fn stage_widths(stages: usize, factor: f64) -> Vec<usize> {
    (0..stages).map(|stage| (factor * if stage < 4 { 64.0 } else { 32.0 }) as usize).collect()
}

/// A residual block.
struct Block {
    name: String,
    n_in: usize,
    width: usize,
    n_out: usize,
    stride: usize,
    kernel: usize,
}

/// One convolution of a block.
struct Conv {
    name: String,
    n_in: usize,
    n_out: usize,
    kernel: usize,
    stride: usize,
}

impl Block {
    /// The convolutions of the path in order.
    fn convs(&self) -> Vec<Conv> {
        let Block { n_in, width, n_out, stride, kernel, .. } = *self;
        let list = if width == n_out {
            vec![(n_in, width, kernel, stride), (width, n_out, kernel, 1)]
        } else {
            vec![(n_in, width, 1, 1), (width, width, kernel, stride), (width, n_out, 1, 1)]
        };
        let convs = list.into_iter().enumerate().map(|(i, (n_in, n_out, kernel, stride))| {
            let name = format!("{}.convs.{i}", self.name);
            Conv { name, n_in, n_out, kernel, stride }
        });
        convs.collect()
    }

    /// Name of the shortcut's convolution, where it has one; a pooling stands before it.
    fn shortcut(&self) -> Option<String> {
        (self.n_in != self.n_out).then(|| format!("{}.idpath.{}", self.name, usize::from(self.stride != 1)))
    }

    fn forward(&self, p: &View, pass: &mut Pass, mut x: Tensor<3>) -> Result<Tensor<3>> {
        let mut shortcut = if self.stride == 1 { x.clone() } else { pair_means(x.clone()) };
        if let Some(name) = self.shortcut() {
            shortcut = conv_norm(p, pass, &name, shortcut, 1, None, Pointwise::None)?;
        }
        let convs = self.convs();
        let mut shortcut = Some(shortcut);
        for (i, conv) in convs.iter().enumerate() {
            let added = if i + 1 == convs.len() { shortcut.take() } else { None };
            x = conv_norm(p, pass, &conv.name, x, conv.stride, added, Pointwise::Relu)?;
        }
        Ok(x)
    }

    fn graph(&self, g: &mut Graph, mut x: Value) -> Value {
        let mut shortcut = x.clone();
        if self.stride != 1 {
            // A last sample without neighbor is a window of its own, and zeros around the signal do not count.
            let pairs = [
                ("kernel_shape", Attribute::Ints(vec![2])),
                ("strides", Attribute::Ints(vec![2])),
                ("ceil_mode", Attribute::Int(1)),
            ];
            shortcut = g.op("AveragePool", &[&x], &pairs);
        }
        if let Some(name) = self.shortcut() {
            shortcut = graph::conv_norm(g, &name, &shortcut, 1);
        }
        let convs = self.convs();
        let last = convs.len() - 1;
        for (i, conv) in convs.iter().enumerate() {
            x = graph::conv_norm(g, &conv.name, &x, conv.stride);
            x = if i == last { graph::add_relu(g, &x, &shortcut) } else { g.relu(&x) };
        }
        x
    }
}

/// Means of pairs of neighboring samples; a last one without neighbor stays as it is.
fn pair_means(x: Tensor<3>) -> Tensor<3> {
    let [batch, channels, length] = x.dims();
    let x = match length % 2 {
        0 => x,
        // The mean of a sample with itself.
        _ => Tensor::cat(vec![x.clone(), x.narrow(2, length - 1, 1)], 2),
    };
    x.reshape([batch, channels, length.div_ceil(2), 2]).mean_dim(3).squeeze_dim(3)
}

/// The network: a shape, to be applied to parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Xresnet1d {
    config: Xresnet1dConfig,
}

impl Xresnet1d {
    /// A network of this shape.
    ///
    /// # Errors
    /// [`Error::Config`] as in [`Xresnet1dConfig::validate`].
    pub fn new(config: Xresnet1dConfig) -> Result<Xresnet1d> {
        config.validate()?;
        Ok(Xresnet1d { config })
    }

    /// Its shape.
    pub fn config(&self) -> &Xresnet1dConfig {
        &self.config
    }
}

impl BenchmarkNetwork for Xresnet1d {
    fn layers(&self) -> Layers {
        let c = &self.config;
        let mut layers = Layers::default();
        let mut n_in = c.leads;
        for (i, width) in c.stem.into_iter().enumerate() {
            layers.conv_norm(&i.to_string(), n_in, width, c.stem_kernel);
            n_in = width;
        }
        let mut ends = Vec::new();
        for block in c.stages().into_iter().flatten() {
            let convs = block.convs();
            convs.iter().for_each(|conv| layers.conv_norm(&conv.name, conv.n_in, conv.n_out, conv.kernel));
            ends.extend(convs.last().map(|conv| format!("{}.1.weight", conv.name)));
            if let Some(name) = block.shortcut() {
                layers.conv_norm(&name, block.n_in, block.n_out, 1);
            }
            n_in = block.n_out;
        }
        c.head.declare(&mut layers, &c.head_name(), n_in, c.classes);
        for spec in &mut layers.params {
            let fan_in: usize = spec.shape[1..].iter().product();
            match spec.init {
                // He et al. 2015, "Delving deep into rectifiers", eq. 10; without bias.
                Init::Uniform(_) if spec.shape.len() > 1 => spec.init = Init::Normal((2.0 / fan_in as f64).sqrt()),
                Init::Uniform(_) => spec.init = Init::Zeros,
                Init::Ones if ends.contains(&spec.name) => spec.init = Init::Zeros,
                _ => {}
            }
        }
        layers
    }

    fn forward_traced(&self, p: &View, pass: &mut Pass, mut x: Tensor<3>, trace: &mut Trace) -> Result<Tensor<2>> {
        let c = &self.config;
        check_input(&x, c.leads)?;
        for i in 0..c.stem.len() {
            let stride = if i == 0 { 2 } else { 1 };
            x = conv_norm(p, pass, &i.to_string(), x, stride, None, Pointwise::Relu)?;
        }
        trace("stem", &x);
        x = overlapping_max_pool("3", x, 3, 2)?;
        trace("maxpool", &x);
        for (stage, blocks) in c.stages().into_iter().enumerate() {
            for block in blocks {
                x = block.forward(p, pass, x)?;
            }
            trace(&format!("stage{stage}"), &x);
        }
        c.head.forward(p, pass, &c.head_name(), x, trace)
    }

    fn n_leads(&self) -> usize {
        self.config.leads
    }

    fn n_classes(&self) -> usize {
        self.config.classes
    }

    fn graph(&self, g: &mut Graph, mut x: Value) -> Value {
        let c = &self.config;
        for i in 0..c.stem.len() {
            x = graph::conv_norm(g, &i.to_string(), &x, if i == 0 { 2 } else { 1 });
            x = g.relu(&x);
        }
        x = graph::max_pool(g, &x, 3, 2);
        for block in c.stages().into_iter().flatten() {
            x = block.graph(g, x);
        }
        c.head.graph(g, &c.head_name(), &x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::weights::host;
    use burn::tensor::Device;

    /// As the benchmark builds them for 12 leads and 71 statements.
    #[test]
    fn the_published_sizes_are_those_of_the_original() {
        for (name, expected) in [("xresnet1d18", 373_447), ("xresnet1d50", 962_503), ("xresnet1d101", 1_880_775)] {
            let network = Xresnet1d::new(Xresnet1dConfig::published(name, 12, 71).unwrap()).unwrap();
            let found = network.params().iter().map(|spec| spec.shape.iter().product::<usize>()).sum::<usize>();
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn blocks_start_as_their_shortcuts() {
        let network = Xresnet1d::new(Xresnet1dConfig::published("xresnet1d50", 12, 5).unwrap()).unwrap();
        let zero_gains = network
            .params()
            .into_iter()
            .filter(|spec| spec.init == Init::Zeros && spec.name.ends_with(".1.weight"))
            .count();
        assert_eq!(zero_gains, 3 + 4 + 6 + 3);
    }

    #[test]
    fn a_last_sample_without_neighbor_stays() {
        let x = Tensor::<1>::from_floats([1.0, 3.0, 6.0].as_slice(), &Device::flex()).reshape([1, 1, 3]);
        assert_eq!(host(pair_means(x)), [2.0, 6.0]);
    }

    #[test]
    fn unknown_depths_and_even_kernels_are_refused() {
        assert!(matches!(Xresnet1dConfig::published("xresnet1d19", 12, 5), Err(Error::Unknown { .. })));
        let published = Xresnet1dConfig::published("xresnet1d18", 12, 5).unwrap();
        for (key, config) in [
            ("kernel", Xresnet1dConfig { kernel: 4, ..published.clone() }),
            ("stem", Xresnet1dConfig { stem: [32, 0, 64], ..published.clone() }),
            ("widths", Xresnet1dConfig { widths: vec![64; 3], ..published.clone() }),
        ] {
            let error = Xresnet1d::new(config).unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
        }
    }
}
