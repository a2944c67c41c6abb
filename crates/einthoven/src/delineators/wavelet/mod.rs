//! The classical delineator: derivatives of Gaussians at the widths of the waves, over all leads at once.
//!
//! A wave is one event that every lead sees from its own side. Whether it is there is therefore decided once, from the
//! energy of all leads; only where it begins, peaks and ends is then read in each lead, near the common landmarks. QRS
//! complexes come first; they are cut out of the leads before the smaller waves are looked for, so that no filter
//! answers to their flanks. A P wave needs evidence, see `p_wave`.
//!
//! # Reference
//! The scheme of maxima and thresholds on a derivative follows Martinez et al. 2004, "A wavelet-based ECG delineator",
//! IEEE Trans Biomed Eng 51:570-581.
//! # Differs from the paper
//! Derivatives of Gaussians instead of a dyadic spline wavelet, since their widths can be set in milliseconds at any
//! rate; presence is decided across leads.

mod boundary;
mod hump;
mod p_wave;
mod qrs;
mod t_wave;

use crate::beat::rpeak;
use crate::error::{Error, Result};
use crate::record::{Fiducial, Wave};
use crate::registry::Named;
use crate::signal::hum::remove_hum;
use crate::signal::symmetric::SymmetricFilter;

use super::{Delineation, Delineator, DelineatorSpec, Leads};

/// Rate at which waves are looked for, in Hz, roughly: an integer fraction of the leads' own.
const WORKING_FS_HZ: f64 = 250.0;

/// Speed between the waves, as a share of that of QRS, below which a lead is clean.
const CLEAN: f32 = 0.03;
/// The same above which a lead is looked through for hum.
const HUMMING: f32 = 0.05;

/// The entry of the list.
pub struct Spec;

/// The classical delineator.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WaveletDelineator {
    /// What it goes by.
    pub settings: Settings,
}

/// What the delineator goes by. Times are in seconds, thresholds are shares of a maximum.
///
/// The settings were chosen on records of LUDB that are not for tests, see [`super::marked::ludb_split`].
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// QRS complexes.
    pub qrs: qrs::Settings,
    /// T waves.
    pub t: t_wave::Settings,
    /// P waves.
    pub p: p_wave::Settings,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { qrs: qrs::Settings::DEFAULT, t: t_wave::Settings::DEFAULT, p: p_wave::Settings::DEFAULT }
    }
}

/// Onset, peak and offset in points of the working rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Landmarks {
    onset: usize,
    peak: usize,
    offset: usize,
}

/// One wave: across leads, and in each.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Event {
    wave: Wave,
    across: Landmarks,
    leads: Vec<Landmarks>,
}

/// Leads at the working rate.
struct Working {
    fs_hz: f64,
    sig_len: usize,
    mv: Vec<Vec<f32>>,
}

impl Named for Spec {
    fn name(&self) -> &'static str {
        "wavelet"
    }
}

impl DelineatorSpec for Spec {
    fn summary(&self) -> &'static str {
        "derivatives of Gaussians over all leads at once; no training"
    }

    fn reference(&self) -> &'static str {
        "@article{martinez2004wavelet, author = {Mart\\'inez, Juan Pablo and Almeida, Rute and Olmos, Salvador and Rocha, \
         Ana Paula and Laguna, Pablo}, title = {A wavelet-based {ECG} delineator: evaluation on standard databases}, \
         journal = {IEEE Transactions on Biomedical Engineering}, volume = {51}, number = {4}, pages = {570--581}, \
         year = {2004}}"
    }

    fn build(&self) -> Result<Box<dyn Delineator>> {
        Ok(Box::new(WaveletDelineator::default()))
    }
}

