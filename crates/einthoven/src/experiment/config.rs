//! What a beat experiment is: the schema of its presets, with every default and every check.

use serde::{Deserialize, Serialize};

use crate::classifiers::beat_cnn::BeatCnnConfig;
use crate::config::{Validate, check};
use crate::dataset::catalog::Database;
use crate::dataset::label::AAMI;
use crate::dataset::mix::Plan;
use crate::diffusion::{Parameterization, sampler, schedule};
use crate::error::Result;
use crate::nn::adamw::AdamWConfig;
use crate::nn::unet1d::Unet1dConfig;
use crate::simulate::beats::BeatCohort;

/// One experiment of the `kd-dgn` family.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Title of the report.
    pub title: String,
    /// Expected cost, for `--dry-run` and for the question before a costly run.
    pub cost: Cost,
    /// The beats.
    pub data: DataConfig,
    /// The heavy generator.
    pub teacher: TeacherConfig,
    /// The light generator.
    pub student: StudentConfig,
    /// The generator of few steps.
    pub few_step: FewStepConfig,
    /// What is drawn.
    pub synthesis: SynthesisConfig,
    /// What is trained on it.
    pub classifier: ClassifierConfig,
    /// How generators are judged.
    pub quality: QualityConfig,
}

/// What a run is expected to take.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Minutes on two cores.
    pub cpu_minutes: f64,
    /// Peak memory.
    pub memory_mib: u64,
    /// What the run folder grows to.
    pub disk_mib: u64,
}

/// Where the beats come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// `mitdb` (needs a folder) or `simulated` (needs nothing).
    pub source: String,
    /// Label set: `aami` or `nine-symbol`.
    pub labels: String,
    /// High-pass of the whole record before beats are cut, Hz; 0 for none.
    pub highpass_hz: f64,
    /// Simulated patients; only for `simulated`.
    #[serde(default)]
    pub simulated_patients: usize,
    /// Beats of each simulated patient.
    #[serde(default)]
    pub simulated_beats_per_patient: usize,
    /// Classes of the headline average.
    pub headline_classes: Vec<String>,
}

impl DataConfig {
    /// A database as it is, with the labels of the AAMI.
    ///
    /// The simulated cohort has the size that it has by default.
    pub fn of_database(database: &dyn Database) -> DataConfig {
        let cohort = BeatCohort::default();
        DataConfig {
            source: database.name().into(),
            labels: AAMI.name.into(),
            highpass_hz: 0.0,
            simulated_patients: cohort.n_patients,
            simulated_beats_per_patient: cohort.beats_per_patient,
            headline_classes: Vec::new(),
        }
    }
}

/// Shape of a beat U-Net in the terms that an experiment varies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Channels at the first level.
    pub width: usize,
    /// Channels of each level as multiples of the width.
    pub multipliers: Vec<usize>,
    /// Residual blocks of each level.
    pub blocks: usize,
    /// Points in time that the stem merges into one.
    pub stem_stride: usize,
}

impl NetworkConfig {
    /// The network for beats of one or more leads.
    pub fn unet(&self, n_leads: usize, n_classes: usize) -> Unet1dConfig {
        let mut config = Unet1dConfig::dgn(self.width, &self.multipliers, n_classes);
        config.blocks = self.blocks;
        config.stem_stride = self.stem_stride;
        config.channels = n_leads;
        config.out_channels = n_leads;
        config
    }
}

/// Training of the teacher.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherConfig {
    /// Its network.
    pub network: NetworkConfig,
    /// What the network puts out: `noise`, `v`, `x0` or `flow`.
    pub parameterization: String,
    /// Noise schedule; `angle` and `rectified` are continuous.
    pub schedule: String,
    /// Steps of a discrete schedule, and of the slow sampler that students are compared with.
    pub schedule_steps: usize,
    /// Share of labels hidden in training.
    pub label_dropout: f64,
    /// Exponent of the class shares in a batch: 1 as in the data, 0 all classes alike.
    pub class_exponent: f64,
    /// Optimizer steps.
    pub steps: u64,
    /// Beats in a batch.
    pub batch: usize,
    /// Optimizer.
    pub optimizer: AdamWConfig,
}

