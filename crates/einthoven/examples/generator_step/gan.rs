//! The adversarial generators: a step of the critic with its penalty, then a step of the generator.
//!
//! A real training makes several steps of the critic for each of the generator; noise, mixing and phase shifts are fixed
//! here.

use std::rc::Rc;

use burn::tensor::{Device, Tensor};
use einthoven::error::Result;
use einthoven::experiment::adversarial::GanRecipe;
use einthoven::nn::adamw::AdamWConfig;
use einthoven::nn::gan::critic::Critic;
use einthoven::nn::gan::network::{GanNetwork, GanNetworkConfig};
use einthoven::nn::gan::wgan::{critic_loss, generator_loss, gradient_penalty, mixed};
use einthoven::nn::train::Learner;
use einthoven::nn::weights::{Params, Weights};
use einthoven::run::{Tensors, Trainee};
use einthoven::seed::Stream;
use serde_json::json;

use super::stored::{Stored, trainee};
use super::worker::Work;
use super::{LABELS, LEADS, LENGTH, about, mean_square, normal, optimizer, seed};

/// What is scored in a step, each with shifts of its own.
const SCORED: [&str; 4] = ["between", "real", "made", "generated"];

fn networks(recipe: &GanRecipe) -> Result<(GanNetworkConfig, GanNetwork, Critic)> {
    let config = recipe.network.sized(LEADS, LABELS, LENGTH);
    let network = GanNetwork::new(&config, LENGTH)?;
    Ok((config, network, Critic::new(recipe.critic.sized(LEADS, LENGTH))?))
}

/// The optimizer at a hundredth of its rate: a value of the critic that is within rounding of its kink has one slope or
/// the other, which at the full rate moves the losses two steps later by percents.
fn slowed(recipe: &GanRecipe) -> AdamWConfig {
    AdamWConfig { learning_rate: 0.01 * recipe.optimizer.learning_rate, ..recipe.optimizer.clone() }
}

/// Weights of both, real signals, labels, noise for the critic and for the generator, shares and shifts.
pub fn draw(recipe: &GanRecipe) -> Result<Stored> {
    let (config, network, critic) = networks(recipe)?;
    let batch = recipe.batch;
    let mut streams: Vec<Stream> = (0..batch as u64).map(|item| seed("batch").index(item).stream()).collect();
    let mut inputs: Tensors = [normal("real", &[batch, LEADS, LENGTH], 0.1)].into();
    for noise in ["critic_noise", "generator_noise"] {
        inputs.insert(noise.into(), (vec![batch, network.n_noise()], network.draw_noise(&mut streams)));
    }
    let shares = streams.iter_mut().map(|stream| stream.uniform() as f32).collect();
    inputs.insert("share".into(), (vec![batch, 1, 1], shares));
    for scored in SCORED {
        let shifts = critic.draw_shifts(&mut streams);
        let values = shifts.iter().flatten().map(|&shift| shift as f32).collect();
        inputs.insert(format!("shifts.{scored}"), (vec![shifts.len(), batch], values));
    }
    if network.n_labels() > 0 {
        let mut stream = seed("labels").stream();
        // Labels scale the normalizations: an item without any would be flat.
        let labels = (0..batch * LABELS).map(|at| if at % LABELS == 0 { 1.0 } else { stream.below(2) as f32 });
        inputs.insert("labels".into(), (vec![batch, LABELS], labels.collect()));
    }
    let start = [
        ("critic.", Weights::initialize(&critic.params(), seed("critic"))),
        ("generator.", network.start(seed("generator"))),
    ];
    let named = |(prefix, weights): (&str, Weights)| {
        let named = weights.entries.into_iter().map(|(name, weight)| (format!("{prefix}{name}"), weight));
        named.collect::<Vec<_>>()
    };
    let weights = Weights { entries: start.into_iter().flat_map(named).collect() };
    let mut about = about(json!(config), &slowed(recipe));
    (about["critic"], about["penalty"]) = (json!(critic.config()), recipe.penalty.into());
    Ok(Stored { about, weights, inputs })
}

/// What both learn from.
struct Batch {
    network: GanNetwork,
    critic: Critic,
    penalty: f64,
    real: Tensor<3>,
    share: Tensor<3>,
    labels: Vec<f32>,
    critic_noise: Vec<f32>,
    generator_noise: Vec<f32>,
    shifts: [Vec<Vec<isize>>; 4],
}

