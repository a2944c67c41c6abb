//! WFDB records against what other readers found in them, and the way back.
//!
//! The numbers come from `shared/data` (EXPECTED.csv of MIT-BIH, expected.csv of the storage
//! formats) and from `shared/fixtures/parity/wfdb`, all made with wfdb-python 4.3.1; the recipes
//! stand in the README beside each.

use std::fs;
use std::path::{Path, PathBuf};

use einthoven::record::format::wfdb::{read_annotations, read_header};
use einthoven::record::{
    Annotators, Frames, Lead, MISSING, ReadOptions, Record, StorageFormat, WriteOptions, read, write,
};
use serde_json::Value;

use crate::folder::{TempFolder, data_folder, parity_folder};

/// Points as the file has them: the format's marker for a missing one.
fn stored(lead: &Lead) -> impl Iterator<Item = i64> + '_ {
    let marker = lead.format.missing_marker().unwrap_or(MISSING);
    lead.adu.iter().map(move |&point| i64::from(if point == MISSING { marker } else { point }))
}

/// Shape and values of a small-endian NPY file of `i4`, `i8`, `f4` or `f8`.
fn npy(path: &Path) -> (Vec<usize>, Vec<f64>) {
    let bytes = fs::read(path).unwrap();
    let len = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let head = std::str::from_utf8(&bytes[10..10 + len]).unwrap();
    assert!(head.contains("'fortran_order': False"), "{head}");
    let between = |from: &str, to: &str| head.split_once(from).unwrap().1.split_once(to).unwrap().0;
    let shape =
        between("'shape': (", ")").split(',').filter(|n| !n.trim().is_empty()).map(|n| n.trim().parse().unwrap());
    let body = &bytes[10 + len..];
    let values = match between("'descr': '", "'") {
        "<i4" => body.as_chunks::<4>().0.iter().map(|b| f64::from(i32::from_le_bytes(*b))).collect(),
        "<i8" => body.as_chunks::<8>().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect(),
        "<f4" => body.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
        "<f8" => body.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
        other => panic!("{other}"),
    };
    (shape.collect(), values)
}

/// Compares leads with a `[time, lead]` array that may be shorter.
fn same_columns(case: &str, leads: &[&Lead], path: &Path, is_physical: bool) {
    let (shape, expected) = npy(path);
    let n = if shape.len() == 2 { shape[1] } else { 1 };
    assert_eq!(n, leads.len(), "{case}");
    for (column, lead) in leads.iter().enumerate() {
        let values: Vec<f64> =
            if is_physical { lead.physical() } else { stored(lead).map(|point| point as f64).collect() };
        assert!(values.len() >= shape[0], "{case}: {} of {}", values.len(), shape[0]);
        for (point, value) in values[..shape[0]].iter().enumerate() {
            let wanted = expected[point * n + column];
            // Physical values are one subtraction and one division of exact numbers.
            assert!(
                *value == wanted || value.is_nan() && wanted.is_nan(),
                "{case}: {} at {point}: {value}, not {wanted}",
                lead.name
            );
        }
    }
}

#[test]
fn parity_records_are_bit_exact() {
    let Some(folder) = parity_folder() else { return };
    let mut n_folders = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let folder = entry.unwrap().path();
        if folder.file_name().unwrap().to_string_lossy().starts_with("wfdb")
            && folder.join("expected/records.json").is_file()
        {
            records_of(&folder);
            annotations_of(&folder);
            n_folders += 1;
        }
    }
    println!("WFDB parity folders: {n_folders}");
    assert!(n_folders > 0);
}

