//! A tiny training for the tests of runs: linear regression by Adam, exact from (seed, step).

use std::path::{Path, PathBuf};
use std::time::Duration;

use einthoven::run::{Cadence, Outcome, Progress, RunInfo, Snapshot, StepReport, Tensors, TrainPlan, Trainee};
use einthoven::{Error, Seed};

const N_WEIGHTS: usize = 40;

/// Adam on a linear model whose batches come from the seed and the step alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Toy {
    pub seed: u64,
    pub weights: Vec<f32>,
    pub ema: Vec<f32>,
    pub first: Vec<f32>,
    pub second: Vec<f32>,
    pub n_updates: u64,
    /// Time that a step takes besides its work.
    pub pause: Duration,
    /// Steps at which the loss is not finite.
    pub bad_steps: Vec<u64>,
    /// How many steps this object has taken.
    pub n_taken: u64,
}

impl Toy {
    pub fn new(seed: u64) -> Toy {
        let mut weights = vec![0.0; N_WEIGHTS];
        Seed::new(seed).purpose("weights").stream().fill_normal(&mut weights);
        Toy {
            seed,
            ema: weights.clone(),
            weights,
            first: vec![0.0; N_WEIGHTS],
            second: vec![0.0; N_WEIGHTS],
            n_updates: 0,
            pause: Duration::ZERO,
            bad_steps: Vec::new(),
            n_taken: 0,
        }
    }

    /// Puts a NaN into the weights, as a faulty trainee would.
    pub fn spoil(&mut self) {
        self.weights[3] = f32::NAN;
    }
}

impl Trainee for Toy {
    fn step(&mut self, step: u64) -> einthoven::Result<StepReport> {
        std::thread::sleep(self.pause);
        self.n_taken += 1;
        let mut stream = Seed::new(self.seed).purpose("batch").index(step).stream();
        let mut input = vec![0.0; N_WEIGHTS];
        stream.fill_normal(&mut input);
        let target: f32 = input.iter().enumerate().map(|(i, x)| x * (i % 3) as f32).sum();
        let error = input.iter().zip(&self.weights).map(|(x, w)| x * w).sum::<f32>() - target;
        let gradient: Vec<f32> = input.iter().map(|x| 2.0 * error * x).collect();
        let mut report = StepReport {
            loss: f64::from(error * error),
            grad_norm: gradient.iter().map(|g| f64::from(g * g)).sum::<f64>().sqrt(),
            lr: 0.05,
            items: vec![step],
            extra: vec![("error", f64::from(error))],
            ..StepReport::default()
        };
        if self.bad_steps.contains(&step) {
            report.outcome = Outcome::NonFinite;
            report.loss = f64::NAN;
            return Ok(report);
        }
        self.n_updates += 1;
        let (beta1, beta2) = (0.9f32, 0.99f32);
        let correction1 = 1.0 - beta1.powi(self.n_updates as i32);
        let correction2 = 1.0 - beta2.powi(self.n_updates as i32);
        for (i, g) in gradient.iter().enumerate() {
            self.first[i] = beta1 * self.first[i] + (1.0 - beta1) * g;
            self.second[i] = beta2 * self.second[i] + (1.0 - beta2) * g * g;
            self.weights[i] -= 0.05 * (self.first[i] / correction1) / ((self.second[i] / correction2).sqrt() + 1e-8);
            self.ema[i] = 0.95 * self.ema[i] + 0.05 * self.weights[i];
        }
        Ok(report)
    }

    fn snapshot(&self) -> einthoven::Result<Snapshot> {
        let tensors =
            |values: &[f32]| Tensors::from([("linear.weight".to_owned(), (vec![4, N_WEIGHTS / 4], values.to_vec()))]);
        Ok(Snapshot {
            weights: tensors(&self.weights),
            ema: tensors(&self.ema),
            first_moment: tensors(&self.first),
            second_moment: tensors(&self.second),
            state: serde_json::json!({"n_updates": self.n_updates}),
        })
    }

    fn restore(&mut self, snapshot: &Snapshot) -> einthoven::Result<()> {
        let values = |tensors: &Tensors| tensors["linear.weight"].1.clone();
        self.weights = values(&snapshot.weights);
        self.ema = values(&snapshot.ema);
        self.first = values(&snapshot.first_moment);
        self.second = values(&snapshot.second_moment);
        self.n_updates = snapshot.state["n_updates"].as_u64().ok_or_else(|| Error::data("toy", "no n_updates"))?;
        Ok(())
    }

    fn score(&mut self) -> einthoven::Result<Option<f64>> {
        Ok(Some(self.ema.iter().enumerate().map(|(i, w)| f64::from(w - (i % 3) as f32).powi(2)).sum()))
    }
}

/// Remembers the last report and all warnings.
#[derive(Default)]
pub struct Seen {
    pub done: u64,
    pub warnings: Vec<String>,
}

impl Progress for Seen {
    fn update(&mut self, _stage: &str, done: u64, _total: u64, _note: &str) {
        self.done = done;
    }

    fn warn(&mut self, message: &str) {
        self.warnings.push(message.to_owned());
    }
}

pub fn plan(n_steps: u64, checkpoint_every: u64) -> TrainPlan {
    TrainPlan { n_steps, checkpoint_every: Cadence::Steps(checkpoint_every), log_every: 3 }
}

pub fn info() -> RunInfo {
    RunInfo {
        preset: "toy".into(),
        config: "width = 3\n".into(),
        seed: 5,
        device: "cpu".into(),
        data_fingerprint: "none".into(),
        is_bf16: false,
    }
}

/// A path for a folder that belongs to one test; it does not exist yet.
pub fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("runs").join(name);
    if dir.exists() {
        std::fs::remove_dir_all(&dir).unwrap();
    }
    dir
}

/// Every file below a folder with its content, by relative path; the lock apart.
pub fn files(dir: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    fn walk(root: &Path, dir: &Path, found: &mut std::collections::BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    let mut found = std::collections::BTreeMap::new();
    walk(dir, dir, &mut found);
    found.remove("lock");
    found
}

/// The files whose bytes must not depend on how often a run was interrupted.
pub fn lasting_files(dir: &Path, n_steps: u64) -> std::collections::BTreeMap<String, Vec<u8>> {
    let last = format!("step-{n_steps:010}");
    // The manifest and the marker hold seconds.
    files(dir)
        .into_iter()
        .filter(|(name, _)| !name.ends_with("finished.json"))
        .filter(|(name, _)| !name.contains("step-") || (name.contains(&last) && !name.ends_with("manifest.json")))
        .collect()
}
