//! How well predicted probabilities tell the classes apart, per class and averaged.
//!
//! [`Predictions`] sorts once and gives [`ClassificationScores`] for any weights of the patients,
//! which is what makes a patient bootstrap of every score cheap. Left out: thresholds other than
//! the largest probability, and scores of several labels at once.
//!
//! Conventions (they differ between libraries): the predicted class is the one of largest
//! probability, the first of equals. A class without items is left out of every average, because
//! it has no recall. A class with items that is never predicted has precision 0, and is flagged.

use serde::{Deserialize, Serialize};

use super::calibration::{Calibration, ReliabilityBin, expected_calibration_error};
use super::ranking::{MAX_PATIENTS, Ranking, RankingScores, single};
use crate::error::{Error, Result};

/// What a classifier said about a set of items, and what they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClassificationInput<'a> {
    /// Predicted probabilities, `[n, n_classes]`; each row sums to 1.
    pub probabilities: &'a [f64],
    /// True class of each item, length n.
    pub classes: &'a [usize],
    /// Name of each class.
    pub class_names: &'a [String],
    /// Patient of each item as an index from 0, length n; empty when all belong to patient 0.
    pub patients: &'a [usize],
    /// Weight of each item, length n; empty for 1 each.
    pub item_weights: &'a [f64],
    /// Classes of the headline average, such as N, S, V; empty for all.
    pub headline: &'a [usize],
}

/// Checked and sorted predictions, to be scored under any weights of the patients.
#[derive(Debug, Clone)]
pub struct Predictions {
    class_names: Vec<String>,
    headline: Vec<usize>,
    n_patients: usize,
    classes: Vec<usize>,
    patients: Vec<usize>,
    /// Weight of each patient's items by true and predicted class, `[patient, true, predicted]`.
    confusion: Vec<f64>,
    /// Each patient's sums of the Brier and the logarithmic loss.
    loss: Vec<[f64; 2]>,
    rankings: Vec<Ranking>,
    calibration: Calibration,
}

/// Scores of one class against the rest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// Name of the class.
    pub class: String,
    /// Weight of the items of this class.
    pub support: f64,
    /// Share of the items that are of this class: what AUPRC has to be compared with.
    pub prevalence: f64,
    /// Share of the items called this class that are; 0 when none is called so.
    pub precision: f64,
    /// Whether no item was called this class, so that the precision 0 is a convention.
    pub precision_undefined: bool,
    /// Share of the items of this class that are called so; `None` without items.
    pub recall: Option<f64>,
    /// Harmonic mean of precision and recall; `None` without items.
    pub f1: Option<f64>,
    /// Area under the ROC curve against the rest; `None` without items or without others.
    pub auroc: Option<f64>,
    /// Average precision against the rest; `None` without items.
    pub auprc: Option<f64>,
}

/// Averages over classes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Averages {
    /// The classes that went in: those asked for that have items.
    pub classes: Vec<String>,
    /// Those among them whose precision is 0 by convention.
    pub undefined_precision: Vec<String>,
    /// Average precision value over the classes; NaN when no class has items.
    pub precision: f64,
    /// Average recall (balanced accuracy when macro and over all classes).
    pub recall: f64,
    /// Average of the F1 of each class.
    pub f1: f64,
    /// Average one-versus-rest AUROC, over the classes that have one.
    pub auroc: Option<f64>,
    /// Average AUPRC, over the classes that have one.
    pub auprc: Option<f64>,
}

