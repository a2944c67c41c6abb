//! Rows D01 to D12: signal files.

use einthoven::Position::{Byte, File};
use einthoven::record::{Lead, LeadQuality, MISSING, StorageFormat, WriteOptions, write};

use super::*;

/// A record of one lead in the given format and its file.
fn one_lead(format: u32, sig_len: &str, bytes: &[u8]) -> TempFolder {
    let folder = TempFolder::new("signal");
    folder.file("r.hea", format!("r 1 360 {sig_len}\nr.dat {format} 200 12 0 0\n"));
    folder.file("r.dat", bytes);
    folder
}

/// Reads the lead's points strictly.
fn points(folder: &TempFolder) -> Vec<i32> {
    strictly(folder.path().join("r.hea")).leads.remove(0).adu
}

/// Asserts that the record is refused in both modes.
fn refused(folder: &TempFolder, code: &str, position: Position, parts: &[&str]) {
    let path = folder.path().join("r.hea");
    assert_rule(read(&path, &ReadOptions::lenient()).unwrap_err(), code, position, parts);
    assert_rule(read(&path, &ReadOptions::strict()).unwrap_err(), code, position, parts);
}

#[test]
fn d01_file_missing() {
    let folder = good_record("d01");
    fs::remove_file(folder.path().join("r.dat")).unwrap();
    let error = read(folder.path().join("r"), &ReadOptions::strict()).unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().contains("r.dat"), "{error}");
    let error = read(folder.path().join("nothing"), &ReadOptions::strict()).unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().contains("nothing.hea"), "{error}");
    folder.file("r.dat", good_points());
    strictly(folder.path().join("r"));
}

#[test]
fn d02_truncated() {
    let folder = good_record("d02");
    folder.file("r.dat", &good_points()[..10]);
    let path = folder.path().join("r.hea");
    let error = read(&path, &ReadOptions::strict()).unwrap_err();
    assert_rule(
        error,
        "D02",
        File,
        &["r.dat", "found 10 bytes, the last whole frame is 2, expected 16 bytes for 4 samples"],
    );
    let record = leniently(&path);
    assert_eq!(record.leads[0].adu, [1, 2, MISSING, MISSING]);
    assert_eq!((record.leads[1].n_missing(), record.leads[1].checksum_ok), (2, None));
    assert_warned(&record.warnings, "D02", File, "the rest is marked missing");
    folder.file("r.dat", good_points());
    assert_eq!(strictly(&path).leads[0].adu, [1, 2, 3, 4]);
}

#[test]
fn d03_part_of_a_value() {
    for (format, width) in [(16, 2), (61, 2), (160, 2), (24, 3), (32, 4)] {
        for len in ["0", "2"] {
            let folder = one_lead(format, len, &vec![0; 2 * width + 1]);
            refused(
                &folder,
                "D03",
                File,
                &[&format!("found {} bytes of data, expected a multiple of {width}", 2 * width + 1)],
            );
            folder.file("r.dat", vec![0; 2 * width]);
            assert_eq!(points(&folder).len(), 2);
        }
    }
}

#[test]
fn d04_longer_than_declared() {
    let folder = good_record("d04");
    folder.file("r.dat", [good_points(), vec![0; 6]].concat());
    let record = strictly(folder.path().join("r"));
    assert_eq!(record.leads[0].adu, [1, 2, 3, 4]);
    assert_warned(&record.warnings, "D04", File, "found 22 bytes, expected 16; ignored the surplus of 6");
}

#[test]
fn d05_odd_number_in_format_212() {
    let bytes = [0x01, 0x00, 0x02, 0xff, 0x0f, 0x00];
    for len in [5, 6] {
        let folder = one_lead(212, "3", &bytes[..len]);
        assert_eq!(points(&folder), [1, 2, -1]);
        assert!(!strictly(folder.path().join("r")).warnings.iter().any(|warning| warning.code == "D04"));
    }
    for declared in ["3", "0"] {
        refused(
            &one_lead(212, declared, &bytes[..4]),
            "D05",
            File,
            &["found 4 bytes of data, expected 5 or 6, for 3 values"],
        );
    }
}

