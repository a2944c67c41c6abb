//! Names and order of leads, and the laws of Einthoven and Goldberger.
//!
//! Where the laws fail under the names of the header, every pair of channels is tried as I and II: if the other four
//! limb leads are found among the rest, the names are wrong and the message says which channel is which.

use super::{Problem, Severity};
use crate::record::lead_law::{TWELVE, derive_limb_leads, standard_name};
use crate::record::{LeadQuality, Record};

/// A point breaks a law when it is off by more than this part of the limb leads' size plus [`SLACK_MV`].
const SLACK: f64 = 0.05;
const SLACK_MV: f64 = 0.02;
/// Share of such points from which the law itself is broken, not a stretch of the record.
const BROKEN_SHARE: f64 = 0.1;
/// Points that are compared when channels are tried as limb leads.
const TRIED_POINTS: usize = 250;
/// Residual, relative to the lead, below which a channel is a derived lead.
const MATCH: f64 = 0.05;

/// Orders of the twelve leads that data sets are known for.
const KNOWN_ORDERS: [(&str, [&str; 12]); 4] = [
    ("SSSD-ECG", ["I", "II", "V1", "V2", "V3", "V4", "V5", "V6", "III", "aVR", "aVL", "aVF"]),
    ("MIMIC-IV-ECG", ["I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6"]),
    ("Cabrera", ["aVL", "I", "aVR", "II", "aVF", "III", "V1", "V2", "V3", "V4", "V5", "V6"]),
    ("chest first", ["V1", "V2", "V3", "V4", "V5", "V6", "I", "II", "III", "aVR", "aVL", "aVF"]),
];

/// Whether the limb leads can be trusted to be what their names say.
pub(super) fn look(record: &Record, problems: &mut Vec<Problem>) -> bool {
    let names: Vec<Option<&str>> = record.leads.iter().map(|lead| standard_name(&lead.name)).collect();
    for (k, lead) in record.leads.iter().enumerate() {
        if record.leads[..k].iter().any(|earlier| earlier.name == lead.name) {
            let message = format!("channel {k} repeats the name of an earlier one");
            problems.push(Problem::new("lead-name", Severity::Warning, message).of_lead(&lead.name));
        }
    }
    let unknown: Vec<&str> = record
        .leads
        .iter()
        .zip(&names)
        .filter(|(_, name)| name.is_none())
        .map(|(lead, _)| lead.name.as_str())
        .collect();
    let n_known = names.iter().flatten().count();
    if n_known >= 6 && !unknown.is_empty() {
        let message = format!("found {}, expected names of the twelve leads", unknown.join(", "));
        problems.push(Problem::new("lead-name", Severity::Warning, message));
    }
    let absent: Vec<&str> = TWELVE.into_iter().filter(|lead| !names.contains(&Some(lead))).collect();
    if n_known >= 6 && !absent.is_empty() {
        problems.push(Problem::new("lead-missing", Severity::Info, format!("{} not recorded", absent.join(", "))));
    }
    let order: Vec<&str> = names.iter().flatten().copied().collect();
    if order.len() == 12 && absent.is_empty() && order != TWELVE {
        let called = known_order(&order).map_or(String::new(), |name| format!(", which is the order of {name}"));
        let message = format!("found {}{called}, expected {}", order.join(" "), TWELVE.join(" "));
        problems.push(Problem::new("lead-order", Severity::Warning, message));
    }
    // Twelve channels without names are taken in the standard order, and the laws say whether that is right.
    let assumed: Vec<Option<&str>> = match n_known == 0 && record.leads.len() == 12 {
        true => TWELVE.iter().map(|name| Some(*name)).collect(),
        false => names,
    };
    let Some(limb) = limb_channels(&assumed) else { return false };
    let Some(mv) = millivolts(record) else { return false };
    let share = broken_share(&limb.map(|k| mv[k].as_slice()));
    if share.n_broken == 0 {
        return true;
    }
    if share.share < BROKEN_SHARE {
        let first_s = share.first as f64 / record.fs_hz;
        let message = format!(
            "I + III = II or aVR + aVL + aVF = 0 fails in {} points, first at {first_s:.3} s, by up to {:.3} mV",
            share.n_broken, share.largest_mv
        );
        problems.push(Problem::new("lead-law", Severity::Warning, message));
        return true;
    }
    problems.push(explain(record, &assumed, &mv, &limb, &share));
    false
}

/// Why the laws fail: other names, other gains, or nothing that is known.
fn explain(record: &Record, names: &[Option<&str>], mv: &[Vec<f32>], limb: &[usize; 6], share: &Broken) -> Problem {
    if let Some(found) = find_limb_leads(mv)
        && found != *limb
    {
        let mut truth: Vec<Option<&str>> = vec![None; mv.len()];
        for (name, &channel) in TWELVE.iter().zip(&found) {
            truth[channel] = Some(name);
        }
        // The other channels keep their own order, which is that of the chest leads in every known layout.
        let mut chest = TWELVE[6..].iter();
        truth.iter_mut().filter(|name| name.is_none()).for_each(|name| *name = chest.next().copied());
        let order: Vec<&str> = truth.iter().map(|name| name.unwrap_or("?")).collect();
        let called = known_order(&order).map_or(String::new(), |name| format!(", the order of {name}"));
        let stated: Vec<&str> = names.iter().map(|name| name.unwrap_or("?")).collect();
        let message = format!(
            "the laws of the limb leads fail under the names {} and hold when the channels are read as {}{called}",
            stated.join(" "),
            order.join(" ")
        );
        return Problem::new("lead-order", Severity::Error, message);
    }
    let counts: Vec<Vec<f32>> =
        limb.map(|k| record.leads[k].adu.iter().map(|&adu| adu as f32 / 1000.0).collect()).to_vec();
    let by_counts = broken_share(&[0, 1, 2, 3, 4, 5].map(|k| counts[k].as_slice()));
    let gains: Vec<Option<f64>> = limb.iter().map(|&k| record.leads[k].gain_adu_per_unit).collect();
    if by_counts.share < BROKEN_SHARE && gains.iter().any(|gain| *gain != gains[0]) {
        let message = "the laws of the limb leads hold for the stored counts and fail in mV: the gains of the header \
                       differ from lead to lead and are not calibration";
        return Problem::new("gain", Severity::Error, message);
    }
    let message = format!(
        "I + III = II and aVR + aVL + aVF = 0 fail in {:.0} % of the points, by up to {:.3} mV: names, signs or gains are wrong",
        100.0 * share.share,
        share.largest_mv
    );
    Problem::new("lead-law", Severity::Error, message)
}

