//! Records that are longer than what a model was trained on: windows one after another, each drawn to go on from the last.
//!
//! The end of what is there is the known beginning of the next window, so that the model itself continues beats and
//! rhythm. Over the last part of it, the known signal goes over into the drawn one, and no jump is left. The conditions
//! of an item hold in every window; a heart rate that is asked for as a number wanders slowly about it.

use serde_json::json;

use super::diffusion_model::{DiffusionModel, KnownPart};
use super::steady::Memory;
use super::{Generator, Item, SampleRequest, Sink};
use crate::dataset::Dataset;
use crate::dataset::condition::{Fact, Told};
use crate::error::Result;
use crate::seed::Seed;

/// What a window knows of the record before it, s: three beats at 72 bpm, and one and more below 30 bpm. A window that is
/// shorter than twice that knows its first half.
const OVERLAP_S: f64 = 2.5;
/// Share of the overlap over which known and drawn go over into each other.
const BLEND: f64 = 0.2;
/// How much more than by itself the known part counts while a window is noise, so that the rest follows it.
const EMPHASIS: f64 = 2.0;
/// Standard deviation of the slow part of a heart rate at rest, as a share of the rate.
const RATE_SD: f64 = 0.03;
/// Time over which a rate forgets where it was, s.
const RATE_MEMORY_S: f64 = 60.0;

/// A model that draws records of any length.
pub(super) struct LongRecords {
    model: DiffusionModel,
    windows: Windows,
}

impl LongRecords {
    /// Records of `sig_len` points, which are more than a window of the model has.
    pub fn new(model: DiffusionModel, sig_len: usize) -> Result<LongRecords> {
        let (len, fs_hz) = (model.card().sig_len, model.card().fs_hz);
        let overlap = ((OVERLAP_S * fs_hz) as usize).min(len / 2);
        Ok(LongRecords { windows: Windows { len, overlap, sig_len }, model })
    }

    /// Items of a window, with the heart rates of that window.
    fn told(&self, items: &[Item], rates: &[Option<Vec<f64>>], window: usize) -> Vec<Item> {
        let told = |(item, rates): (&Item, &Option<Vec<f64>>)| {
            let mut item = item.clone();
            if let Some(rates) = rates {
                item.conditions.facts.hr_bpm = Some(rates[window]);
            }
            item
        };
        items.iter().zip(rates).map(told).collect()
    }
}

impl Generator for LongRecords {
    fn axes(&self) -> Dataset {
        let mut axes = self.model.axes();
        let Windows { len, overlap, sig_len } = self.windows;
        axes.sig_len = sig_len;
        let seconds = |points: usize| points as f64 / axes.fs_hz;
        axes.provenance["windows"] =
            json!({ "n": self.windows.n(), "seconds": seconds(len), "overlap_s": seconds(overlap) });
        axes
    }

    fn told(&self) -> Told {
        self.model.told()
    }

    fn request(&self, items: Vec<Item>) -> SampleRequest {
        self.model.request(items)
    }

    fn working_bytes_per_item(&self) -> u64 {
        // The modelled leads of a whole record, and all of them.
        let points = (self.model.card().leads.len() + self.model.axes().leads.len()) * self.windows.sig_len;
        self.model.working_bytes_per_item() + 4 * points as u64
    }

