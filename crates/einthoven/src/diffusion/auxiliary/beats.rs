//! The beat decoder: from a beat of the estimate to the parameters of waves that a simulator would make it of.
//!
//! Beats are where they were found in the real record. A wave is a Gaussian bump, the closed form of one event of
//! ECGSYN at a constant rate, in time instead of phase: a center, a width, and an amplitude of the heart's vector that
//! the lead field spreads over the leads. Where a lead is not one of the twelve, every lead has an amplitude of its own.

use std::sync::Arc;

use burn::tensor::activation::tanh;
use burn::tensor::{Device, Tensor, TensorData};

use crate::error::{Error, Result};
use crate::nn::kernel::silu;
use crate::nn::layer::{declare_linear, linear};
use crate::nn::weights::{ParamSpec, Params};
use crate::record::vcg::lead_vector;

/// Center and standard deviation of P, Q, R, S and T around the R peak at 60 beats per minute, s.
///
/// # Reference
/// McSharry et al. 2003, with the positions of the published code: -70, -15, 0, 15 and 100 degrees, widths 0.25,
/// 0.1, 0.1, 0.1 and 0.4 rad.
pub const WAVES: [(f64, f64); 5] =
    [(-0.1944, 0.0398), (-0.0417, 0.0159), (0.0, 0.0159), (0.0417, 0.0159), (0.2778, 0.0637)];

/// How far a center may move, in standard deviations of its wave.
const CENTER_REACH: f64 = 2.0;
/// By which factor a width may change, up or down.
const WIDTH_REACH: f64 = 2.5;
/// A window around an R peak: before it and after it, s.
const WINDOW_S: (f64, f64) = (0.30, 0.46);
/// Shares of the intervals before and after an R peak that belong to its beat.
const BEAT_SHARES: (f64, f64) = (0.38, 0.66);
/// Hidden units of the decoder.
const HIDDEN: usize = 64;
/// Prefix of the decoder's parameters among those of a training.
const PREFIX: &str = "beat-decoder";

/// Beats cut out of signals, one for each item.
#[derive(Debug, Clone)]
pub struct Beats {
    /// Amplitudes `[batch, lead, point]`, in units of the data's standard deviation.
    pub x: Tensor<3>,
    /// 1 where a point belongs to the beat, else 0: `[batch, 1, point]`. All 0 for an item without a beat.
    pub mask: Tensor<3>,
    /// Time of each point from the R peak, s.
    pub time_s: Vec<f64>,
}

/// What a simulator would make beats of.
#[derive(Debug, Clone)]
pub struct Waves {
    /// Center of each wave from the R peak, `[batch, wave, 1]`, s.
    pub center_s: Tensor<3>,
    /// Standard deviation of each wave, `[batch, wave, 1]`, s.
    pub width_s: Tensor<3>,
    /// Amplitude of each wave in each lead, `[batch, wave, lead]`, in units of the data's standard deviation.
    pub amplitude: Tensor<3>,
    /// What each lead rests at, `[batch, lead, 1]`.
    pub offset: Tensor<3>,
    /// How far centers and widths are from the usual ones, `[batch]`.
    pub penalty: Tensor<1>,
}

/// A small network that reads waves from beats, and the places of the beats that it reads.
#[derive(Debug, Clone)]
pub struct BeatDecoder {
    /// R peaks of every training item, in points.
    r_index: Arc<[Vec<usize>]>,
    fs_hz: f64,
    sig_len: usize,
    /// `[component, lead]`: from amplitudes of the heart's vector, or of leads, to the leads.
    spread: Vec<f32>,
    n_leads: usize,
}

