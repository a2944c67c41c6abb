//! What the networks share: weights, layers, kernels and the networks themselves.

pub mod adamw;
pub mod device;
pub mod flat_adamw;
pub mod kernel;
pub mod layer;
pub mod s4;
pub mod train;
pub mod unet1d;
pub mod weights;
