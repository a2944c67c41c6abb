//! Scores that depend only on the order of the predictions: AUROC and AUPRC, presorted.
//!
//! A bootstrap asks for the same score under thousands of patient weights. The order of the items
//! does not depend on the weights, so [`Ranking`] sorts once and each evaluation is one pass.

/// Items in order of falling score, ready to be weighed by patient.
#[derive(Debug, Clone)]
pub struct Ranking {
    /// Per item: patient << 2 | (last of its tie) << 1 | (positive).
    code: Vec<u32>,
    /// Weight of each item beside its patient's, in the same order; empty when all are 1.
    weight: Vec<f64>,
}

/// Area under the ROC curve and average precision of one ranking under one set of weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RankingScores {
    /// Probability that a positive outranks a negative, ties counted half; `None` without both.
    pub auroc: Option<f64>,
    /// Average precision; `None` without positives.
    pub auprc: Option<f64>,
}

/// Number of patients that fits beside the two flags.
pub(super) const MAX_PATIENTS: usize = 1 << 30;

impl Ranking {
    /// Sorts items by falling `score`; `item_weights` may be empty for weights of 1.
    ///
    /// # Shape
    /// All slices have length n, except that `item_weights` may be empty.
    /// # Panics
    /// If the lengths differ or a patient index is 2^30 or more.
    pub fn new(
        score: &[f64],
        is_positive: impl Fn(usize) -> bool,
        patients: &[usize],
        item_weights: &[f64],
    ) -> Ranking {
        assert_eq!(score.len(), patients.len(), "one patient for each score");
        assert!(item_weights.is_empty() || item_weights.len() == score.len(), "one weight for each score, or none");
        assert!(patients.iter().all(|&patient| patient < MAX_PATIENTS), "patient index below 2^30");
        let mut order: Vec<usize> = (0..score.len()).collect();
        order.sort_by(|&a, &b| score[b].total_cmp(&score[a]));
        let code = (0..order.len())
            .map(|at| {
                let item = order[at];
                let ends_tie = order.get(at + 1).is_none_or(|&next| score[next] != score[item]);
                (patients[item] as u32) << 2 | u32::from(ends_tie) << 1 | u32::from(is_positive(item))
            })
            .collect();
        let weight =
            if item_weights.is_empty() { Vec::new() } else { order.iter().map(|&i| item_weights[i]).collect() };
        Ranking { code, weight }
    }

    /// AUROC and AUPRC when patient `p` counts `patient_weights[p]` times.
    ///
    /// Ties get the average of their orders in AUROC, and share one threshold in AUPRC.
    /// # Panics
    /// If a patient has no weight.
    /// # Reference
    /// Hanley and McNeil 1982 (AUROC as a rank statistic); Davis and Goadrich 2006 (why the
    /// precision-recall curve is summed by steps and not by trapezoids).
    pub fn scores(&self, patient_weights: &[f64]) -> RankingScores {
        let [scores] = self.scores_of(&single(patient_weights));
        scores
    }

    /// [`Ranking::scores`] for several sets of weights in one pass: `patient_weights[p][k]` in the `k`-th.
    ///
    /// # Panics
    /// If a patient has no weight.
    pub fn scores_of<const N: usize>(&self, patient_weights: &[[f64; N]]) -> [RankingScores; N] {
        // Weights of true and false positives above the present tie, and inside it.
        let (mut above_true, mut above_false) = ([0.0; N], [0.0; N]);
        let (mut tie_true, mut tie_false) = ([0.0; N], [0.0; N]);
        let (mut wins, mut precision_sum) = ([0.0; N], [0.0; N]);
        let mut tie_has_positives = false;
        for (at, &code) in self.code.iter().enumerate() {
            let of_patient = &patient_weights[(code >> 2) as usize];
            let item_weight = self.weight.get(at).copied().unwrap_or(1.0);
            let is_positive = code & 1 == 1;
            tie_has_positives |= is_positive;
            let tie = if is_positive { &mut tie_true } else { &mut tie_false };
            for k in 0..N {
                tie[k] += of_patient[k] * item_weight;
            }
            if code & 2 == 0 {
                continue;
            }
            for k in 0..N {
                wins[k] += tie_false[k] * (above_true[k] + 0.5 * tie_true[k]);
                above_true[k] += tie_true[k];
                above_false[k] += tie_false[k];
            }
            if tie_has_positives {
                for k in 0..N {
                    // Adding 0 where nothing counts, in place of 0 / 0.
                    let called = (above_true[k] + above_false[k]).max(f64::MIN_POSITIVE);
                    precision_sum[k] += tie_true[k] * above_true[k] / called;
                }
            }
            (tie_true, tie_false, tie_has_positives) = ([0.0; N], [0.0; N], false);
        }
        std::array::from_fn(|k| RankingScores {
            auroc: (above_true[k] > 0.0 && above_false[k] > 0.0).then(|| wins[k] / (above_true[k] * above_false[k])),
            auprc: (above_true[k] > 0.0).then(|| precision_sum[k] / above_true[k]),
        })
    }