fn known_order(order: &[&str]) -> Option<&'static str> {
    KNOWN_ORDERS.iter().find(|(_, known)| order == known.as_slice()).map(|(name, _)| *name)
}

/// Channels of I, II, III, aVR, aVL and aVF, where each is there once.
fn limb_channels(names: &[Option<&str>]) -> Option<[usize; 6]> {
    let mut limb = [0; 6];
    for (slot, wanted) in limb.iter_mut().zip(TWELVE) {
        *slot = names.iter().position(|name| *name == Some(wanted))?;
    }
    Some(limb)
}

/// Every lead in mV, if all have the rate of the record and a voltage.
pub(super) fn millivolts(record: &Record) -> Option<Vec<Vec<f32>>> {
    let mv: Vec<Vec<f32>> = record.leads.iter().map(|lead| lead.mv().ok()).collect::<Option<_>>()?;
    mv.iter().all(|lead| lead.len() == record.sig_len).then_some(mv)
}

/// How often the laws fail.
struct Broken {
    n_broken: usize,
    share: f64,
    first: usize,
    largest_mv: f64,
}

/// Compares III, aVR, aVL and aVF with what I and II say; missing points are left out.
fn broken_share(limb: &[&[f32]; 6]) -> Broken {
    let energy: f64 =
        limb.iter().flat_map(|lead| lead.iter()).filter(|v| !v.is_nan()).map(|&v| f64::from(v).powi(2)).sum();
    let n_points = limb[0].len();
    let slack = SLACK * (energy / (6 * n_points).max(1) as f64).sqrt() + SLACK_MV;
    let mut broken = Broken { n_broken: 0, share: 0.0, first: 0, largest_mv: 0.0 };
    for t in 0..n_points {
        let derived = derive_limb_leads(f64::from(limb[0][t]), f64::from(limb[1][t]));
        // A comparison with a missing point is false, so it breaks nothing.
        let off = (0..4).map(|k| (f64::from(limb[k + 2][t]) - derived[k]).abs()).fold(0.0, f64::max);
        if off > slack {
            if broken.n_broken == 0 {
                broken.first = t;
            }
            broken.n_broken += 1;
            broken.largest_mv = broken.largest_mv.max(off);
        }
    }
    broken.share = broken.n_broken as f64 / n_points.max(1) as f64;
    broken
}

/// Channels that behave as I, II, III, aVR, aVL and aVF, whatever they are called; `None` when no six do.
fn find_limb_leads(mv: &[Vec<f32>]) -> Option<[usize; 6]> {
    let n_points = mv.first()?.len();
    let step = n_points.div_ceil(TRIED_POINTS).max(1);
    let is_whole = |t: usize| mv.iter().all(|lead| !lead[t].is_nan());
    let points: Vec<usize> = (0..n_points).step_by(step).filter(|&t| is_whole(t)).collect();
    let thin: Vec<Vec<f64>> = mv.iter().map(|lead| points.iter().map(|&t| f64::from(lead[t])).collect()).collect();
    let size: Vec<f64> = thin.iter().map(|lead| lead.iter().map(|v| v * v).sum::<f64>().sqrt()).collect();
    for i in 0..thin.len() {
        for ii in (0..thin.len()).filter(|&ii| ii != i && size[i] > 0.0 && size[ii] > 0.0) {
            let mut found = vec![i, ii];
            for derived in 0..4 {
                let is_it = |k: &usize| {
                    let off: f64 = (0..points.len())
                        .map(|t| (thin[*k][t] - derive_limb_leads(thin[i][t], thin[ii][t])[derived]).powi(2))
                        .sum();
                    off.sqrt() < MATCH * size[*k]
                };
                match (0..thin.len()).filter(|k| !found.contains(k)).find(is_it) {
                    Some(k) => found.push(k),
                    None => break,
                }
            }
            if let Ok(found) = found.try_into() {
                return Some(found);
            }
        }
    }
    None
}

/// Whether the eight independent leads are all there and alive, and where.
pub(super) fn eight_channels(record: &Record) -> Option<[usize; 8]> {
    let mut eight = [0; 8];
    for (slot, wanted) in eight.iter_mut().zip(crate::record::lead_law::EIGHT) {
        *slot = record.leads.iter().position(|lead| standard_name(&lead.name) == Some(wanted))?;
    }
    eight.iter().all(|&k| record.leads[k].quality() == LeadQuality::Usable).then_some(eight)
}