/// Everything that is reported about one classifier on one set of items.
///
/// # Reference
/// Sokolova and Lapalme 2009 (averages); Gorodkin 2004 (multi-class MCC); Brier 1950.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClassificationScores {
    /// Total weight of the items.
    pub n_items: f64,
    /// Share of items whose predicted class is right.
    pub accuracy: f64,
    /// 1 - accuracy.
    pub misidentification: f64,
    /// Mean over the classes with items of the share that is called something else.
    pub mean_off_diagonal_row_rate: f64,
    /// Unweighted mean over the classes with items.
    pub macro_average: Averages,
    /// Mean weighted by the support of each class.
    pub weighted_average: Averages,
    /// Unweighted mean over the headline classes with items.
    pub headline: Averages,
    /// Precision, recall and F1 from the pooled decisions: all equal to the accuracy when each item has one class.
    pub micro: f64,
    /// Multi-class Matthews correlation coefficient R_K; 0 when truth or prediction is constant.
    pub mcc: f64,
    /// Mean over items of the summed squared error of the probabilities, 0 to 2.
    pub brier: f64,
    /// Mean of minus the natural logarithm of the true class's probability, cut at 1e-15.
    pub log_loss: f64,
    /// Expected calibration error of the predicted class, 15 bins of equal weight.
    pub ece: f64,
    /// Reliability table behind the ECE.
    pub reliability: Vec<ReliabilityBin>,
    /// Weight of items by true class (row) and predicted class (column).
    pub confusion: Vec<Vec<f64>>,
    /// One entry per class, in the order of the classes.
    pub per_class: Vec<ClassScores>,
}

/// Patients as indexes from 0 in the order of their names, and the names.
pub fn patient_indexes(patients: &[String]) -> (Vec<usize>, Vec<String>) {
    let mut names: Vec<String> = patients.to_vec();
    names.sort_unstable();
    names.dedup();
    let index = patients.iter().map(|name| names.partition_point(|known| known < name)).collect();
    (index, names)
}

/// The class of largest probability of each row, the first of equals.
///
/// # Shape
/// `probabilities` is `[n, n_classes]`; the result has length n.
pub fn predicted_classes(probabilities: &[f64], n_classes: usize) -> Vec<usize> {
    probabilities
        .chunks_exact(n_classes.max(1))
        .map(|row| (1..row.len()).fold(0, |best, class| if row[class] > row[best] { class } else { best }))
        .collect()
}

impl Predictions {
    /// Checks and sorts.
    ///
    /// # Errors
    /// [`Error::Shape`] when lengths do not fit; [`Error::Data`] when there are no items, a class or
    /// patient is out of range, a probability is not in 0..=1, a row does not sum to 1 within
    /// 0.001 (single precision leaves far less), or a weight is negative or not finite.
    pub fn new(input: ClassificationInput) -> Result<Predictions> {
        let (n, n_classes) = (input.classes.len(), input.class_names.len());
        check(&input)?;
        let patients = if input.patients.is_empty() { vec![0; n] } else { input.patients.to_vec() };
        let n_patients = patients.iter().max().map_or(0, |last| last + 1);
        let predicted = predicted_classes(input.probabilities, n_classes);
        let mut confusion = vec![0.0; n_patients * n_classes * n_classes];
        let mut loss = vec![[0.0; 2]; n_patients];
        let (mut confidence, mut is_right) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for (item, row) in input.probabilities.chunks_exact(n_classes).enumerate() {
            let (class, patient) = (input.classes[item], patients[item]);
            let weight = input.item_weights.get(item).copied().unwrap_or(1.0);
            confusion[(patient * n_classes + class) * n_classes + predicted[item]] += weight;
            let squares: f64 = row.iter().enumerate().map(|(c, p)| (p - f64::from(u8::from(c == class))).powi(2)).sum();
            loss[patient][0] += weight * squares;
            loss[patient][1] -= weight * libm::log(row[class].clamp(1e-15, 1.0));
            confidence.push(row[predicted[item]]);
            is_right.push(predicted[item] == class);
        }
        let rankings = (0..n_classes)
            .map(|class| {
                let score: Vec<f64> = input.probabilities.iter().skip(class).step_by(n_classes).copied().collect();
                Ranking::new(&score, |item| input.classes[item] == class, &patients, input.item_weights)
            })
            .collect();
        Ok(Predictions {
            class_names: input.class_names.to_vec(),
            headline: if input.headline.is_empty() { (0..n_classes).collect() } else { input.headline.to_vec() },
            n_patients,
            classes: input.classes.to_vec(),
            calibration: Calibration::new(&confidence, &is_right, &patients, input.item_weights),
            patients,
            confusion,
            loss,
            rankings,
        })
    }

