//! What a delineator measures on the items of a data set: heart rate, PR, QRS, QTc and axis as facts.
//!
//! The numbers are readings at the data set's own rate: at 100 Hz an interval is known to 10 ms.

use rayon::prelude::*;

use super::{Delineator, DelineatorSpec, Leads};
use crate::beat::interval;
use crate::dataset::condition::NUMBERS;
use crate::dataset::{Dataset, Facts};
use crate::error::Result;
use crate::record::Fiducial;

/// Facts of leads that were recorded together; what cannot be measured is missing, and leads that are flat or have
/// gaps are left out.
///
/// # Errors
/// Those of the delineator.
pub fn measure(leads: &[(&str, &[f32])], fs_hz: f64, delineator: &dyn Delineator) -> Result<Facts> {
    let usable: Vec<(&str, &[f32])> = leads.iter().copied().filter(|(_, mv)| is_usable(mv)).collect();
    let mv: Vec<&[f32]> = usable.iter().map(|(_, mv)| *mv).collect();
    let waves = waves(&mv, fs_hz, delineator)?;
    let found = interval::intervals_with_axis(&waves, &usable, fs_hz);
    let mut facts = Facts {
        hr_bpm: found.hr_bpm,
        pr_ms: found.pr_ms,
        qrs_ms: found.qrs_ms,
        qtc_ms: found.qtc_fridericia_ms,
        axis_deg: found.axis_deg,
        ..Facts::default()
    };
    for number in &NUMBERS {
        // A reading that no ECG can have is a misreading.
        let read = facts.number(number.fact).filter(|value| number.check(*value).is_ok());
        facts.set_number(number.fact, read);
    }
    Ok(facts)
}

/// The waves across leads that were recorded together, in the order of time; leads that are flat or have gaps are left out.
///
/// # Errors
/// Those of the delineator.
pub(crate) fn waves(leads: &[&[f32]], fs_hz: f64, delineator: &dyn Delineator) -> Result<Vec<Fiducial>> {
    let mv: Vec<&[f32]> = leads.iter().copied().filter(|mv| is_usable(mv)).collect();
    if mv.is_empty() {
        return Ok(Vec::new());
    }
    Ok(delineator.delineate(&Leads { mv: &mv, fs_hz })?.across)
}

fn is_usable(mv: &[f32]) -> bool {
    mv.iter().all(|v| v.is_finite()) && mv.iter().any(|v| *v != mv[0])
}

/// Facts of every signal in `ecg`, in order, with the leads, length and rate of `axes`.
///
/// # Shape
/// `ecg` is `[n, lead, time]`, mV.
/// # Errors
/// Those of the delineator.
pub fn measure_each(axes: &Dataset, ecg: &[f32], spec: &dyn DelineatorSpec) -> Result<Vec<Facts>> {
    let of = |item: &[f32]| {
        let leads: Vec<(&str, &[f32])> = axes.leads.iter().map(String::as_str).zip(item.chunks(axes.sig_len)).collect();
        measure(&leads, axes.fs_hz, spec.build()?.as_ref())
    };
    ecg.par_chunks((axes.leads.len() * axes.sig_len).max(1)).map(of).collect()
}

/// Adds to each item the facts that its signal shows and that are not known yet.
///
/// # Errors
/// Those of the delineator.
pub fn add_measured(data: &mut Dataset, spec: &dyn DelineatorSpec) -> Result<()> {
    let measured = measure_each(data, &data.ecg, spec)?;
    let n = data.len();
    let known = data.facts.get_or_insert_with(|| vec![Facts::default(); n]);
    known.iter_mut().zip(&measured).for_each(|(known, measured)| known.complete(measured));
    data.provenance["facts_measured_by"] = spec.name().into();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delineators::DELINEATORS;
    use crate::record::lead_law::TWELVE;
    use crate::seed::Seed;
    use crate::simulate::dipole::{Request, SimulatedEcg};

    #[test]
    fn a_clean_simulated_record_reads_as_it_was_asked_for() {
        let mut request = Request::new("sinus").unwrap();
        (request.hr_bpm, request.pr_ms, request.qrs_ms) = (Some(82.0), Some(170.0), Some(96.0));
        (request.qtc_ms, request.axis_deg) = (Some(420.0), Some(35.0));
        let ecg = SimulatedEcg::draw(&request, Seed::new(5)).unwrap();
        let measured = measure_each(&data_of(&ecg), &ecg.ecg_mv, DELINEATORS[0]).unwrap();
        assert!((measured[0].hr_bpm.unwrap() - 82.0).abs() < 1.0, "{measured:?}");
        let mut data = data_of(&ecg);
        data.facts = Some(vec![Facts { age_years: Some(50.0), hr_bpm: Some(1.0), ..Facts::default() }]);
        add_measured(&mut data, DELINEATORS[0]).unwrap();
        let facts = &data.facts.unwrap()[0];
        assert_eq!((facts.age_years, facts.hr_bpm), (Some(50.0), Some(1.0)), "what is known stays");
        for (number, wanted) in [(facts.pr_ms, 170.0), (facts.qrs_ms, 96.0), (facts.qtc_ms, 420.0)] {
            // The tolerances of the list; the axis to half of its own.
            assert!((number.unwrap() - wanted).abs() < 25.0, "{number:?} for {wanted}");
        }
        assert!((facts.axis_deg.unwrap() - 35.0).abs() < 8.0, "{:?}", facts.axis_deg);
    }

    fn data_of(ecg: &SimulatedEcg) -> Dataset {
        let mut data = Dataset::new(TWELVE.map(String::from).to_vec(), ecg.sig_len, ecg.fs_hz, vec![]);
        data.ecg.clone_from(&ecg.ecg_mv);
        data.record.push("a".into());
        data
    }

    #[test]
    fn flat_leads_and_gaps_are_no_facts() {
        let flat = vec![0.5f32; 1000];
        let gap: Vec<f32> = (0..1000).map(|t| if t == 3 { f32::NAN } else { (t as f32).sin() }).collect();
        let delineator = DELINEATORS[0].build().unwrap();
        let found = measure(&[("I", &flat), ("II", &gap)], 100.0, delineator.as_ref()).unwrap();
        assert_eq!(found, Facts::default());
    }
}
