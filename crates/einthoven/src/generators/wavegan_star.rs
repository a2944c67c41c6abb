//! WaveGAN*: whole records unfolded from a short random vector, trained against a critic; what Pulse2Pulse was compared
//! with.

use super::gan_model::GanSpec;
use crate::nn::gan::network::GanNetworkConfig;
use crate::nn::gan::wavegan_star::WaveganStarConfig;

/// Entry of the list.
pub static SPEC: GanSpec = GanSpec {
    name: "wavegan-star",
    summary: "WaveGAN*: whole records unfolded from a random vector, and their critic, without labels",
    reference: "@article{thambawita2021, author={Thambawita, Vajira and Isaksen, Jonas L. and Hicks, Steven A. and others}, \
                title={DeepFake electrocardiograms using generative adversarial networks are the beginning of the end for \
                privacy issues in medicine}, journal={Scientific Reports}, volume={11}, pages={21896}, year={2021}}",
    published: || GanNetworkConfig::WaveganStar(WaveganStarConfig::published()),
};
