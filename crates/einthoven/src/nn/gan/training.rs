//! A generator and its critic learning in turn.
//!
//! Both are trained as every network is ([`NetworkTrainee`]), each with an optimizer of its own and
//! with the other as it is at that moment. A step is one batch for the critic; every so many steps the
//! generator learns too, from the labels of that batch. All noise follows from seed, step and place
//! in the batch, and a snapshot holds both networks, both optimizers and the running statistics, so
//! that a training that was stopped ends with the same bytes.
//!
//! # Reference
//! Gulrajani et al. 2017, "Improved training of Wasserstein GANs", algorithm 1; the training scripts of
//! vlbthambawita/Pulse2Pulse and of the baselines of AI4HealthUOL/SSSD-ECG.
//!
//! # Differs from the originals
//! Running statistics follow the batches that the generator learns from, not those that it makes for its critic.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use serde_json::{Value, json};

use super::critic::Critic;
use super::network::GanNetwork;
use super::wgan::{critic_loss, generator_loss, gradient_penalty, mixed};
use crate::error::Result;
use crate::nn::adamw::AdamWConfig;
use crate::nn::kernel::is_cpu;
use crate::nn::running::{self, BatchStatistics};
use crate::nn::train::{Learner, NetworkTrainee, same_step};
use crate::nn::weights::{Params, Weights};
use crate::run::{Outcome, Snapshot, StepReport, Tensors, Trainee};
use crate::seed::{Seed, Stream};

/// Training items and the rule by which a step draws its batch.
#[derive(Debug, Clone)]
pub struct Examples {
    /// Signals `[n, lead, time]` in units of the network's output.
    pub signals: Arc<[f32]>,
    /// Label weights `[n, label]`; empty for a generator that is told none.
    pub labels: Arc<[f32]>,
    /// Shape of one signal: leads and points in time.
    pub shape: [usize; 2],
    /// Signals in a batch.
    pub batch: usize,
    /// Seed of the data order, the noise, the mixing and the phase shifts.
    pub seed: Seed,
    /// Device of the tensors.
    pub device: Device,
}

impl Examples {
    /// Items of a step, each drawn from all.
    fn items(&self, step: u64) -> Vec<usize> {
        let n_items = self.signals.len() / (self.shape[0] * self.shape[1]);
        let mut stream = self.seed.purpose("batch").index(step).stream();
        (0..self.batch).map(|_| stream.below(n_items)).collect()
    }

    /// A stream for each place in the batch.
    fn streams(&self, purpose: &str, step: u64) -> Vec<Stream> {
        let seed = self.seed.purpose(purpose).index(step);
        (0..self.batch).map(|place| seed.index(place as u64).stream()).collect()
    }

    /// Rows of `values` that belong to the items.
    fn rows(values: &[f32], size: usize, items: &[usize]) -> Vec<f32> {
        items.iter().flat_map(|item| &values[item * size..(item + 1) * size]).copied().collect()
    }

    /// The device with a gradient tape.
    fn tape(&self) -> Device {
        self.device.clone().autodiff()
    }
}

/// Learns to score real signals above those of a generator.
struct CriticLearner {
    network: Critic,
    generator: GanNetwork,
    /// Weights of the generator as they are now.
    opponent: Option<Params>,
    /// Weight of the gradient penalty.
    penalty: f64,
    examples: Examples,
}