    /// Number of patients: one more than the largest index.
    pub fn n_patients(&self) -> usize {
        self.n_patients
    }

    /// Names of the classes.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// Classes of the headline average.
    pub fn headline(&self) -> &[usize] {
        &self.headline
    }

    /// Patient of each item.
    pub fn patients(&self) -> &[usize] {
        &self.patients
    }

    /// True class of each item.
    pub fn classes(&self) -> &[usize] {
        &self.classes
    }

    /// Scores with every patient counted once.
    pub fn scores(&self) -> ClassificationScores {
        self.scores_weighted(&vec![1.0; self.n_patients])
    }

    /// Scores when patient `p` counts `patient_weights[p]` times; no sorting happens here.
    ///
    /// Scores are NaN when all weights are 0.
    /// # Panics
    /// If there are fewer weights than patients.
    pub fn scores_weighted(&self, patient_weights: &[f64]) -> ClassificationScores {
        let [scores] = self.scores_of(&single(patient_weights));
        scores
    }

    /// [`Predictions::scores_weighted`] for several sets of weights in one pass: `patient_weights[p][k]` in the `k`-th.
    ///
    /// # Panics
    /// If there are fewer weights than patients.
    pub fn scores_of<const N: usize>(&self, patient_weights: &[[f64; N]]) -> [ClassificationScores; N] {
        let rankings: Vec<_> = self.rankings.iter().map(|ranking| ranking.scores_of(patient_weights)).collect();
        let mut reliability = self.calibration.reliability_of(patient_weights);
        std::array::from_fn(|k| {
            let own_weights = patient_weights.iter().map(|weights| weights[k]);
            let own_rankings: Vec<RankingScores> = rankings.iter().map(|scores| scores[k]).collect();
            self.assemble(own_weights, &own_rankings, std::mem::take(&mut reliability[k]))
        })
    }

    fn assemble(
        &self,
        patient_weights: impl Iterator<Item = f64>,
        rankings: &[RankingScores],
        reliability: Vec<ReliabilityBin>,
    ) -> ClassificationScores {
        let n_classes = self.class_names.len();
        let mut confusion = vec![0.0; n_classes * n_classes];
        let (mut brier, mut log_loss) = (0.0, 0.0);
        for (patient, w) in patient_weights.take(self.n_patients).enumerate() {
            if w == 0.0 {
                continue;
            }
            let own = &self.confusion[patient * n_classes * n_classes..][..n_classes * n_classes];
            confusion.iter_mut().zip(own).for_each(|(sum, count)| *sum += w * count);
            brier += w * self.loss[patient][0];
            log_loss += w * self.loss[patient][1];
        }
        let total: f64 = confusion.iter().sum();
        let right: f64 = (0..n_classes).map(|class| confusion[class * n_classes + class]).sum();
        let per_class: Vec<ClassScores> =
            (0..n_classes).map(|class| self.class_scores(class, &confusion, total, rankings[class])).collect();
        let all: Vec<usize> = (0..n_classes).collect();
        let macro_average = average(&per_class, &all, |_| 1.0);
        ClassificationScores {
            n_items: total,
            accuracy: right / total,
            misidentification: 1.0 - right / total,
            mean_off_diagonal_row_rate: 1.0 - macro_average.recall,
            macro_average,
            weighted_average: average(&per_class, &all, |class| class.support),
            headline: average(&per_class, &self.headline, |_| 1.0),
            micro: right / total,
            mcc: matthews(&confusion, n_classes),
            brier: brier / total,
            log_loss: log_loss / total,
            ece: expected_calibration_error(&reliability).unwrap_or(f64::NAN),
            reliability,
            confusion: confusion.chunks_exact(n_classes).map(<[f64]>::to_vec).collect(),
            per_class,
        }
    }