    fn sample_into(&self, request: &SampleRequest, seed: Seed, sink: &mut dyn Sink) -> Result<()> {
        let card = self.model.card();
        request.check(&card.label_names, &Generator::told(self), &card.generator)?;
        let (n_leads, n_windows, sig_len) = (card.leads.len(), self.windows.n(), self.windows.sig_len);
        let stride_s = self.windows.stride() as f64 / card.fs_hz;
        for items in request.items.chunks(request.batch) {
            // A model that is shown the beats has those of the whole record; another is told a rate for each window.
            let beats = self.model.beats(items, sig_len, seed);
            let of_window = |window: usize| {
                let start = (window * self.windows.stride()) as f32;
                let shifted = |beats: &Vec<f32>| beats.iter().map(|at| at - start).collect();
                Some(beats.as_ref()?.iter().map(shifted).collect())
            };
            let rates: Vec<Option<Vec<f64>>> = items
                .iter()
                .map(|item| Some(wandering(item.conditions.facts.hr_bpm?, n_windows, stride_s, seed.index(item.index))))
                .collect();
            let mut memory = Memory::default();
            let record = self.windows.stitched(items.len() * n_leads, &mut |window, known, mask| {
                let items = self.told(items, &rates, window);
                let seed_of_window = if window == 0 { seed } else { seed.purpose("window").index(window as u64) };
                let part = (window > 0).then_some(KnownPart { ecg: known, mask, emphasis: EMPHASIS });
                self.model.draw_next(part, &mut memory, request, [seed_of_window, seed], &items, of_window(window))
            })?;
            for (item, ecg) in items.iter().zip(record.chunks(n_leads * sig_len)) {
                let item = std::slice::from_ref(item);
                sink.accept(item, &self.model.finished(ecg.to_vec(), item, sig_len)?)?;
            }
        }
        Ok(())
    }
}

/// The heart rate of each window: a first-order autoregression about what is asked for, which is the mean of all.
fn wandering(hr_bpm: f64, n_windows: usize, stride_s: f64, seed: Seed) -> Vec<f64> {
    let mut stream = seed.purpose("rate of windows").stream();
    let memory = libm::exp(-stride_s / RATE_MEMORY_S);
    let fresh = RATE_SD * (1.0 - memory * memory).sqrt();
    let mut at = RATE_SD * stream.normal();
    let mut shares = Vec::with_capacity(n_windows);
    for _ in 0..n_windows {
        shares.push(at);
        at = memory * at + fresh * stream.normal();
    }
    let mean = shares.iter().sum::<f64>() / n_windows as f64;
    let [low, high] = Fact::Hr.number().map_or([0.0, f64::INFINITY], |number| number.possible);
    shares.into_iter().map(|share| (hr_bpm * (1.0 + share - mean)).clamp(low, high)).collect()
}

/// Where windows of `len` points lie in a record of `sig_len`; each begins `overlap` points before the last one's end.
#[derive(Debug, Clone, Copy)]
struct Windows {
    len: usize,
    overlap: usize,
    sig_len: usize,
}

impl Windows {
    /// How many there are; the last one may reach beyond the record.
    fn n(&self) -> usize {
        1 + self.sig_len.saturating_sub(self.len).div_ceil(self.stride())
    }

    /// Points from one beginning to the next.
    fn stride(&self) -> usize {
        (self.len - self.overlap).max(1)
    }

    /// How much the known signal counts at each point of a window: wholly, then less and less, then not at all.
    fn mask(&self) -> Vec<f32> {
        let blend = (BLEND * self.overlap as f64).ceil();
        let weight = |t: usize| {
            let into = (t as f64 + 1.0 + blend - self.overlap as f64) / (blend + 1.0);
            (0.5 + 0.5 * libm::cos(std::f64::consts::PI * into.clamp(0.0, 1.0))) as f32
        };
        (0..self.len).map(|t| if t < self.overlap { weight(t) } else { 0.0 }).collect()
    }

