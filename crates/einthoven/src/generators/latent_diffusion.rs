//! Diffusion in the latents of an autoencoder: any backbone, on a sequence an eighth as long.
//!
//! # Differs from the papers
//! DiffuSETS denoises with a U-Net that is told a text, ECGTwin with the transformer of this size, told text and a patient's
//! own ECG. Here a recipe names any backbone, which is told labels.

use super::diffusion_spec::DiffusionSpec;
use crate::dataset::condition::Told;
use crate::diffusion::NetworkConfig;
use crate::nn::dit::DitConfig;

/// Entry of the list.
pub static SPEC: DiffusionSpec = DiffusionSpec {
    name: "latent-diffusion",
    summary: "diffusion in the 4 x 128 latents of an autoencoder, by a transformer or any other backbone",
    reference: "@article{lai2025diffusets, author={Lai, Yongfan and Chen, Jiabo and Zhao, Qinghao and Zhang, Deyun and Wang, \
                Yue and Geng, Shijia and Li, Hongyan and Hong, Shenda}, title={DiffuSETS: 12-lead ECG generation \
                conditioned on clinical text reports and patient-specific information}, journal={Patterns}, year={2025}}",
    // The transformer of ECGTwin (arXiv:2508.02720): 7 blocks of 256 channels and 8 heads, a token for each point.
    published: || {
        NetworkConfig::Dit(DitConfig {
            channels: 0,
            patch: 1,
            width: 256,
            depth: 7,
            heads: 8,
            hidden_times: 4,
            time_width: 256,
            labels: 0,
            told: Told::default(),
        })
    },
};
