//! Whether a predicted probability means what it says: reliability table and ECE, presorted.

use serde::{Deserialize, Serialize};

use super::ranking::single;

/// Number of bins of the reliability table.
pub const N_BINS: usize = 15;

/// Items in order of confidence, ready to be weighed by patient.
#[derive(Debug, Clone)]
pub struct Calibration {
    /// Per item: patient << 2 | (last of its tie) << 1 | (predicted class is right).
    code: Vec<u32>,
    confidence: Vec<f64>,
    /// Weight of each item beside its patient's, in the same order; empty when all are 1.
    weight: Vec<f64>,
}

/// One row of the reliability table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Weight of the items in the bin; each bin has the same.
    pub weight: f64,
    /// Mean predicted probability of the predicted class.
    pub mean_confidence: f64,
    /// Share of items whose predicted class is right.
    pub accuracy: f64,
}

impl Calibration {
    /// Sorts items by confidence; `item_weights` may be empty for weights of 1.
    ///
    /// # Panics
    /// If the lengths differ or a patient index is 2^30 or more.
    pub fn new(confidence: &[f64], is_right: &[bool], patients: &[usize], item_weights: &[f64]) -> Calibration {
        assert_eq!(confidence.len(), is_right.len(), "one outcome for each confidence");
        assert_eq!(confidence.len(), patients.len(), "one patient for each confidence");
        assert!(item_weights.is_empty() || item_weights.len() == confidence.len(), "one weight for each item, or none");
        assert!(patients.iter().all(|&patient| patient < super::ranking::MAX_PATIENTS), "patient index below 2^30");
        let mut order: Vec<usize> = (0..confidence.len()).collect();
        order.sort_by(|&a, &b| confidence[a].total_cmp(&confidence[b]));
        let code = (0..order.len())
            .map(|at| {
                let item = order[at];
                let ends_tie = order.get(at + 1).is_none_or(|&next| confidence[next] != confidence[item]);
                (patients[item] as u32) << 2 | u32::from(ends_tie) << 1 | u32::from(is_right[item])
            })
            .collect();
        Calibration {
            code,
            confidence: order.iter().map(|&i| confidence[i]).collect(),
            weight: if item_weights.is_empty() { Vec::new() } else { order.iter().map(|&i| item_weights[i]).collect() },
        }
    }

    /// Reliability table with 15 bins of equal weight, when patient `p` counts `patient_weights[p]` times.
    ///
    /// Items of equal confidence are one block; a block or item on the border of two bins is
    /// divided between them, so that the table does not depend on the order of the items or on how
    /// often the whole set is repeated.
    /// # Reference
    /// Nguyen and O'Connor 2015 (equal-mass bins); Niculescu-Mizil and Caruana 2005 (the table).
    pub fn reliability(&self, patient_weights: &[f64]) -> Vec<ReliabilityBin> {
        let [bins] = self.reliability_of(&single(patient_weights));
        bins
    }

