//! What a user wants of the items of a draw: labels that they take in turn, and ranges that each item draws from.

use super::condition::{Conditions, Fact, Facts, Sex, sex_of};
use super::label::synonym::find_label;
use super::{Dataset, Split};
use crate::error::{Error, Result};
use crate::seed::Seed;

/// What is wanted of every item.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Wish {
    /// What items take in turn by their index: labels joined by `+`, each with an optional share, as in `AFIB+CRBBB`
    /// and `NORM:0.3+AFIB:0.7`. None leaves it to the generator.
    pub labels: Vec<String>,
    /// Smallest and largest value of each wanted number.
    pub numbers: Vec<(Fact, [f64; 2])>,
    /// Sex.
    pub sex: Option<Sex>,
    /// Site.
    pub site: Option<String>,
}

/// Labels by position with their weights, as items take them in turn.
pub type Turns = Vec<Vec<(usize, f32)>>;

impl Wish {
    /// Adds a fact as typed: a number, or two as in `110..140`; a word for sex and site.
    ///
    /// # Errors
    /// [`Error::Config`] with the fact's name for something else, a value that no ECG can have, or a second wish.
    pub fn add(&mut self, fact: Fact, text: &str) -> Result<()> {
        match fact {
            Fact::Sex => {
                let sex = sex_of(text).ok_or_else(|| wrong(fact, text, "female, male, F or M"))?;
                self.set_sex(sex)
            }
            Fact::Site if self.site.is_some() => Err(twice(fact)),
            Fact::Site => {
                self.site = Some(text.to_string());
                Ok(())
            }
            _ => {
                let number = |text: &str| text.trim().parse::<f64>().ok().filter(|value| value.is_finite());
                let ends = match text.split_once("..") {
                    Some((low, high)) => number(low).zip(number(high)),
                    None => number(text).map(|value| (value, value)),
                };
                let (low, high) = ends.ok_or_else(|| wrong(fact, text, "a number, or two as in 60..90"))?;
                self.set_range(fact, [low, high])
            }
        }
    }

    /// Wants a number between two values.
    ///
    /// # Errors
    /// As [`Wish::add`]; for sex and site, which are no numbers, too.
    pub fn set_range(&mut self, fact: Fact, [low, high]: [f64; 2]) -> Result<()> {
        let number = fact.number().ok_or_else(|| wrong(fact, "a number", "a word"))?;
        number.check(low)?;
        number.check(high)?;
        if low > high {
            return Err(wrong(fact, &format!("{low}..{high}"), "the smaller value first"));
        }
        if self.numbers.iter().any(|(known, _)| *known == fact) {
            return Err(twice(fact));
        }
        self.numbers.push((fact, [low, high]));
        Ok(())
    }

    /// Wants a sex.
    ///
    /// # Errors
    /// [`Error::Config`] for a second wish.
    pub fn set_sex(&mut self, sex: Sex) -> Result<()> {
        if self.sex.replace(sex).is_some() { Err(twice(Fact::Sex)) } else { Ok(()) }
    }

    /// Whether nothing but labels is wanted.
    pub fn has_no_facts(&self) -> bool {
        self.numbers.is_empty() && self.sex.is_none() && self.site.is_none()
    }

    /// The wanted labels as positions among those known, in turn: all of them, one each, if nothing at all is wanted.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a label that is not known; [`Error::Config`] for a share that is not above 0, or any label
    /// where none is known.
    pub fn turns(&self, known: &[String]) -> Result<Turns> {
        if self.labels.is_empty() {
            return Ok(match self.has_no_facts() && !known.is_empty() {
                true => (0..known.len()).map(|label| vec![(label, 1.0)]).collect(),
                false => vec![Vec::new()],
            });
        }
        if known.is_empty() {
            return Err(Error::config(
                "--label",
                format!("found {}, but the generator knows no labels", self.labels[0]),
            ));
        }
        self.labels.iter().map(|text| joined(known, text)).collect()
    }

    /// What item `index` of a draw is to be like; a function of the seed and the index alone.
    pub fn item(&self, turns: &Turns, seed: Seed, index: u64) -> Conditions {
        let seed = seed.purpose("conditions").index(index);
        let mut facts = Facts { sex: self.sex, site: self.site.clone(), ..Facts::default() };
        for &(fact, [low, high]) in &self.numbers {
            facts.set_number(fact, Some(seed.purpose(fact.name()).stream().uniform_in(low, high)));
        }
        let labels = turns.get((index % turns.len().max(1) as u64) as usize).cloned().unwrap_or_default();
        Conditions { labels, facts }
    }
}

/// The labels of each item of a real set that is not for training, joined as a [`Wish`] takes them: what to draw for a set
/// that is compared with the held-out items. Items without a label are left out.
///
/// # Errors
/// [`Error::Data`] without a held-out item that has a label.
pub fn held_out_labels(data: &Dataset) -> Result<Vec<String>> {
    let held_out = (0..data.len()).filter(|&i| data.split[i] != Split::Train);
    let of = |i: usize| data.labels_of(i).map(|label| data.label_names[label].as_str()).collect::<Vec<_>>().join("+");
    let labels: Vec<String> = held_out.map(of).filter(|labels| !labels.is_empty()).collect();
    if labels.is_empty() {
        return Err(Error::data("data set", "has no item with a label in its validation and test parts"));
    }
    Ok(labels)
}

