//! The report of a beat experiment: what was done, what came out, what it does not show.

use serde_json::json;

use super::RunRequest;
use super::config::Experiment;
use super::efficiency::{Measured, ratio};
use super::models::Models;
use super::quality::{FAST, FEW, Quality, SLOW, STUDENT};
use crate::dataset::split::{class_support, patient_counts};
use crate::dataset::{Dataset, SIMULATED, Split};
use crate::error::Result;
use crate::evaluation::fidelity::{MIN_POINTS, SnrEquivalence, spectrum};
use crate::evaluation::utility::{Comparison, RowResult};
use crate::metrics::score_bootstrap::{ScoreDifference, ScoreInterval};
use crate::report::{
    BeatOverlay, BeatPanel, Better, Cell, ConfusionMatrix, ConfusionPanel, Estimate, Figure, Forest, ForestRow, Marker,
    Published, Report, Row, RowKind, Spectrum, SpectrumPanel, SpectrumSeries, Table,
};
use crate::run::Run;

/// Everything that a report tells.
pub struct Findings<'a> {
    pub config: &'a Experiment,
    pub request: &'a RunRequest<'a>,
    pub run: &'a Run,
    pub data: &'a Dataset,
    pub generator_part: &'a Dataset,
    pub splits: &'a [(String, Dataset)],
    pub models: &'a Models,
    pub judged: &'a [(String, Dataset)],
    pub quality: &'a Quality,
    pub efficiency: &'a [Measured],
    pub comparisons: &'a [Comparison],
}

/// The paper whose figures stand beside ours.
const PAPER: &str = "Ge et al. 2025";

/// Puts the findings together.
///
/// # Errors
/// Whatever counting and spectra return.
pub fn build(f: &Findings) -> Result<Report> {
    let request = f.request;
    let mut report = Report::new(request.preset, request.seed, request.device);
    report.title = f.config.title.clone();
    report.command = request.command.clone();
    report.commit = f.run.origin().commit.clone().unwrap_or_default();
    report.config = serde_json::to_value(f.config).unwrap_or_default();
    report.environment = json!({
        "threads": rayon::current_num_threads(),
        "arch": std::env::consts::ARCH,
        "os": std::env::consts::OS,
    });
    report.intervals = format!(
        "Intervals are 95 %, by resampling patients and training seeds together ({} replicates); a class with fewer \
         than 10 patients, or with half of its beats from one patient, is called insufficient. Intervals of time \
         ratios are the smallest and largest ratio of interleaved repetitions.",
        f.config.classifier.replicates
    );
    data_section(&mut report, f)?;
    beats_section(&mut report, f.generator_part, f.judged)?;
    efficiency_section(&mut report, f);
    snr_section(&mut report, f.quality, f.config.quality.snr_margin_db);
    fidelity_section(&mut report, f.quality);
    privacy_section(&mut report, f.quality);
    for comparison in f.comparisons {
        comparison_section(&mut report, f, comparison);
    }
    headline(&mut report, f);
    report.abstract_text = summary(&report, f);
    report.limits = limits(f);
    references(&mut report);
    Ok(report)
}

fn is_intra(split: &str) -> bool {
    split == "intra-patient"
}

fn stamp(split: &str) -> &'static str {
    if is_intra(split) { "beat-random split: the same patients in training and test, not comparable" } else { "" }
}

fn data_section(report: &mut Report, f: &Findings) -> Result<()> {
    report.data = json!({
        "source": f.data.provenance["source"],
        "license": f.data.provenance["license"],
        "fingerprint": f.data.fingerprint(),
        "n_beats": f.data.len(),
        "leads": f.data.leads,
        "fs_hz": f.data.fs_hz,
        "sig_len": f.data.sig_len,
        "class_names": f.data.label_names,
        "provenance": f.data.provenance,
        "generator_training": {
            "n_beats": f.generator_part.len(), "fingerprint": f.generator_part.fingerprint(),
        },
        "splits": f.splits.iter().map(|(name, data)| (name.clone(), data.provenance["split"].clone()))
            .collect::<serde_json::Map<_, _>>(),
        "patients": patient_counts(f.data)?,
    });
    let mut table = Table::new("data", "Beats by part and class", "part").caption(
        "Patients with at least one beat of the class in parentheses. The generators learn from the beats that are in \
         the training part of every split, so no generator has seen a test beat of any.",
    );
    for name in &f.data.label_names {
        table = table.column(name.clone(), name.clone(), "beats", Better::Neither);
    }
    let part_row = |label: String, group: &str, data: &Dataset| -> Result<Row> {
        let mut row = Row::new(RowKind::Result, label).group(group);
        let mut marked = data.clone();
        marked.split.fill(Split::Test);
        for support in class_support(&marked, Split::Test)? {
            row = row.cell(support.class.clone(), format!("{} ({})", support.n_items, support.n_patients));
        }
        Ok(row)
    };
    for (name, data) in f.splits {
        for split in [Split::Train, Split::Validation, Split::Test] {
            let part = data.part(split);
            if !part.is_empty() {
                table = table.row(part_row(split.name().into(), &format!("split {name}"), &part)?);
            }
        }
    }
    table = table.row(part_row("training part of the generators".into(), "all splits", f.generator_part)?);
    report
        .section("data", "Data")
        .text("To judge the generators, equal numbers of beats of every class were drawn of each.")
        .table(table);
    Ok(())
}

