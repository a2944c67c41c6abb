//! What every generator is whose weights come with the library.

use std::path::Path;

use burn::tensor::Device;
use serde_json::{Value, json};

use super::diffusion_model::DiffusionModel;
use super::{Generator, GeneratorSpec};
use crate::error::{Error, Result};
use crate::nn::shipped;

/// An entry of the list for weights that come along under its name.
pub struct ShippedSpec {
    /// Name as typed by users, and of the weights.
    pub name: &'static str,
    /// One line for listings.
    pub summary: &'static str,
    /// BibTeX of the source.
    pub reference: &'static str,
    /// What its items can be asked for.
    pub conditions: &'static [&'static str],
    /// Points of an item, where they are not those of its training.
    pub sig_len: Option<usize>,
}

impl GeneratorSpec for ShippedSpec {
    fn name(&self) -> &'static str {
        self.name
    }

    fn summary(&self) -> &'static str {
        self.summary
    }

    fn reference(&self) -> &'static str {
        self.reference
    }

    fn conditions(&self) -> Vec<&'static str> {
        self.conditions.to_vec()
    }

    fn n_weights(&self) -> Option<usize> {
        let file = shipped::read(self.name).ok()?;
        Some(file.tensors.values().map(|(_, values)| values.len()).sum())
    }

    fn default_config(&self) -> Value {
        json!({})
    }

    fn build(&self, _config: &Value, model: Option<&Path>, device: &Device) -> Result<Box<dyn Generator>> {
        if let Some(path) = model {
            let reason = format!("found {}, but {} brings its own weights", path.display(), self.name);
            return Err(Error::config("model", reason));
        }
        Ok(Box::new(self.model(device)?))
    }
}

impl ShippedSpec {
    /// The model, for items as long as it draws them.
    pub(super) fn model(&self, device: &Device) -> Result<DiffusionModel> {
        let model = DiffusionModel::shipped(self.name, device)?;
        match self.sig_len {
            Some(sig_len) => model.of_length(sig_len),
            None => Ok(model),
        }
    }
}
