//! Whatever the bytes: no panic, and what was written comes back.

use std::borrow::Cow;

use einthoven::record::{Annotation, Lead, MISSING, StorageFormat, WriteOptions, write};
use einthoven::{Seed, Stream};

use super::*;

/// Reads a record in both modes; the result does not matter.
fn survives(folder: &TempFolder, name: &str) {
    for mut options in [ReadOptions::strict(), ReadOptions::lenient()] {
        // A broken length may ask for this many missing points; millions only take time here.
        options.caps.implied_points = 1 << 12;
        if let Ok(record) = read(folder.path().join(name), &options) {
            // Whatever was accepted can be summarized, which touches every point.
            let _ = record.summary();
        }
    }
}

/// Records that between them have every storage format, annotations and segments.
fn valid_records() -> (TempFolder, Vec<&'static str>) {
    let folder = good_record("valid");
    for (name, storage) in [
        ("f212", StorageFormat::F212),
        ("f310", StorageFormat::F310),
        ("f516", StorageFormat::F516),
        ("f8", StorageFormat::F8),
    ] {
        let mut record = random_record(name, Seed::new(1).purpose(name));
        record
            .leads
            .iter_mut()
            .for_each(|lead| lead.adu.iter_mut().enumerate().for_each(|(index, point)| *point = index as i32 % 90));
        write(
            &record,
            folder.path().join(format!("{name}.hea")),
            &WriteOptions { storage: Some(storage), ..WriteOptions::default() },
        )
        .unwrap();
    }
    folder.file("m.hea", "m/3 2 360 12\nr 4\n~ 4\nr 4\n");
    folder.file("t.csv", "# fs_hz: 360\n# missing: blank\nI,\"I,I\"\n1.5,-2\n,3e-1\n");
    (folder, vec!["r", "f212", "f310", "f516", "f8", "m", "t.csv"])
}

/// A record with everything that the formats can hold, drawn from a seed.
fn random_record(name: &str, seed: Seed) -> Record {
    let mut stream = seed.stream();
    let mut record = Record::new(name, [100.0, 360.0, 249.9, 1e-3][stream.below(4)]);
    record.sig_len = 1 + stream.below(50);
    let formats = [
        StorageFormat::F16,
        StorageFormat::F24,
        StorageFormat::F32,
        StorageFormat::F61,
        StorageFormat::F80,
        StorageFormat::F160,
        StorageFormat::F212,
        StorageFormat::F310,
        StorageFormat::F311,
        StorageFormat::F508,
        StorageFormat::F516,
        StorageFormat::F524,
    ];
    for index in 0..1 + stream.below(4) {
        let format = formats[stream.below(formats.len())];
        let (low, high) = format.range();
        let samples_per_frame = 1 + stream.below(3);
        let adu = (0..record.sig_len * samples_per_frame)
            .map(|_| match stream.below(5) {
                0 => MISSING,
                1 => low,
                2 => high,
                _ => (stream.next_u64() as i32).clamp(low, high),
            })
            .collect();
        let gain = [Some(200.0), Some(-12.08), None, Some(1e-3)][stream.below(4)];
        record.leads.push(Lead {
            samples_per_frame,
            gain_adu_per_unit: gain,
            baseline_adu: stream.next_u64() as i32,
            adc_zero_adu: stream.next_u64() as i32 >> 20,
            units: ["mV", "uV", "mmHg"][stream.below(3)].into(),
            format,
            ..Lead::new(["I", "lead with blanks", "\u{e9}", ""][index], 1.0, adu)
        });
    }
    let mut time = 0;
    let marks = (0..stream.below(20)).map(|_| random_mark(&mut stream, &mut time, &record)).collect();
    record.annotations.insert("atr".into(), marks);
    record.comments = vec!["Synthetic: yes".into(), String::new(), "# \u{b5}V, \"quoted\"".into()];
    record
}

/// An annotation inside the record.
fn random_mark(stream: &mut Stream, time: &mut usize, record: &Record) -> Annotation {
    *time = (*time + stream.below(10)).min(record.sig_len.saturating_sub(1));
    Annotation {
        sample: *time as i64,
        symbol: Cow::Borrowed(["N", "V", "+", "\"", "(42)"][stream.below(5)]),
        subtype: stream.below(256) as u8 as i8,
        channel: stream.below(record.leads.len()) as u8,
        num: stream.below(256) as u8 as i8,
        aux: (0..stream.below(6)).map(|_| 1 + stream.below(255) as u8).collect(),
    }
}

