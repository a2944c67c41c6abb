//! Scores of classifiers with intervals over patients and training seeds, and what two of them differ by.
//!
//! A replicate is scored in one pass over sorted predictions, eight replicates at a time; a difference takes two
//! classifiers' replicates of the same draws.

use serde::{Deserialize, Serialize};

use super::bootstrap::{Bootstrap, BootstrapOptions, Interval, Sufficiency, resample, sufficiency};
use super::classification::Predictions;
use super::hypothesis::{Difference, minimum_detectable_effect};
use crate::error::{Error, Result};
use crate::seed::Seed;

/// A named score with its interval and what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreInterval {
    /// Name as in [`super::classification::ClassificationScores::named`].
    pub name: String,
    /// Value and interval.
    #[serde(flatten)]
    pub interval: Interval,
    /// Why the interval must be called "insufficient"; `None` when it need not.
    pub insufficient: Option<String>,
}

/// The difference of two classifiers in one score, on the same patients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoreDifference {
    /// Name as in [`super::classification::ClassificationScores::named`].
    pub name: String,
    /// Second minus first, with its interval.
    #[serde(flatten)]
    pub interval: Interval,
    /// Two-sided probability of the null hypothesis of no difference, not corrected for several comparisons.
    pub p_value: f64,
    /// Standard error, with `df` what [`super::hypothesis::tost`] and
    /// [`super::hypothesis::non_inferiority`] need.
    pub standard_error: f64,
    /// Degrees of freedom: patients minus one.
    pub df: f64,
    /// Smallest true difference that a two-sided test at 5 % would find with a probability of 80 %.
    pub minimum_detectable_effect: f64,
    /// Why the interval must be called "insufficient"; `None` when it need not.
    pub insufficient: Option<String>,
}

/// The scores of one classifier on the data and on every replicate: made once, for its intervals and its differences.
pub struct ScoreBootstrap<'a> {
    /// Its training seeds, on the same items.
    runs: &'a [Predictions],
    seed: Seed,
    options: BootstrapOptions,
    bootstrap: Bootstrap,
    /// Names of the scores, and why each is insufficient.
    scores: Vec<(String, Option<String>)>,
}

