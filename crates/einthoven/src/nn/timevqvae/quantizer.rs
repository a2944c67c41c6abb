//! Vector quantization: each position of a latent becomes the nearest entry of a codebook.
//!
//! No gradient moves a codebook: it follows moving averages of what falls on its entries, and the gradient for what
//! was quantized is handed through as if nothing had been.

use burn::tensor::{Device, Tensor, TensorData};

use super::pass::{Declared, Pass, buffer};
use super::stft::positions;
use crate::nn::kernel::linear;
use crate::nn::weights::{Init, View, Weights, host};
use crate::seed::Stream;

/// Share that the averages keep at each step.
const DECAY: f32 = 0.8;
/// Added to the size of each cluster (Laplace smoothing).
const SMOOTHING: f32 = 1e-5;
/// Rounds of the k-means start.
const ROUNDS: usize = 10;

/// Codes of each item of a batch, position after position.
pub type Tokens = Vec<Vec<usize>>;

/// A quantizer: a shape, to be applied to parameters and buffers.
#[derive(Debug, Clone)]
pub(in crate::nn) struct Quantizer {
    /// Name in the state dict.
    pub name: String,
    /// Channels of a latent.
    pub width: usize,
    /// Numbers of a codebook entry; where they differ from the channels, linear maps lead there and back.
    pub code_width: usize,
    /// Entries.
    pub codes: usize,
    /// Whether the codebook is to be started by k-means rather than drawn.
    pub starts_by_means: bool,
}

/// A quantized latent.
#[derive(Debug, Clone)]
pub struct Quantized {
    /// Entry of each position.
    pub tokens: Tokens,
    /// What was compared with the codebook, `[batch, position, code_width]`.
    pub projected: Tensor<3>,
    /// The latent made of codebook entries, `[batch, position, width]`.
    pub latent: Tensor<3>,
    /// Mean squared distance from the codebook, whose gradient draws the encoder towards it.
    pub commitment: Tensor<1>,
    /// Exponential of the entropy of the codes in this batch: as many as are in use, if evenly.
    pub perplexity: f64,
}

impl Quantizer {
    /// Adds the parameters and buffers.
    pub fn declare(&self, out: &mut Declared) {
        let (name, codes, code_width) = (&self.name, self.codes, self.code_width);
        if self.projects() {
            out.affine(&format!("{name}.project_in"), &[code_width, self.width], Some(code_width));
            out.affine(&format!("{name}.project_out"), &[self.width, code_width], Some(self.width));
        }
        let book = format!("{name}._codebook");
        let (flag, start) =
            if self.starts_by_means { (Init::Zeros, Init::Zeros) } else { (Init::Ones, Init::Normal(1.0)) };
        out.buffer(format!("{book}.initted"), &[1], flag);
        out.buffer(format!("{book}.cluster_size"), &[codes], Init::Zeros);
        out.buffer(format!("{book}.embed_avg"), &[codes, code_width], start);
        out.buffer(format!("{book}.embed"), &[codes, code_width], start);
    }

    /// Makes the averages of a drawn codebook start at the codebook.
    pub fn start(&self, buffers: &mut Weights) {
        if let Some(embed) = buffers.entries.get(&self.array("embed")).cloned() {
            buffers.entries.insert(self.array("embed_avg"), embed);
        }
    }

