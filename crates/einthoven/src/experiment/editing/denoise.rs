//! Removing noise from a record by a trained generator.
//!
//! The baseline is taken off by a filter, because wander is no white noise and a generator of ECGs may have learned it.
//! The rest of the noise is measured on the record, lead by lead, and what is left is what the generator expects behind
//! a signal with as much noise. Above the generator's band nothing remains, and how much that was is said.

use std::path::Path;

use serde::Serialize;

use super::{Acquaintance, OnRecord, Opened};
use crate::beat::rpeak::r_peaks;
use crate::beat::template::Template;
use crate::dataset::Conditions;
use crate::dataset::label::synonym::find_label;
use crate::error::{Error, Result};
use crate::record::{self, Frames, ReadOptions};
use crate::run::{Progress, Stop};
use crate::signal::filter::SosFilter;
use crate::signal::gap::bridged;
use crate::signal::mixing::snr_of_known_db;
use crate::signal::noise::variance;

/// Below this the record holds baseline wander: the limit at which a filter without phase leaves ST segments alone
/// (Kligfield et al. 2007 allow 0.67 Hz).
const BASELINE_HZ: f64 = 0.5;
/// Upper end of the plain band-pass that the result is compared with.
const BAND_PASS_HZ: f64 = 40.0;

/// What a user asks of [`denoise()`].
pub struct DenoiseRequest<'a> {
    /// Record, generator and result.
    pub on: OnRecord<'a>,
    /// Label of the record, which the generator is told.
    pub label: Option<&'a str>,
    /// Standard deviation of the noise of every lead, mV; `None` measures it.
    pub noise_mv: Option<f64>,
    /// The same record without noise, to be compared with.
    pub reference: Option<&'a Path>,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Denoised {
    /// Whether the generator knew the patient.
    #[serde(flatten)]
    pub acquaintance: Acquaintance,
    /// Each lead that was denoised.
    pub leads: Vec<DenoisedLead>,
    /// Leads that the generator does not make, which are as they were.
    pub untouched: Vec<String>,
    /// Mean over the leads, where there is a reference.
    pub mean_snr: Option<Snr>,
}

/// What became of a lead.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DenoisedLead {
    /// Its name.
    pub lead: String,
    /// Standard deviation of its noise in the generator's band without the baseline, mV; `None` for a lead that follows
    /// from others.
    pub noise_mv: Option<f64>,
    /// Standard deviation of what lay above the generator's band and is gone, mV; `None` as above.
    pub above_band_mv: Option<f64>,
    /// Ratios of signal to noise, where there is a reference.
    pub snr: Option<Snr>,
}

/// Ratios of signal to noise against a clean record, dB.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Snr {
    /// Of the record as it was.
    pub before_db: f64,
    /// After a plain band-pass without phase, 0.5 to 40 Hz.
    pub band_pass_db: f64,
    /// After the generator.
    pub after_db: f64,
}

/// Removes the noise of a record and writes the whole of it, marked as partly synthetic. Missing points stay missing.
///
/// # Errors
/// [`Error::Unknown`] for a label that does not exist; [`Error::Data`] for a record without the leads that the model has
/// or without beats to measure the noise on, and for a reference of another rate or length; everything that reading,
/// denoising and writing return.
pub fn denoise(request: &DenoiseRequest, stop: &Stop, progress: &mut dyn Progress) -> Result<Denoised> {
    let opened = request.on.open(progress)?;
    let card = opened.model.card();
    let label = request.label.map(|name| find_label(&card.label_names, name)).transpose()?;
    let places = opened.places_of_all_limbs()?;
    let recorded = opened.mv()?;
    let reference = request.reference.map(|path| reference(path, &opened)).transpose()?;
    stop.check("run the same command again")?;

    let baseline = SosFilter::highpass(2, BASELINE_HZ, opened.record.fs_hz)?;
    let level: Vec<Vec<f32>> = places
        .iter()
        .map(|&place| Ok(baseline.zero_phase(&bridged(&recorded[place]))?.into_iter().map(|v| v as f32).collect()))
        .collect::<Result<_>>()?;
    let coarse = opened.coarse(&slices(&level))?;
    let noise_mv = match request.noise_mv {
        Some(noise_mv) => vec![noise_mv; places.len()],
        None => measured_noise(&coarse, card.fs_hz, &opened.record.name)?,
    };
    progress.update("denoise", 0, 1, "");
    let mut call = opened.request(label.map(Conditions::of_class).unwrap_or_default(), None);
    call.guidance = 1.0;
    let clean = opened.model.posterior_mean(&coarse.concat(), &noise_mv, &call)?;
    progress.update("denoise", 1, 1, "");

    let (mut mv, mut above_band_mv) = (recorded.clone(), Vec::new());
    let n = coarse.first().map_or(0, Vec::len);
    for (k, (&place, clean)) in places.iter().zip(clean.chunks(n)).enumerate() {
        let in_band = opened.fine(&coarse[k])?;
        let above: Vec<f64> = level[k].iter().zip(&in_band).map(|(x, low)| f64::from(x - low)).collect();
        above_band_mv.push(variance(&above).sqrt());
        mv[place] = opened.fine(clean)?;
        keep_missing(&mut mv[place], &recorded[place]);
    }
    opened.quantize(&places, &mut mv);
    opened.derive_limbs(&places, &mut mv);

    let untouched = opened.untouched(&places);
    let lead = |at: usize| -> Result<DenoisedLead> {
        let modelled = places.iter().position(|&place| place == at);
        let snr = match &reference {
            Some(clean) => snr(&clean[at], &recorded[at], &mv[at], opened.record.fs_hz)?,
            None => None,
        };
        let lead = opened.names[at].clone();
        let (noise_mv, above_band_mv) = (modelled.map(|k| noise_mv[k]), modelled.map(|k| above_band_mv[k]));
        Ok(DenoisedLead { lead, noise_mv, above_band_mv, snr })
    };
    let touched = (0..opened.names.len()).filter(|&at| !untouched.contains(&opened.names[at]));
    let leads = touched.map(lead).collect::<Result<Vec<_>>>()?;
    let denoised = Denoised {
        acquaintance: opened.acquaintance.clone(),
        mean_snr: mean(&leads.iter().filter_map(|lead| lead.snr).collect::<Vec<_>>()),
        leads,
        untouched,
    };
    let of_noise: Vec<String> = noise_mv.iter().map(|sd| format!("{sd:.4}")).collect();
    let comments = [
        format!("Denoised: mean of the posterior, noise {} mV", of_noise.join(" ")),
        format!("Band: {BASELINE_HZ} to {} Hz", card.fs_hz / 2.0),
    ];
    opened.store(&request.on, &mv, |at, t| !recorded[at][t].is_nan() && mv[at][t] != recorded[at][t], &comments)?;
    Ok(denoised)
}

