//! L17: labels hidden in metadata.
//!
//! A label can leak through what surrounds a signal: `af_001`, a length, an order of leads. The check
//! trains the plainest model on metadata alone, a majority vote among the training items that share a
//! feature value, and compares its balanced accuracy on the test part with what the same model
//! reaches when whole patients exchange their labels.

use std::collections::BTreeMap;

use crate::dataset::{Dataset, Split};
use crate::error::Result;
use crate::seed::Seed;

/// Permutations of the labels between patients.
const PERMUTATIONS: usize = 200;
/// Chance of a false alarm for one feature.
const ALPHA: f64 = 0.01;

/// What one kind of metadata tells about the label.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct MetadataLeak {
    /// The feature.
    pub feature: &'static str,
    /// Mean recall over the classes of the test part, 0-1.
    pub balanced_accuracy: f64,
    /// The same by chance: its mean over permutations of labels between patients.
    pub chance: f64,
    /// Share of permutations, with the observed one, that reach the observed accuracy.
    pub p_value: f64,
    /// Whether a report must warn: better than chance at the 1 % level.
    pub is_suspicious: bool,
}

/// How well each kind of metadata alone predicts the label on the test part.
///
/// Features: the letters of the record name, its length, its last character, and whether the item's
/// position is divisible by ten. Items are synthetic or real alike; only patients in one part count.
///
/// # Errors
/// [`Error::Data`](crate::Error::Data) unless each item has exactly one label.
pub fn metadata_leaks(data: &Dataset, seed: Seed) -> Result<Vec<MetadataLeak>> {
    let classes = data.classes()?;
    let train: Vec<usize> = (0..data.len()).filter(|&i| data.split[i] == Split::Train).collect();
    let test: Vec<usize> = (0..data.len()).filter(|&i| data.split[i] == Split::Test).collect();
    let mut patients: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for &i in &test {
        patients.entry(&data.patient[i]).or_default().push(i);
    }
    let patients: Vec<Vec<usize>> = patients.into_values().collect();

    let features: [(&'static str, fn(&Dataset, usize) -> String); 4] = [
        ("letters of the record name", |data, i| data.record[i].chars().filter(|c| !c.is_ascii_digit()).collect()),
        ("length of the record name", |data, i| data.record[i].chars().count().to_string()),
        ("last character of the record name", |data, i| data.record[i].chars().last().into_iter().collect()),
        ("position divisible by ten", |data, i| (data.index[i] % 10 == 0).to_string()),
    ];
    let question = Question { classes: &classes, n_labels: data.n_labels(), train: &train, patients: &patients };
    let values = |value: fn(&Dataset, usize) -> String| (0..data.len()).map(|i| value(data, i)).collect::<Vec<_>>();
    Ok(features.into_iter().map(|(feature, value)| leaks(feature, &values(value), &question, seed)).collect())
}

/// What is to be guessed from a feature, and from which items.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Class of every item.
    pub classes: &'a [usize],
    /// Number of classes.
    pub n_labels: usize,
    /// Items to learn from.
    pub train: &'a [usize],
    /// Items to answer for, by patient.
    pub patients: &'a [Vec<usize>],
}

/// How well one feature, given as text for every item, predicts the class.
pub fn leaks(feature: &'static str, values: &[String], question: &Question, seed: Seed) -> MetadataLeak {
    let Question { classes, n_labels, train, patients } = *question;
    let mut votes: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut totals = vec![0.0; n_labels];
    for &i in train {
        votes.entry(&values[i]).or_insert_with(|| vec![0.0; n_labels])[classes[i]] += 1.0;
        totals[classes[i]] += 1.0;
    }
    // Votes count relative to the class, because balanced accuracy does not reward the majority.
    let best = |counts: &Vec<f64>| {
        let share = |class: usize| if totals[class] > 0.0 { counts[class] / totals[class] } else { 0.0 };
        (0..counts.len()).fold(0, |best, class| if share(class) > share(best) { class } else { best })
    };
    let answer: BTreeMap<&str, usize> = votes.iter().map(|(value, counts)| (*value, best(counts))).collect();
    let predicted: Vec<usize> = values.iter().map(|value| answer.get(value.as_str()).copied().unwrap_or(0)).collect();
    let observed = balanced_accuracy(n_labels, patients, patients, classes, &predicted);
    let mut reached = 1usize;
    let mut sum = 0.0;
    for k in 0..PERMUTATIONS {
        let order = seed.purpose("metadata").purpose(feature).index(k as u64).stream().permutation(patients.len());
        let lent: Vec<Vec<usize>> = order.into_iter().map(|p| patients[p].clone()).collect();
        let permuted = balanced_accuracy(n_labels, patients, &lent, classes, &predicted);
        sum += permuted;
        reached += usize::from(permuted >= observed);
    }
    let p_value = reached as f64 / (PERMUTATIONS + 1) as f64;
    MetadataLeak {
        feature,
        balanced_accuracy: observed,
        chance: sum / PERMUTATIONS as f64,
        p_value,
        is_suspicious: p_value < ALPHA,
    }
}

/// Mean recall when patient `k` keeps its predictions and takes the labels of `lenders[k]`, item by
/// item and round again where the lender has fewer.
fn balanced_accuracy(
    n_labels: usize,
    patients: &[Vec<usize>],
    lenders: &[Vec<usize>],
    classes: &[usize],
    predicted: &[usize],
) -> f64 {
    let mut right = vec![0.0; n_labels];
    let mut all = vec![0.0; n_labels];
    for (items, lender) in patients.iter().zip(lenders) {
        for (k, &i) in items.iter().enumerate() {
            let class = classes[lender[k % lender.len()]];
            all[class] += 1.0;
            right[class] += f64::from(predicted[i] == class);
        }
    }
    let recalls: Vec<f64> =
        right.iter().zip(&all).filter(|(_, all)| **all > 0.0).map(|(right, all)| right / all).collect();
    recalls.iter().sum::<f64>() / recalls.len().max(1) as f64
}
