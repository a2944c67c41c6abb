//! Drawing from a trained run, a model file or a generator by name, into a file that says what it is.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::distillation::few_step_role;
use super::exact::Rejection;
use super::set_writer::{BLOCK_BYTES, KEPT_BYTES, SetWriter, check_name};
use super::source::{named, refuse_role};
use super::synthesis::{self, Watch, draw_batches};
use super::{delineation, device, generation, import};
use crate::dataset::label::definition::contradictions;
use crate::dataset::wish::{Turns, Wish};
use crate::dataset::{Dataset, Facts};
use crate::error::{Error, Result};
use crate::evaluation::delivery::{Acceptance, Delivered, Delivery, delivered};
use crate::generators::extent::{Extent, fitted};
use crate::generators::{self, Generator, Item};
use crate::run::{Disk, Progress, Stop, Storage, available_memory, read_run};
use crate::seed::Seed;
use crate::simulate::dipole::request::SHORTEST_S;

/// What a user asks of [`sample`].
pub struct DrawRequest<'a> {
    /// Run folder, model file, or generator by name.
    pub source: &'a str,
    /// Model of a run by its role, such as `teacher`; `None` for the few-step student that a run chose, for the only
    /// model of a run without students, and beside any source but a run.
    pub model: Option<&'a str>,
    /// Number of items.
    pub n: u64,
    /// What the items are to be like.
    pub wish: &'a Wish,
    /// Draws of an item until the delineator finds every requested number within its tolerance; `None` takes the first.
    pub exact_tries: Option<u64>,
    /// Index of the first item.
    pub first: u64,
    /// Rate and length of the items.
    pub extent: Extent,
    /// Sampler by name; `None` for the model's own.
    pub sampler: Option<&'a str>,
    /// Sampler steps; `None` for the model's own.
    pub steps: Option<usize>,
    /// Guidance weight; `None` for the model's own.
    pub guidance: Option<f64>,
    /// Items computed at once.
    pub batch: usize,
    /// Seed of the draw.
    pub seed: u64,
    /// Device by name.
    pub device: &'a str,
    /// `X.npz`, `X.parquet`, or a folder for NPZ and WFDB records.
    pub out: &'a Path,
}

/// Items that were drawn and written.
pub struct Drawn {
    /// Number of items.
    pub n_items: u64,
    /// Number of items with each label, in the order of the labels.
    pub counts: Vec<(String, usize)>,
    /// Sampling rate of the items.
    pub fs_hz: f64,
    /// Points of a lead.
    pub sig_len: usize,
    /// Where they come from, as it was written.
    pub provenance: Value,
    /// Requested against delivered, for each requested number that an ECG shows.
    pub delivered: Vec<Delivered>,
    /// How many draws it took, where items were rejected.
    pub acceptance: Option<Acceptance>,
    /// What is asked for that the labels rule out.
    pub warnings: Vec<String>,
}

