//! Data sets: splits, mixing, files.

use std::io::Write;
use std::path::PathBuf;

use einthoven::dataset::catalog::{DATABASES, database};
use einthoven::dataset::mix::{self, Plan};
use einthoven::dataset::npz::{self, npy};
use einthoven::dataset::split::{self, Scheme};
use einthoven::dataset::{Dataset, Preparation, Split, augment, catalog::mitdb, guard, prepare};
use einthoven::{Error, Seed};
use serde_json::json;

/// A data set of noise with the given records, each a patient with `counts` items per class.
pub fn noise(records: &[(&str, &[usize])], seed: u64) -> Dataset {
    let n_labels = records[0].1.len();
    let names = ["N", "S", "V", "F", "Q"][..n_labels].iter().map(|name| name.to_string()).collect();
    let mut data = Dataset::new(vec!["MLII".into()], 32, 360.0, names);
    data.provenance = json!({ "source": "noise", "synthetic": false });
    data.rr_s = Some(Vec::new());
    let mut stream = Seed::new(seed).purpose("noise").stream();
    for (record, counts) in records {
        for (class, &count) in counts.iter().enumerate() {
            for _ in 0..count {
                data.ecg.extend((0..32).map(|_| stream.normal() as f32));
                data.labels.extend((0..n_labels).map(|k| u8::from(k == class)));
                data.record.push(record.to_string());
                data.patient.push(record.to_string());
                data.split.push(Split::Train);
                data.index.push(300 * data.index.len() as i64);
                data.rr_s.as_mut().expect("set above").push([0.8, 0.9]);
            }
        }
    }
    data
}

/// Items that look as if a generator trained on `training` had drawn them.
pub fn drawn(counts: &[usize], training: &Dataset) -> Dataset {
    let mut data = noise(&[("syn_0", counts)], 99);
    data.provenance = json!({ "synthetic": true, "training_patients": guard::training_patients(training, "key") });
    data
}

/// A folder of its own under the system's temporary folder, removed when dropped.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("einthoven-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("temporary folder");
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The folder of MIT-BIH, or `None` with a note if it is not there and need not be.
pub fn mitdb_folder() -> Option<PathBuf> {
    let data = std::env::var_os("EINTHOVEN_DATA")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")), PathBuf::from);
    let folder = data.join("mitdb");
    if folder.join("100.hea").exists() {
        return Some(folder);
    }
    assert!(std::env::var_os("EINTHOVEN_REQUIRE_DATA").is_none(), "{} is missing", folder.display());
    println!("skipped: {} is missing", folder.display());
    None
}

/// A stand-in for MIT-BIH with its record names and a few beats each, for tests without the files.
fn mitdb_like() -> Dataset {
    let records: Vec<(&str, &[usize])> =
        mitdb::RECORDS.iter().filter(|r| !mitdb::PACED.contains(r)).map(|r| (*r, &[20usize, 3, 5][..])).collect();
    let mut data = noise(&records, 1);
    for (patient, record) in data.patient.iter_mut().zip(&data.record) {
        *patient = mitdb::patient(record);
    }
    data.provenance = json!({ "source": "mitdb", "synthetic": false });
    data
}

#[test]
fn ds1_and_ds2_are_disjoint_and_leave_only_paced_records_out() {
    let mut all: Vec<&str> = mitdb::DS1.iter().chain(&mitdb::DS2).chain(&mitdb::PACED).copied().collect();
    all.sort_unstable();
    assert_eq!(all, mitdb::RECORDS);
    assert!(mitdb::VALIDATION.iter().all(|record| mitdb::DS1.contains(record)));
    assert_eq!(mitdb::patient("201"), mitdb::patient("202"));
}

#[test]
fn inter_drops_201_keeps_ds2_whole_and_passes_the_guard() {
    let data = split::split(&mitdb_like(), Scheme::Inter, Seed::new(1)).expect("split");
    assert!(!data.record.iter().any(|record| record == "201"));
    let test: std::collections::BTreeSet<&str> =
        (0..data.len()).filter(|&i| data.split[i] == Split::Test).map(|i| data.record[i].as_str()).collect();
    assert_eq!(test.into_iter().collect::<Vec<_>>(), mitdb::DS2);
    assert_eq!(data.part(Split::Validation).len(), 5 * 28);
    assert_eq!(guard::check(&data).expect("clean"), []);
}

