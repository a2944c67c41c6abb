//! Published classifiers of the PTB-XL benchmark as runs that can be exported.

use std::path::PathBuf;

use super::import::{ImportRequest, labels, leads, leave_run, read_json};
use crate::classifiers::ptbxl::model::{BenchmarkCard, BenchmarkModel};
use crate::classifiers::ptbxl::{arguments_of, benchmark};
use crate::dataset::label::label_set;
use crate::error::Result;
use crate::nn::weights::Weights;
use crate::record::lead_law::TWELVE;

/// Role of the model of such a run.
pub(super) const ROLE: &str = "classifier";
/// Points of a crop in the benchmark: 2.5 s at 100 Hz.
const CROP: usize = 250;
/// The benchmark's tasks by the label sets that hold their statements.
const TASKS: [&str; 6] = ["ptbxl-all", "diagnostic", "subclass", "superclass", "form", "rhythm"];

/// Reads the state dict of a classifier and leaves a run with one model.
pub(super) fn import(request: &ImportRequest, state: &Weights) -> Result<PathBuf> {
    let arguments = match request.arguments {
        Some(path) => read_json(path)?,
        None => arguments_of(request.generator, state)?,
    };
    let imported = benchmark(request.generator, &arguments, state)?;
    let (n_leads, n_classes) = (imported.network.n_leads(), imported.network.n_classes());
    let published: &[&str] = if n_leads == TWELVE.len() { &TWELVE } else { &[] };
    let published: Vec<String> = published.iter().map(|lead| (*lead).to_string()).collect();
    let card = BenchmarkCard {
        format: 1,
        classifier: request.generator.into(),
        arguments,
        leads: leads(request, &published, n_leads)?,
        sig_len: request.sig_len.unwrap_or(CROP),
        fs_hz: request.fs_hz.unwrap_or(100.0),
        label_names: labels(request, task_labels(n_classes)?, n_classes)?,
    };
    let model = BenchmarkModel::new(card, imported)?;
    leave_run(request, ROLE, &model.hash()?, |path| model.save(path))
}

/// The statements of the task that has so many, which the benchmark sorts; none for other numbers.
fn task_labels(n_classes: usize) -> Result<Vec<String>> {
    for task in TASKS {
        let mut names = label_set(task)?.names();
        if names.len() == n_classes {
            names.sort();
            return Ok(names);
        }
    }
    Ok(Vec::new())
}
