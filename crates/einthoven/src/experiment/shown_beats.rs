//! The beats of a data set as a network is shown them: found by the detector, their waves by the delineator.

use rayon::prelude::*;

use crate::beat::rpeak::r_peaks;
use crate::dataset::Dataset;
use crate::delineators::DELINEATORS;
use crate::delineators::facts::{add_measured, waves};
use crate::diffusion::NetworkConfig;
use crate::error::Result;
use crate::generators::model_file;
use crate::nn::shown_beats::{ShownBeat, ShownWaves};
use crate::record::{Fiducial, Wave};

/// The R peaks of every record, points.
///
/// # Errors
/// Those of the detector.
pub(super) fn peaks(part: &Dataset) -> Result<Vec<Vec<usize>>> {
    let of = |item: usize| {
        let leads: Vec<&[f32]> = part.item(item).chunks(part.sig_len).collect();
        r_peaks(&leads, part.fs_hz)
    };
    (0..part.len()).into_par_iter().map(of).collect()
}

/// The beats of every record at these peaks, for a network that is shown them; their waves are hidden from one that is not
/// shown those.
///
/// # Errors
/// Those of the delineator.
pub(super) fn shown(network: &NetworkConfig, part: &Dataset, peaks: &[Vec<usize>]) -> Result<Vec<Vec<ShownBeat>>> {
    if !network.sees_waves() {
        let plain = |peaks: &Vec<usize>| peaks.iter().map(|&at| ShownBeat::at(at as f32)).collect();
        return Ok(peaks.iter().map(plain).collect());
    }
    let of = |(item, peaks): (usize, &Vec<usize>)| -> Result<Vec<ShownBeat>> {
        let ecg = model_file::all_leads(part.item(item).to_vec(), &part.leads, part.sig_len)?;
        let leads: Vec<&[f32]> = ecg.chunks(part.sig_len).collect();
        let found = waves(&leads, part.fs_hz, DELINEATORS[0].build()?.as_ref())?;
        Ok(peaks.iter().map(|&peak| beat(peak, &found)).collect())
    };
    peaks.par_iter().enumerate().map(of).collect()
}

/// Adds the facts that records show and that are not known yet, measured in the leads that follow from their own too, as those of a
/// generator's records are.
///
/// # Errors
/// Those of the delineator.
pub(super) fn measure_in_all_leads(part: &mut Dataset) -> Result<()> {
    let (leads, ecg) = (part.leads.clone(), std::mem::take(&mut part.ecg));
    part.ecg = model_file::all_leads(ecg.clone(), &leads, part.sig_len)?;
    part.leads = model_file::axes(&leads, part.sig_len, part.fs_hz, &part.label_names, part.provenance.clone()).leads;
    add_measured(part, DELINEATORS[0])?;
    (part.leads, part.ecg) = (leads, ecg);
    Ok(())
}

/// The beat of a peak with the QRS in which it lies and the waves beside that.
fn beat(peak: usize, found: &[Fiducial]) -> ShownBeat {
    let at = peak as f32;
    let edges = |wave: &Fiducial| Some([wave.onset?, wave.offset?]);
    let is_around = |wave: &Fiducial| {
        wave.wave == Wave::Qrs && edges(wave).is_some_and(|[onset, offset]| (onset..=offset).contains(&peak))
    };
    let waves = found.iter().position(is_around).and_then(|k| {
        let beside = |k: Option<usize>, wave: Wave| found.get(k?).filter(|found| found.wave == wave);
        let after = |point: usize| point as f32 - at;
        Some(ShownWaves {
            p_onset: beside(k.checked_sub(1), Wave::P).and_then(|p| p.onset).map(after),
            qrs: edges(&found[k])?.map(after),
            t_offset: beside(Some(k + 1), Wave::T).and_then(|t| t.offset).map(after),
        })
    });
    ShownBeat { at, waves }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beat_has_the_waves_beside_its_qrs() {
        let wave = |wave, onset, peak, offset| Fiducial { wave, onset: Some(onset), peak, offset: Some(offset) };
        let found = [
            wave(Wave::P, 20, 25, 30),
            wave(Wave::Qrs, 38, 42, 47),
            wave(Wave::T, 60, 70, 78),
            wave(Wave::Qrs, 120, 126, 134),
            Fiducial { offset: None, ..wave(Wave::T, 150, 160, 0) },
        ];
        let first = ShownWaves { p_onset: Some(-22.0), qrs: [-4.0, 5.0], t_offset: Some(36.0) };
        assert_eq!(beat(42, &found), ShownBeat { at: 42.0, waves: Some(first) });
        // Neither P leads to the second beat nor is the end of its T known; at the third point there is no QRS.
        let second = ShownWaves { p_onset: None, qrs: [-6.0, 8.0], t_offset: None };
        assert_eq!(beat(126, &found).waves, Some(second));
        assert_eq!(beat(200, &found), ShownBeat::at(200.0));
    }
}
