//! The delineator that learned: a small U-Net marks P, QRS and T in each lead, and the leads then hear each other.
//!
//! Each lead goes through the network alone, brought to the network's rate and form ([`input`]); long leads in windows
//! that overlap by the network's reach, so that no seam shows. Whether a wave is there is decided by the leads together,
//! as readers do; where it begins and ends in a lead is read from the lead's own mask, moved some way towards the mean of
//! all ([`waves`]). A wave that the leads do not show is not there.
//!
//! The network is [`crate::nn::delnet`]; what it learned from is [`lesson`], and `einthoven train delnet` repeats it.

pub mod input;
pub mod lesson;
pub mod waves;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use self::input::FS_HZ;
use self::waves::Span;
use super::{Delineation, Delineator, DelineatorSpec, Leads};
use crate::beat::rpeak::r_peaks;
use crate::error::{Error, Result};
use crate::nn::delnet::{DelNet, DelNetConfig, N_MASKS, TrainedDelNet};
use crate::nn::device::device;
use crate::nn::shipped;
use crate::nn::weights::Weights;
use crate::record::Fiducial;
use crate::registry::Named;
use crate::run::safetensors::{self, TensorFile};
use crate::run::{StoredType, write_atomic};

/// Name in the list, in model files and of the shipped weights.
pub const NAME: &str = "delnet";

/// Key of the card in a model file.
const CARD: &str = "einthoven.delnet";
/// Points of a window that are kept, about; what a window needs on each side comes on top.
const WINDOW: usize = 5120;
/// How far the masks of a lead are moved towards the mean of all leads before its boundaries are read, 0 to 1.
const AGREEMENT: f32 = 0.5;

/// What stays below this in every lead is no wave, whatever the network says, mV.
const SMALLEST_WAVE_MV: f64 = 0.005;

/// The entry of the list.
pub struct Spec;

/// What a model file says beside its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Shape of the network.
    pub network: DelNetConfig,
    /// Rate of the network, Hz.
    pub fs_hz: f64,
    /// Records that it learned from, with the database in front.
    pub training_records: Vec<String>,
}

/// The network with what surrounds it.
#[derive(Debug, Clone)]
pub struct DelNetDelineator {
    network: TrainedDelNet,
}

impl Named for Spec {
    fn name(&self) -> &'static str {
        NAME
    }
}

impl DelineatorSpec for Spec {
    fn summary(&self) -> &'static str {
        "U-Net that marks P, QRS and T in each lead; learned from LUDB, QTDB and simulated records"
    }

    fn reference(&self) -> &'static str {
        "@article{jimenezperez2021delineation, author = {Jimenez-Perez, Guillermo and Alcaine, Alejandro and Camara, \
         Oscar}, title = {Delineation of the electrocardiogram with a mixed-quality-annotations dataset using \
         convolutional neural networks}, journal = {Scientific Reports}, volume = {11}, pages = {863}, year = {2021}, \
         doi = {10.1038/s41598-020-79512-7}}"
    }

    fn build(&self) -> Result<Box<dyn Delineator>> {
        Ok(Box::new(DelNetDelineator::of_file(shipped::read(NAME)?, "the shipped weights of delnet")?))
    }

    fn load(&self, weights: &Path) -> Result<Box<dyn Delineator>> {
        Ok(Box::new(DelNetDelineator::of_file(safetensors::read(weights)?, &weights.display().to_string())?))
    }
}

/// Writes a model file of 16-bit values: parameters and running statistics in one.
///
/// # Errors
/// [`Error::Data`] for weights that are not finite; [`Error::Io`].
pub fn save(path: &Path, card: &Card, mut weights: Weights) -> Result<()> {
    // How many batches there were is of no use to a finished network.
    weights.entries.retain(|name, _| !name.ends_with(".num_batches_tracked"));
    let card = serde_json::to_string(card).map_err(|error| Error::data("model card", error.to_string()))?;
    let metadata = BTreeMap::from([(CARD.to_string(), card)]);
    write_atomic(path, &safetensors::to_bytes(&weights.into(), &metadata, StoredType::F16)?)
}

