//! DiffWave for ECG: a stack of dilated gated layers over all leads at once, told a sum of label embeddings.
//!
//! # Differs from the paper
//! The original makes one channel of sound from a spectrogram. Here leads are channels and labels condition every
//! layer, as in the ECG setting of AI4HealthUOL/SSSD.

use super::diffusion_spec::DiffusionSpec;
use crate::dataset::condition::Told;
use crate::diffusion::NetworkConfig;
use crate::nn::diffwave::DiffwaveConfig;

/// Entry of the list.
pub static SPEC: DiffusionSpec = DiffusionSpec {
    name: "diffwave",
    summary: "DiffWave: dilated gated convolutions over all leads, conditioned on labels",
    reference: "@inproceedings{kong2021diffwave, author={Kong, Zhifeng and Ping, Wei and Huang, Jiaji and Zhao, Kexin and \
                Catanzaro, Bryan}, title={DiffWave: A Versatile Diffusion Model for Audio Synthesis}, \
                booktitle={International Conference on Learning Representations}, year={2021}}",
    published: || {
        NetworkConfig::Diffwave(DiffwaveConfig {
            channels: 0,
            width: 128,
            layers: 30,
            dilation_cycle: 10,
            steps: 200,
            mel_bands: 0,
            labels: 0,
            label_width: 128,
            is_paired: false,
            told: Told::default(),
        })
    },
};
