//! Diffusion-TS as Y-debug-sys/Diffusion-TS trains and samples it (MIT licence).

use burn::tensor::Tensor;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{GaussianDiffusion, count_blocks, shape_of};
use crate::config::from_json;
use crate::dataset::condition::Told;
use crate::diffusion::TimeView;
use crate::diffusion::denoiser::{Backbone, Condition};
use crate::diffusion::fourier_loss::{ErrorMeasure, fourier_loss};
use crate::diffusion::level::{NoiseLevel, diffuse, items_tensor};
use crate::diffusion::parameterization::Parameterization;
use crate::diffusion::sampler::Ddim;
use crate::diffusion::schedule;
use crate::error::{Error, Result};
use crate::nn::diffusion_ts::{DiffusionTs, DiffusionTsConfig, Gelu};
use crate::nn::weights::{Init, ParamSpec, Weight, Weights};

/// What a state dict is called in messages.
const STATE: &str = "Diffusion_TS state dict";

/// Arguments of the original `Diffusion_TS`, and the one that it hands on to its `Transformer`, with
/// their defaults.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Arguments {
    seq_length: usize,
    feature_size: usize,
    n_layer_enc: usize,
    n_layer_dec: usize,
    d_model: usize,
    timesteps: usize,
    sampling_timesteps: Option<usize>,
    loss_type: String,
    beta_schedule: String,
    n_heads: usize,
    mlp_hidden_times: usize,
    eta: f64,
    // Drop nothing outside training, and have no weights.
    #[serde(rename = "attn_pd")]
    _attn_pd: f64,
    #[serde(rename = "resid_pd")]
    _resid_pd: f64,
    kernel_size: Option<usize>,
    padding_size: Option<usize>,
    use_ff: bool,
    reg_weight: Option<f64>,
    block_activate: String,
}

impl Default for Arguments {
    fn default() -> Arguments {
        Arguments {
            seq_length: 0,
            feature_size: 0,
            n_layer_enc: 3,
            n_layer_dec: 6,
            d_model: 0,
            timesteps: 1000,
            sampling_timesteps: None,
            loss_type: "l1".into(),
            beta_schedule: "cosine".into(),
            n_heads: 4,
            mlp_hidden_times: 4,
            eta: 0.0,
            _attn_pd: 0.0,
            _resid_pd: 0.0,
            kernel_size: None,
            padding_size: None,
            use_ff: true,
            reg_weight: None,
            block_activate: "GELU".into(),
        }
    }
}

impl Arguments {
    /// Taps of the convolution of the seasons; the original only works where it keeps the length.
    fn season_kernel(&self) -> Result<usize> {
        match self.kernel_size {
            None if self.feature_size < 32 && self.seq_length < 64 => Ok(1),
            None => Ok(5),
            Some(kernel) if kernel % 2 == 1 && self.padding_size == Some(kernel / 2) => Ok(kernel),
            Some(kernel) => {
                let found = self.padding_size.map_or("none".to_string(), |padding| padding.to_string());
                let reason = format!("found {found}, expected half of an odd kernel_size, which is {kernel}");
                Err(Error::config("padding_size", reason))
            }
        }
    }
}

