//! The vectorcardiogram: from eight leads to the heart's vector and back.
//!
//! Axes are those of Frank: X to the left, Y to the feet, Z to the back. Rows and columns of leads are in the
//! order of [`super::lead_law::EIGHT`].

use super::lead_law::{EIGHT, derive_limb_leads, standard_name};

/// Leads (rows I, II, V1 to V6) of a vector.
///
/// # Reference
/// Dower, Machado and Osborne 1980.
pub const DOWER: [[f64; 3]; 8] = [
    [0.632, -0.235, 0.059],
    [0.235, 1.066, -0.132],
    [-0.515, 0.157, -0.917],
    [0.044, 0.164, -1.387],
    [0.882, 0.098, -1.277],
    [1.213, 0.127, -0.601],
    [1.125, 0.127, -0.086],
    [0.831, 0.076, 0.230],
];

/// Vector (rows X, Y, Z) of eight leads.
///
/// # Reference
/// Edenbrandt and Pahlm 1988.
pub const INVERSE_DOWER: [[f64; 8]; 3] = [
    [0.156, -0.010, -0.172, -0.074, 0.122, 0.231, 0.239, 0.194],
    [-0.227, 0.887, 0.057, -0.019, -0.106, -0.022, 0.041, 0.048],
    [0.022, 0.102, -0.229, -0.310, -0.246, -0.063, 0.055, 0.108],
];

/// What one lead of the twelve shows of a vector: its row of [`DOWER`], or the one that the limb leads' laws give.
///
/// `None` for a lead that is not one of the twelve; MLII, the monitoring form of II, counts as II.
pub fn lead_vector(name: &str) -> Option<[f64; 3]> {
    let lead = if name == "MLII" { "II" } else { standard_name(name)? };
    if let Some(row) = EIGHT.iter().position(|other| *other == lead) {
        return Some(DOWER[row]);
    }
    let derived = ["III", "aVR", "aVL", "aVF"].iter().position(|other| *other == lead)?;
    Some(std::array::from_fn(|axis| derive_limb_leads(DOWER[0][axis], DOWER[1][axis])[derived]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_and_forth_nearly_keeps_a_vector() {
        for axis in 0..3 {
            for other in 0..3 {
                let product: f64 = (0..8).map(|lead| INVERSE_DOWER[axis][lead] * DOWER[lead][other]).sum();
                // The published tables are regressions with three decimals, not each other's inverse.
                let expected = f64::from(u8::from(axis == other));
                assert!((product - expected).abs() < 0.02, "{axis} {other}: {product}");
            }
        }
    }

    #[test]
    fn derived_leads_obey_the_laws() {
        let row = |name: &str| lead_vector(name).unwrap();
        for axis in 0..3 {
            assert!((row("I")[axis] + row("III")[axis] - row("II")[axis]).abs() < 1e-12);
            assert!((row("aVR")[axis] + row("aVL")[axis] + row("aVF")[axis]).abs() < 1e-12);
        }
        assert_eq!(lead_vector("MLII"), lead_vector("II"));
        assert_eq!(lead_vector("V7"), None);
    }
}