impl<'a> ScoreBootstrap<'a> {
    /// Judges every replicate; `runs` are the training seeds on the same items.
    ///
    /// # Errors
    /// [`Error::Data`] without runs, when they differ in items, or with fewer than two patients.
    pub fn new(runs: &'a [Predictions], seed: Seed, options: BootstrapOptions) -> Result<ScoreBootstrap<'a>> {
        let first = same_items(runs.iter())?;
        let bootstrap = resample(runs.len(), first.n_patients(), options.replicates, seed, |s, draws| {
            draws.chunks(LANES).flat_map(|draws| values(&runs[s], draws)).collect()
        })?;
        let names = first.scores().named().into_iter().map(|(name, _)| name);
        let scores = names.zip(score_insufficiency(first)).collect();
        Ok(ScoreBootstrap { runs, seed, options, bootstrap, scores })
    }

    /// Every score with its interval.
    pub fn intervals(&self) -> Vec<ScoreInterval> {
        self.scores
            .iter()
            .enumerate()
            .map(|(at, (name, insufficient))| ScoreInterval {
                name: name.clone(),
                interval: self.bootstrap.interval(at, self.options.level, self.options.method),
                insufficient: insufficient.clone(),
            })
            .collect()
    }

    /// Every score's difference, this one minus `first`, with the same drawn patients and seeds on both sides.
    ///
    /// # Errors
    /// [`Error::Data`] when the two differ in the number of runs, in items or in what was drawn.
    pub fn differences_to(&self, first: &ScoreBootstrap) -> Result<Vec<ScoreDifference>> {
        if first.runs.len() != self.runs.len() {
            let (theirs, ours) = (first.runs.len(), self.runs.len());
            let reason = format!("{theirs} runs against {ours}, expected the same training seeds");
            return Err(Error::data("comparison", reason));
        }
        if (first.seed, first.options) != (self.seed, self.options) {
            return Err(Error::data(
                "comparison",
                "replicates were drawn in two ways, expected the same seed and options",
            ));
        }
        let items = same_items(first.runs.iter().chain(self.runs))?;
        let bootstrap = self.bootstrap.minus(&first.bootstrap);
        Ok(self
            .scores
            .iter()
            .enumerate()
            .map(|(at, (name, insufficient))| {
                let standard_error = bootstrap.standard_error(at);
                ScoreDifference {
                    name: name.clone(),
                    interval: bootstrap.interval(at, self.options.level, self.options.method),
                    p_value: bootstrap.p_value(at),
                    standard_error,
                    df: items.n_patients() as f64 - 1.0,
                    // A score that is undefined in every replicate has no standard error.
                    minimum_detectable_effect: minimum_detectable_effect(standard_error, 0.05, 0.8).unwrap_or(f64::NAN),
                    insufficient: insufficient.clone(),
                }
            })
            .collect())
    }
}

/// Draws that are scored in one pass over the sorted items.
const LANES: usize = 8;

/// Every score under each of up to [`LANES`] draws of the patients.
fn values(predictions: &Predictions, draws: &[&[f64]]) -> Vec<Vec<f64>> {
    let weight = |lane: usize, patient: usize| draws.get(lane).map_or(0.0, |draw| draw[patient]);
    let weights: Vec<[f64; LANES]> =
        (0..predictions.n_patients()).map(|patient| std::array::from_fn(|lane| weight(lane, patient))).collect();
    let scores = predictions.scores_of(&weights);
    let named = scores.into_iter().take(draws.len()).map(|scores| scores.named());
    named.map(|named| named.into_iter().map(|(_, value)| value).collect()).collect()
}

impl ScoreDifference {
    /// The difference as the tests with a margin take it.
    pub fn difference(&self) -> Difference {
        Difference { value: self.interval.value, standard_error: self.standard_error, df: self.df }
    }
}

fn same_items<'a>(mut runs: impl Iterator<Item = &'a Predictions>) -> Result<&'a Predictions> {
    let first = runs.next().ok_or_else(|| Error::data("comparison", "no runs, expected at least 1"))?;
    let differs = |run: &Predictions| {
        run.classes() != first.classes()
            || run.patients() != first.patients()
            || run.class_names() != first.class_names()
            || run.headline() != first.headline()
    };
    match runs.position(differs) {
        Some(at) => {
            let reason = format!("run {} has other items, classes or patients than run 0", at + 1);
            Err(Error::data("comparison", reason))
        }
        None => Ok(first),
    }
}

/// [`sufficiency`] of every class of a set of predictions.
pub fn class_sufficiency(predictions: &Predictions) -> Vec<Sufficiency> {
    (0..predictions.class_names().len())
        .map(|class| {
            let items = predictions.classes().iter().zip(predictions.patients());
            let own: Vec<usize> = items.filter(|(c, _)| **c == class).map(|(_, patient)| *patient).collect();
            sufficiency(&own)
        })
        .collect()
}

/// Why each named score is insufficient: a class's own reason, the first of its headline classes
/// for the headline, and that of all items for the rest.
fn score_insufficiency(predictions: &Predictions) -> Vec<Option<String>> {
    let by_class = class_sufficiency(predictions);
    let names = predictions.class_names();
    let reason =
        |class: usize| by_class[class].insufficient.as_ref().map(|why| format!("class {}: {why}", names[class]));
    let all = sufficiency(predictions.patients()).insufficient;
    // A class without items is in no average, so that it cannot weaken one.
    let first_of = |classes: &[usize]| classes.iter().filter(|&&c| by_class[c].n_items > 0).find_map(|&c| reason(c));
    let every: Vec<usize> = (0..names.len()).collect();
    predictions
        .scores()
        .named()
        .iter()
        .map(|(name, _)| {
            if name.starts_with("headline_") {
                first_of(predictions.headline())
            } else if name.starts_with("macro_") || name == "mean_off_diagonal_row_rate" {
                first_of(&every)
            } else if let Some(class) = every.iter().find(|&&c| class_of(name) == Some(names[c].as_str())) {
                reason(*class)
            } else {
                all.clone()
            }
        })
        .collect()
}

/// The class at the end of a name such as `recall_S`.
fn class_of(name: &str) -> Option<&str> {
    ["precision_", "recall_", "f1_", "auroc_", "auprc_"].iter().find_map(|score| name.strip_prefix(score))
}
