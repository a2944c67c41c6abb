//! A trained diffusion model at work on a signal that is there: filling it in, removing its noise, changing it.
//!
//! Signals may be longer than the model's: they are denoised in windows that agree in every call ([`Windowed`]). Noise
//! belongs to the model, the seed, the item and the place in the signal.

use burn::tensor::{Tensor, TensorData};

use super::super::rhythm;
use super::{DiffusionModel, Generator, SampleRequest, model_file};
use crate::beat::rpeak::r_peaks;
use crate::diffusion::{Denoiser, Guided, Known, NoiseLevel, Windowed, sampler};
use crate::error::{Error, Result};
use crate::nn::weights::host;
use crate::seed::Seed;
use crate::signal::{self, gap::bridged};

/// A guess at the missing points of a signal, and how good it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guess<'a> {
    /// The signal with the guess where it is missing, mV, `[lead, time]`.
    pub ecg: &'a [f32],
    /// Correlation that is expected of the guess, from 0 to 1.
    pub confidence: f64,
}

impl DiffusionModel {
    /// One signal in the modelled leads, with its missing points drawn to fit the others and the request's one item.
    ///
    /// With a guess of confidence c the draw starts at the level whose signal has factor c, from the guess with noise
    /// of the rest: `c * guess + sqrt(1 - c^2) * noise`; without one from pure noise, which is a guess of confidence 0.
    ///
    /// # Shape
    /// `ecg` and the result are `[lead, time]`, mV, at least as long as the model's; NaN is missing. What is not missing
    /// comes back to rounding.
    /// # Errors
    /// [`Error::Shape`] for another size; [`Error::Unsupported`] for a model of latents; [`Error::Config`] for a
    /// confidence outside 0 to 1; everything that sampling returns.
    pub fn fill(&self, ecg: &[f32], guess: Option<Guess>, request: &SampleRequest, seed: Seed) -> Result<Vec<f32>> {
        let n = self.check_editing(ecg, request)?;
        let known: Vec<f32> = ecg.iter().map(|v| if v.is_nan() { 0.0 } else { *v }).collect();
        let mask = ecg.iter().map(|v| f32::from(u8::from(!v.is_nan()))).collect();
        let denoiser = Windowed::new(Guided::new(&self.denoiser, request.guidance)?, self.card.sig_len)?;
        let denoiser = Known::new(denoiser, self.scaled_tensor(&known, n), self.tensor(mask, n))?;
        let start = match guess {
            Some(guess) => {
                self.check_size(guess.ecg)?;
                if !(0.0..=1.0).contains(&guess.confidence) {
                    let reason = format!("found {}, expected 0 to 1", guess.confidence);
                    return Err(Error::config("confidence", reason));
                }
                Some((self.scaled_tensor(guess.ecg, n), NoiseLevel::new(libm::acos(guess.confidence))?))
            }
            None => None,
        };
        let beats = self.beats_of(ecg, n)?;
        self.descend(&denoiser, start, request, seed, n, beats)
    }

    /// A signal with noise of a level, denoised as the request's one item.
    ///
    /// `strength` is the share of the way to the model's noisiest level, in angle: 0 gives the signal back, 1 a draw
    /// that owes it next to nothing. A model that is shown the beats keeps those of the signal, unless a rate is asked for.
    ///
    /// # Shape
    /// As [`DiffusionModel::fill`], with nothing missing.
    /// # Errors
    /// As [`DiffusionModel::fill`]; [`Error::Config`] for a strength outside 0 to 1.
    /// # Reference
    /// Meng et al. 2022, "SDEdit: guided image synthesis and editing with stochastic differential equations", algorithm 1.
    pub fn renoised(&self, ecg: &[f32], strength: f64, request: &SampleRequest, seed: Seed) -> Result<Vec<f32>> {
        let n = self.check_editing(ecg, request)?;
        let level = self.level_of_strength(strength)?;
        if level == NoiseLevel::CLEAN {
            return Ok(ecg.to_vec());
        }
        let denoiser = Windowed::new(Guided::new(&self.denoiser, request.guidance)?, self.card.sig_len)?;
        let start = Some((self.scaled_tensor(ecg, n), level));
        let beats = match request.items[0].conditions.facts.hr_bpm {
            Some(_) => self.beats(&request.items, n, seed),
            None => self.beats_of(ecg, n)?,
        };
        self.descend(&denoiser, start, request, seed, n, beats)
    }

