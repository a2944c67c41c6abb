//! The training loop, for anything that can take a step.
//!
//! [`train`] owns everything around the step: checkpoints, exact resume, the metrics log, batches
//! with a loss that is not finite, signals, the time limit. What is trained implements [`Trainee`]
//! and derives the data order and the noise of step k from the seed and k alone; then a training
//! that was stopped anywhere ends with the same weights and the same log, byte for byte.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::RunStage;
use super::checkpoint::{Checkpoint, Snapshot};
use super::log::number;
use super::progress::Progress;
use super::stop::{Stop, StopReason};
use crate::error::{Error, Result};

/// Skipped batches in a row at which training stops.
const MAX_SKIPPED_IN_A_ROW: u64 = 5;
/// Skipped batches in all at which training stops: one in a hundred steps, and at least this many.
const MIN_SKIPPED: u64 = 5;

/// Something that learns step by step.
pub trait Trainee {
    /// Takes step `step`, counted from 0.
    ///
    /// Everything random in it must follow from the run's seed and `step`. If the loss or the
    /// gradient norm is not finite, the weights stay as they are and the outcome is
    /// [`Outcome::NonFinite`].
    ///
    /// # Errors
    /// Whatever keeps the step from being taken; training ends with it.
    fn step(&mut self, step: u64) -> Result<StepReport>;

    /// Everything that later steps depend on.
    ///
    /// # Errors
    /// Whatever keeps the state from being read.
    fn snapshot(&self) -> Result<Snapshot>;

    /// Goes back to a snapshot.
    ///
    /// # Errors
    /// [`Error::Data`] if names or shapes are not this trainee's.
    fn restore(&mut self, snapshot: &Snapshot) -> Result<()>;

    /// Validation score, lower is better; asked at every planned checkpoint.
    ///
    /// # Errors
    /// Whatever keeps the score from being computed.
    fn score(&mut self) -> Result<Option<f64>> {
        Ok(None)
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Outcome {
    /// The weights were updated.
    #[default]
    Applied,
    /// Loss or gradient were NaN or infinite, and the weights were left alone.
    NonFinite,
}

/// What a step says about itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepReport {
    /// Whether the weights were updated.
    pub outcome: Outcome,
    /// Loss of the batch.
    pub loss: f64,
    /// Norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Learning rate of this step.
    pub lr: f64,
    /// Which items the batch held, for the diagnostic file.
    pub items: Vec<u64>,
    /// Further numbers for the metrics log, such as parts of the loss.
    pub extra: Vec<(&'static str, f64)>,
}

/// How often to write a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cadence {
    /// After this many steps.
    Steps(u64),
    /// After this many seconds.
    Seconds(f64),
}

/// Length and rhythm of a training.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrainPlan {
    /// Number of steps in all.
    pub n_steps: u64,
    /// When to write a checkpoint; one is always written at the end and on a stop.
    pub checkpoint_every: Cadence,
    /// Steps per line of the metrics log; the loss of a line is the mean over them.
    pub log_every: u64,
}

/// What a finished training says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainSummary {
    /// Steps taken, skipped ones included.
    pub n_steps: u64,
    /// Batches skipped because the loss or the gradient was not finite.
    pub n_skipped: u64,
    /// Mean loss over the last line of the log; `None` if every batch in it was skipped.
    pub last_loss: Option<f64>,
    /// Seconds of training, over all interruptions.
    pub seconds: f64,
}

/// Counters of the loop; they are part of every checkpoint.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct LoopState {
    n_skipped: u64,
    n_skipped_in_a_row: u64,
    loss_sum: f64,
    n_losses: u64,
    last_loss: Option<f64>,
}

