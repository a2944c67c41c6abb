//! DiffWave as lmnt-com/diffwave trains and samples it (Apache-2.0 licence; facts, not code).

use serde::Deserialize;
use serde_json::{Value, json};

use super::{count_blocks, shape_of};
use crate::config::from_json;
use crate::dataset::condition::Told;
use crate::diffusion::TimeView;
use crate::diffusion::denoiser::{Backbone, NetworkDenoiser};
use crate::diffusion::level::NoiseLevel;
use crate::diffusion::parameterization::Parameterization;
use crate::diffusion::sampler::Ddpm;
use crate::diffusion::schedule::NoiseSchedule;
use crate::error::Result;
use crate::nn::diffwave::{Diffwave, DiffwaveConfig};
use crate::nn::weights::Weights;

/// Parameters of the original that shape the network, with its defaults.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DiffwaveArguments {
    unconditional: bool,
    n_mels: usize,
    residual_layers: usize,
    residual_channels: usize,
    dilation_cycle_length: usize,
    noise_schedule: Vec<f64>,
    // Kept for whoever samples; it shapes nothing.
    #[serde(rename = "inference_noise_schedule")]
    _inference_noise_schedule: Vec<f64>,
}

impl Default for DiffwaveArguments {
    fn default() -> DiffwaveArguments {
        DiffwaveArguments {
            unconditional: false,
            n_mels: 80,
            residual_layers: 30,
            residual_channels: 64,
            dilation_cycle_length: 10,
            noise_schedule: vec![0.0; 50],
            _inference_noise_schedule: Vec::new(),
        }
    }
}

/// The network that `DiffWave(AttrDict(**arguments))` builds, with its state dict checked against it.
///
/// # Errors
/// [`crate::Error::Config`] for an argument that we do not know or a value out of range;
/// [`crate::Error::Data`] naming every array that is missing, extra or has another shape.
pub fn diffwave(arguments: &Value, weights: &Weights) -> Result<Diffwave> {
    let a: DiffwaveArguments = from_json("DiffWave", arguments)?;
    let network = Diffwave::new(DiffwaveConfig {
        channels: 1,
        width: a.residual_channels,
        layers: a.residual_layers,
        dilation_cycle: a.dilation_cycle_length,
        steps: a.noise_schedule.len(),
        mel_bands: if a.unconditional { 0 } else { a.n_mels },
        labels: 0,
        label_width: 0,
        is_paired: false,
        told: Told::default(),
    })?;
    weights.check(&network.params(), "DiffWave state dict")?;
    Ok(network)
}

/// The parameters that a state dict of `DiffWave` was made with, as far as its shapes tell them; the dilation cycle is
/// the original's default.
///
/// # Errors
/// [`crate::Error::Data`] naming an array that is missing or has another rank.
pub fn diffwave_arguments(state: &Weights) -> Result<Value> {
    let bands = match state.entries.contains_key("residual_layers.0.conditioner_projection.weight") {
        true => Some(shape_of(state, "residual_layers.0.conditioner_projection.weight", 3)?[1]),
        false => None,
    };
    Ok(json!({
        "unconditional": bands.is_none(),
        "n_mels": bands.unwrap_or(80),
        "residual_layers": count_blocks(state, "residual_layers."),
        "residual_channels": shape_of(state, "input_projection.weight", 3)?[0],
    }))
}

/// How the original samples: by a short schedule of its own, whose levels are found among those of
/// the training, with the state held within -1 to 1.
///
/// # Reference
/// Kong et al. 2021, "DiffWave", appendix B; `src/diffwave/inference.py` of lmnt-com/diffwave.
#[derive(Debug, Clone, PartialEq)]
pub struct DiffwaveDiffusion {
    training: NoiseSchedule,
    inference: NoiseSchedule,
}

impl DiffwaveDiffusion {
    /// A set-up of the betas of training and of inference.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for betas outside (0, 1).
    pub fn new(training: Vec<f64>, inference: Vec<f64>) -> Result<DiffwaveDiffusion> {
        let [training, inference] = [training, inference].map(NoiseSchedule::from_betas);
        Ok(DiffwaveDiffusion { training: training?, inference: inference? })
    }

    /// The levels that are visited, down to clean.
    pub fn grid(&self) -> Vec<NoiseLevel> {
        self.inference.levels().iter().rev().copied().chain([NoiseLevel::CLEAN]).collect()
    }

    /// The denoiser of a network.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for a schedule that ends in pure noise.
    pub fn denoiser<B: Backbone>(&self, backbone: B) -> Result<NetworkDenoiser<B>> {
        NetworkDenoiser::new(backbone, Parameterization::Noise, TimeView::StepsByAlpha(self.training.clone()))
    }

    /// The sampler.
    pub fn sampler(&self) -> Ddpm {
        Ddpm { bound: 1.0 }
    }
}
