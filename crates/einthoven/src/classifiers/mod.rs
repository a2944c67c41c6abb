//! Classifiers: from ECGs to class probabilities, behind one trait and in one list.

pub mod beat_cnn;
pub mod cnn1d;
pub mod ptbxl;
mod table;

use burn::tensor::Device;

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::run::{Progress, RunStage, Stop};
use crate::seed::Seed;

pub use table::predictions_csv;

/// A trained classifier.
pub trait Classifier {
    /// Class names in the order of the probabilities.
    fn label_names(&self) -> &[String];

    /// Class probabilities, `[n, class]`, each row adding to 1.
    ///
    /// # Errors
    /// [`Error::Shape`] or [`Error::Data`] for a data set with other leads, rate or length.
    fn predict(&self, data: &Dataset) -> Result<Vec<f64>>;
}

/// Everything that a training needs beside its data.
pub struct Training<'a> {
    /// Where checkpoints go.
    pub stage: &'a RunStage,
    /// Signals and time limit.
    pub stop: &'a Stop,
    /// Receiver of progress.
    pub progress: &'a mut dyn Progress,
    /// Device of the tensors.
    pub device: &'a Device,
    /// Seed of start weights, data order and dropout.
    pub seed: Seed,
}

/// An entry of the list.
pub trait ClassifierSpec: Sync {
    /// Name as typed by users.
    fn name(&self) -> &'static str;
    /// One line for listings.
    fn summary(&self) -> &'static str;
    /// Where it comes from.
    fn reference(&self) -> &'static str;
}

/// All classifiers.
pub static CLASSIFIERS: &[&dyn ClassifierSpec] = &[&beat_cnn::Spec];

/// The classifier of a name.
///
/// # Errors
/// [`Error::Unknown`] if there is none.
pub fn find(name: &str) -> Result<&'static dyn ClassifierSpec> {
    CLASSIFIERS.iter().copied().find(|spec| spec.name() == name).ok_or_else(|| Error::Unknown {
        kind: "classifier",
        name: name.into(),
        known: CLASSIFIERS.iter().map(|spec| spec.name().to_string()).collect(),
    })
}
