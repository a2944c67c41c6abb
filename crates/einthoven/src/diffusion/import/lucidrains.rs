//! The 1-D U-Net and its Gaussian diffusion of lucidrains/denoising-diffusion-pytorch (MIT licence).

use serde::Deserialize;
use serde_json::{Value, json};

use super::{count_blocks, shape_of};
use crate::config::from_json;
use crate::dataset::condition::Told;
use crate::diffusion::TimeView;
use crate::diffusion::denoiser::{Backbone, Clipped, ClippedNoise, NetworkDenoiser};
use crate::diffusion::level::NoiseLevel;
use crate::diffusion::loss::{Objective, Weighting};
use crate::diffusion::parameterization::Parameterization;
use crate::diffusion::sampler::{Ddim, Ddpm, Sampler};
use crate::diffusion::schedule::{self, NoiseSchedule};
use crate::error::{Error, Result};
use crate::nn::unet1d::{Norm, TimeFeatures, Unet1d, Unet1dConfig};
use crate::nn::weights::Weights;

/// Arguments of the original `Unet1D`, with its defaults.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct UnetArguments {
    dim: usize,
    init_dim: Option<usize>,
    out_dim: Option<usize>,
    dim_mults: Vec<usize>,
    channels: usize,
    // Drops nothing outside training, and has no weights.
    #[serde(rename = "dropout")]
    _dropout: f64,
    self_condition: bool,
    learned_variance: bool,
    learned_sinusoidal_cond: bool,
    random_fourier_features: bool,
    learned_sinusoidal_dim: usize,
    sinusoidal_pos_emb_theta: f64,
    attn_dim_head: usize,
    attn_heads: usize,
}

impl Default for UnetArguments {
    fn default() -> UnetArguments {
        UnetArguments {
            dim: 0,
            init_dim: None,
            out_dim: None,
            dim_mults: vec![1, 2, 4, 8],
            channels: 3,
            _dropout: 0.0,
            self_condition: false,
            learned_variance: false,
            learned_sinusoidal_cond: false,
            random_fourier_features: false,
            learned_sinusoidal_dim: 16,
            sinusoidal_pos_emb_theta: 10_000.0,
            attn_dim_head: 32,
            attn_heads: 4,
        }
    }
}

/// The 1-D U-Net that `Unet1D(**arguments)` builds, with its state dict checked against it.
///
/// # Errors
/// [`Error::Config`] for an argument that we do not know or a value out of range; [`Error::Data`]
/// naming every array that is missing, extra or has another shape.
pub fn lucidrains_unet1d(arguments: &Value, weights: &Weights) -> Result<Unet1d> {
    let network = Unet1d::new(config(from_json("Unet1D", arguments)?))?;
    weights.check(&network.params(), "Unet1D state dict")?;
    Ok(network)
}

/// Our shape of the original's arguments.
fn config(a: UnetArguments) -> Unet1dConfig {
    let is_fourier = a.learned_sinusoidal_cond || a.random_fourier_features;
    Unet1dConfig {
        channels: a.channels,
        out_channels: a.out_dim.unwrap_or(a.channels * if a.learned_variance { 2 } else { 1 }),
        width: a.dim,
        stem_width: a.init_dim.unwrap_or(a.dim),
        multipliers: a.dim_mults,
        blocks: 2,
        norm: Norm::Rms,
        groups: 1,
        time_features: if is_fourier { TimeFeatures::Fourier } else { TimeFeatures::Sinusoidal },
        time_width: if is_fourier { a.learned_sinusoidal_dim } else { a.dim },
        time_theta: a.sinusoidal_pos_emb_theta,
        classes: 0,
        // The original hands its attention arguments to the middle only.
        level_attention: [4, 32],
        middle_attention: [a.attn_heads, a.attn_dim_head],
        self_condition: a.self_condition,
        stem_stride: 1,
        told: Told::default(),
        beats: false,
        waves: false,
    }
}

/// The arguments that a state dict of `Unet1D` was made with, as far as its shapes tell them. The heads of the attention in
/// the middle are the original's default, and a network that learns variances shows as one of twice the channels or more.
///
/// # Errors
/// [`Error::Data`] naming an array that is missing or has another rank.
pub fn lucidrains_unet1d_arguments(state: &Weights) -> Result<Value> {
    let stem = shape_of(state, "init_conv.weight", 3)?;
    let (stem, n_in) = (stem[0], stem[1]);
    let n_out = shape_of(state, "final_conv.weight", 3)?[0];
    // The stem and the last convolution may have a width of their own; the maps of the time have four times the network's.
    let dim = shape_of(state, "time_mlp.3.weight", 2)?[0] / 4;
    let mut multipliers = Vec::new();
    for level in 0..count_blocks(state, "downs.") {
        let name = format!("downs.{level}.3.weight");
        let width = shape_of(state, &name, 3)?[0];
        if !width.is_multiple_of(dim) {
            return Err(Error::data(name, format!("has {width} channels, expected a multiple of {dim}")));
        }
        multipliers.push(width / dim);
    }
    // A network that is shown its estimate before takes twice the channels that it gives.
    let is_self_conditioned = n_in == 2 * n_out;
    let mut arguments = json!({
        "dim": dim,
        "init_dim": stem,
        "dim_mults": multipliers,
        "channels": if is_self_conditioned { n_out } else { n_in },
        "out_dim": n_out,
        "self_condition": is_self_conditioned,
    });
    if state.entries.contains_key("time_mlp.0.weights") {
        arguments["random_fourier_features"] = true.into();
        arguments["learned_sinusoidal_dim"] = (2 * shape_of(state, "time_mlp.0.weights", 1)?[0]).into();
    }
    Ok(arguments)
}

