//! Who is in the cohort: the part of each patient and the number of beats of each class.

use crate::error::{Error, Result};
use crate::seed::{Seed, Stream};
use crate::simulate::beats::{BeatCohort, CohortPart};

/// One patient's place in the cohort.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PatientPlan {
    pub part: CohortPart,
    /// Number of beats of each class, in the order N, S, V, F, Q.
    pub counts: [usize; 5],
    /// Whether the patient's Q beats are paced, or else unclassifiable.
    pub is_paced: bool,
}

/// Share of the patients that have the class at all, and the largest share of such a patient's
/// beats: not every patient has every class, and a few have most of it, as on real wards.
const CARRIERS: [(f64, f64); 5] = [(1.0, 1.0), (0.55, 0.40), (0.70, 0.45), (0.35, 0.25), (0.20, 0.70)];

/// Spread of the logarithm of the carriers' shares.
const CONCENTRATION: f64 = 0.6;

/// The plan of each patient, in the order of the patients' numbers.
pub(super) fn plan(cohort: &BeatCohort, seed: Seed) -> Result<Vec<PatientPlan>> {
    let n = cohort.n_patients;
    let part_len = |share: f64| ((share * n as f64).round() as usize).max(2);
    let (n_validation, n_test) = (part_len(cohort.validation_share), part_len(cohort.test_share));
    if n < n_validation + n_test + 2 {
        return Err(Error::config(
            "n_patients",
            format!("{n} leave no two patients for each of training, validation and test, expected at least 6"),
        ));
    }
    let mut stream = seed.purpose("parts").stream();
    let order = stream.permutation(n);
    let (test, rest) = order.split_at(n_test);
    let (validation, train) = rest.split_at(n_validation);

    let mut plans = vec![PatientPlan { part: CohortPart::Train, counts: [0; 5], is_paced: false }; n];
    for (part, patients) in [(CohortPart::Train, train), (CohortPart::Validation, validation), (CohortPart::Test, test)]
    {
        // Both kinds of Q in each part, the paced one first.
        let mut is_paced = true;
        for (patient, counts) in patients.iter().zip(counts_of_part(cohort, patients.len(), &mut stream)) {
            plans[*patient] = PatientPlan { part, counts, is_paced };
            is_paced ^= counts[4] > 0;
        }
    }
    Ok(plans)
}

/// Counts of each patient of one part. Each part gets each class in about its share, or the class
/// could not be learned, or not be judged.
fn counts_of_part(cohort: &BeatCohort, n: usize, stream: &mut Stream) -> Vec<[usize; 5]> {
    let mut counts = vec![[0; 5]; n];
    // F is a fusion of N and V, so its patients come from the front of the order in which those
    // with V are taken; patients with Q (paced, or badly recorded) come from its back.
    let by_ventricular = stream.permutation(n);
    let by_atrial = stream.permutation(n);
    for class in 1..5 {
        let (carrier_share, cap) = CARRIERS[class];
        let n_carriers = ((carrier_share * n as f64).round() as usize).clamp(2.min(n), n);
        let carriers: Vec<usize> = match class {
            1 => by_atrial[..n_carriers].to_vec(),
            4 => by_ventricular[n - n_carriers..].to_vec(),
            _ => by_ventricular[..n_carriers].to_vec(),
        };
        let weights: Vec<f64> = carriers.iter().map(|_| libm::exp(CONCENTRATION * stream.normal())).collect();
        let total: f64 = weights.iter().sum();
        let wanted = cohort.class_shares[class] * (n * cohort.beats_per_patient) as f64;
        for (patient, weight) in carriers.into_iter().zip(weights) {
            let most = cap * cohort.beats_per_patient as f64;
            counts[patient][class] = (wanted * weight / total).min(most).round() as usize;
        }
    }
    for row in &mut counts {
        // A patient keeps a tenth of N beats at least; the largest other class gives way.
        let most = cohort.beats_per_patient - cohort.beats_per_patient.div_ceil(10);
        while row[1..].iter().sum::<usize>() > most {
            let largest = (1..5).max_by_key(|&class| row[class]).unwrap_or(1);
            row[largest] -= 1;
        }
        row[0] = cohort.beats_per_patient - row[1..].iter().sum::<usize>();
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_every_class_in_about_its_share() {
        for seed in 0..20 {
            let cohort = BeatCohort::default();
            let plans = plan(&cohort, Seed::new(seed)).unwrap();
            for part in [CohortPart::Train, CohortPart::Validation, CohortPart::Test] {
                let mut counts = [0; 5];
                for row in plans.iter().filter(|plan| plan.part == part) {
                    assert_eq!(row.counts.iter().sum::<usize>(), cohort.beats_per_patient);
                    (0..5).for_each(|class| counts[class] += row.counts[class]);
                }
                let total: usize = counts.iter().sum();
                for class in 0..5 {
                    let share = counts[class] as f64 / total as f64;
                    let wanted = cohort.class_shares[class];
                    // The caps take some of it away where one patient would have most.
                    assert!(share > 0.5 * wanted && share < 1.3 * wanted, "{part:?}, class {class}: {share}");
                }
            }
            let without_v = plans.iter().filter(|plan| plan.counts[2] == 0).count();
            assert!(without_v > 5, "{without_v} patients without V");
        }
    }

    #[test]
    fn too_small_a_cohort_is_an_error() {
        let cohort = |n_patients| BeatCohort { n_patients, ..BeatCohort::default() };
        assert!(plan(&cohort(5), Seed::new(1)).is_err());
        assert_eq!(plan(&cohort(6), Seed::new(1)).unwrap().len(), 6);
    }
}
