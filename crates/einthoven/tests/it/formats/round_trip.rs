//! What is written comes back, and stays marked, through every format and every pair of them.

use einthoven::record::format::parquet;
use einthoven::record::{FORMATS, WriteOptions, write};

use super::*;
use crate::folder::TempFolder;

/// Formats that hold everything of a record, by extension.
const WHOLE: [&str; 5] = ["edf", "dcm", "xml", "parquet", "npz"];

const OVERWRITE: WriteOptions = WriteOptions { storage: None, clip: false, overwrite: true };

/// Everything but what a reader adds.
fn without_additions(mut record: Record, original: &Record) -> Record {
    record.warnings.clear();
    for (lead, original) in record.leads.iter_mut().zip(&original.leads) {
        assert_ne!(lead.checksum_ok, Some(false), "{}", lead.name);
        (lead.checksum, lead.checksum_ok) = (original.checksum, original.checksum_ok);
    }
    record
}

#[test]
fn random_records_come_back_and_are_written_to_the_same_bytes() {
    let folder = TempFolder::new("formats-random");
    for seed in 0..60 {
        let record = random_record(Seed::new(seed));
        for extension in WHOLE {
            let path = folder.path().join(format!("x.{extension}"));
            write(&record, &path, &OVERWRITE).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let bytes = std::fs::read(&path).unwrap();
            let again = leniently(&path);
            assert_eq!(without_additions(again.clone(), &record), record, "{extension}, seed {seed}");
            write(&again, &path, &OVERWRITE).unwrap();
            assert!(std::fs::read(&path).unwrap() == bytes, "{extension}, seed {seed}: other bytes");
        }
    }
}

#[test]
fn every_pair_of_formats_keeps_points_marks_and_the_synthetic_mark() {
    let folder = TempFolder::new("formats-pairs");
    let mut record = random_record(Seed::new(3));
    record.leads.retain(|lead| lead.samples_per_frame == 1);
    while record.leads.len() < 2 {
        let n = record.leads.len();
        let adu = (0..record.sig_len as i32).map(|point| point * 7 % 300 - n as i32).collect();
        record.leads.push(Lead::new(["I", "V6"][n], 200.0, adu));
    }
    for lead in &mut record.leads {
        // WFDB shows control bytes of texts as blanks, and tables none: keep to what all formats share.
        lead.name = lead.name.replace(['<', '>', '&', '\u{e9}'], "e");
        lead.gain_adu_per_unit = Some(200.0);
        lead.format = StorageFormat::F16;
    }
    record.comments = vec!["Synthetic: yes".into(), "Generator: test".into()];
    (record.base_time, record.base_date) = (None, None);
    let rhythm = Annotation { aux: b"(N".to_vec(), ..Annotation::new(0, "+") };
    record.annotations = [("atr".into(), vec![rhythm, Annotation::new(1, "V")])].into();
    record.annotations.insert("qrs".into(), vec![Annotation::new(2, "N")]);
    let mut n_pairs = 0;
    for first in FORMATS {
        for second in FORMATS {
            let at = |format: &einthoven::record::RecordFormat, stem: &str| {
                folder.path().join(format!("{stem}.{}", format.extensions[0]))
            };
            let (from, to) = (at(first, "from"), at(second, "to"));
            write(&record, &from, &OVERWRITE).unwrap_or_else(|error| panic!("{error}"));
            let between = leniently(&from);
            write(&between, &to, &OVERWRITE).unwrap_or_else(|error| panic!("{error}"));
            let last = leniently(&to);
            let pair = format!("{} to {}", first.name, second.name);
            assert!(
                last.comments.iter().any(|comment| comment.trim() == "Synthetic: yes"),
                "{pair}: {:?}",
                last.comments
            );
            assert_eq!(last.leads.len(), record.leads.len(), "{pair}");
            for (lead, original) in last.leads.iter().zip(&record.leads) {
                assert_eq!((&lead.name, &lead.adu), (&original.name, &original.adu), "{pair}");
            }
            assert_eq!(last.annotations, record.annotations, "{pair}");
            n_pairs += 1;
        }
    }
    assert_eq!(n_pairs, 49);
}

