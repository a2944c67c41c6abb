//! Time-Diffusion: a label-conditioned 1-D U-Net over whole records.
//!
//! # Differs from the paper
//! Nunez, Arjona and Bejar 2024 say "a U-Net adapted to one-dimensional series" and give no code; the layout here is
//! that of the beat U-Net with eight leads, v-prediction and label drop-out.

use super::diffusion_spec::DiffusionSpec;
use crate::diffusion::NetworkConfig;
use crate::nn::unet1d::Unet1dConfig;

/// Entry of the list.
pub static SPEC: DiffusionSpec = DiffusionSpec {
    name: "time-diffusion",
    summary: "Time-Diffusion: a 1-D U-Net over whole records, conditioned on labels",
    reference: "@article{nunez2024synthetic, author={Nunez, Jose Fernando and Arjona, Jamie and Bejar, Javier}, \
                title={Synthetic ECG Generation for Data Augmentation and Transfer Learning in Arrhythmia \
                Classification}, journal={arXiv:2411.18456}, year={2024}}",
    published: || NetworkConfig::Unet(Unet1dConfig::dgn(64, &[1, 2, 4, 8], 0)),
};