/// What the data are called: simulated beats must not pass for recorded ones.
fn real_word(data: &Dataset) -> &'static str {
    if data.provenance["kind"] == SIMULATED { SIMULATED } else { "real" }
}

/// The lead that figures show: the one in which rhythm is read, where there is one.
fn shown_lead(data: &Dataset) -> usize {
    data.leads.iter().position(|lead| lead == "II").unwrap_or(0)
}

/// Sources by name, the real one first, without controls.
fn shown_sources<'a>(real: &'a Dataset, judged: &'a [(String, Dataset)]) -> Vec<(&'a str, &'a Dataset)> {
    let made = judged.iter().filter(|(name, _)| name != "control").map(|(name, data)| (name.as_str(), data));
    std::iter::once((real_word(real), real)).chain(made).collect()
}

/// Positions of the classes that have real and generated items.
fn shown_classes(sources: &[(&str, &Dataset)]) -> Vec<usize> {
    let n_labels = sources.first().map_or(0, |(_, real)| real.n_labels());
    let has = |data: &Dataset, class| !data.items_with(Some(class)).is_empty();
    let is_shown = |class: &usize| {
        has(sources[0].1, *class) && (sources.len() == 1 || sources[1..].iter().any(|(_, data)| has(data, *class)))
    };
    (0..n_labels).filter(is_shown).collect()
}

/// One lead of an item.
fn lead_of(data: &Dataset, item: usize, lead: usize) -> &[f32] {
    &data.item(item)[lead * data.sig_len..(lead + 1) * data.sig_len]
}

/// Overlays of the beats that generators learned from and of those that they made, R at `r_index`.
pub fn beat_overlay(real: &Dataset, judged: &[(String, Dataset)], r_index: usize) -> Figure {
    let (sources, lead) = (shown_sources(real, judged), shown_lead(real));
    let mut panels = Vec::new();
    for class in shown_classes(&sources) {
        for (name, data) in &sources {
            let items = data.items_with(Some(class));
            let beats = items.iter().map(|&i| lead_of(data, i, lead));
            panels.push(BeatPanel::from_beats(real.label_names[class].clone(), *name, *name != "real", beats));
        }
    }
    let overlay = BeatOverlay { fs_hz: real.fs_hz, r_index, panels, n_columns: sources.len() };
    Figure::new("beat_overlay", "Beats by class and source", overlay)
}

/// Spectra of the same lead, of whole items.
///
/// # Errors
/// [`crate::Error::Config`] when items are shorter than the window.
pub fn spectra(real: &Dataset, judged: &[(String, Dataset)]) -> Result<Figure> {
    let (sources, lead) = (shown_sources(real, judged), shown_lead(real));
    let mut panels = Vec::new();
    for class in shown_classes(&sources) {
        let mut series = Vec::new();
        for (at, (name, data)) in sources.iter().enumerate() {
            let items = data.items_with(Some(class));
            let every = items.len().div_ceil(400).max(1);
            let s = spectrum(items.iter().step_by(every).map(|&i| lead_of(data, i, lead)), data.fs_hz)?;
            series.push(SpectrumSeries {
                label: (*name).into(),
                frequency_hz: s.frequency_hz,
                level_db: s.median_db,
                low_db: if at == 0 { s.low_db } else { Vec::new() },
                high_db: if at == 0 { s.high_db } else { Vec::new() },
            });
        }
        panels.push(SpectrumPanel { label: real.label_names[class].clone(), series });
    }
    let y_label = "power, dB re 1 mV²/Hz".into();
    Ok(Figure::new("spectra", "Power spectra", Spectrum { panels, y_label, max_hz: (real.fs_hz / 2.0).min(100.0) }))
}

