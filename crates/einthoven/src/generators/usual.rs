//! What is usually measured on records of a label: what a generator is told where nobody asks for a number.
//!
//! In training a network is told the intervals of nearly every record. It learns that PR is long when it is told so, and hardly
//! that first-degree block means a long one: told the label alone, it drew the PR of anybody. What is not asked for is
//! therefore drawn from a mean and a standard deviation for each label, none of which is of a single patient.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dataset::condition::Fact;
use crate::dataset::{Conditions, Facts};
use crate::seed::Seed;

/// The facts that an ECG shows.
const SHOWN: [Fact; 5] = [Fact::Hr, Fact::Pr, Fact::Qrs, Fact::Qtc, Fact::Axis];
/// Fewest records of which a label's own numbers are taken; of fewer, they are those of all.
const FEWEST_RECORDS: usize = 20;
/// A fact that is measured on a smaller share of a label's records is not told, as PR in fibrillation.
const SHARE_MEASURED: f64 = 0.5;

/// A fact over the records of one label, or of all.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Share of the records on which it is measured.
    pub share: f64,
    /// Mean, in the fact's unit.
    pub mean: f64,
    /// Standard deviation.
    pub sd: f64,
}

/// What is measured on the records of a training set, by label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsualFacts {
    /// Of all records.
    pub all: BTreeMap<Fact, Measured>,
    /// Of each label; empty where there are too few records.
    pub labels: Vec<BTreeMap<Fact, Measured>>,
}

impl UsualFacts {
    /// From the facts of records, each with a row of `n_labels` labels; `None` if the network is told none that an ECG shows.
    pub fn fit(facts: &[Facts], labels: &[u8], n_labels: usize, told: &[Fact]) -> Option<UsualFacts> {
        let told: Vec<Fact> = SHOWN.into_iter().filter(|fact| told.contains(fact)).collect();
        let of = |has: &dyn Fn(usize) -> bool| {
            let own: Vec<&Facts> = (0..facts.len()).filter(|&item| has(item)).map(|item| &facts[item]).collect();
            told.iter().filter_map(|&fact| Some((fact, measured(&own, fact)?))).collect()
        };
        let all: BTreeMap<Fact, Measured> = of(&|_| true);
        let labels = (0..n_labels).map(|label| of(&|item| labels[item * n_labels + label] != 0)).collect();
        (!all.is_empty()).then_some(UsualFacts { all, labels })
    }

    /// The facts of an item with those that are not asked for, drawn by its labels: of several, each from the label that
    /// departs most from all records in it.
    pub fn told(&self, item: &Conditions, seed: Seed) -> Facts {
        let mut facts = item.facts.clone();
        let mut stream = seed.purpose("usual").stream();
        for (&fact, all) in &self.all {
            // Drawn whether it is needed or not, so that what is asked for changes nothing else.
            let chance = stream.normal();
            if facts.number(fact).is_none() {
                facts.set_number(fact, self.value(&item.labels, fact, all, chance));
            }
        }
        facts
    }

    fn value(&self, labels: &[(usize, f32)], fact: Fact, all: &Measured, chance: f64) -> Option<f64> {
        let number = fact.number()?;
        let own = || {
            let present = labels.iter().filter(|(_, weight)| *weight > 0.0);
            present.filter_map(|(label, _)| self.labels.get(*label)?.get(&fact))
        };
        if own().chain([all]).any(|measured| measured.share < SHARE_MEASURED) {
            return None;
        }
        let departure = |measured: &&Measured| number.difference(measured.mean, all.mean).abs();
        let of = own().max_by(|a, b| departure(a).total_cmp(&departure(b))).unwrap_or(all);
        let [low, high] = number.possible;
        let value = of.mean + of.sd * chance;
        Some(match fact {
            Fact::Axis => number.difference(value, 0.0),
            _ => value.clamp(low, high),
        })
    }
}

