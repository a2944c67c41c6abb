//! Whether synthetic data help a classifier: rows of predictions on one real test part.

use serde::Serialize;

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::metrics::bootstrap::BootstrapOptions;
use crate::metrics::classification::{ClassificationInput, ClassificationScores, Predictions, patient_indexes};
use crate::metrics::hypothesis::{holm, minimum_detectable_effect};
use crate::metrics::score_bootstrap::{ScoreBootstrap, ScoreDifference, ScoreInterval};
use crate::metrics::special::normal_quantile;
use crate::seed::Seed;

/// One way of training, with its predictions of the test part for each training seed.
#[derive(Debug, Clone)]
pub struct Row {
    /// Name, unique in the comparison.
    pub name: String,
    /// As printed in tables.
    pub label: String,
    /// Whether it is a control and not a proposal.
    pub is_control: bool,
    /// Training items of each class.
    pub training_counts: Vec<usize>,
    /// One entry per training seed.
    pub runs: Vec<Predictions>,
}

/// What a row scored.
#[derive(Debug, Clone, Serialize)]
pub struct RowResult {
    /// Name, unique in the comparison.
    pub name: String,
    /// As printed in tables.
    pub label: String,
    /// Whether it is a control and not a proposal.
    pub is_control: bool,
    /// Training items of each class.
    pub training_counts: Vec<usize>,
    /// Every score, mean over seeds, with its interval over seeds and patients.
    pub scores: Vec<ScoreInterval>,
    /// Every score's difference to the first row, on the same patients; empty for the first row.
    pub differences: Vec<ScoreDifference>,
    /// Confusion matrix summed over seeds: true class by row, predicted by column.
    pub confusion: Vec<Vec<f64>>,
    /// Scores of each seed.
    pub per_seed: Vec<ClassificationScores>,
}

impl RowResult {
    /// A score by name.
    pub fn score(&self, name: &str) -> Option<&ScoreInterval> {
        self.scores.iter().find(|score| score.name == name)
    }

    /// A difference to the first row by name of the score.
    pub fn difference(&self, name: &str) -> Option<&ScoreDifference> {
        self.differences.iter().find(|difference| difference.name == name)
    }
}

/// A finished comparison on one split.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The split.
    pub split: String,
    /// Class names.
    pub class_names: Vec<String>,
    /// Test items of each class.
    pub test_counts: Vec<usize>,
    /// Patients in the test part.
    pub n_patients: usize,
    /// Rows in order; the first is what the others are compared with.
    pub rows: Vec<RowResult>,
    /// Differences in the headline scores with p values corrected for all of them (Holm).
    pub claims: Vec<Claim>,
}

/// One tested difference.
#[derive(Debug, Clone, Serialize)]
pub struct Claim {
    /// Row that is compared with the first.
    pub row: String,
    /// Score by name.
    pub score: String,
    /// Row minus first row.
    pub difference: f64,
    /// Lower end of its interval.
    pub ci_low: f64,
    /// Upper end of its interval.
    pub ci_high: f64,
    /// p value, corrected for the number of claims of this comparison.
    pub p_holm: f64,
    /// Smallest true difference that this comparison would have found with 80 % power.
    pub minimum_detectable_effect: f64,
    /// Why it must not be called a result; `None` when it may.
    pub insufficient: Option<String>,
}

/// The scores that claims are made about.
pub const CLAIMED: [&str; 3] = ["headline_f1", "headline_precision", "misidentification"];

/// Predictions of a data set, ready to be scored.
///
/// # Errors
/// [`Error::Data`] for items without exactly one class or an unknown headline class.
pub fn predictions(data: &Dataset, probabilities: &[f64], headline: &[String]) -> Result<Predictions> {
    let classes = data.classes()?;
    let (patients, _) = patient_indexes(&data.patient);
    let headline: Vec<usize> = headline
        .iter()
        .map(|name| {
            data.label_names.iter().position(|label| label == name).ok_or_else(|| Error::Unknown {
                kind: "headline class",
                name: name.clone(),
                known: data.label_names.clone(),
            })
        })
        .collect::<Result<_>>()?;
    Predictions::new(ClassificationInput {
        probabilities,
        classes: &classes,
        class_names: &data.label_names,
        patients: &patients,
        item_weights: &[],
        headline: &headline,
    })
}

