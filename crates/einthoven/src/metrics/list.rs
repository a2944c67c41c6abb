//! The list of metrics that the command shows, each with an example that the tests call.

use serde::{Serialize, Serializer};

use super::agreement::{Disagreement, cohen_kappa, fleiss_kappa, gwet_ac1};
use super::classification::{ClassificationInput, ClassificationScores, Predictions};
use super::distance::{Pairing, Points, frechet_distance, mmd_rbf, nearest_neighbors, prd_percent, prdc, rmse};
use super::dtw::{DtwOptions, dtw};
use super::kid::mmd_cubic;
use super::multilabel::Multilabel;
use super::privacy::{
    PrivacyOptions, PrivacyScores, PrivacySets, adversarial_accuracy, distance_attack_auroc, nearest_comparison,
    privacy_scores, residual_risk,
};
use super::transport::{sinkhorn_divergence, wasserstein_2};
use super::univariate::{KsMethod, energy_distance, jensen_shannon_distance, ks_test, wasserstein_1d};
use crate::error::{Error, Result};
use crate::seed::Seed;

/// Which way a metric improves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Higher values are better.
    Higher,
    /// Lower values are better.
    Lower,
    /// The middle of the range, or 0 where it has none, is better than both ends.
    Middle,
}

/// One entry of the list of metrics.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Metric {
    /// Name as it stands in a report.
    pub name: &'static str,
    /// One line on what it says.
    pub summary: &'static str,
    /// Who defined it: author and year.
    pub reference: &'static str,
    /// Smallest and largest possible value; `null` in JSON where there is none.
    #[serde(serialize_with = "finite_or_null")]
    pub range: (f64, f64),
    /// Which way it improves.
    pub better: Better,
    /// Its value on a tiny example.
    #[serde(skip)]
    pub example: fn() -> Result<f64>,
}

fn finite_or_null<S: Serializer>(range: &(f64, f64), serializer: S) -> std::result::Result<S::Ok, S::Error> {
    let end = |value: f64| value.is_finite().then_some(value);
    [end(range.0), end(range.1)].serialize(serializer)
}

const SHARE: (f64, f64) = (0.0, 1.0);
const DISTANCE: (f64, f64) = (0.0, f64::INFINITY);

