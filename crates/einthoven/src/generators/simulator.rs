//! The beat simulator as a generator: equations instead of a trained network.

use std::path::Path;

use burn::tensor::Device;
use serde_json::{Value, json};

use super::{Generator, GeneratorSpec, Item, SampleRequest, Sink};
use crate::config::from_json;
use crate::dataset::Dataset;
use crate::dataset::catalog::simulated;
use crate::dataset::condition::Told;
use crate::error::{Error, Result};
use crate::seed::Seed;
use crate::simulate::beats::BeatCohort;

/// Draws beats from a simulated cohort.
pub struct Simulator {
    cohort: BeatCohort,
}

impl Generator for Simulator {
    fn axes(&self) -> Dataset {
        let labels = crate::dataset::label::AAMI.names();
        let mut data = Dataset::new(vec!["MLII".into()], self.cohort.sig_len, self.cohort.fs_hz, labels);
        data.provenance = json!({
            "synthetic": true,
            "generator": Spec.name(),
            "version": env!("CARGO_PKG_VERSION"),
            "training_data": "none: equations",
            "training_patients": { "key": "none", "hashes": [] },
            "notice": "synthetic, not for clinical use",
        });
        data
    }

    fn request(&self, items: Vec<Item>) -> SampleRequest {
        SampleRequest::one_pass(items)
    }

    fn working_bytes_per_item(&self) -> u64 {
        // A whole cohort is simulated for each item, one after the other.
        (4 * self.cohort.sig_len * self.cohort.n_patients * self.cohort.beats_per_patient) as u64
    }

    fn sample_into(&self, request: &SampleRequest, seed: Seed, sink: &mut dyn Sink) -> Result<()> {
        // Item i is a beat of the wanted class out of cohort i, whose patients nobody else shares.
        request.check(&crate::dataset::label::AAMI.names(), &Told::default(), Spec.name())?;
        request.check_one_pass(Spec.name())?;
        for item in &request.items {
            let (index, class) = (item.index, item.conditions.class()?);
            let cohort = simulated::load(&self.cohort, seed.purpose("simulator").index(index))?;
            let classes = cohort.classes()?;
            let pool: Vec<usize> = (0..cohort.len()).filter(|&i| classes[i] == class).collect();
            if pool.is_empty() {
                return Err(Error::config("classes", format!("the simulated cohort has no beat of class {class}")));
            }
            let mut stream = seed.purpose("simulator pick").index(index).stream();
            sink.accept(std::slice::from_ref(item), cohort.item(pool[stream.below(pool.len())]))?;
        }
        Ok(())
    }
}

/// Entry of the list.
pub struct Spec;

impl GeneratorSpec for Spec {
    fn name(&self) -> &'static str {
        "beat-simulator"
    }

    fn summary(&self) -> &'static str {
        "single beats of the AAMI classes by a dynamical model; needs no training"
    }

    fn reference(&self) -> &'static str {
        "@article{mcsharry2003, author={McSharry, P. E. and Clifford, G. D. and Tarassenko, L. and Smith, L. A.}, \
         title={A dynamical model for generating synthetic electrocardiogram signals}, journal={IEEE Transactions on \
         Biomedical Engineering}, volume={50}, number={3}, pages={289--294}, year={2003}}"
    }

    fn default_config(&self) -> Value {
        // Few patients suffice, because each item gets a cohort of its own.
        json!(BeatCohort { n_patients: 12, beats_per_patient: 40, ..BeatCohort::default() })
    }

    fn build(&self, config: &Value, _model: Option<&Path>, _device: &Device) -> Result<Box<dyn Generator>> {
        Ok(Box::new(Simulator { cohort: from_json("beat-simulator", config)? }))
    }
}
