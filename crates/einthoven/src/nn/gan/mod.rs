//! Generative adversarial networks: generators from noise, their critic, and the losses between them.
//!
//! Published checkpoints load by their own key names ([`import`]). [`network`] has every generator by its
//! configuration, [`training`] lets one and its critic learn in turn.

pub mod cond_batch_norm;
pub mod cond_pulse2pulse;
pub mod cond_wavegan_star;
pub mod critic;
pub mod import;
pub(in crate::nn) mod layer;
pub mod network;
pub mod phase_shuffle;
pub mod pulse2pulse;
pub mod training;
pub mod wavegan_star;
pub mod wgan;