    /// Starts the codebook at the means that Lloyd's algorithm finds in `samples`, `[sample, code_width]`.
    pub fn start_by_means(&self, buffers: &mut Weights, samples: &[f32], stream: &mut Stream) {
        let d = self.code_width;
        let n_samples = samples.len() / d;
        let chosen: Vec<usize> = if n_samples >= self.codes {
            stream.permutation(n_samples)[..self.codes].to_vec()
        } else {
            (0..self.codes).map(|_| stream.below(n_samples)).collect()
        };
        let mut means: Vec<f32> = chosen.iter().flat_map(|&at| &samples[at * d..][..d]).copied().collect();
        let mut sizes = vec![0.0; self.codes];
        for _ in 0..ROUNDS {
            let nearest: Vec<usize> = samples.chunks(d).map(|sample| nearest(sample, &means)).collect();
            let sums;
            (sizes, sums) = self.clusters(samples, &nearest);
            for (code, size) in sizes.iter().enumerate().filter(|(_, size)| **size > 0.0) {
                (0..d).for_each(|k| means[code * d + k] = sums[code * d + k] / size);
            }
        }
        let flag = vec![1.0];
        let arrays = [("initted", flag), ("cluster_size", sizes), ("embed_avg", means.clone()), ("embed", means)];
        for (what, values) in arrays {
            self.set(buffers, what, values);
        }
    }

    /// Whether the codebook has its first entries.
    pub fn has_started(&self, buffers: &Weights) -> bool {
        buffer(buffers, &self.array("initted")).iter().all(|&flag| flag != 0.0)
    }

    /// Quantizes a latent.
    ///
    /// # Shape
    /// `z` is `[batch, position, width]`.
    pub fn quantize(&self, root: &View, pass: &Pass, z: Tensor<3>) -> Quantized {
        let [batch, n_positions, width] = z.dims();
        let p = root.at(&self.name);
        let rows = z.reshape([batch * n_positions, width]);
        let rows =
            if self.projects() { linear(rows, p.get("project_in.weight"), p.get("project_in.bias")) } else { rows };
        let book = self.book(pass.buffers(), &rows.device());
        // Squared distance less the square of the row, which is the same for every entry.
        let squares = book.clone().square().sum_dim(1).squeeze_dim::<1>(1);
        let distances = linear(rows.clone().detach(), book.clone() * -2.0, squares);
        let nearest: Vec<i64> = distances
            .argmin(1)
            .try_into_vec_as::<i64>()
            // An index tensor can be read as integers.
            .expect("indices are integers");
        let nearest: Vec<usize> = nearest.into_iter().map(|code| code as usize).collect();
        let entries = book.select(0, positions(&nearest, &rows.device()));
        let commitment = (entries.clone() - rows.clone()).square().mean();
        // The value of the entry with the gradient of the row.
        let through = if pass.is_training() { rows.clone() + (entries - rows.clone()).detach() } else { entries };
        Quantized {
            perplexity: self.perplexity(&nearest),
            tokens: nearest.chunks(n_positions).map(<[usize]>::to_vec).collect(),
            projected: rows.reshape([batch, n_positions, self.code_width]),
            latent: self.leave(root, through).reshape([batch, n_positions, width]),
            commitment,
        }
    }

    /// The latent of codes, `[batch, position, width]`.
    pub fn latent(&self, root: &View, buffers: &Weights, tokens: &Tokens, device: &Device) -> Tensor<3> {
        let flat: Vec<usize> = tokens.iter().flatten().copied().collect();
        let entries = self.book(buffers, device).select(0, positions(&flat, device));
        self.leave(root, entries).reshape([tokens.len(), flat.len() / tokens.len(), self.width])
    }

    /// Moves the codebook towards what has fallen on its entries.
    ///
    /// # Reference
    /// van den Oord et al. 2017, appendix A.1; the sizes smoothed as in Razavi et al. 2019.
    pub fn follow(&self, buffers: &mut Weights, quantized: &Quantized) {
        let samples = host(quantized.projected.clone());
        let nearest: Vec<usize> = quantized.tokens.iter().flatten().copied().collect();
        let (counts, sums) = self.clusters(&samples, &nearest);
        let mean = |old: &[f32], new: &[f32]| -> Vec<f32> {
            old.iter().zip(new).map(|(old, new)| old * DECAY + new * (1.0 - DECAY)).collect()
        };
        let sizes = mean(buffer(buffers, &self.array("cluster_size")), &counts);
        let average = mean(buffer(buffers, &self.array("embed_avg")), &sums);
        let total: f32 = sizes.iter().sum();
        let smoothed = |size: f32| (size + SMOOTHING) / (total + self.codes as f32 * SMOOTHING) * total;
        let rows = average.chunks(self.code_width).zip(&sizes);
        let embed = rows.flat_map(|(row, &size)| row.iter().map(move |value| value / smoothed(size))).collect();
        for (what, values) in [("cluster_size", sizes), ("embed_avg", average.clone()), ("embed", embed)] {
            self.set(buffers, what, values);
        }
    }

