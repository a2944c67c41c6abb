//! Whether a synthetic set gives its training patients away: copies and nearest neighbors, each
//! against patients that the generator never met.
//!
//! Labels play no part. Whole records are audited twice: point by point, which finds copies of a recording, and as
//! averaged beats ([`super::averaged`]), which find a patient's waves at whatever moment the record begins.

use std::collections::HashSet;

use serde::Serialize;

use crate::dataset::Dataset;
use crate::error::Result;
use crate::metrics::classification::patient_indexes;
use crate::metrics::distance::Points;
use crate::metrics::privacy::{
    NearestComparison, PrivacyOptions, PrivacyScores, PrivacySets, nearest_comparison, privacy_scores,
};
use crate::seed::Seed;

/// What the audit of one synthetic set found.
#[derive(Debug, Clone, Serialize)]
pub struct Audit {
    /// The synthetic set.
    pub source: String,
    /// What was compared, such as `beats` or `records, point by point`.
    pub space: String,
    /// Training items compared with.
    pub n_train: usize,
    /// Held-out items compared with, of other patients.
    pub n_held_out: usize,
    /// Synthetic items that equal a training item in every point; nothing is left out of this count.
    pub n_exact_copies: usize,
    /// P1, P2, P3 and P6 with their exchange tests.
    pub scores: PrivacyScores,
    /// 5th percentile of the distance to the training set, generated against held out.
    pub nearest: NearestComparison,
}

/// Most items of each set in the comparisons with held-out items, which need sets of equal size; they are
/// thinned evenly.
const MAX_ITEMS: usize = 20_000;
/// Most synthetic items.
const MAX_SYNTHETIC: usize = 2_000;
/// Distance of two standardized items that counts as a near copy, per square root of their length:
/// a twentieth of their standard deviation at every point.
const NEAR_COPY: f64 = 0.05;

/// Audits a synthetic set against its generator's training part and real items of other patients.
///
/// Items are compared point by point, each with mean 0 and standard deviation 1; `space` says what they are.
///
/// # Errors
/// [`crate::Error::Shape`] when lengths differ; [`crate::Error::Data`] for sets that are too small.
pub fn audit(
    [source, space]: [&str; 2],
    train: &Dataset,
    held_out: &Dataset,
    synthetic: &Dataset,
    replicates: usize,
    seed: Seed,
) -> Result<Audit> {
    let n_exact_copies = exact_copies(train, synthetic);
    let n = train.len().min(held_out.len()).min(MAX_ITEMS);
    let (train, held_out) = (thinned(train, n), thinned(held_out, n));
    let synthetic = thinned(synthetic, synthetic.len().min(MAX_SYNTHETIC));
    let dim = train.leads.len() * train.sig_len;
    let [train_values, held_out_values, synthetic_values] =
        [&train, &held_out, &synthetic].map(|data| standardized(&data.ecg, dim));
    let (train_patients, _) = patient_indexes(&train.patient);
    let (held_out_patients, _) = patient_indexes(&held_out.patient);
    let sets = PrivacySets {
        train: Points::new(&train_values, dim)?,
        train_patients: &train_patients,
        held_out: Points::new(&held_out_values, dim)?,
        held_out_patients: &held_out_patients,
        synthetic: Points::new(&synthetic_values, dim)?,
    };
    let options = PrivacyOptions { near_copy: NEAR_COPY * (dim as f64).sqrt(), exchanges: replicates };
    Ok(Audit {
        source: source.into(),
        space: space.into(),
        n_train: train.len(),
        n_held_out: held_out.len(),
        n_exact_copies,
        scores: privacy_scores(sets, options, seed)?,
        nearest: nearest_comparison(sets, replicates, seed)?,
    })
}

/// Synthetic items that equal an item of the training set in every point.
fn exact_copies(train: &Dataset, synthetic: &Dataset) -> usize {
    let bits = |data: &Dataset, i: usize| -> Vec<u32> { data.item(i).iter().map(|mv| mv.to_bits()).collect() };
    let known: HashSet<Vec<u32>> = (0..train.len()).map(|i| bits(train, i)).collect();
    (0..synthetic.len()).filter(|&i| known.contains(&bits(synthetic, i))).count()
}

/// `n` items at equal distances in the order of the set, so that every patient stays represented.
fn thinned(data: &Dataset, n: usize) -> Dataset {
    let order: Vec<usize> = (0..n).map(|i| i * data.len() / n).collect();
    data.select(&order)
}

/// Each item with mean 0 and standard deviation 1; a flat one becomes zeros.
fn standardized(ecg: &[f32], dim: usize) -> Vec<f64> {
    ecg.chunks(dim)
        .flat_map(|item| {
            let mean = item.iter().map(|&v| f64::from(v)).sum::<f64>() / dim as f64;
            let sd = (item.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / dim as f64).sqrt();
            item.iter().map(move |&v| if sd > 0.0 { (f64::from(v) - mean) / sd } else { 0.0 })
        })
        .collect()
}