impl Learner for CriticLearner {
    fn loss(&mut self, params: &Params, step: u64) -> Result<(Tensor<1>, Vec<u64>)> {
        let (examples, tape) = (&self.examples, self.examples.tape());
        let items = examples.items(step);
        let mut streams = examples.streams("critic", step);
        let [n_leads, sig_len] = examples.shape;
        let real = Examples::rows(&examples.signals, n_leads * sig_len, &items);
        let real = Tensor::<3>::from_data(TensorData::new(real, [items.len(), n_leads, sig_len]), &tape);
        let noise = self.generator.draw_noise(&mut streams);
        let labels = Examples::rows(&examples.labels, self.generator.n_labels(), &items);
        // GanTrainee sets it before each step.
        let opponent = self.opponent.as_ref().expect("the generator of this step");
        let (made, _) = self.generator.forward_training(&opponent.root(), &noise, &labels, &examples.device)?;
        let made = made.to_device(&tape);
        let shares: Vec<f32> = streams.iter_mut().map(|stream| stream.uniform() as f32).collect();
        let shares = Tensor::<3>::from_data(TensorData::new(shares, [items.len(), 1, 1]), &tape);

        let p = params.root();
        let between = mixed(real.clone(), made.clone(), shares);
        let gradient = self.network.input_gradient(&p, between, &self.network.draw_shifts(&mut streams))?;
        let penalty = gradient_penalty(gradient, self.penalty);
        let real = self.network.forward(&p, real, &self.network.draw_shifts(&mut streams))?;
        let made = self.network.forward(&p, made, &self.network.draw_shifts(&mut streams))?;
        Ok((critic_loss(real, made, penalty), items.into_iter().map(|item| item as u64).collect()))
    }
}

/// Learns to make signals that a critic scores as real.
struct GeneratorLearner {
    network: GanNetwork,
    critic: Critic,
    /// Weights of the critic as they are now.
    opponent: Option<Params>,
    examples: Examples,
    running: Weights,
    /// What the normalizations found in the batch at hand.
    found: Vec<BatchStatistics>,
}

impl Learner for GeneratorLearner {
    fn loss(&mut self, params: &Params, step: u64) -> Result<(Tensor<1>, Vec<u64>)> {
        let (examples, tape) = (&self.examples, self.examples.tape());
        let items = examples.items(step);
        let mut streams = examples.streams("generator", step);
        let noise = self.network.draw_noise(&mut streams);
        let labels = Examples::rows(&examples.labels, self.network.n_labels(), &items);
        let (made, found) = self.network.forward_training(&params.root(), &noise, &labels, &tape)?;
        // GanTrainee sets it before each step.
        let opponent = self.opponent.as_ref().expect("the critic of this step");
        let score = self.critic.forward(&opponent.root(), made, &self.critic.draw_shifts(&mut streams))?;
        self.found = found;
        Ok((generator_loss(score), items.into_iter().map(|item| item as u64).collect()))
    }

    fn applied(&mut self) {
        running::follow(&mut self.running, &self.found);
    }

    fn buffers(&self) -> Weights {
        self.running.clone()
    }

    fn set_buffers(&mut self, buffers: Weights) {
        self.running = buffers;
    }
}

/// What a training of both needs beside its data.
#[derive(Debug, Clone)]
pub struct GanCourse {
    /// Steps of the critic.
    pub n_steps: u64,
    /// Steps of the critic for each one of the generator.
    pub critic_steps: u64,
    /// Weight of the gradient penalty.
    pub penalty: f64,
    /// Optimizer of each of the two.
    pub optimizer: AdamWConfig,
}

/// A generator and its critic in training.
pub struct GanTrainee {
    critic: NetworkTrainee<CriticLearner>,
    generator: NetworkTrainee<GeneratorLearner>,
    critic_steps: u64,
    /// Loss of the generator's newest step, for the log.
    generator_loss: Option<f64>,
}

/// What tells the two apart in a snapshot.
const CRITIC: &str = "critic.";
const GENERATOR: &str = "generator.";

impl GanTrainee {
    /// Begins a training at start values that follow from `start`.
    pub fn new(
        network: &GanNetwork,
        critic: &Critic,
        examples: Examples,
        course: &GanCourse,
        start: Seed,
    ) -> GanTrainee {
        let (device, optimizer) = (examples.device.clone(), &course.optimizer);
        let of_critic = Weights::initialize(&critic.params(), start.purpose("critic"));
        let of_generator = network.start(start.purpose("generator"));
        let running = Weights::initialize(&network.running(), start);
        let learner = CriticLearner {
            network: critic.clone(),
            generator: network.clone(),
            opponent: None,
            penalty: course.penalty,
            examples: examples.clone(),
        };
        let n_steps = course.n_steps;
        let trained = NetworkTrainee::new(learner, critic.params(), of_critic, optimizer.clone(), n_steps, &device);
        let (network, critic) = (network.clone(), critic.clone());
        let specs = network.params();
        let learner = GeneratorLearner { network, critic, opponent: None, examples, running, found: Vec::new() };
        let n_steps = n_steps / course.critic_steps;
        let generator = NetworkTrainee::new(learner, specs, of_generator, optimizer.clone(), n_steps, &device);
        GanTrainee { critic: trained, generator, critic_steps: course.critic_steps, generator_loss: None }
    }

