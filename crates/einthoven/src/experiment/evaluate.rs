//! Judging a synthetic data set from anywhere against real ones.
//!
//! Items may have any number of labels: whatever is counted by label counts an item in each of its labels. Whole records
//! are measured as a cardiologist does and compared as averaged beats, single beats point by point.

use serde_json::json;

use super::quality::{Quality, Sides};
use super::{quality, report};
use crate::dataset::{Dataset, Split, guard};
use crate::delineators::DELINEATORS;
use crate::error::{Error, Result};
use crate::evaluation::averaged::{averaged_beats, window};
use crate::evaluation::physiology::physiology;
use crate::evaluation::privacy::Audit;
use crate::generators::extent::is_beats;
use crate::metrics::privacy::{PrivacyScores, PrivacyTest};
use crate::report::{Better, Estimate, Report, Row, RowKind, Table};
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

/// p value from which an excess of memorized items, or of items nearer to training, counts as shown; several audits share it.
const ALPHA: f64 = 0.05;

/// Physiology, fidelity, SNR equivalence and privacy of a synthetic set; whatever of the real set is not for training is held
/// out.
///
/// Returns the report and the checks that failed, in words.
///
/// # Errors
/// [`Error::Guard`] `L4` if the generator learned from held-out patients; [`Error::Data`] for empty parts, sets with other
/// axes, records of which too few have beats to average, and a provenance whose `delivery` is none.
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
    let held_out = real.select(&(0..real.len()).filter(|&i| real.split[i] != Split::Train).collect::<Vec<_>>());
    for (name, part) in [("training part", &train), ("validation and test part of the real set", &held_out)] {
        if part.is_empty() {
            return Err(Error::data(name, "is empty; make parts with: einthoven prepare"));
        }
        if synthetic.sig_len != part.sig_len && synthetic.fs_hz == part.fs_hz {
            let (found, expected) = (synthetic.sig_len, part.sig_len);
            let reason = format!(
                "the data sets differ: found {found} points, expected {expected}; draw with sample --seconds {}",
                expected as f64 / part.fs_hz
            );
            return Err(Error::data("sig_len", reason));
        }
        // Compares every axis and says which one differs.
        part.select(&[]).append(&synthetic.select(&[]))?;
    }
    let judged = [("synthetic".to_string(), synthetic.clone())];
    let sides = Sides { train: &train, held_out: &held_out, sets: &judged };
    let seed = Seed::new(request.seed);

    let mut out = Report::new("evaluate", request.seed, "cpu");
    out.command = request.command.clone();
    out.data = json!({
        "real": { "fingerprint": real.fingerprint(), "n_training": train.len(), "n_held_out": held_out.len(), "provenance": real.provenance },
        "synthetic": { "fingerprint": synthetic.fingerprint(), "n_items": synthetic.len(), "provenance": synthetic.provenance },
    });
    out.intervals =
        "Intervals of SNR differences are those of two one-sided tests at 5 %; the others resample patients.".into();
    labels_section(&mut out, sides);
    report::delivery_section(&mut out, &synthetic.provenance)?;
    let quality = if is_beats(real) {
        let quality = quality::judge(request.snr_margin_db, sides, seed, progress)?;
        report::beats_section(&mut out, &train, &judged)?;
        quality
    } else {
        judge_records(&mut out, request.snr_margin_db, sides, seed, progress)?
    };
    out.title = format!("A synthetic data set against real {}", quality.items);
    report::snr_section(&mut out, &quality, request.snr_margin_db);
    report::fidelity_section(&mut out, &quality);
    report::privacy_section(&mut out, &quality);
    out.section("usefulness", "Does the set help a classifier?").text(if is_beats(real) {
        "Not measured here: train a classifier with and without the set."
    } else {
        "Not measured: nothing that can be trained here recognizes whole records. The classifier that is trained knows single \
         beats of one class each, and the networks of the PTB-XL benchmark are read with their published weights only."
    });
    out.limits = vec![
        "These tests find copies and gross differences; passing them does not make a set private or useful.".into(),
    ];
    report::references(&mut out);
    let failed = privacy_headline(&mut out, &quality);
    Ok((out, failed))
}