/// Every metric by name.
pub const METRICS: &[Metric] = &[
    Metric {
        name: "accuracy",
        summary: "share of items whose predicted class is right",
        reference: "Sokolova and Lapalme 2009",
        range: SHARE,
        better: Better::Higher,
        example: || Ok(scores()?.accuracy),
    },
    Metric {
        name: "misidentification",
        summary: "1 - accuracy",
        reference: "Sokolova and Lapalme 2009",
        range: SHARE,
        better: Better::Lower,
        example: || Ok(scores()?.misidentification),
    },
    Metric {
        name: "mean_off_diagonal_row_rate",
        summary: "mean over classes of the share of a class that is called something else",
        reference: "Brodersen et al. 2010 (1 - balanced accuracy)",
        range: SHARE,
        better: Better::Lower,
        example: || Ok(scores()?.mean_off_diagonal_row_rate),
    },
    Metric {
        name: "precision",
        summary: "share of the items called a class that are of it; macro, weighted, headline and per class",
        reference: "Sokolova and Lapalme 2009",
        range: SHARE,
        better: Better::Higher,
        example: || Ok(scores()?.macro_average.precision),
    },
    Metric {
        name: "recall",
        summary: "share of the items of a class that are called so; macro, weighted, headline and per class",
        reference: "Sokolova and Lapalme 2009",
        range: SHARE,
        better: Better::Higher,
        example: || Ok(scores()?.macro_average.recall),
    },
    Metric {
        name: "f1",
        summary: "harmonic mean of precision and recall; macro, weighted, headline and per class",
        reference: "van Rijsbergen 1979",
        range: SHARE,
        better: Better::Higher,
        example: || Ok(scores()?.macro_average.f1),
    },
    Metric {
        name: "auroc",
        summary: "probability that an item of a class outranks one of the rest, ties half",
        reference: "Hanley and McNeil 1982",
        range: SHARE,
        better: Better::Higher,
        example: || defined(scores()?.macro_average.auroc),
    },
    Metric {
        name: "auprc",
        summary: "average precision of a class against the rest; to be compared with its prevalence",
        reference: "Davis and Goadrich 2006",
        range: SHARE,
        better: Better::Higher,
        example: || defined(scores()?.macro_average.auprc),
    },
    Metric {
        name: "mcc",
        summary: "correlation of true and predicted classes",
        reference: "Gorodkin 2004",
        range: (-1.0, 1.0),
        better: Better::Higher,
        example: || Ok(scores()?.mcc),
    },
    Metric {
        name: "brier",
        summary: "mean summed squared error of the probabilities",
        reference: "Brier 1950",
        range: (0.0, 2.0),
        better: Better::Lower,
        example: || Ok(scores()?.brier),
    },
    Metric {
        name: "log_loss",
        summary: "mean of minus the logarithm of the true class's probability",
        reference: "Good 1952",
        range: DISTANCE,
        better: Better::Lower,
        example: || Ok(scores()?.log_loss),
    },
    Metric {
        name: "ece",
        summary: "mean distance of confidence and accuracy over 15 bins of equal weight",
        reference: "Naeini, Cooper and Hauskrecht 2015; Nguyen and O'Connor 2015",
        range: SHARE,
        better: Better::Lower,
        example: || Ok(scores()?.ece),
    },
    Metric {
        name: "cohen_kappa",
        summary: "agreement of two raters beyond chance",
        reference: "Cohen 1960",
        range: (-1.0, 1.0),
        better: Better::Higher,
        example: || cohen_kappa(&RATER, &OTHER_RATER, 3, Disagreement::Nominal),
    },
    Metric {
        name: "fleiss_kappa",
        summary: "agreement of several raters beyond chance",
        reference: "Fleiss 1971",
        range: (-1.0, 1.0),
        better: Better::Higher,
        example: || fleiss_kappa(&[0, 0, 1, 1, 2, 1], 2, 3),
    },
    Metric {
        name: "gwet_ac1",
        summary: "agreement of two raters beyond chance, stable when one category prevails",
        reference: "Gwet 2008",
        range: (-1.0, 1.0),
        better: Better::Higher,
        example: || gwet_ac1(&RATER, &OTHER_RATER, 3),
    },
    Metric {
        name: "lrap",
        summary: "label ranking average precision of items with several labels",
        reference: "Schapire and Singer 2000",
        range: SHARE,
        better: Better::Higher,
        example: || {
            Ok(Multilabel::new(&[true, false, false, true], &[0.8, 0.4, 0.6, 0.5], 2)?
                .label_ranking_average_precision())
        },
    },
    Metric {
        name: "rmse",
        summary: "root mean squared difference of two signals, in their unit",
        reference: "Gauss 1823",
        range: DISTANCE,
        better: Better::Lower,
        example: || rmse(&REAL, &SYNTHETIC),
    },
    Metric {
        name: "prd_percent",
        summary: "root mean squared difference in percent of the signal's spread",
        reference: "Blanco-Velasco et al. 2005",
        range: DISTANCE,
        better: Better::Lower,
        example: || prd_percent(&REAL, &SYNTHETIC),
    },
    Metric {
        name: "nearest_distance",
        summary: "Euclidean distance to the nearest neighbour in another set",
        reference: "Cover and Hart 1967",
        range: DISTANCE,
        better: Better::Middle,
        example: || Ok(nearest_neighbors(points(&SYNTHETIC)?, points(&REAL)?, 1, Pairing::Distinct)?.distance[0]),
    },
    Metric {
        name: "mmd2",
        summary: "squared maximum mean discrepancy with a Gaussian kernel",
        reference: "Gretton et al. 2012",
        range: (0.0, 2.0),
        better: Better::Lower,
        example: || Ok(mmd_rbf(points(&REAL)?, points(&SYNTHETIC)?, 0.5)?.biased),
    },
    Metric {
        name: "mmd2_cubic",
        summary: "unbiased squared maximum mean discrepancy with a cubic kernel",
        reference: "Binkowski et al. 2018",
        range: (f64::NEG_INFINITY, f64::INFINITY),
        better: Better::Lower,
        example: || mmd_cubic(points(&REAL)?, points(&SYNTHETIC)?),
    },
    Metric {
        name: "wasserstein_2",
        summary: "second Wasserstein distance of two sets of vectors, exact",
        reference: "Villani 2009",
        range: DISTANCE,
        better: Better::Lower,
        example: || wasserstein_2(points(&REAL)?, points(&SYNTHETIC)?),
    },
    Metric {
        name: "sinkhorn_divergence",
        summary: "cost of entropic transport beyond that of each set with itself",
        reference: "Genevay, Peyre and Cuturi 2018",
        range: DISTANCE,
        better: Better::Lower,
        example: || sinkhorn_divergence(points(&REAL)?, points(&SYNTHETIC)?, 0.5),
    },
    Metric {
        name: "dtw",
        summary: "root of the least summed squared difference of two signals along a warping of time",
        reference: "Sakoe and Chiba 1978",
        range: DISTANCE,
        better: Better::Lower,
        example: || dtw(&REAL, &SYNTHETIC, 1, DtwOptions::default()),
    },
    Metric {
        name: "wasserstein_1",
        summary: "area between the distribution functions of two samples of one number",
        reference: "Vallender 1974",
        range: DISTANCE,
        better: Better::Lower,
        example: || wasserstein_1d(&REAL, &SYNTHETIC, &[], &[]),
    },
    Metric {
        name: "energy_distance",
        summary: "root of twice the integrated squared difference of two distribution functions",
        reference: "Szekely and Rizzo 2013",
        range: DISTANCE,
        better: Better::Lower,
        example: || energy_distance(&REAL, &SYNTHETIC),
    },
    Metric {
        name: "ks_statistic",
        summary: "largest difference of two distribution functions",
        reference: "Hodges 1958",
        range: SHARE,
        better: Better::Lower,
        example: || Ok(ks_test(&REAL, &SYNTHETIC, KsMethod::Exact)?.statistic),
    },
    Metric {
        name: "jensen_shannon",
        summary: "root of the Jensen-Shannon divergence of two histograms, base 2",
        reference: "Endres and Schindelin 2003",
        range: SHARE,
        better: Better::Lower,
        example: || jensen_shannon_distance(&[0.5, 0.3, 0.2], &[0.4, 0.4, 0.2]),
    },
    Metric {
        name: "frechet_distance",
        summary: "squared distance of the normal laws fitted to two sets",
        reference: "Dowson and Landau 1982; Heusel et al. 2017",
        range: DISTANCE,
        better: Better::Lower,
        example: || frechet_distance(points(&REAL)?, points(&SYNTHETIC)?),
    },
    Metric {
        name: "generator_precision",
        summary: "share of synthetic items inside the real set's balls",
        reference: "Kynkaanniemi et al. 2019",
        range: SHARE,
        better: Better::Higher,
        example: || Ok(prdc(points(&REAL)?, points(&SYNTHETIC)?, 2)?.precision),
    },
    Metric {
        name: "generator_recall",
        summary: "share of real items inside the synthetic set's balls",
        reference: "Kynkaanniemi et al. 2019",
        range: SHARE,
        better: Better::Higher,
        example: || Ok(prdc(points(&REAL)?, points(&SYNTHETIC)?, 2)?.recall),
    },
    Metric {
        name: "density",
        summary: "mean number of real balls around a synthetic item, divided by k",
        reference: "Naeem et al. 2020",
        range: DISTANCE,
        better: Better::Higher,
        example: || Ok(prdc(points(&REAL)?, points(&SYNTHETIC)?, 2)?.density),
    },
    Metric {
        name: "coverage",
        summary: "share of real balls with a synthetic item inside",
        reference: "Naeem et al. 2020",
        range: SHARE,
        better: Better::Higher,
        example: || Ok(prdc(points(&REAL)?, points(&SYNTHETIC)?, 2)?.coverage),
    },
    Metric {
        name: "exact_copies",
        summary: "P1: synthetic items at distance 0 from a training item, minus the same with held-out items",
        reference: "Carlini et al. 2023",
        range: (f64::NEG_INFINITY, f64::INFINITY),
        better: Better::Lower,
        example: || Ok(privacy()?.exact_copies.excess),
    },
    Metric {
        name: "closer_share",
        summary: "P2: share of synthetic items nearer to training than to held-out items, ties half",
        reference: "Platzer and Reutterer 2021",
        range: SHARE,
        better: Better::Middle,
        example: || Ok(privacy()?.closer_share.train),
    },
    Metric {
        name: "nndr_p05",
        summary: "P3: 5 % quantile of the ratio of the first to the second neighbour's distance",
        reference: "Platzer and Reutterer 2021",
        range: SHARE,
        better: Better::Higher,
        example: || Ok(privacy()?.nndr_p05.train),
    },
    Metric {
        name: "memorized",
        summary: "P6: items nearer than half the mean distance to the 50 nearest, minus the same with held-out items",
        reference: "Carlini et al. 2023",
        range: (f64::NEG_INFINITY, f64::INFINITY),
        better: Better::Lower,
        example: || Ok(privacy()?.memorized.excess),
    },
    Metric {
        name: "nearest_p05_difference",
        summary: "5th percentile of the distance to training items, synthetic minus held out",
        reference: "Platzer and Reutterer 2021",
        range: (f64::NEG_INFINITY, f64::INFINITY),
        better: Better::Middle,
        example: || Ok(nearest_comparison(sets()?, 20, Seed::new(1))?.difference),
    },
    Metric {
        name: "adversarial_accuracy",
        summary: "0.5 when real and synthetic cannot be told apart by neighbours",
        reference: "Yale et al. 2020",
        range: SHARE,
        better: Better::Middle,
        example: || adversarial_accuracy(points(&REAL)?, points(&SYNTHETIC)?),
    },
    Metric {
        name: "distance_attack_auroc",
        summary: "P10: AUROC of guessing membership from the distance to the synthetic set",
        reference: "Chen et al. 2020",
        range: SHARE,
        better: Better::Middle,
        example: || defined(distance_attack_auroc(&REAL[..4], &SYNTHETIC[..4])),
    },
    Metric {
        name: "residual_risk",
        summary: "P13: success of an attack on training items beyond its success on held-out items",
        reference: "Giomi et al. 2023",
        range: (f64::NEG_INFINITY, 1.0),
        better: Better::Lower,
        example: || Ok(residual_risk((60, 1000), (50, 1000), 0.95)?.value),
    },
];

