//! What both stages learn: a signal through its codes and back, then the codes that were hidden.
//!
//! A step that is thrown away leaves no trace: codebooks and running statistics move when it was applied.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};

use super::config::Band;
use super::decoding::shown;
use super::pass::{Dropout, Pass};
use super::prior::{Lesson, Prior};
use super::quantizer::Tokens;
use super::vqvae::{Branch, Vqvae};
use crate::error::Result;
use crate::nn::running::{self, BatchStatistics};
use crate::nn::train::Learner;
use crate::nn::weights::{Params, View, Weights};
use crate::seed::{Seed, Stream};

/// Signals that are encoded at once by [`all_tokens`].
const ENCODED_AT_ONCE: usize = 64;

/// Stage 1 in training.
#[derive(Debug)]
pub struct Reconstruction {
    /// The network.
    pub network: Vqvae,
    /// Its codebooks and running statistics.
    pub buffers: Weights,
    /// Signals `[n, lead, time]` in units of the training part's standard deviation.
    pub signals: Arc<[f32]>,
    /// Signals in a batch.
    pub batch: usize,
    /// Share of hidden features in the blocks of the release's form.
    pub dropout: f64,
    /// Codes on which fewer positions of a batch fall on average start again at one of them; 0 as published.
    pub dead_below: f32,
    /// Seed of the data order and of all chance.
    pub seed: Seed,
    /// Device of the tensors.
    pub device: Device,
    found: Option<Found>,
}

/// What a step found, until it is known whether it is applied.
#[derive(Debug)]
struct Found {
    /// Buffers that the step began with; those of the first step have started codebooks.
    buffers: Weights,
    branches: [Branch; 2],
    statistics: Vec<BatchStatistics>,
    seed: Seed,
}

impl Reconstruction {
    /// Stage 1 at the start of its training: nothing hidden, no code restarted, as published.
    pub fn new(
        network: Vqvae,
        buffers: Weights,
        signals: Arc<[f32]>,
        batch: usize,
        seed: Seed,
        device: Device,
    ) -> Self {
        Reconstruction { network, buffers, signals, batch, dropout: 0.0, dead_below: 0.0, seed, device, found: None }
    }
}

impl Learner for Reconstruction {
    fn loss(&mut self, params: &Params, step: u64) -> Result<(Tensor<1>, Vec<u64>)> {
        let seed = self.seed.index(step);
        let size = self.network.config().channels * self.network.config().length;
        let items = drawn_items(seed, self.signals.len() / size, self.batch);
        let x = signals(&self.network, &self.signals, &items, &self.device.clone().autodiff());
        let (root, mut buffers) = (params.root(), self.buffers.clone());
        if !self.network.has_codebooks(&buffers) {
            self.network.start_codebooks(&root, &mut buffers, x.clone(), seed.purpose("codebooks"))?;
        }
        let mut pass = Pass::training(&buffers, dropout(self.dropout, seed));
        let branches = self.network.forward(&root, &mut pass, x)?;
        let statistics = pass.into_statistics();
        let [low, high] = Band::BOTH.map(|band| self.network.losses(&branches[band as usize], band).total());
        self.found = Some(Found { buffers, branches, statistics, seed });
        Ok((low + high, items.into_iter().map(|item| item as u64).collect()))
    }

    fn applied(&mut self) {
        let Some(Found { mut buffers, branches, statistics, seed }) = self.found.take() else { return };
        self.network.follow(&mut buffers, &branches, &statistics);
        self.network.restart_dead_codes(&mut buffers, &branches, self.dead_below, seed.purpose("restart"));
        self.buffers = buffers;
    }

    fn notes(&self) -> Vec<(&'static str, f64)> {
        let Some(Found { branches: [low, high], .. }) = &self.found else { return Vec::new() };
        vec![("perplexity_low", low.quantized.perplexity), ("perplexity_high", high.quantized.perplexity)]
    }

    fn buffers(&self) -> Weights {
        self.buffers.clone()
    }

    fn set_buffers(&mut self, buffers: Weights) {
        self.buffers = buffers;
    }
}

/// Stage 2 in training, on codes that no longer change.
#[derive(Debug)]
pub struct Completion {
    /// The network.
    pub network: Prior,
    /// Its running statistics.
    pub buffers: Weights,
    /// Codes of all items, low band first.
    pub tokens: Arc<[Tokens; 2]>,
    /// Labels of each item. A step tells the prior one of them, drawn anew; an item without any has no class.
    pub labels: Arc<[Vec<usize>]>,
    /// Items in a batch.
    pub batch: usize,
    /// Share of items whose class is hidden, so that the prior also learns "no class".
    pub label_dropout: f64,
    /// Share of hidden features of the embedded codes.
    pub dropout: f64,
    /// Seed of the data order and of all chance.
    pub seed: Seed,
    /// Statistics of a step, until it is known whether it is applied.
    found: Vec<BatchStatistics>,
}