    /// The noise level of a strength of [`DiffusionModel::renoised`].
    ///
    /// # Errors
    /// [`Error::Config`] for a strength outside 0 to 1.
    pub fn level_of_strength(&self, strength: f64) -> Result<NoiseLevel> {
        if !(0.0..=1.0).contains(&strength) {
            return Err(Error::config("strength", format!("found {strength}, expected 0 to 1")));
        }
        NoiseLevel::new(strength * self.denoiser.time().last_level().angle())
    }

    /// The expected clean signal behind a noisy one whose noise is white, Gaussian and of known size in each lead.
    ///
    /// A noisy signal is a state of the diffusion at the level of its noise, so one call of the denoiser is the mean of
    /// the posterior: of all estimates the one of least squared error, half that of a draw from the posterior. With
    /// another level for each lead there is a call for each, from the noisiest down, whose result counts for the leads
    /// of that level. Noisier leads have been brought down to it, cleaner ones are shown as they are.
    ///
    /// The guidance of the request must be 1: another weight is another posterior.
    ///
    /// # Shape
    /// As [`DiffusionModel::renoised`]; `noise_mv` is the standard deviation of each lead's noise, mV.
    /// # Errors
    /// As [`DiffusionModel::fill`]; [`Error::Config`] for noise that is negative or not finite.
    /// # Reference
    /// Efron 2011, "Tweedie's formula and selection bias"; Blau and Michaeli 2018, "The perception-distortion tradeoff",
    /// theorem 2, for the factor of two; Kawar et al. 2022, "Denoising diffusion restoration models", eq. 7 and 8, for
    /// parts of different noise, here with eta = 0.
    pub fn posterior_mean(&self, ecg: &[f32], noise_mv: &[f64], request: &SampleRequest) -> Result<Vec<f32>> {
        let n = self.check_editing(ecg, request)?;
        if request.guidance != 1.0 {
            let reason = format!("found {}, expected 1: a mean has no guidance", request.guidance);
            return Err(Error::config("guidance", reason));
        }
        let n_leads = self.card.leads.len();
        if noise_mv.len() != n_leads || noise_mv.iter().any(|sd| !(sd.is_finite() && *sd >= 0.0)) {
            let reason = format!("found {noise_mv:?}, expected {n_leads} numbers of at least 0, one for each lead");
            return Err(Error::config("noise", reason));
        }
        let noise: Vec<f64> =
            noise_mv.iter().zip(&self.card.scale_mv).map(|(sd, scale)| sd / f64::from(*scale)).collect();
        let mut sizes: Vec<f64> = noise.iter().copied().filter(|sd| *sd > 0.0).collect();
        sizes.sort_by(|a, b| b.total_cmp(a));
        sizes.dedup();
        let denoiser = Windowed::new(&self.denoiser, self.card.sig_len)?;
        let condition = self.condition(&request.items, self.beats_of(ecg, n)?)?;
        let noisy = self.scaled_tensor(ecg, n);
        let mut clean = noisy.clone();
        let last = self.denoiser.time().last_level();
        for size in sizes {
            let level = NoiseLevel::new(libm::atan(size).min(last.angle()))?;
            let per_lead = |value: &dyn Fn(f64) -> f64| {
                let values: Vec<f32> = noise.iter().map(|sd| value(*sd) as f32).collect();
                Tensor::<1>::from_floats(values.as_slice(), &self.device).reshape([1, n_leads as i32, 1])
            };
            // The share of its noise that a lead of more noise keeps; all of it for the others.
            let kept: Tensor<3> = per_lead(&|sd| if sd > size { size / sd } else { 1.0 });
            let shown = clean.clone() + (noisy.clone() - clean.clone()) * kept;
            let found = denoiser.denoise(shown * level.alpha(), level, &condition)?.x0;
            let is_own: Tensor<3> = per_lead(&|sd| f64::from(u8::from(sd == size)));
            clean = clean.clone() + (found - clean) * is_own;
        }
        model_file::in_mv(host(clean), &self.card.scale_mv, n, &self.card.role, &request.items)
    }