impl DelNetDelineator {
    /// A model file of that name.
    fn of_file(file: TensorFile, name: &str) -> Result<DelNetDelineator> {
        let card = file.metadata.get(CARD).ok_or_else(|| Error::data(name, "has no card of a delineation network"))?;
        let card: Card = serde_json::from_str(card).map_err(|error| Error::data(name, error.to_string()))?;
        if card.fs_hz != FS_HZ {
            return Err(Error::data(name, format!("is a network for {} Hz, expected {FS_HZ} Hz", card.fs_hz)));
        }
        let network = DelNet::new(card.network)?;
        let network = TrainedDelNet::new(network, Weights::from(file.tensors), &device("cpu")?, name)?;
        Ok(DelNetDelineator { network })
    }

    /// Masks of leads as the network sees them, `[lead, mask, time]`.
    ///
    /// Windows of `window` points follow from the length alone, and a point's masks from what lies within the network's
    /// reach, so that neighbors agree where they meet.
    fn masks(&self, leads: &[Vec<f32>], sig_len: usize, window: usize) -> Vec<f32> {
        let config = self.network.config();
        let (multiple, reach) = (config.length_multiple(), config.reach());
        let step = window.next_multiple_of(multiple);
        let padded = sig_len.next_multiple_of(multiple);
        let mut out = vec![0.0; leads.len() * N_MASKS * sig_len];
        for start in (0..sig_len).step_by(step) {
            let (from, to) = (start.saturating_sub(reach), (start + step + reach).min(padded));
            let mut signals = Vec::with_capacity(leads.len() * (to - from));
            for lead in leads {
                signals.extend_from_slice(&lead[from..to.min(sig_len)]);
                signals.resize(signals.len() + to - to.min(sig_len), 0.0);
            }
            let masks = self.network.probabilities(signals, to - from);
            let end = (start + step).min(sig_len);
            for (row, mask) in out.chunks_mut(sig_len).zip(masks.chunks(to - from)) {
                row[start..end].copy_from_slice(&mask[start - from..end - from]);
            }
        }
        out
    }
}

impl Delineator for DelNetDelineator {
    fn delineate(&self, leads: &Leads) -> Result<Delineation> {
        let sig_len = leads.sig_len()?;
        let n_leads = leads.mv.len();
        if !(leads.fs_hz >= 50.0 && leads.fs_hz.is_finite()) {
            return Err(Error::config("fs_hz", format!("{}, expected at least 50 Hz to find waves", leads.fs_hz)));
        }
        // The network marks what looks like a wave even where there is no rhythm that it could belong to.
        if r_peaks(leads.mv, leads.fs_hz)?.is_empty() {
            return Ok(Delineation { across: Vec::new(), leads: vec![Vec::new(); n_leads] });
        }
        let mv: Vec<Vec<f64>> =
            leads.mv.iter().map(|lead| input::at_network_rate(lead, leads.fs_hz)).collect::<Result<_>>()?;
        let seen: Vec<Vec<f32>> = mv.iter().map(|lead| input::prepared(lead)).collect();
        let n = mv[0].len();
        let mut masks = self.masks(&seen, n, WINDOW);
        let strongest = strongest_half(&masks, n_leads);
        let mean: Vec<f32> =
            (0..N_MASKS * n).map(|k| masks[k..].iter().step_by(N_MASKS * n).sum::<f32>() / n_leads as f32).collect();
        for lead in masks.chunks_mut(N_MASKS * n) {
            lead.iter_mut().zip(&mean).for_each(|(own, mean)| *own += AGREEMENT * (mean - *own));
        }
        let own_rate = OwnRate { fs_hz: leads.fs_hz, sig_len };
        let mut shared = spans(&strongest, n);
        shared.retain(|span| mv.iter().any(|lead| waves::height(span, lead) >= SMALLEST_WAVE_MV));
        let found = masks.chunks(N_MASKS * n).zip(&mv).zip(leads.mv).map(|((masks, mv), recorded)| {
            let own = spans(masks, n);
            let waves = shared.iter().map(|span| waves::nearest(span, &own)).collect();
            let of_lead = own_rate.fiducials(waves, |span| waves::peak(span, mv));
            without_gaps(of_lead, recorded)
        });
        let found: Vec<Vec<Fiducial>> = found.collect();
        // Across leads a wave peaks where the leads together are furthest from their baselines.
        let size: Vec<f64> = (0..n).map(|k| seen.iter().map(|lead| f64::from(lead[k]).abs()).sum()).collect();
        let across = own_rate.fiducials(shared, |span| {
            let [first, last] = span.inside;
            (first..=last).rev().max_by(|&a, &b| size[a].total_cmp(&size[b])).unwrap_or(first)
        });
        Ok(Delineation { across, leads: found })
    }
}

