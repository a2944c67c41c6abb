//! Simulated records that a diffusion generator learns from before it meets real ones.
//!
//! Their intervals, axis and rhythm are known exactly, and they cover values that few patients show. What the network
//! has learned from them is only where its training on real records begins.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::distillation::Lineage;
use super::training::Course;
use crate::config::check;
use crate::dataset::Dataset;
use crate::diffusion::Network;
use crate::diffusion::batches::Batches;
use crate::error::{Error, Result};
use crate::generators::diffusion_model::ModelCard;
use crate::generators::dipole::{self, DipoleConfig};
use crate::generators::{GeneratorSpec, Item};
use crate::nn::adamw::AdamWConfig;
use crate::nn::weights::Weights;
use crate::run::Progress;
use crate::seed::Seed;
use crate::simulate::dipole::Request;

/// Role of the model that has seen simulated records only.
pub const ROLE: &str = "pretrained";

/// How many records of which conditions are simulated, and how long the network learns from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pretraining {
    /// Records.
    pub n: usize,
    /// Conditions of the dipole simulator, which the records have in turn, each with the labels of the data that it
    /// stands for.
    pub conditions: Vec<(String, Vec<String>)>,
    /// Lowest and highest signal-to-noise ratio of a record, dB.
    pub snr_db: [f64; 2],
    /// Optimizer steps.
    pub steps: u64,
    /// Records in a batch.
    pub batch: usize,
    /// Optimizer.
    pub optimizer: AdamWConfig,
}

impl Pretraining {
    /// Checks what can be checked before there are data, below `key`.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key; [`Error::Unknown`] for a condition that the simulator does not know.
    pub fn validate(&self, key: &str) -> Result<()> {
        let at = |field: &str| format!("{key}.{field}");
        for (field, n) in [("n", self.n as u64), ("steps", self.steps), ("batch", self.batch as u64)] {
            check(&at(field), (1..=100_000_000).contains(&n), n, "1 to 100000000")?;
        }
        check(&at("conditions"), !self.conditions.is_empty(), "none", "at least one")?;
        self.conditions.iter().try_for_each(|(condition, _)| Request::new(condition).map(drop))?;
        self.optimizer.validate(|field| at(&format!("optimizer.{field}")))
    }

    /// The simulated records on the axes of real ones, with what is true of each.
    ///
    /// # Errors
    /// [`Error::Config`] for a label that `like` has not, and for a rate or length that cannot be simulated;
    /// [`Error::Data`] for a lead that the simulator does not give.
    pub fn records(&self, like: &Dataset, seed: Seed) -> Result<Dataset> {
        let labels = self.labels(like)?;
        let config = DipoleConfig {
            conditions: self.conditions.iter().map(|(condition, _)| condition.clone()).collect(),
            fs_hz: like.fs_hz,
            seconds: like.sig_len as f64 / like.fs_hz,
            snr_db: self.snr_db,
        };
        let generator = dipole::Spec.build(&json!(config), None, &Default::default())?;
        let turns: Vec<usize> = (0..self.n).map(|i| i % labels.len()).collect();
        let drawn = generator.sample(&generator.request(Item::of_classes(&turns)), seed.purpose(ROLE))?;
        let lead = |name: &String| {
            let reason = || Error::data(name, "is a lead that the simulator does not give");
            drawn.leads.iter().position(|known| known == name).ok_or_else(reason)
        };
        let leads = like.leads.iter().map(lead).collect::<Result<Vec<usize>>>()?;
        let mut records = Dataset {
            label_names: like.label_names.clone(),
            leads: like.leads.clone(),
            labels: turns.iter().flat_map(|&turn| labels[turn].clone()).collect(),
            ecg: Vec::with_capacity(self.n * leads.len() * like.sig_len),
            ..drawn.clone()
        };
        for item in 0..drawn.len() {
            let signals: Vec<&[f32]> = drawn.item(item).chunks(drawn.sig_len).collect();
            leads.iter().for_each(|&lead| records.ecg.extend_from_slice(signals[lead]));
        }
        records.validate()?;
        Ok(records)
    }

    /// The labels of each condition on the label axis of real records.
    fn labels(&self, like: &Dataset) -> Result<Vec<Vec<u8>>> {
        let set = |(condition, names): &(String, Vec<String>)| {
            if let Some(unknown) = names.iter().find(|name| !like.label_names.contains(name)) {
                let known = like.label_names.join(", ");
                let reason = format!("found {unknown} for {condition}, expected labels of the data: {known}");
                return Err(Error::config("pretraining.conditions", reason));
            }
            Ok(like.label_names.iter().map(|name| u8::from(names.contains(name))).collect())
        };
        self.conditions.iter().map(set).collect()
    }

    /// Weights of the network of `lineage`, whose card says of the simulated records what they are, after it has learned
    /// from these as `items`.
    ///
    /// # Errors
    /// As [`Lineage::first`].
    pub(super) fn learn(&self, lineage: &Lineage, items: Batches, progress: &mut dyn Progress) -> Result<Weights> {
        let training_data = lineage.card.training_data["pretraining"].clone();
        let card = ModelCard { role: ROLE.into(), training_data, ..lineage.card.clone() };
        let simulated = Lineage { card, items, beside: Weights::default(), ..lineage.clone() };
        let course = Course { n_steps: self.steps, batch: self.batch, optimizer: &self.optimizer, start: None };
        let trained = simulated.first(course, None, progress)?;
        let (_, weights) = Network::of_state(&lineage.card.network, trained.model.state(), ROLE)?;
        Ok(weights)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pretraining() -> Pretraining {
        Pretraining {
            n: 4,
            conditions: vec![
                ("sinus".into(), vec!["NORM".into(), "SR".into()]),
                ("af+rbbb".into(), vec!["AFIB".into(), "CRBBB".into()]),
            ],
            snr_db: [20.0, 40.0],
            steps: 1,
            batch: 2,
            optimizer: AdamWConfig::default(),
        }
    }

    fn like() -> Dataset {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_string()).collect();
        Dataset::new(names(&["V2", "I"]), 500, 100.0, names(&["SR", "NORM", "CRBBB", "AFIB"]))
    }

    #[test]
    fn records_have_the_axes_the_labels_and_the_facts_of_what_they_are() {
        let records = pretraining().records(&like(), Seed::new(3)).unwrap();
        assert_eq!((records.len(), records.sig_len, records.leads.concat()), (4, 500, "V2I".to_string()));
        assert_eq!(records.labels, [1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1]);
        let facts = records.facts.as_ref().unwrap();
        assert!(facts.iter().all(|facts| facts.hr_bpm.is_some() && facts.qrs_ms.is_some() && facts.sex.is_some()));
        assert!(facts[0].pr_ms.is_some() && facts[1].pr_ms.is_none(), "fibrillation has no PR");
        assert!(facts[1].qrs_ms > facts[0].qrs_ms, "a bundle branch block is wide");
    }

    #[test]
    fn labels_and_conditions_that_do_not_exist_are_refused_by_name() {
        let mut unknown = pretraining();
        unknown.conditions[1].1.push("WPW".into());
        let message = unknown.records(&like(), Seed::new(3)).unwrap_err().to_string();
        assert!(message.contains("WPW") && message.contains("SR, NORM"), "{message}");
        unknown.conditions[1].0 = "dextrocardia".into();
        assert!(unknown.validate("pretraining").unwrap_err().to_string().contains("dextrocardia"));
    }
}