    /// Corners of the ROC curve, (false-positive rate, true-positive rate), from (0, 0) to (1, 1).
    ///
    /// One point for each distinct score, but for those on a straight line between their neighbors.
    /// Rates are NaN without both positives and negatives.
    /// # Panics
    /// If a patient has no weight.
    /// # Reference
    /// Fawcett 2006, algorithm 1; `sklearn.metrics.roc_curve`.
    pub fn roc(&self, patient_weights: &[f64]) -> Vec<(f64, f64)> {
        let (mut negatives, mut positives, mut counts) = (0.0, 0.0, Vec::new());
        for (at, &code) in self.code.iter().enumerate() {
            let item_weight = self.weight.get(at).copied().unwrap_or(1.0);
            let w = patient_weights[(code >> 2) as usize] * item_weight;
            *(if code & 1 == 1 { &mut positives } else { &mut negatives }) += w;
            if code & 2 == 2 {
                counts.push((negatives, positives));
            }
        }
        let is_corner = |k: usize| {
            let Some([before, here, after]) = k.checked_sub(1).and_then(|first| counts.get(first..first + 3)) else {
                return true;
            };
            (after.0 - here.0, after.1 - here.1) != (here.0 - before.0, here.1 - before.1)
        };
        let corners = (0..counts.len()).filter(|&k| is_corner(k)).map(|k| counts[k]);
        std::iter::once((0.0, 0.0)).chain(corners).map(|(f, t)| (f / negatives, t / positives)).collect()
    }
}

/// One set of weights in the layout of several.
pub(super) fn single(patient_weights: &[f64]) -> Vec<[f64; 1]> {
    patient_weights.iter().map(|&weight| [weight]).collect()
}

/// Mean AUROC over all pairs of classes, each pair judged on its own items by either class's score.
///
/// NaN when a class has no item.
/// # Shape
/// `probabilities` is `[item, class]`.
/// # Panics
/// If there is not one row for each class label.
/// # Reference
/// Hand and Till 2001, eq. 7.
pub fn auroc_one_versus_one(probabilities: &[f64], classes: &[usize], n_classes: usize) -> f64 {
    assert_eq!(probabilities.len(), classes.len() * n_classes, "one row for each item");
    let (mut sum, mut n_pairs) = (0.0, 0.0);
    for first in 0..n_classes {
        for second in (0..n_classes).filter(|&second| second != first) {
            let items: Vec<usize> = (0..classes.len()).filter(|&i| [first, second].contains(&classes[i])).collect();
            let score: Vec<f64> = items.iter().map(|i| probabilities[i * n_classes + first]).collect();
            let ranking = Ranking::new(&score, |k| classes[items[k]] == first, &vec![0; items.len()], &[]);
            sum += ranking.scores(&[1.0]).auroc.unwrap_or(f64::NAN);
            n_pairs += 1.0;
        }
    }
    sum / n_pairs
}

