//! What the networks share: weights, layers, kernels and the networks themselves.

pub mod activations;
pub mod adamw;
pub mod delnet;
pub mod device;
pub mod diffusion_ts;
pub mod diffwave;
pub mod dit;
pub mod flat_adamw;
pub mod gan;
pub mod hippo;
pub mod kernel;
pub mod layer;
pub mod onnx;
pub mod recompute;
pub mod running;
pub mod s4;
pub mod shipped;
pub mod shown_beats;
pub mod sssd;
pub mod temporal_blocks;
pub mod timevqvae;
pub mod told;
pub mod train;
pub mod unet1d;
pub mod vae1d;
pub mod weights;
