//! Metrics and signal processing against the values of outside tools.
//!
//! Runs every folder of the parity fixtures whose name begins with `metrics`: sizes, parameters and
//! tolerances come from its files, so that any such folder works. Recipe and versions are in its
//! `config.json`. What a folder holds and we do not compare is printed.

mod groups;
mod scores;
mod signals;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::folder;

/// One folder, and what has been read and found wrong so far.
pub struct Fixture {
    arrays: Vec<u8>,
    values: Value,
    config: Value,
    used: RefCell<BTreeSet<String>>,
    failures: RefCell<Vec<String>>,
}

impl Fixture {
    fn open(folder: &Path) -> Fixture {
        let json = |name: &str| -> Value {
            let path = folder.join(name);
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        let arrays = std::fs::read(folder.join("io.safetensors")).unwrap();
        let (used, failures) = (RefCell::default(), RefCell::default());
        Fixture { arrays, values: json("values.json"), config: json("config.json"), used, failures }
    }

    /// Names of the arrays.
    pub fn names(&self) -> Vec<String> {
        SafeTensors::deserialize(&self.arrays).unwrap().names().into_iter().map(str::to_string).collect()
    }

    /// Parts of the array names that begin with `prefix`: what follows it, up to the next `end`.
    pub fn variants(&self, prefix: &str, end: &str) -> BTreeSet<String> {
        let rest = |name: &String| name.strip_prefix(prefix).map(str::to_string);
        let cut = |rest: String| if end.is_empty() { Some(rest) } else { rest.strip_suffix(end).map(str::to_string) };
        self.names().iter().filter_map(rest).filter_map(cut).collect()
    }

    /// An array as f64 with its shape, or nothing where the folder has none of that name.
    pub fn try_array(&self, name: &str) -> Option<(Vec<f64>, Vec<usize>)> {
        let tensors = SafeTensors::deserialize(&self.arrays).unwrap();
        let tensor = tensors.tensor(name).ok()?;
        self.used.borrow_mut().insert(name.to_string());
        let eight = |bytes: &[u8]| <[u8; 8]>::try_from(bytes).unwrap();
        let values = tensor.data().chunks_exact(8).map(|bytes| match tensor.dtype() {
            Dtype::F64 => f64::from_le_bytes(eight(bytes)),
            Dtype::I64 => i64::from_le_bytes(eight(bytes)) as f64,
            other => panic!("{name} has type {other:?}"),
        });
        Some((values.collect(), tensor.shape().to_vec()))
    }

    /// The values of an array.
    pub fn array(&self, name: &str) -> Vec<f64> {
        self.try_array(name).unwrap_or_else(|| panic!("{name} is missing")).0
    }

    /// A number of `values.json`, by JSON pointer.
    pub fn value(&self, pointer: &str) -> f64 {
        self.used.borrow_mut().insert(pointer.to_string());
        self.values.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer} is no number"))
    }

    /// Names of the entries of an object of `values.json`; none where it is missing.
    pub fn keys(&self, pointer: &str) -> Vec<String> {
        let object = self.values.pointer(pointer).and_then(Value::as_object);
        object.into_iter().flat_map(|object| object.keys().cloned()).collect()
    }

    fn is_within(&self, group: &str, found: f64, expected: f64) -> bool {
        let tolerance = |kind: &str| {
            let of = |group: &str| self.config["tolerance"][group][kind].as_f64();
            of(group).or(of("default")).unwrap_or_else(|| panic!("no tolerance for {group}"))
        };
        found == expected || (found - expected).abs() <= tolerance("atol") + tolerance("rtol") * expected.abs()
    }

