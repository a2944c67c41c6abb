//! Units, gain, rate, length, and leads that are flat, clipped or missing.

use super::{Problem, Severity};
use crate::record::{Lead, LeadQuality, Record};

/// Rates of ECG recorders, Hz; outside of them the header is probably wrong.
const RATES_HZ: std::ops::RangeInclusive<f64> = 80.0..=5000.0;
/// Shortest record in which a rhythm can be seen, seconds.
const SHORTEST_S: f64 = 2.0;
/// Range of the middle 95 % of points in which a heart can have made them, mV. A unit taken wrongly is off by 1000.
const SPAN_MV: std::ops::RangeInclusive<f64> = 0.01..=10.0;
/// Share of points on a plateau at an extreme from which a lead is reported.
const CLIPPED_SHARE: f64 = 0.01;

pub(super) fn look(record: &Record, problems: &mut Vec<Problem>) {
    if !RATES_HZ.contains(&record.fs_hz) {
        let (low, high) = (RATES_HZ.start(), RATES_HZ.end());
        let message = format!("found {} Hz, expected {low} to {high} Hz", record.fs_hz);
        problems.push(Problem::new("rate", Severity::Warning, message));
    }
    if record.sig_len == 0 || record.leads.is_empty() {
        problems.push(Problem::new("empty", Severity::Error, "found no points, expected a signal"));
        return;
    }
    let duration_s = record.sig_len as f64 / record.fs_hz;
    if duration_s < SHORTEST_S {
        let message = format!("found {duration_s:.2} s, expected at least {SHORTEST_S} s");
        problems.push(Problem::new("duration", Severity::Warning, message));
    }
    let mut spans = Vec::new();
    for lead in &record.leads {
        look_at(lead, problems);
        spans.extend(span_mv(lead));
    }
    spans.sort_by(f64::total_cmp);
    if let Some(&middle) = spans.get(spans.len() / 2)
        && !SPAN_MV.contains(&middle)
    {
        let message = format!(
            "95 % of the points span {middle:.4} mV in the middle lead, expected {} to {} mV: unit or gain is probably wrong",
            SPAN_MV.start(),
            SPAN_MV.end()
        );
        problems.push(Problem::new("amplitude", Severity::Error, message));
    }
}

fn look_at(lead: &Lead, problems: &mut Vec<Problem>) {
    let mut report = |code, severity, message: String| {
        problems.push(Problem::new(code, severity, message).of_lead(&lead.name));
    };
    if lead.mv_per_unit().is_none() {
        report("unit", Severity::Error, format!("found unit \"{}\", expected a voltage such as mV", lead.units));
    } else if !lead.is_calibrated() {
        report("gain", Severity::Warning, "found no gain, took 200 adu per unit: amplitudes mean nothing".into());
    }
    let share = lead.clipped_share();
    match lead.quality() {
        LeadQuality::AllMissing => report("missing-lead", Severity::Warning, "every point is missing".into()),
        LeadQuality::Constant => report("flat-lead", Severity::Warning, "every point has the same value".into()),
        LeadQuality::Saturated => {
            report(
                "clipped-lead",
                Severity::Warning,
                "a tenth of the points are at an end of the converter's range".into(),
            );
        }
        LeadQuality::Usable if share >= CLIPPED_SHARE => {
            let message = format!("{:.1} % of the points repeat the lead's extreme value", 100.0 * share);
            report("clipped-lead", Severity::Warning, message);
        }
        LeadQuality::Usable => {}
    }
    let n_missing = lead.n_missing();
    if n_missing > 0 && n_missing < lead.adu.len() {
        report("missing-points", Severity::Info, format!("{n_missing} of {} points are missing", lead.adu.len()));
    }
}

/// Range of the middle 95 % of the points in mV; `None` for a lead that is flat, missing or in no voltage.
fn span_mv(lead: &Lead) -> Option<f64> {
    let gain = lead.gain_adu_per_unit.filter(|_| lead.quality() == LeadQuality::Usable)?;
    let per_adu = (lead.mv_per_unit()? / gain).abs();
    let mut adu: Vec<i32> = lead.adu.iter().copied().filter(|&a| a != crate::record::MISSING).collect();
    let n = adu.len();
    let mut at = |k: usize| *adu.select_nth_unstable(k.min(n - 1)).1;
    let (low, high) = (at(n / 40), at(n - 1 - n / 40));
    Some((f64::from(high) - f64::from(low)) * per_adu)
}