/// Trains to the end of the plan, from the newest checkpoint if there is one.
///
/// A stage that is already finished is not trained again; the trainee then gets its final state.
///
/// # Errors
/// [`Error::Interrupted`] and [`Error::Limit`] after a checkpoint, with how to resume;
/// [`Error::Diverged`] when five batches in a row, or one in a hundred steps (five at least), had a
/// loss that is not finite; [`Error::Io`] when a checkpoint or log cannot be written.
pub fn train(
    trainee: &mut dyn Trainee,
    plan: &TrainPlan,
    stage: &RunStage,
    stop: &Stop,
    progress: &mut dyn Progress,
) -> Result<TrainSummary> {
    if plan.n_steps == 0 || plan.log_every == 0 || plan.checkpoint_every == Cadence::Steps(0) {
        return Err(Error::config("training", "found a number of steps of 0, expected at least 1"));
    }
    let training = Training::begin(trainee, plan, stage, stop, progress)?;
    if let Some(summary) = stage.finished::<TrainSummary>()?
        && training.done == plan.n_steps
    {
        return Ok(summary);
    }
    training.run()
}

struct Training<'a> {
    trainee: &'a mut dyn Trainee,
    plan: &'a TrainPlan,
    stage: &'a RunStage,
    stop: &'a Stop,
    progress: &'a mut dyn Progress,
    state: LoopState,
    /// Finished steps.
    done: u64,
    /// Finished steps at the newest checkpoint.
    saved: Option<u64>,
    saved_at: Instant,
    /// Seconds of earlier processes.
    earlier_seconds: f64,
    start: Instant,
    step_time: Duration,
    save_time: Duration,
}

