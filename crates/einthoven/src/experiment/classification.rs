//! Training the rows of the classifier comparison, and predicting the test part.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Device;

use super::config::{Experiment, ROWS};
use super::side_by_side::side_by_side;
use super::synthesis::borrow_rr;
use crate::classifiers::beat_cnn::BeatCnn;
use crate::classifiers::{Classifier, Training};
use crate::dataset::augment::{CLASSICAL, augment};
use crate::dataset::guard::{self, Ledger, TestLook};
use crate::dataset::{Dataset, Split, mix};
use crate::error::{Error, Result};
use crate::evaluation::utility::{Comparison, Row, compare, predictions, prior_shifted};
use crate::metrics::bootstrap::BootstrapOptions;
use crate::metrics::classification::Predictions;
use crate::run::{Progress, Run, RunStage, Stop};
use crate::seed::Seed;

/// The synthetic sets that rows draw from, by row name.
pub struct SyntheticSets<'a> {
    /// By the teacher.
    pub dgn: &'a Dataset,
    /// By the student.
    pub kd_dgn: &'a Dataset,
    /// By the student of few steps.
    pub few_step: &'a Dataset,
}

/// What all rows of a split share.
pub struct Classification<'a> {
    /// The experiment.
    pub config: &'a Experiment,
    /// The run.
    pub run: &'a Run,
    /// Signals and time limit.
    pub stop: &'a Stop,
    /// Device of the tensors.
    pub device: &'a Device,
    /// Seed of the run.
    pub seed: Seed,
}

impl Classification<'_> {
    /// Trains every row with every seed on one split and scores it on the test part.
    ///
    /// # Errors
    /// [`Error::Guard`] for a leak; everything that training returns.
    pub fn compare(
        &self,
        split: &str,
        data: &Dataset,
        synthetic: &SyntheticSets,
        progress: &mut dyn Progress,
    ) -> Result<Comparison> {
        guard::check(data)?;
        let test = data.part(Split::Test);
        let (names, seeds) = (&self.config.classifier.rows, self.config.classifier.seeds);
        let sets = TrainingSets { of: self, data, synthetic, held: Mutex::default() };
        let stages = names.iter().flat_map(|name| (0..seeds).map(move |seed| (name, seed)));
        let stages: Vec<(&String, usize, RunStage)> = stages
            .map(|(name, seed)| {
                let stage = format!("classifier-{}-{name}-{seed}", split.replace(':', "-"));
                Ok((name, seed, self.run.stage_beside(&stage)?))
            })
            .collect::<Result<_>>()?;
        let steps = self.config.classifier.model.steps;
        let trained = side_by_side(&format!("classifiers {split}"), stages.len(), steps, progress, |task, progress| {
            let (name, seed, stage) = &stages[task];
            let training = sets.get(name)?;
            // The same training seed in every row, so that rows differ in their data alone.
            let seed = self.seed.purpose("classifier").purpose(split).index(*seed as u64);
            let call = Training { stage, stop: self.stop, progress, device: self.device, seed };
            self.train_and_predict(name, &training, data, &test, call)
        });
        // Also after a failure or a stop, so that the run's log holds what was trained.
        self.run.gather_metrics(&stages.iter().map(|(_, _, stage)| stage).collect::<Vec<_>>())?;
        let mut trained = trained?.into_iter();
        let mut rows = Vec::new();
        for name in names {
            rows.extend(rows_of(name, trained.by_ref().take(seeds).collect())?);
        }
        self.look(split, &test)?;
        let stage = format!("intervals {split}");
        let options = BootstrapOptions { replicates: self.config.classifier.replicates, ..BootstrapOptions::default() };
        compare(split, &test, &rows, self.seed.purpose("intervals"), options, &mut |done, total| {
            progress.update(&stage, done as u64, total as u64, "");
        })
    }

    /// One training of a row.
    fn train_and_predict(
        &self,
        name: &str,
        training: &Dataset,
        data: &Dataset,
        test: &Dataset,
        call: Training,
    ) -> Result<Trained> {
        let mut config = self.config.classifier.model.clone();
        config.class_weights = name == "class-weights";
        config.network.rr_features = name.ends_with("-rr");
        let file = call.stage.dir().join("model.safetensors");
        let model = BeatCnn::train(&config, training, call)?;
        model.save(&file)?;
        let headline = &self.config.data.headline_classes;
        let probabilities = model.predict(test)?;
        let shifted = if is_enlarged(name) {
            let counts = data.class_counts(Split::Train)?;
            let total: usize = counts.iter().sum();
            let shares: Vec<f64> = counts.iter().map(|&n| n as f64 / total as f64).collect();
            let shifted = prior_shifted(&probabilities, model.class_shares(), &shares);
            Some(predictions(test, &shifted, headline)?)
        } else {
            None
        };
        Ok(Trained {
            counts: training.class_counts(Split::Train)?,
            plain: predictions(test, &probabilities, headline)?,
            shifted,
        })
    }

    /// The training part of a row.
    fn training_set(&self, name: &str, data: &Dataset, synthetic: &SyntheticSets) -> Result<Dataset> {
        let plan = self.config.synthesis.plan()?;
        let seed = self.seed.purpose("mix");
        let with = |set: &Dataset| mix::mix(data, set, plan);
        let all = match name {
            "real" | "class-weights" | "real-rr" => data.clone(),
            "oversampled" => mix::oversample(data, plan, seed)?,
            "classical" => augment(data, plan, CLASSICAL, seed)?,
            "dgn" => with(synthetic.dgn)?,
            "kd-dgn" => with(synthetic.kd_dgn)?,
            "kd-dgn-rr" => {
                let mut set = synthetic.kd_dgn.clone();
                borrow_rr(&mut set, data, self.seed)?;
                with(&set)?
            }
            "few-step" => with(synthetic.few_step)?,
            "synthetic" => return Ok(synthetic.kd_dgn.clone()),
            "shuffled" => shuffled(data, self.seed.purpose("shuffled labels")),
            _ => {
                return Err(known(name)
                    .err()
                    .unwrap_or_else(|| Error::config("classifier.rows", "row without a training set")));
            }
        };
        Ok(all.part(Split::Train))
    }

    /// Enters the look at the test part into the run's ledger (rule L7).
    fn look(&self, split: &str, test: &Dataset) -> Result<()> {
        let mut ledger = Ledger::open(self.run.dir())?;
        ledger.record(TestLook {
            subject: format!("classifier comparison on {split}"),
            test_fingerprint: test.fingerprint(),
            config_hash: self.run.origin().config_sha256.clone(),
        })?;
        Ok(())
    }
}