    /// Whether arrays agree within the tolerance of a group of `config.json`.
    pub fn agrees(&self, group: &str, found: &[f64], expected: &[f64]) -> bool {
        found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| self.is_within(group, *f, *e))
    }

    /// Compares an array of ours with one of the folder.
    pub fn compare(&self, group: &str, name: &str, found: &[f64]) {
        let expected = self.array(name);
        if !self.agrees(group, found, &expected) {
            let worst = found.iter().zip(&expected).map(|(f, e)| (f - e).abs()).fold(0.0, f64::max);
            let lengths = (found.len(), expected.len());
            self.fail(format!("{name}: largest difference {worst:.3e}, lengths {lengths:?}"));
        }
    }

    /// Compares a number of ours with one of `values.json`.
    pub fn compare_value(&self, group: &str, pointer: &str, found: f64) {
        let expected = self.value(pointer);
        if !self.is_within(group, found, expected) {
            self.fail(format!("{pointer}: {found} instead of {expected}"));
        }
    }

    /// Compares under settings that the folder does not state: one of them must agree.
    pub fn compare_any(&self, group: &str, names: &[String], candidates: impl Iterator<Item = Vec<Vec<f64>>>) {
        let expected: Vec<Vec<f64>> = names.iter().map(|name| self.array(name)).collect();
        let agrees = |found: Vec<Vec<f64>>| found.iter().zip(&expected).all(|(f, e)| self.agrees(group, f, e));
        if !{ candidates }.any(agrees) {
            self.fail(format!("{names:?}: no settings agree"));
        }
    }

    /// Compares a number under settings that the folder does not state.
    pub fn compare_any_value(&self, group: &str, pointer: &str, candidates: impl Iterator<Item = f64>) {
        let expected = self.value(pointer);
        if !{ candidates }.any(|found| self.is_within(group, found, expected)) {
            self.fail(format!("{pointer}: no settings give {expected}"));
        }
    }

    /// Notes a disagreement.
    pub fn fail(&self, what: String) {
        self.failures.borrow_mut().push(what);
    }

    /// Numbers of `values.json` and arrays that no check has read.
    fn unread(&self) -> Vec<String> {
        let mut leaves = Vec::new();
        numbers(&self.values, "", &mut leaves);
        let used = self.used.borrow();
        let is_read = |name: &String| used.iter().any(|u| name == u || name.starts_with(&format!("{u}/")));
        self.names().into_iter().chain(leaves).filter(|name| !is_read(name)).collect()
    }
}

fn numbers(value: &Value, pointer: &str, out: &mut Vec<String>) {
    match value {
        Value::Number(_) => out.push(pointer.to_string()),
        Value::Array(items) => items.iter().enumerate().for_each(|(k, v)| numbers(v, &format!("{pointer}/{k}"), out)),
        Value::Object(map) => map.iter().for_each(|(k, v)| numbers(v, &format!("{pointer}/{k}"), out)),
        _ => {}
    }
}

/// The number after a tag in a name, such as 20 in `s1_s2_window20` after `window`.
pub fn number_after<T: std::str::FromStr>(name: &str, tag: &str) -> Option<T> {
    let rest = &name[name.find(tag)? + tag.len()..];
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[test]
fn metrics_and_filters_agree_with_the_outside_tools() {
    let Some(parity) = folder::parity_folder() else { return };
    let mut folders: Vec<_> = std::fs::read_dir(parity).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.is_dir() && path.file_name().unwrap().to_string_lossy().starts_with("metrics"));
    folders.sort();
    let mut failures = Vec::new();
    for path in &folders {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let fixture = Fixture::open(path);
        groups::check(&fixture);
        scores::check(&fixture);
        signals::check(&fixture);
        let unread = fixture.unread();
        println!("{name}: {} entries read, not compared: {unread:?}", fixture.used.borrow().len());
        failures.extend(fixture.failures.into_inner().into_iter().map(|failure| format!("{name}: {failure}")));
    }
    println!("{} folder(s) of metrics", folders.len());
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_wrong_value_is_noticed() {
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let fixture = Fixture {
        arrays: safetensors::serialize(Vec::<(String, safetensors::tensor::TensorView)>::new(), None).unwrap(),
        values: json(r#"{"a": {"b": 1.0, "c": [2.0, 3.0]}}"#),
        config: json(r#"{"tolerance": {"default": {"atol": 1e-9, "rtol": 1e-8}}}"#),
        used: RefCell::default(),
        failures: RefCell::default(),
    };
    fixture.compare_value("default", "/a/b", 1.0 + 1e-9);
    assert!(fixture.failures.borrow().is_empty());
    fixture.compare_value("default", "/a/b", 1.0 + 1e-7);
    fixture.compare_any_value("default", "/a/c/0", [1.0, 3.0].into_iter());
    assert_eq!(fixture.failures.borrow().len(), 2);
    assert_eq!(fixture.unread(), ["/a/c/1"]);
    assert_eq!(number_after::<usize>("s1_s2_window20", "window"), Some(20));
    assert_eq!(number_after::<f64>("sinkhorn_reg0.5", "reg"), Some(0.5));
}
