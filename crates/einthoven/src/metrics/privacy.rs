//! Whether synthetic items are too close to the items that a generator was trained on.
//!
//! Every count is set against the same count with held-out items of other patients: a synthetic
//! beat may well lie near a real one, but not nearer to the training patients than to patients that
//! the generator never met. The null distribution comes from exchanging the labels "training" and
//! "held out" between patients, because items of one patient are not independent.
//!
//! Names P1, P2, P3, P6, P13 are those of the project's reliability rules. Passing says "no leak
//! shown by these attacks", never "private". Left out: attacks that need the model itself.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::bootstrap::quantile;
use super::distance::{Pairing, Points, euclidean, fold_tiles, nearest_neighbors};
use super::hypothesis::wilson_center;
use super::ranking::Ranking;
use crate::error::{Error, Result};
use crate::seed::Seed;

/// Neighbours whose mean distance is the yardstick of the memorisation ratio.
pub const N_YARDSTICK: usize = 50;

/// Most neighbours that are kept for each synthetic item; beyond them the exchange is approximate.
const MAX_KEPT: usize = 2000;

/// The three sets of a privacy test, in one space of vectors.
#[derive(Debug, Clone, Copy)]
pub struct PrivacySets<'a> {
    /// What the generator was trained on, T.
    pub train: Points<'a>,
    /// Patient of each training item, as an index from 0.
    pub train_patients: &'a [usize],
    /// Items of other patients of the same source, H.
    pub held_out: Points<'a>,
    /// Patient of each held-out item, as an index from 0; a separate count from the training patients.
    pub held_out_patients: &'a [usize],
    /// What the generator made, S.
    pub synthetic: Points<'a>,
}

/// What to look for and how often to exchange.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrivacyOptions {
    /// Largest distance that counts as a near copy, in the unit of the vectors.
    pub near_copy: f64,
    /// Number of random exchanges of patients.
    pub exchanges: usize,
}

/// One count or share, with training and with held-out items.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PrivacyTest {
    /// The statistic with the training items.
    pub train: f64,
    /// The same with the held-out items.
    pub held_out: f64,
    /// Training minus held out.
    pub excess: f64,
    /// Share of exchanges at least as extreme towards a leak, the data themselves included.
    pub p_value: f64,
}

/// Results of the tests by nearest neighbours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PrivacyScores {
    /// Number of synthetic items.
    pub n_synthetic: usize,
    /// Patients whose items were trained on.
    pub n_train_patients: usize,
    /// Patients held out.
    pub n_held_out_patients: usize,
    /// Exchanges of patients behind each probability.
    pub exchanges: usize,
    /// P1: synthetic items at distance 0.
    pub exact_copies: PrivacyTest,
    /// P1: synthetic items at most `near_copy` away.
    pub near_copies: PrivacyTest,
    /// Largest distance that counted as a near copy.
    pub near_copy: f64,
    /// P2: share of synthetic items nearer to a training item, ties half; the share nearer to a held-out one.
    pub closer_share: PrivacyTest,
    /// P3: 5 % quantile of the ratio of the first to the second neighbour's distance. A leak makes it small.
    pub nndr_p05: PrivacyTest,
    /// P6: synthetic items whose memorisation ratio is at most 1.
    pub memorized: PrivacyTest,
    /// Whether neighbours had to be cut off, so that the exchange is approximate.
    pub is_truncated: bool,
}

/// The nearest distances of generated beats against those of held-out beats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct NearestComparison {
    /// 5th percentile of the distance of a synthetic item to its nearest training item.
    pub synthetic_to_train_p05: f64,
    /// 5th percentile of the distance of a held-out item to its nearest training item.
    pub held_out_to_train_p05: f64,
    /// First minus second; negative when synthetic items are nearer.
    pub difference: f64,
    /// Lower end of the interval of the difference, by resampling held-out patients and synthetic items.
    pub ci_low: f64,
    /// Upper end of that interval.
    pub ci_high: f64,
    /// Whether the synthetic items are not nearer: the difference is at least 0.
    pub is_not_nearer: bool,
}

/// The risk that remains when the success of an attack on strangers is taken off.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ResidualRisk {
    /// (r_T - r_H) / (1 - r_H).
    pub value: f64,
    /// Half width of its interval.
    pub half_width: f64,
    /// Rate of success on training items, as the center of its Wilson interval.
    pub train_rate: f64,
    /// Rate of success on held-out items, as the center of its Wilson interval.
    pub held_out_rate: f64,
}