/// Mean of the upper half of the leads at each point, `[mask, time]`: a wave need not show in all leads, and one lead
/// that is lost must not hide it.
fn strongest_half(masks: &[f32], n_leads: usize) -> Vec<f32> {
    let size = masks.len() / n_leads;
    let n_upper = n_leads.div_ceil(2);
    let mut shares = vec![0.0; n_leads];
    (0..size)
        .map(|k| {
            shares.iter_mut().enumerate().for_each(|(lead, share)| *share = masks[lead * size + k]);
            shares.sort_by(|a, b| b.total_cmp(a));
            shares[..n_upper].iter().sum::<f32>() / n_upper as f32
        })
        .collect()
}

fn spans(masks: &[f32], n: usize) -> Vec<Span> {
    waves::spans(&[&masks[..n], &masks[n..2 * n], &masks[2 * n..]])
}

/// The leads' own time axis.
struct OwnRate {
    fs_hz: f64,
    sig_len: usize,
}

impl OwnRate {
    fn point(&self, at: f64) -> usize {
        let at = libm::round(at * self.fs_hz / FS_HZ).max(0.0) as usize;
        at.min(self.sig_len - 1)
    }

    /// Spans as waves of the leads' own rate, in the order of their peaks; where two overlap, the first ends where the
    /// second begins.
    fn fiducials(&self, spans: Vec<Span>, peak: impl Fn(&Span) -> usize) -> Vec<Fiducial> {
        let mut found: Vec<Fiducial> = spans
            .iter()
            .map(|span| Fiducial {
                wave: span.wave,
                onset: span.onset.map(|at| self.point(at)),
                peak: self.point(peak(span) as f64),
                offset: span.offset.map(|at| self.point(at)),
            })
            .collect();
        found.sort_by_key(|found| found.peak);
        for k in 1..found.len() {
            let next = found[k].onset.unwrap_or(found[k].peak).max(found[k - 1].peak);
            found[k - 1].offset = found[k - 1].offset.map(|offset| offset.min(next));
            let before = found[k - 1].offset.unwrap_or(found[k - 1].peak);
            found[k].onset = found[k].onset.map(|onset| onset.max(before).min(found[k].peak));
        }
        found
    }
}

