//! What an ECG is to be like, or is known to be like: labels, intervals, axis, age, sex, site; any of it may be missing.
//!
//! The same [`Conditions`] stand beside an item in a data set, go through training batches into a network, and are
//! what a user asks of a generator. Labels are positions on the label axis; everything else is a [`Fact`].

use serde::{Deserialize, Serialize};

use super::Dataset;
use crate::error::{Error, Result};
pub use crate::simulate::dipole::Sex;

/// Something that can be known of an ECG beside its labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fact {
    /// Mean heart rate.
    Hr,
    /// PR interval.
    Pr,
    /// QRS duration.
    Qrs,
    /// QTc after Fridericia.
    Qtc,
    /// Frontal axis of QRS.
    Axis,
    /// Age of the patient.
    Age,
    /// Sex of the patient.
    Sex,
    /// Where it was recorded.
    Site,
}

/// A fact that is a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number {
    /// Which.
    pub fact: Fact,
    /// Name with unit, as a column of a table.
    pub column: &'static str,
    /// Unit.
    pub unit: &'static str,
    /// Smallest and largest value that any ECG can have.
    pub possible: [f64; 2],
    /// Where most ECGs lie: networks tell values apart best here.
    pub usual: [f64; 2],
    /// How far a delivered value may be from the requested one; `None` for what no ECG shows.
    pub tolerance: Option<f64>,
}

/// Every fact that is a number.
///
/// A tolerance is what two careful readers, or two readings at 100 Hz, differ by.
#[rustfmt::skip]
pub static NUMBERS: [Number; 6] = [
    Number { fact: Fact::Hr, column: "hr_bpm", unit: "bpm", possible: [15.0, 350.0], usual: [40.0, 160.0], tolerance: Some(5.0) },
    Number { fact: Fact::Pr, column: "pr_ms", unit: "ms", possible: [40.0, 600.0], usual: [100.0, 280.0], tolerance: Some(20.0) },
    Number { fact: Fact::Qrs, column: "qrs_ms", unit: "ms", possible: [30.0, 400.0], usual: [70.0, 180.0], tolerance: Some(15.0) },
    Number { fact: Fact::Qtc, column: "qtc_ms", unit: "ms", possible: [200.0, 800.0], usual: [340.0, 540.0], tolerance: Some(30.0) },
    Number { fact: Fact::Axis, column: "axis_deg", unit: "degrees", possible: [-180.0, 180.0], usual: [-180.0, 180.0], tolerance: Some(15.0) },
    Number { fact: Fact::Age, column: "age_years", unit: "years", possible: [0.0, 120.0], usual: [20.0, 90.0], tolerance: None },
];

/// Every fact.
pub const FACTS: [Fact; 8] = [Fact::Hr, Fact::Pr, Fact::Qrs, Fact::Qtc, Fact::Axis, Fact::Age, Fact::Sex, Fact::Site];

impl Fact {
    /// Name as typed by users.
    pub fn name(self) -> &'static str {
        match self {
            Fact::Hr => "hr",
            Fact::Pr => "pr",
            Fact::Qrs => "qrs",
            Fact::Qtc => "qtc",
            Fact::Axis => "axis",
            Fact::Age => "age",
            Fact::Sex => "sex",
            Fact::Site => "site",
        }
    }

    /// What it is as a number; `None` for sex and site.
    pub fn number(self) -> Option<&'static Number> {
        NUMBERS.iter().find(|number| number.fact == self)
    }
}

impl Number {
    /// Refuses a value that no ECG can have.
    ///
    /// # Errors
    /// [`Error::Config`] with the fact's name as key.
    pub fn check(&self, value: f64) -> Result<()> {
        let [low, high] = self.possible;
        if (low..=high).contains(&value) {
            return Ok(());
        }
        let reason = format!("found {value} {unit}, expected {low} to {high} {unit}", unit = self.unit);
        Err(Error::config(self.fact.name(), reason))
    }