impl Completion {
    /// Stage 2 at the start of its training, with every class told and nothing else hidden than codes.
    pub fn new(
        network: Prior,
        buffers: Weights,
        tokens: Arc<[Tokens; 2]>,
        labels: Arc<[Vec<usize>]>,
        batch: usize,
        seed: Seed,
    ) -> Self {
        let found = Vec::new();
        Completion { network, buffers, tokens, labels, batch, label_dropout: 0.0, dropout: 0.0, seed, found }
    }

    /// The class that a step is told of an item; the number of classes where it is told none.
    fn told(&self, item: usize, stream: &mut Stream) -> usize {
        // Both are drawn for every item, so that the numbers of one do not depend on the labels of another.
        let (hidden, which) = (stream.uniform() < self.label_dropout, stream.uniform());
        match self.labels[item].as_slice() {
            labels if hidden || labels.is_empty() => self.network.config().classes,
            labels => labels[(which * labels.len() as f64) as usize],
        }
    }
}

impl Learner for Completion {
    fn loss(&mut self, params: &Params, step: u64) -> Result<(Tensor<1>, Vec<u64>)> {
        let seed = self.seed.index(step);
        let items = drawn_items(seed, self.tokens[0].len(), self.batch);
        let mut stream = seed.purpose("classes").stream();
        let classes: Vec<usize> = items.iter().map(|&item| self.told(item, &mut stream)).collect();
        let tokens = Band::BOTH
            .map(|band| -> Tokens { items.iter().map(|&item| self.tokens[band as usize][item].clone()).collect() });
        let mut stream = seed.purpose("hidden").stream();
        let shown = tokens.each_ref().map(|tokens| -> Vec<Vec<bool>> {
            let of_item = |codes: &Vec<usize>| {
                let scores: Vec<f32> = codes.iter().map(|_| stream.uniform() as f32).collect();
                shown(stream.uniform(), &scores)
            };
            tokens.iter().map(of_item).collect()
        });
        let mut pass = Pass::training(&self.buffers, dropout(self.dropout, seed));
        let lesson =
            Lesson { tokens: [&tokens[0], &tokens[1]], shown: [&shown[0], &shown[1]], classes: Some(&classes) };
        // Guidance exaggerates what the class changes when codes are drawn; it is nothing to be learned.
        let [low, high] = self.network.losses(&params.root(), &mut pass, lesson, 1.0)?;
        self.found = pass.into_statistics();
        Ok((low + high, items.into_iter().map(|item| item as u64).collect()))
    }

    fn applied(&mut self) {
        running::follow(&mut self.buffers, &std::mem::take(&mut self.found));
    }

    fn buffers(&self) -> Weights {
        self.buffers.clone()
    }

    fn set_buffers(&mut self, buffers: Weights) {
        self.buffers = buffers;
    }
}

/// Codes of all signals `[n, lead, time]`, low band first.
///
/// # Errors
/// As [`Vqvae::tokens`].
pub fn all_tokens(network: &Vqvae, p: &View, buffers: &Weights, all: &[f32], device: &Device) -> Result<[Tokens; 2]> {
    let n_items = all.len() / (network.config().channels * network.config().length);
    let mut out = [Tokens::new(), Tokens::new()];
    for items in (0..n_items).collect::<Vec<_>>().chunks(ENCODED_AT_ONCE) {
        let found = network.tokens(p, buffers, signals(network, all, items, device))?;
        out.iter_mut().zip(found).for_each(|(out, found)| out.extend(found));
    }
    Ok(out)
}

/// Items of a step, each drawn from all.
fn drawn_items(seed: Seed, n_items: usize, batch: usize) -> Vec<usize> {
    let mut stream = seed.purpose("items").stream();
    (0..batch).map(|_| stream.below(n_items)).collect()
}

fn signals(network: &Vqvae, all: &[f32], items: &[usize], device: &Device) -> Tensor<3> {
    let [n_leads, length] = [network.config().channels, network.config().length];
    let size = n_leads * length;
    let values: Vec<f32> = items.iter().flat_map(|&item| &all[item * size..][..size]).copied().collect();
    Tensor::from_data(TensorData::new(values, [items.len(), n_leads, length]), device)
}