/// What the sets hold by label.
fn labels_section(out: &mut Report, sides: Sides) {
    let sets = [("train", "training", sides.train), ("held_out", "held out", sides.held_out)];
    let made = sides.sets.iter().map(|(name, data)| (name.as_str(), name.as_str(), data));
    let sets: Vec<(&str, &str, &Dataset)> = sets.into_iter().chain(made).collect();
    let mut table = Table::new("labels", "Items by label", "label")
        .caption("An item counts in each of its labels, here and wherever classes are compared.");
    for (key, heading, _) in &sets {
        table = table.column(*key, *heading, "items", Better::Neither);
    }
    let names = sides.train.label_names.iter().enumerate().map(|(label, name)| (name.as_str(), Some(label)));
    for (name, label) in std::iter::once(("all", None)).chain(names) {
        let cells = sets.iter().map(|(key, _, data)| (*key, data.items_with(label).len() as f64));
        table = table.row(cells.fold(Row::new(RowKind::Result, name), |row, (key, n)| row.cell(key, n)));
    }
    out.section("labels", "What is compared")
        .text(
            "The generator learned from the training part; the held-out patients are those of validation and test. Over all \
             items, sets are compared with the labels that they have; sample --like draws those of the held-out items.",
        )
        .table(table);
}

/// Physiology and averaged beats of whole records in the report, and what else is judged of them.
fn judge_records(
    out: &mut Report,
    margin_db: f64,
    records: Sides,
    seed: Seed,
    progress: &mut dyn Progress,
) -> Result<Quality> {
    let synthetic = &records.sets[0].1;
    progress.update("delineation", 0, 1, "");
    let rows = physiology(records.train, records.held_out, synthetic, DELINEATORS[0], seed.purpose("physiology"))?;
    progress.update("delineation", 1, 1, "");
    report::physiology_section(out, &rows);

    let averaged = |name: &str, data: &Dataset| {
        let beats = averaged_beats(data)?;
        match beats.is_empty() {
            true => Err(Error::data(name, "has no record with three beats that could be averaged")),
            false => Ok(beats),
        }
    };
    let train = averaged("training part", records.train)?;
    let held_out = averaged("held-out part", records.held_out)?;
    let sets = [("synthetic".to_string(), averaged("synthetic set", synthetic)?)];
    let beats = Sides { train: &train, held_out: &held_out, sets: &sets };
    let spectra = report::spectra(records.train, records.sets)?;
    let share = |(of, all): (&Dataset, &Dataset)| format!("{} of {}", of.len(), all.len());
    let [of_train, of_held_out, of_synthetic] =
        [(&train, records.train), (&held_out, records.held_out), (&sets[0].1, synthetic)].map(share);
    out.section("beats", "Real and generated records")
        .text(format!(
            "Each panel overlays the averaged beats of up to 40 records (the median over the beats of a record, aligned at R) \
             with mean and one standard deviation over all of the label. Beats could be averaged on {of_train} training, \
             {of_held_out} held-out and {of_synthetic} synthetic records.",
        ))
        .figure(report::beat_overlay(&train, &sets, window(train.fs_hz).before))
        .figure(spectra.caption("Welch spectra of whole records: median; the band holds the middle half of the real ones."));
    quality::judge_records(margin_db, records, beats, seed, progress)
}