/// Overlays and spectra of the beats that generators learned from and of those that they made.
///
/// # Errors
/// As [`spectra`].
pub fn beats_section(report: &mut Report, real: &Dataset, judged: &[(String, Dataset)]) -> Result<()> {
    let spectra = spectra(real, judged)?;
    report
        .section("beats", "Real and generated beats")
        .text(
            "Each panel overlays up to 40 beats with the mean and one standard deviation over all beats of the class. \
             Real beats are those that the generators learned from.",
        )
        .figure(beat_overlay(real, judged, real.sig_len / 2))
        .figure(spectra.caption(
            "Welch spectra of single beats: median over beats; the band holds the middle half of the real beats.",
        ));
    Ok(())
}

fn measured<'a>(f: &'a Findings, name: &str) -> Option<&'a Measured> {
    f.efficiency.iter().find(|m| m.name == name)
}

fn efficiency_section(report: &mut Report, f: &Findings) {
    let mut table = Table::new("efficiency", "Size, memory and time", "generator")
        .caption(format!(
            "{} beats in one batch; times are medians of interleaved repetitions. Memory is the peak of allocated bytes \
             above idle while sampling, weights included.",
            f.config.quality.timed_beats
        ))
        .column("sampler", "sampler", "", Better::Neither)
        .column("steps", "steps", "", Better::Neither)
        .column("size_mib", "weights", "MiB", Better::Lower)
        .column("peak_memory_mib", "peak memory", "MiB", Better::Lower)
        .column("time_s", "time of the batch", "s", Better::Lower)
        .column("beats_per_s", "beats per second", "1/s", Better::Higher);
    let mib = |bytes: usize| bytes as f64 / (1024.0 * 1024.0);
    for m in f.efficiency {
        let (low, high) = range(&m.seconds);
        let time = match m.seconds.len() {
            1 => Estimate::new(m.median_seconds),
            _ => Estimate::with_ci(m.median_seconds, low, high),
        };
        let mut row = Row::new(RowKind::Result, m.name.clone())
            .cell("sampler", m.sampler.clone())
            .cell("steps", m.steps as f64)
            .cell("size_mib", mib(m.size_bytes))
            .cell("time_s", time)
            .cell("beats_per_s", m.beats_per_second);
        if let Some(bytes) = m.peak_memory_bytes {
            row = row.cell("peak_memory_mib", mib(bytes));
        }
        table = table.row(row);
    }
    let mut trainings = Table::new("trainings", "Trainings", "model")
        .column("steps", "optimizer steps", "", Better::Neither)
        .column("seconds", "time", "s", Better::Lower)
        .column("last_loss", "last loss", "", Better::Neither)
        .column("n_skipped", "skipped batches", "", Better::Lower);
    let mut all = vec![&f.models.teacher, &f.models.student, &f.models.control];
    all.extend(f.models.few_step.iter().map(|(_, trained)| trained));
    for trained in all {
        let s = &trained.summary;
        trainings = trainings.row(
            Row::new(RowKind::Result, trained.model.card().role.clone())
                .cell("steps", s.n_steps as f64)
                .cell("seconds", s.seconds)
                .cell("last_loss", s.last_loss.unwrap_or(f64::NAN))
                .cell("n_skipped", s.n_skipped as f64),
        );
    }
    report.raw.insert("efficiency".into(), serde_json::to_value(f.efficiency).unwrap_or_default());
    report
        .section("efficiency", "What the generators cost")
        .text(
            "Width alone does not explain a time ratio: a network of half the parameters has half the arithmetic of \
             its convolutions, and less than that of its fixed costs. Fewer steps are what makes sampling fast.",
        )
        .table(table)
        .table(trainings);
}

fn range(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)))
}

fn equivalence_estimate(e: &SnrEquivalence) -> Estimate {
    match &e.test {
        Some(test) => {
            let verdict = if test.is_shown { "equivalence shown" } else { "equivalence not shown" };
            let enough = e.needed_n.is_none_or(|needed| e.n.iter().all(|&n| n >= needed));
            let power = if enough { String::new() } else { format!(", needs {} a side", e.needed_n.unwrap_or(0)) };
            Estimate::with_ci(test.difference.value, test.ci_low, test.ci_high).note(format!("{verdict}{power}"))
        }
        None => Estimate::insufficient("fewer than two on a side"),
    }
}

/// Each name once, in the order of first appearance.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    names.fold(Vec::new(), |mut seen, name| {
        if !seen.contains(&name) {
            seen.push(name);
        }
        seen
    })
}

