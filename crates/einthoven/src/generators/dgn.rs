//! DGN and KD-DGN: class-conditional diffusion of single beats by a 1-D U-Net, and its distilled students.

use super::diffusion_spec::DiffusionSpec;
use crate::diffusion::NetworkConfig;
use crate::nn::unet1d::Unet1dConfig;

/// Entry of the list.
pub static SPEC: DiffusionSpec = DiffusionSpec {
    name: "dgn",
    summary: "class-conditional beat diffusion (DGN) and its distilled students (KD-DGN)",
    reference: "@article{ge2025dgn, author={Ge, Beining and Chen, Nuo and Jin, Peng and Su, Xin and Lu, Xiaochun}, \
                title={Research on ECG Pathological Signal Classification Empowered by Diffusion Generative Data}, \
                journal={Journal of Electronics and Information Technology}, year={2025}, doi={10.11999/JEIT250404}}",
    published: || NetworkConfig::Unet(Unet1dConfig::dgn(64, &[1, 2, 4, 8], 0)),
};
