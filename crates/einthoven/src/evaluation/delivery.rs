//! Requested against delivered: how far what a delineator reads on synthetic ECGs is from what was asked for.

use serde::{Deserialize, Serialize};

use crate::dataset::Facts;
use crate::dataset::condition::{NUMBERS, Number};
use crate::metrics::bootstrap::quantile;

/// One number of all items, requested against delivered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivered {
    /// Name of the fact.
    pub fact: String,
    /// Unit of the errors.
    pub unit: String,
    /// Items that it was asked of.
    pub n_requested: usize,
    /// Items of these on which it could be measured.
    pub n_measured: usize,
    /// Mean of delivered less requested; `None` if it was measured on none.
    pub mean_error: Option<f64>,
    /// Standard deviation of that (divisor n); `None` if it was measured on none.
    pub sd_error: Option<f64>,
    /// Errors below which 5, 25, 50, 75 and 95 % of the items lie; `None` if it was measured on none.
    pub error_quantiles: Option<[f64; 5]>,
    /// Error that counts as delivered.
    pub tolerance: f64,
    /// Share of the requested items that are within the tolerance; one that could not be measured is not.
    pub within_tolerance: f64,
}

/// What the provenance of a drawn set says under `delivery`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// Requested against delivered, for each requested number that an ECG shows.
    pub delivered: Vec<Delivered>,
    /// How many draws it took, where items were rejected.
    pub acceptance: Option<Acceptance>,
}

/// How many draws it took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Acceptance {
    /// Items drawn.
    pub n_drawn: u64,
    /// Items that were kept.
    pub n_accepted: u64,
    /// Kept items over drawn items.
    pub rate: f64,
}

/// Whether everything that was asked for and can be measured was measured within its tolerance.
pub fn is_delivered(requested: &Facts, measured: &Facts) -> bool {
    NUMBERS.iter().all(|number| match (requested.number(number.fact), number.tolerance) {
        (Some(wanted), Some(tolerance)) => {
            measured.number(number.fact).is_some_and(|found| number.difference(found, wanted).abs() <= tolerance)
        }
        _ => true,
    })
}

/// Every number that was asked for and that an ECG shows, in the order of the list.
///
/// # Panics
/// If the two lists differ in length.
pub fn delivered(requested: &[Facts], measured: &[Facts]) -> Vec<Delivered> {
    assert_eq!(requested.len(), measured.len(), "one measurement for each request");
    let of_number = |number: &'static Number| {
        let tolerance = number.tolerance?;
        let wanted = requested.iter().zip(measured).filter_map(|(r, m)| Some((r.number(number.fact)?, m)));
        let pairs: Vec<(f64, Option<f64>)> = wanted.map(|(r, m)| (r, m.number(number.fact))).collect();
        if pairs.is_empty() {
            return None;
        }
        let mut errors: Vec<f64> = pairs.iter().filter_map(|(r, m)| m.map(|m| number.difference(m, *r))).collect();
        errors.sort_by(f64::total_cmp);
        let n = errors.len();
        let mean = (n > 0).then(|| errors.iter().sum::<f64>() / n as f64);
        let sd = mean.map(|mean| (errors.iter().map(|e| (e - mean).powi(2)).sum::<f64>() / n as f64).sqrt());
        Some(Delivered {
            fact: number.fact.name().into(),
            unit: number.unit.into(),
            n_requested: pairs.len(),
            n_measured: n,
            mean_error: mean,
            sd_error: sd,
            error_quantiles: (n > 0).then(|| [0.05, 0.25, 0.5, 0.75, 0.95].map(|share| quantile(&errors, share))),
            tolerance,
            within_tolerance: errors.iter().filter(|e| e.abs() <= tolerance).count() as f64 / pairs.len() as f64,
        })
    };
    NUMBERS.iter().filter_map(of_number).collect()
}

impl Acceptance {
    /// Of two counts.
    pub fn new(n_drawn: u64, n_accepted: u64) -> Acceptance {
        Acceptance { n_drawn, n_accepted, rate: if n_drawn == 0 { 0.0 } else { n_accepted as f64 / n_drawn as f64 } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(hr: Option<f64>, axis: Option<f64>) -> Facts {
        Facts { hr_bpm: hr, axis_deg: axis, ..Facts::default() }
    }

    #[test]
    fn errors_are_those_of_hand_calculation() {
        let requested: Vec<Facts> = (0..4).map(|_| facts(Some(100.0), Some(179.0))).collect();
        let measured = [
            facts(Some(98.0), Some(-179.0)),
            facts(Some(104.0), None),
            facts(Some(107.0), Some(120.0)),
            facts(None, None),
        ];
        let found = delivered(&requested, &measured);
        assert_eq!(found.len(), 2);
        let hr = &found[0];
        assert_eq!((hr.fact.as_str(), hr.n_requested, hr.n_measured), ("hr", 4, 3));
        assert_eq!((hr.mean_error, hr.within_tolerance), (Some(3.0), 0.5));
        // Deviations of -2, 4 and 7 from their mean 3: the squares sum to 42.
        assert!((hr.sd_error.unwrap() - 14f64.sqrt()).abs() < 1e-12);
        assert_eq!(hr.error_quantiles.unwrap()[2], 4.0);
        let axis = &found[1];
        assert_eq!((axis.n_measured, axis.mean_error), (2, Some(-28.5)));
        assert_eq!(axis.within_tolerance, 0.25);
    }

    #[test]
    fn what_cannot_be_read_is_not_delivered_and_age_needs_no_reading() {
        assert!(is_delivered(&facts(Some(80.0), None), &facts(Some(84.0), Some(3.0))));
        assert!(!is_delivered(&facts(Some(80.0), None), &facts(Some(86.0), None)));
        assert!(!is_delivered(&facts(Some(80.0), None), &facts(None, None)));
        assert!(is_delivered(&facts(None, Some(175.0)), &facts(None, Some(-175.0))));
        let age = Facts { age_years: Some(60.0), ..Facts::default() };
        assert!(is_delivered(&age, &Facts::default()));
        assert!(delivered(&[age], &[Facts::default()]).is_empty());
        assert!(delivered(&[], &[]).is_empty());
    }
}