#[test]
fn every_prefix_of_every_file_is_read_or_refused() {
    let (folder, records) = valid_records();
    for name in records {
        for file in files_of(&folder, name) {
            let whole = fs::read(&file).unwrap();
            for len in 0..whole.len() {
                fs::write(&file, &whole[..len]).unwrap();
                survives(&folder, name);
            }
            fs::write(&file, &whole).unwrap();
        }
    }
}

#[test]
fn every_flipped_bit_is_read_or_refused() {
    let (folder, records) = valid_records();
    for name in records {
        for file in files_of(&folder, name) {
            let mut bytes = fs::read(&file).unwrap();
            for bit in 0..bytes.len().min(4096) * 8 {
                bytes[bit / 8] ^= 1 << (bit % 8);
                fs::write(&file, &bytes).unwrap();
                survives(&folder, name);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            fs::write(&file, &bytes).unwrap();
        }
    }
}

#[test]
fn random_records_come_back_from_every_format() {
    let folder = TempFolder::new("random");
    for seed in 0..100 {
        let record = random_record("x", Seed::new(seed));
        let options = WriteOptions { overwrite: true, ..WriteOptions::default() };
        let path = folder.path().join("x.hea");
        let written = write(&record, &path, &options).unwrap();
        assert_eq!(written, [], "seed {seed}");
        let first = leniently(&path);
        same(&record, &first, seed);
        write(&first, &path, &options).unwrap();
        assert_eq!(leniently(&path), first, "seed {seed}");
        if record.leads.iter().all(|lead| lead.samples_per_frame == 1) {
            let table = folder.path().join("x.csv");
            write(&record, &table, &options).unwrap();
            same(&record, &strictly(&table), seed);
        }
    }
}

/// Everything but what a reader adds.
fn same(record: &Record, again: &Record, seed: u64) {
    let mut again = again.clone();
    again.warnings.clear();
    for (again, lead) in again.leads.iter_mut().zip(&record.leads) {
        assert_ne!(again.checksum_ok, Some(false));
        (again.checksum, again.checksum_ok) = (lead.checksum, lead.checksum_ok);
    }
    assert_eq!(&again, record, "seed {seed}");
}

/// The files of a record.
fn files_of(folder: &TempFolder, name: &str) -> Vec<std::path::PathBuf> {
    let belongs = |file: &str| file == name || file.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap());
    files.filter(|entry| belongs(entry.file_name().to_str().unwrap())).map(|entry| entry.path()).collect()
}

#[test]
fn x01_broken_tables() {
    use einthoven::Position::{File, LineColumn};
    let folder = TempFolder::new("x01");
    let good = "# fs_hz: 360\nI,II\n1,2\n3,4\n";
    let refused = |text: String, position: Position, part: &str| {
        let path = folder.file("t.csv", text);
        assert_rule(read(&path, &ReadOptions::lenient()).unwrap_err(), "X01", position, &[part]);
        folder.file("t.csv", good);
        assert_eq!(strictly(&path).leads[1].mv().unwrap(), [2.0, 4.0]);
    };
    refused(good.replace("3,4", "3"), LineColumn(4, 2), "row: found 1 cells, expected 2 cells");
    refused(good.replace("3,4", "3,4,5"), LineColumn(4, 5), "row: found more than 2 cells");
    refused(good.replace("3,4", "3,inf"), LineColumn(4, 3), "value: found \"inf\"");
    refused(good.replace("3,4", "3,nan"), LineColumn(4, 3), "value: found \"nan\"");
    refused(good.replace("3,4", "3,"), LineColumn(4, 3), "value: found \"\"");
    refused(good.replace("3,4", "3;4"), LineColumn(4, 1), "value: found \"3;4\"");
    refused(good.replace("3,4", "3,4,0"), LineColumn(4, 5), "row");
    refused(good.replace("I,II", "1,2"), LineColumn(2, 1), "lead name: found \"1\"");
    refused(good.replace("I,II", "\"I\n\",II"), LineColumn(2, 1), "a closing quote in the same line");
    refused(good.replace("3,4", &"3".repeat(70_000)), LineColumn(4, 1), "line: found 70000 bytes");
    refused(good.replace("360", "0"), LineColumn(1, 1), "fs_hz: found \"0\"");
    refused(good.replace("# fs_hz: 360\n", ""), File, "sampling frequency: found none");
    refused("# fs_hz: 360\n".into(), File, "lead names: found none");
    let path = folder.file("t.csv", "# fs_hz: 360\n# missing: blank\nI,II\n1,\n,4\n");
    assert_eq!(strictly(path).leads[0].adu, [1000, MISSING]);
}