#[test]
fn d06_pad_bits_in_a_partial_block() {
    // -4 in ten bits, every pad bit set.
    assert_eq!(points(&one_lead(311, "1", &[0xfc, 0xff])), [-4]);
    assert_eq!(points(&one_lead(310, "1", &[0xf9, 0xff])), [-4]);
    assert_eq!(points(&one_lead(311, "2", &[0xfc, 0xf3, 0xff])), [-4, -4]);
}

#[test]
fn d07_markers_of_missing_points() {
    for format in StorageFormat::ALL {
        let Some(marker) = format.missing_marker() else { continue };
        let folder = TempFolder::new("d07");
        let mut record = Record::new("r", 360.0);
        record.sig_len = 4;
        record.leads = vec![Lead { format, ..Lead::new("I", 200.0, vec![MISSING, marker + 1, MISSING, 5]) }];
        let path = folder.path().join("r.hea");
        write(&record, &path, &WriteOptions::default()).unwrap();
        let again = strictly(&path);
        assert_eq!(again.leads[0].adu, [MISSING, marker + 1, MISSING, 5], "{format}");
        assert!(again.leads[0].mv().unwrap()[0].is_nan());
        assert_eq!(again.leads[0].checksum_ok, Some(true));
        if marker != MISSING {
            // A real value equal to the marker is never written.
            record.leads[0].adu[3] = marker;
            let options = WriteOptions { overwrite: true, ..WriteOptions::default() };
            assert_rule(write(&record, &path, &options).unwrap_err(), "D12", File, &["lead I, point 3"]);
        }
    }
}

#[test]
fn d08_running_sum_leaves_32_bits() {
    let folder = TempFolder::new("d08");
    let header = |initial: &str| folder.file("r.hea", format!("r 1 360 3\nr.dat 8 200 12 0 {initial}\n"));
    folder.file("r.dat", [0, 100, 100]);
    let path = header("2147483500");
    assert_rule(read(&path, &ReadOptions::lenient()).unwrap_err(), "D08", File, &["beyond 32 bits in frame 2"]);
    header("2147483447");
    assert_eq!(points(&folder)[2], i32::MAX);
}

#[test]
fn d09_flac_faults() {
    let folder = TempFolder::new("d09");
    let mut record = Record::new("r", 360.0);
    record.sig_len = 5000;
    let wave = |step: i32| (0..5000).map(|point| (point * step) % 100 - 50).collect();
    record.leads = vec![
        Lead { format: StorageFormat::F516, ..Lead::new("I", 200.0, wave(7)) },
        Lead { format: StorageFormat::F516, ..Lead::new("II", 200.0, wave(13)) },
    ];
    let path = folder.path().join("r.hea");
    write(&record, &path, &WriteOptions::default()).unwrap();
    let (header, good) = (fs::read_to_string(&path).unwrap(), fs::read(folder.path().join("r.dat")).unwrap());
    let broken = |header: &str, bytes: &[u8]| {
        folder.file("r.hea", header);
        folder.file("r.dat", bytes);
        rule(read(&path, &ReadOptions::lenient()).unwrap_err())
    };
    let one_signal: String = header.lines().take(2).map(|line| line.replace("r 2", "r 1") + "\n").collect();
    let error = broken(&one_signal, &good);
    assert_eq!((error.code, error.field.as_str(), error.found.as_str()), ("D09", "STREAMINFO", "2 channels"));
    let error = broken(&header.replace(" 516 ", " 524 "), &good);
    assert_eq!((error.code, error.found.as_str()), ("D09", "16 bits per sample"));
    let mut bytes = good.clone();
    let last = bytes.len() - 20;
    bytes[last] ^= 1;
    let error = broken(&header, &bytes);
    assert_eq!((error.code, error.field.as_str()), ("D09", "frame 1"));
    assert!(matches!(error.position, Byte(_)));
    let mut bytes = good.clone();
    bytes[30] ^= 1;
    let error = broken(&header, &bytes);
    assert_eq!((error.code, error.field.as_str(), error.position), ("D09", "MD5 of the samples", Byte(26)));
    assert_eq!(broken(&header, b"RIFF").code, "D09");
    let error = broken(&header, &good[..good.len() - 1]);
    assert_eq!((error.code, error.field.as_str()), ("D09", "frame 1"));
    folder.file("r.dat", &good);
    assert_eq!(strictly(&path).leads[1].adu, record.leads[1].adu);
}