    /// Delivered less requested; angles the short way round.
    pub fn difference(&self, delivered: f64, requested: f64) -> f64 {
        let difference = delivered - requested;
        match self.fact {
            Fact::Axis => (difference + 180.0).rem_euclid(360.0) - 180.0,
            _ => difference,
        }
    }
}

/// What is known of an ECG beside its labels; what is `None` is not known.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Facts {
    /// Mean heart rate, bpm.
    pub hr_bpm: Option<f64>,
    /// PR interval, ms.
    pub pr_ms: Option<f64>,
    /// QRS duration, ms.
    pub qrs_ms: Option<f64>,
    /// QTc after Fridericia, ms.
    pub qtc_ms: Option<f64>,
    /// Frontal axis of QRS, degrees from -180 to 180.
    pub axis_deg: Option<f64>,
    /// Age, years.
    pub age_years: Option<f64>,
    /// Sex.
    pub sex: Option<Sex>,
    /// Site, by the name that the data set gives it.
    pub site: Option<String>,
}

impl Facts {
    /// A fact as a number; `None` where it is not known or is none.
    pub fn number(&self, fact: Fact) -> Option<f64> {
        match fact {
            Fact::Hr => self.hr_bpm,
            Fact::Pr => self.pr_ms,
            Fact::Qrs => self.qrs_ms,
            Fact::Qtc => self.qtc_ms,
            Fact::Axis => self.axis_deg,
            Fact::Age => self.age_years,
            Fact::Sex | Fact::Site => None,
        }
    }

    /// Sets a fact that is a number; sex and site stay as they are.
    pub fn set_number(&mut self, fact: Fact, value: Option<f64>) {
        match fact {
            Fact::Hr => self.hr_bpm = value,
            Fact::Pr => self.pr_ms = value,
            Fact::Qrs => self.qrs_ms = value,
            Fact::Qtc => self.qtc_ms = value,
            Fact::Axis => self.axis_deg = value,
            Fact::Age => self.age_years = value,
            Fact::Sex | Fact::Site => {}
        }
    }

    /// Forgets a fact.
    pub fn hide(&mut self, fact: Fact) {
        match fact {
            Fact::Sex => self.sex = None,
            Fact::Site => self.site = None,
            number => self.set_number(number, None),
        }
    }

    /// Whether a fact is known.
    pub fn has(&self, fact: Fact) -> bool {
        match fact {
            Fact::Sex => self.sex.is_some(),
            Fact::Site => self.site.is_some(),
            number => self.number(number).is_some(),
        }
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        !FACTS.iter().any(|&fact| self.has(fact))
    }

    /// Takes over what `other` knows and this does not.
    pub fn complete(&mut self, other: &Facts) {
        for number in &NUMBERS {
            self.set_number(number.fact, self.number(number.fact).or(other.number(number.fact)));
        }
        self.sex = self.sex.or(other.sex);
        if self.site.is_none() {
            self.site.clone_from(&other.site);
        }
    }
}

/// What one ECG is to be like, or is known to be like.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Conditions {
    /// Positions on the label axis and how much each counts: 1 for a label that the ECG carries, shares for an ECG
    /// between classes. None at all says nothing of labels.
    pub labels: Vec<(usize, f32)>,
    /// Everything else.
    pub facts: Facts,
}

impl Conditions {
    /// One label and nothing else.
    pub fn of_class(class: usize) -> Conditions {
        Conditions { labels: vec![(class, 1.0)], facts: Facts::default() }
    }

    /// The one label of a generator that takes just one.
    ///
    /// # Errors
    /// [`Error::Config`] for none, several, or a share of one.
    pub fn class(&self) -> Result<usize> {
        match self.labels[..] {
            [(class, 1.0)] => Ok(class),
            _ => Err(Error::config("label", format!("found {} labels, expected one whole label", self.labels.len()))),
        }
    }
}

/// The facts that a generator can be told, and the sites that it knows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Told {
    /// Which facts.
    pub facts: Vec<Fact>,
    /// Names of the sites, where the site is among the facts.
    #[serde(default)]
    pub sites: Vec<String>,
}