impl<'a> Training<'a> {
    fn begin(
        trainee: &'a mut dyn Trainee,
        plan: &'a TrainPlan,
        stage: &'a RunStage,
        stop: &'a Stop,
        progress: &'a mut dyn Progress,
    ) -> Result<Training<'a>> {
        let mut training = Training {
            trainee,
            plan,
            stage,
            stop,
            progress,
            state: LoopState::default(),
            done: 0,
            saved: None,
            saved_at: Instant::now(),
            earlier_seconds: 0.0,
            start: Instant::now(),
            step_time: Duration::ZERO,
            save_time: Duration::ZERO,
        };
        if let Some(loaded) = stage.checkpoints().load_latest()? {
            for warning in &loaded.warnings {
                training.progress.warn(warning);
            }
            let checkpoint = loaded.checkpoint;
            training.state = serde_json::from_value(checkpoint.loop_state).map_err(|error| {
                Error::data(
                    stage.checkpoints().path(checkpoint.step).display().to_string(),
                    format!("training state: {error}"),
                )
            })?;
            training.trainee.restore(&checkpoint.snapshot)?;
            training.done = checkpoint.step;
            training.saved = Some(checkpoint.step);
            training.earlier_seconds = checkpoint.seconds;
        }
        Ok(training)
    }

    fn run(mut self) -> Result<TrainSummary> {
        for log in [self.stage.metrics(), self.stage.skipped()] {
            log.rewind(self.stage.name(), self.done)?;
        }
        if self.stop.has_time_limit() && self.saved.is_none() {
            // Tells how long a checkpoint takes, which the limit has to leave room for.
            self.save(None)?;
        }
        while self.done < self.plan.n_steps {
            if let Some(reason) = self.stop.reason(self.step_time + self.save_time.mul_f64(1.5)) {
                return Err(self.stopped(reason)?);
            }
            self.step()?;
            if self.done < self.plan.n_steps && self.is_checkpoint_due() {
                let score = self.trainee.score()?;
                self.save(score)?;
            }
        }
        if self.saved != Some(self.plan.n_steps) {
            let score = self.trainee.score()?;
            self.save(score)?;
        }
        let summary = TrainSummary {
            n_steps: self.done,
            n_skipped: self.state.n_skipped,
            last_loss: self.state.last_loss,
            seconds: self.seconds(),
        };
        self.stage.finish(&summary)?;
        Ok(summary)
    }

    fn step(&mut self) -> Result<()> {
        let start = Instant::now();
        let step = self.done;
        let report = self.trainee.step(step)?;
        self.done += 1;
        // The longest step of late, so that one slow start does not shorten the whole training.
        self.step_time = start.elapsed().max(self.step_time.mul_f64(0.95));
        match report.outcome {
            Outcome::Applied if report.loss.is_finite() => {
                self.state.n_skipped_in_a_row = 0;
                self.state.loss_sum += report.loss;
                self.state.n_losses += 1;
            }
            // An update with a loss that is not finite has spoiled the weights; there is no way on.
            Outcome::Applied => return Err(Error::Diverged { step, loss: report.loss }),
            Outcome::NonFinite => self.note_skipped(&report)?,
        }
        if self.done.is_multiple_of(self.plan.log_every) || self.done == self.plan.n_steps {
            self.log(&report)?;
        }
        let note = format!("loss {:.4}", report.loss);
        self.progress.update(self.stage.name(), self.done, self.plan.n_steps, &note);
        Ok(())
    }

    fn note_skipped(&mut self, report: &StepReport) -> Result<()> {
        self.state.n_skipped += 1;
        self.state.n_skipped_in_a_row += 1;
        let values = [
            ("loss", number(report.loss)),
            ("grad_norm", number(report.grad_norm)),
            ("lr", number(report.lr)),
            ("items", Value::from(report.items.clone())),
        ];
        self.stage.skipped().append(self.stage.name(), self.done, &values)?;
        let limit = self.plan.n_steps.div_ceil(100).max(MIN_SKIPPED);
        if self.state.n_skipped_in_a_row >= MAX_SKIPPED_IN_A_ROW || self.state.n_skipped >= limit {
            self.stage.skipped().sync()?;
            return Err(Error::Diverged { step: self.done - 1, loss: report.loss });
        }
        Ok(())
    }

    fn log(&mut self, report: &StepReport) -> Result<()> {
        let n_losses = std::mem::take(&mut self.state.n_losses);
        let loss_sum = std::mem::take(&mut self.state.loss_sum);
        self.state.last_loss = (n_losses > 0).then(|| loss_sum / n_losses as f64);
        let mut values = vec![
            ("loss", self.state.last_loss.map_or(Value::Null, number)),
            ("grad_norm", number(report.grad_norm)),
            ("lr", number(report.lr)),
            ("n_skipped", self.state.n_skipped.into()),
        ];
        values.extend(report.extra.iter().map(|(key, value)| (*key, number(*value))));
        self.stage.metrics().append(self.stage.name(), self.done, &values)
    }

    fn is_checkpoint_due(&self) -> bool {
        match self.plan.checkpoint_every {
            Cadence::Steps(n_steps) => self.done.is_multiple_of(n_steps),
            Cadence::Seconds(seconds) => self.saved_at.elapsed().as_secs_f64() >= seconds,
        }
    }

    fn save(&mut self, score: Option<f64>) -> Result<()> {
        let start = Instant::now();
        // The logs first: a checkpoint must never know of a step that its log has lost.
        self.stage.metrics().sync()?;
        self.stage.skipped().sync()?;
        let loop_state = serde_json::to_value(&self.state)
            .map_err(|error| Error::data(self.stage.name(), format!("training state: {error}")))?;
        let checkpoint = Checkpoint {
            step: self.done,
            snapshot: self.trainee.snapshot()?,
            loop_state,
            score,
            seconds: self.seconds(),
        };
        self.stage.checkpoints().save(&checkpoint)?;
        self.saved = Some(self.done);
        self.saved_at = Instant::now();
        self.save_time = start.elapsed().max(self.save_time);
        Ok(())
    }

    /// Writes a checkpoint and gives the error to end with.
    fn stopped(&mut self, reason: StopReason) -> Result<Error> {
        if self.saved != Some(self.done) {
            self.save(None)?;
        }
        let hint = format!(
            "{} stopped after {} of {} steps; repeat the command to resume {}",
            self.stage.name(),
            self.done,
            self.plan.n_steps,
            self.stage.run_dir().display()
        );
        Ok(self.stop.error(reason, &hint))
    }

    fn seconds(&self) -> f64 {
        self.earlier_seconds + self.start.elapsed().as_secs_f64()
    }
}
