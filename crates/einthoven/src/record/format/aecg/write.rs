//! Records to HL7 annotated ECG.
//!
//! The subject is never named; of a synthetic record it is SYNTHETIC, in the trial subject's id and
//! the clinical trial's title. Times are relative where no start is known. The format has no mark for
//! missing points: a number that is no point of the record stands for them, and the description
//! names it. Comments, marks and exact calibration are lines of the document's text.

use std::fmt::Write;
use std::path::Path;

use crate::error::{Error, Position, Result};
use crate::record::format::description::{LeadNames, PREFIX, lines, mark_lines};
use crate::record::format::fit::{fit_leads, rate_groups};
use crate::record::format::guard_overwrite;
use crate::record::format::start_time::digits_of;
use crate::record::format::synthetic::{self, Identifiers};
use crate::record::lead::DEFAULT_GAIN;
use crate::record::{Lead, MISSING, Record, Warning, WriteOptions, lead_law};
use crate::run;

use super::xml::escaped;
use super::{LEAD_CODE, MISSING_KEY};

/// Writes a record as an aECG document.
///
/// # Errors
/// [`Error::Guard`] when the file exists, [`Error::Data`] for a record without leads,
/// [`Error::Shape`] for leads of different length.
pub fn write(record: &Record, path: &Path, options: &WriteOptions) -> Result<Vec<Warning>> {
    guard_overwrite(&[path.to_path_buf()], options.overwrite)?;
    let mut warnings = Vec::new();
    let leads = fit_leads(record, path, options, (-i32::MAX, i32::MAX), &mut warnings)?;
    if leads.is_empty() {
        return Err(Error::data(&record.name, "found no leads, expected at least one: a series needs them"));
    }
    let marker = marker(&leads);
    if let Some(marker) = marker {
        let message = format!("missing points: the format has no mark for them; written as {marker}");
        warnings.push(Warning { code: "D07", path: path.to_path_buf(), position: Position::File, message });
    }
    run::write_atomic(path, document(record, &leads, marker).as_bytes())?;
    Ok(warnings)
}

/// A number that no present point has, when some are missing.
fn marker(leads: &[Lead]) -> Option<i32> {
    let has = |value: i32| leads.iter().any(|lead| lead.adu.contains(&value));
    // The smallest 32-bit number marks missing points in records too, so it is never a present one.
    has(MISSING).then(|| if has(-32_768) { MISSING } else { -32_768 })
}

/// The document.
fn document(record: &Record, leads: &[Lead], marker: Option<i32>) -> String {
    let identifiers = Identifiers::of(record);
    let is_synthetic = synthetic::is_synthetic(record);
    let start = digits_of(record);
    let start = start.0.zip(start.1).map(|(date, time)| date + &time);
    let time = start.as_ref().map_or_else(
        || "<effectiveTime nullFlavor=\"UNK\"/>".to_string(),
        |start| format!("<effectiveTime><low value=\"{start}\"/></effectiveTime>"),
    );
    let null = "<id nullFlavor=\"NI\"/>".to_string();
    let (subject, trial, title) = if is_synthetic {
        let subject =
            format!("<id root=\"{}\" extension=\"{}\"/>", identifiers.uuid_text("subject"), synthetic::PATIENT);
        let trial = format!("<id root=\"{}\"/>", identifiers.uuid_text("trial"));
        (subject, trial, format!("<title>Synthetic ECG. {}.</title>", synthetic::WARNING))
    } else {
        (null.clone(), null, String::new())
    };
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    text += "<AnnotatedECG xmlns=\"urn:hl7-org:v3\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" type=\"Observation\">\n";
    text += &format!("<id root=\"{}\"/>\n", identifiers.uuid_text("document"));
    text += "<code code=\"93000\" codeSystem=\"2.16.840.1.113883.6.12\"/>\n<text>\n";
    for line in lines(record, leads, LeadNames::InLines).into_iter().chain(mark_lines(record)) {
        text += &format!("{PREFIX}{}\n", escaped(&line));
    }
    if let Some(marker) = marker {
        text += &format!("{PREFIX}{MISSING_KEY}: {marker}\n");
    }
    text += &format!("</text>\n{time}\n<componentOf><timepointEvent><componentOf><subjectAssignment>\n");
    text += &format!("<subject><trialSubject>{subject}</trialSubject></subject>\n");
    text += &format!("<componentOf><clinicalTrial>{trial}{title}</clinicalTrial></componentOf>\n");
    text += "</subjectAssignment></componentOf></timepointEvent></componentOf>\n<component><series>\n";
    text += &format!("<id root=\"{}\"/>\n", identifiers.uuid_text("series"));
    text += &format!("<code code=\"RHYTHM\" codeSystem=\"2.16.840.1.113883.5.4\"/>\n{time}\n");
    for set in rate_groups(leads) {
        sequence_set(record, &leads[set], start.as_deref(), marker, &mut text);
    }
    text + "</series></component>\n</AnnotatedECG>\n"
}

/// The time and the leads of one rate.
fn sequence_set(record: &Record, leads: &[Lead], start: Option<&str>, marker: Option<i32>, text: &mut String) {
    let step_s = 1.0 / record.lead_fs_hz(&leads[0]);
    let (code, kind, head) = match start {
        Some(start) => ("TIME_ABSOLUTE", "GLIST_TS", format!("<head value=\"{start}\"/>")),
        None => ("TIME_RELATIVE", "GLIST_PQ", "<head value=\"0\" unit=\"s\"/>".into()),
    };
    *text += "<component><sequenceSet>\n<component><sequence>";
    *text += &format!("<code code=\"{code}\" codeSystem=\"2.16.840.1.113883.5.4\"/>");
    *text += &format!("<value xsi:type=\"{kind}\">{head}<increment value=\"{step_s}\" unit=\"s\"/></value>");
    *text += "</sequence></component>\n";
    for lead in leads {
        let gain = lead.gain_adu_per_unit.unwrap_or(DEFAULT_GAIN);
        // A unit is a code, which has no blanks; the description has it as it was.
        let unit =
            lead.units.replace(['\u{b5}', '\u{3bc}'], "u").replace(|c: char| c.is_control() || c.is_whitespace(), "");
        let unit = escaped(&unit);
        // A subtraction from 0 has no negative zero.
        let origin = 0.0 - f64::from(lead.baseline_adu) / gain;
        *text += &format!("<component><sequence>{}<value xsi:type=\"SLIST_PQ\">", lead_code(&lead.name));
        *text += &format!("<origin value=\"{origin}\" unit=\"{unit}\"/>");
        *text += &format!("<scale value=\"{}\" unit=\"{unit}\"/><digits>", 1.0 / gain);
        for (index, &point) in lead.adu.iter().enumerate() {
            let stored = if point == MISSING { marker.unwrap_or(point) } else { point };
            // Writing to a string cannot fail.
            let _ = if index > 0 { write!(text, " {stored}") } else { write!(text, "{stored}") };
        }
        *text += "</digits></value></sequence></component>\n";
    }
    *text += "</sequenceSet></component>\n";
}

/// The code of a lead; one without a code has its name beside a null.
fn lead_code(name: &str) -> String {
    match lead_law::standard_name(name) {
        Some(standard) => {
            let code = standard.to_ascii_uppercase();
            format!("<code code=\"{LEAD_CODE}{code}\" codeSystem=\"2.16.840.1.113883.6.24\"/>")
        }
        None => {
            let name = escaped(&name.replace(char::is_control, " "));
            format!("<code nullFlavor=\"OTH\" codeSystem=\"2.16.840.1.113883.6.24\" displayName=\"{name}\"/>")
        }
    }
}
