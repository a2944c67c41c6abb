//! From the heart's vector to the leads, and the frontal axis.
//!
//! Axes are those of Frank: X to the left, Y down, Z to the back.

use crate::record::lead_law::derive_limb_leads;

/// Rows of a 3 by 3 matrix.
pub type Matrix = [[f64; 3]; 3];

/// Sensitivity of I, II, V1 to V6 (rows, the order of [`crate::record::lead_law::EIGHT`]) to X, Y and Z.
pub const LEAD_FIELD: [[f64; 3]; 8] = crate::record::vcg::DOWER;

/// Matrix times vector.
pub fn apply(matrix: &Matrix, v: [f64; 3]) -> [f64; 3] {
    std::array::from_fn(|row| (0..3).map(|column| matrix[row][column] * v[column]).sum())
}

/// Turns around X, then Y, then Z, by angles in radians.
pub fn rotation(angles: [f64; 3]) -> Matrix {
    let turn = |axis: usize, angle: f64| {
        let (sine, cosine) = libm::sincos(angle);
        let (a, b) = ((axis + 1) % 3, (axis + 2) % 3);
        let mut matrix = [[0.0; 3]; 3];
        matrix[axis][axis] = 1.0;
        (matrix[a][a], matrix[b][b], matrix[a][b], matrix[b][a]) = (cosine, cosine, -sine, sine);
        matrix
    };
    let product = |p: &Matrix, q: &Matrix| -> Matrix {
        std::array::from_fn(|row| std::array::from_fn(|column| (0..3).map(|k| p[row][k] * q[k][column]).sum()))
    };
    product(&turn(2, angles[2]), &product(&turn(1, angles[1]), &turn(0, angles[0])))
}

/// The eight leads of a torso whose heart is turned by `rotation`.
pub fn eight_rows(field: &[[f64; 3]; 8], rotation: &Matrix) -> [[f64; 3]; 8] {
    std::array::from_fn(|lead| std::array::from_fn(|axis| (0..3).map(|k| field[lead][k] * rotation[k][axis]).sum()))
}

/// Twelve rows in the standard order from the eight.
pub fn twelve_rows(eight: &[[f64; 3]; 8]) -> [[f64; 3]; 12] {
    let mut twelve = [[0.0; 3]; 12];
    for axis in 0..3 {
        let limb = derive_limb_leads(eight[0][axis], eight[1][axis]);
        twelve[0][axis] = eight[0][axis];
        twelve[1][axis] = eight[1][axis];
        (0..4).for_each(|k| twelve[2 + k][axis] = limb[k]);
        (2..8).for_each(|k| twelve[4 + k][axis] = eight[k][axis]);
    }
    twelve
}

/// Frontal axis of a net deflection, degrees: 0 points to the left, +90 to the feet.
///
/// With the leads' true directions, I at 0 and aVF at 90 degrees, and aVF measured 2 / sqrt 3 too small beside I.
pub fn axis_deg(i: f64, avf: f64) -> f64 {
    libm::atan2(avf * 2.0 / libm::sqrt(3.0), i).to_degrees()
}

/// Axis of a vector as the leads of this torso show it, degrees.
pub fn vector_axis_deg(field: &[[f64; 3]; 8], v: [f64; 3]) -> f64 {
    let lead = |row: usize| (0..3).map(|k| field[row][k] * v[k]).sum::<f64>();
    let (i, ii) = (lead(0), lead(1));
    axis_deg(i, derive_limb_leads(i, ii)[3])
}

/// Angle in degrees between -180 and 180.
pub fn wrapped_deg(degrees: f64) -> f64 {
    let turns = libm::floor((degrees + 180.0) / 360.0);
    degrees - 360.0 * turns
}

/// The turn around Z, radians, after which `v` has the wanted axis in the leads, and the axis that is then reached.
///
/// A vector that points mainly to the front or back cannot reach every axis; the nearest one is returned.
pub fn turn_to_axis(field: &[[f64; 3]; 8], v: [f64; 3], target_deg: f64) -> (f64, f64) {
    let axis_after = |angle: f64| vector_axis_deg(field, apply(&rotation([0.0, 0.0, angle]), v));
    let miss = |angle: f64| wrapped_deg(axis_after(angle) - target_deg);
    let step = std::f64::consts::TAU / 72.0;
    let angle_of = |k: i32| f64::from(k) * step;
    let nearest = (-36..36).min_by(|&a, &b| miss(angle_of(a)).abs().total_cmp(&miss(angle_of(b)).abs())).unwrap_or(0);
    let (mut low, mut high) = (angle_of(nearest) - step, angle_of(nearest) + step);
    let is_rising = miss(low) < miss(high);
    for _ in 0..50 {
        let middle = 0.5 * (low + high);
        if (miss(middle) < 0.0) == is_rising { low = middle } else { high = middle }
    }
    let angle = 0.5 * (low + high);
    (angle, axis_after(angle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rotations_keep_lengths_and_turn_the_right_way() {
        let v = apply(&rotation([0.3, -0.2, 1.1]), [1.0, 2.0, -0.5]);
        let length = v.iter().map(|x| x * x).sum::<f64>().sqrt();
        assert!((length - 5.25_f64.sqrt()).abs() < 1e-12);
        // A positive turn around Z moves left to down: the axis grows.
        let down = apply(&rotation([0.0, 0.0, std::f64::consts::FRAC_PI_2]), [1.0, 0.0, 0.0]);
        assert!((down[1] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn axis_of_the_limb_leads_is_that_of_the_hexaxial_system() {
        // A unit vector at 60 degrees: I = cos 60, aVF = sqrt 3 / 2 sin 60.
        assert!((axis_deg(0.5, 0.75) - 60.0).abs() < 1e-9);
        assert!((axis_deg(1.0, 0.0)).abs() < 1e-9 && (axis_deg(0.0, -1.0) + 90.0).abs() < 1e-9);
        assert_eq!(wrapped_deg(190.0), -170.0);
    }

    #[test]
    fn every_axis_can_be_reached_by_a_frontal_vector() {
        for target in (-180..180).step_by(15) {
            let (_, reached) = turn_to_axis(&LEAD_FIELD, [40.0, 20.0, 5.0], f64::from(target));
            assert!(wrapped_deg(reached - f64::from(target)).abs() < 0.01, "{target}: {reached}");
        }
    }
}
