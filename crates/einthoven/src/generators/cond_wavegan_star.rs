//! WaveGAN* told any set of statements, the other adversarial baseline of SSSD-ECG. Its critic sees no label.

use super::gan_model::GanSpec;
use crate::nn::gan::cond_wavegan_star::CondWaveganStarConfig;
use crate::nn::gan::network::GanNetworkConfig;

/// Entry of the list.
pub static SPEC: GanSpec = GanSpec {
    name: "cond-wavegan-star",
    summary: "conditional WaveGAN*: whole records unfolded from random vectors, steered by labels, and their critic",
    reference: "@article{alcaraz2023sssdecg, author={Alcaraz, Juan Miguel Lopez and Strodthoff, Nils}, \
                title={Diffusion-based conditional ECG generation with structured state space models}, \
                journal={Computers in Biology and Medicine}, volume={163}, pages={107115}, year={2023}}",
    published: || GanNetworkConfig::CondWaveganStar(CondWaveganStarConfig::published()),
};
