//! The last step of every reader: sums are verified, and what the options leave out is dropped.

use std::path::Path;

use crate::error::{Error, Position, Result};
use crate::record::annotation::keep_range;
use crate::record::format::notes::{Notes, input, quoted};
use crate::record::{Annotators, Frames, ReadOptions, Record};

/// Verifies stated checksums (rule W23), sorts marks, and applies annotators, frames and range.
///
/// # Errors
/// Rule W23 when strict, [`Error::Config`] for a range outside the record.
pub(crate) fn finish(mut record: Record, path: &Path, options: &ReadOptions, mut notes: Notes) -> Result<Record> {
    for lead in &mut record.leads {
        if let Some(stated) = lead.checksum {
            lead.checksum_ok = Some(lead.compute_checksum() == stated);
            if lead.checksum_ok == Some(false) {
                let expected = format!("{} as computed", lead.compute_checksum());
                let field = format!("checksum of lead {}", quoted(&lead.name));
                let error = input("W23", path, Position::File, field, stated.to_string(), expected);
                notes.deviation(error, "kept the lead")?;
            }
        }
    }
    for marks in record.annotations.values_mut() {
        marks.sort_by_key(|mark| mark.sample);
    }
    match &options.annotators {
        Annotators::All => {}
        Annotators::None => record.annotations.clear(),
        Annotators::Named(names) => record.annotations.retain(|annotator, _| names.contains(annotator)),
    }
    if let Some(range) = options.range.clone() {
        if range.start > range.end || range.end > record.sig_len {
            let reason = format!("found {}..{}, expected frames within 0..{}", range.start, range.end, record.sig_len);
            return Err(Error::config("range", reason));
        }
        record.leads.iter_mut().for_each(|lead| lead.keep_frames(&range));
        record.annotations.values_mut().for_each(|marks| keep_range(marks, &range));
        record.sig_len = range.len();
    }
    if options.frames != Frames::Native {
        record.leads.iter_mut().for_each(|lead| lead.average_frames(options.frames));
    }
    record.warnings = notes.warnings;
    Ok(record)
}