impl Told {
    /// Whether it is told nothing.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// Refuses facts that it is not told.
    ///
    /// # Errors
    /// [`Error::Config`] naming the fact and those that `who` knows; [`Error::Unknown`] for a site.
    pub fn check(&self, facts: &Facts, who: &str) -> Result<()> {
        if let Some(fact) = FACTS.iter().find(|fact| facts.has(**fact) && !self.facts.contains(fact)) {
            let mut known: Vec<&str> = self.facts.iter().map(|fact| fact.name()).collect();
            known.insert(0, "label");
            return Err(Error::config(fact.name(), format!("{who} does not know it; it knows {}", known.join(", "))));
        }
        match &facts.site {
            Some(site) if !self.sites.contains(site) => {
                Err(Error::Unknown { kind: "site", name: site.clone(), known: self.sites.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// Whether a number can be an age in years; databases write others for "masked" and "unknown".
pub(crate) fn is_age(value: f64) -> bool {
    Fact::Age.number().is_some_and(|age| age.check(value).is_ok())
}

/// Sex in words.
pub fn sex_name(sex: Sex) -> &'static str {
    match sex {
        Sex::Female => "female",
        Sex::Male => "male",
    }
}

/// Sex from its word or first letter.
pub fn sex_of(text: &str) -> Option<Sex> {
    match text.to_ascii_lowercase().as_str() {
        "female" | "f" => Some(Sex::Female),
        "male" | "m" => Some(Sex::Male),
        _ => None,
    }
}

impl Dataset {
    /// What is known of item `i`.
    pub fn conditions(&self, i: usize) -> Conditions {
        let facts = self.facts.as_ref().map(|facts| facts[i].clone()).unwrap_or_default();
        Conditions { labels: self.labels_of(i).map(|label| (label, 1.0)).collect(), facts }
    }

    /// The facts that are known of at least one item.
    pub fn known_facts(&self) -> Vec<Fact> {
        let of_items = self.facts.as_deref().unwrap_or_default();
        FACTS.into_iter().filter(|&fact| of_items.iter().any(|facts| facts.has(fact))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_can_be_set_found_and_hidden() {
        for fact in FACTS {
            let mut facts = Facts::default();
            match fact {
                Fact::Sex => facts.sex = Some(Sex::Female),
                Fact::Site => facts.site = Some("a".into()),
                number => facts.set_number(number, Some(50.0)),
            }
            assert!(facts.has(fact) && !facts.is_empty());
            assert_eq!(FACTS.iter().filter(|other| facts.has(**other)).count(), 1, "{}", fact.name());
            let mut other = Facts::default();
            other.complete(&facts);
            assert_eq!(other, facts);
            facts.hide(fact);
            assert!(facts.is_empty());
        }
    }

    #[test]
    fn what_is_not_told_is_refused_with_what_is() {
        let told = Told { facts: vec![Fact::Hr, Fact::Site], sites: vec!["north".into()] };
        told.check(&Facts { hr_bpm: Some(70.0), ..Facts::default() }, "x").unwrap();
        let error = told.check(&Facts { pr_ms: Some(160.0), ..Facts::default() }, "x").unwrap_err();
        assert_eq!(error.to_string(), "pr: x does not know it; it knows label, hr, site");
        let error = told.check(&Facts { site: Some("south".into()), ..Facts::default() }, "x").unwrap_err();
        assert!(error.to_string().contains("north"), "{error}");
    }

    #[test]
    fn angles_differ_the_short_way_round() {
        let axis = Fact::Axis.number().unwrap();
        assert_eq!((axis.difference(-170.0, 170.0), axis.difference(170.0, -170.0)), (20.0, -20.0));
        assert_eq!(Fact::Hr.number().unwrap().difference(70.0, 75.0), -5.0);
        assert!(axis.check(200.0).unwrap_err().to_string().contains("-180 to 180"));
    }
}