/// `None` where it is measured on too few records.
fn measured(records: &[&Facts], fact: Fact) -> Option<Measured> {
    let number = fact.number()?;
    let values: Vec<f64> = records.iter().filter_map(|facts| facts.number(fact)).collect();
    let (n, share) = (values.len() as f64, values.len() as f64 / records.len() as f64);
    if records.len() < FEWEST_RECORDS || (values.len() < FEWEST_RECORDS && share >= SHARE_MEASURED) {
        return None;
    }
    // Of angles the direction of the mean of their vectors.
    let mean = match fact {
        Fact::Axis => {
            let sum = |of: fn(f64) -> f64| values.iter().map(|v| of(v.to_radians())).sum::<f64>();
            libm::atan2(sum(libm::sin), sum(libm::cos)).to_degrees()
        }
        _ => values.iter().sum::<f64>() / n.max(1.0),
    };
    let squares: f64 = values.iter().map(|v| number.difference(*v, mean).powi(2)).sum();
    Some(Measured { share, mean, sd: (squares / n.max(1.0)).sqrt() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels SR, 1AVB, AFIB and one that is rare: forty records of each but the last.
    fn usual() -> UsualFacts {
        let (mut facts, mut labels) = (Vec::new(), Vec::new());
        let spread = |item: usize| 2.0 * (item % 2) as f64 - 1.0;
        for item in 0..121 {
            let label = item / 40;
            let pr_ms = match label {
                0 => Some(160.0 + 10.0 * spread(item)),
                1 => Some(230.0 + 15.0 * spread(item)),
                _ => None,
            };
            // Two directions beside the seam of the angles.
            let axis_deg = Some(if label == 1 { 175.0 * spread(item) } else { 30.0 + spread(item) });
            facts.push(Facts { pr_ms, axis_deg, age_years: Some(60.0), ..Facts::default() });
            labels.extend((0..4).map(|other| u8::from(other == label)));
        }
        UsualFacts::fit(&facts, &labels, 4, &[Fact::Pr, Fact::Axis, Fact::Age]).unwrap()
    }

    fn drawn(usual: &UsualFacts, labels: &[usize], n: u64) -> Vec<Facts> {
        let labels = labels.iter().map(|&label| (label, 1.0)).collect();
        let item = Conditions { labels, facts: Facts::default() };
        (0..n).map(|seed| usual.told(&item, Seed::new(seed))).collect()
    }

    #[test]
    fn numbers_are_those_of_the_label() {
        let usual = usual();
        let mean =
            |labels: &[usize]| drawn(&usual, labels, 400).iter().filter_map(|facts| facts.pr_ms).sum::<f64>() / 400.0;
        assert!((mean(&[0]) - 160.0).abs() < 2.0 && (mean(&[1]) - 230.0).abs() < 3.0);
        // The label that departs more says what a record of both is like; a rare one is like all.
        assert!((mean(&[0, 1]) - 230.0).abs() < 3.0, "{}", mean(&[0, 1]));
        assert!((mean(&[3]) - 195.0).abs() < 6.0, "{}", mean(&[3]));
        let axes: Vec<f64> = drawn(&usual, &[1], 100).iter().filter_map(|facts| facts.axis_deg).collect();
        assert!(axes.iter().all(|axis| axis.abs() > 150.0 && axis.abs() <= 180.0), "{axes:?}");
        assert!(drawn(&usual, &[0], 9).iter().all(|facts| facts.age_years.is_none() && facts.hr_bpm.is_none()));
    }

    #[test]
    fn what_a_label_does_not_have_is_not_told_and_what_is_asked_for_stays() {
        let usual = usual();
        assert!(drawn(&usual, &[2], 50).iter().all(|facts| facts.pr_ms.is_none() && facts.axis_deg.is_some()));
        assert!(drawn(&usual, &[1, 2], 50).iter().all(|facts| facts.pr_ms.is_none()));
        let asked = Facts { pr_ms: Some(120.0), ..Facts::default() };
        let item = Conditions { labels: vec![(1, 1.0)], facts: asked };
        let (told, free) = (usual.told(&item, Seed::new(5)), &drawn(&usual, &[1], 6)[5]);
        assert_eq!((told.pr_ms, told.axis_deg), (Some(120.0), free.axis_deg), "one wish changes nothing else");
    }
}
