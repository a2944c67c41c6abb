//! What the list of generators says of a system whose generators are diffusion models.

use std::path::Path;

use burn::tensor::Device;
use serde_json::{Value, json};

use super::diffusion_model::DiffusionModel;
use super::{Generator, GeneratorSpec, model_file};
use crate::dataset::condition::FACTS;
use crate::diffusion::NetworkConfig;
use crate::error::Result;

/// An entry of the list for a system whose generators are diffusion models.
pub struct DiffusionSpec {
    /// Name as typed by users.
    pub name: &'static str,
    /// One line for listings.
    pub summary: &'static str,
    /// BibTeX of the source.
    pub reference: &'static str,
    /// The network as published, before it is sized for the leads and labels of a data set.
    pub published: fn() -> NetworkConfig,
}

impl GeneratorSpec for DiffusionSpec {
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
        std::iter::once("label").chain(FACTS.iter().map(|fact| fact.name())).collect()
    }

    fn n_weights(&self) -> Option<usize> {
        (self.published)().n_weights().ok()
    }

    fn default_config(&self) -> Value {
        json!({ "network": (self.published)() })
    }

    fn build(&self, _config: &Value, model: Option<&Path>, device: &Device) -> Result<Box<dyn Generator>> {
        let path = model_file::trained(model, self.name)?;
        let model = DiffusionModel::load(path, device)?;
        model_file::check_generator(path, &model.card().generator, self.name)?;
        Ok(Box::new(model))
    }
}
