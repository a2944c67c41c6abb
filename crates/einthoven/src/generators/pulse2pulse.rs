//! Pulse2Pulse: whole records by a U-net from noise as long as they are, trained against a critic. DeepFake-ECG is what
//! the published network made.

use super::gan_model::GanSpec;
use crate::nn::gan::network::GanNetworkConfig;
use crate::nn::gan::pulse2pulse::Pulse2PulseConfig;

/// Entry of the list.
pub static SPEC: GanSpec = GanSpec {
    name: "pulse2pulse",
    summary: "Pulse2Pulse: whole records by a U-net and its critic, without labels (DeepFake-ECG)",
    reference: "@article{thambawita2021, author={Thambawita, Vajira and Isaksen, Jonas L. and Hicks, Steven A. and others}, \
                title={DeepFake electrocardiograms using generative adversarial networks are the beginning of the end for \
                privacy issues in medicine}, journal={Scientific Reports}, volume={11}, pages={21896}, year={2021}}",
    published: || GanNetworkConfig::Pulse2Pulse(Pulse2PulseConfig::published()),
};
