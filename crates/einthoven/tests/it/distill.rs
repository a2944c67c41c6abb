//! A generator of whole records and its students, of a flow that is also held to auxiliary losses: every stage resumes
//! and gives a model to draw from.

use std::path::{Path, PathBuf};

use einthoven::dataset::condition::Fact;
use einthoven::dataset::wish::Wish;
use einthoven::dataset::{Dataset, Split, npz};
use einthoven::experiment::{self, DrawRequest, RunRequest, run_model};
use einthoven::generators::diffusion_model::DiffusionModel;
use einthoven::generators::extent::Extent;
use einthoven::nn::activations::Activations;
use einthoven::run::{Progress, Silent, Stop};
use einthoven::simulate::ecgsyn::Ecgsyn;
use einthoven::{Error, Result, Seed};
use serde_json::json;

use super::toy::scratch;

/// Three items of a run or a model file by its own sampler, in two batches on the CPU.
pub fn three_items<'a>(source: &'a Path, wish: &'a Wish, out: &'a Path) -> DrawRequest<'a> {
    DrawRequest {
        source: source.to_str().expect("a path in UTF-8"),
        model: None,
        n: 3,
        wish,
        exact_tries: None,
        first: 0,
        extent: Extent::default(),
        sampler: None,
        steps: None,
        guidance: None,
        batch: 2,
        seed: 1,
        device: "cpu",
        out,
    }
}

/// Simulated records of two leads, 2.56 s at 100 Hz, of two labels by their rates.
pub fn prepared(folder: &Path, rates_bpm: [f64; 2]) {
    let mut data = Dataset::new(vec!["I".into(), "II".into()], 256, 100.0, vec!["slow".into(), "fast".into()]);
    for item in 0..8 {
        let hr_bpm = rates_bpm[item as usize % 2];
        // Four seconds at least.
        let n_beats = ((hr_bpm / 15.0) as usize).max(6);
        let ecgsyn =
            Ecgsyn { n_beats, fs_hz: 100.0, internal_fs_hz: 500.0, hr_bpm, noise_mv: 0.01, ..Ecgsyn::default() };
        let ecg = ecgsyn.simulate(Seed::new(item)).unwrap().ecg_mv;
        data.ecg.extend(ecg[30..286].iter().map(|&v| v as f32));
        data.ecg.extend(ecg[30..286].iter().map(|&v| 1.4 * v as f32));
        data.labels.extend([u8::from(item % 2 == 0), u8::from(item % 2 == 1)]);
        data.record.push(format!("r{item}"));
        data.patient.push(format!("p{item}"));
        data.split.push(if item < 6 { Split::Train } else { Split::Test });
        data.index.push(0);
    }
    data.provenance = json!({ "source": "simulated", "license": "none" });
    std::fs::create_dir_all(folder).unwrap();
    npz::write(&folder.join("data.npz"), &data).unwrap();
}

fn settings() -> Vec<String> {
    let unet = |width: usize| {
        format!(
            "{{ kind = \"unet\", width = {width}, stem_width = {width}, multipliers = [1, 2], blocks = 1, norm = \"group\", \
             groups = 4, time_features = \"sinusoidal\", time_width = 8, time_theta = 10000.0, level_attention = [2, 4], \
             middle_attention = [2, 4], self_condition = false, stem_stride = 4 }}"
        )
    };
    let set = |key: &str, value: &str| format!("recipes.time-diffusion.{key}={value}");
    let mut all = vec![
        set("network", &unet(8)),
        set("parameterization", "flow"),
        set("schedule", "rectified"),
        set("sampler", "flow-heun"),
        set("sampler_steps", "3"),
        set("distillation.student.network", &unet(4)),
        set("distillation.few_step.start", "4"),
        set("distillation.few_step.chosen", "2"),
        set("distillation.few_step.last_steps", "3"),
        set("distillation.consistency.students", "[2, 1]"),
        set("distillation.consistency.grid", "4"),
    ];
    for part in ["", "distillation.student.", "distillation.few_step.", "distillation.consistency."] {
        all.extend([set(&format!("{part}steps"), "3"), set(&format!("{part}batch"), "4")]);
    }
    all.extend(["spectral", "correlation", "simulator", "ode"].map(|loss| set(&format!("auxiliary.{loss}"), "0.1")));
    all
}

fn train(
    data: &Path,
    out: &Path,
    settings: &[String],
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<Vec<PathBuf>> {
    let request = RunRequest {
        preset: "ptbxl-small-kd",
        generator: Some("time-diffusion"),
        overrides: settings,
        data: Some(data),
        out,
        seed: 1,
        device: "cpu",
        command: String::new(),
        probe: None,
        max_memory_bytes: None,
        activations: Activations::Whole,
    };
    experiment::train(&request, stop, progress)
}

/// Stops a run in the middle of a stage.
struct StopsAt<'a> {
    stage: &'a str,
    stop: &'a Stop,
}