/// SNR by class, and the tests of whether it is equal within a margin.
pub fn snr_section(report: &mut Report, quality: &Quality, margin: f64) {
    let items = quality.items;
    let mut table = Table::new("snr", "Signal-to-noise ratio by class", "class").caption(format!(
        "SNR = 10 log10(sum s² / sum (x - s)²), s a lead after a zero-phase 40 Hz low-pass with its mean removed; of several \
         leads the mean. Mean ± standard deviation over {items}. Smooth output raises it, so higher is not better: the \
         question is whether it equals the real value."
    ));
    let sources = distinct(quality.snr.iter().map(|s| s.source.as_str()));
    table = table.column("real_n", format!("real {items}"), "", Better::Neither);
    for source in &sources {
        table = table.column(format!("{source}_db"), *source, "dB", Better::Neither);
    }
    for class in distinct(quality.snr.iter().map(|s| s.class.as_str())) {
        let mut row = Row::new(RowKind::Result, class);
        for s in quality.snr.iter().filter(|s| s.class == class && s.n > 1) {
            row = row.cell(format!("{}_db", s.source), format!("{:.1} ± {:.1}", s.mean_db, s.sd_db));
            if s.source == "real" {
                row = row.cell("real_n", s.n as f64);
            }
        }
        table = table.row(row);
    }
    let mut tests = Table::new("snr_equivalence", "Equivalence of mean SNR", "comparison")
        .caption(format!(
            "Difference of means, second minus first, with the 90 % interval of two one-sided tests; equivalent when it \
             lies within ±{margin} dB."
        ))
        .column("difference_db", "difference", "dB", Better::Neither)
        .column("verdict", "verdict", "", Better::Neither);
    let mut forest = Vec::new();
    for e in &quality.equivalence {
        let estimate = equivalence_estimate(e);
        let label = format!("{} vs {}, {}", e.second, e.first, e.class);
        forest.push(ForestRow { label: label.clone(), is_control: e.second == "control", estimate: estimate.clone() });
        let verdict = estimate.note.clone();
        let estimate = estimate.note("");
        tests = tests.row(
            Row::new(if e.second == "control" { RowKind::Control } else { RowKind::Result }, label)
                .cell("difference_db", estimate)
                .cell("verdict", verdict),
        );
    }
    report.section("snr", "Signal-to-noise ratio").table(table).table(tests).figure(Figure::new(
        "snr_forest",
        "Differences in mean SNR",
        Forest {
            x_label: "difference of mean SNR, dB".into(),
            rows: forest,
            reference: Some(Marker { value: 0.0, label: "equal".into() }),
            margin: Some(crate::report::Margin { low: -margin, high: margin, label: format!("±{margin} dB") }),
        },
    ));
}

/// Distances to held-out beats.
pub fn fidelity_section(report: &mut Report, quality: &Quality) {
    let mut table = Table::new("fidelity", "Distance to real beats of other patients", "source")
        .caption(
            "Compared with real held-out beats of patients that no generator has met. The floor compares the training \
             patients with them: a generator of these patients' beats can hardly come closer. A whole record stands as its \
             averaged beat.",
        )
        .column("n", "beats", "", Better::Neither)
        .column("mmd2", "MMD²", "", Better::Lower)
        .column("precision", "precision", "", Better::Higher)
        .column("recall", "recall", "", Better::Higher)
        .column("mean_beat_error_mv", "mean-beat error", "mV", Better::Lower)
        .column("spread_ratio", "spread ratio", "", Better::Neither);
    for d in &quality.fidelity {
        let kind = match d.source.as_str() {
            "control" => RowKind::Control,
            source if source.starts_with("real") => RowKind::Floor,
            _ => RowKind::Result,
        };
        table = table.row(
            Row::new(kind, d.source.clone())
                .group(format!("class {}", d.class))
                .cell("n", d.n as f64)
                .cell("mmd2", d.mmd2)
                .cell("precision", d.precision)
                .cell("recall", d.recall)
                .cell("mean_beat_error_mv", d.mean_beat_error_mv)
                .cell("spread_ratio", d.spread_ratio),
        );
    }
    let is_compared = |class: &&str| quality.fidelity.iter().any(|d| d.class == *class);
    let classes = distinct(quality.snr.iter().map(|s| s.class.as_str()));
    let left_out: Vec<&str> = classes.into_iter().filter(|class| !is_compared(class)).collect();
    if !left_out.is_empty() {
        table = table.note(format!("Not compared, with fewer than {MIN_POINTS} on a side: {}.", left_out.join(", ")));
    }
    report.section("fidelity", "Are the beats like real ones?").table(table);
}

