//! What `einthoven inspect` says about a record.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::record::{LeadQuality, Record};

/// A record in numbers; field names are a contract with scripts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordSummary {
    /// Name of the record.
    pub record: String,
    /// Frames per second.
    pub fs_hz: f64,
    /// Number of frames.
    pub sig_len: usize,
    /// Time of day at the start.
    pub base_time: Option<String>,
    /// Date at the start.
    pub base_date: Option<String>,
    /// Leads in the order of the file.
    pub leads: Vec<LeadSummary>,
    /// Counts by annotator.
    pub annotations: BTreeMap<String, AnnotationSummary>,
    /// Comments of the header.
    pub comments: Vec<String>,
    /// Accepted deviations, one line each.
    pub warnings: Vec<String>,
}

/// A lead in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeadSummary {
    /// Name of the lead.
    pub name: String,
    /// Physical unit.
    pub units: String,
    /// Storage format number.
    pub storage_format: u32,
    /// Points per frame.
    pub samples_per_frame: usize,
    /// Gain in adu per mV, per own unit where that is no voltage; null when uncalibrated.
    pub gain_adu_per_mv: Option<f64>,
    /// Digital value of 0 units; null when uncalibrated.
    pub baseline_adu: Option<i32>,
    /// Checksum of the header, signed 16-bit.
    pub checksum: Option<i16>,
    /// Whether the points match it; null when that could not be verified.
    pub checksum_ok: Option<bool>,
    /// Number of missing points.
    pub n_missing: usize,
    /// Smallest value in mV; null when there is none or the unit is no voltage.
    pub min_mv: Option<f64>,
    /// Largest value in mV.
    pub max_mv: Option<f64>,
    /// `usable`, `all missing`, `constant` or `saturated` (rule D11).
    pub quality: &'static str,
}

/// Annotations of one annotator, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AnnotationSummary {
    /// All annotations.
    pub total: usize,
    /// Those that mark a heartbeat.
    pub beats: usize,
    /// Counts by symbol.
    pub by_symbol: BTreeMap<String, usize>,
}

impl Record {
    /// Counts and ranges of the record.
    pub fn summary(&self) -> RecordSummary {
        let leads = self.leads.iter().map(|lead| {
            let scale = lead.mv_per_unit();
            let extremes = scale.and_then(|scale| {
                let values = lead.physical().into_iter().filter(|value| !value.is_nan()).map(|value| value * scale);
                values.fold(None, |range: Option<(f64, f64)>, value| match range {
                    None => Some((value, value)),
                    Some((low, high)) => Some((low.min(value), high.max(value))),
                })
            });
            LeadSummary {
                name: lead.name.clone(),
                units: lead.units.clone(),
                storage_format: lead.format.number(),
                samples_per_frame: lead.samples_per_frame,
                gain_adu_per_mv: lead.gain_adu_per_unit.map(|gain| gain / scale.unwrap_or(1.0)),
                baseline_adu: lead.gain_adu_per_unit.map(|_| lead.baseline_adu),
                checksum: lead.checksum,
                checksum_ok: lead.checksum_ok,
                n_missing: lead.n_missing(),
                min_mv: extremes.map(|range| range.0),
                max_mv: extremes.map(|range| range.1),
                quality: match lead.quality() {
                    LeadQuality::Usable => "usable",
                    LeadQuality::AllMissing => "all missing",
                    LeadQuality::Constant => "constant",
                    LeadQuality::Saturated => "saturated",
                },
            }
        });
        let annotations = self.annotations.iter().map(|(annotator, marks)| {
            let mut by_symbol = BTreeMap::new();
            for mark in marks {
                *by_symbol.entry(mark.symbol.to_string()).or_insert(0) += 1;
            }
            let beats = marks.iter().filter(|mark| mark.is_beat()).count();
            (annotator.clone(), AnnotationSummary { total: marks.len(), beats, by_symbol })
        });
        RecordSummary {
            record: self.name.clone(),
            fs_hz: self.fs_hz,
            sig_len: self.sig_len,
            base_time: self.base_time.clone(),
            base_date: self.base_date.clone(),
            leads: leads.collect(),
            annotations: annotations.collect(),
            comments: self.comments.clone(),
            warnings: self.warnings.iter().map(ToString::to_string).collect(),
        }
    }
}
