//! AdamW, gradient clipping and the exponential moving average, on the host and in one pass.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::weights::{Weight, Weights};
use crate::config::check;
use crate::error::Result;

/// Settings of the optimizer.
///
/// # Reference
/// Loshchilov and Hutter 2019, algorithm 2.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWConfig {
    /// Learning rate after warm-up.
    pub learning_rate: f64,
    /// Steps over which the learning rate rises linearly.
    pub warmup_steps: u64,
    /// Learning rate at the last step; between them half a cosine.
    pub final_learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Largest norm of the whole gradient; larger ones are scaled down to it.
    pub clip_norm: f64,
    /// Decay of the moving average of the weights; 0 keeps no average.
    pub ema_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        AdamWConfig {
            learning_rate: 1e-3,
            warmup_steps: 0,
            final_learning_rate: 1e-5,
            weight_decay: 1e-4,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            clip_norm: 1.0,
            ema_decay: 0.0,
        }
    }
}

impl AdamWConfig {
    /// Checks the learning rate and the moving average; `key` gives the full key of a field.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the key.
    pub fn validate(&self, key: impl Fn(&str) -> String) -> Result<()> {
        let (rate, ema) = (self.learning_rate, self.ema_decay);
        check(&key("learning_rate"), rate > 0.0 && rate < 1.0, rate, "above 0 and below 1")?;
        check(&key("ema_decay"), (0.0..1.0).contains(&ema), ema, "0 to below 1")
    }

    /// Learning rate of step `step` (from 0) of `steps`.
    pub fn rate(&self, step: u64, steps: u64) -> f64 {
        if step < self.warmup_steps {
            return self.learning_rate * (step + 1) as f64 / self.warmup_steps as f64;
        }
        let span = steps.saturating_sub(self.warmup_steps).max(1) as f64;
        let progress = ((step - self.warmup_steps) as f64 / span).min(1.0);
        let half_cosine = 0.5 * (1.0 + libm::cos(std::f64::consts::PI * progress));
        self.final_learning_rate + (self.learning_rate - self.final_learning_rate) * half_cosine
    }
}

/// Whether weight decay acts on a parameter of this shape.
///
/// Vectors are gains, biases and norms: decaying them only shifts their balance.
pub(super) fn is_decayed(shape: &[usize]) -> bool {
    shape.len() > 1 && shape.iter().filter(|&&n| n > 1).count() > 1
}

/// Values of a parameter per piece of work.
const PIECE: usize = 1 << 14;

/// The numbers of one update, the same for every parameter.
#[derive(Clone, Copy)]
pub(super) struct Coefficients {
    /// Learning rate.
    pub rate: f32,
    /// Learning rate times weight decay.
    pub decay: f32,
    /// What the gradient is multiplied by, so that its norm is at most `clip_norm`.
    pub scale: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// What undoes the start of the first moment at zero.
    pub first_correction: f32,
    /// What undoes the start of the second moment at zero.
    pub second_correction: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decay of the moving average, which grows with the number of updates.
    pub ema: f32,
}

impl Coefficients {
    /// For the update after `updates` earlier ones, of a gradient of this norm, in a run of `steps`.
    pub fn new(c: &AdamWConfig, updates: u64, norm: f64, steps: u64) -> Coefficients {
        let rate = c.rate(updates, steps);
        let n = (updates + 1) as f64;
        Coefficients {
            rate: rate as f32,
            decay: (rate * c.weight_decay) as f32,
            scale: if c.clip_norm > 0.0 && norm > c.clip_norm { (c.clip_norm / norm) as f32 } else { 1.0 },
            beta1: c.beta1 as f32,
            beta2: c.beta2 as f32,
            first_correction: (1.0 / (1.0 - libm::pow(c.beta1, n))) as f32,
            second_correction: (1.0 / (1.0 - libm::pow(c.beta2, n))) as f32,
            epsilon: c.epsilon as f32,
            ema: c.ema_decay.min((1.0 + n) / (10.0 + n)) as f32,
        }
    }

    /// Updates values and both moments.
    fn apply(&self, values: &mut [f32], (first, second): (&mut [f32], &mut [f32]), gradients: &[f32]) {
        let Coefficients { rate, decay, scale, beta1, beta2, first_correction, second_correction, epsilon, .. } = *self;
        for (((value, first), second), gradient) in values.iter_mut().zip(first).zip(second).zip(gradients) {
            let gradient = gradient * scale;
            *first += (1.0 - beta1) * (gradient - *first);
            *second += (1.0 - beta2) * (gradient * gradient - *second);
            let step = *first * first_correction / ((*second * second_correction).sqrt() + epsilon);
            *value -= rate * step + decay * *value;
        }
    }
}

/// State of the optimizer: moments and average.
#[derive(Debug, Clone)]
pub struct AdamW {
    /// Settings.
    pub config: AdamWConfig,
    /// First moments by parameter.
    pub first: Weights,
    /// Second moments by parameter.
    pub second: Weights,
    /// Moving average of the weights.
    pub average: Option<Weights>,
    /// Updates made.
    pub updates: u64,
}

impl AdamW {
    /// Zero moments; the average starts at the weights.
    pub fn new(config: AdamWConfig, weights: &Weights) -> AdamW {
        let zeros = || Weights {
            entries: weights
                .entries
                .iter()
                .map(|(name, w)| (name.clone(), Weight { shape: w.shape.clone(), values: vec![0.0; w.values.len()] }))
                .collect(),
        };
        let average = (config.ema_decay > 0.0).then(|| weights.clone());
        AdamW { first: zeros(), second: zeros(), average, updates: 0, config }
    }