/// The network that `Diffusion_TS(**arguments)` holds, and its trained weights; the rest of the state
/// dict is the noise schedule, which must be that of the arguments.
///
/// # Errors
/// [`Error::Config`] for an argument that we do not know or a value out of range; [`Error::Data`]
/// naming the arrays that are missing, extra, have another shape or belong to another schedule.
pub fn diffusion_ts(arguments: &Value, state: &Weights) -> Result<(DiffusionTs, Weights)> {
    let a: Arguments = from_json("Diffusion_TS", arguments)?;
    let gelu = match a.block_activate.as_str() {
        "GELU" => Gelu::Exact,
        "GELU2" => Gelu::Sigmoid,
        other => return Err(Error::config("block_activate", format!("found {other:?}, expected GELU or GELU2"))),
    };
    let network = DiffusionTs::new(DiffusionTsConfig {
        channels: a.feature_size,
        length: a.seq_length,
        encoder_layers: a.n_layer_enc,
        decoder_layers: a.n_layer_dec,
        width: a.d_model,
        heads: a.n_heads,
        hidden_times: a.mlp_hidden_times,
        season_kernel: a.season_kernel()?,
        gelu,
        has_unit_seasons: false,
        labels: 0,
        told: Told::default(),
    })?;
    let buffers = diffusion_ts_process(arguments)?.buffers();
    let mut specs = network.params();
    specs.extend(buffers.entries.iter().map(|(name, buffer)| ParamSpec {
        name: name.clone(),
        shape: buffer.shape.clone(),
        init: Init::Zeros,
    }));
    state.check(&specs, STATE)?;
    let mut weights = state.clone();
    for (name, expected) in &buffers.entries {
        let stored = weights.entries.remove(name);
        // Another schedule differs by far more, and rounding to 16 bits by no more than half.
        let is_close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 + 4e-3 * b.abs();
        if stored.is_some_and(|stored| !stored.values.iter().zip(&expected.values).all(is_close)) {
            return Err(Error::data(STATE, format!("{name} is not that of the noise schedule of the arguments")));
        }
    }
    Ok((network, weights))
}

/// Arguments of `Diffusion_TS` as its arrays tell them, for whoever has the arrays alone. The number of heads leaves no trace in
/// them; all published settings have the default of four.
///
/// # Errors
/// [`Error::Data`] naming an array that is missing or has another rank.
pub fn diffusion_ts_arguments(state: &Weights) -> Result<Value> {
    let kernel = shape_of(state, "model.combine_s.weight", 3)?[2];
    let width = shape_of(state, "model.emb.sequential.1.weight", 3)?[0];
    let steps = shape_of(state, "betas", 1)?[0];
    let betas = &state.entries["betas"].values;
    // Of the two schedules the nearer: stored numbers may be rounded to 16 bits.
    let distance = |name: &str| {
        let built = schedule::find(name).and_then(|schedule| schedule.build(steps));
        let farthest = |built: schedule::NoiseSchedule| {
            built.betas().iter().zip(betas).map(|(a, &b)| (a - f64::from(b)).abs()).fold(0.0, f64::max)
        };
        built.map_or(f64::INFINITY, farthest)
    };
    let is_linear = distance("linear") < distance("cosine");
    Ok(json!({
        "seq_length": shape_of(state, "model.pos_enc.pe", 3)?[1],
        "feature_size": shape_of(state, "model.emb.sequential.1.weight", 3)?[1],
        "n_layer_enc": count_blocks(state, "model.encoder.blocks."),
        "n_layer_dec": count_blocks(state, "model.decoder.blocks."),
        "d_model": width,
        "timesteps": steps,
        "beta_schedule": if is_linear { "linear" } else { "cosine" },
        "mlp_hidden_times": shape_of(state, "model.decoder.blocks.0.mlp.0.weight", 2)?[0] / width,
        "kernel_size": kernel,
        "padding_size": kernel / 2,
    }))
}

/// How the original trains its network and samples from it.
#[derive(Debug, Clone, PartialEq)]
pub struct DiffusionTsProcess {
    /// Schedule, sampler and clipping are those of the 1-D U-Net with prediction of the signal. Its
    /// objective is not: see [`DiffusionTsProcess::loss`].
    pub gaussian: GaussianDiffusion,
    /// How errors count.
    pub measure: ErrorMeasure,
    /// How much the error of the spectrum counts; 0 for not at all.
    pub fourier_weight: f64,
}