/// Copies and near neighbors.
pub fn privacy_section(report: &mut Report, quality: &Quality) {
    let items = quality.items;
    let mut table = Table::new("privacy", "Copies and near neighbors", "generator")
        .caption(format!(
            "Each count is set against the same count with real {items} of patients that the generator never met, as many as \
             of the training. p: share of exchanges of training and held-out patients that leak at least as much."
        ))
        .column("exact_copies", "exact copies", items, Better::Lower)
        .column("memorized", "memorized (ratio ≤ 1), training", items, Better::Lower)
        .column("memorized_held_out", "same, held out", items, Better::Neither)
        .column("memorized_p", "p of the excess", "", Better::Neither)
        .column("nearest_difference", "nearest distance, generated minus held out", "5th percentile", Better::Higher)
        .column("closer_share", "nearer to training than to held out", "", Better::Lower)
        .column("closer_share_p", "p of that", "", Better::Neither)
        .column("n_compared", "compared with, each", items, Better::Neither);
    for audit in &quality.audits {
        let s = &audit.scores;
        table = table.row(
            Row::new(if audit.source == "control" { RowKind::Control } else { RowKind::Result }, audit.source.clone())
                .group(audit.space.clone())
                .cell("exact_copies", audit.n_exact_copies as f64)
                .cell("memorized", s.memorized.train)
                .cell("memorized_held_out", s.memorized.held_out)
                .cell("memorized_p", s.memorized.p_value)
                .cell(
                    "nearest_difference",
                    Estimate::with_ci(audit.nearest.difference, audit.nearest.ci_low, audit.nearest.ci_high),
                )
                .cell("closer_share", s.closer_share.train)
                .cell("closer_share_p", s.closer_share.p_value)
                .cell("n_compared", audit.n_train as f64),
        );
    }
    report.raw.insert("privacy".into(), serde_json::to_value(&quality.audits).unwrap_or_default());
    report
        .section("privacy", format!("Do the generated {items} repeat those of the training?"))
        .text(
            "Signals are compared point by point, each with mean 0 and standard deviation 1; labels play no part. Passing \
             these tests means that they have shown no leak; it does not mean that the set is private or anonymous.",
        )
        .table(table);
}

fn score_cell(score: Option<&ScoreInterval>) -> Cell {
    match score {
        Some(score) => match (&score.insufficient, score.interval.value.is_finite()) {
            (_, false) => Cell::Insufficient { reason: "undefined: no items".into() },
            (Some(reason), true) => {
                Estimate::with_ci(score.interval.value, score.interval.ci_low, score.interval.ci_high)
                    .note(format!("insufficient: {reason}"))
                    .into()
            }
            (None, true) => {
                Estimate::with_ci(score.interval.value, score.interval.ci_low, score.interval.ci_high).into()
            }
        },
        None => Cell::Text { text: String::new() },
    }
}

fn difference_estimate(difference: &ScoreDifference) -> Estimate {
    let i = &difference.interval;
    let estimate = Estimate::with_ci(i.value, i.ci_low, i.ci_high);
    match &difference.insufficient {
        Some(reason) => estimate.note(format!("insufficient: {reason}")),
        None => estimate,
    }
}