    /// From a start at its level, or from pure noise, to a clean signal, mV.
    fn descend(
        &self,
        denoiser: &dyn Denoiser,
        start: Option<(Tensor<3>, NoiseLevel)>,
        request: &SampleRequest,
        seed: Seed,
        n: usize,
        beats: Option<Vec<Vec<f32>>>,
    ) -> Result<Vec<f32>> {
        let seed = self.own(seed).index(request.items[0].index);
        let mut noise = |step: usize| {
            let mut values = vec![0.0f32; self.card.leads.len() * n];
            seed.index(step as u64).stream().fill_normal(&mut values);
            self.tensor(values, n)
        };
        let sampler = sampler::find(&request.sampler)?;
        let mut grid = self.denoiser.time().grid(request.steps, sampler.spacing())?;
        let x = match start {
            Some((signal, level)) if level < grid[0] => {
                // A start without noise has nothing to be drawn.
                if level == NoiseLevel::CLEAN {
                    return model_file::in_mv(host(signal), &self.card.scale_mv, n, &self.card.role, &request.items);
                }
                grid.retain(|other| *other < level);
                grid.insert(0, level);
                signal * level.alpha() + noise(0) * level.sigma()
            }
            _ => noise(0),
        };
        let clean = sampler.sample(denoiser, &grid, x, &mut noise, &self.condition(&request.items, beats)?)?;
        model_file::in_mv(host(clean), &self.card.scale_mv, n, &self.card.role, &request.items)
    }

    /// The beats of a signal, for a network that is shown them: those that it has, and where no lead is known, beats at
    /// the usual distance.
    fn beats_of(&self, ecg: &[f32], n: usize) -> Result<Option<Vec<Vec<f32>>>> {
        if self.card.rhythm.is_none() {
            return Ok(None);
        }
        let leads: Vec<Vec<f32>> =
            ecg.chunks(n).map(|lead| bridged(lead).into_iter().map(|v| v as f32).collect()).collect();
        let leads: Vec<&[f32]> = leads.iter().map(Vec::as_slice).collect();
        let is_known: Vec<bool> = (0..n).map(|t| ecg.chunks(n).any(|lead| !lead[t].is_nan())).collect();
        Ok(Some(vec![rhythm::through_gaps(&r_peaks(&leads, self.card.fs_hz)?, &is_known)]))
    }

    /// Checks what all edits need, and returns the points in time.
    fn check_editing(&self, ecg: &[f32], request: &SampleRequest) -> Result<usize> {
        if self.decoder.is_some() {
            // What is known of some points of a signal is not known of any point of its latent.
            let what = "filling, denoising or editing a record by a generator that denoises latents and not signals";
            return Err(Error::Unsupported { what: what.into() });
        }
        request.check(&self.card.label_names, &self.told(), &self.card.generator)?;
        if request.items.len() != 1 {
            let (expected, actual) = (vec![1], vec![request.items.len()]);
            return Err(Error::Shape { what: "items for one signal".into(), expected, actual });
        }
        self.check_size(ecg)
    }

    fn check_size(&self, ecg: &[f32]) -> Result<usize> {
        let n_leads = self.card.leads.len();
        let n = ecg.len() / n_leads;
        if n < self.card.sig_len || n * n_leads != ecg.len() {
            let (what, expected) = ("signal to edit".into(), vec![n_leads, self.card.sig_len]);
            return Err(Error::Shape { what, expected, actual: vec![ecg.len()] });
        }
        Ok(n)
    }

    fn tensor(&self, values: Vec<f32>, n: usize) -> Tensor<3> {
        Tensor::from_data(TensorData::new(values, [1, self.card.leads.len(), n]), &self.device)
    }

    fn scaled_tensor(&self, ecg: &[f32], n: usize) -> Tensor<3> {
        self.tensor(signal::scaled(ecg, &self.card.scale_mv, n), n)
    }
}
