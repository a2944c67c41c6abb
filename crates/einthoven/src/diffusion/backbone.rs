//! The networks of `nn` as backbones.

use burn::tensor::Tensor;

use super::denoiser::{Backbone, Condition};
use crate::error::{Error, Result};
use crate::nn::unet1d::Unet1d;
use crate::nn::weights::Params;

/// A 1-D U-Net with its parameters on a device.
#[derive(Debug, Clone)]
pub struct UnetBackbone {
    /// The network.
    pub network: Unet1d,
    /// Its parameters.
    pub params: Params,
}

impl Backbone for UnetBackbone {
    fn predict(&self, x: Tensor<3>, time: Tensor<1>, condition: &Condition) -> Result<Tensor<3>> {
        condition.check(x.dims()[0])?;
        let n_classes = self.network.config().classes;
        let classes = condition.classes.iter().flatten().flatten();
        if let Some(class) = classes.copied().find(|&class| class >= n_classes) {
            return Err(Error::config("class", format!("found {class}, but the network knows {n_classes} classes")));
        }
        self.network.forward(&self.params.root(), x, time, condition.classes.as_deref(), None)
    }
}