    /// The weights to use outside training: the average, or the weights when there is none.
    pub fn averaged<'a>(&'a self, weights: &'a Weights) -> &'a Weights {
        self.average.as_ref().unwrap_or(weights)
    }

    /// Applies one step of a run of `steps`.
    ///
    /// The average follows with decay min(`ema_decay`, (1 + n) / (10 + n)) so that short runs are not
    /// held back by their start.
    pub fn update(&mut self, weights: &mut Weights, gradients: &BTreeMap<String, Vec<f32>>, norm: f64, steps: u64) {
        let coefficients = Coefficients::new(&self.config, self.updates, norm, steps);
        self.updates += 1;

        let averages: Vec<Option<&mut Weight>> = match &mut self.average {
            Some(average) => average.entries.values_mut().map(Some).collect(),
            None => weights.entries.iter().map(|_| None).collect(),
        };
        let moments = self.first.entries.values_mut().zip(self.second.entries.values_mut());
        let tasks: Vec<_> = weights.entries.iter_mut().zip(moments).zip(averages).collect();
        tasks.into_par_iter().for_each(|(((name, weight), (first, second)), average)| {
            let decay = if is_decayed(&weight.shape) { coefficients.decay } else { 0.0 };
            let coefficients = Coefficients { decay, ..coefficients };
            let moments = first.values.par_chunks_mut(PIECE).zip(second.values.par_chunks_mut(PIECE));
            let pieces = weight.values.par_chunks_mut(PIECE).zip(moments).zip(gradients[name].par_chunks(PIECE));
            match average {
                Some(average) => pieces.zip(average.values.par_chunks_mut(PIECE)).for_each(|(piece, average)| {
                    let ((values, moments), gradients) = piece;
                    coefficients.apply(values, moments, gradients);
                    // Right after it, while the values are in the cache.
                    for (average, value) in average.iter_mut().zip(&*values) {
                        *average += (1.0 - coefficients.ema) * (value - *average);
                    }
                }),
                None => pieces.for_each(|((values, moments), gradients)| {
                    coefficients.apply(values, moments, gradients);
                }),
            }
        });
    }
}

/// Euclidean norm of a whole gradient in f64: a sum per parameter, and these in name order.
pub fn gradient_norm(gradients: &BTreeMap<String, Vec<f32>>) -> f64 {
    let gradients: Vec<&Vec<f32>> = gradients.values().collect();
    let squares: Vec<f64> = gradients.into_par_iter().map(|gradient| sum_of_squares(gradient)).collect();
    squares.iter().sum::<f64>().sqrt()
}

/// Sum of squares in eight interleaved partial sums, which do not wait for each other.
fn sum_of_squares(values: &[f32]) -> f64 {
    let mut partial = [0.0f64; 8];
    for chunk in values.chunks(8) {
        for (partial, value) in partial.iter_mut().zip(chunk) {
            *partial += f64::from(*value) * f64::from(*value);
        }
    }
    partial.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value: f32) -> Weights {
        let weight = Weight { shape: vec![1], values: vec![value] };
        Weights { entries: [("w".to_string(), weight)].into() }
    }

    /// Closed form: the first Adam step moves by exactly the learning rate against the gradient.
    #[test]
    fn first_step_has_the_size_of_the_learning_rate() {
        let mut weights = one(1.0);
        let config = AdamWConfig { learning_rate: 0.1, clip_norm: 0.0, ..AdamWConfig::default() };
        let mut optimizer = AdamW::new(config, &weights);
        let gradients = [("w".to_string(), vec![3.0f32])].into();
        optimizer.update(&mut weights, &gradients, 3.0, 10);
        assert!((weights.entries["w"].values[0] - 0.9).abs() < 1e-6);
    }

    /// Against the recursion written out in f64 for 50 steps of a quadratic.
    #[test]
    fn follows_the_recursion_in_f64() {
        let mut weights = one(2.0);
        let config =
            AdamWConfig { learning_rate: 0.05, final_learning_rate: 0.0, ema_decay: 0.9, ..AdamWConfig::default() };
        let mut optimizer = AdamW::new(config.clone(), &weights);
        let (mut w, mut m, mut v, mut ema) = (2.0f64, 0.0f64, 0.0f64, 2.0f64);
        for step in 0..50u64 {
            let gradient = 2.0 * weights.entries["w"].values[0];
            optimizer.update(&mut weights, &[("w".to_string(), vec![gradient])].into(), f64::from(gradient.abs()), 50);
            let g = (2.0 * w).clamp(-1.0, 1.0);
            m = 0.9 * m + 0.1 * g;
            v = 0.999 * v + 0.001 * g * g;
            let n = (step + 1) as f64;
            let rate = 0.5 * 0.05 * (1.0 + (std::f64::consts::PI * step as f64 / 50.0).cos());
            w -= rate * (m / (1.0 - 0.9f64.powf(n))) / ((v / (1.0 - 0.999f64.powf(n))).sqrt() + 1e-8);
            let decay = 0.9f64.min((1.0 + n) / (10.0 + n));
            ema = decay * ema + (1.0 - decay) * w;
        }
        assert!((f64::from(weights.entries["w"].values[0]) - w).abs() < 1e-4, "{w}");
        let average = optimizer.averaged(&weights).entries["w"].values[0];
        assert!((f64::from(average) - ema).abs() < 1e-4, "{average} {ema}");
    }
}
