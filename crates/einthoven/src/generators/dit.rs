//! A diffusion transformer over whole records.
//!
//! # Differs from the paper
//! The paper makes images from latents of an autoencoder; here patches of the record itself are the tokens. In the
//! latents of one, the same network is [`super::latent_diffusion`]'s.

use super::diffusion_spec::DiffusionSpec;
use crate::dataset::condition::Told;
use crate::diffusion::NetworkConfig;
use crate::nn::dit::DitConfig;

/// Entry of the list.
pub static SPEC: DiffusionSpec = DiffusionSpec {
    name: "dit",
    summary: "diffusion transformer: patches of all leads as tokens, told level and labels by adaptive normalization",
    reference: "@inproceedings{peebles2023scalable, author={Peebles, William and Xie, Saining}, title={Scalable Diffusion \
                Models with Transformers}, booktitle={Proceedings of the IEEE/CVF International Conference on Computer \
                Vision}, pages={4195--4205}, year={2023}}",
    // DiT-S.
    published: || {
        NetworkConfig::Dit(DitConfig {
            channels: 0,
            patch: 8,
            width: 384,
            depth: 12,
            heads: 6,
            hidden_times: 4,
            time_width: 256,
            labels: 0,
            told: Told::default(),
        })
    },
};