/// Every record of a parity folder.
fn records_of(folder: &Path) {
    let text = fs::read_to_string(folder.join("expected/records.json")).unwrap();
    let cases: serde_json::Map<String, Value> = serde_json::from_str(&text).unwrap();
    assert!(!cases.is_empty());
    for (case, expected) in &cases {
        let path = folder.join("data").join(expected["record"].as_str().unwrap());
        same_header(case, &path, &expected["header"]);
        if expected["arrays"].is_null() {
            continue;
        }
        let arguments = &expected["read_arguments"];
        let number = |key: &str| arguments[key].as_u64().map(|n| n as usize);
        let mut options = ReadOptions { annotators: Annotators::None, ..ReadOptions::strict() };
        options.ignore_skew = arguments["ignore_skew"].as_bool().unwrap_or(false);
        if let (Some(from), Some(to)) = (number("sampfrom"), number("sampto")) {
            options.range = Some(from..to);
        }
        let channels = arguments["channels"].as_array();
        let chosen = |record: &Record| -> Vec<Lead> {
            match channels {
                Some(channels) => {
                    channels.iter().map(|index| record.leads[index.as_u64().unwrap() as usize].clone()).collect()
                }
                None => record.leads.clone(),
            }
        };
        let arrays = &expected["arrays"];
        let smooth = &arrays["smooth"];
        let record = read(&path, &ReadOptions { frames: Frames::WfdbCompat, ..options.clone() }).unwrap();
        let leads = chosen(&record);
        assert_eq!(record.sig_len as u64, smooth["total_shape"][0].as_u64().unwrap(), "{case}");
        let leads: Vec<&Lead> = leads.iter().collect();
        for (key, is_physical) in [("digital", false), ("physical", true)] {
            if let Some(file) = smooth[key].as_str() {
                same_columns(case, &leads, &folder.join("expected").join(file), is_physical);
            }
        }
        same_totals(case, &leads, &expected["full"]);
        let native = read(&path, &options).unwrap();
        assert!(native.leads.iter().all(|lead| lead.checksum_ok != Some(false)), "{case}");
        for (lead, expanded) in chosen(&native).iter().zip(arrays["expanded"].as_array().into_iter().flatten()) {
            assert_eq!(lead.adu.len() as u64, expanded["total_length"].as_u64().unwrap(), "{case}");
            assert_eq!(
                stored(lead).sum::<i64>().rem_euclid(65536) as u64,
                expanded["digital_sum_mod_65536"].as_u64().unwrap()
            );
            same_columns(case, &[lead], &folder.join("expected").join(expanded["digital"].as_str().unwrap()), false);
            same_columns(case, &[lead], &folder.join("expected").join(expanded["physical"].as_str().unwrap()), true);
        }
    }
}

/// Whole-record statistics.
fn same_totals(case: &str, leads: &[&Lead], full: &Value) {
    for (index, lead) in leads.iter().enumerate() {
        let digital: Vec<i64> = stored(lead).collect();
        if let Some(sum) = full["digital_sum_mod_65536"][index].as_u64() {
            assert_eq!(digital.iter().sum::<i64>().rem_euclid(65536) as u64, sum, "{case}");
            assert_eq!(digital.iter().min().copied(), full["digital_min"][index].as_i64(), "{case}");
            assert_eq!(digital.iter().max().copied(), full["digital_max"][index].as_i64(), "{case}");
        }
        if let Some(n_missing) = full["physical_nan_count"][index].as_u64() {
            assert_eq!(lead.n_missing() as u64, n_missing, "{case}");
        }
        if lead.n_missing() < digital.len() {
            assert_eq!(Some(lead.name.as_str()), full["sig_name"][index].as_str(), "{case}");
            assert_eq!(Some(lead.units.as_str()), full["units"][index].as_str(), "{case}");
            if let Some(gain) = full["adc_gain"][index].as_f64() {
                assert_eq!(lead.gain_adu_per_unit.unwrap_or(200.0), gain, "{case}");
                assert_eq!(Some(i64::from(lead.baseline_adu)), full["baseline"][index].as_i64(), "{case}");
            }
        }
    }
}