    /// The generator's weights to use, and its running statistics.
    pub fn result(&self) -> Weights {
        let mut state = self.generator.result();
        state.entries.extend(self.generator.learner.buffers().entries);
        state
    }

    /// Takes the first step of both on the CPU and on a device, as [`crate::nn::train::check_device`] does for one network.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] with both numbers; whatever a step returns.
    pub fn check_device(trainee: impl Fn(&Device) -> GanTrainee, device: &Device) -> Result<()> {
        if is_cpu(device) {
            return Ok(());
        }
        let (mut cpu, mut other) = (trainee(&Device::flex()), trainee(device));
        same_step(&cpu.generator_step(0)?, &other.generator_step(0)?)?;
        same_step(&cpu.critic_step(0)?, &other.critic_step(0)?)
    }

    /// One step of the critic.
    fn critic_step(&mut self, step: u64) -> Result<StepReport> {
        let device = self.critic.learner.examples.device.clone();
        self.critic.learner.opponent = Some(self.generator.params(&device));
        let report = self.critic.step(step);
        self.critic.learner.opponent = None;
        report
    }

    /// One step of the generator.
    fn generator_step(&mut self, step: u64) -> Result<StepReport> {
        let tape = self.generator.learner.examples.tape();
        self.generator.learner.opponent = Some(self.critic.params(&tape));
        let report = self.generator.step(step);
        self.generator.learner.opponent = None;
        report
    }
}

impl Trainee for GanTrainee {
    /// The critic's step, and the generator's where it is its turn. If the generator's loss is not finite, the critic
    /// has learned and the generator has not.
    fn step(&mut self, step: u64) -> Result<StepReport> {
        let mut report = self.critic_step(step)?;
        if report.outcome == Outcome::Applied && (step + 1).is_multiple_of(self.critic_steps) {
            let made = self.generator_step(step)?;
            if made.outcome == Outcome::NonFinite {
                return Ok(made);
            }
            self.generator_loss = Some(made.loss);
        }
        report.extra.extend(self.generator_loss.map(|loss| ("generator_loss", loss)));
        Ok(report)
    }

    fn snapshot(&self) -> Result<Snapshot> {
        let (critic, generator) = (self.critic.snapshot()?, self.generator.snapshot()?);
        Ok(Snapshot {
            weights: joined(critic.weights, generator.weights),
            ema: joined(critic.ema, generator.ema),
            first_moment: joined(critic.first_moment, generator.first_moment),
            second_moment: joined(critic.second_moment, generator.second_moment),
            state: json!({
                "critic": critic.state, "generator": generator.state, "generator_loss": self.generator_loss,
            }),
        })
    }

    fn restore(&mut self, snapshot: &Snapshot) -> Result<()> {
        let of = |prefix: &str, state: &Value| Snapshot {
            weights: part(&snapshot.weights, prefix),
            ema: part(&snapshot.ema, prefix),
            first_moment: part(&snapshot.first_moment, prefix),
            second_moment: part(&snapshot.second_moment, prefix),
            state: state.clone(),
        };
        self.critic.restore(&of(CRITIC, &snapshot.state["critic"]))?;
        self.generator.restore(&of(GENERATOR, &snapshot.state["generator"]))?;
        self.generator_loss = snapshot.state["generator_loss"].as_f64();
        Ok(())
    }
}

fn joined(critic: Tensors, generator: Tensors) -> Tensors {
    let named = |tensors: Tensors, prefix: &'static str| {
        tensors.into_iter().map(move |(name, tensor)| (format!("{prefix}{name}"), tensor))
    };
    named(critic, CRITIC).chain(named(generator, GENERATOR)).collect()
}

