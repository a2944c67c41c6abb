//! Drawing the synthetic sets, and writing what is published of them.

use std::path::Path;

use serde_json::{Value, json};

use super::config::Experiment;
use crate::dataset::{Dataset, Split, npz, plus, records};
use crate::diffusion::sampler;
use crate::error::Result;
use crate::generators::{Generator, Item, SampleRequest, Sink};
use crate::record::WriteOptions;
use crate::run::{Progress, Stop};
use crate::seed::Seed;

/// Classes of the synthetic items that a mix of any of these training parts can ask for: of each
/// class as many as the largest need.
///
/// # Errors
/// [`crate::Error::Unknown`] for a plan that does not exist; [`crate::Error::Data`] for items
/// without exactly one class.
pub fn wanted(config: &Experiment, parts: &[&Dataset]) -> Result<Vec<usize>> {
    let plan = config.synthesis.plan()?;
    let mut most: Vec<usize> = Vec::new();
    for part in parts {
        let added = plan.added(&part.class_counts(Split::Train)?);
        most.resize(added.len().max(most.len()), 0);
        most.iter_mut().zip(added).for_each(|(most, added)| *most = (*most).max(added));
    }
    Ok(most.iter().enumerate().flat_map(|(class, &n)| std::iter::repeat_n(class, n)).collect())
}

/// Equal numbers of every class that has real training items.
pub fn balanced(counts: &[usize], per_class: usize) -> Vec<usize> {
    counts
        .iter()
        .enumerate()
        .filter(|(_, n)| **n > 0)
        .flat_map(|(class, _)| std::iter::repeat_n(class, per_class))
        .collect()
}

/// A sink that reports progress and honors a stop.
struct Watched<'a> {
    data: &'a mut Dataset,
    total: u64,
    stage: &'a str,
    stop: &'a Stop,
    progress: &'a mut dyn Progress,
}

impl Sink for Watched<'_> {
    fn accept(&mut self, items: &[Item], ecg: &[f32]) -> Result<()> {
        self.data.accept(items, ecg)?;
        self.progress.update(self.stage, self.data.len() as u64, self.total, "");
        self.stop.check("run the same command again to go on")
    }
}

/// Draws items, with progress.
///
/// # Errors
/// As [`Generator::sample_into`]; [`crate::Error::Interrupted`] between batches.
pub fn draw(
    model: &dyn Generator,
    request: &SampleRequest,
    seed: Seed,
    stage: &str,
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<Dataset> {
    let mut data = model.axes();
    let total = request.items.len() as u64;
    model.sample_into(request, seed, &mut Watched { data: &mut data, total, stage, stop, progress })?;
    data.provenance["sampler"] = sampler_in_words(request);
    data.validate()?;
    Ok(data)
}

/// How items were drawn, for the provenance.
pub fn sampler_in_words(request: &SampleRequest) -> Value {
    json!({
        "name": request.sampler, "steps": request.steps, "guidance": request.guidance,
        "denoiser_calls": denoiser_calls(request),
    })
}

/// Denoiser calls for each item; guidance compares two at every level. `None` where there is no sampler.
fn denoiser_calls(request: &SampleRequest) -> Option<usize> {
    let of_guidance = if [0.0, 1.0].contains(&request.guidance) { 1 } else { 2 };
    Some(of_guidance * sampler::find(&request.sampler).ok()?.evaluations(request.steps))
}

/// Gives each synthetic item the RR intervals of a random training item of its class, for
/// classifiers that use rhythm: a generated beat has none of its own.
///
/// # Errors
/// [`crate::Error::Data`] for items without exactly one class.
pub fn borrow_rr(synthetic: &mut Dataset, real: &Dataset, seed: Seed) -> Result<()> {
    let Some(rr) = &real.rr_s else { return Ok(()) };
    let classes = real.classes()?;
    let mut pools: Vec<Vec<[f32; 2]>> = vec![Vec::new(); real.n_labels()];
    for i in 0..real.len() {
        if real.split[i] == Split::Train {
            pools[classes[i]].push(rr[i]);
        }
    }
    let mut stream = seed.purpose("borrowed rr").stream();
    let own = synthetic.classes()?;
    synthetic.rr_s = Some(
        own.into_iter()
            .map(|class| match pools[class].len() {
                0 => [0.8, 0.8],
                n => pools[class][stream.below(n)],
            })
            .collect(),
    );
    Ok(())
}

/// Items below this length are single beats.
const LONGEST_BEAT_S: f64 = 2.0;

/// The set with the seed in its provenance.
pub fn stamped(data: &Dataset, seed: u64) -> Dataset {
    let mut stamped = data.clone();
    stamped.provenance["seed"] = json!(seed);
    stamped
}

/// Writes a synthetic set as NPZ, and as WFDB records, over what an earlier call wrote: beats back to back by class
/// with annotations, longer items each as a record.
///
/// # Errors
/// [`crate::Error::Io`].
pub fn write(data: &Dataset, folder: &Path, seed: u64) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|source| crate::Error::io(folder, source))?;
    let stamped = stamped(data, seed);
    let is_beats = (data.sig_len as f64) < LONGEST_BEAT_S * data.fs_hz;
    npz::write(&folder.join(if is_beats { "beats.npz" } else { "records.npz" }), &stamped)?;
    // A run that goes on after a stop writes the same set again.
    let options = WriteOptions { overwrite: true, ..WriteOptions::default() };
    let wfdb = folder.join("wfdb");
    match is_beats {
        true => plus::write_plus(&wfdb, &stamped, &options)?,
        false => records::write_records(&wfdb, &stamped, &options)?,
    };
    Ok(())
}
