//! What `run` and `train` ask alike: preset, settings, seed, folder, limits.

use std::path::PathBuf;
use std::time::Duration;

use einthoven::experiment::{self, MemoryProbe, RunRequest};
use einthoven::nn::activations::Activations;
use einthoven::run::Stop;
use einthoven::{Error, Result};
use serde_json::json;

use super::{print_json, print_line};
use crate::MEMORY;

/// How an experiment is started.
#[derive(clap::Args)]
pub struct Launch {
    /// Preset by name (see: einthoven list presets)
    pub preset: String,
    /// Folder of the database
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Setting on top of the preset, such as teacher.steps=100; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// cpu, cuda or wgpu
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Run folder; the same folder again goes on where it stopped [default: runs/PRESET]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Stop with a checkpoint after this many minutes
    #[arg(long, value_name = "MINUTES")]
    max_time: Option<f64>,
    /// Refuse a training that needs more than this many MiB in all [default: what is free]
    #[arg(long, value_name = "MIB")]
    max_memory: Option<u64>,
    /// Train DiffWave, SSSD and diffusion transformers in less memory and more time, to the same weights
    #[arg(long, conflicts_with = "bf16_activations")]
    recompute: bool,
    /// Train DiffWave and SSSD in less memory, their gradients off by about 1e-4
    #[arg(long)]
    bf16_activations: bool,
    /// Print expected time, memory and disk, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Start a run that is expected to take more than three hours
    #[arg(long)]
    yes: bool,
}

struct Probe;

impl MemoryProbe for Probe {
    fn current(&self) -> usize {
        MEMORY.current_usage()
    }
    fn peak(&self) -> usize {
        MEMORY.peak_usage()
    }
    fn reset_peak(&self) {
        MEMORY.reset_peak_usage();
    }
}

/// Expected minutes from which a run asks for `--yes`.
const LONG_MINUTES: f64 = 180.0;

impl Launch {
    /// Tells the cost, refuses what nobody confirmed, and lets `work` have the request; with `--dry-run`
    /// tells the cost alone.
    pub fn start(
        &self,
        is_json: bool,
        generator: Option<&str>,
        work: impl FnOnce(&RunRequest, &Stop) -> Result<()>,
    ) -> Result<u8> {
        let cost = experiment::cost(&self.preset, &self.settings)?;
        let expectation = format!(
            "{}: expected {:.0} minutes on two cores, {} MiB of memory, {} MiB of disk (as preset, without --set)",
            self.preset, cost.cpu_minutes, cost.memory_mib, cost.disk_mib
        );
        if self.dry_run {
            match is_json {
                true => print_json(&json!({ "preset": self.preset, "cost": cost }))?,
                false => print_line(&expectation)?,
            }
            return Ok(0);
        }
        eprintln!("{expectation}");
        if cost.cpu_minutes > LONG_MINUTES && !self.yes {
            return Err(Error::Limit {
                reason: format!("{expectation}; add --yes to start it, or choose a smaller preset"),
            });
        }
        let mut stop = Stop::on_signals()?;
        if let Some(minutes) = self.max_time {
            let limit = Duration::try_from_secs_f64(60.0 * minutes);
            stop = stop.with_time_limit(limit.map_err(|error| Error::config("--max-time", error.to_string()))?);
        }
        let request = RunRequest {
            preset: &self.preset,
            generator,
            overrides: &self.settings,
            data: self.data.as_deref(),
            out: &self.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&self.preset)),
            seed: self.seed,
            device: &self.device,
            command: command_line(),
            probe: Some(&Probe),
            max_memory_bytes: self.max_memory.map(|mib| mib.saturating_mul(1 << 20)),
            activations: self.activations(),
        };
        work(&request, &stop)?;
        Ok(0)
    }

    fn activations(&self) -> Activations {
        match (self.recompute, self.bf16_activations) {
            (true, _) => Activations::Recomputed,
            (false, true) => Activations::Bf16,
            (false, false) => Activations::Whole,
        }
    }
}

/// The command as typed, with the program by its name alone.
pub fn command_line() -> String {
    let words = std::env::args().skip(1).map(|word| {
        let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=,:+@".contains(c));
        if is_plain { word } else { format!("'{}'", word.replace('\'', "'\\''")) }
    });
    std::iter::once("einthoven".to_string()).chain(words).collect::<Vec<_>>().join(" ")
}