/// Header fields as another reader parsed them.
fn same_header(case: &str, path: &Path, expected: &Value) {
    let (header, _) = read_header(path, &ReadOptions::lenient()).unwrap();
    assert_eq!(expected["record_name"].as_str(), Some(header.name.as_str()), "{case}");
    assert_eq!(expected["fs"].as_f64(), Some(header.fs_hz), "{case}");
    assert_eq!(expected["n_sig"].as_u64(), Some(header.n_signals as u64), "{case}");
    assert_eq!(expected["sig_len"].as_u64(), header.sig_len, "{case}");
    assert_eq!(expected["counter_freq"].as_f64(), header.counter.map(|counter| counter.frequency_hz), "{case}");
    let comments: Vec<&str> = expected["comments"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
    assert_eq!(comments, header.comments, "{case}");
    let clock = |text: &str| text.split('.').next().unwrap_or("").to_string();
    assert_eq!(expected["base_time"].as_str().map(clock), header.base_time.as_deref().map(clock), "{case}");
    if let Some(date) = expected["base_date"].as_str() {
        let parts: Vec<&str> = date.split('-').collect();
        assert_eq!(Some(format!("{}/{}/{}", parts[2], parts[1], parts[0])), header.base_date, "{case}");
    }
    if let Some(segments) = &header.segments {
        for (index, segment) in segments.iter().enumerate() {
            assert_eq!(expected["seg_name"][index].as_str(), Some(segment.name.as_str()), "{case}");
            assert_eq!(expected["seg_len"][index].as_u64(), Some(segment.len), "{case}");
        }
    }
    for (index, signal) in header.signals.iter().enumerate() {
        let field = |key: &str| &expected[key][index];
        let same = |key: &str, value: i64| assert_eq!(field(key).as_i64().unwrap_or(0), value, "{case} {key}");
        assert_eq!(field("file_name").as_str(), Some(signal.file.as_str()), "{case}");
        assert_eq!(field("fmt").as_str(), Some(signal.format.to_string().as_str()), "{case}");
        assert_eq!(field("sig_name").as_str().unwrap_or(""), signal.description, "{case}");
        assert_eq!(field("units").as_str(), Some(signal.units.as_str()), "{case}");
        assert_eq!(field("adc_gain").as_f64(), Some(signal.gain.unwrap_or(200.0)), "{case}");
        assert_eq!(field("checksum").as_i64().map(|sum| sum as i16), signal.checksum, "{case}");
        same("samps_per_frame", signal.samples_per_frame as i64);
        same("skew", signal.skew as i64);
        same("byte_offset", signal.byte_offset as i64);
        same("baseline", signal.baseline.into());
        same("adc_res", signal.adc_resolution.into());
        same("adc_zero", signal.adc_zero.into());
        same("init_value", signal.initial.into());
        same("block_size", signal.block_size.into());
    }
}

/// Every annotation file of a parity folder.
fn annotations_of(folder: &Path) {
    let mut n = 0;
    for entry in fs::read_dir(folder.join("expected/annotations")).unwrap() {
        let path = entry.unwrap().path();
        let expected: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let file = folder.join("data").join(expected["file"].as_str().unwrap());
        let (mut marks, _) = read_annotations(&file, expected["fs"].as_f64(), &ReadOptions::lenient()).unwrap();
        let arguments = &expected["arguments"];
        if let Some(from) = arguments["sampfrom"].as_i64() {
            let to = arguments["sampto"].as_i64().unwrap_or(i64::MAX);
            marks.retain(|mark| (from..=to).contains(&mark.sample));
            let shift = if arguments["shift_samps"].as_bool() == Some(true) { from } else { 0 };
            marks.iter_mut().for_each(|mark| mark.sample -= shift);
        }
        assert_eq!(Some(marks.len() as u64), expected["n"].as_u64(), "{}", path.display());
        for (index, mark) in marks.iter().enumerate() {
            let at = |key: &str| &expected[key][index];
            let what = format!("{} {index}", path.display());
            assert_eq!(at("sample").as_i64(), Some(mark.sample), "{what}");
            assert_eq!(at("symbol").as_str(), Some(mark.symbol.as_ref()), "{what}");
            assert_eq!(at("subtype").as_i64(), Some(mark.subtype.into()), "{what}");
            assert_eq!(at("chan").as_i64(), Some(mark.channel.into()), "{what}");
            assert_eq!(at("num").as_i64(), Some(mark.num.into()), "{what}");
            // The other reader keeps the NUL at the end (rule A07).
            assert_eq!(at("aux_note").as_str().unwrap().trim_end_matches('\0'), mark.aux_text(), "{what}");
        }
        n += 1;
    }
    println!("annotation files: {n}");
}

#[test]
fn storage_formats_are_bit_exact() {
    let Some(folder) = data_folder("wfdb-formats") else { return };
    for name in ["binformats", "flacformats", "100_3chan"] {
        let record = read(folder.join(name), &ReadOptions::strict()).unwrap();
        let text = fs::read_to_string(folder.join(format!("{name}.expected.csv"))).unwrap();
        let rows: Vec<Vec<i64>> =
            text.lines().skip(1).map(|row| row.split(',').map(|cell| cell.parse().unwrap()).collect()).collect();
        assert_eq!(record.sig_len, rows.len());
        for (column, lead) in record.leads.iter().enumerate() {
            assert!(stored(lead).eq(rows.iter().map(|row| row[column])), "{name} {}", lead.name);
            assert_eq!(lead.checksum_ok, Some(true));
        }
    }
}

#[test]
fn every_record_of_mitdb_has_the_expected_points_and_annotations() {
    let Some(folder) = data_folder("mitdb") else { return };
    let text = fs::read_to_string(folder.join("EXPECTED.csv")).unwrap();
    let mut rows = text.lines();
    let names: Vec<&str> = rows.next().unwrap().split(',').collect();
    let mut n = 0;
    for row in rows {
        let cells: Vec<&str> = row.split(',').collect();
        let cell = |name: &str| cells[names.iter().position(|known| *known == name).unwrap()];
        let number = |name: &str| cell(name).parse::<i64>().unwrap();
        let record = read(folder.join(cell("record")), &ReadOptions::strict()).unwrap();
        assert_eq!(record.sig_len as i64, number("n_samples"));
        for (index, lead) in record.leads.iter().enumerate() {
            assert_eq!(lead.name, cell(&format!("lead{index}")));
            assert_eq!(lead.checksum.map(i64::from), Some(number(&format!("checksum{index}"))));
            assert_eq!(lead.checksum_ok, Some(true));
            let range = lead.range_adu().unwrap();
            assert_eq!(i64::from(range.0), number(&format!("min{index}")));
            assert_eq!(i64::from(range.1), number(&format!("max{index}")));
        }
        let marks = &record.annotations["atr"];
        assert_eq!(marks.len() as i64, number("n_annotations"));
        assert_eq!(marks.iter().filter(|mark| mark.is_beat()).count() as i64, number("n_beats"));
        assert_eq!(marks[0].sample, number("first_annotation_sample"));
        assert_eq!(marks[marks.len() - 1].sample, number("last_annotation_sample"));
        assert_eq!(marks.iter().filter(|mark| mark.symbol == "+").count() as i64, number("n_rhythm_changes"));
        n += 1;
    }
    assert_eq!(n, 48);
}

#[test]
fn every_record_at_hand_is_read_strictly() {
    let Some(folder) = data_folder("") else { return };
    let mut n = 0;
    let mut pending = vec![folder];
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "hea") {
                let mut options = ReadOptions::strict();
                // The challenge of 2017 was published with checksums of 0.
                if path.components().any(|part| part.as_os_str() == "cinc2017") {
                    options.waivers.push("W23".into());
                }
                // A folder of thousands of records is listed for each of them otherwise.
                if path.components().any(|part| part.as_os_str().to_string_lossy().starts_with("ptbxl")) {
                    options.annotators = Annotators::None;
                }
                let record = read(&path, &options).unwrap_or_else(|error| panic!("{error}"));
                assert!(record.sig_len > 0 && !record.leads.is_empty());
                n += 1;
            }
        }
    }
    println!("records: {n}");
    assert!(n > 3000);
}