/// Draws items and writes them as they come: memory does not grow with their number but for names and labels.
///
/// # Errors
/// [`Error::Limit`] before any work if memory or disk cannot hold the result; [`Error::Unknown`] for a
/// name that is in no list; [`Error::Config`] for a condition that the generator does not know, for a rate or a length
/// that it cannot have, and for a role beside a source that is no run; [`Error::Limit`] for an item that no try made exact;
/// everything that sampling and writing return.
pub fn sample(request: &DrawRequest, stop: &Stop, progress: &mut dyn Progress) -> Result<Drawn> {
    if request.batch == 0 {
        return Err(Error::config("--batch", "found 0, expected at least 1"));
    }
    if request.n == 0 {
        return Err(Error::config("-n", "found 0, expected at least 1"));
    }
    request.extent.check()?;
    check_name(request.out)?;
    let generator = fitted(open(request, progress)?, &request.extent)?;
    let mut axes = generator.axes();
    let turns = request.wish.turns(&axes.label_names)?;
    let is_measurable =
        request.wish.numbers.iter().any(|(fact, _)| fact.number().is_some_and(|number| number.tolerance.is_some()));
    if request.exact_tries.is_some() && !is_measurable {
        return Err(Error::config(
            "--exact",
            "nothing is asked for that can be measured, expected one of --hr, --pr, --qrs, --qtc, --axis",
        ));
    }
    let warnings = contradictions(request.wish, &turns, &axes.label_names);
    warnings.iter().for_each(|warning| progress.warn(warning));
    let mut call = generator.request(Vec::new());
    // More than are asked for are never computed at once.
    call.batch = request.batch.min(usize::try_from(request.n).unwrap_or(usize::MAX)).max(1);
    refuse_oversize(request, generator.as_ref(), &axes, call.batch)?;
    if let Some(sampler) = request.sampler {
        call.sampler = sampler.into();
    }
    call.steps = request.steps.unwrap_or(call.steps);
    call.guidance = request.guidance.unwrap_or(call.guidance);
    let seed = Seed::new(request.seed);
    axes.provenance["sampler"] = synthesis::sampler_in_words(&call);
    axes.provenance["request"] = request.wish_in_words();
    axes.provenance["seed"] = json!(request.seed);

    let n_items = usize::try_from(request.n).unwrap_or(usize::MAX);
    let mut writer = SetWriter::create(request.out, &axes, n_items, is_measurable)?;
    let mut rejection = request.exact_tries.map(|tries| Rejection::new(generator.as_ref(), tries)).transpose()?;
    let mut items = request.indexes().map(|index| request.item(&turns, index));
    let mut watch = Watch { stage: "sample", total: request.n, hint: "run the same command again", stop, progress };
    draw_batches(&call, &mut items, &mut watch, &mut |batch| {
        let Some(rejection) = &mut rejection else {
            generator.sample_into(batch, seed, &mut writer)?;
            return Ok(String::new());
        };
        rejection.sample_into(batch, seed, stop, &mut writer)?;
        Ok(format!("{:.0} % accepted", 100.0 * rejection.acceptance().rate))
    })?;
    let acceptance = rejection.map(|rejection| rejection.acceptance());
    let mut delivered = Vec::new();
    if is_measurable {
        delivered = request.delivered(&turns, &writer.flushed()?.measured);
        axes.provenance["delivery"] = json!(Delivery { delivered: delivered.clone(), acceptance });
    }
    let written = writer.finish(&axes.provenance)?;
    Ok(Drawn {
        n_items: written.n_items,
        counts: axes.label_names.into_iter().zip(written.counts).collect(),
        fs_hz: axes.fs_hz,
        sig_len: axes.sig_len,
        provenance: axes.provenance,
        delivered,
        acceptance,
        warnings,
    })
}

/// The generator that a source names.
fn open(request: &DrawRequest, progress: &mut dyn Progress) -> Result<Box<dyn Generator>> {
    let device = device(request.device)?;
    let path = Path::new(request.source);
    let is_named = named(path, progress).is_some();
    if !is_named && path.is_dir() {
        return generators::open(&run_model(path, request.model)?, &device);
    }
    refuse_role(path, request.model)?;
    let is_file = path.is_file() || request.source.contains(['/', '\\']) || path.extension().is_some();
    if !is_named && is_file {
        return generators::open(path, &device);
    }
    let spec = generators::find(request.source)?;
    spec.build(&at_extent(spec.default_config(), &request.extent), None, &device)
}

/// A configuration with the rate and the length that are asked for, where it has settings for both; what is shorter than
/// such a generator makes is cut afterwards.
fn at_extent(mut config: Value, extent: &Extent) -> Value {
    let has_both = config.get("fs_hz").is_some() && config.get("seconds").is_some();
    if let (true, Some(fs_hz)) = (has_both, extent.fs_hz) {
        config["fs_hz"] = json!(fs_hz);
    }
    if let (true, Some(seconds)) = (has_both, extent.seconds) {
        config["seconds"] = json!(seconds.max(SHORTEST_S));
    }
    config
}

/// File of a model of a run folder, by role.
///
/// # Errors
/// [`Error::Guard`] for a folder that is no run; [`Error::Unknown`] for a role that it has no model of.
pub fn run_model(dir: &Path, role: Option<&str>) -> Result<PathBuf> {
    let (info, _) = read_run(dir)?;
    let stages = dir.join("checkpoint");
    let role = match role {
        Some(role) => role.to_string(),
        None if info.preset == import::PRESET => import::role(dir).to_string(),
        None if generation::is_generation(&info.preset) => {
            let config: generation::Generation = crate::config::load_valid(&info.config, "config.toml", &[])?;
            config.recipes[&config.generator].best_role()
        }
        None if delineation::is_delineation(&info.preset) => {
            let reason = format!("{} holds a delineator, expected a run that trained a generator", dir.display());
            return Err(Error::config("run", reason));
        }
        None => few_step_role(
            crate::config::load_valid::<super::Experiment>(&info.config, "config.toml", &[])?.few_step.chosen,
        ),
    };
    let file = |role: &str| stages.join(role).join("model.safetensors");
    if file(&role).is_file() {
        return Ok(file(&role));
    }
    let entries = std::fs::read_dir(&stages).map_err(|source| Error::io(&stages, source))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut known: Vec<String> =
        names.filter(|name| !name.starts_with("classifier-") && file(name).is_file()).collect();
    known.sort();
    Err(Error::Unknown { kind: "finished model of this run", name: role, known })
}