impl BeatDecoder {
    /// A decoder of beats at `r_index`, points of each training item.
    ///
    /// # Units
    /// `scale_mv` is the standard deviation of each lead, by which signals were divided.
    /// # Errors
    /// [`Error::Config`] if no item has a beat that lies within it.
    pub fn new(
        r_index: Vec<Vec<usize>>,
        leads: &[String],
        scale_mv: &[f32],
        fs_hz: f64,
        sig_len: usize,
    ) -> Result<BeatDecoder> {
        let vectors: Option<Vec<[f64; 3]>> = leads.iter().map(|name| lead_vector(name)).collect();
        let spread = match vectors {
            Some(vectors) => (0..3)
                .flat_map(|axis| {
                    let row = vectors.iter().zip(scale_mv);
                    row.map(move |(vector, &scale)| vector[axis] as f32 / scale).collect::<Vec<_>>()
                })
                .collect(),
            None => {
                let n = leads.len();
                (0..n * n).map(|i| f32::from(u8::from(i / n == i % n))).collect()
            }
        };
        let mut decoder = BeatDecoder { r_index: [].into(), fs_hz, sig_len, spread, n_leads: leads.len() };
        if r_index.iter().all(|peaks| decoder.whole(peaks).is_empty()) {
            let reason = "no training item has a whole beat within it, which the losses simulator and ode need";
            return Err(Error::config("auxiliary", reason));
        }
        decoder.r_index = r_index.into();
        Ok(decoder)
    }

    /// Points before and after an R peak.
    fn reach(&self) -> (usize, usize) {
        ((WINDOW_S.0 * self.fs_hz).round() as usize, (WINDOW_S.1 * self.fs_hz).round() as usize)
    }

    fn n_points(&self) -> usize {
        let (before, after) = self.reach();
        before + after + 1
    }

    /// Numbers of those peaks around which the window lies within the item.
    fn whole(&self, peaks: &[usize]) -> Vec<usize> {
        let (before, after) = self.reach();
        (0..peaks.len()).filter(|&k| peaks[k] >= before && peaks[k] + after < self.sig_len).collect()
    }

    fn n_components(&self) -> usize {
        self.spread.len() / self.n_leads
    }

    /// Parameters of the network.
    pub fn params(&self) -> Vec<ParamSpec> {
        let mut out = Vec::new();
        let n_out = WAVES.len() * (2 + self.n_components()) + self.n_leads;
        declare_linear(&mut out, &format!("{PREFIX}.in"), self.n_leads * self.n_points(), HIDDEN);
        declare_linear(&mut out, &format!("{PREFIX}.out"), HIDDEN, n_out);
        out
    }

    /// A beat of each item of an estimate, and the waves that the network reads from it.
    ///
    /// Which beat of an item it is follows from the step.
    ///
    /// # Shape
    /// `estimate` is `[batch, lead, time]`; `items` are the places of its rows in the training data.
    pub fn decode(&self, estimate: Tensor<3>, items: &[u64], step: u64, params: &Params) -> (Beats, Waves) {
        let beats = self.cut(estimate, items, step);
        let waves = self.read(&beats, params);
        (beats, waves)
    }

    fn cut(&self, estimate: Tensor<3>, items: &[u64], step: u64) -> Beats {
        let (before, after) = self.reach();
        let (n_points, device) = (self.n_points(), estimate.device());
        let (mut rows, mut mask) = (Vec::new(), Vec::new());
        for (row, &item) in items.iter().enumerate() {
            let peaks = &self.r_index[item as usize];
            let whole = self.whole(peaks);
            let chosen = whole.get((step % whole.len().max(1) as u64) as usize).copied();
            let start = chosen.map_or(0, |k| peaks[k] - before);
            // An item without a beat lends points that do not count.
            let end = (start + n_points).min(self.sig_len);
            let piece = estimate.clone().slice([row..row + 1, 0..self.n_leads, start..end]);
            let missing = n_points - (end - start);
            rows.push(match missing {
                0 => piece,
                _ => Tensor::cat(vec![piece, Tensor::zeros([1, self.n_leads, missing], &device)], 2),
            });
            let (from, to) = match chosen {
                Some(k) => {
                    let interval = |a: usize, b: usize| (peaks[b] - peaks[a]) as f64;
                    let back = if k > 0 { BEAT_SHARES.0 * interval(k - 1, k) } else { before as f64 };
                    let on = if k + 1 < peaks.len() { BEAT_SHARES.1 * interval(k, k + 1) } else { after as f64 };
                    (before as f64 - back, before as f64 + on)
                }
                None => (1.0, 0.0),
            };
            mask.extend((0..n_points).map(|t| f32::from(u8::from((from..=to).contains(&(t as f64))))));
        }
        let mask = Tensor::from_data(TensorData::new(mask, [items.len(), 1, n_points]), &device);
        let time_s = (0..n_points).map(|t| (t as f64 - before as f64) / self.fs_hz).collect();
        Beats { x: Tensor::cat(rows, 0), mask, time_s }
    }

