//! Electrodes on the wrong limb or in the wrong place of the chest: the laws hold, but the leads do not fit together.
//!
//! One table says how the eight independent leads of the QRS band go together in patients. From it follow what the
//! chest leads say of I and II, by which each exchange of limb electrodes can be undone and compared, and how likely an
//! order of the chest leads is. Exchange of the left arm and the left leg hardly changes either: it is found in one
//! record of twenty, and this check cannot rule it out.
//!
//! # Reference
//! The idea, to predict each lead from the others and to see which correction fits best: Kors and van Herpen 2001,
//! J Electrocardiol 34 suppl, 69-74. The table was measured here, see [`TABLE`].

use super::law::{eight_channels, millivolts};
use super::{Problem, Severity};
use crate::record::Record;

/// Mean of the products of leads I, II, V1-V6 in the band of [`band`], each record scaled to a mean square of 1.
///
/// Measured on 1,835 records of PTB-XL at 100 Hz, folds 1 to 8 (CC BY 4.0, Wagner et al. 2020).
// An entry that resembles pi / 6 was measured like the others.
#[allow(clippy::approx_constant)]
const TABLE: [[f64; 8]; 8] = [
    [0.5235, 0.3154, -0.4160, -0.1276, 0.1980, 0.4813, 0.5725, 0.5001],
    [0.3154, 0.4907, -0.2950, -0.0867, 0.2881, 0.5611, 0.5940, 0.5002],
    [-0.4160, -0.2950, 0.7438, 0.7971, 0.3243, -0.2112, -0.4765, -0.4933],
    [-0.1276, -0.0867, 0.7971, 1.6638, 1.1566, 0.4171, -0.0806, -0.2618],
    [0.1980, 0.2881, 0.3243, 1.1566, 1.4288, 1.0157, 0.5228, 0.2322],
    [0.4813, 0.5611, -0.2112, 0.4171, 1.0157, 1.2982, 1.0209, 0.7018],
    [0.5725, 0.5940, -0.4765, -0.0806, 0.5228, 1.0209, 1.0953, 0.8535],
    [0.5001, 0.5002, -0.4933, -0.2618, 0.2322, 0.7018, 0.8535, 0.7559],
];
/// Added to the diagonal of the table before it is inverted, so that the small directions do not decide.
const RIDGE: f64 = 1e-3;
/// Gain in correlation from which an exchange of limb electrodes is reported, and the correlation that it must reach.
/// Chosen on the records of [`TABLE`], where it raises 0.4 % false alarms.
const LIMB_MARGIN: f64 = 0.5;
const LIMB_FIT: f64 = 0.5;
/// Relative gain from which another order of the chest leads is reported; 0.8 % false alarms there.
const CHEST_MARGIN: f64 = 0.5;

/// Exchanges of limb electrodes and how I and II follow from the leads as recorded: rows I and II, columns I and II.
const LIMB_EXCHANGES: [(&str, [[f64; 2]; 2]); 5] = [
    ("right arm and left arm exchanged", [[-1.0, 0.0], [-1.0, 1.0]]),
    ("right arm and left leg exchanged", [[1.0, -1.0], [0.0, -1.0]]),
    ("left arm and left leg exchanged", [[0.0, 1.0], [1.0, 0.0]]),
    ("limb electrodes one place round", [[0.0, -1.0], [1.0, -1.0]]),
    ("limb electrodes one place round, the other way", [[-1.0, 1.0], [-1.0, 0.0]]),
];

/// What the leads look like.
#[derive(Debug, Clone, PartialEq)]
pub struct Suspicion {
    /// The exchange, in words.
    pub exchange: String,
    /// How much better the leads fit when it is undone: gain in correlation for limbs, relative gain for the chest.
    pub gain: f64,
}

