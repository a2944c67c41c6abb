//! The twelve leads: their names, and the laws that tie the limb leads together.
//!
//! Eight leads are independent (I, II, V1-V6); the other four follow from I and II. Whoever makes twelve leads
//! makes the eight and calls [`derive_limb_leads`], so that the laws hold by construction.

use super::MISSING;
use crate::error::{Error, Result};

/// The twelve leads in the standard order.
pub const TWELVE: [&str; 12] = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"];

/// The independent leads in the standard order.
pub const EIGHT: [&str; 8] = ["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"];

/// The standard spelling of a lead's name: `AVR`, `avr` and `aVR` are one lead, so are `DI` and `I`, `MDC_ECG_LEAD_V1` and `V1`.
///
/// `None` for every name that is not one of the twelve; `MLII` is a lead of its own.
pub fn standard_name(name: &str) -> Option<&'static str> {
    let upper = name.trim().to_ascii_uppercase();
    let bare = upper.strip_prefix("MDC_ECG_LEAD_").or_else(|| upper.strip_prefix("LEAD ")).unwrap_or(&upper).trim();
    let bare = match bare {
        "DI" | "D1" => "I",
        "DII" | "D2" => "II",
        "DIII" | "D3" => "III",
        other => other,
    };
    TWELVE.into_iter().find(|lead| lead.eq_ignore_ascii_case(bare))
}

/// III, aVR, aVL and aVF at one point in time, from I and II in the same unit.
///
/// # Reference
/// Einthoven 1912: II = I + III. Goldberger 1942: the augmented leads are -(I + II)/2, I - II/2 and II - I/2.
pub fn derive_limb_leads(i: f64, ii: f64) -> [f64; 4] {
    [ii - i, -(i + ii) / 2.0, i - ii / 2.0, ii - i / 2.0]
}

/// III, aVR, aVL and aVF in whole counts from I and II at one gain; the augmented leads are at twice that gain,
/// so that no law is broken by rounding. [`MISSING`] where I or II is.
pub fn derive_limb_counts(i: i32, ii: i32) -> [i32; 4] {
    if i == MISSING || ii == MISSING {
        return [MISSING; 4];
    }
    let (a, b) = (i64::from(i), i64::from(ii));
    [b - a, -a - b, 2 * a - b, 2 * b - a].map(|value| value as i32)
}

/// Twelve leads in the standard order from the eight independent ones.
///
/// # Shape
/// `eight` is `[8, time]` in the order of [`EIGHT`]; the result `[12, time]` in that of [`TWELVE`].
/// # Panics
/// If the length of `eight` is no multiple of 8.
pub fn twelve_from_eight(eight: &[f32]) -> Vec<f32> {
    assert!(eight.len().is_multiple_of(8), "eight leads are expected, found {} values", eight.len());
    let time = eight.len() / 8;
    let (i, ii) = (&eight[..time], &eight[time..2 * time]);
    let mut twelve = Vec::with_capacity(12 * time);
    twelve.extend_from_slice(&eight[..2 * time]);
    for derived in 0..4 {
        twelve.extend((0..time).map(|t| derive_limb_leads(f64::from(i[t]), f64::from(ii[t]))[derived] as f32));
    }
    twelve.extend_from_slice(&eight[2 * time..]);
    twelve
}

/// What a limb lead is made of: its parts of I and II; `None` for a chest lead.
fn limb_parts(lead: &str) -> Option<[f64; 2]> {
    match lead {
        "I" => Some([1.0, 0.0]),
        "II" => Some([0.0, 1.0]),
        "III" => Some([-1.0, 1.0]),
        "aVR" => Some([-0.5, -0.5]),
        "aVL" => Some([1.0, -0.5]),
        "aVF" => Some([-0.5, 1.0]),
        _ => None,
    }
}