    fn class_scores(&self, class: usize, confusion: &[f64], total: f64, ranking: RankingScores) -> ClassScores {
        let n_classes = self.class_names.len();
        let hit = confusion[class * n_classes + class];
        let support: f64 = confusion[class * n_classes..][..n_classes].iter().sum();
        let called: f64 = confusion.iter().skip(class).step_by(n_classes).sum();
        ClassScores {
            class: self.class_names[class].clone(),
            support,
            prevalence: support / total,
            precision: if called > 0.0 { hit / called } else { 0.0 },
            precision_undefined: called == 0.0,
            recall: (support > 0.0).then(|| hit / support),
            f1: (support > 0.0).then(|| 2.0 * hit / (support + called)),
            auroc: ranking.auroc,
            auprc: ranking.auprc,
        }
    }
}

impl ClassificationScores {
    /// Unweighted mean over some of the classes, by index.
    pub fn macro_over(&self, classes: &[usize]) -> Averages {
        average(&self.per_class, classes, |_| 1.0)
    }

    /// Every score with a name, in a fixed order; NaN where a score is undefined.
    ///
    /// Names are those of the fields, with `macro_`, `weighted_` or `headline_` before an average
    /// and `_CLASS` after a class's score, such as `recall_S`.
    pub fn named(&self) -> Vec<(String, f64)> {
        let mut out: Vec<(String, f64)> = [
            ("accuracy", self.accuracy),
            ("misidentification", self.misidentification),
            ("mean_off_diagonal_row_rate", self.mean_off_diagonal_row_rate),
            ("mcc", self.mcc),
            ("brier", self.brier),
            ("log_loss", self.log_loss),
            ("ece", self.ece),
        ]
        .map(|(name, value)| (name.to_string(), value))
        .into();
        let groups =
            [("macro", &self.macro_average), ("weighted", &self.weighted_average), ("headline", &self.headline)];
        for (group, average) in groups {
            let values = [
                ("precision", Some(average.precision)),
                ("recall", Some(average.recall)),
                ("f1", Some(average.f1)),
                ("auroc", average.auroc),
                ("auprc", average.auprc),
            ];
            out.extend(values.map(|(name, value)| (format!("{group}_{name}"), value.unwrap_or(f64::NAN))));
        }
        for class in &self.per_class {
            let values = [
                ("precision", Some(class.precision)),
                ("recall", class.recall),
                ("f1", class.f1),
                ("auroc", class.auroc),
                ("auprc", class.auprc),
            ];
            out.extend(values.map(|(name, value)| (format!("{name}_{}", class.class), value.unwrap_or(f64::NAN))));
        }
        out
    }
}