#[test]
fn the_mark_survives_the_loss_of_comments() {
    let folder = TempFolder::new("formats-mark");
    let mut record = Record::new("x", 500.0);
    record.sig_len = 500;
    record.leads.push(Lead::new("II", 1000.0, (0..500).collect()));
    record.comments.push("Synthetic: yes".into());
    for extension in ["edf", "dcm", "xml", "parquet"] {
        let path = folder.path().join(format!("x.{extension}"));
        write(&record, &path, &OVERWRITE).unwrap();
        // The comment, and nothing else, is made unreadable as a line.
        let bytes = std::fs::read(&path).unwrap();
        let line = b"omment: Synthetic: yes";
        let at = bytes.windows(line.len()).position(|window| window == line).expect("the comment");
        let mut without = bytes.clone();
        without[at..at + line.len()].copy_from_slice(b"omment: Sinusrhythm!!!");
        std::fs::write(&path, without).unwrap();
        let again = leniently(&path);
        assert_eq!(again.comments, ["Sinusrhythm!!!", "Synthetic: yes"], "{extension}");
        // A record that is not synthetic gets no mark and no patient.
        let real = Record { comments: Vec::new(), ..record.clone() };
        write(&real, &path, &OVERWRITE).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(9).any(|window| window == b"SYNTHETIC"), "{extension}");
        assert_eq!(leniently(&path).comments, [""; 0], "{extension}");
    }
}

#[test]
fn edited_fields_win_over_the_description() {
    let folder = TempFolder::new("formats-edited");
    let mut record = Record::new("x", 100.0);
    record.sig_len = 100;
    record.leads.push(Lead::new("II", 200.0, (0..100).collect()));
    let path = folder.path().join("x.edf");
    write(&record, &path, &OVERWRITE).unwrap();
    assert_eq!(strictly(&path).warnings, []);
    let mut bytes = std::fs::read(&path).unwrap();
    // Physical minimum and maximum, doubled by another program.
    let at = 256 + 104 * 2;
    bytes[at..at + 8].copy_from_slice(b"-327.67 ");
    bytes[at + 16..at + 24].copy_from_slice(b"327.67  ");
    std::fs::write(&path, bytes).unwrap();
    let again = leniently(&path);
    assert_eq!(again.leads[0].gain_adu_per_unit, Some(100.0));
    assert!(again.warnings.iter().any(|warning| warning.message.contains("no longer agrees")), "{:?}", again.warnings);
}

#[test]
fn a_parquet_file_holds_many_records() {
    let folder = TempFolder::new("formats-many");
    let path = folder.path().join("many.parquet");
    let records: Vec<Record> = (0..5).map(|seed| random_record(Seed::new(seed))).collect();
    parquet::write_records(&records, &path, &OVERWRITE).unwrap();
    let again = parquet::read_records(&path, &ReadOptions::strict()).unwrap();
    assert_eq!(again.len(), 5);
    for (again, record) in again.into_iter().zip(&records) {
        assert_eq!(&without_additions(again, record), record);
    }
    let error = read(&path, &ReadOptions::strict()).unwrap_err();
    assert_eq!((error.code(), error.exit_code()), (Some("Q06"), 3));
    assert!(error.to_string().contains("number of rows: found 5, expected one record"), "{error}");
}

#[test]
fn points_beyond_sixteen_bits_are_refused_or_clipped_by_name() {
    let folder = TempFolder::new("formats-wide");
    let mut record = Record::new("x", 250.0);
    record.sig_len = 2;
    record.leads.push(Lead { format: StorageFormat::F24, ..Lead::new("II", 200.0, vec![5, 40_000]) });
    for extension in ["edf", "dcm"] {
        let path = folder.path().join(format!("x.{extension}"));
        let error = write(&record, &path, &OVERWRITE).unwrap_err();
        assert_eq!(error.code(), Some("D12"));
        assert!(error.to_string().contains("lead II, point 1: found 40000, expected -32767 to 32767"), "{error}");
        let clipped = write(&record, &path, &WriteOptions { clip: true, ..OVERWRITE }).unwrap();
        assert!(clipped[0].message.contains("clipped 1 points"), "{clipped:?}");
        assert_eq!(leniently(&path).leads[0].adu, [5, 32_767], "{extension}");
    }
    for extension in ["xml", "parquet", "npz"] {
        let path = folder.path().join(format!("x.{extension}"));
        write(&record, &path, &OVERWRITE).unwrap();
        assert_eq!(strictly(&path).leads[0].adu, [5, 40_000], "{extension}");
    }
}

#[test]
fn files_are_replaced_only_when_allowed() {
    let folder = TempFolder::new("formats-overwrite");
    let record = random_record(Seed::new(1));
    for extension in WHOLE {
        let path = folder.file(&format!("x.{extension}"), "the old one");
        let error = write(&record, &path, &WriteOptions::default()).unwrap_err();
        assert_eq!((error.exit_code(), error.code()), (5, Some("overwrite")), "{extension}");
        assert_eq!(std::fs::read(&path).unwrap(), b"the old one", "{extension}");
    }
}