fn part(tensors: &Tensors, prefix: &str) -> Tensors {
    let own =
        tensors.iter().filter_map(|(name, tensor)| Some((name.strip_prefix(prefix)?.to_string(), tensor.clone())));
    own.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::gan::critic::CriticConfig;
    use crate::nn::gan::network::GanNetworkConfig;

    const SIG_LEN: usize = 80;

    fn trainee(kind: &str, scale: f32) -> GanTrainee {
        let config = match kind {
            "pulse2pulse" => r#"{ "kind": "pulse2pulse", "width": 10, "strides": [2, 2, 1, 1, 2, 1] }"#,
            "cond-pulse2pulse" => r#"{ "kind": "cond-pulse2pulse", "width": 10, "strides": [2, 2, 1, 1, 2] }"#,
            "cond-wavegan-star" => {
                r#"{ "kind": "cond-wavegan-star", "width": 10, "latent": 6, "strides": [2, 2, 1, 1, 2] }"#
            }
            _ => r#"{ "kind": "wavegan-star", "width": 10, "latent": 6, "strides": [2, 2, 1, 1, 2, 1] }"#,
        };
        let config: GanNetworkConfig = serde_json::from_str(config).unwrap();
        let network = GanNetwork::new(&config.sized(2, 3, SIG_LEN), SIG_LEN).unwrap();
        let critic = CriticConfig { channels: 2, width: 2, layers: 3, length: SIG_LEN, shift: 1, slope: 0.2 };
        let wave = |k: usize| scale * (0.05 * k as f32).sin();
        let examples = Examples {
            signals: (0..6 * 2 * SIG_LEN).map(wave).collect(),
            labels: if config.sized(2, 3, SIG_LEN).n_labels() > 0 {
                (0..18).map(|k| f32::from(u8::from(k % 4 == 0))).collect()
            } else {
                Vec::new().into()
            },
            shape: [2, SIG_LEN],
            batch: 4,
            seed: Seed::new(3),
            device: Device::flex(),
        };
        let optimizer = AdamWConfig {
            learning_rate: 2e-3,
            final_learning_rate: 2e-3,
            weight_decay: 0.0,
            beta1: 0.5,
            beta2: 0.9,
            clip_norm: 0.0,
            ..AdamWConfig::default()
        };
        let course = GanCourse { n_steps: 40, critic_steps: 2, penalty: 10.0, optimizer };
        GanTrainee::new(&network, &Critic::new(critic).unwrap(), examples, &course, Seed::new(1))
    }

    /// The critic learns to tell the two apart faster than a generator of a few steps learns to fool it.
    #[test]
    fn the_critics_loss_falls_and_a_restored_training_ends_with_the_same_bytes() {
        for kind in ["pulse2pulse", "cond-pulse2pulse", "wavegan-star", "cond-wavegan-star"] {
            let mut whole = trainee(kind, 0.5);
            let start = whole.result();
            let losses: Vec<f64> = (0..10).map(|step| whole.step(step).unwrap().loss).collect();
            assert!(losses.iter().all(|loss| loss.is_finite()), "{kind}: {losses:?}");
            assert!(losses[8] + losses[9] < losses[0] + losses[1], "{kind}: {losses:?}");
            assert_ne!(whole.result(), start, "{kind}");

            let mut first = trainee(kind, 0.5);
            let reports: Vec<StepReport> = (0..5).map(|step| first.step(step).unwrap()).collect();
            assert_eq!(reports[0].extra, [], "{kind}: no step of the generator yet");
            assert_eq!(reports[1].extra, reports[2].extra, "{kind}: its newest loss stays in the log");
            let mut second = trainee(kind, 0.5);
            second.restore(&first.snapshot().unwrap()).unwrap();
            let rest: Vec<f64> = (5..10).map(|step| second.step(step).unwrap().loss).collect();
            assert_eq!(rest, losses[5..], "{kind}");
            assert_eq!(second.snapshot().unwrap(), whole.snapshot().unwrap(), "{kind}");
        }
    }

    #[test]
    fn a_loss_that_is_not_finite_moves_nothing() {
        let mut trainee = trainee("wavegan-star", f32::INFINITY);
        let before = trainee.snapshot().unwrap();
        assert_eq!(trainee.step(1).unwrap().outcome, Outcome::NonFinite);
        assert_eq!(trainee.snapshot().unwrap(), before);
    }
}
