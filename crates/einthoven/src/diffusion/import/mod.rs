//! Published diffusion checkpoints: their settings in our words.
//!
//! Settings are read by the original's argument names and defaults, weights by the original's keys.

mod diffusion_ts;
mod diffwave;
mod lucidrains;
mod sssd;

pub use diffusion_ts::{DiffusionTsProcess, diffusion_ts, diffusion_ts_arguments, diffusion_ts_process};
pub use diffwave::{DiffwaveDiffusion, diffwave, diffwave_arguments};
pub use lucidrains::{GaussianDiffusion, lucidrains_diffusion, lucidrains_unet1d, lucidrains_unet1d_arguments};
pub use sssd::{sssd_ecg, sssd_ecg_arguments};

use crate::error::{Error, Result};
use crate::nn::weights::Weights;

/// Shape of an array of a state dict.
fn shape_of<'a>(state: &'a Weights, name: &str, rank: usize) -> Result<&'a [usize]> {
    let shape = state.entries.get(name).map(|weight| weight.shape.as_slice());
    let shape = shape.ok_or_else(|| Error::data(name, "is missing"))?;
    if shape.len() != rank || shape.contains(&0) {
        return Err(Error::data(name, format!("has shape {shape:?}, expected {rank} axes")));
    }
    Ok(shape)
}

/// Number of blocks whose arrays are called `PREFIX0.`, `PREFIX1.` and so on.
fn count_blocks(state: &Weights, prefix: &str) -> usize {
    let number = |name: &String| name.strip_prefix(prefix)?.split('.').next()?.parse::<usize>().ok();
    state.entries.keys().filter_map(number).max().map_or(0, |last| last + 1)
}
