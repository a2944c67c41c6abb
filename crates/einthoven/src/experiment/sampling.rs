//! Drawing from a trained run, a model file or a generator by name, into a file that says what it is.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::distillation::few_step_role;
use super::exact::Rejection;
use super::{delineation, device, generation, import, synthesis};
use crate::dataset::wish::{Turns, Wish};
use crate::dataset::{Dataset, Facts, npz};
use crate::delineators::{DELINEATORS, facts};
use crate::error::{Error, Result};
use crate::evaluation::delivery::{Acceptance, Delivered, delivered};
use crate::generators::{self, Generator, Item};
use crate::run::{Disk, Progress, Stop, Storage, available_memory, read_run};
use crate::seed::Seed;

/// What a user asks of [`sample`].
pub struct DrawRequest<'a> {
    /// Run folder, model file, or generator by name.
    pub source: &'a str,
    /// Model of a run by its role, such as `teacher`; `None` for the few-step student that a run chose, and for
    /// the only model of a run without students.
    pub model: Option<&'a str>,
    /// Number of items.
    pub n: u64,
    /// What the items are to be like.
    pub wish: &'a Wish,
    /// Draws of an item until the delineator finds every requested number within its tolerance; `None` takes the first.
    pub exact_tries: Option<u64>,
    /// Index of the first item.
    pub first: u64,
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
    /// `X.npz`, or a folder for NPZ and WFDB records.
    pub out: &'a Path,
}

/// Items that were drawn.
pub struct Drawn {
    /// The items, which were also written.
    pub data: Dataset,
    /// Requested against delivered, for each requested number that an ECG shows.
    pub delivered: Vec<Delivered>,
    /// How many draws it took, where items were rejected.
    pub acceptance: Option<Acceptance>,
}

/// Draws items and writes them.
///
/// # Errors
/// [`Error::Limit`] before any work if memory or disk cannot hold the result; [`Error::Unknown`] for a
/// name that is in no list; [`Error::Config`] for a condition that the generator does not know; [`Error::Data`] for an
/// item that no try made exact; everything that sampling and writing return.
pub fn sample(request: &DrawRequest, stop: &Stop, progress: &mut dyn Progress) -> Result<Drawn> {
    if request.batch == 0 {
        return Err(Error::config("--batch", "found 0, expected at least 1"));
    }
    let generator = open(request)?;
    let axes = generator.axes();
    let turns = request.wish.turns(&axes.label_names)?;
    let is_measurable =
        request.wish.numbers.iter().any(|(fact, _)| fact.number().is_some_and(|number| number.tolerance.is_some()));
    if request.exact_tries.is_some() && !is_measurable {
        return Err(Error::config(
            "--exact",
            "nothing is asked for that can be measured, expected one of --hr, --pr, --qrs, --qtc, --axis",
        ));
    }
    // More than are asked for are never computed at once.
    let batch = request.batch.min(usize::try_from(request.n).unwrap_or(usize::MAX)).max(1);
    refuse_oversize(request, generator.as_ref(), &axes, batch)?;
    let mut call = generator.request(Vec::new());
    call.batch = batch;
    if let Some(sampler) = request.sampler {
        call.sampler = sampler.into();
    }
    call.steps = request.steps.unwrap_or(call.steps);
    call.guidance = request.guidance.unwrap_or(call.guidance);

    let seed = Seed::new(request.seed);
    let mut rejection = request.exact_tries.map(|tries| Rejection::new(generator.as_ref(), tries)).transpose()?;
    let mut data = axes;
    let last = request.first + request.n;
    let mut at = request.first;
    while at < last {
        stop.check("run the same command again")?;
        let end = last.min(at + batch as u64);
        call.items = (at..end).map(|index| request.item(&turns, index)).collect();
        match &mut rejection {
            None => generator.sample_into(&call, seed, &mut data)?,
            Some(rejection) => rejection.sample_into(&call, seed, stop, &mut data)?,
        }
        at = end;
        let note =
            rejection.as_ref().map_or(String::new(), |r| format!("{:.0} % accepted", 100.0 * r.acceptance().rate));
        progress.update("sample", data.len() as u64, request.n, &note);
    }
    data.validate()?;
    let acceptance = rejection.map(|rejection| rejection.acceptance());
    let delivered = if is_measurable { request.delivered(&turns, &data)? } else { Vec::new() };
    data.provenance["sampler"] = synthesis::sampler_in_words(&call);
    data.provenance["request"] = request.wish_in_words();
    if is_measurable {
        data.provenance["delivery"] = json!({ "delivered": delivered, "acceptance": acceptance });
    }
    if request.out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npz")) {
        npz::write(request.out, &synthesis::stamped(&data, request.seed))?;
    } else {
        synthesis::write(&data, request.out, request.seed)?;
    }
    Ok(Drawn { data, delivered, acceptance })
}

/// The generator that a source names.
fn open(request: &DrawRequest) -> Result<Box<dyn Generator>> {
    let device = device(request.device)?;
    let path = Path::new(request.source);
    let model = if path.is_dir() {
        Some(run_model(path, request.model)?)
    } else if path.is_file() || request.source.contains(['/', '\\']) || path.extension().is_some() {
        Some(path.to_path_buf())
    } else {
        None
    };
    match model {
        Some(path) => generators::open(&path, &device),
        None => {
            let spec = generators::find(request.source)?;
            spec.build(&spec.default_config(), None, &device)
        }
    }
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
        None if info.preset == import::PRESET => generation::ROLE.to_string(),
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

/// Bytes of an item beside its amplitudes: names, labels, part, index, and their room in vectors.
const ITEM_BYTES: u64 = 256;

/// Refuses what memory or disk cannot hold (rule M05), with the estimate.
fn refuse_oversize(request: &DrawRequest, generator: &dyn Generator, axes: &Dataset, batch: usize) -> Result<()> {
    let item_bytes = 4 * (axes.leads.len() * axes.sig_len) as u64 + ITEM_BYTES;
    // The set, its stamped copy, and the batch in hand.
    let working = generator.working_bytes_per_item().saturating_mul(batch as u64);
    let memory = request.n.saturating_mul(2 * item_bytes).saturating_add(working);
    let disk = request.n.saturating_mul(item_bytes);
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

    /// Requested against what the default delineator reads.
    fn delivered(&self, turns: &Turns, data: &Dataset) -> Result<Vec<Delivered>> {
        let indexes = self.first..self.first + self.n;
        let requested: Vec<Facts> = indexes.map(|index| self.item(turns, index).conditions.facts).collect();
        Ok(delivered(&requested, &facts::measure_each(data, &data.ecg, DELINEATORS[0])?))
    }

    /// What was asked for, for the provenance.
    fn wish_in_words(&self) -> Value {
        let wish = self.wish;
        let numbers: serde_json::Map<String, Value> =
            wish.numbers.iter().map(|(fact, range)| (fact.name().to_string(), json!(range))).collect();
        json!({
            "labels": wish.labels, "numbers": numbers, "sex": wish.sex, "site": wish.site, "exact_tries": self.exact_tries,
        })
    }

    /// What was drawn, for scripts: files and counts.
    pub fn summary(&self, drawn: &Drawn) -> Value {
        let data = &drawn.data;
        let counts = data.label_counts(crate::dataset::Split::Train);
        let counts: serde_json::Map<String, Value> =
            data.label_names.iter().cloned().zip(counts.into_iter().map(Into::into)).collect();
        json!({
            "out": self.out, "n_items": data.len(), "counts": counts, "seed": self.seed, "provenance": data.provenance,
            "delivered": drawn.delivered, "acceptance": drawn.acceptance,
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
