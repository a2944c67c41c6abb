//! L3: identical and nearly identical signals across parts.
//!
//! Each item becomes a unit vector: the mean of each lead removed, the whole divided by its norm, so
//! that a change of unit, gain or baseline does not hide a copy. Then correlation c and distance d are
//! bound by d^2 = 2 (1 - c), and all pairs with d below sqrt(2 (1 - 0.999)) = 0.0447 are wanted.
//! Comparing all pairs of 100,000 beats would take 5e9 dot products. Instead the vectors are projected
//! on a few orthonormal directions, which never lengthens a distance: items whose projections differ
//! by more than the bound cannot be duplicates. Items are put into a grid over the first three
//! directions with cells as wide as the bound, only neighbouring cells are compared, further
//! directions discard most of the rest, and the full correlation decides. Nothing is missed; the choice
//! of the directions (the leading principal components of a sample of the items) only makes it fast.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::seed::Seed;

/// Correlation above which two items count as one signal.
pub const NEAR_IDENTICAL: f64 = 0.999;

/// Directions to project on; the first `GRID` of them span the grid.
const DIRECTIONS: usize = 16;
const GRID: usize = 3;
/// Items from which the directions are estimated, and rounds of subspace iteration.
const SAMPLE: usize = 2000;
const ROUNDS: usize = 4;
/// Standard deviation in mV below which an item is a flat line, which resembles any other flat line.
const FLAT_MV: f64 = 1e-6;

/// Two items that are one signal, of different parts or patients.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Duplicate {
    /// Item in the one part.
    pub a: usize,
    /// Item in the other part, `b < a`.
    pub b: usize,
    /// Their correlation after removing each lead's mean.
    pub correlation: f64,
}

/// L3: no signal is in two parts, exactly or nearly.
///
/// # Errors
/// [`Error::Guard`] `L3` with the number of items concerned and the first pair.
pub fn check_duplicates(data: &Dataset) -> Result<()> {
    let found = duplicates(data);
    match found.first() {
        None => Ok(()),
        Some(pair) => Err(Error::Guard {
            code: "L3",
            reason: format!(
                "{} items repeat a signal of another part; first: item {} (record {}, {}) and item {} (record {}, {}) with correlation {:.5}",
                found.len(),
                pair.b,
                data.record[pair.b],
                data.split[pair.b].name(),
                pair.a,
                data.record[pair.a],
                data.split[pair.a].name(),
                pair.correlation
            ),
        }),
    }
}

/// For each item that repeats a signal of another part (correlation above [`NEAR_IDENTICAL`]): the first
/// earlier item that it repeats. Flat lines are left out. Ordered by item.
pub fn duplicates(data: &Dataset) -> Vec<Duplicate> {
    if data.is_empty() || data.split.iter().all(|split| *split == data.split[0]) {
        return Vec::new();
    }
    repeated_signals(data, |a, b| data.split[a] != data.split[b])
}

/// X07: no whole record is stored under two patients. Does nothing for a data set of beats.
///
/// # Errors
/// [`Error::Guard`] `X07` with the number of records concerned and the first ones.
pub fn check_one_patient_per_signal(data: &Dataset) -> Result<()> {
    if data.provenance["item"] != crate::dataset::catalog::recordings::ITEM {
        return Ok(());
    }
    let found = repeated_signals(data, |a, b| data.patient[a] != data.patient[b]);
    if found.is_empty() {
        return Ok(());
    }
    let pairs: Vec<String> = found
        .iter()
        .take(5)
        .map(|pair| {
            format!(
                "{} of {} and {} of {}",
                data.record[pair.b], data.patient[pair.b], data.record[pair.a], data.patient[pair.a]
            )
        })
        .collect();
    Err(Error::Guard {
        code: "X07",
        reason: format!(
            "{} records repeat the signal of another patient: {}; leave the copies out (--drop-copies), or correct the patients",
            found.len(),
            pairs.join("; ")
        ),
    })
}

/// For each item that repeats a signal of an earlier one with which `is_pair` holds: the first such item. Flat
/// lines are left out. Ordered by item.
pub fn repeated_signals(data: &Dataset, is_pair: impl Fn(usize, usize) -> bool + Sync) -> Vec<Duplicate> {
    let n_leads = data.leads.len();
    let size = n_leads * data.sig_len;
    if size == 0 || data.is_empty() {
        return Vec::new();
    }
    let mut units = vec![0f32; data.len() * size];
    let has_shape: Vec<bool> =
        units.par_chunks_mut(size).enumerate().map(|(i, unit)| normalize(data.item(i), data.sig_len, unit)).collect();

    let bound = (2.0 * (1.0 - NEAR_IDENTICAL)).sqrt();
    let directions = directions(&units, size, &has_shape);
    let projected: Vec<[f32; DIRECTIONS]> = units
        .par_chunks(size)
        .map(|unit| std::array::from_fn(|k| dot(unit, &directions[k * size..(k + 1) * size]) as f32))
        .collect();

    // Cells hold items in rising order, so the first hit does not depend on the order of the map.
    let cell = |point: &[f32; DIRECTIONS]| -> [i32; GRID] {
        std::array::from_fn(|k| (f64::from(point[k]) / bound).floor() as i32)
    };
    let mut cells: HashMap<[i32; GRID], Vec<u32>> = HashMap::new();
    for i in (0..data.len()).filter(|&i| has_shape[i]) {
        cells.entry(cell(&projected[i])).or_default().push(i as u32);
    }
    // Rounding to f32 moves a projection by at most 1e-6; the margin keeps the filter from missing a pair.
    let limit = (bound * bound) as f32 + 1e-5;
    let first_match = |a: usize| -> Option<Duplicate> {
        let center = cell(&projected[a]);
        let mut best: Option<Duplicate> = None;
        for offset in 0..3i32.pow(GRID as u32) {
            let key = std::array::from_fn(|k| center[k] + offset / 3i32.pow(k as u32) % 3 - 1);
            for &b in cells.get(&key).map_or(&[][..], Vec::as_slice) {
                let b = b as usize;
                if b >= best.map_or(a, |pair| pair.b) {
                    break;
                }
                if !is_pair(a, b) || !is_near(&projected[a], &projected[b], limit) {
                    continue;
                }
                let correlation = dot(&units[a * size..(a + 1) * size], &units[b * size..(b + 1) * size]);
                if correlation > NEAR_IDENTICAL {
                    best = Some(Duplicate { a, b, correlation });
                }
            }
        }
        best
    };
    (0..data.len()).into_par_iter().filter(|&a| has_shape[a]).filter_map(first_match).collect()
}