#[test]
fn published_names_its_waiver_and_is_otherwise_guarded() {
    let mut data = split::split(&mitdb_like(), Scheme::Published, Seed::new(1)).expect("split");
    let waivers = guard::check(&data).expect("only the named person is in both halves");
    assert_eq!((waivers[0].rule.as_str(), waivers[0].patients.clone()), ("L2", vec!["mitdb-201".to_string()]));
    assert!(data.provenance["split"]["note"].as_str().expect("a note").contains("202"));
    // The waiver is for that person alone.
    let moved = data.record.iter().position(|record| record == "100").expect("in DS2");
    data.patient[moved] = mitdb::patient("101");
    assert_eq!(guard::check(&data).expect_err("another shared person").code(), Some("L2"));
}

#[test]
fn intra_patient_is_80_10_10_seeded_and_stamped() {
    let data = mitdb_like();
    let a = split::split(&data, Scheme::IntraPatient, Seed::new(1)).expect("split");
    let b = split::split(&data, Scheme::IntraPatient, Seed::new(1)).expect("split");
    let c = split::split(&data, Scheme::IntraPatient, Seed::new(2)).expect("split");
    assert_eq!(a.split, b.split);
    assert_ne!(a.split, c.split);
    let n = data.len();
    assert_eq!(a.part(Split::Train).len(), n * 8 / 10);
    assert_eq!(a.part(Split::Validation).len(), n / 10);
    assert_eq!(a.provenance["split"]["stamp"], "not comparable");
    assert_eq!(a.provenance["split"]["comparable"], false);
    let rules: Vec<String> = guard::check(&a).expect("waived by name").into_iter().map(|w| w.rule).collect();
    assert_eq!(rules, ["L2", "L3"]);
}

#[test]
fn five_folds_keep_patients_apart_cover_them_once_and_balance_classes() {
    let data = mitdb_like();
    let mut tested = std::collections::BTreeSet::new();
    for fold in 0..5 {
        let part = split::split(&data, Scheme::FiveFold { fold }, Seed::new(1)).expect("split");
        guard::check(&part).expect("clean");
        let test = part.part(Split::Test);
        // 43 people in five folds: eight or nine each, or one fewer with the man of two records.
        let people: std::collections::BTreeSet<String> = test.patient.iter().cloned().collect();
        assert!((7..=10).contains(&people.len()), "{}", people.len());
        for person in people {
            assert!(tested.insert(person), "tested twice");
        }
    }
    assert_eq!(tested.len(), 43);
}

#[test]
fn folds_spread_a_class_that_few_patients_hold() {
    let mut records: Vec<(String, Vec<usize>)> = (0..20).map(|k| (format!("p{k:02}"), vec![10, 0])).collect();
    for k in 0..5 {
        records[k * 3].1[1] = 4;
    }
    let borrowed: Vec<(&str, &[usize])> =
        records.iter().map(|(name, counts)| (name.as_str(), counts.as_slice())).collect();
    let folds = split::folds(&noise(&borrowed, 3), 5).expect("folds");
    let mut holders: Vec<usize> = (0..5).map(|k| folds[&format!("p{:02}", k * 3)]).collect();
    holders.sort_unstable();
    assert_eq!(holders, [0, 1, 2, 3, 4]);
}

#[test]
fn scheme_names_round_trip_and_unknown_ones_are_refused() {
    for scheme in [Scheme::Inter, Scheme::Published, Scheme::IntraPatient, Scheme::FiveFold { fold: 4 }] {
        assert_eq!(Scheme::parse(&scheme.name()).expect("own name"), scheme);
    }
    assert!(matches!(Scheme::parse("five-fold:5"), Err(Error::Config { .. })));
    assert!(matches!(Scheme::parse("intra"), Err(Error::Unknown { kind: "split", .. })));
}