impl Delineator for WaveletDelineator {
    fn delineate(&self, leads: &Leads) -> Result<Delineation> {
        let sig_len = leads.sig_len()?;
        let n_leads = leads.mv.len();
        if !(leads.fs_hz >= 50.0 && leads.fs_hz.is_finite()) {
            return Err(Error::config("fs_hz", format!("{}, expected at least 50 Hz to find waves", leads.fs_hz)));
        }
        let peaks = rpeak::r_peaks(leads.mv, leads.fs_hz)?;
        let step = ((leads.fs_hz / WORKING_FS_HZ).round() as usize).max(1);
        let mut working = Working {
            fs_hz: leads.fs_hz / step as f64,
            sig_len: sig_len.div_ceil(step),
            mv: leads.mv.iter().map(|lead| rpeak::decimate(lead, step)).collect(),
        };
        let peaks: Vec<usize> = peaks.into_iter().map(|at| at / step).collect();
        let slopes = working.weigh(&SymmetricFilter::slope(self.settings.qrs.sigma_s, working.fs_hz), &peaks);
        let complexes = qrs::find(&self.settings.qrs, &working, &slopes, &peaks);
        working.cut_out(&complexes);
        let t_waves = t_wave::find(&self.settings.t, &working, &complexes);
        let p_waves = p_wave::find(&self.settings.p, &working, &complexes, &t_waves);
        let mut events: Vec<Event> = complexes;
        events.extend(t_waves.into_iter().flatten());
        events.extend(p_waves.into_iter().flatten());
        events.sort_by_key(|event| event.across.peak);
        let own_rate = |at: usize| (at * step + step / 2).min(sig_len - 1);
        let fiducial = |wave: Wave, marks: &Landmarks| Fiducial {
            wave,
            onset: Some(own_rate(marks.onset)),
            peak: own_rate(marks.peak),
            offset: Some(own_rate(marks.offset)),
        };
        let across = events.iter().map(|event| fiducial(event.wave, &event.across)).collect();
        let in_lead = |lead: usize| {
            let mut waves: Vec<Fiducial> =
                events.iter().map(|event| fiducial(event.wave, &event.leads[lead])).collect();
            waves.sort_by_key(|wave| wave.peak);
            waves
        };
        Ok(Delineation { across, leads: (0..n_leads).map(in_lead).collect() })
    }
}

impl Working {
    fn points(&self, seconds: f64) -> usize {
        (seconds * self.fs_hz).round() as usize
    }

    fn filtered(&self, filter: &SymmetricFilter) -> Vec<Vec<f32>> {
        self.mv.iter().map(|lead| filter.apply(lead)).collect()
    }

    /// Gives noisy leads less weight, after hum was taken out of them; returns the weighed leads' slopes.
    ///
    /// A lead with hum or muscle noise would otherwise say for all leads where complexes begin and end. Only what lies
    /// between the waves counts against the steepness of QRS, so that clean leads keep equal weights.
    fn weigh(&mut self, slope: &SymmetricFilter, peaks: &[usize]) -> Vec<Vec<f32>> {
        let reach = self.points(0.06);
        let noise = |slope: &[f32]| {
            let near = |&at: &usize| &slope[at.saturating_sub(reach).min(slope.len())..(at + reach).min(slope.len())];
            let mut tops: Vec<f32> =
                peaks.iter().map(|at| near(at).iter().fold(0.0, |top: f32, v| top.max(v.abs()))).collect();
            tops.sort_by(f32::total_cmp);
            let usual = tops.get(tops.len() / 2).copied().unwrap_or(0.0);
            if usual > 0.0 { (qrs::resting_speed(slope) / usual).max(CLEAN) } else { f32::INFINITY }
        };
        let mut slopes = self.filtered(slope);
        let mut noises: Vec<f32> = slopes.iter().map(|slope| noise(slope)).collect();
        for (lead, own) in noises.iter_mut().enumerate().filter(|(_, own)| **own > HUMMING) {
            remove_hum(&mut self.mv[lead], self.fs_hz);
            slopes[lead] = slope.apply(&self.mv[lead]);
            *own = noise(&slopes[lead]);
        }
        let least = noises.iter().copied().fold(f32::INFINITY, f32::min);
        for ((lead, slope), own) in self.mv.iter_mut().zip(&mut slopes).zip(&noises) {
            if own.is_finite() && *own > least {
                lead.iter_mut().chain(slope).for_each(|v| *v *= least / own);
            }
        }
        slopes
    }

    /// Replaces each QRS complex by a line between its ends.
    fn cut_out(&mut self, complexes: &[Event]) {
        for lead in &mut self.mv {
            for event in complexes {
                let (from, to) = (event.across.onset, event.across.offset);
                let (a, b) = (lead[from], lead[to]);
                let n = (to - from).max(1) as f32;
                for (k, v) in lead[from..=to].iter_mut().enumerate() {
                    *v = a + (b - a) * k as f32 / n;
                }
            }
        }
    }
}

/// Root of the summed squares over leads.
fn energy(leads: &[Vec<f32>]) -> Vec<f32> {
    let mut sum = vec![0f32; leads.first().map_or(0, Vec::len)];
    for lead in leads {
        sum.iter_mut().zip(lead).for_each(|(sum, v)| *sum += v * v);
    }
    sum.iter_mut().for_each(|v| *v = v.sqrt());
    sum
}

/// Where the largest value of a range lies; the range's start if it is empty.
fn highest(values: &[f32], from: usize, to: usize) -> usize {
    (from..to.min(values.len())).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap_or(from)
}