/// The exchange of electrodes that would explain the leads better than their names do.
///
/// # Shape
/// `eight` holds I, II, V1-V6 of equal length.
/// # Units
/// Any, the same for all leads; `fs_hz` in Hz.
/// # Panics
/// If the leads differ in length.
pub fn suspected_swap(eight: &[&[f32]; 8], fs_hz: f64) -> Option<Suspicion> {
    let leads: Vec<Vec<f64>> = eight.iter().map(|lead| band(lead, fs_hz)).collect();
    let mut products = [[0.0; 8]; 8];
    for a in 0..8 {
        for b in 0..8 {
            products[a][b] = leads[a].iter().zip(&leads[b]).map(|(x, y)| x * y).sum();
        }
    }
    limb(&products).or_else(|| chest(&products))
}

pub(super) fn look(record: &Record, problems: &mut Vec<Problem>) {
    let (Some(eight), Some(mv)) = (eight_channels(record), millivolts(record)) else { return };
    let leads = eight.map(|k| mv[k].as_slice());
    if let Some(Suspicion { exchange, gain }) = suspected_swap(&leads, record.fs_hz) {
        let message = format!("the leads would fit together better (by {gain:.2}) with {exchange}: look at the sheet");
        problems.push(Problem::new("electrodes", Severity::Warning, message));
    }
}

/// What the chest leads say of I and II, compared with I and II as recorded and with each exchange undone.
fn limb(products: &[[f64; 8]; 8]) -> Option<Suspicion> {
    let chest: Vec<Vec<f64>> = (2..8).map(|a| (2..8).map(|b| with_ridge(a, b)).collect()).collect();
    let weights: Vec<Vec<f64>> =
        (0..2).map(|limb| solve(chest.clone(), (2..8).map(|v| TABLE[v][limb]).collect())).collect();
    // All sums follow from the products of the leads: no signal is touched again.
    let said = |limb: usize, other: usize| (0..6).map(|v| weights[limb][v] * products[v + 2][other]).sum::<f64>();
    let said_energy: f64 = (0..2)
        .map(|limb| {
            let pairs = (0..6).flat_map(|a| (0..6).map(move |b| (a, b)));
            pairs.map(|(a, b)| weights[limb][a] * weights[limb][b] * products[a + 2][b + 2]).sum::<f64>()
        })
        .sum();
    let fit = |undo: &[[f64; 2]; 2]| {
        let (mut along, mut energy) = (0.0, 0.0);
        for limb in 0..2 {
            let [p, q] = undo[limb];
            along += p * said(limb, 0) + q * said(limb, 1);
            energy += p * p * products[0][0] + 2.0 * p * q * products[0][1] + q * q * products[1][1];
        }
        along / (energy * said_energy).sqrt().max(f64::MIN_POSITIVE)
    };
    let as_recorded = fit(&[[1.0, 0.0], [0.0, 1.0]]);
    let best = LIMB_EXCHANGES.iter().map(|(name, undo)| (fit(undo), *name)).max_by(|a, b| a.0.total_cmp(&b.0))?;
    let gain = best.0 - as_recorded;
    (best.0 > LIMB_FIT && gain > LIMB_MARGIN).then(|| Suspicion { exchange: best.1.into(), gain })
}

/// How unlikely the products are under the table, as recorded and with any two chest leads exchanged or all reversed.
fn chest(products: &[[f64; 8]; 8]) -> Option<Suspicion> {
    let table: Vec<Vec<f64>> = (0..8).map(|a| (0..8).map(|b| with_ridge(a, b)).collect()).collect();
    let inverse: Vec<Vec<f64>> =
        (0..8).map(|k| solve(table.clone(), (0..8).map(|j| f64::from(u8::from(j == k))).collect())).collect();
    let misfit = |order: &[usize; 8]| {
        let pairs = (0..8).flat_map(|a| (0..8).map(move |b| (a, b)));
        pairs.map(|(a, b)| inverse[a][b] * products[order[a]][order[b]]).sum::<f64>()
    };
    let stated = [0, 1, 2, 3, 4, 5, 6, 7];
    let mut orders = vec![("V1 to V6 reversed".to_string(), [0, 1, 7, 6, 5, 4, 3, 2])];
    for a in 2..8 {
        for b in a + 1..8 {
            let mut order = stated;
            order.swap(a, b);
            orders.push((format!("V{} and V{} exchanged", a - 1, b - 1), order));
        }
    }
    let as_recorded = misfit(&stated);
    let best = orders.into_iter().map(|(name, order)| (misfit(&order), name)).min_by(|a, b| a.0.total_cmp(&b.0))?;
    let gain = 1.0 - best.0 / as_recorded;
    (gain > CHEST_MARGIN).then_some(Suspicion { exchange: best.1, gain })
}