#[test]
fn generator_training_part_is_in_no_test_or_validation_part_of_either_split() {
    let data = mitdb_like();
    let seed = Seed::new(5);
    let order = split::generator_training(&data, seed).expect("indices");
    let inter = split::assign(&data, Scheme::Inter, seed).expect("inter");
    let intra = split::assign(&data, Scheme::IntraPatient, seed).expect("intra");
    assert!(order.iter().all(|&i| inter.parts[i] == Some(Split::Train) && intra.parts[i] == Some(Split::Train)));
    // 16 of 44 records, four fifths of the beats.
    let expected = 16.0 * 28.0 * 0.8;
    assert!((order.len() as f64 - expected).abs() < 0.1 * expected, "{}", order.len());
}

#[test]
fn patient_counts_and_support_say_who_holds_a_class() {
    let mut records: Vec<(String, Vec<usize>)> = (0..12).map(|k| (format!("p{k:02}"), vec![5, 1, 0])).collect();
    records[3].1 = vec![5, 400, 7];
    let borrowed: Vec<(&str, &[usize])> =
        records.iter().map(|(name, counts)| (name.as_str(), counts.as_slice())).collect();
    let mut data = noise(&borrowed, 3);
    data.split.fill(Split::Test);
    let table = split::patient_counts(&data).expect("table");
    assert_eq!((table.len(), &table[3].counts[..], table[3].split.as_str()), (12, &[5, 400, 7][..], "test"));
    let support = split::class_support(&data, Split::Test).expect("support");
    assert_eq!(support[0].insufficient, "");
    assert!(support[1].insufficient.contains("p03 holds 97 %"), "{}", support[1].insufficient);
    assert_eq!((support[2].n_patients, support[2].n_items), (1, 7));
}

#[test]
fn l13_class_with_fewer_than_ten_positive_patients_is_insufficient() {
    let support = |n_positive: usize| {
        let names: Vec<String> = (0..12).map(|k| format!("p{k:02}")).collect();
        let records: Vec<(&str, &[usize])> = names
            .iter()
            .enumerate()
            .map(|(k, name)| (name.as_str(), if k < n_positive { &[3usize, 2][..] } else { &[3, 0][..] }))
            .collect();
        split::class_support(&noise(&records, 4), Split::Train).expect("support")[1].insufficient.clone()
    };
    assert_eq!(support(9), "9 positive patients, fewer than 10");
    assert_eq!(support(10), "");
}

#[test]
fn plans_raise_minorities_to_the_majority_or_tenfold() {
    let plan = Plan::parse("raise-minorities", usize::MAX).expect("plan");
    assert_eq!(plan.added(&[1000, 50, 200, 0]), [0, 450, 800, 0]);
    assert_eq!(Plan::parse("raise-minorities", 300).expect("plan").added(&[1000, 50, 200, 0]), [0, 300, 300, 0]);
    assert_eq!(Plan::parse("one-to-one", 300).expect("plan").added(&[1000, 50, 200, 0]), [300, 50, 200, 0]);
    assert!(matches!(Plan::parse("double", 1), Err(Error::Unknown { .. })));
}

#[test]
fn mix_and_oversampling_give_the_same_counts_and_leave_the_held_out_parts_alone() {
    let mut real = noise(&[("a", &[40, 4, 6]), ("b", &[10, 2, 2]), ("c", &[10, 2, 2])], 7);
    for i in 0..real.len() {
        real.split[i] = match real.record[i].as_str() {
            "b" => Split::Validation,
            "c" => Split::Test,
            _ => Split::Train,
        };
    }
    let plan = Plan::RaiseMinorities { times: 3, cap: usize::MAX };
    let mixed = mix::mix(&real, &drawn(&[0, 20, 20], &real.part(Split::Train)), plan).expect("mix");
    let copied = mix::oversample(&real, plan, Seed::new(1)).expect("copies");
    for data in [&mixed, &copied] {
        data.validate().expect("axes agree");
        assert_eq!(data.class_counts(Split::Train).expect("counts"), [40, 12, 18]);
        for split in [Split::Validation, Split::Test] {
            assert_eq!(data.part(split).ecg, real.part(split).ecg);
        }
    }
    assert_eq!(mixed.provenance["mix"]["added_counts"], json!({ "N": 0, "S": 8, "V": 12 }));
    assert_eq!(copied.provenance["mix"]["added"], "copies");
    guard::check(&mixed).expect("a clean mix");
    // Every one of the four S items is copied twice before any is copied a third time.
    let copies: Vec<i64> =
        (real.len()..copied.len()).filter(|&i| copied.class(i).expect("one") == 1).map(|i| copied.index[i]).collect();
    for item in &copies {
        assert_eq!(copies.iter().filter(|other| *other == item).count(), 2);
    }
}