#[test]
fn d09_flac_bomb_is_stopped_at_the_declared_size() {
    let folder = TempFolder::new("bomb");
    let mut record = Record::new("r", 360.0);
    record.sig_len = 1_000_000;
    record.leads = vec![Lead { format: StorageFormat::F516, ..Lead::new("I", 200.0, vec![7; 1_000_000]) }];
    let path = folder.path().join("r.hea");
    write(&record, &path, &WriteOptions::default()).unwrap();
    let mut options = ReadOptions::strict();
    options.caps.decompressed_points = 10_000;
    assert_rule(read(&path, &options).unwrap_err(), "D02", File, &["found 10000 samples, expected 1000000"]);
    folder.file("r.hea", "r 1 360 10\nr.dat 516 200 16 0 7 70\n");
    let record = strictly(&path);
    assert_eq!(record.leads[0].adu, [7; 10]);
    assert_warned(&record.warnings, "D04", File, "more samples than declared");
}

// D10, a file that changes while it is read, is tested beside the function that reads.

#[test]
fn d11_leads_unfit_for_training_are_flagged() {
    let quality = |points: [i16; 4]| {
        let bytes: Vec<u8> = points.iter().flat_map(|point| point.to_le_bytes()).collect();
        strictly(one_lead(16, "4", &bytes).path().join("r")).leads[0].quality()
    };
    assert_eq!(quality([5; 4]), LeadQuality::Constant);
    assert_eq!(quality([i16::MIN; 4]), LeadQuality::AllMissing);
    // The header says 12 bits around 0.
    assert_eq!(quality([2047, 1, 2, 2047]), LeadQuality::Saturated);
    assert_eq!(quality([1, 2, 3, 4]), LeadQuality::Usable);
}

#[test]
fn d12_values_outside_the_format() {
    let folder = TempFolder::new("d12");
    let mut record = Record::new("r", 360.0);
    record.sig_len = 3;
    record.leads = vec![Lead { format: StorageFormat::F212, ..Lead::new("aVF", 200.0, vec![0, 5000, -5000]) }];
    let path = folder.path().join("r.hea");
    let error = write(&record, &path, &WriteOptions::default()).unwrap_err();
    assert_rule(error, "D12", File, &["lead aVF, point 1: found 5000, expected -2047 to 2047 in format 212"]);
    assert!(!path.exists() && !folder.path().join("r.dat").exists());
    let warnings = write(&record, &path, &WriteOptions { clip: true, ..WriteOptions::default() }).unwrap();
    assert_warned(&warnings, "D12", File, "clipped 2 points");
    assert_eq!(strictly(&path).leads[0].adu, [0, 2047, -2047]);
    record.leads[0].adu = vec![MISSING; 3];
    let options = WriteOptions { overwrite: true, ..WriteOptions::default() };
    assert_eq!(write(&record, &path, &options).unwrap(), []);
    assert_eq!(strictly(&path).leads[0].n_missing(), 3);
    // Steps above 127 and missing points do not fit into format 8.
    let options = WriteOptions { storage: Some(StorageFormat::F8), ..options };
    assert_rule(write(&record, &path, &options).unwrap_err(), "D12", File, &["point 0: found a missing point"]);
    record.leads[0].adu = vec![0, 100, 300];
    assert_rule(write(&record, &path, &options).unwrap_err(), "D12", File, &["point 2: found a step to 300"]);
}

#[test]
fn existing_files_are_not_replaced_unasked() {
    let folder = good_record("overwrite");
    let record = strictly(folder.path().join("r"));
    let error = write(&record, folder.path().join("r.hea"), &WriteOptions::default()).unwrap_err();
    assert_eq!(error.exit_code(), 5);
    assert_eq!(fs::read(folder.path().join("r.dat")).unwrap(), good_points());
    write(&record, folder.path().join("r.hea"), &WriteOptions { overwrite: true, ..WriteOptions::default() }).unwrap();
    assert_eq!(strictly(folder.path().join("r")).leads, record.leads);
}
