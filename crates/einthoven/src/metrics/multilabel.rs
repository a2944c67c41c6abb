//! Scores of predictions in which an item may have any number of labels.
//!
//! Ranking scores take the scores as they are; the others call a label at or above a threshold.

use super::ranking::Ranking;
use crate::error::{Error, Result};

/// Truth and scores of several labels, `[item, label]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Multilabel<'a> {
    truth: &'a [bool],
    score: &'a [f64],
    n_labels: usize,
}

/// Scores at one threshold. A ratio without denominator counts 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ThresholdScores {
    /// Mean precision of the labels.
    pub precision_macro: f64,
    /// Mean recall of the labels.
    pub recall_macro: f64,
    /// Mean F1 of the labels.
    pub f1_macro: f64,
    /// F1 of all pairs of item and label together.
    pub f1_micro: f64,
    /// Mean F1 of the labels, weighted by how often they are true.
    pub f1_weighted: f64,
    /// Mean F1 of the items.
    pub f1_samples: f64,
    /// Mean F2 of the labels, which weighs recall twice.
    pub f2_macro: f64,
    /// Share of pairs of item and label that are called wrongly.
    pub hamming_loss: f64,
    /// Share of items with all labels right.
    pub subset_accuracy: f64,
}

impl<'a> Multilabel<'a> {
    /// Takes truth and scores.
    ///
    /// # Errors
    /// [`Error::Shape`] unless both are whole items of `n_labels`; [`Error::Data`] without items or with a
    /// score that is not finite.
    pub fn new(truth: &'a [bool], score: &'a [f64], n_labels: usize) -> Result<Multilabel<'a>> {
        if truth.len() != score.len() || n_labels == 0 || !truth.len().is_multiple_of(n_labels) {
            let expected = vec![truth.len() / n_labels.max(1), n_labels];
            return Err(Error::Shape { what: "multi-label scores".into(), expected, actual: vec![score.len()] });
        }
        if truth.is_empty() || !score.iter().all(|s| s.is_finite()) {
            return Err(Error::data("multi-label scores", "expected at least one item and finite scores"));
        }
        Ok(Multilabel { truth, score, n_labels })
    }

    /// Scores of the labels that reach `threshold`.
    ///
    /// # Reference
    /// Tsoumakas, Katakis and Vlahavas 2010, section 7.1; conventions of scikit-learn.
    pub fn at_threshold(&self, threshold: f64) -> ThresholdScores {
        let pairs: Vec<(bool, bool)> =
            self.truth.iter().zip(self.score).map(|(truth, score)| (*truth, *score >= threshold)).collect();
        let labels: Vec<Counts> =
            (0..self.n_labels).map(|label| Counts::of(pairs.iter().skip(label).step_by(self.n_labels))).collect();
        let items: Vec<Counts> = pairs.chunks_exact(self.n_labels).map(|item| Counts::of(item.iter())).collect();
        let all = Counts::of(pairs.iter());
        let mean = |counts: &[Counts], score: &dyn Fn(&Counts) -> f64| {
            counts.iter().map(score).sum::<f64>() / counts.len() as f64
        };
        ThresholdScores {
            precision_macro: mean(&labels, &|c| ratio(c.hit, c.hit + c.false_alarm)),
            recall_macro: mean(&labels, &|c| ratio(c.hit, c.hit + c.miss)),
            f1_macro: mean(&labels, &|c| c.f_beta(1.0)),
            f1_micro: all.f_beta(1.0),
            f1_weighted: ratio(
                labels.iter().map(|c| (c.hit + c.miss) * c.f_beta(1.0)).sum(),
                labels.iter().map(|c| c.hit + c.miss).sum(),
            ),
            f1_samples: mean(&items, &|c| c.f_beta(1.0)),
            f2_macro: mean(&labels, &|c| c.f_beta(2.0)),
            hamming_loss: (all.false_alarm + all.miss) / pairs.len() as f64,
            subset_accuracy: mean(&items, &|c| f64::from(u8::from(c.false_alarm + c.miss == 0.0))),
        }
    }

    /// AUROC of all pairs of item and label in one ranking; `None` without both true and false ones.
    pub fn auroc_micro(&self) -> Option<f64> {
        let one = vec![0; self.score.len()];
        Ranking::new(self.score, |i| self.truth[i], &one, &[]).scores(&[1.0]).auroc
    }

    /// How far down the ranking of an item one must go, on average, to meet all its true labels.
    ///
    /// # Reference
    /// Schapire and Singer 2000.
    pub fn coverage_error(&self) -> f64 {
        self.mean_over_items(|truth, score| {
            let lowest = truth.iter().zip(score).filter(|(t, _)| **t).map(|(_, s)| *s).fold(f64::INFINITY, f64::min);
            score.iter().filter(|s| **s >= lowest).count() as f64
        })
    }

    /// Mean over items, and over their true labels, of the share of true ones among the labels
    /// ranked as high; 1 for an item whose labels are all true or all false.
    ///
    /// # Reference
    /// Schapire and Singer 2000 (label ranking average precision).
    pub fn label_ranking_average_precision(&self) -> f64 {
        self.mean_over_items(|truth, score| {
            let n_true = truth.iter().filter(|t| **t).count();
            if n_true == 0 || n_true == truth.len() {
                return 1.0;
            }
            let share = |limit: f64| {
                let (hits, all) = truth
                    .iter()
                    .zip(score)
                    .filter(|(_, s)| **s >= limit)
                    .fold((0.0, 0.0), |(h, n), (t, _)| (h + f64::from(u8::from(*t)), n + 1.0));
                hits / all
            };
            truth.iter().zip(score).filter(|(t, _)| **t).map(|(_, s)| share(*s)).sum::<f64>() / n_true as f64
        })
    }

    fn mean_over_items(&self, value: impl Fn(&[bool], &[f64]) -> f64) -> f64 {
        let items = self.truth.chunks_exact(self.n_labels).zip(self.score.chunks_exact(self.n_labels));
        let n = items.len() as f64;
        items.map(|(truth, score)| value(truth, score)).sum::<f64>() / n
    }
}