#[test]
fn mix_says_what_is_missing_and_refuses_unmarked_items() {
    let real = noise(&[("a", &[40, 4])], 7);
    let plan = Plan::RaiseMinorities { times: 3, cap: usize::MAX };
    let error = mix::mix(&real, &drawn(&[0, 5], &real), plan).expect_err("too few");
    assert!(error.to_string().contains("S: found 5, expected 8"), "{error}");
    let unmarked = noise(&[("b", &[0, 20])], 8);
    let error = mix::mix(&real, &unmarked, plan).expect_err("not synthetic");
    assert!(error.to_string().contains("not marked synthetic"), "{error}");
}

#[test]
fn npz_round_trip_is_exact_and_its_bytes_repeat() {
    let scratch = Scratch::new("npz");
    let mut data = noise(&[("a", &[4, 3, 2]), ("b\u{e9}", &[1, 0, 2])], 9);
    data.split[1] = Split::Test;
    data.ecg[5] = f32::NAN;
    for (rr, name) in [(data.rr_s.clone(), "rr.npz"), (None, "plain.npz")] {
        data.rr_s = rr;
        let path = scratch.0.join(name);
        npz::write(&path, &data).expect("write");
        let bytes = std::fs::read(&path).expect("bytes");
        let back = npz::read(&path).expect("read");
        assert!(back.ecg[5].is_nan());
        assert_eq!(back.fingerprint(), data.fingerprint());
        assert_eq!(back.provenance, data.provenance);
        assert_eq!(back.rr_s, data.rr_s);
        npz::write(&path, &back).expect("write");
        assert_eq!(std::fs::read(&path).expect("bytes"), bytes);
    }
    let empty = data.select(&[]);
    let path = scratch.0.join("empty.npz");
    npz::write(&path, &empty).expect("write");
    assert_eq!(npz::read(&path).expect("read"), empty);
}

/// Bytes of an NPY array with this header dictionary.
fn array(dictionary: &str, data: &[u8]) -> Vec<u8> {
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((dictionary.len() as u16).to_le_bytes());
    out.extend(dictionary.as_bytes());
    out.extend(data);
    out
}

/// A data set's archive with entries replaced or added.
fn archive_with(scratch: &Scratch, name: &str, changed: &[(&str, Vec<u8>)]) -> PathBuf {
    let good = scratch.0.join("good.npz");
    npz::write(&good, &noise(&[("a", &[2, 1])], 9)).expect("write");
    let mut source = zip::ZipArchive::new(std::fs::File::open(&good).expect("open")).expect("archive");
    let path = scratch.0.join(name);
    let mut out = zip::ZipWriter::new(std::fs::File::create(&path).expect("create"));
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Deflated);
    for k in 0..source.len() {
        let entry = source.by_index(k).expect("entry");
        if !changed.iter().any(|(name, _)| entry.name_raw() == name.as_bytes()) {
            out.raw_copy_file(entry).expect("copy");
        }
    }
    for (name, bytes) in changed {
        out.start_file(*name, options).expect("start");
        out.write_all(bytes).expect("write");
    }
    out.finish().expect("finish");
    path
}

/// Asserts code X02, the file's name first, and both words in the message.
fn assert_x02(path: &std::path::Path, found: &str, expected: &str) {
    let error = npz::read(path).expect_err("refused");
    assert_eq!((error.code(), error.exit_code()), (Some("X02"), 3));
    let line = error.to_string();
    assert!(line.starts_with(&*path.to_string_lossy()), "{line}");
    assert!(line.contains(found) && line.contains(expected) && !line.contains('\n'), "{line}");
}