/// I and II from two different limb leads, each with its parts; no two of them are parallel.
fn solve_limbs((a, x): ([f64; 2], f32), (b, y): ([f64; 2], f32)) -> [f64; 2] {
    let determinant = a[0] * b[1] - a[1] * b[0];
    let (x, y) = (f64::from(x), f64::from(y));
    [(b[1] * x - a[1] * y) / determinant, (a[0] * y - b[0] * x) / determinant]
}

/// Twelve leads in the standard order from leads by name that determine them: two limb leads and V1 to V6, in any
/// order. The leads that are given stay as they are.
///
/// # Shape
/// `ecg` is `[lead, time]` in the order of `leads`; the result `[12, time]` in that of [`TWELVE`].
/// # Errors
/// [`Error::Data`] for a lead that is not one of the twelve or comes twice, and for a lead that is missing;
/// [`Error::Shape`] unless the leads are equally long.
pub fn twelve_from(leads: &[String], ecg: &[f32]) -> Result<Vec<f32>> {
    let refuse = |reason: String| Err(Error::data(leads.join(", "), reason));
    if leads.is_empty() || !ecg.len().is_multiple_of(leads.len()) {
        let (what, expected) = ("leads of equal length".into(), vec![leads.len()]);
        return Err(Error::Shape { what, expected, actual: vec![ecg.len()] });
    }
    let time = ecg.len() / leads.len();
    let mut places: [Option<usize>; 12] = [None; 12];
    for (at, lead) in leads.iter().enumerate() {
        let place = standard_name(lead).and_then(|name| TWELVE.iter().position(|known| *known == name));
        match place {
            None => return refuse(format!("{lead} is not one of the twelve leads")),
            Some(place) if places[place].is_some() => return refuse(format!("{lead} comes twice")),
            Some(place) => places[place] = Some(at),
        }
    }
    let limbs: Vec<([f64; 2], usize)> = (0..12).filter_map(|k| Some((limb_parts(TWELVE[k])?, places[k]?))).collect();
    let [(a, first), (b, second), ..] = limbs[..] else {
        return refuse(format!("{} limb leads, expected at least two", limbs.len()));
    };
    if let Some(missing) = (6..12).find(|&k| places[k].is_none()) {
        return refuse(format!("{} is missing and follows from no other lead", TWELVE[missing]));
    }
    let lead = |at: usize| &ecg[at * time..(at + 1) * time];
    let mut twelve = Vec::with_capacity(12 * time);
    for (name, place) in TWELVE.iter().zip(places) {
        match (place, limb_parts(name)) {
            (Some(at), _) => twelve.extend_from_slice(lead(at)),
            (None, Some([of_i, of_ii])) => twelve.extend(lead(first).iter().zip(lead(second)).map(|(&x, &y)| {
                let [i, ii] = solve_limbs((a, x), (b, y));
                (of_i * i + of_ii * ii) as f32
            })),
            (None, None) => {}
        }
    }
    Ok(twelve)
}