/// Tests P1, P2, P3 and P6 with their exchange tests.
///
/// # Errors
/// [`Error::Shape`] when lengths or dimensions differ; [`Error::Data`] without synthetic items or
/// when T or H has fewer than two items; [`Error::Config`] without exchanges.
/// # Reference
/// P6: Carlini et al. 2023, "Extracting training data from diffusion models" (0.5 times the mean
/// distance to the 50 nearest). P2, P3: Platzer and Reutterer 2021. Exchange: Fisher 1935, with one
/// added replicate (Davison and Hinkley 1997, chapter 4).
pub fn privacy_scores(sets: PrivacySets, options: PrivacyOptions, seed: Seed) -> Result<PrivacyScores> {
    check(&sets)?;
    if options.exchanges == 0 {
        return Err(Error::config("exchanges", "0, expected at least 1 (999 for a published probability)"));
    }
    let n_train = count(sets.train_patients);
    let n_held_out = count(sets.held_out_patients);
    let table = NeighborTable::new(&sets, n_train);
    let observed_labels: Vec<bool> = (0..n_train + n_held_out).map(|patient| patient < n_train).collect();
    let observed = table.statistics(&observed_labels, options.near_copy);
    let seed = seed.purpose("privacy exchange");
    let exchanged: Vec<[(f64, f64); 5]> = (0..options.exchanges)
        .into_par_iter()
        .map(|exchange| {
            let order = seed.index(exchange as u64).stream().permutation(n_train + n_held_out);
            let mut labels = vec![false; order.len()];
            order[..n_train].iter().for_each(|&patient| labels[patient] = true);
            table.statistics(&labels, options.near_copy)
        })
        .collect();
    // The ratio of distances falls when items are copied; everything else rises.
    let test = |at: usize, leak: f64| {
        let excess = observed[at].0 - observed[at].1;
        let extreme = exchanged.iter().filter(|e| leak * (e[at].0 - e[at].1) >= leak * excess - 1e-12).count();
        let p_value = (extreme + 1) as f64 / (options.exchanges + 1) as f64;
        PrivacyTest { train: observed[at].0, held_out: observed[at].1, excess, p_value }
    };
    Ok(PrivacyScores {
        n_synthetic: sets.synthetic.len(),
        n_train_patients: n_train,
        n_held_out_patients: n_held_out,
        exchanges: options.exchanges,
        exact_copies: test(0, 1.0),
        near_copies: test(1, 1.0),
        near_copy: options.near_copy,
        closer_share: test(2, 1.0),
        nndr_p05: test(3, -1.0),
        memorized: test(4, 1.0),
        is_truncated: table.is_truncated,
    })
}

/// Nearest neighbours of every synthetic item among training and held-out items together.
struct NeighborTable {
    /// Per synthetic item: distance and patient, nearest first; held-out patients follow the training ones.
    rows: Vec<Vec<(f64, u32)>>,
    is_truncated: bool,
}

/// What one side's items look like from a synthetic item.
#[derive(Default)]
struct View {
    found: usize,
    first: f64,
    second: f64,
    sum: f64,
}

impl NeighborTable {
    /// Keeps 50 neighbours from each patient, which is all that any exchange can ask for.
    fn new(sets: &PrivacySets, n_train: usize) -> NeighborTable {
        let train_len = sets.train.len();
        let rows = |queries: Points, references: Points, patient_of: &(dyn Fn(usize) -> usize + Sync)| {
            fold_tiles(
                queries,
                references,
                |_| Vec::<f64>::with_capacity(references.len()),
                |all, _, _, squared| all.extend_from_slice(squared),
                |all, query| nearest_by_patient(&all, patient_of, |i| euclidean(queries.row(query), references.row(i))),
            )
        };
        let train = rows(sets.synthetic, sets.train, &|i| sets.train_patients[i]);
        let held_out = rows(sets.synthetic, sets.held_out, &|i| n_train + sets.held_out_patients[i]);
        let possible = |patients: &[usize], len: usize| (N_YARDSTICK * count(patients)).min(len) > MAX_KEPT;
        NeighborTable {
            rows: train
                .into_iter()
                .zip(held_out)
                .map(|(mut row, other)| {
                    row.extend(other);
                    row.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                    row
                })
                .collect(),
            is_truncated: possible(sets.train_patients, train_len)
                || possible(sets.held_out_patients, sets.held_out.len()),
        }
    }