/// The process that `Diffusion_TS(**arguments)` makes.
///
/// # Errors
/// [`Error::Config`] for an argument that we do not know or a value out of range.
pub fn diffusion_ts_process(arguments: &Value) -> Result<DiffusionTsProcess> {
    let a: Arguments = from_json("Diffusion_TS", arguments)?;
    let measure = match a.loss_type.as_str() {
        "l1" => ErrorMeasure::Absolute,
        "l2" => ErrorMeasure::Squared,
        other => return Err(Error::config("loss_type", format!("found {other:?}, expected l1 or l2"))),
    };
    let schedule = match a.beta_schedule.as_str() {
        name @ ("linear" | "cosine") => schedule::find(name)?.build(a.timesteps)?,
        other => return Err(Error::config("beta_schedule", format!("found {other:?}, expected linear or cosine"))),
    };
    let sampling_steps = a.sampling_timesteps.unwrap_or(a.timesteps);
    // Fails now rather than at the first draw.
    schedule.grid_steps(sampling_steps)?;
    Ddim::new(a.eta)?;
    let fourier_weight = a.reg_weight.unwrap_or((a.seq_length as f64).sqrt() / 5.0);
    Ok(DiffusionTsProcess {
        gaussian: GaussianDiffusion {
            schedule,
            parameterization: Parameterization::X0,
            sampling_steps,
            eta: a.eta,
            auto_normalize: false,
        },
        measure,
        fourier_weight: if a.use_ff { fourier_weight } else { 0.0 },
    })
}

impl DiffusionTsProcess {
    /// How much each step counts in the training.
    ///
    /// # Reference
    /// `loss_weight` of the original: `sqrt(1 - beta) sqrt(1 - alpha_bar) / (100 beta)`.
    pub fn step_weights(&self) -> Vec<f64> {
        let schedule = &self.gaussian.schedule;
        let steps = schedule.betas().iter().zip(schedule.levels());
        steps.map(|(beta, level)| (1.0 - beta).sqrt() * level.sigma() / beta / 100.0).collect()
    }

    /// The arrays of the noise schedule as the original's state dict holds them, `[step]` each.
    pub fn buffers(&self) -> Weights {
        let schedule = &self.gaussian.schedule;
        let alpha_bar = schedule.alpha_bar();
        let before = std::iter::once(1.0).chain(alpha_bar.iter().copied()).take(alpha_bar.len());
        let posterior = schedule.posterior();
        let each = |value: fn(NoiseLevel) -> f64| -> Vec<f64> {
            schedule.levels().iter().map(|&level| value(level)).collect()
        };
        let arrays: [(&str, Vec<f64>); 13] = [
            ("betas", schedule.betas().to_vec()),
            ("alphas_cumprod", alpha_bar.to_vec()),
            ("alphas_cumprod_prev", before.collect()),
            ("sqrt_alphas_cumprod", each(NoiseLevel::alpha)),
            ("sqrt_one_minus_alphas_cumprod", each(NoiseLevel::sigma)),
            ("log_one_minus_alphas_cumprod", each(|level| 2.0 * libm::log(level.sigma()))),
            ("sqrt_recip_alphas_cumprod", each(|level| 1.0 / level.alpha())),
            ("sqrt_recipm1_alphas_cumprod", each(|level| level.sigma() / level.alpha())),
            ("posterior_variance", posterior.variance),
            ("posterior_log_variance_clipped", posterior.log_variance_clipped),
            ("posterior_mean_coef1", posterior.mean_x0),
            ("posterior_mean_coef2", posterior.mean_x),
            ("loss_weight", self.step_weights()),
        ];
        let entries = arrays.into_iter().map(|(name, values)| {
            let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
            (name.to_string(), Weight { shape: vec![values.len()], values })
        });
        Weights { entries: entries.collect() }
    }