/// Refuses what memory or disk cannot hold (rule M05), with the estimate.
fn refuse_oversize(request: &DrawRequest, generator: &dyn Generator, axes: &Dataset, batch: usize) -> Result<()> {
    let item_bytes = 4 * (axes.leads.len() * axes.sig_len) as u64;
    // The batch in hand, the block that is written next in its formats, and what stays of each item.
    let working = generator.working_bytes_per_item().saturating_add(item_bytes).saturating_mul(batch as u64);
    let block = 8 * BLOCK_BYTES.max(item_bytes);
    let memory = request.n.saturating_mul(KEPT_BYTES).saturating_add(working).saturating_add(block);
    // A folder has the amplitudes a second time, in 16 bits.
    let disk = request.n.saturating_mul(item_bytes + item_bytes / 2 + KEPT_BYTES);
    let folder = match request.out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mib = |bytes: u64| bytes / (1 << 20);
    for (what, needed, available) in [("memory", memory, available_memory()), ("disk", disk, Disk.free_bytes(folder))] {
        if let Some(available) = available.filter(|available| needed > *available) {
            return Err(Error::Limit {
                reason: format!(
                    "{} items in batches of {batch} need about {} MiB of {what}, {} MiB are free; draw fewer at a time with \
                     -n, --first and --batch",
                    request.n,
                    mib(needed),
                    mib(available)
                ),
            });
        }
    }
    Ok(())
}

impl DrawRequest<'_> {
    fn item(&self, turns: &Turns, index: u64) -> Item {
        Item { index, conditions: self.wish.item(turns, Seed::new(self.seed), index) }
    }

    /// Indexes of the items.
    fn indexes(&self) -> Range<u64> {
        self.first..self.first.saturating_add(self.n)
    }

    /// Requested against what the default delineator reads.
    fn delivered(&self, turns: &Turns, measured: &[Facts]) -> Vec<Delivered> {
        let requested: Vec<Facts> = self.indexes().map(|index| self.item(turns, index).conditions.facts).collect();
        delivered(&requested, measured)
    }

    /// What was asked for, for the provenance.
    fn wish_in_words(&self) -> Value {
        let wish = self.wish;
        let numbers: serde_json::Map<String, Value> =
            wish.numbers.iter().map(|(fact, range)| (fact.name().to_string(), json!(range))).collect();
        json!({
            "labels": wish.labels, "numbers": numbers, "sex": wish.sex, "site": wish.site, "exact_tries": self.exact_tries,
            "fs_hz": self.extent.fs_hz, "seconds": self.extent.seconds,
        })
    }

    /// What was drawn, for scripts: files and counts.
    pub fn summary(&self, drawn: &Drawn) -> Value {
        let counts: serde_json::Map<String, Value> =
            drawn.counts.iter().map(|(name, n)| (name.clone(), (*n).into())).collect();
        json!({
            "out": self.out, "n_items": drawn.n_items, "counts": counts, "seed": self.seed,
            "fs_hz": drawn.fs_hz, "seconds": drawn.sig_len as f64 / drawn.fs_hz, "provenance": drawn.provenance,
            "delivered": drawn.delivered, "acceptance": drawn.acceptance, "warnings": drawn.warnings,
        })
    }
}

impl Drawn {
    /// Requested against delivered, a line for each number.
    pub fn lines(&self) -> Vec<String> {
        let of = |d: &Delivered| {
            let percent = 100.0 * d.within_tolerance;
            let within = format!("{percent:.0} % of {} within {} {}", d.n_requested, d.tolerance, d.unit);
            match (d.mean_error, d.sd_error, d.error_quantiles) {
                (Some(mean), Some(sd), Some([low, .., high])) => format!(
                    "{}: delivered less requested {mean:+.1} (sd {sd:.1}, 5 to 95 %: {low:+.1} to {high:+.1}) {}, {within}",
                    d.fact, d.unit
                ),
                _ => format!("{}: could be measured on none, {within}", d.fact),
            }
        };
        let accepted = self
            .acceptance
            .iter()
            .map(|a| format!("accepted: {} of {} draws ({:.1} %)", a.n_accepted, a.n_drawn, 100.0 * a.rate));
        self.delivered.iter().map(of).chain(accepted).collect()
    }
}