/// Share of items whose class is among the `k` with the highest probability; of equal ones the later wins.
///
/// # Shape
/// `probabilities` is `[item, class]`.
/// # Panics
/// If there is not one row for each class label.
pub fn top_k_accuracy(probabilities: &[f64], classes: &[usize], n_classes: usize, k: usize) -> f64 {
    assert_eq!(probabilities.len(), classes.len() * n_classes, "one row for each item");
    let is_hit = |(row, class): &(&[f64], &usize)| {
        let above = |other: usize| row[other] > row[**class] || (row[other] == row[**class] && other > **class);
        (0..n_classes).filter(|&other| above(other)).count() < k
    };
    probabilities.chunks_exact(n_classes).zip(classes).filter(is_hit).count() as f64 / classes.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    /// AUROC over all pairs and average precision from its definition, without sorting.
    fn slow(score: &[f64], positive: &[bool], weight: &[f64]) -> (f64, f64) {
        let n = score.len();
        let (mut wins, mut pairs, mut precision, mut positives) = (0.0, 0.0, 0.0, 0.0);
        for i in (0..n).filter(|&i| positive[i]) {
            let (mut hit, mut called) = (0.0, 0.0);
            for j in 0..n {
                let w = weight[i] * weight[j];
                if !positive[j] {
                    pairs += w;
                    wins += w * if score[i] > score[j] {
                        1.0
                    } else if score[i] == score[j] {
                        0.5
                    } else {
                        0.0
                    };
                }
                if score[j] >= score[i] {
                    called += weight[j];
                    hit += if positive[j] { weight[j] } else { 0.0 };
                }
            }
            precision += weight[i] * hit / called;
            positives += weight[i];
        }
        (wins / pairs, precision / positives)
    }

    #[test]
    fn one_pass_agrees_with_all_pairs_under_ties_and_weights() {
        let mut stream = Seed::new(11).stream();
        let n = 300;
        let score: Vec<f64> = (0..n).map(|_| (stream.uniform() * 20.0).floor()).collect();
        let positive: Vec<bool> = score.iter().map(|s| stream.uniform() < 0.1 + s / 40.0).collect();
        let patients: Vec<usize> = (0..n).map(|i| i % 7).collect();
        let item_weights: Vec<f64> = (0..n).map(|_| 0.5 + stream.uniform()).collect();
        let patient_weights = [0.0, 1.0, 2.0, 1.0, 3.0, 0.0, 1.0];
        let weight: Vec<f64> = (0..n).map(|i| item_weights[i] * patient_weights[patients[i]]).collect();
        let (auroc, auprc) = slow(&score, &positive, &weight);
        let fast = Ranking::new(&score, |i| positive[i], &patients, &item_weights).scores(&patient_weights);
        assert!((fast.auroc.unwrap() - auroc).abs() < 1e-12);
        assert!((fast.auprc.unwrap() - auprc).abs() < 1e-12);
    }

    #[test]
    fn several_sets_of_weights_score_as_each_alone() {
        let mut stream = Seed::new(12).stream();
        let score: Vec<f64> = (0..500).map(|_| (stream.uniform() * 50.0).floor()).collect();
        let positive: Vec<bool> = score.iter().map(|s| stream.uniform() < 0.02 + s / 90.0).collect();
        let patients: Vec<usize> = (0..500).map(|i| i % 5).collect();
        let ranking = Ranking::new(&score, |i| positive[i], &patients, &[]);
        let draws: [[f64; 5]; 3] = [[1.0, 0.0, 2.0, 2.0, 0.0], [0.0; 5], [5.0, 0.0, 0.0, 0.0, 0.0]];
        let together: Vec<[f64; 3]> = (0..5).map(|p| draws.map(|draw| draw[p])).collect();
        let alone = draws.map(|draw| ranking.scores(&draw));
        assert_eq!(ranking.scores_of(&together), alone);
        assert_eq!(alone[1], RankingScores { auroc: None, auprc: None });
    }

    #[test]
    fn one_class_alone_has_no_area() {
        let only = Ranking::new(&[0.2, 0.4], |_| true, &[0, 0], &[]).scores(&[1.0]);
        assert_eq!(only, RankingScores { auroc: None, auprc: Some(1.0) });
        let none = Ranking::new(&[0.2, 0.4], |_| false, &[0, 0], &[]).scores(&[1.0]);
        assert_eq!(none, RankingScores { auroc: None, auprc: None });
    }
}