/// Probabilities under the class shares that the classifier will meet instead of those it learned.
///
/// # Reference
/// Saerens, Latinne, Decaestecker 2002, eq. 2.4: p'(c) is proportional to p(c) to(c) / from(c).
pub fn prior_shifted(probabilities: &[f64], from: &[f64], to: &[f64]) -> Vec<f64> {
    let ratio: Vec<f64> = from.iter().zip(to).map(|(&from, &to)| if from > 0.0 { to / from } else { 0.0 }).collect();
    probabilities
        .chunks(from.len())
        .flat_map(|row| {
            let shifted: Vec<f64> = row.iter().zip(&ratio).map(|(p, ratio)| p * ratio).collect();
            let sum: f64 = shifted.iter().sum();
            // A row that put everything on a class without real items keeps its own probabilities.
            if sum > 0.0 { shifted.into_iter().map(|p| p / sum).collect() } else { row.to_vec() }
        })
        .collect()
}

/// Scores every row, compares each with the first on the same patients, corrects for the number of claims.
///
/// # Errors
/// [`Error::Data`] without rows or when they differ in items.
pub fn compare(
    split: &str,
    test: &Dataset,
    rows: &[Row],
    seed: Seed,
    options: BootstrapOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Comparison> {
    let first = rows.first().ok_or_else(|| Error::data(split, "no rows to compare"))?;
    let mut results = Vec::new();
    let mut claims = Vec::new();
    let mut reference = None;
    for (at, row) in rows.iter().enumerate() {
        progress(at, rows.len());
        let bootstrap = ScoreBootstrap::new(&row.runs, seed, options)?;
        let differences = reference.as_ref().map_or(Ok(Vec::new()), |first| bootstrap.differences_to(first))?;
        for name in CLAIMED {
            if let Some(difference) = differences.iter().find(|difference| difference.name == name) {
                let interval = &difference.interval;
                // A normal interval's half width in units of its standard error.
                let half = normal_quantile(0.5 + 0.5 * interval.level);
                let standard_error = (interval.ci_high - interval.ci_low) / (2.0 * half);
                claims.push(Claim {
                    row: row.name.clone(),
                    score: name.into(),
                    difference: interval.value,
                    ci_low: interval.ci_low,
                    ci_high: interval.ci_high,
                    p_holm: difference.p_value,
                    minimum_detectable_effect: if standard_error.is_finite() {
                        minimum_detectable_effect(standard_error, 0.05, 0.8)?
                    } else {
                        f64::NAN
                    },
                    insufficient: difference.insufficient.clone(),
                });
            }
        }
        let per_seed: Vec<ClassificationScores> = row.runs.iter().map(Predictions::scores).collect();
        let n_classes = test.n_labels();
        let mut confusion = vec![vec![0.0; n_classes]; n_classes];
        for scores in &per_seed {
            for (sum, row) in confusion.iter_mut().zip(&scores.confusion) {
                sum.iter_mut().zip(row).for_each(|(sum, n)| *sum += n);
            }
        }
        results.push(RowResult {
            name: row.name.clone(),
            label: row.label.clone(),
            is_control: row.is_control,
            training_counts: row.training_counts.clone(),
            scores: bootstrap.intervals(),
            differences,
            confusion,
            per_seed,
        });
        reference.get_or_insert(bootstrap);
    }
    progress(rows.len(), rows.len());
    let corrected = holm(&claims.iter().map(|claim| claim.p_holm).collect::<Vec<_>>());
    claims.iter_mut().zip(corrected).for_each(|(claim, p)| claim.p_holm = p);
    let mut test_counts = vec![0; test.n_labels()];
    test.classes()?.into_iter().for_each(|class| test_counts[class] += 1);
    Ok(Comparison {
        split: split.into(),
        class_names: test.label_names.clone(),
        test_counts,
        n_patients: first.runs.first().map_or(0, Predictions::n_patients),
        rows: results,
        claims,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bayes: a classifier that learned equal shares and is right about the likelihood ratio 1:3
    /// meets shares 9:1 and must say 0.75.
    #[test]
    fn prior_shift_is_bayes() {
        let shifted = prior_shifted(&[0.25, 0.75], &[0.5, 0.5], &[0.9, 0.1]);
        assert!((shifted[0] - 0.75).abs() < 1e-12, "{shifted:?}");
        assert!((shifted.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
