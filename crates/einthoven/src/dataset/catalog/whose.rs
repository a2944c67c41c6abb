//! Whose record it is: the patient ids that a record in a folder may have in a data set.
//!
//! A table of patients beside the record tells it. Without one the record's name does, for the databases whose patients
//! go by it.

use std::path::Path;

use super::patients::patient_id;
use super::{chapman, ecgid, folder, ludb, mimic_iv_ecg, mitdb, ptbxl, qtdb};
use crate::dataset::table::Table;

/// Folders above a record in which a table is looked for.
const ABOVE: usize = 4;

/// A table that names records and patients.
struct PatientTable {
    file: &'static str,
    /// Columns of paths below the table's folder, with an extension or without.
    records: &'static [&'static str],
    patient: &'static str,
    /// Database before the id; none where the table has whole ids.
    database: Option<&'static str>,
}

const TABLES: [PatientTable; 3] = [
    PatientTable {
        file: "ptbxl_database.csv",
        records: &["filename_lr", "filename_hr"],
        patient: "patient_id",
        database: Some(ptbxl::NAME),
    },
    PatientTable {
        file: "record_list.csv",
        records: &["path"],
        patient: "subject_id",
        database: Some(mimic_iv_ecg::NAME),
    },
    PatientTable { file: folder::TABLE, records: &["record"], patient: "patient", database: None },
];

/// The id of a record's patient by the nearest table, or else those that its name may stand for.
pub fn patients_of(record: &Path) -> Vec<String> {
    let folder = record.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Where the folder cannot be resolved, its name as it was typed must do.
    let folder = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
    let path = folder.join(record.file_stem().unwrap_or_default());
    if let Some(patient) = path.ancestors().skip(1).take(ABOVE).find_map(|above| in_table(above, &path)) {
        return vec![patient];
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let person = path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let by_name = [chapman::NAME, ludb::NAME, qtdb::NAME].map(|database| patient_id(database, &name));
    let person = person.map(|person| patient_id(ecgid::NAME, &person));
    by_name.into_iter().chain([mitdb::patient(&name), name]).chain(person).collect()
}

/// The patient that a table in this folder names for the record. A table that cannot be read names none: it may be
/// another program's.
fn in_table(folder: &Path, record: &Path) -> Option<String> {
    let below = record.strip_prefix(folder).ok()?;
    TABLES.iter().filter(|known| folder.join(known.file).is_file()).find_map(|known| {
        let table = Table::read(&folder.join(known.file)).ok()?;
        let patient = table.find(known.patient)?;
        let columns: Vec<usize> = known.records.iter().filter_map(|name| table.find(name)).collect();
        let is_it = |cell: &str| !cell.trim().is_empty() && Path::new(cell.trim()).with_extension("") == below;
        let row = table.rows.iter().find(|row| columns.iter().any(|&column| is_it(&row.cells[column])))?;
        match known.database {
            Some(database) => Some(patient_id(database, &row.cells[patient])),
            None => Some(row.cells[patient].trim().to_string()),
        }
        .filter(|patient| !patient.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_beside_a_record_names_its_patient_and_else_its_name_does() {
        let root = std::env::temp_dir().join(format!("einthoven-whose-{}", std::process::id()));
        let folder = root.join("db/records500/00000");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("00001_hr.hea"), "").unwrap();
        let table = "ecg_id,patient_id,filename_lr,filename_hr\n1,15709.0,records100/00000/00001_lr,records500/00000/00001_hr\n";
        std::fs::write(root.join("db/ptbxl_database.csv"), table).unwrap();
        for name in ["00001_hr", "00001_hr.hea"] {
            assert_eq!(patients_of(&folder.join(name)), ["ptbxl-15709"]);
        }
        let other = patients_of(&root.join("mitdb/202"));
        assert!(other.contains(&"mitdb-201".to_string()) && other.contains(&"202".to_string()), "{other:?}");
        std::fs::write(root.join("labels.csv"), "record,patient\nmine/a.csv,anna\nmine/b,\n").unwrap();
        std::fs::create_dir_all(root.join("mine")).unwrap();
        std::fs::write(root.join("mine/a.hea"), "").unwrap();
        assert_eq!(patients_of(&root.join("mine/a")), ["anna"]);
        std::fs::remove_dir_all(&root).unwrap();
    }
}
