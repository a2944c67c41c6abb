//! The page of a training: what was trained, for how long, and how its losses fell.

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::report::{Better, Estimate, Figure, Line, LineSeries, Report, Row, RowKind, Table};
use crate::run::{METRICS, TrainSummary, finished_stage, read_run};

/// Losses of one stage by step.
#[derive(Default)]
struct Losses {
    steps: Vec<f64>,
    values: Vec<f64>,
}

/// The report of a run folder, finished or not, from its metrics log.
///
/// # Errors
/// [`Error::Guard`] for a folder that is no run; [`Error::Data`] for one in which nothing was trained yet;
/// [`Error::Io`].
pub fn training_report(dir: &Path) -> Result<Report> {
    let (info, _) = read_run(dir)?;
    let path = dir.join(METRICS);
    let stages = match std::fs::read_to_string(&path) {
        Ok(log) => losses(&log, &path)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(source) => return Err(Error::io(path, source)),
    };
    if stages.is_empty() {
        return Err(Error::data(dir.display().to_string(), "has no losses yet: nothing was trained in it"));
    }
    let mut out = Report::new(&info.preset, info.seed, &info.device);
    out.title = format!("Training of {}", info.preset);
    let flag = if info.is_bf16 { " --bf16-activations" } else { "" };
    out.command = format!("einthoven train {} --seed {} --device {}{flag}", info.preset, info.seed, info.device);
    out.config = toml::from_str(&info.config).map_err(|error| Error::config("config.toml", error.to_string()))?;
    out.abstract_text = vec![
        "Losses and costs of a training. They say that a network learned; whether its records are any good is asked by \
         evaluate."
            .into(),
    ];
    let mut table = Table::new("stages", "Stages in their order", "Stage")
        .caption("The last loss is the mean over the last line of the log; a stage without a time is not finished.")
        .column("steps", "Steps", "", Better::Neither)
        .column("first_loss", "First loss", "", Better::Neither)
        .column("last_loss", "Last loss", "", Better::Neither)
        .column("minutes", "Time", "min", Better::Lower);
    for (stage, losses) in &stages {
        let mut row = Row::new(RowKind::Result, stage)
            .cell("steps", losses.steps[losses.steps.len() - 1])
            .cell("first_loss", losses.values[0])
            .cell("last_loss", losses.values[losses.values.len() - 1]);
        if let Some(summary) = finished_stage::<TrainSummary>(dir, stage)? {
            row = row.cell("minutes", Estimate::new(summary.seconds / 60.0));
        }
        table = table.row(row);
    }
    out.section("stages", "What was trained").table(table);
    let mut section = out.section("losses", "Losses").text(
        "Each point is the mean over the steps since the point before. Stages have losses of their own kind, which are not to \
         be compared with each other.",
    );
    for (stage, losses) in stages {
        let is_log_y = losses.values.iter().all(|loss| *loss > 0.0);
        let series = vec![LineSeries { label: stage.clone(), x: losses.steps, y: losses.values, has_markers: false }];
        let line = Line { x_label: "optimizer step".into(), y_label: "loss".into(), is_log_x: false, is_log_y, series };
        section = section.figure(Figure::new(format!("loss-{stage}"), stage, line));
    }
    Ok(out)
}

/// Losses of each stage in the order in which the stages began; `path` names the log in messages.
fn losses(log: &str, path: &Path) -> Result<Vec<(String, Losses)>> {
    let mut stages: Vec<(String, Losses)> = Vec::new();
    for (number, line) in log.lines().enumerate() {
        let place = || format!("{}:{}", path.display(), number + 1);
        let entry: Value =
            serde_json::from_str(line).map_err(|error| Error::data(place(), format!("is no JSON: {error}")))?;
        // A line whose batches were all skipped has no loss.
        let (Some(stage), Some(step), Some(loss)) =
            (entry["stage"].as_str(), entry["step"].as_f64(), entry["loss"].as_f64())
        else {
            continue;
        };
        let at = stages.iter().position(|(name, _)| name == stage).unwrap_or_else(|| {
            stages.push((stage.into(), Losses::default()));
            stages.len() - 1
        });
        let losses = &mut stages[at].1;
        losses.steps.push(step);
        losses.values.push(loss);
    }
    Ok(stages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_those_of_the_log_stage_by_stage_and_a_broken_line_is_named() {
        let path = Path::new(METRICS);
        assert!(losses("", path).unwrap().is_empty());
        let log = r#"{"stage":"teacher","step":20,"loss":1.5}
{"stage":"teacher","step":40,"loss":null}
{"stage":"few-step-04","step":20,"loss":0.25}
{"stage":"teacher","step":60,"loss":1.0}
"#;
        let stages = losses(log, path).unwrap();
        assert_eq!((stages[0].0.as_str(), stages[1].0.as_str()), ("teacher", "few-step-04"));
        assert_eq!((&stages[0].1.steps[..], &stages[0].1.values[..]), (&[20.0, 60.0][..], &[1.5, 1.0][..]));
        let broken = format!("{log}{{\n");
        assert!(losses(&broken, path).err().unwrap().to_string().contains("metrics.jsonl:5"));
    }
}
