//! Weights and checkpoints: rows M01 to M03, K2, K5 and K6.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use einthoven::run::safetensors::{self, TensorFile};
use einthoven::run::{Checkpoint, CheckpointStore, Run, Snapshot, Storage, StoredType, Tensors, read_checkpoints};
use einthoven::{Error, InputError, Position};

use crate::toy::{info, scratch};

fn tensors() -> Tensors {
    Tensors::from([
        ("bias".to_owned(), (vec![3], vec![0.5, -1.25, 1e-20])),
        ("empty".to_owned(), (vec![0, 4], vec![])),
        ("scalar".to_owned(), (vec![], vec![7.0])),
        ("weight".to_owned(), (vec![2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, -0.0])),
    ])
}

/// A file with this header and this many bytes of data.
fn file(header: &str, n_data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + n_data, 0);
    bytes
}

fn refusal(bytes: &[u8]) -> InputError {
    match safetensors::from_bytes(bytes, Path::new("w.safetensors")) {
        Err(Error::Input(error)) => *error,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

/// One tensor of two values, with this shape and these offsets.
fn entry(name: &str, shape: &str, offsets: &str) -> String {
    format!("\"{name}\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":{offsets}}}")
}

#[test]
fn weights_survive_the_round_trip() {
    let metadata = BTreeMap::from([("about".to_owned(), "a \"toy\"".to_owned())]);
    let bytes = safetensors::to_bytes(&tensors(), &metadata, StoredType::F32).unwrap();
    let read = safetensors::from_bytes(&bytes, Path::new("w")).unwrap();
    assert_eq!(read, TensorFile { tensors: tensors(), metadata });
    assert!(read.tensors["weight"].1[5].is_sign_negative());
    let half = safetensors::to_bytes(&tensors(), &BTreeMap::new(), StoredType::F16).unwrap();
    let read = safetensors::from_bytes(&half, Path::new("w")).unwrap();
    assert_eq!(read.tensors["weight"], tensors()["weight"]);
    assert_eq!(read.tensors["bias"].1, [0.5, -1.25, 0.0]);
    let large = Tensors::from([("w".to_owned(), (vec![1], vec![1e5]))]);
    let error = safetensors::to_bytes(&large, &BTreeMap::new(), StoredType::F16).unwrap_err();
    assert_eq!(error.to_string(), "w: found 100000, expected at most 65504 in 16 bits");
}

#[test]
fn the_format_agrees_with_the_reference_implementation() {
    // Both ways against the crate by the format's authors.
    let bytes = safetensors::to_bytes(&tensors(), &BTreeMap::new(), StoredType::F32).unwrap();
    let theirs = ::safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(theirs.len(), 4);
    let weight = theirs.tensor("weight").unwrap();
    assert_eq!((weight.shape(), weight.dtype()), ([2usize, 3].as_slice(), ::safetensors::Dtype::F32));
    let data: Vec<u8> = tensors()["weight"].1.iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(weight.data(), data);
    let view = ::safetensors::tensor::TensorView::new(::safetensors::Dtype::F32, vec![2, 3], &data).unwrap();
    let written = ::safetensors::serialize([("weight", view)], None).unwrap();
    assert_eq!(safetensors::from_bytes(&written, Path::new("w")).unwrap().tensors["weight"], tensors()["weight"]);
}

#[test]
fn m01_pickles_and_archives_are_refused() {
    let cases: [(&[u8], &str); 6] = [
        (b"PK\x03\x04\x00\x00\x08\x08\x00\x00\x00\x00", "a zip archive (a .pt file is one)"),
        (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8", "a pickle"),
        (b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00\x8c", "a pickle"),
        (b"\x78\x9c\x6b\x60\x99\x2a\xce\x00\x01\xb5\x53\xf4", "a compressed file (joblib writes such)"),
        (b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x00\x00", "a compressed file (joblib writes such)"),
        (b"\x89HDF\r\n\x1a\n\x00\x00\x00\x00", "an HDF5 file"),
    ];
    for (bytes, found) in cases {
        let error = refusal(bytes);
        assert_eq!((error.code, error.position, error.found.as_str()), ("M01", Position::Byte(0), found));
        assert!(error.to_string().contains("never opened"), "{error}");
    }
    // A header whose length begins like a pickle is none: 0x280 bytes.
    let header = format!("{{{}}}", entry("w", "[2]", "[0,8]"));
    let padded = format!("{header:<640}");
    assert_eq!(file(&padded, 8)[..2], [0x80, 0x02]);
    safetensors::from_bytes(&file(&padded, 8), Path::new("w")).unwrap();
}

#[test]
fn m02_broken_files_name_the_tensor() {
    let one = |shape: &str, offsets: &str| format!("{{{}}}", entry("w", shape, offsets));
    let two = |a: &str, b: &str| format!("{{{},{}}}", entry("a", "[2]", a), entry("b", "[2]", b));
    let header_len = |header: &str| 8 + header.len() as u64;
    let good = one("[2]", "[0,8]");
    safetensors::from_bytes(&file(&good, 8), Path::new("w")).unwrap();
    safetensors::from_bytes(&file(&two("[8,16]", "[0,8]"), 16), Path::new("w")).unwrap();

    let check = |bytes: &[u8], position: Position, field: &str, found: &str, expected: &str| {
        let error = refusal(bytes);
        assert_eq!(error.code, "M02", "{error}");
        assert_eq!((error.position, error.field.as_str()), (position, field), "{error}");
        assert!(error.found.contains(found), "{error}");
        assert!(error.expected.contains(expected), "{error}");
    };
    check(b"\x01\x02", Position::Byte(0), "header length", "2 bytes", "at least 8");
    let mut long = file(&good, 8);
    long[0] = 200;
    check(&long, Position::Byte(0), "header length", "200", &format!("at most {}", good.len() + 8));
    let mut huge = u64::MAX.to_le_bytes().to_vec();
    huge.extend_from_slice(good.as_bytes());
    check(&huge, Position::Byte(0), "header length", "18446744073709551615", "at most");
    check(&file("{\"w\":[}", 8), Position::Byte(14), "header", "expected value", "a JSON object");
    let twice = format!("{{{},{}}}", entry("w", "[2]", "[0,8]"), entry("w", "[2]", "[0,8]"));
    let error = refusal(&file(&twice, 8));
    assert_eq!(error.field, "header");
    assert!(error.found.contains("duplicate key \"w\""), "{error}");
    let hole = two("[0,8]", "[12,20]");
    check(&file(&hole, 20), Position::Byte(header_len(&hole) + 8), "b", "a hole: it begins at 12", "begins at 8");
    let overlap = two("[0,8]", "[4,12]");
    check(&file(&overlap, 12), Position::Byte(header_len(&overlap) + 4), "b", "an overlap", "begins at 8");
    let overflow = one("[4294967296,4294967296,4]", "[0,8]");
    check(&file(&overflow, 8), Position::Byte(header_len(&overflow)), "w", "4294967296", "below 2^64");
    let beyond = one("[2]", "[0,16]");
    check(&file(&beyond, 8), Position::Byte(header_len(&beyond)), "w", "[0, 16]", "at most 8");
    let backwards = one("[2]", "[8,0]");
    check(&file(&backwards, 8), Position::Byte(header_len(&backwards)), "w", "[8, 0]", "ascending");
    let misshaped = one("[3]", "[0,8]");
    check(&file(&misshaped, 8), Position::Byte(header_len(&misshaped)), "w", "8 bytes", "12 for shape [3] of F32");
    check(
        &file(&good, 11),
        Position::Byte(header_len(&good) + 8),
        "end of file",
        "3 bytes after the last tensor",
        "none",
    );
    let unknown = safetensors::from_bytes(&file(&good.replace("F32", "U64"), 8), Path::new("w")).unwrap_err();
    assert_eq!((unknown.exit_code(), unknown.to_string().contains("w: w: type U64")), (2, true), "{unknown}");
}

#[test]
fn m02_no_prefix_and_no_flipped_bit_panics() {
    let bytes = safetensors::to_bytes(&tensors(), &BTreeMap::new(), StoredType::F32).unwrap();
    for end in 0..bytes.len() {
        assert!(safetensors::from_bytes(&bytes[..end], Path::new("w")).is_err(), "cut at {end}");
    }
    let n_values = 4 * 10;
    for bit in 0..8 * bytes.len() {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        // A flip in a value is another value; one in the header may rename a tensor, and no more.
        if let Ok(read) = safetensors::from_bytes(&flipped, Path::new("w")) {
            let is_value = bit / 8 >= bytes.len() - n_values;
            let lengths = |t: &Tensors| t.values().map(|(_, values)| values.len()).sum::<usize>();
            assert!(is_value || lengths(&read.tensors) == lengths(&tensors()), "bit {bit}");
        }
    }
}

#[test]
fn m03_wrong_tensors_are_listed() {
    let dir = scratch("m03");
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join("weights.safetensors");
    fs::write(&path, safetensors::to_bytes(&tensors(), &BTreeMap::new(), StoredType::F32).unwrap()).unwrap();
    let mut shapes: BTreeMap<String, Vec<usize>> =
        tensors().into_iter().map(|(name, (shape, _))| (name, shape)).collect();
    safetensors::read_weights(&path, &shapes).unwrap();
    shapes.insert("weight".into(), vec![3, 2]);
    shapes.insert("gain".into(), vec![1]);
    shapes.remove("bias");
    let Err(Error::Input(error)) = safetensors::read_weights(&path, &shapes) else { panic!("accepted") };
    assert_eq!((error.code, error.position), ("M03", Position::File));
    assert_eq!(error.found, "gain missing; weight of shape [2, 3] instead of [3, 2]; bias unexpected");

    // Our writer refuses NaN, so the file is patched: the last value is the last of `weight`.
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, bytes).unwrap();
    let shapes = tensors().into_iter().map(|(name, (shape, _))| (name, shape)).collect();
    let Err(Error::Input(error)) = safetensors::read_weights(&path, &shapes) else { panic!("accepted") };
    assert_eq!((error.code, error.found.as_str()), ("M03", "NaN or infinite values in weight (1)"));
}

fn checkpoint(step: u64, score: Option<f64>) -> Checkpoint {
    let group = |factor: f32| {
        Tensors::from([("weight".to_owned(), (vec![50], (0..50).map(|i| factor * (i + step) as f32).collect()))])
    };
    let snapshot = Snapshot {
        weights: group(1.0),
        ema: group(0.5),
        first_moment: group(0.25),
        second_moment: group(0.125),
        state: serde_json::json!({"scale_mv": 0.1, "position": step}),
    };
    Checkpoint { step, snapshot, loop_state: serde_json::json!({"loss_sum": 0.1 + 0.2}), score, seconds: 1.5 }
}

#[test]
fn k2_the_last_two_and_the_best_are_kept() {
    let store = CheckpointStore::at(scratch("k2").join("teacher"));
    assert_eq!(store.load_latest().unwrap(), None);
    for (step, score) in [(10, 5.0), (20, 1.0), (30, 2.0), (40, f64::NAN), (50, 3.0)] {
        store.save(&checkpoint(step, Some(score))).unwrap();
    }
    assert_eq!(store.steps().unwrap(), [20, 40, 50]);
    assert_eq!(store.best().unwrap(), Some(20));
    for step in [20, 50] {
        let score = store.load(step).unwrap().score;
        assert_eq!(store.load(step).unwrap(), checkpoint(step, score));
    }
    let manifest = fs::read_to_string(store.path(50).join("manifest.json")).unwrap();
    for key in ["config_sha256", "data_fingerprint", "einthoven_version", "seed", "second_moment.safetensors"] {
        assert!(manifest.contains(key), "{manifest}");
    }
}

#[test]
fn k5_a_damaged_newest_checkpoint_is_passed_over_by_name() {
    let store = CheckpointStore::at(scratch("k5").join("teacher"));
    store.save(&checkpoint(10, None)).unwrap();
    store.save(&checkpoint(20, None)).unwrap();
    let is_passed_over = |what: &str| {
        let loaded = store.load_latest().unwrap().unwrap();
        assert_eq!(loaded.checkpoint, checkpoint(10, None), "{what}");
        assert_eq!(loaded.warnings.len(), 1, "{what}");
        let warning = &loaded.warnings[0];
        assert!(
            warning.contains("step-0000000020: damaged") && warning.ends_with("step-0000000010"),
            "{what}: {warning}"
        );
    };
    let mut n_files = 0;
    for entry in fs::read_dir(store.path(20)).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        n_files += 1;
        for place in 0..64 {
            let at = bytes.len() * place / 64;
            fs::write(&path, &bytes[..at]).unwrap();
            is_passed_over(&format!("{} cut at {at}", path.display()));
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (place % 8);
            fs::write(&path, flipped).unwrap();
            is_passed_over(&format!("{} flipped at {at}", path.display()));
        }
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        is_passed_over("last byte missing");
        fs::remove_file(&path).unwrap();
        is_passed_over("file missing");
        fs::write(&path, &bytes).unwrap();
    }
    assert_eq!(n_files, 6);
    assert_eq!(store.load_latest().unwrap().unwrap().checkpoint, checkpoint(20, None), "mended");

    // Going on from the older one replaces the damaged one, and what lay beyond is gone.
    fs::write(store.path(20).join("state.json"), "{}").unwrap();
    store.save(&checkpoint(15, None)).unwrap();
    assert_eq!(store.steps().unwrap(), [10, 15]);
    for step in [10, 15] {
        fs::write(store.path(step).join("manifest.json"), "").unwrap();
    }
    let error = store.load_latest().unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("no checkpoint is sound"), "{error}");
}

/// A disk with little room.
struct SmallDisk(u64);

impl Storage for SmallDisk {
    fn free_bytes(&self, _dir: &Path) -> Option<u64> {
        Some(self.0)
    }
}

#[test]
fn k6_too_little_room_is_noticed_before_writing() {
    let dir = scratch("k6");
    drop(Run::create(&dir, &info()).unwrap());
    let save_with = |free: u64| {
        let run = Run::open_on(Arc::new(SmallDisk(free)), &dir).unwrap();
        run.stage("teacher").unwrap().checkpoints().save(&checkpoint(1, None))
    };
    let error = save_with(1000).unwrap_err();
    assert_eq!(error.exit_code(), 4);
    assert!(error.to_string().contains("found 1000 free bytes, expected at least"), "{error}");
    let store = read_checkpoints(&dir, "teacher");
    assert_eq!(store.steps().unwrap(), [0u64; 0]);
    assert_eq!(fs::read_dir(store.dir()).unwrap().count(), 0);
    // Four groups of 50 values, their headers and the state.
    save_with(1_000_000).unwrap();
    let n_bytes: u64 = fs::read_dir(store.path(1))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name() != "manifest.json")
        .map(|entry| entry.metadata().unwrap().len())
        .sum();
    save_with(n_bytes * 11 / 5).unwrap();
    save_with(n_bytes * 11 / 5 - 1).unwrap_err();
}
