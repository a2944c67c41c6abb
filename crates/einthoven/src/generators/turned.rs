//! Records whose limb leads are turned towards the axis that was asked for.
//!
//! A network that is told an axis draws one whose error has a standard deviation of eighteen degrees. The limb leads are projections
//! of the heart's vector onto the frontal plane: turning it there changes the axis of QRS by as much and keeps their laws. It
//! is a correction of these leads alone: P and T turn with QRS, and the chest leads do not, so that it is kept small.

use crate::dataset::Facts;
use crate::dataset::condition::Fact;
use crate::delineators::{DELINEATORS, facts};
use crate::error::Result;

/// Leads that span the frontal plane.
const FRONTAL: [&str; 2] = ["I", "II"];
/// Leads that follow from these.
const FOLLOWING: [&str; 4] = ["III", "aVR", "aVL", "aVF"];
/// Farthest turn, degrees: after more than that I and V6, or P and its lead, would no longer agree.
const FARTHEST_DEG: f64 = 30.0;

/// Turns a record whose axis was asked for by what it is off, as far as that may be. A record without I and II, without a QRS, or
/// with limb leads that do not follow from these stays as it is.
///
/// # Shape
/// `ecg` is `[lead, time]`, mV.
/// # Errors
/// Those of the delineator.
pub(super) fn turn(ecg: &mut [f32], leads: &[String], sig_len: usize, fs_hz: f64, asked: &Facts) -> Result<()> {
    let place = |name: &str| leads.iter().position(|lead| lead == name);
    let (Some(wanted), Some(number)) = (asked.axis_deg, Fact::Axis.number()) else { return Ok(()) };
    let [Some(i), Some(ii)] = FRONTAL.map(place) else { return Ok(()) };
    if FOLLOWING.iter().any(|lead| place(lead).is_some()) {
        return Ok(());
    }
    let named: Vec<(&str, &[f32])> = leads.iter().map(String::as_str).zip(ecg.chunks(sig_len)).collect();
    let found = facts::measure(&named, fs_hz, DELINEATORS[0].build()?.as_ref())?.axis_deg;
    let Some(found) = found else { return Ok(()) };
    let by = number.difference(wanted, found).clamp(-FARTHEST_DEG, FARTHEST_DEG).to_radians();
    let (sine, cosine) = (libm::sin(by), libm::cos(by));
    for t in 0..sig_len {
        // Lead II lies at 60 degrees from lead I.
        let (x, at_60) = (f64::from(ecg[i * sig_len + t]), f64::from(ecg[ii * sig_len + t]));
        let y = (2.0 * at_60 - x) / 3f64.sqrt();
        let (x, y) = (cosine * x - sine * y, sine * x + cosine * y);
        ecg[i * sig_len + t] = x as f32;
        ecg[ii * sig_len + t] = (0.5 * x + 0.75f64.sqrt() * y) as f32;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::lead_law::{EIGHT, TWELVE};
    use crate::seed::Seed;
    use crate::simulate::dipole::{Request, SimulatedEcg};

    #[test]
    fn a_record_comes_to_the_axis_that_is_asked_for_and_its_chest_leads_stay() {
        let mut request = Request::new("sinus").unwrap();
        request.axis_deg = Some(40.0);
        let ecg = SimulatedEcg::draw(&request, Seed::new(4)).unwrap();
        let place = |name: &&str| TWELVE.iter().position(|lead| lead == name).unwrap();
        let signals: Vec<&[f32]> = ecg.ecg_mv.chunks(ecg.sig_len).collect();
        let record: Vec<f32> = EIGHT.iter().flat_map(|lead| signals[place(lead)].to_vec()).collect();
        let leads = EIGHT.map(String::from).to_vec();
        let axis = |record: &[f32]| {
            let named: Vec<(&str, &[f32])> = leads.iter().map(String::as_str).zip(record.chunks(ecg.sig_len)).collect();
            facts::measure(&named, ecg.fs_hz, DELINEATORS[0].build().unwrap().as_ref()).unwrap().axis_deg.unwrap()
        };
        let turned = |axis_deg: Option<f64>| {
            let mut record = record.clone();
            let asked = Facts { axis_deg, ..Facts::default() };
            turn(&mut record, &leads, ecg.sig_len, ecg.fs_hz, &asked).unwrap();
            record
        };
        for wanted in [15.0, 40.0, 65.0] {
            let drawn = turned(Some(wanted));
            assert!((axis(&drawn) - wanted).abs() < 3.0, "{} for {wanted}", axis(&drawn));
            assert_eq!(drawn[2 * ecg.sig_len..], record[2 * ecg.sig_len..]);
        }
        let [own, farthest] = [axis(&record), axis(&turned(Some(-90.0)))];
        assert!((farthest - (own - FARTHEST_DEG)).abs() < 3.0, "{farthest} from {own}");
        assert_eq!(turned(None), record);
    }
}