/// A record without what depends on the file: names of files, checksums that were not stated.
fn comparable(mut record: Record) -> Record {
    record.name.clear();
    record.warnings.clear();
    record
}

/// Those of the records that the parity fixtures hold; another set of them may hold others.
fn at_hand<'a>(folder: &Path, names: &[&'a str]) -> Vec<&'a str> {
    let found: Vec<&str> = names.iter().copied().filter(|name| folder.join(format!("{name}.hea")).is_file()).collect();
    assert!(found.len() == names.len() || std::env::var_os("EINTHOVEN_PARITY").is_some(), "{found:?} of {names:?}");
    println!("{} of {} records at hand", found.len(), names.len());
    found
}

#[test]
fn reading_writing_and_reading_again_gives_the_same_record() {
    let Some(folder) = parity_folder() else { return };
    let folder = folder.join("wfdb/data");
    let temporary = TempFolder::new("round-trip");
    let (options, writing) = (ReadOptions::lenient(), WriteOptions::default());
    let names = [
        "binformats",
        "flacformats",
        "100",
        "100_3chan",
        "a103l",
        "3000003_0003",
        "310derive",
        "311derive",
        "test01_00s_frame",
        "multi-segment/041s/041s",
    ];
    for name in at_hand(&folder, &names) {
        let record = read(folder.join(name), &options).unwrap();
        let target = temporary.path().join(Path::new(name).file_name().unwrap()).with_extension("hea");
        let warnings = write(&record, &target, &writing).unwrap();
        assert_eq!(warnings, [], "{name}");
        let again = read(&target, &ReadOptions::strict()).unwrap();
        if name.starts_with("multi") {
            // The whole record states no checksums, the file that was written does.
            assert!(again.leads.iter().zip(&record.leads).all(|(again, lead)| again.adu == lead.adu));
        } else {
            let mut before = comparable(record);
            for (before, after) in before.leads.iter_mut().zip(&again.leads) {
                // Unsigned and missing checksums come back as the signed sum.
                (before.checksum, before.checksum_ok) = (after.checksum, after.checksum_ok);
            }
            assert_eq!(comparable(again), before, "{name}");
        }
    }
}