fn check(input: &ClassificationInput) -> Result<()> {
    let (n, n_classes) = (input.classes.len(), input.class_names.len());
    let shape = |what: &str, expected: Vec<usize>, actual: usize| {
        Err(Error::Shape { what: what.into(), expected, actual: vec![actual] })
    };
    if n == 0 || n_classes < 2 {
        return Err(Error::data(
            "predictions",
            format!("{n} items and {n_classes} classes, expected at least 1 and 2"),
        ));
    }
    if input.probabilities.len() != n * n_classes {
        return shape("probabilities", vec![n, n_classes], input.probabilities.len());
    }
    if !input.patients.is_empty() && input.patients.len() != n {
        return shape("patients", vec![n], input.patients.len());
    }
    if !input.item_weights.is_empty() && input.item_weights.len() != n {
        return shape("item_weights", vec![n], input.item_weights.len());
    }
    if let Some(class) = input.classes.iter().chain(input.headline).find(|&&class| class >= n_classes) {
        return Err(Error::data("predictions", format!("class {class}, expected below {n_classes}")));
    }
    if let Some(patient) = input.patients.iter().find(|&&patient| patient >= MAX_PATIENTS) {
        return Err(Error::data("predictions", format!("patient index {patient}, expected below {MAX_PATIENTS}")));
    }
    if let Some(weight) = input.item_weights.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
        return Err(Error::data("predictions", format!("item weight {weight}, expected finite and not negative")));
    }
    for (item, row) in input.probabilities.chunks_exact(n_classes).enumerate() {
        let sum: f64 = row.iter().sum();
        if !row.iter().all(|p| (0.0..=1.0).contains(p)) || (sum - 1.0).abs() > 1e-3 {
            return Err(Error::data(
                "predictions",
                format!("item {item} has probabilities {row:?}, expected values in 0..=1 that sum to 1"),
            ));
        }
    }
    Ok(())
}

fn average(per_class: &[ClassScores], classes: &[usize], weight: impl Fn(&ClassScores) -> f64) -> Averages {
    let present: Vec<&ClassScores> =
        classes.iter().map(|&class| &per_class[class]).filter(|class| class.support > 0.0).collect();
    // Mean over the classes that have the score; `None` when none has it.
    let mean = |score: &dyn Fn(&ClassScores) -> Option<f64>| {
        let (sum, total) = present.iter().fold((0.0, 0.0), |(sum, total), class| match score(class) {
            Some(value) => (sum + weight(class) * value, total + weight(class)),
            None => (sum, total),
        });
        (total > 0.0).then(|| sum / total)
    };
    let undefined = present.iter().filter(|class| class.precision_undefined);
    Averages {
        classes: present.iter().map(|class| class.class.clone()).collect(),
        undefined_precision: undefined.map(|class| class.class.clone()).collect(),
        precision: mean(&|class| Some(class.precision)).unwrap_or(f64::NAN),
        recall: mean(&|class| class.recall).unwrap_or(f64::NAN),
        f1: mean(&|class| class.f1).unwrap_or(f64::NAN),
        auroc: mean(&|class| class.auroc),
        auprc: mean(&|class| class.auprc),
    }
}