/// The noise of each lead about the record's own mean beat, mV.
fn measured_noise(leads: &[Vec<f32>], fs_hz: f64, record: &str) -> Result<Vec<f64>> {
    let leads = slices(leads);
    let template = Template::of(&leads, &r_peaks(&leads, fs_hz)?);
    let template = template.ok_or_else(|| {
        Error::data(record, "shows fewer than four whole beats to measure the noise on; state it with --noise")
    })?;
    Ok(template.noise_sd().to_vec())
}

/// Amplitudes of a clean record in the order of the leads of the noisy one.
fn reference(path: &Path, opened: &Opened) -> Result<Vec<Vec<f32>>> {
    let clean = record::read(path, &ReadOptions { frames: Frames::Average, ..ReadOptions::lenient() })?;
    let noisy = &opened.record;
    if clean.fs_hz != noisy.fs_hz || clean.sig_len != noisy.sig_len {
        let reason = format!(
            "has {} points at {} Hz, expected {} at {} Hz, as in the noisy record",
            clean.sig_len, clean.fs_hz, noisy.sig_len, noisy.fs_hz
        );
        return Err(Error::data(path.display().to_string(), reason));
    }
    opened.names.iter().map(|name| clean.lead(name)?.mv()).collect()
}

/// Ratios of a lead over the points that all have; `None` where the clean lead or its noise is flat.
fn snr(clean: &[f32], noisy: &[f32], denoised: &[f32], fs_hz: f64) -> Result<Option<Snr>> {
    let band_pass = SosFilter::bandpass(2, BASELINE_HZ, BAND_PASS_HZ.min(0.45 * fs_hz), fs_hz)?;
    let plain: Vec<f32> = band_pass.zero_phase(&bridged(noisy))?.into_iter().map(|v| v as f32).collect();
    let is_there = |t: &usize| ![clean[*t], noisy[*t], denoised[*t]].iter().any(|v| v.is_nan());
    let there: Vec<usize> = (0..clean.len()).filter(is_there).collect();
    let of = |lead: &[f32]| there.iter().map(|&t| f64::from(lead[t])).collect::<Vec<_>>();
    let clean = of(clean);
    let [before_db, band_pass_db, after_db] = [noisy, &plain, denoised].map(|lead| snr_of_known_db(&clean, &of(lead)));
    let all = [before_db, band_pass_db, after_db];
    Ok(all.iter().all(|db| db.is_finite()).then_some(Snr { before_db, band_pass_db, after_db }))
}

fn mean(all: &[Snr]) -> Option<Snr> {
    let of = |value: fn(&Snr) -> f64| all.iter().map(value).sum::<f64>() / all.len() as f64;
    let (before_db, band_pass_db, after_db) =
        (of(|snr| snr.before_db), of(|snr| snr.band_pass_db), of(|snr| snr.after_db));
    (!all.is_empty()).then_some(Snr { before_db, band_pass_db, after_db })
}

fn slices(leads: &[Vec<f32>]) -> Vec<&[f32]> {
    leads.iter().map(Vec::as_slice).collect()
}

/// Points that were missing are missing.
pub(super) fn keep_missing(mv: &mut [f32], recorded: &[f32]) {
    mv.iter_mut().zip(recorded).filter(|(_, was)| was.is_nan()).for_each(|(v, _)| *v = f32::NAN);
}
