//! Records to Parquet: a row each, all in one row group.

use std::path::Path;

use crate::error::Result;
use crate::record::format::description::{LeadNames, lines, mark_lines};
use crate::record::format::fit::fit_leads;
use crate::record::format::guard_overwrite;
use crate::record::format::synthetic;
use crate::record::{Lead, MISSING, Record, Warning, WriteOptions};
use crate::run;

use super::table::{Column, Kind, TableWriter};

/// Writes one record.
///
/// # Errors
/// As [`write_records`].
pub fn write(record: &Record, path: &Path, options: &WriteOptions) -> Result<Vec<Warning>> {
    write_records(std::slice::from_ref(record), path, options)
}

/// Writes records, one row each.
///
/// # Errors
/// [`Guard`](crate::Error::Guard) when the file exists, [`Io`](crate::Error::Io), [`Shape`](crate::Error::Shape) for leads of other length,
/// rule D12 for a column beyond 2 GiB.
pub fn write_records(records: &[Record], path: &Path, options: &WriteOptions) -> Result<Vec<Warning>> {
    guard_overwrite(&[path.to_path_buf()], options.overwrite)?;
    let mut warnings = Vec::new();
    let mut columns = columns();
    for record in records {
        let leads = fit_leads(record, path, options, (-i32::MAX, i32::MAX), &mut warnings)?;
        row(record, &leads, &mut columns);
    }
    let mut table = TableWriter::new(Vec::new(), path)?;
    table.push_group(&columns, records.len())?;
    run::write_atomic(path, &table.finish(&columns, &[])?)?;
    Ok(warnings)
}

/// Number of each column, in the order of the schema.
const RECORD: usize = 0;
const FS_HZ: usize = 1;
const SIG_LEN: usize = 2;
const SYNTHETIC: usize = 3;
const LEADS: usize = 4;
const UNITS: usize = 5;
const GAIN: usize = 6;
const BASELINE: usize = 7;
const RATE: usize = 8;
const ADU: usize = 9;
const DESCRIPTION: usize = 10;

fn columns() -> Vec<Column> {
    vec![
        Column::new("record", Kind::Text, 0, false),
        Column::new("fs_hz", Kind::F64, 0, false),
        Column::new("sig_len", Kind::I64, 0, false),
        Column::new("synthetic", Kind::Bool, 0, false),
        Column::new("leads", Kind::Text, 1, false),
        Column::new("units", Kind::Text, 1, false),
        Column::new("gain_adu_per_unit", Kind::F64, 1, true),
        Column::new("baseline_adu", Kind::I32, 1, false),
        Column::new("samples_per_frame", Kind::I32, 1, false),
        Column::new("adu", Kind::I32, 2, true),
        Column::new("description", Kind::Text, 1, false),
    ]
}

/// Appends a record.
fn row(record: &Record, leads: &[Lead], columns: &mut [Column]) {
    columns[RECORD].entry(0, Ok(record.name.as_bytes()));
    columns[FS_HZ].entry(0, Ok(&record.fs_hz.to_le_bytes()));
    columns[SIG_LEN].entry(0, Ok(&(record.sig_len as i64).to_le_bytes()));
    // Bits are packed when the page is made.
    columns[SYNTHETIC].entry(0, Ok(&[u8::from(synthetic::is_synthetic(record))]));
    columns[LEADS].list(leads.iter().map(|lead| Some(lead.name.clone().into_bytes())));
    columns[UNITS].list(leads.iter().map(|lead| Some(lead.units.clone().into_bytes())));
    columns[GAIN].list(leads.iter().map(|lead| lead.gain_adu_per_unit.map(|gain| gain.to_le_bytes().to_vec())));
    columns[BASELINE].list(leads.iter().map(|lead| Some(lead.baseline_adu.to_le_bytes().to_vec())));
    columns[RATE].list(leads.iter().map(|lead| Some((lead.samples_per_frame as i32).to_le_bytes().to_vec())));
    let described = lines(record, leads, LeadNames::InLines).into_iter().chain(mark_lines(record));
    columns[DESCRIPTION].list(described.map(|line| Some(line.into_bytes())));
    let adu = &mut columns[ADU];
    let mut repetition = 0;
    for lead in leads {
        if lead.adu.is_empty() {
            adu.entry(repetition, Err(1));
        }
        for &point in &lead.adu {
            let bytes = point.to_le_bytes();
            adu.entry(repetition, if point == MISSING { Err(2) } else { Ok(&bytes) });
            repetition = 2;
        }
        repetition = 1;
    }
    if leads.is_empty() {
        adu.entry(0, Err(0));
    }
}
