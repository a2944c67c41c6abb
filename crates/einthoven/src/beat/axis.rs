//! The heart's electrical axis in the frontal plane.

use super::interval::median;
use crate::record::Fiducial;
use crate::record::lead_law::standard_name;

/// Directions of the limb leads in degrees, clockwise from lead I, and their length: Goldberger's leads are measured
/// against the mean of the other two electrodes, which makes them shorter by the root of 3/4.
const DIRECTIONS: [(&str, f64, f64); 6] = [
    ("I", 0.0, 1.0),
    ("II", 60.0, 1.0),
    ("III", 120.0, 1.0),
    ("aVR", -150.0, 0.866_025_403_784_438_6),
    ("aVL", -30.0, 0.866_025_403_784_438_6),
    ("aVF", 90.0, 0.866_025_403_784_438_6),
];

/// Axis of QRS: the direction, from -180 to 180 degrees, of the vector whose projections fit the areas of QRS in the
/// limb leads best. Medians of the areas over the complexes; `None` with fewer than two limb leads or no area.
///
/// # Shape
/// `leads` are named and in mV; names that are no limb leads are left out.
/// # Reference
/// Einthoven's triangle; least squares over the hexaxial system.
pub fn frontal_axis_deg(complexes: &[&Fiducial], leads: &[(&str, &[f32])]) -> Option<f64> {
    let mut seen = [false; 6];
    let (mut xx, mut xy, mut yy, mut xa, mut ya) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for (name, mv) in leads {
        let Some(limb) = standard_name(name).and_then(|name| DIRECTIONS.iter().position(|lead| lead.0 == name)) else {
            continue;
        };
        let Some(area) = median(complexes.iter().filter_map(|complex| area(complex, mv)).collect()) else { continue };
        let (_, degrees, length) = DIRECTIONS[limb];
        let (y, x) = degrees.to_radians().sin_cos();
        let (x, y) = (x * length, y * length);
        seen[limb] = true;
        (xx, xy, yy) = (xx + x * x, xy + x * y, yy + y * y);
        (xa, ya) = (xa + x * area, ya + y * area);
    }
    if seen.iter().filter(|&&is_seen| is_seen).count() < 2 {
        return None;
    }
    let determinant = xx * yy - xy * xy;
    let (x, y) = ((yy * xa - xy * ya) / determinant, (xx * ya - xy * xa) / determinant);
    (x.hypot(y) > 0.0).then(|| y.atan2(x).to_degrees())
}

/// Area of a complex over the line between its ends, in mV times points.
fn area(complex: &Fiducial, mv: &[f32]) -> Option<f64> {
    let (onset, offset) = complex.onset.zip(complex.offset)?;
    let inside = mv.get(onset..=offset)?;
    let (a, b) = (f64::from(inside[0]), f64::from(inside[inside.len() - 1]));
    let sum: f64 = inside.iter().map(|&v| f64::from(v)).sum::<f64>() - (a + b) / 2.0 * inside.len() as f64;
    sum.is_finite().then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Wave;
    use crate::record::lead_law::derive_limb_leads;

    /// Leads of a heart vector that swells and shrinks in one direction.
    fn leads(axis_deg: f64, n_leads: usize) -> Vec<(&'static str, Vec<f32>)> {
        let size = |k: usize| (std::f64::consts::PI * k as f64 / 20.0).sin();
        let project = |degrees: f64, k: usize| size(k) * (axis_deg - degrees).to_radians().cos();
        let point = |k: usize| {
            let (i, ii) = (project(0.0, k), project(60.0, k));
            let [iii, avr, avl, avf] = derive_limb_leads(i, ii);
            [i, ii, iii, avr, avl, avf]
        };
        (0..n_leads).map(|lead| (DIRECTIONS[lead].0, (0..=20).map(|k| point(k)[lead] as f32).collect())).collect()
    }

    #[test]
    fn the_axis_of_a_known_vector_comes_back_from_two_leads_and_from_six() {
        let complex = Fiducial { wave: Wave::Qrs, onset: Some(0), peak: 10, offset: Some(20) };
        for axis_deg in [-170.0, -90.0, -30.0, 0.0, 47.0, 60.0, 135.0, 179.0] {
            for n_leads in [2, 3, 6] {
                let leads = leads(axis_deg, n_leads);
                let named: Vec<(&str, &[f32])> = leads.iter().map(|(name, mv)| (*name, mv.as_slice())).collect();
                let found = frontal_axis_deg(&[&complex], &named).expect("two leads or more");
                // f32 signals of about 1 mV.
                assert!((found - axis_deg).abs() < 1e-3, "{axis_deg} from {n_leads} leads: {found}");
            }
            let one = leads(axis_deg, 1);
            assert_eq!(frontal_axis_deg(&[&complex], &[("I", &one[0].1)]), None);
            assert_eq!(frontal_axis_deg(&[&complex], &[("V1", &one[0].1), ("I", &one[0].1)]), None);
        }
    }
}
