//! SSSD-ECG: diffusion of whole records by state space layers, conditioned on any set of statements.

use super::diffusion_spec::DiffusionSpec;
use crate::diffusion::NetworkConfig;
use crate::nn::sssd::SssdConfig;

/// Entry of the list.
pub static SPEC: DiffusionSpec = DiffusionSpec {
    name: "sssd-ecg",
    summary: "SSSD-ECG: structured state space diffusion of whole records, conditioned on labels",
    reference: "@article{alcaraz2023sssdecg, author={Alcaraz, Juan Miguel Lopez and Strodthoff, Nils}, \
                title={Diffusion-based conditional ECG generation with structured state space models}, \
                journal={Computers in Biology and Medicine}, volume={163}, pages={107115}, year={2023}}",
    published: || NetworkConfig::Sssd(SssdConfig::published(0)),
};
