//! Generative adversarial networks: generators from noise, their critic, and the losses between them.
//!
//! Published checkpoints load by their own key names ([`import`]). Everything is here that one training step
//! computes, the gradient penalty and its gradients included; the steps themselves are left to a trainer.

pub mod cond_batch_norm;
pub mod cond_pulse2pulse;
pub mod critic;
pub mod import;
mod layer;
pub mod phase_shuffle;
pub mod pulse2pulse;
pub mod wavegan_star;
pub mod wgan;
