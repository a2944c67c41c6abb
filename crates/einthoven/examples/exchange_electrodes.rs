//! Exchanges electrodes in real records and counts what `check` says of them:
//! `cargo run --release --no-default-features --features fetch --example exchange_electrodes -- NAME=FOLDER...`
//!
//! `NAME` is a database of the catalogue with twelve leads. Of PTB-XL folds 9 and 10 are taken, because the table that
//! the check compares with was measured on the others. Each record is looked at as it is and with each exchange made
//! on purpose; the table in Markdown says in how many records any is suspected, and in how many it is this one.

use std::path::Path;

use einthoven::dataset::catalog::{OpenOptions, database};
use einthoven::dataset::check::suspected_swap;
use einthoven::dataset::window::Windows;
use einthoven::dataset::{Dataset, Split};
use einthoven::record::lead_law::EIGHT;
use einthoven::{Error, Result};

/// Exchanges of limb electrodes as `check` calls them, and which electrode's potential the cables of the right arm, the
/// left arm and the left leg then carry.
const LIMBS: [(&str, [usize; 3]); 5] = [
    ("right arm and left arm exchanged", [1, 0, 2]),
    ("right arm and left leg exchanged", [2, 1, 0]),
    ("left arm and left leg exchanged", [0, 2, 1]),
    ("limb electrodes one place round", [1, 2, 0]),
    ("limb electrodes one place round, the other way", [2, 0, 1]),
];

/// How often something was said.
#[derive(Default)]
struct Counts {
    n: usize,
    /// Records in which limbs, or the chest, are suspected.
    limb: usize,
    chest: usize,
    /// Records in which exactly what was done is named.
    named: usize,
}

fn main() -> Result<()> {
    println!("| records | exchange | n | suspected | 95 % interval | named rightly |\n|---|---|---|---|---|---|");
    for argument in std::env::args().skip(1) {
        let Some((name, folders)) = argument.split_once('=') else {
            return Err(Error::config("arguments", format!("found {argument}, expected NAME=FOLDER[,FOLDER]")));
        };
        let mut records: Vec<(Vec<Vec<f32>>, f64)> = Vec::new();
        for folder in folders.split(',') {
            records.extend(held_out(name, Path::new(folder))?);
        }
        look(name, &records);
    }
    Ok(())
}

/// The eight leads of each record that had no part in the check's table, with their rate.
fn held_out(name: &str, folder: &Path) -> Result<Vec<(Vec<Vec<f32>>, f64)>> {
    let database = database(name)?;
    let mut options = OpenOptions::of(database)?;
    options.whole.windows = Windows::First;
    let data = database.open(folder, &options)?;
    let places = EIGHT.map(|lead| data.leads.iter().position(|name| name == lead));
    if places.iter().any(Option::is_none) {
        return Err(Error::data(name, format!("found the leads {:?}, expected I, II and V1 to V6", data.leads)));
    }
    let is_apart = |i: &usize| name != "ptbxl" || data.split[*i] != Split::Train;
    let eight = |i: usize| places.iter().flatten().map(|&place| lead(&data, i, place)).collect();
    Ok((0..data.len()).filter(is_apart).map(|i| (eight(i), data.fs_hz)).collect())
}

fn lead(data: &Dataset, i: usize, place: usize) -> Vec<f32> {
    data.item(i)[place * data.sig_len..(place + 1) * data.sig_len].to_vec()
}

fn look(name: &str, records: &[(Vec<Vec<f32>>, f64)]) {
    let plain = count(records, "", |eight| eight.to_vec());
    row(name, "none: limbs suspected", &plain, plain.limb, false);
    row(name, "none: chest suspected", &plain, plain.chest, false);
    for (exchange, carried) in LIMBS {
        let counts = count(records, exchange, |eight| with_limbs(eight, carried));
        row(name, exchange, &counts, counts.limb + counts.chest, true);
    }
    for (a, b) in (1..=6).flat_map(|a| (a + 1..=6).map(move |b| (a, b))) {
        let exchange = format!("V{a} and V{b} exchanged");
        let counts = count(records, &exchange, |eight| {
            let mut out = eight.to_vec();
            out.swap(a + 1, b + 1);
            out
        });
        row(name, &exchange, &counts, counts.limb + counts.chest, true);
    }
    let reversed = "V1 to V6 reversed";
    let counts = count(records, reversed, |eight| {
        let mut out = eight.to_vec();
        out[2..].reverse();
        out
    });
    row(name, reversed, &counts, counts.limb + counts.chest, true);
}

/// Leads I and II when the cables carry the potentials of other limbs; only differences of potentials count, and the
/// mean of the three, to which the chest leads refer, stays the same.
fn with_limbs(eight: &[Vec<f32>], carried: [usize; 3]) -> Vec<Vec<f32>> {
    let mut out = eight.to_vec();
    for t in 0..eight[0].len() {
        let potentials = [0.0, eight[0][t], eight[1][t]];
        let [right_arm, left_arm, left_leg] = carried.map(|limb| potentials[limb]);
        (out[0][t], out[1][t]) = (left_arm - right_arm, left_leg - right_arm);
    }
    out
}

fn count(records: &[(Vec<Vec<f32>>, f64)], exchange: &str, change: impl Fn(&[Vec<f32>]) -> Vec<Vec<f32>>) -> Counts {
    let mut counts = Counts::default();
    for (eight, fs_hz) in records {
        counts.n += 1;
        let changed = change(eight);
        let leads: [&[f32]; 8] = std::array::from_fn(|k| changed[k].as_slice());
        let Some(suspicion) = suspected_swap(&leads, *fs_hz) else { continue };
        let is_limb = suspicion.exchange.contains("arm") || suspicion.exchange.contains("limb");
        *(if is_limb { &mut counts.limb } else { &mut counts.chest }) += 1;
        counts.named += usize::from(suspicion.exchange == exchange);
    }
    counts
}

fn row(name: &str, exchange: &str, counts: &Counts, k: usize, is_made: bool) {
    let n = counts.n as f64;
    let share = k as f64 / n;
    // Wilson's interval for a share.
    let z2 = 1.96 * 1.96;
    let middle = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = 1.96 / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    let named = if is_made { format!("{:.3}", counts.named as f64 / n) } else { "-".into() };
    println!(
        "| {name} | {exchange} | {} | {share:.3} | {:.3} to {:.3} | {named} |",
        counts.n,
        (middle - half).max(0.0),
        (middle + half).min(1.0)
    );
}