/// Training of the student and of its control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentConfig {
    /// Its network.
    pub network: NetworkConfig,
    /// Weight of the teacher's output against the data's target.
    pub lambda: f64,
    /// Optimizer steps; the control takes the same.
    pub steps: u64,
    /// Beats in a batch.
    pub batch: usize,
    /// Optimizer.
    pub optimizer: AdamWConfig,
}

/// Progressive halving of the student's steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FewStepConfig {
    /// Steps of the grid that is halved first; a power of two.
    pub start: usize,
    /// Guidance folded into the first stage.
    pub guidance: f64,
    /// Optimizer steps of each halving down to 8.
    pub steps: u64,
    /// Optimizer steps of each of the last three halvings, to 4, 2 and 1.
    pub last_steps: u64,
    /// Beats in a batch.
    pub batch: usize,
    /// Optimizer.
    pub optimizer: AdamWConfig,
    /// Which of the students is put into the comparison as "few-step".
    pub chosen: usize,
}

impl FewStepConfig {
    /// Refuses a chosen student that halving does not pass through, named below `key`.
    pub(super) fn check_chosen(&self, key: &str) -> Result<()> {
        let students = crate::diffusion::distill::halvings(self.start)?;
        let is_one = students.contains(&self.chosen);
        check(&format!("{key}.chosen"), is_one, self.chosen, &format!("one of {students:?}"))
    }
}

/// What is drawn for MIT-BIH-PLUS.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SynthesisConfig {
    /// Mixing plan by name.
    pub plan: String,
    /// Most synthetic beats of one class.
    pub cap: usize,
    /// Fast sampler of teacher and student.
    pub sampler: String,
    /// Its denoiser calls.
    pub steps: usize,
    /// Guidance weight of teacher and student.
    pub guidance: f64,
    /// Beats drawn at once.
    pub batch: usize,
}

impl SynthesisConfig {
    /// The plan that enlarges the training part.
    ///
    /// # Errors
    /// [`crate::Error::Unknown`] for a plan that does not exist.
    pub fn plan(&self) -> Result<Plan> {
        Plan::parse(&self.plan, self.cap)
    }
}

/// Training of the classifiers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierConfig {
    /// The classifier and its training, the same in every row.
    pub model: BeatCnnConfig,
    /// Rows of the comparison by name.
    pub rows: Vec<String>,
    /// Splits by name.
    pub splits: Vec<String>,
    /// Training seeds.
    pub seeds: usize,
    /// Bootstrap replicates of every interval.
    pub replicates: usize,
}

/// How generators are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QualityConfig {
    /// Beats of each class that are drawn for SNR and the other signal measures.
    pub beats_per_class: usize,
    /// Margin within which two mean SNR count as equal, dB.
    pub snr_margin_db: f64,
    /// Beats timed, in one batch.
    pub timed_beats: usize,
    /// Timed repetitions of fast samplers, interleaved.
    pub timed_runs: usize,
    /// Timed repetitions of the slow sampler.
    pub slow_runs: usize,
}

/// Rows of the classifier comparison: name, label in tables, whether it is a control.
pub const ROWS: &[(&str, &str, bool)] = &[
    ("real", "real only", false),
    ("class-weights", "real, class weights", true),
    ("oversampled", "real, minority beats copied", true),
    ("classical", "real + classical augmentation", true),
    ("dgn", "real + DGN", false),
    ("kd-dgn", "real + KD-DGN", false),
    ("few-step", "real + few-step KD-DGN", false),
    ("synthetic", "synthetic only (KD-DGN)", false),
    ("real-rr", "real only, with RR intervals", true),
    ("kd-dgn-rr", "real + KD-DGN, with RR intervals", true),
    ("shuffled", "real, labels shuffled", true),
];

