//! Golden test: every network, trained and drawn from by the commands' own calls, on the CPU and on an accelerator.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use einthoven::classifiers::beat_cnn::{BeatCnn, BeatCnnConfig};
use einthoven::classifiers::cnn1d::Cnn1dConfig;
use einthoven::classifiers::{Classifier, Training};
use einthoven::dataset::wish::Wish;
use einthoven::dataset::{Dataset, Split, npz};
use einthoven::experiment::{self, DrawRequest, GENERATION_PRESETS, RunRequest, generation};
use einthoven::generators;
use einthoven::nn::activations::Activations;
use einthoven::nn::adamw::AdamWConfig;
use einthoven::nn::device::device;
use einthoven::run::{Checkpoint, CheckpointStore, Run, RunInfo, Silent, Snapshot, Stop, Tensors};
use einthoven::seed::Seed;

use super::super::delineation::small_data;
use super::super::distill::{prepared, three_items};
use super::super::folder::TempFolder;
use super::accelerators;

/// Largest relative difference: single precision with sums in another order stays far below, matrix units that round
/// factors to ten bits just so.
const TOLERANCE: f64 = 1e-3;

/// A network at its smallest.
struct Small {
    /// Preset that trains it.
    preset: &'static str,
    /// Generator, for presets that have several; the keys below are then those of its recipe.
    generator: Option<&'static str>,
    /// Prefixes of its trainings.
    trainings: &'static [&'static str],
    /// `key=value`.
    settings: &'static [&'static str],
}

impl Small {
    const fn of(preset: &'static str, trainings: &'static [&'static str], settings: &'static [&'static str]) -> Small {
        Small { preset, generator: None, trainings, settings }
    }

    /// A generator of whole records that is trained at once.
    const fn records(generator: &'static str, settings: &'static [&'static str]) -> Small {
        Small::staged(generator, &[""], settings)
    }

    const fn staged(
        generator: &'static str,
        trainings: &'static [&'static str],
        settings: &'static [&'static str],
    ) -> Small {
        Small { preset: "ptbxl-small", generator: Some(generator), trainings, settings }
    }

    fn name(&self) -> &'static str {
        self.generator.unwrap_or(self.preset)
    }

    fn settings(&self) -> Vec<String> {
        let prefix = self.generator.map_or(String::new(), |generator| format!("recipes.{generator}."));
        // An epsilon far above rounding: a gradient that is zero but for that moves no weight.
        let of_each = ["steps=2", "batch=2", "optimizer={ epsilon = 1e-4 }"];
        let of_trainings =
            self.trainings.iter().flat_map(|part| of_each.map(|setting| format!("{prefix}{part}{setting}")));
        let own = self.settings.iter().map(|setting| format!("{prefix}{setting}"));
        of_trainings.chain(own).collect()
    }
}