fn comparison_section(report: &mut Report, f: &Findings, comparison: &Comparison) {
    let split = &comparison.split;
    let key = split.replace([':', '-'], "_");
    let headline = f.config.data.headline_classes.join(", ");
    let columns = [
        ("accuracy", "accuracy", Better::Higher),
        ("headline_precision", "macro precision", Better::Higher),
        ("headline_recall", "macro recall", Better::Higher),
        ("headline_f1", "macro F1", Better::Higher),
        ("misidentification", "misidentification", Better::Lower),
        ("mean_off_diagonal_row_rate", "mean off-diagonal row rate", Better::Lower),
        ("headline_auroc", "AUROC", Better::Higher),
        ("headline_auprc", "AUPRC", Better::Higher),
        ("mcc", "MCC", Better::Higher),
        ("brier", "Brier", Better::Lower),
        ("ece", "ECE", Better::Lower),
    ];
    let mut table = Table::new(format!("classifier_{key}"), format!("Classifier, split {split}"), "training data")
        .stamp(stamp(split))
        .caption(format!(
            "Macro values over {headline}; fractions. {} test beats of {} patients, {} training seeds, the same number of \
             optimizer steps in every row.",
            comparison.test_counts.iter().sum::<usize>(),
            comparison.n_patients,
            f.config.classifier.seeds
        ));
    for (key, label, better) in columns {
        table = table.column(key, label, "", better);
    }
    let kind = |row: &RowResult| if row.is_control { RowKind::Control } else { RowKind::Result };
    for row in &comparison.rows {
        let mut out = Row::new(kind(row), row.label.clone());
        for (key, _, _) in columns {
            out = out.cell(key, score_cell(row.score(key)));
        }
        table = table.row(out);
    }
    let mut published = Row::new(RowKind::Published, format!("{PAPER}, KD-DGN data"))
        .cell("headline_precision", Estimate::new(0.957))
        .cell("misidentification", Estimate::new(0.03).note("about 3 %"));
    for (key, _, _) in columns.iter().filter(|(key, _, _)| !["headline_precision", "misidentification"].contains(key)) {
        published = published.cell(*key, Cell::NotFound);
    }
    table = table.row(published).note(format!(
        "{PAPER} do not state their split, beat segmentation or averaging: the figures are beside ours, not comparable with them."
    ));

    let mut recalls = Table::new(format!("classes_{key}"), format!("By class, split {split}"), "training data")
        .stamp(stamp(split))
        .caption("Recall and average precision (AUPRC) of each class. AUPRC must be read against the prevalence.");
    for (class, n) in comparison.class_names.iter().zip(&comparison.test_counts) {
        recalls = recalls
            .column(format!("recall_{class}"), format!("recall {class}"), format!("n = {n}"), Better::Higher)
            .column(format!("auprc_{class}"), format!("AUPRC {class}"), "", Better::Higher);
    }
    for row in &comparison.rows {
        let mut out = Row::new(kind(row), row.label.clone());
        for class in &comparison.class_names {
            for score in ["recall", "auprc"] {
                let key = format!("{score}_{class}");
                out = out.cell(key.clone(), score_cell(row.score(&key)));
            }
        }
        recalls = recalls.row(out);
    }

    let mut claims = Table::new(
        format!("claims_{key}"),
        format!("Differences to real only, split {split}"),
        "training data",
    )
    .stamp(stamp(split))
    .caption(
        "Row minus real only, on the same patients and seeds. p is corrected for all differences of the table (Holm).",
    )
    .column("difference", "difference", "", Better::Neither)
    .column("p_holm", "p", "", Better::Neither)
    .column("minimum_detectable_effect", "smallest detectable", "", Better::Neither)
    .column("verdict", "verdict", "", Better::Neither);
    for claim in &comparison.claims {
        let label =
            comparison.rows.iter().find(|row| row.name == claim.row).map_or(claim.row.as_str(), |row| &row.label);
        let good = (claim.difference > 0.0) != (claim.score == "misidentification");
        let shown = claim.p_holm < 0.05 && (claim.ci_low > 0.0 || claim.ci_high < 0.0);
        let verdict = match (&claim.insufficient, shown, good) {
            (Some(reason), _, _) => format!("insufficient: {reason}"),
            (None, true, true) => "better".into(),
            (None, true, false) => "worse".into(),
            (None, false, _) => "no difference shown".into(),
        };
        claims = claims.row(
            Row::new(RowKind::Result, label)
                .group(claim.score.replace("headline_", "macro ").replace('_', " "))
                .cell("difference", Estimate::with_ci(claim.difference, claim.ci_low, claim.ci_high))
                .cell("p_holm", claim.p_holm)
                .cell("minimum_detectable_effect", claim.minimum_detectable_effect)
                .cell("verdict", verdict),
        );
    }
    let forest = Forest {
        x_label: "macro F1 minus real only".into(),
        rows: comparison
            .rows
            .iter()
            .filter_map(|row| {
                let estimate = difference_estimate(row.difference("headline_f1")?);
                Some(ForestRow { label: row.label.clone(), is_control: row.is_control, estimate })
            })
            .collect(),
        reference: Some(Marker { value: 0.0, label: "real only".into() }),
        margin: None,
    };
    let confusion = ConfusionMatrix {
        classes: comparison.class_names.clone(),
        panels: comparison
            .rows
            .iter()
            .filter(|row| ["real", "kd-dgn"].contains(&row.name.as_str()))
            .map(|row| ConfusionPanel {
                label: row.label.clone(),
                counts: row.confusion.iter().map(|row| row.iter().map(|n| n.round() as u64).collect()).collect(),
            })
            .collect(),
    };
    report.raw.insert(format!("classifier_{key}"), serde_json::to_value(comparison).unwrap_or_default());
    report
        .section(format!("classifier-{split}"), format!("Does it help a classifier? Split {split}"))
        .table(table)
        .figure(Figure::new(format!("forest_{key}"), "Macro F1 against real only", forest))
        .table(recalls)
        .table(claims)
        .figure(
            Figure::new(format!("confusion_{key}"), "Confusion matrices", confusion)
                .caption("Summed over training seeds; rows are the true class."),
        );
}