    fn read(&self, beats: &Beats, params: &Params) -> Waves {
        let n = beats.x.dims()[0];
        let (n_waves, n_components, device) = (WAVES.len(), self.n_components(), beats.x.device());
        let seen = (beats.x.clone() * beats.mask.clone()).reshape([n, self.n_leads * self.n_points()]);
        let at = |name: &str| params.root().at(PREFIX).at(name);
        let out = linear(&at("out"), silu(linear(&at("in"), seen)));
        let part = |from: usize, len: usize| out.clone().slice([0..n, from..from + len]);
        let shift = part(0, n_waves);
        let stretch = part(n_waves, n_waves);
        let penalty = (shift.clone().square() + stretch.clone().square()).mean_dim(1).reshape([n]);
        let vector = part(2 * n_waves, n_waves * n_components).reshape([n * n_waves, n_components]);
        let offset = part(n_waves * (2 + n_components), self.n_leads).reshape([n, self.n_leads, 1]);
        let spread = TensorData::new(self.spread.clone(), [n_components, self.n_leads]);
        let amplitude = vector.matmul(Tensor::from_data(spread, &device)).reshape([n, n_waves, self.n_leads]);
        let usual = |of: &dyn Fn((f64, f64)) -> f64| wave_column(of, &device);
        let center_s = usual(&|(center, _)| center)
            + tanh(shift).reshape([n, n_waves, 1]) * usual(&|(_, width)| CENTER_REACH * width);
        let factor = (tanh(stretch) * libm::log(WIDTH_REACH)).exp().reshape([n, n_waves, 1]);
        Waves { center_s, width_s: factor * usual(&|(_, width)| width), amplitude, offset, penalty }
    }
}

/// A number of each usual wave as a tensor `[1, wave, 1]`.
fn wave_column(of: &dyn Fn((f64, f64)) -> f64, device: &Device) -> Tensor<3> {
    let values: Vec<f32> = WAVES.iter().map(|&wave| of(wave) as f32).collect();
    Tensor::from_data(TensorData::new(values, [1, WAVES.len(), 1]), device)
}

impl Waves {
    /// Distance of given times from each wave's center in its standard deviations, and the wave there: both
    /// `[batch, wave, point]`.
    pub(super) fn bumps(&self, time_s: &[f64]) -> (Tensor<3>, Tensor<3>) {
        let time: Vec<f32> = time_s.iter().map(|&t| t as f32).collect();
        let time = Tensor::from_data(TensorData::new(time, [1, 1, time_s.len()]), &self.center_s.device());
        let distance = (time - self.center_s.clone()) / self.width_s.clone();
        let bump = (distance.clone().square() * -0.5).exp();
        (distance, bump)
    }

    /// Sum of waves `[batch, wave, point]`, each with its amplitude in each lead: `[batch, lead, point]`.
    pub(super) fn in_leads(&self, waves: Tensor<3>) -> Tensor<3> {
        self.amplitude.clone().swap_dims(1, 2).matmul(waves)
    }
}

/// Mean over the points that belong to the beat and all leads, `[batch]`; 0 for an item without a beat.
///
/// # Shape
/// `error` is `[batch, lead, point]`, `mask` `[batch, 1, point]`.
pub(super) fn masked_mean(error: Tensor<3>, mask: Tensor<3>) -> Tensor<1> {
    let [n, leads, _] = error.dims();
    let count = mask.clone().sum_dim(2).reshape([n]).clamp_min(1.0) * leads as f64;
    (error * mask).flatten::<2>(1, 2).sum_dim(1).reshape([n]) / count
}

