//! Diffusion-TS: a transformer that estimates the clean signal as trend, season and residual.
//!
//! # Differs from the paper
//! Labels are told beside the step, which the original has not. The loss is the plain squared error of the clean signal; the
//! original's absolute error with a Fourier term is in `diffusion::import`, for its own checkpoints. Seasons are divided by the
//! length: at 1,000 points the original's start puts out values of 100 standard deviations, and one step of Adam moves them by as
//! much.

use super::diffusion_spec::DiffusionSpec;
use crate::dataset::condition::Told;
use crate::diffusion::NetworkConfig;
use crate::nn::diffusion_ts::{DiffusionTsConfig, Gelu};

/// Entry of the list.
pub static SPEC: DiffusionSpec = DiffusionSpec {
    name: "diffusion-ts",
    summary: "Diffusion-TS: a transformer whose estimate is trend, season and residual, for records of one length",
    reference: "@inproceedings{yuan2024diffusionts, author={Yuan, Xinyu and Qiao, Yan}, title={Diffusion-TS: Interpretable \
                Diffusion for General Time Series Generation}, booktitle={International Conference on Learning \
                Representations}, year={2024}}",
    // The largest of the published settings (`Config/energy.yaml`), for 10 s at 100 Hz.
    published: || {
        NetworkConfig::DiffusionTs(DiffusionTsConfig {
            channels: 0,
            length: 1000,
            encoder_layers: 4,
            decoder_layers: 3,
            width: 96,
            heads: 4,
            hidden_times: 4,
            season_kernel: 5,
            gelu: Gelu::Exact,
            has_unit_seasons: true,
            labels: 0,
            told: Told::default(),
        })
    },
};