/// A score of a row of a split as a headline number.
fn scored(f: &Findings, want_intra: bool, row: &str, score: &str) -> Estimate {
    f.comparisons
        .iter()
        .find(|comparison| is_intra(&comparison.split) == want_intra)
        .and_then(|comparison| comparison.rows.iter().find(|r| r.name == row))
        .and_then(|row| row.score(score))
        .map_or(Estimate::insufficient("not part of this run"), |s| {
            Estimate::with_ci(s.interval.value, s.interval.ci_low, s.interval.ci_high)
        })
}

fn headline(report: &mut Report, f: &Findings) {
    let time_ratio = |numerator: &str, denominator: &str| match (measured(f, numerator), measured(f, denominator)) {
        (Some(a), Some(b)) => {
            let (value, range) = ratio(&a.seconds, &b.seconds);
            range.map_or(Estimate::new(value), |(low, high)| Estimate::with_ci(value, low, high))
        }
        _ => Estimate::insufficient("not measured"),
    };
    let (teacher, student) = (&f.models.teacher.model, &f.models.student.model);
    let size = student.n_bytes() as f64 / teacher.n_bytes() as f64;
    let memory = match (
        measured(f, STUDENT).and_then(|m| m.peak_memory_bytes),
        measured(f, FAST).and_then(|m| m.peak_memory_bytes),
    ) {
        (Some(student), Some(teacher)) => Estimate::new(student as f64 / teacher as f64),
        _ => Estimate::insufficient("no counting allocator in this build"),
    };
    let snr = f
        .quality
        .equivalence
        .iter()
        .find(|e| e.first == "teacher" && e.second == "student" && e.class == "all")
        .map_or(Estimate::insufficient("not measured"), equivalence_estimate);
    let paper = |value| Published::value(value, PAPER);
    report.headline_group(
        "Student over teacher, at equal steps",
        "",
        [
            ("student_size_ratio", Estimate::new(size).label("size, ratio").published(paper(0.5))),
            ("student_peak_memory_ratio", memory.label("peak memory, ratio").published(paper(0.625))),
            ("student_time_ratio", time_ratio(STUDENT, FAST).label("time, ratio").published(paper(0.43))),
            ("student_snr_difference_db", snr.label("SNR, student minus teacher").unit("dB")),
        ],
    );
    report.headline_group(
        "Student of few steps",
        "",
        [
            (
                "few_step_speedup",
                time_ratio(SLOW, FEW)
                    .label(format!("times as fast as the teacher in {} steps", f.config.teacher.schedule_steps)),
            ),
            (
                "few_step_speedup_over_fast",
                time_ratio(FAST, FEW)
                    .label(format!("times as fast as the teacher in {} steps", f.config.synthesis.steps)),
            ),
            (
                "few_step_beats_per_second",
                measured(f, FEW)
                    .map_or(Estimate::insufficient("not measured"), |m| Estimate::new(m.beats_per_second))
                    .label("beats drawn per second")
                    .unit("1/s"),
            ),
        ],
    );
    report.headline_group(
        "Classifier, intra-patient split",
        "not comparable: same patients in training and test",
        [
            (
                "intra_macro_precision_real",
                scored(f, true, "real", "headline_precision").label("macro precision, trained on real beats only"),
            ),
            (
                "intra_macro_precision_augmented",
                scored(f, true, "kd-dgn", "headline_precision")
                    .label("macro precision, trained on real beats + KD-DGN")
                    .published(paper(0.957)),
            ),
            (
                "intra_misidentification_augmented",
                scored(f, true, "kd-dgn", "misidentification")
                    .label("share misidentified, trained on real beats + KD-DGN")
                    .published(paper(0.03)),
            ),
        ],
    );
    report.headline_group(
        "Classifier, patients apart",
        "",
        [
            (
                "inter_macro_f1_real",
                scored(f, false, "real", "headline_f1").label("macro F1, trained on real beats only"),
            ),
            (
                "inter_macro_f1_augmented",
                scored(f, false, "kd-dgn", "headline_f1").label("macro F1, trained on real beats + KD-DGN"),
            ),
        ],
    );
}