fn dropout(share: f64, seed: Seed) -> Option<Dropout> {
    (share > 0.0).then(|| Dropout { share, stream: seed.purpose("dropout").stream() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::adamw::AdamWConfig;
    use crate::nn::timevqvae::{Form, PriorConfig, TransformerConfig, VqvaeConfig};
    use crate::nn::train::NetworkTrainee;
    use crate::run::{Snapshot, Trainee};

    const LENGTH: usize = 64;

    /// Two leads of sines, half of them twice as fast.
    fn sines(n: usize) -> Arc<[f32]> {
        let mut out = Vec::new();
        for item in 0..n {
            for lead in 0..2 {
                let turns = if item % 2 == 0 { 2.0 } else { 4.0 };
                let phase = (item * 3 + lead) as f32;
                out.extend((0..LENGTH).map(|t| (std::f32::consts::TAU * turns * t as f32 / 64.0 + phase).sin()));
            }
        }
        out.into()
    }

    fn vqvae() -> Vqvae {
        Vqvae::new(VqvaeConfig {
            width: 16,
            target_widths: [8, 16],
            codes: [16, 16],
            code_width: 4,
            encoder_blocks: 1,
            decoder_blocks: 1,
            ..VqvaeConfig::release(2, LENGTH)
        })
        .unwrap()
    }

    fn optimizer() -> AdamWConfig {
        AdamWConfig { learning_rate: 5e-3, ..AdamWConfig::default() }
    }

    fn stage1(n_steps: u64) -> NetworkTrainee<Reconstruction> {
        let network = vqvae();
        let (weights, buffers) = network.start(Seed::new(1));
        let specs = network.declared().params;
        let mut learner = Reconstruction::new(network, buffers, sines(12), 4, Seed::new(2), Device::flex());
        (learner.dropout, learner.dead_below) = (0.1, 0.5);
        NetworkTrainee::new(learner, specs, weights, optimizer(), n_steps, &Device::flex())
    }

    fn stage2(tokens: &Arc<[Tokens; 2]>, n_steps: u64) -> NetworkTrainee<Completion> {
        let transformer = |heads| TransformerConfig { width: 16, layers: 1, heads, ff_multiple: 2, has_rms_norm: true };
        let config = PriorConfig {
            form: Form::Release,
            positions: [0; 2],
            codes: [0; 2],
            embedding: 8,
            classes: 0,
            transformers: [transformer(1), transformer(2)],
        };
        let network = Prior::new(config.sized(&vqvae(), 2)).unwrap();
        let (weights, buffers) = network.start(Seed::new(3));
        let specs = network.declared().params;
        let labels = (0..12).map(|item| if item == 0 { vec![] } else { vec![item % 2] }).collect();
        let mut learner = Completion::new(network, buffers, Arc::clone(tokens), labels, 4, Seed::new(4));
        (learner.label_dropout, learner.dropout) = (0.2, 0.1);
        NetworkTrainee::new(learner, specs, weights, optimizer(), n_steps, &Device::flex())
    }

    /// Mean loss over steps.
    fn losses(trainee: &mut dyn Trainee, steps: std::ops::Range<u64>) -> f64 {
        let n = (steps.end - steps.start) as f64;
        steps.map(|step| trainee.step(step).unwrap().loss).inspect(|loss| assert!(loss.is_finite())).sum::<f64>() / n
    }

    /// A training that goes on from a snapshot ends with the bits of one that never stopped.
    fn resumes(whole: &mut dyn Trainee, again: &mut dyn Trainee, middle: Snapshot, steps: std::ops::Range<u64>) {
        again.restore(&middle).unwrap();
        losses(again, steps);
        assert_eq!(whole.snapshot().unwrap(), again.snapshot().unwrap());
    }

    #[test]
    fn both_stages_learn_and_resume_bit_for_bit() {
        let n_steps = 60;
        let mut first = stage1(n_steps);
        let begin = losses(&mut first, 0..6);
        assert!(first.learner.network.has_codebooks(&first.learner.buffers));
        losses(&mut first, 6..54);
        let middle = first.snapshot().unwrap();
        let end = losses(&mut first, 54..n_steps);
        assert!(end < 0.6 * begin, "stage 1: {begin} to {end}");
        resumes(&mut first, &mut stage1(n_steps), middle, 54..n_steps);

        let (params, device) = (first.result().on(&Device::flex()), Device::flex());
        let (network, buffers) = (&first.learner.network, &first.learner.buffers);
        let tokens = Arc::new(all_tokens(network, &params.root(), buffers, &sines(12), &device).unwrap());
        assert_eq!([tokens[0].len(), tokens[1].len()], [12, 12]);
        let mut second = stage2(&tokens, n_steps);
        let begin = losses(&mut second, 0..6);
        losses(&mut second, 6..54);
        let middle = second.snapshot().unwrap();
        let end = losses(&mut second, 54..n_steps);
        assert!(end < 0.9 * begin, "stage 2: {begin} to {end}");
        resumes(&mut second, &mut stage2(&tokens, n_steps), middle, 54..n_steps);
    }

    #[test]
    fn a_step_that_is_not_applied_leaves_the_codebooks_alone() {
        let mut learner = stage1(1).learner;
        let before = learner.buffers.clone();
        let params = learner.network.start(Seed::new(1)).0.tracked(&Device::flex());
        learner.loss(&params, 0).unwrap();
        assert_eq!(learner.buffers, before);
        learner.applied();
        assert_ne!(learner.buffers, before);
    }
}