/// Arguments of the original `GaussianDiffusion1D`, with its defaults.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DiffusionArguments {
    // Shape checks of the original; our tensors carry their own.
    #[serde(rename = "seq_length")]
    _seq_length: Option<usize>,
    #[serde(rename = "channels")]
    _channels: Option<usize>,
    timesteps: usize,
    sampling_timesteps: Option<usize>,
    objective: String,
    beta_schedule: String,
    ddim_sampling_eta: f64,
    auto_normalize: bool,
}

impl Default for DiffusionArguments {
    fn default() -> DiffusionArguments {
        DiffusionArguments {
            _seq_length: None,
            _channels: None,
            timesteps: 1000,
            sampling_timesteps: None,
            objective: "pred_noise".into(),
            beta_schedule: "cosine".into(),
            ddim_sampling_eta: 0.0,
            auto_normalize: true,
        }
    }
}

/// A published diffusion set-up: how its network was trained and is sampled from.
#[derive(Debug, Clone, PartialEq)]
pub struct GaussianDiffusion {
    /// The discrete noise schedule.
    pub schedule: NoiseSchedule,
    /// What the network puts out.
    pub parameterization: Parameterization,
    /// Denoiser calls of one draw; ancestral sampling if it is every step of the schedule.
    pub sampling_steps: usize,
    /// Share of noise in DDIM sampling.
    pub eta: f64,
    /// Whether the user's data lie in \[0, 1\] and are mapped to \[-1, 1\] inside.
    pub auto_normalize: bool,
}

/// The set-up that `GaussianDiffusion1D(model, **arguments)` makes.
///
/// # Errors
/// [`Error::Config`] for an argument that we do not know or a value out of range.
pub fn lucidrains_diffusion(arguments: &Value) -> Result<GaussianDiffusion> {
    let a: DiffusionArguments = from_json("GaussianDiffusion1D", arguments)?;
    let parameterization = match a.objective.as_str() {
        "pred_noise" => Parameterization::Noise,
        "pred_v" => Parameterization::V,
        "pred_x0" => Parameterization::X0,
        other => {
            return Err(Error::config("objective", format!("found {other:?}, expected pred_noise, pred_v or pred_x0")));
        }
    };
    let schedule = match a.beta_schedule.as_str() {
        name @ ("linear" | "cosine") => schedule::find(name)?.build(a.timesteps)?,
        other => return Err(Error::config("beta_schedule", format!("found {other:?}, expected linear or cosine"))),
    };
    let sampling_steps = a.sampling_timesteps.unwrap_or(a.timesteps);
    // Fails now rather than at the first draw.
    schedule.grid_steps(sampling_steps)?;
    Ddim::new(a.ddim_sampling_eta)?;
    Ok(GaussianDiffusion {
        schedule,
        parameterization,
        sampling_steps,
        eta: a.ddim_sampling_eta,
        auto_normalize: a.auto_normalize,
    })
}

impl GaussianDiffusion {
    /// The training objective: the original's loss weights are those of the noise error.
    pub fn objective(&self) -> Objective {
        Objective {
            parameterization: self.parameterization,
            weighting: Weighting::Noise,
            time: TimeView::Steps(self.schedule.clone()),
        }
    }

    /// The denoiser of a network, clipped to \[-1, 1\] as the original samples.
    ///
    /// The original keeps the predicted noise of a noise-predicting network and recomputes it from
    /// the clipped signal for the others.
    ///
    /// # Errors
    /// [`Error::Config`] for noise prediction with a schedule that ends in pure noise.
    pub fn denoiser<B: Backbone>(&self, backbone: B) -> Result<Clipped<NetworkDenoiser<B>>> {
        let noise = match self.parameterization {
            Parameterization::Noise => ClippedNoise::Keep,
            _ => ClippedNoise::Recompute,
        };
        let network = NetworkDenoiser::new(backbone, self.parameterization, TimeView::Steps(self.schedule.clone()))?;
        Clipped::new(network, 1.0, noise)
    }

    /// The sampler: ancestral if every step is visited, DDIM otherwise.
    ///
    /// # Errors
    /// [`Error::Config`] unless `0 <= eta <= 1`.
    pub fn sampler(&self) -> Result<Box<dyn Sampler>> {
        if self.sampling_steps == self.schedule.n_steps() {
            Ok(Box::new(Ddpm::FREE))
        } else {
            Ok(Box::new(Ddim::new(self.eta)?))
        }
    }

    /// The levels that the sampler visits.
    ///
    /// # Errors
    /// [`Error::Config`] unless there are between 1 and T sampling steps.
    pub fn grid(&self) -> Result<Vec<NoiseLevel>> {
        self.schedule.grid(self.sampling_steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn arguments_follow_from_the_arrays() {
        for arguments in [
            json!({ "dim": 64, "dim_mults": [1, 2, 4, 8], "channels": 8 }),
            json!({ "dim": 12, "init_dim": 20, "dim_mults": [1, 3], "channels": 2, "self_condition": true }),
            json!({ "dim": 8, "dim_mults": [2], "channels": 1, "random_fourier_features": true, "learned_sinusoidal_dim": 6 }),
        ] {
            let a: UnetArguments = from_json("Unet1D", &arguments).unwrap();
            let declared = config(a);
            let network = Unet1d::new(declared.clone()).unwrap();
            let state = Weights::initialize(&network.params(), Seed::new(1));
            let found = lucidrains_unet1d_arguments(&state).unwrap();
            assert_eq!(*lucidrains_unet1d(&found, &state).unwrap().config(), declared, "{found}");
        }
        let error = lucidrains_unet1d_arguments(&Weights::default()).unwrap_err().to_string();
        assert_eq!(error, "init_conv.weight: is missing");
    }
}
