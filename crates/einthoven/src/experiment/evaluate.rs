//! Judging a synthetic data set from anywhere against real ones.

use serde_json::json;

use super::{quality, report};
use crate::dataset::{Dataset, Split, guard};
use crate::error::{Error, Result};
use crate::report::{Estimate, Report};
use crate::run::Progress;
use crate::seed::Seed;

/// What a user asks of [`evaluate`].
pub struct EvaluateRequest<'a> {
    /// Real data set with its parts.
    pub real: &'a Dataset,
    /// Synthetic data set.
    pub synthetic: &'a Dataset,
    /// What the generator learned from; `None` for the training part of `real`.
    pub train: Option<&'a Dataset>,
    /// Margin within which two mean SNR count as equal, dB.
    pub snr_margin_db: f64,
    /// Seed of the exchange tests.
    pub seed: u64,
    /// The command line, for the report.
    pub command: String,
}

/// p value from which an excess of memorized items counts as shown.
const ALPHA: f64 = 0.05;

/// Fidelity, SNR equivalence and privacy of a synthetic set; the test part of the real set is held out.
///
/// Returns the report and the checks that failed, in words.
///
/// # Errors
/// [`Error::Guard`] `L4` if the generator learned from held-out patients; [`Error::Data`] for empty parts
/// or sets with other axes.
pub fn evaluate(request: &EvaluateRequest, progress: &mut dyn Progress) -> Result<(Report, Vec<String>)> {
    let (real, synthetic) = (request.real, request.synthetic);
    if let Some(i) = (0..synthetic.len()).find(|&i| !synthetic.is_generated(i)) {
        return Err(Error::data(
            &synthetic.record[i],
            format!("item {i} of the synthetic set is not marked synthetic"),
        ));
    }
    guard::check_generator(real, synthetic)?;
    let train = request.train.unwrap_or(real).part(Split::Train);
    let held_out = real.part(Split::Test);
    for (name, part) in [("training part", &train), ("test part of the real set", &held_out)] {
        if part.is_empty() {
            return Err(Error::data(name, "is empty; make parts with: einthoven prepare"));
        }
        // Compares every axis and says which one differs.
        part.select(&[]).append(&synthetic.select(&[]))?;
    }
    let judged = [("synthetic".to_string(), synthetic.clone())];
    let seed = Seed::new(request.seed);
    let quality = quality::judge(request.snr_margin_db, &train, &held_out, &judged, seed, progress)?;

    let mut out = Report::new("evaluate", request.seed, "cpu");
    out.title = "A synthetic data set against real beats".into();
    out.command = request.command.clone();
    out.data = json!({
        "real": { "fingerprint": real.fingerprint(), "n_training": train.len(), "n_held_out": held_out.len(), "provenance": real.provenance },
        "synthetic": { "fingerprint": synthetic.fingerprint(), "n_items": synthetic.len(), "provenance": synthetic.provenance },
    });
    out.intervals =
        "Intervals of SNR differences are those of two one-sided tests at 5 %; the others resample patients.".into();
    report::beats_section(&mut out, &train, &judged)?;
    report::snr_section(&mut out, &quality, &train.label_names, request.snr_margin_db);
    report::fidelity_section(&mut out, &quality);
    report::privacy_section(&mut out, &quality);
    out.limits = vec![
        "These tests find copies and gross differences; passing them does not make a set private or useful.".into(),
        "Usefulness is not measured here: train a classifier with and without the set.".into(),
    ];
    report::references(&mut out);

    let mut failed = Vec::new();
    for audit in &quality.audits {
        let scores = &audit.scores;
        for (name, value) in [
            ("exact_copies", audit.n_exact_copies as f64),
            ("memorized", scores.memorized.train),
            ("memorized_held_out", scores.memorized.held_out),
            ("memorized_p", scores.memorized.p_value),
        ] {
            out.headline.insert(name.into(), Estimate::new(value));
        }
        if audit.n_exact_copies > 0 {
            failed.push(format!("privacy P1: {} exact copies of training items", audit.n_exact_copies));
        }
        if scores.memorized.p_value < ALPHA && scores.memorized.train > scores.memorized.held_out {
            failed.push(format!(
                "privacy P6: more items are close to training than to held-out patients (p = {:.3})",
                scores.memorized.p_value
            ));
        }
    }
    Ok((out, failed))
}