    /// Puts a sample of the batch in the place of each entry on which fewer than `dead_below` samples fall on average,
    /// as if that many had fallen on it.
    ///
    /// # Reference
    /// Dhariwal et al. 2020, "Jukebox", section 3.1: random restarts.
    /// # Differs from the paper
    /// TimeVQVAE itself never restarts an entry, which is what 0 does.
    pub fn restart_dead(&self, buffers: &mut Weights, quantized: &Quantized, dead_below: f32, stream: &mut Stream) {
        let d = self.code_width;
        let samples = host(quantized.projected.clone());
        let [mut sizes, mut average, mut embed] =
            ["cluster_size", "embed_avg", "embed"].map(|what| buffer(buffers, &self.array(what)).to_vec());
        for code in (0..self.codes).filter(|&code| sizes[code] < dead_below).collect::<Vec<_>>() {
            let sample = &samples[stream.below(samples.len() / d) * d..][..d];
            sizes[code] = dead_below;
            embed[code * d..][..d].copy_from_slice(sample);
            average[code * d..][..d].iter_mut().zip(sample).for_each(|(sum, value)| *sum = value * dead_below);
        }
        for (what, values) in [("cluster_size", sizes), ("embed_avg", average), ("embed", embed)] {
            self.set(buffers, what, values);
        }
    }

    /// Whether linear maps lead to the codebook and back.
    pub fn projects(&self) -> bool {
        self.width != self.code_width
    }

    /// Name of one of its buffers.
    pub fn array(&self, what: &str) -> String {
        format!("{}._codebook.{what}", self.name)
    }

    /// The codebook, `[code, code_width]`.
    fn book(&self, buffers: &Weights, device: &Device) -> Tensor<2> {
        let values = buffer(buffers, &self.array("embed")).to_vec();
        Tensor::from_data(TensorData::new(values, [self.codes, self.code_width]), device)
    }

    fn leave(&self, root: &View, rows: Tensor<2>) -> Tensor<2> {
        let p = root.at(&self.name);
        if self.projects() { linear(rows, p.get("project_out.weight"), p.get("project_out.bias")) } else { rows }
    }

    fn set(&self, buffers: &mut Weights, what: &str, values: Vec<f32>) {
        if let Some(array) = buffers.entries.get_mut(&self.array(what)) {
            array.values = values;
        }
    }

    /// Number and sum of the samples of each code.
    fn clusters(&self, samples: &[f32], nearest: &[usize]) -> (Vec<f32>, Vec<f32>) {
        let d = self.code_width;
        let (mut counts, mut sums) = (vec![0.0; self.codes], vec![0.0; self.codes * d]);
        for (sample, &code) in samples.chunks(d).zip(nearest) {
            counts[code] += 1.0;
            sums[code * d..][..d].iter_mut().zip(sample).for_each(|(sum, value)| *sum += value);
        }
        (counts, sums)
    }

    fn perplexity(&self, nearest: &[usize]) -> f64 {
        let mut counts = vec![0.0; self.codes];
        nearest.iter().for_each(|&code| counts[code] += 1.0);
        let share = |count: &f64| count / nearest.len() as f64;
        // The original's small number under the logarithm.
        libm::exp(-counts.iter().map(|count| share(count) * libm::log(share(count) + 1e-10)).sum::<f64>())
    }
}

