//! The list of metrics that the command shows, each with an example that the tests call.

use serde::{Serialize, Serializer};

use super::classification::{ClassificationInput, ClassificationScores, Predictions};
use super::distance::{Pairing, Points, frechet_distance, mmd_rbf, nearest_neighbors, prd_percent, prdc, rmse};
use super::privacy::{
    PrivacyOptions, PrivacyScores, PrivacySets, adversarial_accuracy, distance_attack_auroc, nearest_comparison,
    privacy_scores, residual_risk,
};
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