    /// The five statistics with training and with held-out items, when `is_train` says who is which.
    fn statistics(&self, is_train: &[bool], near_copy: f64) -> [(f64, f64); 5] {
        let mut counts = [[0.0; 2]; 3];
        let (mut closer, mut ratios) = (0.0, [Vec::new(), Vec::new()]);
        for row in &self.rows {
            let mut views = [View::default(), View::default()];
            for &(distance, patient) in row {
                let view = &mut views[usize::from(!is_train[patient as usize])];
                if view.found < N_YARDSTICK {
                    match view.found {
                        0 => view.first = distance,
                        1 => view.second = distance,
                        _ => {}
                    }
                    view.found += 1;
                    view.sum += distance;
                } else if views.iter().all(|view| view.found >= N_YARDSTICK) {
                    break;
                }
            }
            for (side, view) in views.iter().enumerate().filter(|(_, view)| view.found > 0) {
                let yardstick = 0.5 * view.sum / view.found as f64;
                counts[0][side] += f64::from(u8::from(view.first == 0.0));
                counts[1][side] += f64::from(u8::from(view.first <= near_copy));
                counts[2][side] += f64::from(u8::from(view.first <= yardstick));
                if view.found > 1 {
                    // Two copies at distance 0 are the strongest sign, not an undefined one.
                    ratios[side].push(if view.second > 0.0 { view.first / view.second } else { 0.0 });
                }
            }
            let nearest = views.each_ref().map(|view| if view.found > 0 { view.first } else { f64::INFINITY });
            closer += if nearest[0] < nearest[1] {
                1.0
            } else if nearest[0] == nearest[1] {
                0.5
            } else {
                0.0
            };
        }
        let share = closer / self.rows.len() as f64;
        let p05 = ratios.map(|mut values| {
            values.sort_unstable_by(f64::total_cmp);
            quantile(&values, 0.05)
        });
        let pair = |at: usize| (counts[at][0], counts[at][1]);
        [pair(0), pair(1), (share, 1.0 - share), (p05[0], p05[1]), pair(2)]
    }
}

/// The nearest items of each patient, at most 50 each and `MAX_KEPT` in all, with exact distances.
fn nearest_by_patient(
    squared: &[f64],
    patient_of: &(dyn Fn(usize) -> usize + Sync),
    exact: impl Fn(usize) -> f64,
) -> Vec<(f64, u32)> {
    let mut order: Vec<u32> = (0..squared.len() as u32).collect();
    order.sort_unstable_by(|&a, &b| squared[a as usize].total_cmp(&squared[b as usize]).then(a.cmp(&b)));
    let mut taken = Vec::new();
    let mut kept = Vec::new();
    for item in order {
        let patient = patient_of(item as usize);
        if taken.len() <= patient {
            taken.resize(patient + 1, 0usize);
        }
        if taken[patient] < N_YARDSTICK {
            taken[patient] += 1;
            kept.push((exact(item as usize), patient as u32));
            if kept.len() == MAX_KEPT {
                break;
            }
        }
    }
    kept
}

/// Ratio of the nearest distance to half the mean distance of the 50 nearest; at most 1 is suspicious.
///
/// # Shape
/// `neighbors` is `[n, k]`, rising in each row; with fewer than 50 neighbours all of them are used.
/// # Reference
/// Carlini et al. 2023, "Extracting training data from diffusion models".
pub fn memorization_ratios(distances: &[f64], k: usize) -> Vec<f64> {
    distances
        .chunks_exact(k.max(1))
        .map(|row| {
            let yardstick = &row[..row.len().min(N_YARDSTICK)];
            let half_mean = 0.5 * yardstick.iter().sum::<f64>() / yardstick.len() as f64;
            // All 50 neighbours at distance 0 are copies, too.
            if half_mean > 0.0 { row[0] / half_mean } else { 0.0 }
        })
        .collect()
}

/// P2: share of items that are nearer to the training set, ties counted half.
///
/// # Panics
/// If the lengths differ.
/// # Reference
/// Platzer and Reutterer 2021.
pub fn closer_share(to_train: &[f64], to_held_out: &[f64]) -> f64 {
    assert_eq!(to_train.len(), to_held_out.len(), "two distances for each item");
    let points = to_train.iter().zip(to_held_out).map(|(t, h)| match t.total_cmp(h) {
        std::cmp::Ordering::Less => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Greater => 0.0,
    });
    points.sum::<f64>() / to_train.len() as f64
}

