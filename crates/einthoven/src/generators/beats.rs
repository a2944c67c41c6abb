//! Single beats of the AAMI classes by weights that come with the library: a four-step student of DGN.

use std::path::Path;

use burn::tensor::Device;
use serde_json::{Value, json};

use super::diffusion_model::DiffusionModel;
use super::{Generator, GeneratorSpec, dgn};
use crate::error::{Error, Result};
use crate::nn::shipped;

/// Name of the generator and of its weights.
const NAME: &str = "beats";

/// Entry of the list.
pub struct Spec;

impl GeneratorSpec for Spec {
    fn name(&self) -> &'static str {
        NAME
    }

    fn summary(&self) -> &'static str {
        "single beats of MIT-BIH by AAMI class, four steps, with weights that come along (KD-DGN)"
    }

    fn reference(&self) -> &'static str {
        dgn::SPEC.reference
    }

    fn n_weights(&self) -> Option<usize> {
        let file = shipped::read(NAME).ok()?;
        Some(file.tensors.values().map(|(_, values)| values.len()).sum())
    }

    fn default_config(&self) -> Value {
        json!({})
    }

    fn build(&self, _config: &Value, model: Option<&Path>, device: &Device) -> Result<Box<dyn Generator>> {
        if let Some(path) = model {
            let reason = format!("found {}, but {NAME} brings its own weights", path.display());
            return Err(Error::config("model", reason));
        }
        Ok(Box::new(DiffusionModel::shipped(NAME, device)?))
    }
}