#[cfg(test)]
mod tests {
    use super::super::tests::normal;
    use super::*;
    use crate::nn::weights::{Weights, host};
    use crate::seed::Seed;

    fn names(leads: &[&str]) -> Vec<String> {
        leads.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn a_beat_is_cut_around_its_r_peak_and_masked_towards_its_neighbors() {
        let leads = names(&["I", "V2"]);
        let r_index = vec![vec![5, 60, 120, 195], vec![], vec![100]];
        let decoder = BeatDecoder::new(r_index, &leads, &[0.2, 0.3], 100.0, 200).unwrap();
        let ramp: Vec<f32> = (0..3 * 2 * 200).map(|i| (i % 200) as f32).collect();
        let x = Tensor::<3>::from_data(TensorData::new(ramp, [3, 2, 200]), &Device::flex());
        // Peaks 1 and 2 of item 0 have room for a window; step 1 takes the second.
        let beats = decoder.cut(x, &[0, 1, 2], 1);
        let (x, mask) = (host(beats.x), host(beats.mask));
        assert_eq!((x[30], x[2 * 2 * 77 + 30]), (120.0, 100.0));
        // 38 % of 60 points before and 66 % of 75 after; no neighbor, no limit; no beat, nothing.
        let counts: Vec<f32> = mask.chunks(77).map(|row| row.iter().sum()).collect();
        assert_eq!(counts, [22.0 + 1.0 + 46.0, 0.0, 77.0]);
        assert!((beats.time_s[30]).abs() < 1e-12 && (beats.time_s[0] + 0.3).abs() < 1e-12);
        assert!(BeatDecoder::new(vec![vec![3]], &leads, &[0.2, 0.3], 100.0, 200).is_err());
    }

    #[test]
    fn waves_stay_near_the_usual_ones_and_leads_follow_the_lead_field() {
        let leads = names(&["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"]);
        let decoder = BeatDecoder::new(vec![vec![60], vec![80]], &leads, &[0.25; 8], 100.0, 200).unwrap();
        let params = Weights::initialize(&decoder.params(), Seed::new(1)).on(&Device::flex());
        let (_, waves) = decoder.decode(normal([2, 8, 200], 2) * 100.0, &[0, 1], 0, &params);
        let (center, width) = (host(waves.center_s), host(waves.width_s));
        for item in 0..2 {
            for (k, (usual, usual_width)) in WAVES.iter().enumerate() {
                let at = item * 5 + k;
                assert!((f64::from(center[at]) - usual).abs() <= CENTER_REACH * usual_width + 1e-6);
                assert!((f64::from(width[at]) / usual_width).ln().abs() <= WIDTH_REACH.ln() + 1e-6);
            }
        }
        // Eight leads hold no more than the three numbers of a vector.
        let amplitude = host(waves.amplitude);
        let dower = crate::record::vcg::DOWER;
        // Solve for the vector from three leads and predict the others.
        let (a, b, c) = (dower[0], dower[1], dower[2]);
        let det = |p: [f64; 3], q: [f64; 3], r: [f64; 3]| {
            p[0] * (q[1] * r[2] - q[2] * r[1]) - p[1] * (q[0] * r[2] - q[2] * r[0]) + p[2] * (q[0] * r[1] - q[1] * r[0])
        };
        let values = [0, 1, 2].map(|k| f64::from(amplitude[k]) * 0.25);
        let replaced = |axis: usize| {
            let mut rows = [a, b, c];
            rows.iter_mut().zip(values).for_each(|(row, value)| row[axis] = value);
            det(rows[0], rows[1], rows[2]) / det(a, b, c)
        };
        let vector = [replaced(0), replaced(1), replaced(2)];
        for (k, row) in dower.iter().enumerate() {
            let expected: f64 = row.iter().zip(vector).map(|(d, v)| d * v).sum::<f64>() / 0.25;
            assert!((expected - f64::from(amplitude[k])).abs() < 1e-2 * (1.0 + expected.abs()), "lead {k}");
        }
    }
}