/// Categories that two raters gave to six items.
const RATER: [usize; 6] = [0, 1, 2, 0, 1, 2];
const OTHER_RATER: [usize; 6] = [0, 1, 2, 0, 2, 2];

/// Six points of a plane, and six others.
const REAL: [f64; 12] = [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.5, 0.2, 0.3, 0.9];
const SYNTHETIC: [f64; 12] = [0.1, 0.0, 1.1, 0.2, 0.0, 1.2, 0.8, 1.0, 0.5, 0.4, 0.2, 0.7];
const HELD_OUT: [f64; 12] = [0.2, 0.1, 0.9, 0.1, 0.1, 0.8, 1.2, 0.9, 0.4, 0.3, 0.4, 1.0];

fn points(values: &[f64]) -> Result<Points<'_>> {
    Points::new(values, 2)
}

fn sets() -> Result<PrivacySets<'static>> {
    Ok(PrivacySets {
        train: points(&REAL)?,
        train_patients: &[0, 0, 1, 1, 2, 2],
        held_out: points(&HELD_OUT)?,
        held_out_patients: &[0, 0, 1, 1, 2, 2],
        synthetic: points(&SYNTHETIC)?,
    })
}

fn privacy() -> Result<PrivacyScores> {
    privacy_scores(sets()?, PrivacyOptions { near_copy: 0.01, exchanges: 19 }, Seed::new(1))
}