/// Labels joined by `+` with their shares; a label whose own name holds these signs is meant as it is.
fn joined(known: &[String], text: &str) -> Result<Vec<(usize, f32)>> {
    if known.iter().any(|label| label == text) {
        return Ok(vec![(find_label(known, text)?, 1.0)]);
    }
    let mut out: Vec<(usize, f32)> = Vec::new();
    for part in text.split('+').map(str::trim) {
        let (name, share) = match part.rsplit_once(':').and_then(|(name, share)| Some((name, share.parse().ok()?))) {
            Some((name, share)) => (name, share),
            None => (part, 1.0f32),
        };
        if !(share.is_finite() && share > 0.0) {
            return Err(Error::config(
                "label",
                format!("found a share of {share} in {text}, expected a positive number"),
            ));
        }
        let label = find_label(known, name)?;
        if out.iter().any(|(other, _)| *other == label) {
            return Err(Error::config("label", format!("found {} twice in {text}", known[label])));
        }
        out.push((label, share));
    }
    Ok(out)
}

fn wrong(fact: Fact, found: &str, expected: &str) -> Error {
    Error::config(fact.name(), format!("found {found}, expected {expected}"))
}

fn twice(fact: Fact) -> Error {
    Error::config(fact.name(), "is asked for twice, expected once")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<String> {
        ["NORM", "AFIB", "CRBBB"].map(String::from).to_vec()
    }

    #[test]
    fn labels_are_joined_shared_and_taken_in_turn() {
        let of = |labels: &[&str]| {
            let labels = labels.iter().map(|text| (*text).to_string()).collect();
            Wish { labels, ..Wish::default() }.turns(&known())
        };
        assert_eq!(of(&[]).unwrap().len(), 3);
        assert_eq!(of(&["AFIB", "NORM"]).unwrap(), [vec![(1, 1.0)], vec![(0, 1.0)]]);
        assert_eq!(of(&["af + rbbb"]).unwrap(), [vec![(1, 1.0), (2, 1.0)]]);
        assert_eq!(of(&["NORM:0.3+AFIB:0.7"]).unwrap(), [vec![(0, 0.3), (1, 0.7)]]);
        for wrong in ["NORM+NORM", "NORM:0", "NORM:-1+AFIB", "X", "NORM+"] {
            let message = of(&[wrong]).unwrap_err().to_string();
            assert!(!message.contains('\n'), "{message}");
        }
        let only_facts = Wish { sex: Some(Sex::Male), ..Wish::default() };
        assert_eq!(only_facts.turns(&known()).unwrap(), [vec![]]);
    }

    #[test]
    fn held_out_items_are_asked_for_by_their_labels() {
        let mut data = Dataset::new(vec!["I".into()], 1, 100.0, known());
        data.labels = [[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 0, 0]].concat();
        data.record = (0..4).map(|i| i.to_string()).collect();
        data.split = vec![Split::Train, Split::Validation, Split::Test, Split::Test];
        assert_eq!(held_out_labels(&data).unwrap(), ["AFIB+CRBBB", "NORM"]);
        data.split.fill(Split::Train);
        assert!(held_out_labels(&data).unwrap_err().to_string().contains("validation and test"));
    }

    #[test]
    fn numbers_are_drawn_from_their_range_by_seed_and_index() {
        let mut wish = Wish::default();
        wish.add(Fact::Hr, "110..140").unwrap();
        wish.add(Fact::Axis, "-30").unwrap();
        wish.add(Fact::Sex, "F").unwrap();
        let turns = wish.turns(&known()).unwrap();
        let of = |index| wish.item(&turns, Seed::new(3), index).facts;
        let rates: Vec<f64> = (0..200).map(|i| of(i).hr_bpm.unwrap()).collect();
        assert!(rates.iter().all(|hr| (110.0..=140.0).contains(hr)));
        let mean = rates.iter().sum::<f64>() / 200.0;
        // The mean of 200 uniform values has a standard error of 0.6 bpm.
        assert!((mean - 125.0).abs() < 3.0, "{mean}");
        assert_eq!((of(7), of(7).axis_deg, of(7).sex), (of(7), Some(-30.0), Some(Sex::Female)));
        assert_ne!(of(7), of(8));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let refused = |fact: Fact, text: &str| Wish::default().add(fact, text).unwrap_err().to_string();
        assert!(refused(Fact::Hr, "fast").starts_with("hr: found fast"));
        assert!(refused(Fact::Hr, "140..110").contains("smaller value first"));
        assert!(refused(Fact::Age, "-3").contains("0 to 120 years"));
        assert!(refused(Fact::Sex, "x").contains("female"));
        assert!(refused(Fact::Qrs, "NaN").contains("a number"));
        let mut wish = Wish::default();
        wish.add(Fact::Hr, "60").unwrap();
        assert!(wish.add(Fact::Hr, "70").unwrap_err().to_string().contains("twice"));
    }
}
