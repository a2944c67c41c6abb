//! Pulse2Pulse told any set of statements, the baseline that SSSD-ECG was compared with. Its critic sees no label.

use super::gan_model::GanSpec;
use crate::nn::gan::cond_pulse2pulse::CondPulse2PulseConfig;
use crate::nn::gan::network::GanNetworkConfig;

/// Entry of the list.
pub static SPEC: GanSpec = GanSpec {
    name: "cond-pulse2pulse",
    summary: "conditional Pulse2Pulse: whole records by a U-net that labels steer, and its critic",
    reference: "@article{alcaraz2023sssdecg, author={Alcaraz, Juan Miguel Lopez and Strodthoff, Nils}, \
                title={Diffusion-based conditional ECG generation with structured state space models}, \
                journal={Computers in Biology and Medicine}, volume={163}, pages={107115}, year={2023}}",
    published: || GanNetworkConfig::CondPulse2Pulse(CondPulse2PulseConfig::published()),
};
