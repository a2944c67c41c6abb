//! The twelve leads: their names, and the laws that tie the limb leads together.
//!
//! Eight leads are independent (I, II, V1-V6); the other four follow from I and II. Whoever makes twelve leads
//! makes the eight and calls [`derive_limb_leads`], so that the laws hold by construction.

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

#[cfg(test)]
mod tests {
    use super::*;

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