/// Calls of a label, or of an item.
struct Counts {
    hit: f64,
    miss: f64,
    false_alarm: f64,
}

impl Counts {
    fn of<'b>(pairs: impl Iterator<Item = &'b (bool, bool)>) -> Counts {
        let mut counts = Counts { hit: 0.0, miss: 0.0, false_alarm: 0.0 };
        for pair in pairs {
            match pair {
                (true, true) => counts.hit += 1.0,
                (true, false) => counts.miss += 1.0,
                (false, true) => counts.false_alarm += 1.0,
                (false, false) => {}
            }
        }
        counts
    }

    fn f_beta(&self, beta: f64) -> f64 {
        let weight = beta * beta;
        ratio((1.0 + weight) * self.hit, (1.0 + weight) * self.hit + weight * self.miss + self.false_alarm)
    }
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_items_by_hand() {
        let truth = [true, false, true, false, false, false];
        let score = [0.9, 0.8, 0.3, 0.1, 0.6, 0.2];
        let all = Multilabel::new(&truth, &score, 3).unwrap();
        let scores = all.at_threshold(0.5);
        // One hit, one miss, two false alarms.
        assert!((scores.f1_micro - 2.0 / 5.0).abs() < 1e-15);
        assert_eq!(scores.hamming_loss, 0.5);
        assert_eq!(scores.subset_accuracy, 0.0);
        assert!((scores.f1_macro - 1.0 / 3.0).abs() < 1e-15);
        assert!((scores.f1_samples - 0.25).abs() < 1e-15);
        // The first item's last true label is third; the second item has none.
        assert_eq!(all.coverage_error(), 1.5);
        assert!((all.label_ranking_average_precision() - 0.5 * ((1.0 + 2.0 / 3.0) / 2.0 + 1.0)).abs() < 1e-15);
        assert_eq!(all.auroc_micro(), Some(6.0 / 8.0));
        assert!(Multilabel::new(&truth, &score, 4).is_err());
        assert!(Multilabel::new(&[], &[], 2).is_err());
    }
}