/// The privacy of the set in the headline, that of whole items under plain keys; returns the failed checks.
fn privacy_headline(out: &mut Report, quality: &Quality) -> Vec<String> {
    for (at, audit) in quality.audits.iter().enumerate() {
        let PrivacyScores { memorized, closer_share, n_synthetic, .. } = &audit.scores;
        let prefix = if at == 0 { String::new() } else { format!("{}_", audit.space.replace(' ', "_")) };
        let of_items = |value: f64| Estimate::new(value).n(*n_synthetic as u64);
        let numbers = [
            ("exact_copies", "exact copies of training items", Estimate::new(audit.n_exact_copies as f64)),
            ("memorized", "memorized: much nearer to one training item than to the next", of_items(memorized.train)),
            ("memorized_held_out", "memorized from held-out items, by the same measure", of_items(memorized.held_out)),
            ("memorized_p", "p of more memorized than with held-out items", Estimate::new(memorized.p_value)),
            (
                "closer_share",
                "share nearer to training than to held-out patients; 0.5 favors neither",
                of_items(closer_share.train),
            ),
            (
                "closer_share_p",
                "p of being that much nearer to training patients by chance",
                Estimate::new(closer_share.p_value),
            ),
        ];
        let title = format!("Copies of training patients: {}", audit.space);
        let named = numbers.map(|(key, label, number)| (format!("{prefix}{key}"), number.label(label)));
        out.headline_group(title, "", named);
    }
    let alpha = ALPHA / quality.audits.len() as f64;
    quality.audits.iter().flat_map(|audit| leaks(audit, alpha)).collect()
}

/// What an audit found at a level of its tests, in words.
fn leaks(audit: &Audit, alpha: f64) -> Vec<String> {
    let PrivacyScores { memorized, closer_share, n_synthetic, .. } = &audit.scores;
    let shows = |test: &PrivacyTest| test.p_value < alpha && test.excess > 0.0;
    let mut out = Vec::new();
    if audit.n_exact_copies > 0 {
        out.push(format!("privacy P1: {} exact copies of training items ({})", audit.n_exact_copies, audit.space));
    }
    if shows(closer_share) {
        // Both sides have as many items, so that an item of neither is nearer to each half of the time; ties are halves.
        let n = *n_synthetic as f64;
        let found = (2.0 * closer_share.train * n).round() / 2.0;
        out.push(format!(
            "privacy P2: {found} of {n} items are nearer to training than to held-out patients, expected {} (p = {:.3}, {})",
            n / 2.0,
            closer_share.p_value,
            audit.space
        ));
    }
    if shows(memorized) {
        out.push(format!(
            "privacy P6: more items are close to training than to held-out patients (p = {:.3}, {})",
            memorized.p_value, audit.space
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::privacy::NearestComparison;

    /// An audit of forty items of which a share is nearer to training.
    fn audit(closer: f64, p_value: f64) -> Audit {
        let test =
            |train: f64, held_out: f64, p_value| PrivacyTest { train, held_out, excess: train - held_out, p_value };
        let none = test(0.0, 0.0, 1.0);
        Audit {
            source: "synthetic".into(),
            space: "averaged beats".into(),
            n_train: 50,
            n_held_out: 50,
            n_exact_copies: 0,
            scores: PrivacyScores {
                n_synthetic: 40,
                n_train_patients: 50,
                n_held_out_patients: 50,
                exchanges: 999,
                exact_copies: none,
                near_copies: none,
                near_copy: 1.0,
                closer_share: test(closer, 1.0 - closer, p_value),
                nndr_p05: none,
                memorized: none,
                is_truncated: false,
            },
            nearest: NearestComparison {
                synthetic_to_train_p05: 1.0,
                held_out_to_train_p05: 1.0,
                difference: 0.0,
                ci_low: -1.0,
                ci_high: 1.0,
                is_not_nearer: true,
            },
        }
    }

    #[test]
    fn items_nearer_to_training_fail_at_the_level_and_on_one_side() {
        assert_eq!(
            leaks(&audit(0.7125, 0.0249), 0.025),
            ["privacy P2: 28.5 of 40 items are nearer to training than to held-out patients, expected 20 (p = 0.025, \
              averaged beats)"]
        );
        assert!(leaks(&audit(0.7125, 0.025), 0.025).is_empty());
        // The other side is no leak, however rare it is.
        assert!(leaks(&audit(0.2, 0.001), 0.025).is_empty());
    }
}