    /// [`Calibration::reliability`] for several sets of weights in one pass: `patient_weights[p][k]` in the `k`-th.
    pub fn reliability_of<const N: usize>(&self, patient_weights: &[[f64; N]]) -> [Vec<ReliabilityBin>; N] {
        let item_weight = |at: usize| self.weight.get(at).copied().unwrap_or(1.0);
        let mut total = [0.0; N];
        for (at, &code) in self.code.iter().enumerate() {
            let of_patient = &patient_weights[(code >> 2) as usize];
            (0..N).for_each(|k| total[k] += of_patient[k] * item_weight(at));
        }
        let capacity = total.map(|total| total / N_BINS as f64);
        let mut filled = total.map(|_| Vec::with_capacity(N_BINS));
        // Weight, and the sums of confidence and of hits, in the bin that is being filled.
        let mut bin = [[0.0; N]; 3];
        // What it can still take.
        let mut room = capacity;
        let (mut block, mut right) = ([0.0; N], [0.0; N]);
        for (at, &code) in self.code.iter().enumerate() {
            let of_patient = &patient_weights[(code >> 2) as usize];
            let is_right = f64::from(code & 1);
            for k in 0..N {
                let weight = of_patient[k] * item_weight(at);
                block[k] += weight;
                right[k] += weight * is_right;
            }
            if code & 2 == 0 {
                continue;
            }
            let confidence = self.confidence[at];
            for k in 0..N {
                while block[k] > room[k] {
                    let accuracy = right[k] / block[k];
                    filled[k].push([
                        bin[0][k] + room[k],
                        bin[1][k] + room[k] * confidence,
                        bin[2][k] + room[k] * accuracy,
                    ]);
                    bin.iter_mut().for_each(|sums| sums[k] = 0.0);
                    block[k] -= room[k];
                    right[k] = block[k] * accuracy;
                    // The last bin takes what rounding leaves over.
                    room[k] = if filled[k].len() + 1 < N_BINS { capacity[k] } else { f64::INFINITY };
                }
            }
            for k in 0..N {
                bin[0][k] += block[k];
                bin[1][k] += block[k] * confidence;
                bin[2][k] += right[k];
                room[k] -= block[k];
            }
            (block, right) = ([0.0; N], [0.0; N]);
        }
        std::array::from_fn(|k| {
            let last = bin.map(|sums| sums[k]);
            let bins = std::mem::take(&mut filled[k]).into_iter().chain([last]);
            bins.filter(|bin| bin[0] > 0.0)
                .map(|[weight, confidence, right]| ReliabilityBin {
                    weight,
                    mean_confidence: confidence / weight,
                    accuracy: right / weight,
                })
                .collect()
        })
    }
}

/// Expected calibration error: mean distance of confidence and accuracy over the bins; `None` without items.
///
/// # Reference
/// Naeini, Cooper and Hauskrecht 2015, with the bins of [`Calibration::reliability`].
pub fn expected_calibration_error(bins: &[ReliabilityBin]) -> Option<f64> {
    let total: f64 = bins.iter().map(|bin| bin.weight).sum();
    let gap: f64 = bins.iter().map(|bin| bin.weight * (bin.mean_confidence - bin.accuracy).abs()).sum();
    (total > 0.0).then(|| gap / total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    fn ece(confidence: &[f64], right: &[bool], weight: f64) -> f64 {
        let patients = vec![0; confidence.len()];
        let bins = Calibration::new(confidence, right, &patients, &[]).reliability(&[weight]);
        expected_calibration_error(&bins).unwrap()
    }

    #[test]
    fn bins_of_whole_items_agree_with_slices() {
        let mut stream = Seed::new(2).stream();
        let confidence: Vec<f64> = (0..150).map(|i| 0.3 + 0.004 * i as f64).collect();
        let right: Vec<bool> = confidence.iter().map(|_| stream.uniform() < 0.6).collect();
        let slow: f64 = (0..15)
            .map(|bin| {
                let range = bin * 10..bin * 10 + 10;
                let gap: f64 = range.map(|i| confidence[i] - f64::from(u8::from(right[i]))).sum();
                gap.abs() / 150.0
            })
            .sum();
        assert!((ece(&confidence, &right, 1.0) - slow).abs() < 1e-12);
    }

    #[test]
    fn order_of_ties_and_repetition_do_not_matter() {
        let confidence = [0.5, 0.5, 0.5, 0.9, 0.9, 0.7];
        let right = [true, false, false, true, true, false];
        let value = ece(&confidence, &right, 1.0);
        let turned: Vec<f64> = confidence.iter().rev().copied().collect();
        let turned_right: Vec<bool> = right.iter().rev().copied().collect();
        assert!((ece(&turned, &turned_right, 1.0) - value).abs() < 1e-12);
        assert!((ece(&confidence, &right, 10.0) - value).abs() < 1e-12);
        // By hand: blocks 0.5 (1 of 3 right), 0.7 (0 of 1), 0.9 (2 of 2) never share a bin but by borders.
        let by_hand = (3.0 * (0.5 - 1.0 / 3.0) + 0.7 + 2.0 * 0.1) / 6.0;
        assert!(value <= by_hand + 1e-12, "bins that mix blocks can only hide error");
    }
}