/// The training parts of the rows, each made once, when first needed, and dropped with its last user.
struct TrainingSets<'a> {
    of: &'a Classification<'a>,
    data: &'a Dataset,
    synthetic: &'a SyntheticSets<'a>,
    /// By row, with the number of trainings that have not asked for it yet.
    held: Mutex<BTreeMap<String, (usize, Arc<Dataset>)>>,
}

impl TrainingSets<'_> {
    fn get(&self, name: &str) -> Result<Arc<Dataset>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, set) = match held.remove(name) {
            Some(found) => found,
            None => {
                let set = self.of.training_set(name, self.data, self.synthetic)?;
                (self.of.config.classifier.seeds, Arc::new(set))
            }
        };
        if left > 1 {
            held.insert(name.into(), (left - 1, Arc::clone(&set)));
        }
        Ok(set)
    }
}

/// What one training says of the test part.
struct Trained {
    /// Items of each class that were trained on.
    counts: Vec<usize>,
    plain: Predictions,
    /// The same under the real class shares, for rows with other shares.
    shifted: Option<Predictions>,
}

/// The row of several trainings; where class shares differ also the row under the real ones.
fn rows_of(name: &str, trained: Vec<Trained>) -> Result<Vec<Row>> {
    let (_, label, is_control) = known(name)?;
    let training_counts = trained.first().map(|one| one.counts.clone()).unwrap_or_default();
    let (plain, shifted): (Vec<_>, Vec<_>) = trained.into_iter().map(|one| (one.plain, one.shifted)).unzip();
    let row = |name: String, label: String, runs| Row {
        name,
        label,
        is_control,
        training_counts: training_counts.clone(),
        runs,
    };
    let mut rows = vec![row(name.into(), label.into(), plain)];
    let shifted: Vec<Predictions> = shifted.into_iter().flatten().collect();
    if !shifted.is_empty() {
        rows.push(row(format!("{name}-shifted"), format!("{label}, prior-shift corrected"), shifted));
    }
    Ok(rows)
}

/// Whether the row's class shares differ from the real ones.
fn is_enlarged(name: &str) -> bool {
    matches!(name, "oversampled" | "classical" | "dgn" | "kd-dgn" | "few-step")
}

fn known(name: &str) -> Result<(&'static str, &'static str, bool)> {
    ROWS.iter().find(|(row, _, _)| *row == name).copied().ok_or_else(|| Error::Unknown {
        kind: "row",
        name: name.into(),
        known: ROWS.iter().map(|(row, _, _)| (*row).to_string()).collect(),
    })
}

/// The data set with the labels of its training part in random order: what a classifier reaches
/// that cannot have learned anything.
fn shuffled(data: &Dataset, seed: Seed) -> Dataset {
    let mut out = data.clone();
    let train: Vec<usize> = (0..data.len()).filter(|&i| data.split[i] == Split::Train).collect();
    let order = seed.stream().permutation(train.len());
    let n = data.n_labels();
    for (&to, &from) in train.iter().zip(&order) {
        let from = train[from] * n;
        out.labels[to * n..(to + 1) * n].copy_from_slice(&data.labels[from..from + n]);
    }
    out
}