fn summary(report: &Report, f: &Findings) -> Vec<String> {
    let value = |key: &str| report.headline.get(key).map_or(f64::NAN, |e| e.value);
    let real = if f.config.data.source == "simulated" {
        "simulated beats of a dynamical model (no patient is real; the figures show that the tool works, not how the method does on patients)"
    } else {
        "beats of the MIT-BIH Arrhythmia Database"
    };
    let mut out = vec![
        format!(
            "A diffusion model (the teacher, {:.2} million weights) and a distilled student ({:.2} million) learned to make \
             single heartbeats of each class from {} {real}. Labelled beats drawn from them were added to the training \
             data of a small convolutional classifier, which was then tested on {} beats only.",
            f.models.teacher.model.n_bytes() as f64 / 4e6,
            f.models.student.model.n_bytes() as f64 / 4e6,
            f.generator_part.len(),
            real_word(f.data),
        ),
        format!(
            "The student has {:.2} of the teacher's size, {:.2} of its peak memory and {:.2} of its time at equal steps. \
             The student of {} steps is {:.0} times as fast as the teacher in {} steps and {:.1} times as fast as the \
             teacher's fast sampler.",
            value("student_size_ratio"),
            value("student_peak_memory_ratio"),
            value("student_time_ratio"),
            f.config.few_step.chosen,
            value("few_step_speedup"),
            f.config.teacher.schedule_steps,
            value("few_step_speedup_over_fast"),
        ),
    ];
    for comparison in f.comparisons {
        let Some(row) = comparison.rows.iter().find(|row| row.name == "kd-dgn") else { continue };
        let Some(difference) = row.difference("headline_f1") else { continue };
        let i = &difference.interval;
        let claim = comparison.claims.iter().find(|c| c.row == "kd-dgn" && c.score == "headline_f1");
        let verdict = match claim {
            Some(c) if c.insufficient.is_some() => "which rests on too few patients to be called a result",
            Some(c) if c.p_holm < 0.05 && i.value > 0.0 => "an improvement",
            Some(c) if c.p_holm < 0.05 => "a loss",
            _ => "no difference shown",
        };
        out.push(format!(
            "Split {}: adding student beats changed macro F1 by {:+.3} ({:+.3} to {:+.3}), {verdict}.",
            comparison.split, i.value, i.ci_low, i.ci_high
        ));
    }
    out
}

fn limits(f: &Findings) -> Vec<String> {
    let mut out = vec![
        format!(
            "{PAPER} state no protocol behind their precision and error rate, so \"reproduced\" can only mean reached under \
             the protocol documented here."
        ),
        "The intra-patient split shares patients, and even raw samples of neighboring windows, between training and test. \
         Its figures say nothing about new patients."
            .into(),
        "Beats are single windows of one lead: rhythm, other leads and everything between beats are outside of what the \
         generators have learned. RR intervals of synthetic beats are borrowed from real beats of the same class."
            .into(),
        "The privacy tests are attacks by nearest neighbors on released beats; attacks that use the model are not part of \
         this report."
            .into(),
        "Synthetic beats are for development and teaching, not for clinical use.".into(),
    ];
    if f.config.data.source == "simulated" {
        out.insert(0, "The data are simulated. Nothing here is evidence about real patients.".into());
    }
    out
}

/// What the sections rest on.
pub fn references(report: &mut Report) {
    for (key, text) in [
        (
            "ge2025",
            "Ge B, Chen N, Jin P, Su X, Lu X. Research on ECG pathological signal classification empowered by diffusion \
             generative data. Journal of Electronics & Information Technology, 2025. doi 10.11999/JEIT250404",
        ),
        ("ho2020", "Ho J, Jain A, Abbeel P. Denoising diffusion probabilistic models. NeurIPS 2020. arXiv:2006.11239"),
        (
            "salimans2022",
            "Salimans T, Ho J. Progressive distillation for fast sampling of diffusion models. ICLR 2022. arXiv:2202.00512",
        ),
        (
            "lu2022",
            "Lu C et al. DPM-Solver++: fast solver for guided sampling of diffusion probabilistic models. arXiv:2211.01095",
        ),
        (
            "dechazal2004",
            "de Chazal P, O'Dwyer M, Reilly RB. Automatic classification of heartbeats using ECG morphology and heartbeat \
             interval features. IEEE Trans Biomed Eng 2004; 51(7):1196-1206",
        ),
        (
            "moody2001",
            "Moody GB, Mark RG. The impact of the MIT-BIH Arrhythmia Database. IEEE Eng Med Biol 2001; 20(3):45-50",
        ),
        (
            "carlini2023",
            "Carlini N et al. Extracting training data from diffusion models. USENIX Security 2023. arXiv:2301.13188",
        ),
    ] {
        report.reference(key, text);
    }
}
