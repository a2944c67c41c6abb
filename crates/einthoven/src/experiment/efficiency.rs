//! Size, memory and time of the generators, measured side by side.

use std::time::Instant;

use serde::Serialize;

use crate::error::Result;
use crate::generators::diffusion_model::DiffusionModel;
use crate::generators::{Generator, Item, SampleRequest};
use crate::seed::Seed;
use crate::signal::median::median;

/// Bytes that the allocator has handed out; the command brings a counting allocator.
pub trait MemoryProbe {
    /// Bytes in use now.
    fn current(&self) -> usize;
    /// Most bytes in use since [`MemoryProbe::reset_peak`].
    fn peak(&self) -> usize;
    /// Starts a new peak at the bytes in use now.
    fn reset_peak(&self);
}

/// One way of drawing a batch, to be timed.
pub struct Contender<'a> {
    /// Name in tables.
    pub name: String,
    /// The model.
    pub model: &'a DiffusionModel,
    /// Sampler by name.
    pub sampler: String,
    /// Denoiser calls.
    pub steps: usize,
    /// Timed repetitions.
    pub runs: usize,
}

/// What was measured of one contender.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Name in tables.
    pub name: String,
    /// Sampler by name.
    pub sampler: String,
    /// Denoiser calls per beat.
    pub steps: usize,
    /// Bytes of the weights as f32.
    pub size_bytes: usize,
    /// Peak bytes above idle while sampling one batch, weights included; `None` without a probe.
    pub peak_memory_bytes: Option<usize>,
    /// Beats in the batch.
    pub beats: usize,
    /// Wall time of each repetition, seconds.
    pub seconds: Vec<f64>,
    /// Median of `seconds`.
    pub median_seconds: f64,
    /// Beats per second at the median.
    pub beats_per_second: f64,
}

/// Times contenders in interleaved rounds and measures the peak memory of each once.
///
/// # Errors
/// As [`Generator::sample_into`].
pub fn measure(
    contenders: &[Contender],
    beats: usize,
    probe: Option<&dyn MemoryProbe>,
    seed: Seed,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Vec<Measured>> {
    let request = |c: &Contender| {
        let n_classes = c.model.card().label_names.len();
        let classes: Vec<usize> = (0..beats).map(|i| i % n_classes).collect();
        SampleRequest {
            sampler: c.sampler.clone(),
            batch: beats,
            ..SampleRequest::new(Item::of_classes(&classes), c.steps)
        }
    };
    let total: usize = contenders.iter().map(|c| c.runs + 1).sum();
    let mut done = 0;
    let mut peaks = Vec::new();
    for c in contenders {
        // A short draw in a model of its own: its weights count, those of the others are idle.
        peaks.push(match probe {
            Some(probe) => {
                probe.reset_peak();
                let idle = probe.current();
                let model = DiffusionModel::new(c.model.card().clone(), c.model.state().clone(), c.model.device())?;
                let short = SampleRequest { steps: c.steps.min(4), ..request(c) };
                model.sample(&short, seed)?;
                Some(probe.peak().saturating_sub(idle))
            }
            None => None,
        });
        done += 1;
        progress(done, total);
    }
    let mut seconds = vec![Vec::new(); contenders.len()];
    let rounds = contenders.iter().map(|c| c.runs).max().unwrap_or(0);
    for round in 0..rounds {
        for (c, seconds) in contenders.iter().zip(&mut seconds) {
            if round < c.runs {
                let start = Instant::now();
                c.model.sample(&request(c), seed)?;
                seconds.push(start.elapsed().as_secs_f64());
                done += 1;
                progress(done, total);
            }
        }
    }
    Ok(contenders
        .iter()
        .zip(seconds)
        .zip(peaks)
        .map(|((c, seconds), peak_memory_bytes)| {
            let median_seconds = median(&seconds);
            Measured {
                name: c.name.clone(),
                sampler: c.sampler.clone(),
                steps: c.steps,
                size_bytes: c.model.n_bytes(),
                peak_memory_bytes,
                beats,
                median_seconds,
                beats_per_second: beats as f64 / median_seconds,
                seconds,
            }
        })
        .collect())
}

/// Ratio of the medians of two sets of repetitions; where both have several, also the smallest and
/// largest ratio of two repetitions of the same round.
pub fn ratio(numerator: &[f64], denominator: &[f64]) -> (f64, Option<(f64, f64)>) {
    let rounds: Vec<f64> = numerator.iter().zip(denominator).map(|(a, b)| a / b).collect();
    let value = median(numerator) / median(denominator);
    let low = rounds.iter().copied().fold(value, f64::min);
    let high = rounds.iter().copied().fold(value, f64::max);
    (value, (rounds.len() > 1).then_some((low, high)))
}