impl Batch {
    fn of(recipe: &GanRecipe, stored: &Stored) -> Result<Batch> {
        let (_, network, critic) = networks(recipe)?;
        let tape = Device::flex().autodiff();
        let labels = if network.n_labels() > 0 { stored.values("labels")?.to_vec() } else { Vec::new() };
        let mut shifts = SCORED.map(|_| Vec::new());
        for (shifts, scored) in shifts.iter_mut().zip(SCORED) {
            let rows = stored.values(&format!("shifts.{scored}"))?.chunks(recipe.batch);
            *shifts = rows.map(|row| row.iter().map(|&shift| shift as isize).collect()).collect();
        }
        Ok(Batch {
            network,
            critic,
            penalty: recipe.penalty,
            real: stored.tensor("real", &tape)?,
            share: stored.tensor("share", &tape)?,
            labels,
            critic_noise: stored.values("critic_noise")?.to_vec(),
            generator_noise: stored.values("generator_noise")?.to_vec(),
            shifts,
        })
    }
}

struct Judging {
    batch: Rc<Batch>,
    /// Weights of the generator as they are now.
    generator: Params,
}

impl Learner for Judging {
    fn loss(&mut self, params: &Params, _step: u64) -> Result<(Tensor<1>, Vec<u64>)> {
        let Batch { network, critic, penalty, real, share, labels, critic_noise, shifts, .. } = &*self.batch;
        let (p, device) = (params.root(), Device::flex());
        let (made, _) = network.forward_training(&self.generator.root(), critic_noise, labels, &device)?;
        let made = made.to_device(&device.autodiff());
        let between = mixed(real.clone(), made.clone(), share.clone());
        let penalty = gradient_penalty(critic.input_gradient(&p, between, &shifts[0])?, *penalty);
        let real = critic.forward(&p, real.clone(), &shifts[1])?;
        let made = critic.forward(&p, made, &shifts[2])?;
        Ok((critic_loss(real, made, penalty), Vec::new()))
    }
}

struct Making {
    batch: Rc<Batch>,
    /// Weights of the critic as they are now.
    critic: Params,
}

impl Learner for Making {
    fn loss(&mut self, params: &Params, _step: u64) -> Result<(Tensor<1>, Vec<u64>)> {
        let Batch { network, critic, labels, generator_noise, shifts, .. } = &*self.batch;
        let tape = Device::flex().autodiff();
        let (made, _) = network.forward_training(&params.root(), generator_noise, labels, &tape)?;
        let score = critic.forward(&self.critic.root(), made, &shifts[3])?;
        Ok((generator_loss(score), Vec::new()))
    }
}

/// Both steps; the value is the critic's loss less the generator's, in which no score of a made signal cancels.
pub fn train(recipe: &GanRecipe, stored: Stored) -> Result<Work> {
    let batch = Rc::new(Batch::of(recipe, &stored)?);
    let (of_critic, of_generator) = (stored.below("critic."), stored.below("generator."));
    let (device, tape) = (Device::flex(), Device::flex().autodiff());
    let judging = Judging { batch: Rc::clone(&batch), generator: of_generator.on(&device) };
    let making = Making { batch: Rc::clone(&batch), critic: of_critic.on(&tape) };
    let optimizer = optimizer(&slowed(recipe));
    let mut critic = trainee(judging, batch.critic.params(), of_critic, optimizer.clone());
    let mut generator = trainee(making, batch.network.params(), of_generator, optimizer);
    let mut step = 0;
    Ok(Box::new(move || {
        step += 1;
        critic.learner.generator = generator.params(&device);
        let judged = critic.step(step)?.loss;
        generator.learner.critic = critic.params(&tape);
        Ok(judged - generator.step(step)?.loss)
    }))
}

/// Signals of a batch of noise, by running statistics as they start.
pub fn forward(recipe: &GanRecipe, stored: Stored) -> Result<Work> {
    let (batch, device) = (Batch::of(recipe, &stored)?, Device::flex());
    let params = stored.below("generator.").on(&device);
    let running = Weights::initialize(&batch.network.running(), seed("running"));
    Ok(Box::new(move || {
        let Batch { network, generator_noise, labels, .. } = &batch;
        Ok(mean_square(network.forward(&params.root(), &running, generator_noise, labels, &device)?))
    }))
}