/// P3: ratio of the first to the second neighbour's distance of each item; 0 when both are 0.
///
/// # Shape
/// `distances` is `[n, k]` with `k` of 2 or more, rising in each row.
/// # Reference
/// Platzer and Reutterer 2021.
pub fn nearest_neighbor_ratios(distances: &[f64], k: usize) -> Vec<f64> {
    distances.chunks_exact(k.max(2)).map(|row| if row[1] > 0.0 { row[0] / row[1] } else { 0.0 }).collect()
}

/// P10: AUROC of guessing membership from the distance to the nearest synthetic item; 0.5 is a guess.
///
/// `None` without training or without held-out items.
/// # Reference
/// Chen et al. 2020, "GAN-Leaks".
pub fn distance_attack_auroc(train_to_synthetic: &[f64], held_out_to_synthetic: &[f64]) -> Option<f64> {
    let score: Vec<f64> = train_to_synthetic.iter().chain(held_out_to_synthetic).map(|d| -d).collect();
    let patients = vec![0; score.len()];
    Ranking::new(&score, |i| i < train_to_synthetic.len(), &patients, &[]).scores(&[1.0]).auroc
}

/// Nearest-neighbour adversarial accuracy: 0.5 when the two sets cannot be told apart, below 0.5 when one copies the other.
///
/// # Errors
/// [`Error::Shape`] when the vectors differ in length; [`Error::Data`] with fewer than two items in a set.
/// # Reference
/// Yale et al. 2020.
pub fn adversarial_accuracy(real: Points, synthetic: Points) -> Result<f64> {
    let share = |own: Points, other: Points| -> Result<f64> {
        let inside = nearest_neighbors(own, own, 1, Pairing::SameSet)?.distance;
        let across = nearest_neighbors(own, other, 1, Pairing::Distinct)?.distance;
        Ok(across.iter().zip(&inside).filter(|(a, i)| a > i).count() as f64 / own.len() as f64)
    };
    Ok(0.5 * (share(real, synthetic)? + share(synthetic, real)?))
}

/// Compares the 5th percentiles of the nearest distance to the training set, synthetic against held out.
///
/// The interval resamples held-out patients and, apart from them, synthetic items, `replicates` times.
/// # Errors
/// As [`privacy_scores`]; [`Error::Config`] without replicates.
/// # Reference
/// Acceptance check 5 of the reproduction of DGN; percentile interval of Efron 1979.
pub fn nearest_comparison(sets: PrivacySets, replicates: usize, seed: Seed) -> Result<NearestComparison> {
    check(&sets)?;
    if replicates == 0 {
        return Err(Error::config("replicates", "0, expected at least 1 (2000 for a published interval)"));
    }
    let sorted = |queries: Points| -> Result<Vec<(f64, usize)>> {
        let nearest = nearest_neighbors(queries, sets.train, 1, Pairing::Distinct)?.distance;
        let mut pairs: Vec<(f64, usize)> = nearest.into_iter().enumerate().map(|(i, d)| (d, i)).collect();
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        Ok(pairs)
    };
    let (synthetic, held_out) = (sorted(sets.synthetic)?, sorted(sets.held_out)?);
    let n_patients = count(sets.held_out_patients);
    let p05 = |pairs: &[(f64, usize)], weight: &dyn Fn(usize) -> f64| weighted_quantile(pairs, weight, 0.05);
    let synthetic_p05 = p05(&synthetic, &|_| 1.0);
    let held_out_p05 = p05(&held_out, &|_| 1.0);
    let seed = seed.purpose("nearest comparison");
    let draw = |n: usize, seed: Seed| {
        let mut stream = seed.stream();
        let mut counts = vec![0.0; n];
        (0..n).for_each(|_| counts[stream.below(n)] += 1.0);
        counts
    };
    let mut differences: Vec<f64> = (0..replicates)
        .into_par_iter()
        .map(|replicate| {
            let own = seed.index(replicate as u64);
            let items = draw(synthetic.len(), own.purpose("items"));
            let patients = draw(n_patients, own.purpose("patients"));
            p05(&synthetic, &|i| items[i]) - p05(&held_out, &|i| patients[sets.held_out_patients[i]])
        })
        .collect();
    differences.retain(|d| d.is_finite());
    differences.sort_unstable_by(f64::total_cmp);
    let difference = synthetic_p05 - held_out_p05;
    Ok(NearestComparison {
        synthetic_to_train_p05: synthetic_p05,
        held_out_to_train_p05: held_out_p05,
        difference,
        ci_low: quantile(&differences, 0.025),
        ci_high: quantile(&differences, 0.975),
        is_not_nearer: difference >= 0.0,
    })
}