/// Leaves out waves whose peak was not recorded, and ends that were not.
fn without_gaps(mut waves: Vec<Fiducial>, recorded: &[f32]) -> Vec<Fiducial> {
    let is_there = |at: &usize| recorded[*at].is_finite();
    waves.retain(|wave| is_there(&wave.peak));
    for wave in &mut waves {
        wave.onset = wave.onset.filter(is_there);
        wave.offset = wave.offset.filter(is_there);
    }
    waves
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Wave;
    use crate::seed::Seed;

    /// A network that has learned nothing.
    fn untrained() -> DelNetDelineator {
        let config = DelNetConfig { widths: vec![4, 6, 8], kernel: 5, stem_stride: 2 };
        let network = DelNet::new(config.clone()).unwrap();
        let mut weights = Weights::initialize(&network.params(), Seed::new(3));
        weights.entries.extend(network.buffers().entries);
        // Tests of one process run side by side.
        let test = std::thread::current().name().unwrap_or_default().replace("::", "-");
        let folder = std::env::temp_dir().join(format!("einthoven-{}-{test}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("model.safetensors");
        save(&path, &Card { network: config, fs_hz: FS_HZ, training_records: vec![] }, weights).unwrap();
        let read = DelNetDelineator::of_file(safetensors::read(&path).unwrap(), "model").unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        read
    }

    fn noise(n: usize, seed: u64) -> Vec<f32> {
        let mut values = vec![0.0; n];
        Seed::new(seed).stream().fill_normal(&mut values);
        values
    }

    #[test]
    fn windows_leave_no_seam_and_other_leads_make_no_difference() {
        let net = untrained();
        for n in [1000, 1003, 257, 1] {
            let leads = vec![noise(n, 1), noise(n, 2), noise(n, 3)];
            let whole = net.masks(&leads, n, WINDOW);
            assert_eq!(whole.len(), 3 * N_MASKS * n);
            let pieces = net.masks(&leads, n, 192);
            let alone = net.masks(&leads[1..2], n, 192);
            assert_eq!(pieces[N_MASKS * n..2 * N_MASKS * n], alone);
            let apart = whole.iter().zip(&pieces).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-5, "{n} points: masks differ by {apart}");
        }
    }

    #[test]
    fn the_upper_half_of_the_leads_decides_together() {
        assert_eq!(strongest_half(&[0.1, 0.9], 1), [0.1, 0.9]);
        assert_eq!(strongest_half(&[0.25, 0.5, 0.75, 0.0], 2), [0.75, 0.5]);
        assert_eq!(strongest_half(&[0.0, 0.5, 1.0], 3), [0.75]);
    }

    #[test]
    fn waves_are_in_order_and_do_not_overlap_at_the_leads_own_rate() {
        let span = |wave, onset: f64, offset: f64| Span {
            wave,
            onset: Some(onset),
            offset: Some(offset),
            inside: [onset as usize + 1, offset as usize],
        };
        let own_rate = OwnRate { fs_hz: 1000.0, sig_len: 4000 };
        let spans = vec![span(Wave::P, 100.2, 125.0), span(Wave::Qrs, 120.0, 145.75), span(Wave::T, 170.0, 230.0)];
        let found = own_rate.fiducials(spans, |span| span.inside[0] + 5);
        let ends: Vec<_> = found.iter().map(|f| (f.onset.unwrap(), f.peak, f.offset.unwrap())).collect();
        assert_eq!(ends, [(401, 424, 480), (480, 504, 583), (680, 704, 920)]);
    }

    #[test]
    fn what_was_not_recorded_is_no_wave() {
        let waves = vec![
            Fiducial { wave: Wave::P, onset: Some(1), peak: 2, offset: Some(3) },
            Fiducial { wave: Wave::Qrs, onset: Some(3), peak: 5, offset: Some(7) },
        ];
        let recorded = [0.0, 0.0, f32::NAN, f32::NAN, 0.0, 0.0, 0.0, 0.0];
        let expected = [Fiducial { onset: None, ..waves[1] }];
        assert_eq!(without_gaps(waves, &recorded), expected);
    }

    #[test]
    fn nothing_and_too_little_are_no_error_and_a_bad_rate_is() {
        let net = untrained();
        let none = Delineation { across: vec![], leads: vec![vec![], vec![]] };
        assert_eq!(net.delineate(&Leads { mv: &[&[], &[]], fs_hz: 500.0 }).unwrap(), none);
        assert_eq!(net.delineate(&Leads { mv: &[], fs_hz: 500.0 }).unwrap(), Delineation::default());
        let few = [0.1f32; 3];
        assert_eq!(net.delineate(&Leads { mv: &[&few], fs_hz: 360.0 }).unwrap().leads.len(), 1);
        for fs_hz in [f64::NAN, 20.0, f64::INFINITY] {
            let error = net.delineate(&Leads { mv: &[&few], fs_hz }).unwrap_err().to_string();
            assert!(error.starts_with("fs_hz"), "{error}");
        }
        assert!(net.delineate(&Leads { mv: &[&few, &few[..2]], fs_hz: 500.0 }).is_err());
    }
}