/// Writes the item as a unit vector without its leads' means; false for a flat line or missing points.
fn normalize(item: &[f32], sig_len: usize, unit: &mut [f32]) -> bool {
    let mut energy = 0.0;
    for (lead, out) in item.chunks(sig_len).zip(unit.chunks_mut(sig_len)) {
        let mean = lead.iter().map(|&x| f64::from(x)).sum::<f64>() / sig_len as f64;
        for (x, y) in lead.iter().zip(out) {
            *y = (f64::from(*x) - mean) as f32;
            energy += f64::from(*y) * f64::from(*y);
        }
    }
    let has_shape = energy.is_finite() && energy > FLAT_MV * FLAT_MV * item.len() as f64;
    let scale = if has_shape { 1.0 / energy.sqrt() } else { 0.0 };
    for y in unit {
        *y = if has_shape { (f64::from(*y) * scale) as f32 } else { 0.0 };
    }
    has_shape
}

/// Orthonormal directions `[DIRECTIONS, size]` along which the items differ most, by subspace iteration.
fn directions(units: &[f32], size: usize, has_shape: &[bool]) -> Vec<f32> {
    let members: Vec<usize> = (0..has_shape.len()).filter(|&i| has_shape[i]).collect();
    let stride = members.len().div_ceil(SAMPLE).max(1);
    let sample: Vec<&[f32]> = members.iter().step_by(stride).map(|&i| &units[i * size..(i + 1) * size]).collect();
    let mut stream = Seed::new(0).purpose("duplicate directions").stream();
    let mut basis: Vec<f64> = (0..DIRECTIONS * size).map(|_| stream.normal()).collect();
    orthonormalize(&mut basis, size);
    for _ in 0..ROUNDS {
        let rows: Vec<Vec<f64>> = (0..DIRECTIONS)
            .into_par_iter()
            .map(|k| {
                let direction = &basis[k * size..(k + 1) * size];
                let mut next = vec![0.0; size];
                for unit in &sample {
                    let along: f64 = unit.iter().zip(direction).map(|(x, d)| f64::from(*x) * d).sum();
                    for (out, x) in next.iter_mut().zip(*unit) {
                        *out += along * f64::from(*x);
                    }
                }
                next
            })
            .collect();
        basis = rows.concat();
        orthonormalize(&mut basis, size);
    }
    basis.into_iter().map(|x| x as f32).collect()
}

/// Gram and Schmidt, twice for accuracy; a direction that vanishes becomes zero, which filters nothing.
fn orthonormalize(basis: &mut [f64], size: usize) {
    for k in 0..basis.len() / size {
        for _ in 0..2 {
            let (before, rest) = basis.split_at_mut(k * size);
            let row = &mut rest[..size];
            for earlier in before.chunks(size) {
                let along: f64 = earlier.iter().zip(row.iter()).map(|(a, b)| a * b).sum();
                for (x, e) in row.iter_mut().zip(earlier) {
                    *x -= along * e;
                }
            }
            let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
            for x in row {
                *x = if norm > 1e-9 { *x / norm } else { 0.0 };
            }
        }
    }
}

/// Whether two projections are within the bound; stops early, since most candidates are not.
fn is_near(a: &[f32; DIRECTIONS], b: &[f32; DIRECTIONS], limit: f32) -> bool {
    let mut sum = 0.0;
    for (x, y) in a.chunks_exact(4).zip(b.chunks_exact(4)) {
        sum += x.iter().zip(y).map(|(x, y)| (x - y) * (x - y)).sum::<f32>();
        if sum > limit {
            return false;
        }
    }
    true
}

/// Dot product, summed in double precision by eight lanes.
fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut lanes = [0f64; 8];
    let (head_a, head_b) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f64 = head_a.remainder().iter().zip(head_b.remainder()).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
    for (x, y) in head_a.zip(head_b) {
        for ((lane, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += f64::from(*x) * f64::from(*y);
        }
    }
    lanes.iter().sum::<f64>() + tail
}