/// The smallest value up to which a share `p` of the weight lies; NaN without weight.
fn weighted_quantile(sorted: &[(f64, usize)], weight: &dyn Fn(usize) -> f64, p: f64) -> f64 {
    let total: f64 = sorted.iter().map(|(_, i)| weight(*i)).sum();
    let mut sum = 0.0;
    for (value, i) in sorted {
        sum += weight(*i);
        if sum > 0.0 && sum >= p * total {
            return *value;
        }
    }
    f64::NAN
}

/// P13: residual risk from the successes of an attack on training and on held-out items.
///
/// # Errors
/// [`Error::Data`] unless each count is at most its total; [`Error::Config`] unless `level` is in 0..1.
/// # Reference
/// Giomi et al. 2023, "A unified framework for quantifying privacy risk in synthetic data",
/// with Wilson rates and the first-order propagation of their half widths.
pub fn residual_risk(train: (usize, usize), held_out: (usize, usize), level: f64) -> Result<ResidualRisk> {
    let (train_rate, train_half) = wilson_center(train.0, train.1, level)?;
    let (held_out_rate, held_out_half) = wilson_center(held_out.0, held_out.1, level)?;
    let rest = 1.0 - held_out_rate;
    let by_train = train_half / rest;
    let by_held_out = (train_rate - 1.0) / (rest * rest) * held_out_half;
    Ok(ResidualRisk {
        value: (train_rate - held_out_rate) / rest,
        half_width: by_train.hypot(by_held_out),
        train_rate,
        held_out_rate,
    })
}

fn count(patients: &[usize]) -> usize {
    patients.iter().max().map_or(0, |last| last + 1)
}

