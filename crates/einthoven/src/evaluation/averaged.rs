//! The averaged beat of whole records: what can be compared point by point.
//!
//! Two records of one heart differ at every point, because their beats lie elsewhere. Aligned at the R peaks and averaged,
//! the beats of a record show its waves in all leads, whatever its rhythm; the rhythm is for
//! [`super::physiology`].

use rayon::prelude::*;

use crate::beat::rpeak::r_peaks;
use crate::beat::segment::Window;
use crate::dataset::Dataset;
use crate::error::Result;
use crate::metrics::bootstrap::quantile;

/// Seconds before and after the R peak: the P wave of a long PR interval, and the T wave at usual rates.
const BEFORE_S: f64 = 0.3;
const AFTER_S: f64 = 0.5;
/// Fewest beats of a record that are there from end to end.
const MIN_BEATS: usize = 3;

/// Where an averaged beat lies around its R peak.
pub fn window(fs_hz: f64) -> Window {
    let points = |seconds: f64| (seconds * fs_hz).round() as usize;
    Window { before: points(BEFORE_S), sig_len: points(BEFORE_S) + points(AFTER_S) }
}

/// Each record as its averaged beat: the median over its beats at every point of [`window`], `[lead, time]`, mV.
///
/// Records in which fewer than three beats are found are left out.
///
/// # Errors
/// Those of [`r_peaks`].
pub fn averaged_beats(records: &Dataset) -> Result<Dataset> {
    let window = window(records.fs_hz);
    let beats: Vec<Option<Vec<f32>>> = (0..records.len())
        .into_par_iter()
        .map(|i| averaged(records.item(i), records.sig_len, records.fs_hz, window))
        .collect::<Result<_>>()?;
    let kept: Vec<usize> = (0..records.len()).filter(|&i| beats[i].is_some()).collect();
    let mut out = records.select(&kept);
    out.ecg = beats.into_iter().flatten().flatten().collect();
    out.sig_len = window.sig_len;
    Ok(out)
}

fn averaged(item: &[f32], sig_len: usize, fs_hz: f64, window: Window) -> Result<Option<Vec<f32>>> {
    let leads: Vec<&[f32]> = item.chunks(sig_len).collect();
    let peaks = r_peaks(&leads, fs_hz)?;
    let of_lead = |lead: &&[f32]| -> Option<Vec<f32>> {
        let beats: Vec<&[f32]> = peaks.iter().filter_map(|&r| window.cut(lead, r as i64)).collect();
        let at = |t: usize| {
            let mut values: Vec<f64> = beats.iter().map(|beat| f64::from(beat[t])).collect();
            values.sort_by(f64::total_cmp);
            quantile(&values, 0.5) as f32
        };
        (beats.len() >= MIN_BEATS).then(|| (0..window.sig_len).map(at).collect())
    };
    // The leads of a record have the same beats, so they are there for all or for none.
    Ok(leads.iter().map(of_lead).collect::<Option<Vec<_>>>().map(|leads| leads.concat()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::Split;
    use crate::record::lead_law::TWELVE;
    use crate::seed::Seed;
    use crate::simulate::dipole::{Request, SimulatedEcg};

    #[test]
    fn a_beat_does_not_depend_on_where_the_record_begins_and_a_flat_record_has_none() {
        let request = Request { fs_hz: 250.0, hr_bpm: Some(70.0), ..Request::new("sinus").unwrap() };
        let ecg = SimulatedEcg::draw(&request, Seed::new(4)).unwrap().ecg_mv;
        let mut data = Dataset::new(TWELVE.map(String::from).to_vec(), 2000, 250.0, vec!["SR".into()]);
        for start in [0, 333] {
            ecg.chunks(2500).for_each(|lead| data.ecg.extend_from_slice(&lead[start..start + 2000]));
        }
        data.ecg.extend(vec![0.0; 12 * 2000]);
        data.labels = vec![1, 1, 0];
        data.record = ["a", "b", "flat"].map(String::from).to_vec();
        data.patient.clone_from(&data.record);
        (data.split, data.index) = (vec![Split::Train; 3], vec![0; 3]);
        let beats = averaged_beats(&data).unwrap();
        beats.validate().unwrap();
        assert_eq!((beats.record.as_slice(), beats.sig_len), (&["a".to_string(), "b".into()][..], 200));
        let distance = |a: &[f32], b: &[f32]| {
            let squares: f32 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
            (squares / a.len() as f32).sqrt()
        };
        // The same heart from another moment on: far apart point by point, nearly the same as averaged beats.
        let (far, near) = (distance(data.item(0), data.item(1)), distance(beats.item(0), beats.item(1)));
        assert!(near < 0.1 * far && far > 0.1, "{near} {far}");
        // Lead II has its largest value at R.
        let two = &beats.item(0)[200..400];
        let peak = (0..200).max_by(|&a, &b| two[a].total_cmp(&two[b])).unwrap();
        assert!(peak.abs_diff(window(250.0).before) <= 2, "{peak}");
    }
}