fn with_ridge(a: usize, b: usize) -> f64 {
    TABLE[a][b] + if a == b { RIDGE } else { 0.0 }
}

/// Solves a small symmetric positive system by elimination; the table with its ridge needs no pivoting.
fn solve(mut a: Vec<Vec<f64>>, mut b: Vec<f64>) -> Vec<f64> {
    let n = b.len();
    for k in 0..n {
        for row in k + 1..n {
            let factor = a[row][k] / a[k][k];
            for column in k..n {
                a[row][column] -= factor * a[k][column];
            }
            b[row] -= factor * b[k];
        }
    }
    for k in (0..n).rev() {
        let rest: f64 = (k + 1..n).map(|column| a[k][column] * b[column]).sum();
        b[k] = (b[k] - rest) / a[k][k];
    }
    b
}

/// The band of QRS: the mean over 40 ms less the mean over 400 ms, thinned to about 100 Hz. Missing points count as 0.
fn band(lead: &[f32], fs_hz: f64) -> Vec<f64> {
    let mut sums = Vec::with_capacity(lead.len() + 1);
    sums.push(0.0);
    for &value in lead {
        let value = if value.is_nan() { 0.0 } else { f64::from(value) };
        sums.push(sums[sums.len() - 1] + value);
    }
    let n = lead.len();
    let mean = |at: usize, half: usize| {
        let (from, to) = (at.saturating_sub(half), (at + half + 1).min(n));
        (sums[to] - sums[from]) / (to - from) as f64
    };
    let (short, long) = ((0.02 * fs_hz).round() as usize, (0.2 * fs_hz).round() as usize);
    let step = ((fs_hz / 100.0).round() as usize).max(1);
    (0..n).step_by(step).map(|at| mean(at, short) - mean(at, long)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elimination_solves_what_it_is_given() {
        let a = vec![vec![4.0, 1.0, 0.5], vec![1.0, 3.0, -1.0], vec![0.5, -1.0, 2.0]];
        let x = [1.0, -2.0, 0.25];
        let b: Vec<f64> = a.iter().map(|row| row.iter().zip(x).map(|(a, x)| a * x).sum()).collect();
        assert!(solve(a, b).iter().zip(x).all(|(found, x)| (found - x).abs() < 1e-12));
    }

    #[test]
    fn each_exchange_of_limbs_undoes_what_it_names() {
        // Potentials of right arm, left arm and left leg.
        let (ra, la, ll) = (0.3, -0.2, 0.9);
        let leads = |ra: f64, la: f64, ll: f64| [la - ra, ll - ra];
        let truth = leads(ra, la, ll);
        let recorded = [leads(la, ra, ll), leads(ll, la, ra), leads(ra, ll, la), leads(la, ll, ra), leads(ll, ra, la)];
        for ((name, undo), recorded) in LIMB_EXCHANGES.iter().zip(recorded) {
            for k in 0..2 {
                let restored = undo[k][0] * recorded[0] + undo[k][1] * recorded[1];
                assert!((restored - truth[k]).abs() < 1e-12, "{name}: lead {k} is {restored}");
            }
        }
    }
}
