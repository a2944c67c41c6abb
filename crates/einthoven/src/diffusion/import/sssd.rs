//! SSSD-ECG as AI4HealthUOL/SSSD-ECG trains it (MIT licence).

use serde::Deserialize;
use serde_json::{Value, json};

use super::{count_blocks, shape_of};
use crate::config::from_json;
use crate::dataset::condition::Told;
use crate::error::Result;
use crate::nn::kernel::CauchySum;
use crate::nn::sssd::{Sssd, SssdConfig, StateSpace};
use crate::nn::weights::Weights;

/// Arguments of the original `SSSD_ECG`, which has no defaults.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SssdArguments {
    in_channels: usize,
    res_channels: usize,
    skip_channels: usize,
    out_channels: usize,
    num_res_layers: usize,
    diffusion_step_embed_dim_in: usize,
    diffusion_step_embed_dim_mid: usize,
    diffusion_step_embed_dim_out: usize,
    s4_lmax: usize,
    s4_d_state: usize,
    // Drops nothing outside training, and has no weights.
    #[serde(rename = "s4_dropout")]
    _s4_dropout: f64,
    s4_bidirectional: u8,
    s4_layernorm: u8,
    label_embed_classes: usize,
    label_embed_dim: usize,
}

/// The network that `SSSD_ECG(**arguments)` builds, and its trained weights; the rest of the state
/// dict are the poles, which the network keeps.
///
/// # Errors
/// [`crate::Error::Config`] for an argument that we do not know or a value out of range; [`crate::Error::Data`]
/// naming the arrays that are missing, extra or have another shape.
pub fn sssd_ecg(arguments: &Value, state: &Weights, sum: CauchySum) -> Result<(Sssd, Weights)> {
    let a: SssdArguments = from_json("SSSD_ECG", arguments)?;
    let config = SssdConfig {
        channels: a.in_channels,
        out_channels: a.out_channels,
        width: a.res_channels,
        skip_width: a.skip_channels,
        blocks: a.num_res_layers,
        step_width: [a.diffusion_step_embed_dim_in, a.diffusion_step_embed_dim_mid, a.diffusion_step_embed_dim_out],
        length: a.s4_lmax,
        state: a.s4_d_state,
        is_bidirectional: a.s4_bidirectional != 0,
        has_norm: a.s4_layernorm != 0,
        labels: a.label_embed_classes,
        label_width: a.label_embed_dim,
        is_paired: false,
        told: Told::default(),
        state_space: StateSpace::Frozen,
    };
    let network = Sssd::from_state(config, state, sum)?;
    let mut weights = state.clone();
    weights.entries.retain(|name, _| !network.buffers().entries.contains_key(name));
    weights.check(&network.params(), "SSSD_ECG state dict")?;
    Ok((network, weights))
}

/// The constructor arguments that a state dict of `SSSD_ECG` was made with, read off its shapes.
///
/// # Errors
/// [`crate::Error::Data`] naming an array that is missing or has another rank.
pub fn sssd_ecg_arguments(state: &Weights) -> Result<Value> {
    let shape = |name: &str, rank: usize| shape_of(state, name, rank);
    let block = "residual_layer.residual_blocks.0";
    let kernel = format!("{block}.S41.s4_layer.kernel.kernel");
    let n_blocks = count_blocks(state, "residual_layer.residual_blocks.");
    let [stem, first, second] = [
        shape("init_conv.0.conv.weight_v", 3)?,
        shape("residual_layer.fc_t1.weight", 2)?,
        shape("residual_layer.fc_t2.weight", 2)?,
    ];
    let (embedding, head) = (shape("embedding.weight", 2)?, shape("final_conv.2.conv.weight", 3)?);
    Ok(json!({
        "in_channels": stem[1],
        "res_channels": stem[0],
        "skip_channels": head[1],
        "out_channels": head[0],
        "num_res_layers": n_blocks,
        "diffusion_step_embed_dim_in": first[1],
        "diffusion_step_embed_dim_mid": first[0],
        "diffusion_step_embed_dim_out": second[0],
        "s4_lmax": 2 * (shape(&format!("{kernel}.omega"), 2)?[0].saturating_sub(1)),
        "s4_d_state": 2 * shape(&format!("{kernel}.w"), 3)?[1],
        "s4_dropout": 0.0,
        "s4_bidirectional": u8::from(shape(&format!("{kernel}.C"), 4)?[0] == 2),
        "s4_layernorm": u8::from(state.entries.contains_key(&format!("{block}.S41.norm_layer.weight"))),
        "label_embed_classes": embedding[0],
        "label_embed_dim": embedding[1],
    }))
}
