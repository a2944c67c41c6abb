//! Reading records: `cargo bench --bench records`. The target for record 100 of MIT-BIH is 3 ms
//! with checksums and 60 us for its annotations, on one core.

use std::path::PathBuf;

use divan::Bencher;
use einthoven::record::format::wfdb::read_annotations;
use einthoven::record::{Annotators, ReadOptions, read};

fn main() {
    divan::main();
}

/// A file of MIT-BIH in `EINTHOVEN_DATA`, or in the folder beside the workspace.
fn mitdb(file: &str) -> Option<PathBuf> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    let path = std::env::var_os("EINTHOVEN_DATA").map_or(root, PathBuf::from).join("mitdb").join(file);
    path.is_file().then_some(path)
}

/// Two leads, 650,000 frames, format 212, both checksums verified.
#[divan::bench]
fn record_100(bencher: Bencher) {
    let Some(path) = mitdb("100.hea") else { return };
    let options = ReadOptions { annotators: Annotators::None, ..ReadOptions::strict() };
    bencher.bench_local(|| read(&path, &options).expect("record 100 is valid"));
}

/// The same and every annotation file beside it.
#[divan::bench]
fn record_100_with_annotations(bencher: Bencher) {
    let Some(path) = mitdb("100.hea") else { return };
    bencher.bench_local(|| read(&path, &ReadOptions::strict()).expect("record 100 is valid"));
}

/// 2,274 annotations.
#[divan::bench]
fn annotations_100(bencher: Bencher) {
    let Some(path) = mitdb("100.atr") else { return };
    let options = ReadOptions::strict();
    bencher.bench_local(|| read_annotations(&path, Some(360.0), &options).expect("its annotations are valid"));
}

/// Both leads to millivolts.
#[divan::bench]
fn millivolts_100(bencher: Bencher) {
    let Some(path) = mitdb("100.hea") else { return };
    let record = read(&path, &ReadOptions::strict()).expect("record 100 is valid");
    bencher.bench_local(|| record.leads.iter().map(|lead| lead.mv().expect("both are in mV")).collect::<Vec<_>>());
}