/// Correlation of the true and the predicted indicator vectors (Gorodkin 2004).
fn matthews(confusion: &[f64], n_classes: usize) -> f64 {
    let total: f64 = confusion.iter().sum();
    let right: f64 = (0..n_classes).map(|class| confusion[class * n_classes + class]).sum();
    let (mut products, mut true_squares, mut called_squares) = (0.0, 0.0, 0.0);
    for class in 0..n_classes {
        let support: f64 = confusion[class * n_classes..][..n_classes].iter().sum();
        let called: f64 = confusion.iter().skip(class).step_by(n_classes).sum();
        products += support * called;
        true_squares += support * support;
        called_squares += called * called;
    }
    let spread = (total * total - true_squares) * (total * total - called_squares);
    if spread > 0.0 { (right * total - products) / spread.sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(n: usize) -> Vec<String> {
        ["N", "S", "V", "F", "Q"][..n].iter().map(|name| name.to_string()).collect()
    }

    /// One row per predicted class, with probability 0.7 on it.
    fn rows(predicted: &[usize], n_classes: usize) -> Vec<f64> {
        let rest = 0.3 / (n_classes - 1) as f64;
        predicted.iter().flat_map(|&p| (0..n_classes).map(move |c| if c == p { 0.7 } else { rest })).collect()
    }

    #[test]
    fn scores_agree_with_a_table_worked_by_hand() {
        // Rows N: 3 right, 1 called V. Rows V: 1 right, 1 called N. Nothing is called S, whose one item is called N.
        let classes = [0, 0, 0, 0, 2, 2, 1];
        let probabilities = rows(&[0, 0, 0, 2, 2, 0, 0], 4);
        let class_names = names(4);
        let input = ClassificationInput {
            probabilities: &probabilities,
            classes: &classes,
            class_names: &class_names,
            headline: &[0, 2],
            ..Default::default()
        };
        let scores = Predictions::new(input).unwrap().scores();
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} is not {b}");
        close(scores.accuracy, 4.0 / 7.0);
        close(scores.misidentification, 3.0 / 7.0);
        close(scores.macro_average.precision, (3.0 / 5.0 + 0.0 + 1.0 / 2.0) / 3.0);
        close(scores.macro_average.recall, (3.0 / 4.0 + 0.0 + 1.0 / 2.0) / 3.0);
        close(scores.mean_off_diagonal_row_rate, (1.0 / 4.0 + 1.0 + 1.0 / 2.0) / 3.0);
        close(scores.weighted_average.recall, 4.0 / 7.0);
        close(scores.headline.precision, 0.55);
        close(scores.brier, (4.0 * (0.09 + 0.03) + 3.0 * (0.49 + 0.81 + 0.02)) / 7.0);
        assert_eq!(scores.macro_average.undefined_precision, ["S"]);
        assert_eq!(scores.macro_average.classes, ["N", "S", "V"], "F has no items and no recall");
        assert_eq!(scores.per_class[3].recall, None);
        assert_eq!(scores.confusion[1], [1.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn patient_weight_equals_repetition() {
        let classes = [0, 1, 1, 0, 2, 0, 2, 1];
        let patients = [0, 0, 1, 1, 2, 2, 0, 1];
        let class_names = names(3);
        let mut stream = crate::seed::Seed::new(5).stream();
        let probabilities: Vec<f64> = (0..8)
            .flat_map(|_| {
                let raw: Vec<f64> = (0..3).map(|_| stream.uniform() + 0.01).collect();
                let sum: f64 = raw.iter().sum();
                raw.into_iter().map(move |p| p / sum)
            })
            .collect();
        let input = ClassificationInput {
            probabilities: &probabilities,
            classes: &classes,
            class_names: &class_names,
            patients: &patients,
            ..Default::default()
        };
        let weighted = Predictions::new(input).unwrap().scores_weighted(&[2.0, 0.0, 3.0]);
        let order: Vec<usize> = (0..8).flat_map(|item| vec![item; [2, 0, 3][patients[item]]]).collect();
        let repeated_rows: Vec<f64> = order.iter().flat_map(|&i| probabilities[i * 3..i * 3 + 3].to_vec()).collect();
        let repeated_classes: Vec<usize> = order.iter().map(|&i| classes[i]).collect();
        let input = ClassificationInput {
            probabilities: &repeated_rows,
            classes: &repeated_classes,
            class_names: &class_names,
            ..Default::default()
        };
        let repeated = Predictions::new(input).unwrap().scores();
        for ((name, a), (_, b)) in weighted.named().iter().zip(repeated.named()) {
            assert!((a - b).abs() < 1e-12 || (a.is_nan() && b.is_nan()), "{name}: {a} is not {b}");
        }
    }

    #[test]
    fn bad_input_is_an_error_that_names_it() {
        let class_names = names(2);
        let make = |probabilities: &[f64], classes: &[usize]| {
            let input = ClassificationInput { probabilities, classes, class_names: &class_names, ..Default::default() };
            Predictions::new(input).unwrap_err().to_string()
        };
        assert!(make(&[0.5, 0.5], &[2]).contains("class 2, expected below 2"));
        assert!(make(&[0.5, f64::NAN], &[0]).contains("item 0 has probabilities"));
        assert!(make(&[0.5, 0.2], &[0]).contains("sum to 1"));
        assert!(make(&[0.5, 0.2, 0.3], &[0]).contains("expected [1, 2]"));
        assert!(make(&[], &[]).contains("0 items"));
    }
}