/// Computes the missing points of limb leads from two others where these are there; NaN is missing.
///
/// # Shape
/// `mv` is `[lead][point]` in the order of `names`; leads that are not of the limbs stay as they are.
pub fn limb_leads(names: &[String], mv: &mut [Vec<f32>]) {
    let limbs: Vec<(usize, [f64; 2])> =
        names.iter().enumerate().filter_map(|(at, name)| Some((at, limb_parts(standard_name(name)?)?))).collect();
    for t in 0..mv.first().map_or(0, Vec::len) {
        let mut there = limbs.iter().filter(|(at, _)| !mv[*at][t].is_nan());
        let (Some(&(first, a)), Some(&(second, b))) = (there.next(), there.next()) else { continue };
        // A lead that is in the record twice tells nothing new.
        if a == b {
            continue;
        }
        let [i, ii] = solve_limbs((a, mv[first][t]), (b, mv[second][t]));
        for &(at, [of_i, of_ii]) in limbs.iter().filter(|(at, _)| *at != first && *at != second) {
            if mv[at][t].is_nan() {
                mv[at][t] = (of_i * i + of_ii * ii) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_points_of_limb_leads_follow_from_two_others() {
        let names = ["aVF", "V1", "II", "I"].map(String::from);
        let nan = f32::NAN;
        let mut mv = vec![vec![nan, nan, 0.5], vec![nan; 3], vec![1.0, nan, nan], vec![0.25, 0.25, 0.5]];
        limb_leads(&names, &mut mv);
        assert_eq!((mv[0][0], mv[2][2]), (0.875, 0.75));
        // One lead alone says nothing of the others, and no limb lead says anything of the chest.
        assert!(mv[0][1].is_nan() && mv[2][1].is_nan() && mv[1].iter().all(|v| v.is_nan()));
    }

    #[test]
    fn any_two_limb_leads_and_the_chest_give_all_twelve() {
        let eight: Vec<f32> = (0..24).map(|k| (k as f32 * 0.37).sin()).collect();
        let twelve = twelve_from_eight(&eight);
        for a in 0..6 {
            for b in (0..6).filter(|&b| b != a) {
                // The chest first and backward: names decide, not places.
                let order: Vec<usize> = (6..12).rev().chain([a, b]).collect();
                let names: Vec<String> = order.iter().map(|&k| TWELVE[k].to_lowercase()).collect();
                let values: Vec<f32> = order.iter().flat_map(|&k| twelve[3 * k..3 * k + 3].to_vec()).collect();
                let found = twelve_from(&names, &values).unwrap();
                assert!(found.iter().zip(&twelve).all(|(x, y)| (x - y).abs() < 1e-5), "{} {}", TWELVE[a], TWELVE[b]);
            }
        }
    }

    #[test]
    fn leads_that_do_not_determine_the_twelve_are_refused() {
        let names = |list: &str| list.split(' ').map(String::from).collect::<Vec<_>>();
        for (list, reason) in [
            ("I V1 V2 V3 V4 V5 V6", "1 limb leads"),
            ("I II V1 V2 V3 V4 V5", "V6 is missing"),
            ("I I V1 V2 V3 V4 V5 V6", "comes twice"),
            ("I MLII V1 V2 V3 V4 V5 V6", "MLII is not one"),
        ] {
            let leads = names(list);
            let error = twelve_from(&leads, &vec![0.0; leads.len()]).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert!(twelve_from(&names("I II V1 V2 V3 V4 V5 V6"), &[0.0; 9]).is_err());
    }

    #[test]
    fn names_are_recognized_in_the_spellings_of_devices() {
        assert_eq!(standard_name("AVR"), Some("aVR"));
        assert_eq!(standard_name(" avf "), Some("aVF"));
        assert_eq!(standard_name("MDC_ECG_LEAD_V1"), Some("V1"));
        assert_eq!(standard_name("Lead II"), Some("II"));
        assert_eq!(standard_name("DIII"), Some("III"));
        assert_eq!(standard_name("MLII"), None);
        assert_eq!(standard_name("V7"), None);
    }

    #[test]
    fn derived_leads_obey_both_laws() {
        let eight: Vec<f32> = (0..16).map(|k| (k as f32 * 0.37).sin()).collect();
        let twelve = twelve_from_eight(&eight);
        assert_eq!(twelve.len(), 24);
        for t in 0..2 {
            let lead = |name: &str| twelve[TWELVE.iter().position(|&l| l == name).unwrap() * 2 + t];
            assert!((lead("I") + lead("III") - lead("II")).abs() < 1e-6);
            assert!((lead("aVR") + lead("aVL") + lead("aVF")).abs() < 1e-6);
            assert!((lead("aVL") - (lead("I") - lead("III")) / 2.0).abs() < 1e-6);
            assert_eq!(lead("V6"), eight[14 + t]);
        }
    }
}
