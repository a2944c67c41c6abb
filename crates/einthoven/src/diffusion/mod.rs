//! Diffusion: from noise to signals by repeated denoising.
//!
//! Five things that are kept apart, so that each can be exchanged alone. A [`Denoiser`] maps a
//! noisy signal, its noise level and a condition to clean signal and noise. A [`NoiseSchedule`]
//! says which levels a discrete formulation visits, a [`Parameterization`] what a network puts
//! out. A [`Sampler`] is a loop over a grid of levels that calls a denoiser and knows nothing
//! else. Guidance and clipping are denoisers around a denoiser, and a distilled student is just
//! another denoiser.
//!
//! The one time variable is the angle of [`NoiseLevel`]; step numbers, log-SNR and the time of the rectified path of flow
//! matching are views of it.
//! All randomness is drawn by the caller. Networks live in `nn`, training loops in `nn::train`.

pub mod auxiliary;
pub mod backbone;
pub mod batches;
pub mod consistency;
pub mod denoiser;
pub mod distill;
pub mod fourier_loss;
pub mod grid;
pub mod guidance;
pub mod import;
pub mod known;
pub mod latent;
pub mod level;
pub mod loss;
pub mod network;
pub mod onnx;
pub mod parameterization;
pub mod sampler;
pub mod schedule;
pub mod time;
pub mod windowed;

pub use backbone::{
    DiffusionTsBackbone, DiffwaveBackbone, DitBackbone, SssdBackbone, TemporalBlocksBackbone, UnetBackbone,
};
pub use denoiser::{Backbone, Clipped, ClippedNoise, Condition, Denoiser, NetworkDenoiser, Prediction};
pub use fourier_loss::{ErrorMeasure, fourier_loss};
pub use grid::{Spacing, angle_grid, karras_grid, log_snr_grid, rectified_grid};
pub use guidance::Guided;
pub use known::Known;
pub use level::{NoiseLevel, diffuse};
pub use loss::{Objective, Weighting};
pub use network::{Network, NetworkBackbone, NetworkConfig};
pub use parameterization::Parameterization;
pub use sampler::{SAMPLERS, Sampler};
pub use schedule::{NoiseSchedule, SCHEDULES, ScheduleSpec};
pub use time::TimeView;
pub use windowed::Windowed;