#[test]
fn tables_hold_whole_records() {
    let Some(folder) = parity_folder() else { return };
    let folder = folder.join("wfdb/data");
    let temporary = TempFolder::new("tables");
    for name in at_hand(&folder, &["binformats", "100_3chan", "3000003_0003", "a103l"]) {
        let mut record = read(folder.join(name), &ReadOptions::lenient()).unwrap();
        record.comments.push("Synthetic: yes".into());
        let target = temporary.path().join(format!("{name}.csv"));
        write(&record, &target, &WriteOptions::default()).unwrap();
        let again = read(&target, &ReadOptions::strict()).unwrap();
        let mut before = comparable(record);
        for (before, after) in before.leads.iter_mut().zip(&again.leads) {
            (before.checksum, before.checksum_ok) = (after.checksum, after.checksum_ok);
        }
        assert_eq!(comparable(again), before, "{name}");
    }
}

#[test]
fn synthetic_mark_survives_every_conversion() {
    let temporary = TempFolder::new("mark");
    let mut record = Record::new("syn_1", 250.0);
    record.sig_len = 3;
    record.leads.push(Lead::new("II", 1000.0, vec![1, MISSING, -3]));
    record.comments = vec!["Synthetic: yes".into(), "Not for clinical use".into()];
    let mut from = record;
    for (index, extension) in ["hea", "csv", "hea", "csv"].into_iter().enumerate() {
        let path: PathBuf = temporary.path().join(format!("syn_{index}.{extension}"));
        write(&from, &path, &WriteOptions::default()).unwrap();
        from = read(&path, &ReadOptions::strict()).unwrap();
        assert_eq!(from.comments, ["Synthetic: yes", "Not for clinical use"]);
        assert_eq!(from.leads[0].adu, [1, MISSING, -3]);
    }
}

#[test]
fn every_storage_format_can_be_chosen_for_writing() {
    let temporary = TempFolder::new("formats");
    let mut record = Record::new("x", 360.0);
    record.sig_len = 7;
    // Values that fit into eight bits and into steps of eight bits.
    record.leads.push(Lead::new("I", 200.0, vec![0, 5, -7, 100, 101, 0, -20]));
    record.leads.push(Lead { samples_per_frame: 2, ..Lead::new("II", 200.0, (0..14).collect()) });
    for format in StorageFormat::ALL {
        if format == StorageFormat::Null {
            continue;
        }
        let path = temporary.path().join(format!("x{format}.hea"));
        write(&record, &path, &WriteOptions { storage: Some(format), ..WriteOptions::default() }).unwrap();
        let again = read(&path, &ReadOptions::strict()).unwrap();
        for (lead, again) in record.leads.iter().zip(&again.leads) {
            assert_eq!((&lead.adu, format, Some(true)), (&again.adu, again.format, again.checksum_ok), "{format}");
        }
    }
}