fn nearest(sample: &[f32], means: &[f32]) -> usize {
    let distance = |mean: &[f32]| -> f32 { sample.iter().zip(mean).map(|(a, b)| (a - b).powi(2)).sum() };
    let distances = means.chunks(sample.len()).map(distance).enumerate();
    distances.min_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(code, _)| code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn quantizer(codes: usize) -> (Quantizer, Weights) {
        let quantizer = Quantizer { name: "vq".into(), width: 2, code_width: 2, codes, starts_by_means: true };
        let mut declared = Declared::default();
        quantizer.declare(&mut declared);
        (quantizer, Weights::initialize(&declared.buffers, Seed::new(1)))
    }

    #[test]
    fn means_are_found_and_each_sample_gets_the_nearest() {
        let (quantizer, mut buffers) = quantizer(2);
        let samples = [0.0, 0.0, 0.2, 0.0, 5.0, 5.0, 5.2, 5.0];
        quantizer.start_by_means(&mut buffers, &samples, &mut Seed::new(4).stream());
        let device = Device::flex();
        let (params, z) = (
            Weights::default().on(&device),
            Tensor::<3>::from_data(TensorData::new(samples.to_vec(), [2, 2, 2]), &device),
        );
        let found = quantizer.quantize(&params.root(), &Pass::evaluation(&buffers), z);
        assert_eq!(found.tokens[0][0], found.tokens[0][1]);
        assert_eq!(found.tokens[1][0], found.tokens[1][1]);
        assert_ne!(found.tokens[0][0], found.tokens[1][0]);
        // Two codes in equal use; each sample is 0.1 from its mean in one of two coordinates.
        assert!((found.perplexity - 2.0).abs() < 1e-6);
        assert!((host(found.commitment)[0] - 0.005).abs() < 1e-6);
    }

    #[test]
    fn a_codebook_that_follows_one_batch_forever_ends_at_its_means() {
        let (quantizer, mut buffers) = quantizer(1);
        quantizer.set(&mut buffers, "embed", vec![9.0, 9.0]);
        let device = Device::flex();
        let z = Tensor::<3>::from_data(TensorData::new(vec![1f32, 2.0, 3.0, 6.0], [1, 2, 2]), &device);
        let params = Weights::default().on(&device);
        for _ in 0..100 {
            let found = quantizer.quantize(&params.root(), &Pass::evaluation(&buffers), z.clone());
            quantizer.follow(&mut buffers, &found);
        }
        let embed = buffer(&buffers, "vq._codebook.embed");
        assert!((embed[0] - 2.0).abs() < 1e-4 && (embed[1] - 4.0).abs() < 1e-4, "{embed:?}");
    }

    #[test]
    fn an_entry_that_nothing_falls_on_starts_again_at_a_sample() {
        let (quantizer, mut buffers) = quantizer(2);
        quantizer.set(&mut buffers, "embed", vec![1.0, 1.0, 50.0, 50.0]);
        quantizer.set(&mut buffers, "cluster_size", vec![2.0, 0.5]);
        let device = Device::flex();
        let z = Tensor::<3>::from_data(TensorData::new(vec![1f32, 2.0, 1.0, 2.0], [1, 2, 2]), &device);
        let params = Weights::default().on(&device);
        let found = quantizer.quantize(&params.root(), &Pass::evaluation(&buffers), z);
        quantizer.restart_dead(&mut buffers, &found, 1.0, &mut Seed::new(2).stream());
        assert_eq!(buffer(&buffers, "vq._codebook.embed"), [1.0, 1.0, 1.0, 2.0]);
        assert_eq!(buffer(&buffers, "vq._codebook.cluster_size"), [2.0, 1.0]);
        let before = buffers.clone();
        quantizer.restart_dead(&mut buffers, &found, 0.0, &mut Seed::new(2).stream());
        assert_eq!(buffers, before);
    }
}