impl Progress for StopsAt<'_> {
    fn update(&mut self, stage: &str, done: u64, _total: u64, _note: &str) {
        if stage.contains(self.stage) && done >= 1 {
            self.stop.request(15);
        }
    }
}

#[test]
fn a_generator_and_its_students_resume_and_are_drawn_from() {
    let data = scratch("distill-data");
    prepared(&data, [60.0, 90.0]);
    let (whole, halting) = (scratch("distill-whole"), scratch("distill-halting"));
    let models = train(&data, &whole, &settings(), &Stop::never(), &mut Silent).unwrap();
    let roles: Vec<&str> =
        models.iter().map(|path| path.parent().unwrap().file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(
        roles,
        ["teacher", "student", "few-step-02", "few-step-01", "consistency-02", "consistency-01"],
        "{models:?}"
    );
    // Stopped in several stages, it ends with the same models.
    for stage in ["teacher", "few-step-01", "consistency-02"] {
        let stop = Stop::never();
        let halted = train(&data, &halting, &settings(), &stop, &mut StopsAt { stage, stop: &stop });
        assert!(matches!(halted, Err(Error::Interrupted { .. })), "{stage}: {halted:?}");
    }
    let resumed = train(&data, &halting, &settings(), &Stop::never(), &mut Silent).unwrap();
    for (a, b) in models.iter().zip(&resumed) {
        assert_eq!(std::fs::read(a).unwrap(), std::fs::read(b).unwrap(), "{}", a.display());
    }

    assert_eq!(run_model(&whole, None).unwrap(), models[2]);
    let device = experiment::device("cpu").unwrap();
    let card = |path: &Path| DiffusionModel::load(path, &device).unwrap().card().clone();
    // The decoder of beats, which was trained along, is in no model; a student of few steps has the width of its teacher.
    assert_eq!(card(&models[2]).network, card(&models[1]).network);
    assert_ne!(card(&models[1]).network, card(&models[0]).network);
    // Teacher and students are told what was measured on their records.
    let wish = Wish { labels: vec!["fast".into()], numbers: vec![(Fact::Hr, [60.0, 90.0])], ..Wish::default() };
    for model in &models {
        assert!(card(model).network.told().facts.contains(&Fact::Hr), "{}", model.display());
    }
    for (role, sampler, steps, calls) in [
        (None, "ddim", 2, 2),
        (Some("teacher"), "flow-heun", 3, 5),
        (Some("student"), "flow-heun", 3, 5),
        (Some("few-step-01"), "ddim", 1, 1),
        (Some("consistency-01"), "ddim", 1, 1),
    ] {
        let out = scratch("distill-drawn.npz");
        let request = DrawRequest { model: role, ..three_items(&whole, &wish, &out) };
        let drawn = experiment::sample(&request, &Stop::never(), &mut Silent).unwrap();
        let used = &drawn.provenance["sampler"];
        assert_eq!((&used["name"], &used["steps"]), (&sampler.into(), &steps.into()), "{role:?}");
        assert_eq!(used["denoiser_calls"], calls, "{role:?}");
        assert_eq!((drawn.n_items, drawn.sig_len), (3, 256));
        let _ = std::fs::remove_file(&out);
    }
}

#[test]
fn students_that_cannot_be_are_refused_before_any_work() {
    let (data, out) = (scratch("no-data"), scratch("no-run"));
    let set = |key: &str, value: &str| format!("recipes.time-diffusion.{key}={value}");
    for (setting, words) in [
        (set("parameterization", "noise"), "halving needs"),
        (set("schedule", "cosine"), "halving needs"),
        (set("distillation.few_step.chosen", "3"), "distillation.few_step.chosen"),
        (set("distillation.consistency.students", "[3]"), "distillation.consistency.students"),
        (set("distillation.consistency.students", "[1, 2]"), "falling"),
        (set("distillation.student.lambda", "2.0"), "0 to 1"),
        (set("auxiliary.ode", "-1.0"), "auxiliary.ode"),
        (set("auxiliary.mell", "1.0"), "mell"),
    ] {
        let refused = train(&data, &out, std::slice::from_ref(&setting), &Stop::never(), &mut Silent);
        let error = refused.expect_err(&setting);
        assert!(error.exit_code() == 2 && error.to_string().contains(words), "{setting}: {error}");
    }
}