/// Every network that `train` trains.
const NETWORKS: &[Small] = &[
    Small::of(
        "quickstart",
        &["teacher.", "student.", "few_step."],
        &[
            "data.simulated_patients=20",
            "data.simulated_beats_per_patient=20",
            "teacher.network={ width = 8, multipliers = [1, 2], blocks = 1, stem_stride = 8 }",
            "teacher.schedule_steps=8",
            // At stride 1 the last convolution has one channel.
            "student.network={ width = 8, multipliers = [1], blocks = 1, stem_stride = 1 }",
            "few_step.start=2",
            "few_step.chosen=1",
            "few_step.last_steps=2",
        ],
    ),
    Small::records(
        "time-diffusion",
        &["network={ kind = \"unet\", width = 4, stem_width = 4, multipliers = [1, 2], blocks = 1, norm = \"group\", \
           groups = 2, time_features = \"sinusoidal\", time_width = 4, time_theta = 10000.0, level_attention = [2, 4], \
           middle_attention = [2, 4], self_condition = false, stem_stride = 4, beats = true, waves = true }"],
    ),
    Small::records(
        "diffwave",
        &[
            "network={ kind = \"diffwave\", width = 4, layers = 3, dilation_cycle = 2, steps = 20, label_width = 4 }",
            SAMPLER,
        ],
    ),
    Small::records(
        "sssd-ecg",
        &["network={ kind = \"sssd\", width = 4, skip_width = 4, blocks = 2, step_width = [8, 8, 8], length = 256, \
           state = 4, is_bidirectional = true, has_norm = true, label_width = 4, state_space = \"diagonal\" }"],
    ),
    Small::records(
        "sssd-ecg",
        &["network={ kind = \"sssd\", width = 4, skip_width = 4, blocks = 2, step_width = [8, 8, 8], length = 256, \
           state = 4, is_bidirectional = true, has_norm = true, label_width = 4, state_space = \"frozen\" }"],
    ),
    Small::records(
        "dit",
        &[
            "network={ kind = \"dit\", patch = 8, width = 8, depth = 1, heads = 2, hidden_times = 2, time_width = 8 }",
            SAMPLER,
        ],
    ),
    Small::staged(
        "latent-diffusion",
        &["", "latent."],
        &[
            "network={ kind = \"dit\", patch = 4, width = 8, depth = 1, heads = 2, hidden_times = 2, time_width = 8 }",
            "latent.autoencoder={ width = 4, multipliers = [1, 2], latent_channels = 2, groups = 2 }",
            SAMPLER,
        ],
    ),
    Small::records(
        "diffusion-ts",
        &["network={ kind = \"diffusion-ts\", length = 256, encoder_layers = 1, decoder_layers = 1, width = 8, \
           heads = 2, hidden_times = 2, season_kernel = 3, gelu = \"exact\", has_unit_seasons = true }"],
    ),
    Small::records(
        "timediffusion",
        &[
            "network={ kind = \"temporal-blocks\", width = 4, max_degree = 2, time_width = 4, embedding_width = 4 }",
            SAMPLER,
        ],
    ),
    Small::staged(
        "timevqvae",
        &["stage1.", "stage2."],
        &[
            "vqvae={ form = \"release\", n_fft = 8, first_width = 4, width = 8, encoder_blocks = 1, decoder_blocks = 1, \
             target_widths = [16, 32], codes = [6, 6], code_width = 4, starts_by_means = true }",
            "prior={ embedding = 4, transformers = [ \
             { width = 8, layers = 1, heads = 1, ff_multiple = 1, has_rms_norm = true }, \
             { width = 8, layers = 1, heads = 1, ff_multiple = 1, has_rms_norm = true }] }",
            "decoding.steps=[2, 1]",
        ],
    ),
    Small::records(
        "pulse2pulse",
        &["network={ kind = \"pulse2pulse\", width = 10, strides = [2, 2, 2, 2, 2, 1] }", CRITIC, "critic_steps=1"],
    ),
    Small::records(
        "cond-pulse2pulse",
        &["network={ kind = \"cond-pulse2pulse\", width = 10, strides = [2, 2, 2, 2, 2] }", CRITIC, "critic_steps=1"],
    ),
    Small::records(
        "wavegan-star",
        &[
            "network={ kind = \"wavegan-star\", width = 10, latent = 4, strides = [2, 2, 2, 2, 2, 1] }",
            CRITIC,
            "critic_steps=1",
        ],
    ),
    Small::records(
        "cond-wavegan-star",
        &[
            "network={ kind = \"cond-wavegan-star\", width = 10, latent = 4, strides = [2, 2, 2, 2, 2] }",
            CRITIC,
            "critic_steps=1",
        ],
    ),
    Small::of("delnet", &[""], &["lessons.points=512", "network={ widths = [4, 6], kernel = 3, stem_stride = 2 }"]),
];

const SAMPLER: &str = "sampler_steps=2";
const CRITIC: &str = "critic={ width = 2, layers = 3, shift = 1, slope = 0.2 }";

/// What a device computed, by name: losses, first moments and weights of each training, and drawn records.
type Findings = BTreeMap<String, Tensors>;

impl Small {
    /// Two steps of each training of the network on a device, and its model.
    fn train(&self, data: &Path, out: &Path, device: &str) -> einthoven::Result<(Findings, PathBuf)> {
        let request = RunRequest {
            preset: self.preset,
            generator: self.generator,
            overrides: &self.settings(),
            data: (self.preset != "quickstart").then_some(data),
            out,
            seed: 1,
            device,
            command: String::new(),
            probe: None,
            max_memory_bytes: None,
            activations: Activations::Whole,
        };
        let models = experiment::train(&request, &Stop::never(), &mut Silent)?;
        let mut found = Findings::new();
        for stage in std::fs::read_dir(out.join("checkpoint")).expect("a run") {
            let stage = stage.expect("an entry").path();
            let Some(loaded) = CheckpointStore::at(stage.clone()).load_latest()? else { continue };
            let name = stage.file_name().expect("a name").to_string_lossy().into_owned();
            found.extend(of_training(&name, loaded.checkpoint));
        }
        Ok((found, models.into_iter().next_back().expect("a model")))
    }

    /// Trains it on the CPU and on a device, draws from the first of the two models on both, and says where they differ.
    fn compare(&self, data: &Path, out: &Path, device: &str) -> einthoven::Result<Vec<String>> {
        let (mut cpu, model) = self.train(data, &out.join("cpu"), "cpu")?;
        let (mut other, _) = self.train(data, &out.join("other"), device)?;
        // The delineation network draws nothing.
        if self.preset != "delnet" {
            cpu.insert("drawn".into(), drawn(&model, &out.join("cpu.npz"), "cpu")?);
            other.insert("drawn".into(), drawn(&model, &out.join("other.npz"), device)?);
        }
        Ok(compare(device, self.name(), &cpu, &other))
    }
}

fn of_training(stage: &str, checkpoint: Checkpoint) -> [(String, Tensors); 3] {
    let loss = checkpoint.loop_state["last_loss"].as_f64().expect("a loss") as f32;
    let loss = Tensors::from([("loss".to_string(), (vec![1], vec![loss]))]);
    let Snapshot { weights, first_moment, .. } = checkpoint.snapshot;
    [("loss", loss), ("gradient", first_moment), ("weights", weights)].map(|(what, t)| (format!("{stage}: {what}"), t))
}

