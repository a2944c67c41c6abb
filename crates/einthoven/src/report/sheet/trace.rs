//! The leads of a record as they go on paper: in mV, derived where that is possible, filtered only on request.

use super::Band;
use crate::error::{Error, Result};
use crate::record::lead_law::{derive_limb_leads, standard_name};
use crate::record::{Lead, LeadQuality, Record};
use crate::signal::filter::SosFilter;
use crate::signal::gap::bridged;

/// One lead, ready to be drawn.
pub(super) struct Trace {
    /// As printed beside it.
    pub label: String,
    /// Points in mV, NaN where missing; empty when the lead was not recorded.
    pub mv: Vec<f32>,
    /// Points per second.
    pub fs_hz: f64,
    /// What a reader must know about it, such as `clipped`.
    pub note: Option<&'static str>,
    /// Index of the lead in the record; `None` when derived or not recorded.
    pub lead: Option<usize>,
}

/// Share of a lead's points at an end of its range from which it is marked as clipped.
const CLIPPED_SHARE: f64 = 0.01;

/// Position of a lead by its standard name, in whatever spelling the file has.
///
/// # Errors
/// [`Error::Data`] when two leads bear the name.
pub(super) fn find(record: &Record, name: &str) -> Result<Option<usize>> {
    let is_it = |lead: &Lead| lead.name == name || standard_name(&lead.name) == Some(name);
    let mut found = record.leads.iter().enumerate().filter(|(_, lead)| is_it(lead)).map(|(index, _)| index);
    match (found.next(), found.next()) {
        (Some(first), Some(second)) => Err(Error::data(
            &record.name,
            format!("leads {first} and {second} are both called {name}: found two, expected one [W33]"),
        )),
        (first, _) => Ok(first),
    }
}

/// A lead by name as it is drawn; `-aVR` is upside down. One that is neither there nor derivable is empty.
///
/// # Errors
/// [`Error::Data`] for a unit that is no voltage, [`Error::Config`] for a filter that the rate does not allow.
pub(super) fn trace(record: &Record, name: &str, band: Band) -> Result<Trace> {
    let (plain, sign) = match name.strip_prefix('-') {
        Some(plain) => (plain, -1.0),
        None => (name, 1.0),
    };
    let mut trace = match find(record, plain)? {
        Some(index) => recorded(record, index)?,
        None => derived(record, plain)?,
    };
    trace.label = if standard_name(&trace.label).is_some() || trace.lead.is_none() { name.into() } else { trace.label };
    if sign < 0.0 {
        trace.mv.iter_mut().for_each(|value| *value = -*value);
    }
    filter(&mut trace, band)?;
    Ok(trace)
}

fn recorded(record: &Record, index: usize) -> Result<Trace> {
    let lead = &record.leads[index];
    let label = if lead.name.is_empty() { format!("lead {}", index + 1) } else { lead.name.clone() };
    let note = match lead.quality() {
        LeadQuality::AllMissing => Some("no points"),
        LeadQuality::Constant => Some("flat"),
        LeadQuality::Saturated => Some("clipped"),
        LeadQuality::Usable if lead.clipped_share() >= CLIPPED_SHARE => Some("clipped"),
        LeadQuality::Usable if !lead.is_calibrated() => Some("gain not stated"),
        LeadQuality::Usable => None,
    };
    Ok(Trace { label, mv: lead.mv()?, fs_hz: record.lead_fs_hz(lead), note, lead: Some(index) })
}

/// III, aVR, aVL or aVF from I and II.
fn derived(record: &Record, name: &str) -> Result<Trace> {
    let absent =
        Trace { label: name.into(), mv: Vec::new(), fs_hz: record.fs_hz, note: Some("not recorded"), lead: None };
    let Some(which) = ["III", "aVR", "aVL", "aVF"].iter().position(|derived| *derived == name) else {
        return Ok(absent);
    };
    let (Some(i), Some(ii)) = (find(record, "I")?, find(record, "II")?) else { return Ok(absent) };
    let (i, ii) = (&record.leads[i], &record.leads[ii]);
    if i.adu.len() != ii.adu.len() {
        return Ok(absent);
    }
    let (i_mv, ii_mv) = (i.mv()?, ii.mv()?);
    let mv = i_mv.iter().zip(ii_mv).map(|(&i, ii)| derive_limb_leads(f64::from(i), f64::from(ii))[which] as f32);
    Ok(Trace { mv: mv.collect(), fs_hz: record.lead_fs_hz(i), note: Some("derived"), ..absent })
}

/// Filters forward and backward. Gaps are bridged by a line for the filter and are gaps again after it.
fn filter(trace: &mut Trace, band: Band) -> Result<()> {
    let filters = [
        band.high_pass_hz.map(|hz| SosFilter::highpass(2, hz, trace.fs_hz).map_err(|e| e.renamed("high_pass_hz"))),
        band.low_pass_hz.map(|hz| SosFilter::lowpass(2, hz, trace.fs_hz).map_err(|e| e.renamed("low_pass_hz"))),
    ];
    let is_missing: Vec<bool> = trace.mv.iter().map(|value| value.is_nan()).collect();
    if is_missing.iter().all(|&missing| missing) {
        return Ok(());
    }
    let mut values = bridged(&trace.mv);
    for filter in filters.into_iter().flatten() {
        values = filter?.zero_phase(&values)?;
    }
    for ((out, value), missing) in trace.mv.iter_mut().zip(values).zip(is_missing) {
        *out = if missing { f32::NAN } else { value as f32 };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::MISSING;

    #[test]
    fn leads_are_derived_inverted_and_told_when_absent() {
        let mut record = Record::new("r", 500.0);
        record.sig_len = 2;
        record.leads =
            vec![Lead::new("i", 1000.0, vec![100, 200]), Lead::new("MDC_ECG_LEAD_II", 1000.0, vec![300, MISSING])];
        let third = trace(&record, "III", Band::default()).unwrap();
        // 0.3 and 0.1 are no numbers of f32, so their difference is off by one unit in the last place.
        assert!((third.mv[0] - 0.2).abs() < 1e-6 && third.note == Some("derived"), "{}", third.mv[0]);
        assert!(third.mv[1].is_nan());
        let inverted = trace(&record, "-aVR", Band::default()).unwrap();
        assert!(inverted.label == "-aVR" && (inverted.mv[0] - 0.2).abs() < 1e-6, "{}", inverted.mv[0]);
        let absent = trace(&record, "V1", Band::default()).unwrap();
        assert_eq!((absent.mv.len(), absent.note), (0, Some("not recorded")));
        assert_eq!(trace(&record, "I", Band::default()).unwrap().label, "I");
        record.leads[1].name = "I".into();
        assert!(trace(&record, "I", Band::default()).err().unwrap().to_string().contains("W33"));
    }
}
