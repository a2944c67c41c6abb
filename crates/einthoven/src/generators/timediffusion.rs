//! The temporal blocks of the public package `timediffusion`, trained as a denoiser of many records.
//!
//! # Differs from the original
//! The package fits one series by repeated subtraction; here the stack is a backbone like any other, told the noise level
//! and labels. It is causal, as the original is: no point of its estimate uses what comes later, which costs quality
//! against [`super::time_diffusion`], the U-Net.

use super::diffusion_spec::DiffusionSpec;
use crate::dataset::condition::Told;
use crate::diffusion::NetworkConfig;
use crate::nn::temporal_blocks::TemporalBlocksConfig;

/// Entry of the list.
pub static SPEC: DiffusionSpec = DiffusionSpec {
    name: "timediffusion",
    summary: "temporal blocks of the timediffusion package: causal convolutions of doubling dilation",
    reference: "@misc{timediffusion, author={{timetoai}}, title={TimeDiffusion: unified framework for multiple time series \
                tasks}, howpublished={\\url{https://github.com/timetoai/TimeDiffusion}}, year={2023}}",
    // The package's default width, and its depth for 1000 points.
    published: || {
        NetworkConfig::TemporalBlocks(TemporalBlocksConfig {
            channels: 0,
            width: 128,
            max_degree: 10,
            time_width: 128,
            embedding_width: 128,
            labels: 0,
            told: Told::default(),
        })
    },
};