/// Records of a model, drawn on a device as `sample --device` draws them.
fn drawn(model: &Path, out: &Path, device: &str) -> einthoven::Result<Tensors> {
    let labels = generators::open(model, &experiment::device("cpu")?)?.axes().label_names;
    let wish = Wish { labels: labels.into_iter().next_back().into_iter().collect(), ..Wish::default() };
    let request = DrawRequest { device, ..three_items(model, &wish, out) };
    experiment::sample(&request, &Stop::never(), &mut Silent)?;
    let ecg = npz::read(out)?.ecg;
    Ok([("ecg".to_string(), (vec![ecg.len()], ecg))].into())
}

/// The array that differs most: norm of the difference over its own, or over a hundredth of that of all arrays where it is
/// smaller than that. Sums that cancel leave the rounding of their terms.
fn worst(a: &Tensors, b: &Tensors) -> (String, f64) {
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    let least = 1e-2 * norm(&mut a.values().flat_map(|(_, values)| values.iter().copied()));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    let apart = a.iter().map(|(name, (_, values))| {
        let difference = norm(&mut values.iter().zip(&b[name].1).map(|(a, b)| a - b));
        (name.clone(), difference / norm(&mut values.iter().copied()).max(least))
    });
    apart.max_by(|a, b| a.1.total_cmp(&b.1)).expect("an array")
}

/// The beat classifier, trained by its own call: two steps on a device, and probabilities of its training part.
fn classifier(data: &Dataset, out: &Path, name: &str) -> einthoven::Result<Findings> {
    let info = RunInfo { preset: "classifier".into(), device: name.into(), ..RunInfo::default() };
    let stage = Run::create(out, &info)?.stage("classifier")?;
    let config = BeatCnnConfig {
        network: Cnn1dConfig { channels: vec![4, 4], kernels: vec![5, 3], ..Cnn1dConfig::default() },
        optimizer: AdamWConfig { epsilon: 1e-4, ..AdamWConfig::default() },
        steps: 2,
        batch: 4,
        class_weights: true,
    };
    let training = Training {
        stage: &stage,
        stop: &Stop::never(),
        progress: &mut Silent,
        device: &device(name)?,
        seed: Seed::new(1),
    };
    let model = BeatCnn::train(&config, data, training)?;
    let checkpoint = stage.checkpoints().load_latest()?.expect("a checkpoint").checkpoint;
    let mut found = Findings::from(of_training("classifier", checkpoint));
    let probabilities: Vec<f32> = model.predict(data)?.into_iter().map(|p| p as f32).collect();
    found.insert("predictions".into(), [("p".to_string(), (vec![probabilities.len()], probabilities))].into());
    Ok(found)
}

/// Where two devices differ in what they found, with a line for each part.
fn compare(device: &str, network: &str, cpu: &Findings, other: &Findings) -> Vec<String> {
    assert_eq!(cpu.keys().collect::<Vec<_>>(), other.keys().collect::<Vec<_>>(), "{network}");
    let line = |(what, expected): (&String, &Tensors)| {
        let (name, apart) = worst(expected, &other[what]);
        let line = format!("{device}: {network}: {what} differs by {apart:.1e} (most in {name})");
        eprintln!("{line}");
        (!(apart < TOLERANCE)).then_some(line)
    };
    cpu.iter().filter_map(line).collect()
}

#[test]
fn every_network_agrees_with_the_cpu() {
    let folder = TempFolder::new("networks");
    let records = folder.path().join("records");
    // Fast enough for some intervals of a rhythm in a record.
    prepared(&records, [100.0, 150.0]);
    let part = npz::read(&records.join("data.npz")).unwrap().part(Split::Train);
    let marked = small_data(&folder);
    for name in accelerators() {
        let at = |what: &str| folder.path().join(format!("{name}-{what}"));
        let mut wrong = Vec::new();
        for (k, network) in NETWORKS.iter().enumerate() {
            let Some(data) = (if network.preset == "delnet" { marked.as_ref() } else { Some(&records) }) else {
                continue;
            };
            match network.compare(data, &at(&k.to_string()), name) {
                Ok(apart) => wrong.extend(apart),
                Err(error) => wrong.push(format!("{name}: {}: {error}", network.name())),
            }
        }
        let [cpu, other] = ["cpu", name].map(|on| classifier(&part, &at(&format!("classifier-{on}")), on).unwrap());
        wrong.extend(compare(name, "beat-cnn", &cpu, &other));
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// A generator that a preset trains and that is not in the list would go unnoticed.
#[test]
fn every_recipe_is_in_the_list() {
    for preset in GENERATION_PRESETS {
        for generator in generation::resolve(preset.name, None, &[]).unwrap().recipes.keys() {
            let is_listed = NETWORKS.iter().any(|network| network.generator == Some(generator.as_str()));
            assert!(is_listed, "{generator} of {} is compared on no device", preset.name);
        }
    }
}