fn check(sets: &PrivacySets) -> Result<()> {
    let dim = sets.train.dim();
    for (what, points) in [("held_out", sets.held_out), ("synthetic", sets.synthetic)] {
        if points.dim() != dim {
            let (expected, actual) = (vec![points.len(), dim], vec![points.len(), points.dim()]);
            return Err(Error::Shape { what: what.into(), expected, actual });
        }
    }
    let owners = [
        ("train_patients", sets.train_patients, sets.train),
        ("held_out_patients", sets.held_out_patients, sets.held_out),
    ];
    for (what, patients, points) in owners {
        if patients.len() != points.len() {
            let (expected, actual) = (vec![points.len()], vec![patients.len()]);
            return Err(Error::Shape { what: what.into(), expected, actual });
        }
        if points.len() < 2 {
            return Err(Error::data(what, format!("{} items, expected at least 2", points.len())));
        }
        // Indexes with gaps would be patients without items, and waste memory when they are huge.
        if count(patients) > patients.len() {
            let reason = format!("patient {}, expected indexes from 0 without gaps", count(patients) - 1);
            return Err(Error::data(what, reason));
        }
    }
    if sets.synthetic.is_empty() {
        return Err(Error::data("synthetic", "0 items, expected at least 1"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Items of patients who differ: `[n_patients * per_patient, dim]` around one center each.
    fn patients(n_patients: usize, per_patient: usize, dim: usize, seed: u64) -> (Vec<f64>, Vec<usize>) {
        let mut stream = Seed::new(seed).stream();
        let (mut values, mut owner) = (Vec::new(), Vec::new());
        for patient in 0..n_patients {
            let center: Vec<f64> = (0..dim).map(|_| stream.normal()).collect();
            for _ in 0..per_patient {
                values.extend(center.iter().map(|c| c + 0.5 * stream.normal()));
                owner.push(patient);
            }
        }
        (values, owner)
    }

    const DIM: usize = 8;

    fn scores(synthetic: &[f64], exchanges: usize, seed: u64) -> PrivacyScores {
        let (train, train_patients) = patients(12, 60, DIM, seed);
        let (held_out, held_out_patients) = patients(12, 60, DIM, seed + 1);
        let sets = PrivacySets {
            train: Points::new(&train, DIM).unwrap(),
            train_patients: &train_patients,
            held_out: Points::new(&held_out, DIM).unwrap(),
            held_out_patients: &held_out_patients,
            synthetic: Points::new(synthetic, DIM).unwrap(),
        };
        privacy_scores(sets, PrivacyOptions { near_copy: 1e-3, exchanges }, Seed::new(3)).unwrap()
    }

    #[test]
    fn p01_p06_copies_are_counted_and_significant() {
        let (train, _) = patients(12, 60, DIM, 1);
        let (mut synthetic, _) = patients(15, 20, DIM, 5);
        // 24 exact copies, two of each training patient, and as many near ones.
        for copy in 0..24 {
            let source = &train[copy * 30 * DIM..copy * 30 * DIM + DIM];
            synthetic.extend_from_slice(source);
            synthetic.extend(source.iter().map(|v| v + 1e-5));
        }
        let found = scores(&synthetic, 199, 1);
        assert_eq!((found.exact_copies.train, found.exact_copies.held_out), (24.0, 0.0));
        assert_eq!((found.near_copies.train, found.near_copies.held_out), (48.0, 0.0));
        assert!(found.memorized.excess >= 40.0, "{:?}", found.memorized);
        for test in [found.exact_copies, found.near_copies, found.nndr_p05, found.memorized] {
            assert!(test.p_value <= 0.01, "{test:?}");
        }
    }

    #[test]
    fn p01_p06_a_clean_generator_is_not_accused() {
        // With p uniform, fewer than five of twelve clean trials lie below 0.1 (probability 0.996).
        let trial = |seed: u64| scores(&patients(15, 20, DIM, 10 * seed + 7).0, 49, 10 * seed);
        let low = (10..22).filter(|seed| trial(*seed).memorized.p_value < 0.1).count();
        assert!(low < 5, "{low}");
        let clean = trial(5);
        assert_eq!((clean.exact_copies.train, clean.exact_copies.p_value), (0.0, 1.0));
    }

    #[test]
    fn p02_p03_have_their_definitions() {
        assert_eq!(closer_share(&[1.0, 2.0, 3.0, 4.0], &[2.0, 2.0, 1.0, 5.0]), 0.625);
        assert_eq!(nearest_neighbor_ratios(&[1.0, 2.0, 0.0, 0.0], 2), [0.5, 0.0]);
        assert_eq!(memorization_ratios(&[1.0, 2.0, 3.0, 0.0, 0.0, 0.0], 3), [1.0, 0.0]);
    }

    #[test]
    fn p13_residual_risk_has_the_published_value() {
        let risk = residual_risk((60, 1000), (50, 1000), 0.95).unwrap();
        assert!((risk.value - 0.010505).abs() < 5e-7, "{}", risk.value);
        assert!((risk.half_width - 0.021079).abs() < 5e-7, "{}", risk.half_width);
    }

    #[test]
    fn synthetic_items_nearer_than_strangers_are_noticed() {
        let (train, train_patients) = patients(12, 60, DIM, 1);
        let (held_out, held_out_patients) = patients(12, 60, DIM, 2);
        let compare = |synthetic: &[f64]| {
            let sets = PrivacySets {
                train: Points::new(&train, DIM).unwrap(),
                train_patients: &train_patients,
                held_out: Points::new(&held_out, DIM).unwrap(),
                held_out_patients: &held_out_patients,
                synthetic: Points::new(synthetic, DIM).unwrap(),
            };
            nearest_comparison(sets, 300, Seed::new(1)).unwrap()
        };
        let jittered: Vec<f64> = train.iter().map(|v| v + 0.01).collect();
        let close = compare(&jittered);
        assert!(!close.is_not_nearer && close.ci_high < 0.0, "{close:?}");
        let far: Vec<f64> = held_out.iter().map(|v| v * 1.3).collect();
        assert!(compare(&far).is_not_nearer);
        // The held-out set against itself: no difference, and the interval says so.
        let same = compare(&held_out);
        assert!(same.difference == 0.0 && same.ci_low <= 0.0 && 0.0 <= same.ci_high);
    }

    #[test]
    fn patients_that_do_not_fit_are_named() {
        let values = [0.0, 1.0, 2.0, 3.0];
        let points = Points::new(&values, 2).unwrap();
        let sets = PrivacySets {
            train: points,
            train_patients: &[0],
            held_out: points,
            held_out_patients: &[0, 1],
            synthetic: points,
        };
        let error = nearest_comparison(sets, 10, Seed::new(1)).unwrap_err().to_string();
        assert!(error.starts_with("train_patients"), "{error}");
    }
}