#[test]
fn x02_object_arrays_are_refused() {
    let scratch = Scratch::new("x02-object");
    let bytes = array("{'descr': '|O', 'fortran_order': False, 'shape': (3,), }\n", b"pickled bytes");
    assert_x02(&archive_with(&scratch, "bad.npz", &[("record.npy", bytes)]), "object array", "dtype=object");
}

#[test]
fn x02_shape_overflow_and_shape_beyond_the_bytes_are_refused() {
    let scratch = Scratch::new("x02-shape");
    let huge = array("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296, 4), }\n", &[0; 16]);
    assert_x02(&archive_with(&scratch, "overflow.npz", &[("ecg.npy", huge)]), "4294967296", "address space");
    let long = array("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 1, 1000000), }\n", &[0; 16]);
    assert_x02(&archive_with(&scratch, "long.npz", &[("ecg.npy", long)]), "12000000 bytes", "16 bytes");
    let negative = array("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 1, 4), }\n", &[0; 16]);
    assert_x02(&archive_with(&scratch, "negative.npz", &[("ecg.npy", negative)]), "-1", "non-negative");
}

#[test]
fn x02_zip_bomb_is_refused_before_it_expands() {
    let scratch = Scratch::new("x02-bomb");
    let shape = 40 << 20;
    let bomb = array(&format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({shape},), }}\n"), &vec![0; shape]);
    assert_x02(&archive_with(&scratch, "bomb.npz", &[("labels.npy", bomb)]), "bytes in all", "32 MiB plus 8 times");
}

#[test]
fn x02_names_that_leave_the_archive_are_refused() {
    let scratch = Scratch::new("x02-name");
    let bytes = array("{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }\n", &[0]);
    for name in ["../evil.npy", "/evil.npy", "a/evil.npy", "..\\evil.npy", "C:evil.npy", ".npy"] {
        assert_x02(&archive_with(&scratch, "bad.npz", &[(name, bytes.clone())]), "entry name", "NAME.npy");
    }
}