impl Validate for Experiment {
    fn validate(&self) -> Result<()> {
        check(
            "data.source",
            ["mitdb", "simulated"].contains(&self.data.source.as_str()),
            &self.data.source,
            "mitdb or simulated",
        )?;
        crate::dataset::label::label_set(&self.data.labels)?;
        check(
            "data.highpass_hz",
            (0.0..10.0).contains(&self.data.highpass_hz),
            self.data.highpass_hz,
            "0 to below 10",
        )?;
        if self.data.source == "simulated" {
            check(
                "data.simulated_patients",
                self.data.simulated_patients >= 20,
                self.data.simulated_patients,
                "at least 20",
            )?;
            check(
                "data.simulated_beats_per_patient",
                self.data.simulated_beats_per_patient > 0,
                self.data.simulated_beats_per_patient,
                "at least 1",
            )?;
        }
        Parameterization::find(&self.teacher.parameterization)?;
        schedule::find(&self.teacher.schedule)?;
        sampler::find(&self.synthesis.sampler)?;
        self.synthesis.plan()?;
        for (key, network) in [("teacher", &self.teacher.network), ("student", &self.student.network)] {
            check(&format!("{key}.network.blocks"), network.blocks > 0, network.blocks, "at least 1")?;
            network.unet(1, 5).validate()?;
        }
        for (key, share) in
            [("teacher.label_dropout", self.teacher.label_dropout), ("student.lambda", self.student.lambda)]
        {
            check(key, (0.0..=1.0).contains(&share), share, "0 to 1")?;
        }
        check(
            "teacher.class_exponent",
            (0.0..=1.0).contains(&self.teacher.class_exponent),
            self.teacher.class_exponent,
            "0 to 1",
        )?;
        for (key, optimizer) in [
            ("teacher.optimizer", &self.teacher.optimizer),
            ("student.optimizer", &self.student.optimizer),
            ("few_step.optimizer", &self.few_step.optimizer),
            ("classifier.model.optimizer", &self.classifier.model.optimizer),
        ] {
            optimizer.validate(|field| format!("{key}.{field}"))?;
        }
        for (key, n) in [
            ("teacher.steps", self.teacher.steps),
            ("teacher.batch", self.teacher.batch as u64),
            ("teacher.schedule_steps", self.teacher.schedule_steps as u64),
            ("student.steps", self.student.steps),
            ("student.batch", self.student.batch as u64),
            ("few_step.steps", self.few_step.steps),
            ("few_step.last_steps", self.few_step.last_steps),
            ("few_step.batch", self.few_step.batch as u64),
            ("synthesis.steps", self.synthesis.steps as u64),
            ("synthesis.batch", self.synthesis.batch as u64),
            ("classifier.seeds", self.classifier.seeds as u64),
            ("classifier.model.steps", self.classifier.model.steps),
            ("quality.beats_per_class", self.quality.beats_per_class as u64),
            ("quality.timed_beats", self.quality.timed_beats as u64),
            ("quality.timed_runs", self.quality.timed_runs as u64),
            ("quality.slow_runs", self.quality.slow_runs as u64),
        ] {
            check(key, (1..=100_000_000).contains(&n), n, "1 to 100000000")?;
        }
        self.few_step.check_chosen("few_step")?;
        check_halving("few_step", &self.teacher.parameterization, &self.teacher.schedule)?;
        for row in &self.classifier.rows {
            check("classifier.rows", ROWS.iter().any(|(name, _, _)| name == row), row, &known_rows())?;
        }
        check(
            "classifier.rows",
            self.classifier.rows.first().is_some_and(|row| row == "real"),
            "another first row",
            "\"real\" first: every row is compared with it",
        )?;
        for split in &self.classifier.splits {
            crate::dataset::split::Scheme::parse(split)?;
        }
        Ok(())
    }
}

/// Refuses what no student of few steps can learn from.
pub(super) fn check_halving(key: &str, parameterization: &str, schedule: &str) -> Result<()> {
    check(
        key,
        parameterization != "noise" && ["angle", "rectified"].contains(&schedule),
        format!("{parameterization} prediction on the {schedule} schedule"),
        "v, x0 or flow prediction on the schedule angle or rectified, which halving needs",
    )
}

fn known_rows() -> String {
    ROWS.iter().map(|(name, _, _)| *name).collect::<Vec<_>>().join(", ")
}
