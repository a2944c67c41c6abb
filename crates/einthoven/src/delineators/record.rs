//! A whole record delineated and measured: what `einthoven delineate` prints.

use serde::Serialize;

use super::{Delineation, Delineator, Leads};
use crate::beat::hrv::{self, FrequencyDomain, TimeDomain};
use crate::beat::interval::{self, Amplitudes, Intervals};
use crate::beat::rpeak;
use crate::error::{Error, Result};
use crate::record::{Annotation, Fiducial, Lead, LeadQuality, Record, Wave};

/// The waves of a record and what is measured between them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordDelineation {
    /// Name of the record.
    pub record: String,
    /// Points per second; positions are points at this rate.
    pub fs_hz: f64,
    /// Waves across all leads.
    pub fiducials: Vec<Fiducial>,
    /// Intervals across all leads.
    pub intervals: Intervals,
    /// Variability of the heart rate over all beats; `None` for fewer than four.
    pub hrv_time: Option<TimeDomain>,
    /// The same by frequency; `None` for less than a minute.
    pub hrv_frequency: Option<FrequencyDomain>,
    /// Lead by lead, in the order of the record.
    pub leads: Vec<LeadDelineation>,
    /// Leads that could not be delineated, with the reason.
    pub left_out: Vec<LeftOut>,
    /// What had to be repaired when the record was read.
    pub warnings: Vec<String>,
    /// What has to be known about the result: [`NO_RHYTHM`], or nothing.
    pub notes: Vec<&'static str>,
}

/// Said of a record without beats, such as one of noise or of ventricular fibrillation: nothing is measured in it.
pub const NO_RHYTHM: &str = "no rhythm found";

/// The waves of one lead.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeadDelineation {
    /// Name of the lead.
    pub lead: String,
    /// Its waves in the order of time.
    pub fiducials: Vec<Fiducial>,
    /// Its intervals. The axis needs several leads and stands with those across leads.
    pub intervals: Intervals,
    /// Its amplitudes.
    pub amplitudes: Amplitudes,
}

/// A lead that could not be delineated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Name of the lead.
    pub lead: String,
    /// Why.
    pub reason: &'static str,
}

/// Delineates every usable lead of a record that was read with one rate for all leads.
///
/// # Errors
/// [`Error::Data`] when no lead is usable; those of the delineator.
pub fn delineate_record(record: &Record, delineator: &dyn Delineator) -> Result<RecordDelineation> {
    let (usable, left_out) = usable_leads(record);
    let millivolts: Vec<Vec<f32>> = usable.iter().map(|lead| lead.mv()).collect::<Result<_>>()?;
    if usable.is_empty() {
        return Err(Error::data(&record.name, "found no lead that could be delineated, expected at least one in mV"));
    }
    let mv: Vec<&[f32]> = millivolts.iter().map(Vec::as_slice).collect();
    let Delineation { across, leads } = delineator.delineate(&Leads { mv: &mv, fs_hz: record.fs_hz })?;
    let named: Vec<(&str, &[f32])> = usable.iter().map(|lead| lead.name.as_str()).zip(mv.iter().copied()).collect();
    let beats: Vec<f64> =
        across.iter().filter(|found| found.wave == Wave::Qrs).map(|found| found.peak as f64 / record.fs_hz).collect();
    let rr_ms: Vec<f64> = beats.windows(2).map(|pair| (pair[1] - pair[0]) * 1000.0).collect();
    let notes = if beats.is_empty() { vec![NO_RHYTHM] } else { Vec::new() };
    Ok(RecordDelineation {
        record: record.name.clone(),
        fs_hz: record.fs_hz,
        intervals: interval::intervals_with_axis(&across, &named, record.fs_hz),
        hrv_time: hrv::time_domain(&rr_ms),
        hrv_frequency: hrv::frequency_domain(beats.get(1..).unwrap_or_default(), &rr_ms)?,
        leads: leads
            .into_iter()
            .zip(&named)
            .map(|(fiducials, (name, mv))| LeadDelineation {
                lead: (*name).to_string(),
                intervals: interval::intervals(&fiducials, record.fs_hz),
                amplitudes: interval::amplitudes(&fiducials, mv, record.fs_hz),
                fiducials,
            })
            .collect(),
        fiducials: across,
        left_out,
        warnings: record.warnings.iter().map(ToString::to_string).collect(),
        notes,
    })
}

/// Which leads beats are looked for in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum DetectionLeads {
    /// All usable leads from three on; of one or two, as ambulatory recorders have, the first alone. Their second lead
    /// is often the noisy one, and two leads cannot outvote each other.
    #[default]
    Default,
    /// All usable leads.
    All,
    /// The lead of that name.
    Named(String),
}

/// Annotations of the beats of a record, `N` each: the detector finds beats and does not classify them.
///
/// # Errors
/// [`Error::Unknown`] for a lead that is not there; [`Error::Data`] when no lead is usable; those of the detector.
pub fn detect_beats(record: &Record, which: &DetectionLeads) -> Result<Vec<Annotation>> {
    let mut leads = match which {
        DetectionLeads::Named(name) => vec![record.lead(name)?],
        _ => usable_leads(record).0,
    };
    if leads.is_empty() {
        return Err(Error::data(&record.name, "found no lead with a heartbeat in mV, expected at least one"));
    }
    if *which == DetectionLeads::Default && leads.len() < 3 {
        leads.truncate(1);
    }
    let millivolts: Vec<Vec<f32>> = leads.iter().map(|lead| lead.mv()).collect::<Result<_>>()?;
    let mv: Vec<&[f32]> = millivolts.iter().map(Vec::as_slice).collect();
    let peaks = rpeak::r_peaks(&mv, record.fs_hz)?;
    Ok(peaks.into_iter().map(|at| Annotation::new(at as i64, "N")).collect())
}

/// Leads with a voltage that changes, and the others with the reason.
fn usable_leads(record: &Record) -> (Vec<&Lead>, Vec<LeftOut>) {
    let mut left_out = Vec::new();
    let mut usable = Vec::new();
    for lead in &record.leads {
        let reason = match (lead.mv_per_unit(), lead.quality()) {
            (None, _) => "its unit is not a voltage",
            (_, LeadQuality::AllMissing) => "all its points are missing",
            (_, LeadQuality::Constant) => "all its points are equal",
            _ => {
                usable.push(lead);
                continue;
            }
        };
        left_out.push(LeftOut { lead: lead.name.clone(), reason });
    }
    (usable, left_out)
}