fn scores() -> Result<ClassificationScores> {
    let class_names = ["N".to_string(), "V".to_string()];
    let input = ClassificationInput {
        probabilities: &[0.9, 0.1, 0.6, 0.4, 0.3, 0.7, 0.8, 0.2],
        classes: &[0, 0, 1, 1],
        class_names: &class_names,
        ..Default::default()
    };
    Ok(Predictions::new(input)?.scores())
}

fn defined(score: Option<f64>) -> Result<f64> {
    score.ok_or_else(|| Error::data("example", "the score is undefined"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_named_once_cited_and_callable() {
        for (at, metric) in METRICS.iter().enumerate() {
            assert!(METRICS[..at].iter().all(|other| other.name != metric.name), "{} is listed twice", metric.name);
            assert!(metric.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
            assert!(!metric.summary.is_empty() && !metric.summary.ends_with('.'), "{}", metric.name);
            assert!(metric.reference.chars().any(|c| c.is_ascii_digit()), "{} has no year", metric.name);
            let value = (metric.example)().unwrap();
            assert!(metric.range.0 <= value && value <= metric.range.1, "{}: {value}", metric.name);
        }
    }

    #[test]
    fn list_is_written_with_its_ranges() {
        let json = serde_json::to_value(METRICS).unwrap();
        let entry = |name: &str| json.as_array().unwrap().iter().find(|m| m["name"] == name).cloned().unwrap();
        assert_eq!(entry("brier")["range"], serde_json::json!([0.0, 2.0]));
        assert_eq!(entry("rmse")["range"], serde_json::json!([0.0, null]));
        assert_eq!(entry("mcc")["better"], "higher");
    }
}
