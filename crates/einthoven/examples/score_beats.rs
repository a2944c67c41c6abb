//! Scores the R-peak detector on a folder of WFDB records with beat annotations, as EC57 asks.
//!
//!     cargo run --release -p einthoven --no-default-features --example score_beats -- ../shared/data/mitdb

use std::path::PathBuf;
use std::time::Instant;

use einthoven::Result;
use einthoven::beat::ec57::{self, Comparison};
use einthoven::beat::rpeak::r_peaks;
use einthoven::record::{Annotation, ReadOptions, read};

fn main() -> Result<()> {
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or("../shared/data/mitdb".into()));
    let mode = std::env::args().nth(2).unwrap_or("first".into());
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .filter_map(|e| e.unwrap().file_name().to_str()?.strip_suffix(".hea").map(str::to_string))
        .collect();
    names.sort();
    let mut all = Vec::new();
    let mut times = Vec::new();
    for name in names {
        let record = read(folder.join(&name), &ReadOptions::lenient())?;
        let mv: Vec<Vec<f32>> = record.leads.iter().map(|lead| lead.mv().unwrap()).collect();
        let leads: Vec<&[f32]> = mv.iter().map(|l| l.as_slice()).take(if mode == "all" { 9 } else { 1 }).collect();
        let start = Instant::now();
        let peaks = r_peaks(&leads, record.fs_hz)?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
        let test: Vec<Annotation> = peaks.iter().map(|&at| Annotation::new(at as i64, "N")).collect();
        let counts = ec57::compare(&record.annotations["atr"], &test, record.fs_hz, record.sig_len, ec57::LEARNING_S);
        println!("{name} missed {:4} extra {:4} of {}", counts.n_missed(), counts.n_extra(), counts.n_reference());
        all.push((name, counts));
    }
    times.sort_by(f64::total_cmp);
    let result = Comparison::of(all);
    println!("{:?}\n{:?}", result.gross.qrs_sensitivity, result.gross.qrs_positive_predictivity);
    println!("missed {} extra {} ms {:.2}", result.counts.n_missed(), result.counts.n_extra(), times[times.len() / 2]);
    Ok(())
}