#[test]
fn x02_big_endian_and_fortran_order_are_read_correctly() {
    let scratch = Scratch::new("x02-order");
    // Three items, one lead, two points: in Fortran order the items run fastest.
    let fortran: Vec<u8> = [1f32, 3.0, 5.0, 2.0, 4.0, 6.0].iter().flat_map(|x| x.to_be_bytes()).collect();
    let ecg = array("{'descr': '>f4', 'fortran_order': True, 'shape': (3, 1, 2), }\n", &fortran);
    let text: Vec<u8> =
        "ab".chars().chain("c\0".chars()).chain("de".chars()).flat_map(|c| u32::from(c).to_be_bytes()).collect();
    let record = array("{'descr': '>U2', 'fortran_order': False, 'shape': (3,), }\n", &text);
    let index: Vec<u8> = [7i32, -8, 9].iter().flat_map(|x| x.to_be_bytes()).collect();
    let index = array("{'descr': '>i4', 'fortran_order': False, 'shape': (3,), }\n", &index);
    let path = archive_with(&scratch, "good2.npz", &[("ecg.npy", ecg), ("record.npy", record), ("index.npy", index)]);
    let data = npz::read(&path).expect("accepted");
    assert_eq!(data.ecg, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    assert_eq!(data.record, ["ab", "c", "de"]);
    assert_eq!(data.index, [7, -8, 9]);
}

#[test]
fn x02_missing_unknown_and_cut_content_is_refused() {
    let scratch = Scratch::new("x02-content");
    let extra = array("{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }\n", &[0]);
    assert_x02(&archive_with(&scratch, "extra.npz", &[("extra.npy", extra)]), "unknown array", "keys of a data set");
    let short = array("{'descr': '<i8', 'fortran_order': False, 'shape': (1,), }\n", &[0; 8]);
    assert_x02(&archive_with(&scratch, "short.npz", &[("index.npy", short)]), "index", "lengths that agree");
    let good = std::fs::read(scratch.0.join("good.npz")).expect("bytes");
    let cut = scratch.0.join("cut.npz");
    for length in [0, 1, 100, good.len() / 2, good.len() - 1] {
        std::fs::write(&cut, &good[..length]).expect("write");
        assert_x02(&cut, "archive", "ZIP archive");
    }
    // A flipped bit in the amplitudes is caught by the archive's checksum.
    let mut flipped = good.clone();
    flipped[200] ^= 1;
    std::fs::write(&cut, &flipped).expect("write");
    assert_x02(&cut, "ecg.npy", "checksum");
}

#[test]
fn npy_header_is_what_numpy_writes() {
    // numpy 2.2: np.save(f, np.zeros((2, 3), '<f4')) begins with these 128 bytes.
    let header = npy::header(&[2, 3], &npy::Values::F32(Vec::new()));
    assert_eq!(header.len(), 128);
    assert!(
        header.starts_with(b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }  ")
    );
    assert_eq!(header.last(), Some(&b'\n'));
}

#[test]
fn augmented_copies_grow_training_classes_like_the_other_controls() {
    let mut real = noise(&[("a", &[40, 4, 6]), ("c", &[10, 2, 2])], 7);
    for i in 0..real.len() {
        real.split[i] = if real.record[i] == "c" { Split::Test } else { Split::Train };
    }
    let plan = Plan::RaiseMinorities { times: 3, cap: usize::MAX };
    let out = augment::augment(&real, plan, augment::CLASSICAL, Seed::new(1)).expect("augmented");
    let same = augment::augment(&real, plan, augment::CLASSICAL, Seed::new(1)).expect("augmented");
    assert_eq!(out, same);
    assert_eq!(out.class_counts(Split::Train).expect("counts"), [40, 12, 18]);
    assert_eq!(out.part(Split::Test).ecg, real.part(Split::Test).ecg);
    for i in real.len()..out.len() {
        let source = (0..real.len()).find(|&k| real.index[k] == out.index[i]).expect("a copy of a real item");
        assert_eq!((real.split[source], &real.patient[source]), (Split::Train, &out.patient[i]));
        assert_ne!(real.item(source), out.item(i));
    }
    let names: Vec<&str> = out.provenance["mix"]["augmentations"]
        .as_array()
        .expect("list")
        .iter()
        .filter_map(|a| a["name"].as_str())
        .collect();
    assert_eq!(names, ["jitter", "scaling", "time-warp"]);
}

#[test]
fn catalogue_entries_are_complete() {
    for (k, database) in DATABASES.iter().enumerate() {
        let name = database.name();
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
        assert!(DATABASES[..k].iter().all(|other| other.name() != name));
        for text in
            [database.summary(), database.license(), database.reference(), database.layout(), database.version()]
        {
            assert!(!text.is_empty(), "{name}");
        }
    }
    assert!(matches!(database("mitbd"), Err(Error::Unknown { kind: "database", .. })));
}

#[test]
fn simulated_database_is_prepared_like_a_real_one_without_a_folder() {
    let scratch = Scratch::new("prepare-simulated");
    let preparation = Preparation {
        database: "simulated".into(),
        folder: PathBuf::new(),
        labels: "aami".into(),
        split: "inter".into(),
        seed: 3,
        high_pass_hz: None,
        records: Vec::new(),
        whole: Default::default(),
    };
    let prepared = prepare(&preparation, &scratch.0).expect("prepared");
    assert_eq!(npz::read(&prepared.npz).expect("read"), prepared.data);
    assert_eq!(prepared.data.provenance["synthetic"], true);
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&prepared.manifest).expect("bytes")).expect("JSON");
    assert_eq!(manifest["n_items"], prepared.data.len());
    assert_eq!(manifest["provenance"]["split"]["scheme"], "inter");
    let order = split::generator_training(&prepared.data, Seed::new(3)).expect("serves both splits");
    assert!(!order.is_empty() && order.iter().all(|&i| prepared.data.split[i] == Split::Train));
    let unfit = Preparation { labels: "nine-symbol".into(), ..preparation };
    assert!(matches!(prepare(&unfit, &scratch.0), Err(Error::Config { .. })));
}