    /// Signals of the record's length. `draw(k, known, mask)` makes window k, `[signal, len]`, from what is known of it and
    /// how much that counts at each of its points; nothing is known of the first.
    ///
    /// # Shape
    /// The result is `[signal, sig_len]`.
    fn stitched(
        &self,
        n_signals: usize,
        draw: &mut dyn FnMut(usize, &[f32], &[f32]) -> Result<Vec<f32>>,
    ) -> Result<Vec<f32>> {
        let mut record = vec![0.0f32; n_signals * self.sig_len];
        let mask = self.mask();
        for window in 0..self.n() {
            let start = window * self.stride();
            let n_known = if window == 0 { 0 } else { self.overlap };
            let mut known = vec![0.0f32; n_signals * self.len];
            for (known, record) in known.chunks_mut(self.len).zip(record.chunks(self.sig_len)) {
                known[..n_known].copy_from_slice(&record[start..start + n_known]);
            }
            let drawn = draw(window, &known, &mask)?;
            let n = self.len.min(self.sig_len - start);
            for (drawn, record) in drawn.chunks(self.len).zip(record.chunks_mut(self.sig_len)) {
                for (t, (point, new)) in record[start..start + n].iter_mut().zip(drawn).enumerate() {
                    // A sampler ends at known points to rounding; here they stay as they are.
                    let share = if t < n_known { mask[t] } else { 0.0 };
                    *point = if share == 1.0 { *point } else { share * *point + (1.0 - share) * new };
                }
            }
        }
        Ok(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::{Condition, Denoiser, Known, NoiseLevel, Prediction, Spacing, TimeView, sampler};
    use crate::nn::weights::host;
    use burn::tensor::{Device, Tensor, TensorData};

    const LEN: usize = 400;
    const RR: usize = 83;

    /// Smooth pulses every `RR` points, the first at `phase`.
    fn pulses(phase: usize) -> Vec<f32> {
        let pulse = |t: usize| {
            let near = (t + RR - phase + RR / 2) % RR;
            (-((near as f32 - (RR / 2) as f32) / 3.0).powi(2)).exp()
        };
        (0..LEN).map(pulse).collect()
    }

    /// The exact denoiser of pulse trains of all phases, equally likely: the mean of those that could be under the noise.
    struct AnyPhase(Vec<Vec<f32>>);

    impl Denoiser for AnyPhase {
        fn denoise_each(&self, x: Tensor<3>, levels: &[NoiseLevel], _: &Condition) -> Result<Prediction> {
            let (shape, device) = (x.dims(), x.device());
            let noisy = host(x.clone());
            let mut clean = Vec::new();
            for (noisy, level) in noisy.chunks(LEN).zip(levels) {
                let (alpha, sigma) = (level.alpha(), level.sigma().max(1e-3));
                let fit = |of: &Vec<f32>| -> f64 {
                    let square = |(x, y): (&f32, &f32)| (f64::from(*x) - alpha * f64::from(*y)).powi(2);
                    -noisy.iter().zip(of).map(square).sum::<f64>() / (2.0 * sigma * sigma)
                };
                let fits: Vec<f64> = self.0.iter().map(fit).collect();
                let best = fits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let weights: Vec<f64> = fits.iter().map(|fit| (fit - best).exp()).collect();
                let sum: f64 = weights.iter().sum();
                clean.extend((0..LEN).map(|t| {
                    let mean: f64 = self.0.iter().zip(&weights).map(|(of, w)| w * f64::from(of[t])).sum();
                    (mean / sum) as f32
                }));
            }
            Prediction::from_x0(Tensor::from_data(TensorData::new(clean, shape), &device), x, levels)
        }
    }

    /// A record of a minute by that denoiser; each window knows the last one's end, or is told nothing.
    fn minute(seed: u64, is_told: bool) -> (Windows, Vec<f32>) {
        let windows = Windows { len: LEN, overlap: 200, sig_len: 6000 };
        let denoiser = AnyPhase((0..RR).map(pulses).collect());
        let device = Device::default();
        let tensor = |values: Vec<f32>| Tensor::<3>::from_data(TensorData::new(values, [1, 1, LEN]), &device);
        let sampler = sampler::find("ddim").unwrap();
        let grid = TimeView::of_schedule("angle", 0).unwrap().grid(12, Spacing::Network).unwrap();
        let record = windows.stitched(1, &mut |window, known, mask| {
            let mut noise = vec![0.0; LEN];
            Seed::new(seed).index(window as u64).stream().fill_normal(&mut noise);
            let mask = if window > 0 && is_told { mask.to_vec() } else { vec![0.0; LEN] };
            let known = Known::new(&denoiser, tensor(known.to_vec()), tensor(mask))?.emphasized(EMPHASIS);
            let drawn = sampler.sample(&known, &grid, tensor(noise), &mut |_| unreachable!(), &Condition::none())?;
            Ok(host(drawn))
        });
        (windows, record.unwrap())
    }

    /// Points from each pulse to the next.
    fn intervals(record: &[f32]) -> Vec<usize> {
        let is_peak = |t: &usize| {
            let t = *t;
            record[t] > 0.5 && record[t] > record[t - 1] && record[t] >= record[t + 1]
        };
        let peaks: Vec<usize> = (1..record.len() - 1).filter(is_peak).collect();
        peaks.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    #[test]
    fn the_rhythm_goes_on_across_seams_only_where_windows_know_of_each_other() {
        for seed in 0..4 {
            let (_, record) = minute(seed, true);
            let intervals = intervals(&record);
            assert!(intervals.len() >= 70, "{}", intervals.len());
            assert!(intervals.iter().all(|rr| rr.abs_diff(RR) <= 1), "{intervals:?}");
        }
        // The control: this test can fail.
        let (_, record) = minute(0, false);
        assert!(intervals(&record).iter().any(|rr| rr.abs_diff(RR) > 5), "independent windows happened to fit");
    }

    #[test]
    fn steps_at_seams_are_no_larger_than_elsewhere() {
        let worst = |record: &[f32], at: &dyn Fn(usize) -> bool| {
            let steps = (1..record.len()).filter(|&t| at(t)).map(|t| (record[t] - record[t - 1]).abs());
            steps.fold(0.0, f32::max)
        };
        let (windows, record) = minute(9, true);
        let blend = (BLEND * windows.overlap as f64).ceil() as usize + 1;
        // A seam is where known and drawn go over into each other, and the points beside it.
        let is_seam = |t: usize| {
            let into = t % windows.stride();
            t >= windows.len && ((windows.overlap - blend..=windows.overlap + 1).contains(&into) || into <= 1)
        };
        let (seams, elsewhere) = (worst(&record, &is_seam), worst(&record, &|t| !is_seam(t)));
        assert!(seams > 0.0 && seams <= 1.05 * elsewhere, "{seams} at seams, {elsewhere} elsewhere");
        // The control: a window that begins at another level without blending leaves its jump.
        let plain = Windows { len: 400, overlap: 0, sig_len: 1600 };
        let steps = plain.stitched(1, &mut |window, _, _| Ok(vec![window as f32; 400])).unwrap();
        assert_eq!(worst(&steps, &|t| t % 400 == 0), 1.0);
        let blended = Windows { overlap: 200, ..plain };
        let steps = blended.stitched(1, &mut |window, _, _| Ok(vec![window as f32; 400])).unwrap();
        assert!(worst(&steps, &|_| true) < 0.05, "a jump of 1 is spread over 40 points");
    }

    #[test]
    fn windows_cover_a_record_whatever_its_length() {
        for sig_len in [401, 599, 600, 601, 5000] {
            let windows = Windows { len: 400, overlap: 100, sig_len };
            let last = (windows.n() - 1) * windows.stride();
            assert!(last < sig_len && last + 400 >= sig_len && last + 400 - sig_len < 300, "{sig_len}");
            let mask = windows.mask();
            assert!(mask[..79].iter().all(|&m| m == 1.0) && mask[99] > 0.0 && mask[100..].iter().all(|&m| m == 0.0));
            assert!(mask.windows(2).all(|pair| pair[0] >= pair[1]));
        }
    }

    #[test]
    fn a_rate_wanders_slowly_about_what_is_asked_for() {
        let rates = wandering(80.0, 200, 7.26, Seed::new(4));
        assert_eq!(rates, wandering(80.0, 200, 7.26, Seed::new(4)));
        let mean = rates.iter().sum::<f64>() / 200.0;
        let sd = (rates.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / 200.0).sqrt();
        let step = rates.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)).sum::<f64>() / 199.0;
        assert!((mean - 80.0).abs() < 1e-9, "{mean}");
        // 24 minutes hold some 12 independent values, so that their spread is known to a third or so.
        assert!((1.0..4.0).contains(&sd), "{sd}");
        assert!(step.sqrt() < 0.7 * sd, "steps of {} for a spread of {sd}", step.sqrt());
        assert!(wandering(340.0, 50, 7.0, Seed::new(1)).iter().all(|r| *r <= 350.0));
    }
}
