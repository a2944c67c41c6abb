//! Tables of patients: what must hold before anything is split by them (rules L1 and X05).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::error::{Error, Result};

/// What a table says of the patient of one record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PatientRow {
    /// Patient id; empty if the table names none, which rule L1 judges later.
    pub patient: String,
    /// Sex as the table writes it; empty if unknown.
    pub sex: String,
    /// Year of birth as the table writes it; empty if unknown.
    pub birth_year: String,
}

/// X05: a patient has one sex and one year of birth.
///
/// # Errors
/// [`Error::Guard`] `X05` listing the patients for whom the table holds several.
pub fn check_table(path: &Path, rows: &[PatientRow]) -> Result<()> {
    let mut seen: BTreeMap<&str, [BTreeSet<&str>; 2]> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row.patient.is_empty()) {
        let kinds = seen.entry(&row.patient).or_default();
        for (kind, value) in kinds.iter_mut().zip([row.sex.trim(), row.birth_year.trim()]) {
            if !value.is_empty() {
                kind.insert(value);
            }
        }
    }
    let conflicts: Vec<String> = seen
        .iter()
        .flat_map(|(patient, kinds)| {
            kinds.iter().zip(["sex", "year of birth"]).filter(|(kind, _)| kind.len() > 1).map(move |(kind, name)| {
                format!("patient {patient} with {name} {}", kind.iter().copied().collect::<Vec<_>>().join(" and "))
            })
        })
        .collect();
    if conflicts.is_empty() {
        return Ok(());
    }
    let shown = conflicts.iter().take(10).cloned().collect::<Vec<_>>().join("; ");
    Err(Error::Guard {
        code: "X05",
        reason: format!(
            "{}: {} rows of the patient table contradict each other: {shown}; correct the table",
            path.display(),
            conflicts.len()
        ),
    })
}

/// A patient id for use in data sets: the database's name and the id, or nothing if there is no id.
///
/// Ids that went through floating-point numbers (`15709.0`) are written as the whole numbers they are.
pub fn patient_id(database: &str, id: &str) -> String {
    let id = id.trim();
    let whole = id.strip_suffix(".0").unwrap_or(id);
    if whole.is_empty() { String::new() } else { format!("{database}-{whole}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(patient: &str, sex: &str, birth_year: &str) -> PatientRow {
        PatientRow { patient: patient.into(), sex: sex.into(), birth_year: birth_year.into() }
    }

    #[test]
    fn x05_contradictions_are_listed_and_gaps_are_none() {
        let fine = [row("a", "0", "1950"), row("a", "", "1950"), row("", "1", "1900"), row("", "0", "1901")];
        check_table(Path::new("t.csv"), &fine).expect("no contradiction");
        let broken = [row("a", "0", "1950"), row("a", "1", "1951"), row("b", "0", "")];
        let error = check_table(Path::new("t.csv"), &broken).expect_err("two sexes");
        assert_eq!((error.code(), error.exit_code()), (Some("X05"), 5));
        let text = error.to_string();
        assert!(text.contains("patient a with sex 0 and 1") && text.contains("1950 and 1951"), "{text}");
        assert!(!text.contains("patient b"));
    }

    #[test]
    fn ids_lose_the_fraction_of_a_spreadsheet() {
        assert_eq!(patient_id("ptbxl", "15709.0"), "ptbxl-15709");
        assert_eq!(patient_id("ptbxl", " "), "");
    }
}
