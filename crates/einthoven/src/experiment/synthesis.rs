//! Drawing the synthetic sets, and writing what is published of them.

use std::path::Path;

use serde_json::{Value, json};

use super::config::Experiment;
use super::set_writer::SetWriter;
use crate::dataset::{Dataset, Split};
use crate::diffusion::sampler;
use crate::error::Result;
use crate::generators::{Generator, Item, SampleRequest};
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
    let mut watch =
        Watch { stage, total: request.items.len() as u64, hint: "run the same command again to go on", stop, progress };
    draw_batches(request, &mut request.items.iter().cloned(), &mut watch, &mut |batch| {
        model.sample_into(batch, seed, &mut data)?;
        Ok(String::new())
    })?;
    data.provenance["sampler"] = sampler_in_words(request);
    data.validate()?;
    Ok(data)
}

/// Who is told how far a draw is, and who may stop it.
pub struct Watch<'a> {
    /// Stage for the progress.
    pub stage: &'a str,
    /// Number of items.
    pub total: u64,
    /// What to do after a stop.
    pub hint: &'a str,
    /// Stops the draw between batches.
    pub stop: &'a Stop,
    /// Is told after every batch.
    pub progress: &'a mut dyn Progress,
}

/// The one loop of every draw: `draw` gets the settings of `request` with a batch of items at a time, and returns a note
/// for the progress.
///
/// # Errors
/// Whatever `draw` returns; [`crate::Error::Interrupted`] between batches.
pub fn draw_batches(
    request: &SampleRequest,
    items: &mut dyn Iterator<Item = Item>,
    watch: &mut Watch,
    draw: &mut dyn FnMut(&SampleRequest) -> Result<String>,
) -> Result<()> {
    let mut batch = SampleRequest { items: Vec::new(), ..request.clone() };
    let mut done = 0;
    loop {
        batch.items = items.take(request.batch.max(1)).collect();
        if batch.items.is_empty() {
            return Ok(());
        }
        let note = draw(&batch)?;
        done += batch.items.len() as u64;
        watch.progress.update(watch.stage, done, watch.total, &note);
        watch.stop.check(watch.hint)?;
    }
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

/// Writes a synthetic set as NPZ, and as WFDB records, over what an earlier call wrote: beats back to back by class
/// with annotations, longer items each as a record with its beats.
///
/// # Errors
/// [`crate::Error::Io`].
pub fn write(data: &Dataset, folder: &Path, seed: u64) -> Result<()> {
    let mut axes = data.select(&[]);
    axes.provenance["seed"] = json!(seed);
    let mut writer = SetWriter::create(folder, &axes, data.len(), false)?;
    writer.push(data)?;
    writer.finish(&axes.provenance)?;
    Ok(())
}
