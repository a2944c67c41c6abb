//! Leads as a format can hold them: one gain each, and points within the range of its numbers.

use std::ops::Range;
use std::path::Path;

use crate::error::{Error, Position, Result};
use crate::record::format::notes::input;
use crate::record::format::wfdb::unify_gain;
use crate::record::{Lead, MISSING, Record, Warning, WriteOptions};

/// Copies of the leads with one gain and every present point in `low..=high` (rule D12).
///
/// # Errors
/// [`Error::Shape`] for a lead of another length than the record; rule D12 naming lead and point,
/// unless clipping was asked for; [`Error::Data`] for a sampling frequency that is none.
pub(crate) fn fit_leads(
    record: &Record,
    path: &Path,
    options: &WriteOptions,
    (low, high): (i32, i32),
    warnings: &mut Vec<Warning>,
) -> Result<Vec<Lead>> {
    if !(record.fs_hz.is_normal() && record.fs_hz > 0.0) {
        let reason = format!("sampling frequency: found {}, expected a positive number", record.fs_hz);
        return Err(Error::data(&record.name, reason));
    }
    let mut leads = Vec::with_capacity(record.leads.len());
    for lead in &record.leads {
        let expected = record.sig_len.saturating_mul(lead.samples_per_frame);
        if lead.adu.len() != expected {
            let what = format!("lead {}", lead.name);
            return Err(Error::Shape { what, expected: vec![expected], actual: vec![lead.adu.len()] });
        }
        let mut lead = lead.clone();
        let mut warn = |code, message: String| {
            warnings.push(Warning { code, path: path.to_path_buf(), position: Position::File, message });
        };
        if !lead.gain_changes.is_empty() {
            unify_gain(&mut lead);
            warn("S09", format!("lead {}: several gains, rescaled to the first with rounding", lead.name));
        }
        let is_outside = |point: &i32| *point != MISSING && !(low..=high).contains(point);
        if let Some(at) = lead.adu.iter().position(is_outside) {
            if !options.clip {
                let (field, found) = (format!("lead {}, point {at}", lead.name), lead.adu[at].to_string());
                let mut error = input("D12", path, Position::File, field, found, format!("{low} to {high}"));
                error.hint = "choose another format, or clip".into();
                return Err(error.into());
            }
            let n = lead.adu.iter().filter(|point| is_outside(point)).count();
            lead.adu.iter_mut().filter(|point| is_outside(point)).for_each(|point| *point = (*point).clamp(low, high));
            warn("D12", format!("lead {}: clipped {n} points to {low}..{high}", lead.name));
        }
        leads.push(lead);
    }
    Ok(leads)
}

/// Neighbours of one rate.
pub(crate) fn rate_groups(leads: &[Lead]) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    for (index, lead) in leads.iter().enumerate() {
        match groups.last_mut().filter(|group| leads[group.start].samples_per_frame == lead.samples_per_frame) {
            Some(group) => group.end += 1,
            None => groups.push(index..index + 1),
        }
    }
    groups
}

/// A number without the last digits that a detour over decimal text has made up.
pub(crate) fn snapped(value: f64) -> f64 {
    format!("{value:.11e}").parse().unwrap_or(value)
}

/// The shortest decimal text of a number that fits a field, as near as the field allows.
pub(crate) fn decimal_field(value: f64, width: usize) -> Option<String> {
    let exact = format!("{value}");
    if exact.len() <= width {
        return Some(exact);
    }
    (0..width).rev().map(|digits| format!("{value:.digits$}")).find(|text| text.len() <= width)
}