    /// Training loss of each item for steps and noise that the caller has drawn.
    ///
    /// # Shape
    /// `x0` and `noise` are `[batch, lead, time]`, `steps` one per item; the result is `[batch]`.
    /// # Errors
    /// [`Error::Config`] for a step beyond the schedule; [`Error::Shape`] if shapes differ.
    /// # Reference
    /// `_train_loss` of the original.
    pub fn loss<B: Backbone + ?Sized>(
        &self,
        backbone: &B,
        x0: Tensor<3>,
        noise: Tensor<3>,
        steps: &[usize],
    ) -> Result<Tensor<1>> {
        let schedule = &self.gaussian.schedule;
        if let Some(step) = steps.iter().find(|step| **step >= schedule.n_steps()) {
            return Err(Error::config("step", format!("found {step}, expected less than {}", schedule.n_steps())));
        }
        let levels: Vec<NoiseLevel> = steps.iter().map(|&step| schedule.levels()[step]).collect();
        let x = diffuse(x0.clone(), noise, &levels)?;
        let time = TimeView::Steps(schedule.clone()).tensor(&levels, &x);
        let output = backbone.predict(x, time, &Condition::none())?;
        let of_steps = self.step_weights();
        let weights = items_tensor(steps.iter().map(|&step| of_steps[step] as f32).collect(), &output.device());
        Ok(fourier_loss(output, x0, self.measure, self.fourier_weight)? * weights)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::seed::Seed;

    fn arguments() -> Value {
        json!({"seq_length": 12, "feature_size": 2, "n_layer_enc": 1, "n_layer_dec": 1, "d_model": 8, "timesteps": 30})
    }

    #[test]
    fn a_state_dict_of_another_schedule_is_refused() {
        let a: Arguments = from_json("Diffusion_TS", &arguments()).unwrap();
        let network = DiffusionTs::new(DiffusionTsConfig {
            channels: 2,
            length: 12,
            encoder_layers: 1,
            decoder_layers: 1,
            width: 8,
            heads: a.n_heads,
            hidden_times: a.mlp_hidden_times,
            season_kernel: a.season_kernel().unwrap(),
            gelu: Gelu::Exact,
            has_unit_seasons: false,
            labels: 0,
            told: Told::default(),
        });
        let network = network.unwrap();
        let mut state = Weights::initialize(&network.params(), Seed::new(3));
        let trained = state.clone();
        state.entries.extend(diffusion_ts_process(&arguments()).unwrap().buffers().entries);
        assert_eq!(diffusion_ts(&arguments(), &state).unwrap().1, trained);
        let read = diffusion_ts_arguments(&state).unwrap();
        assert_eq!(diffusion_ts(&read, &state).unwrap().0.config(), network.config());

        // Rounded to the 7 bits of a bfloat16.
        let round = |value: &f32| f32::from_bits((value.to_bits() + 0x8000) & 0xffff_0000);
        let mut rounded = state.clone();
        rounded.entries.values_mut().for_each(|weight| weight.values = weight.values.iter().map(round).collect());
        assert!(rounded != state && diffusion_ts(&diffusion_ts_arguments(&rounded).unwrap(), &rounded).is_ok());

        let mut other = arguments();
        other["beta_schedule"] = "linear".into();
        let error = diffusion_ts(&other, &state).unwrap_err().to_string();
        assert!(error.contains("alphas_cumprod is not that of the noise schedule"), "{error}");
        assert!(diffusion_ts(&arguments(), &trained).is_err());
    }

    #[test]
    fn defaults_follow_from_the_sizes_as_in_the_original() {
        let process = diffusion_ts_process(&arguments()).unwrap();
        assert_eq!(process.fourier_weight, 12f64.sqrt() / 5.0);
        assert_eq!((process.gaussian.sampling_steps, process.measure), (30, ErrorMeasure::Absolute));
        let kernel = |changes: Value| {
            let mut all = arguments();
            all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            from_json::<Arguments>("Diffusion_TS", &all).and_then(|a| a.season_kernel())
        };
        assert_eq!(kernel(json!({})).unwrap(), 1);
        assert_eq!(kernel(json!({"seq_length": 64})).unwrap(), 5);
        assert_eq!(kernel(json!({"kernel_size": 3, "padding_size": 1})).unwrap(), 3);
        assert!(kernel(json!({"kernel_size": 3})).is_err() && kernel(json!({"kernel": 3})).is_err());
    }
}
