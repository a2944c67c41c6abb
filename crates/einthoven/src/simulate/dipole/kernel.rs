//! Gaussian kernels of the heart's vector, and where the wave that they make begins and ends.
//!
//! A wave is a group of kernels. It begins and ends where the length of the group's vector falls to 5 % of its peak:
//! the length does not depend on how the heart lies, so the truth is one for all leads, and no single wide kernel can
//! stretch it. Times are milliseconds, not phases, so that a requested PR or QRS holds at any heart rate.

use crate::simulate::dipole::lead_field::{Matrix, apply};
use crate::simulate::wave::add_wave;

/// Share of its peak at which a wave begins and ends.
pub const BOUNDARY_SHARE: f64 = 0.05;

/// Milliseconds of one radian of phase at 60 beats per minute.
pub const MS_PER_RADIAN: f64 = 1000.0 / std::f64::consts::TAU;

/// One Gaussian of the heart's vector.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kernel {
    /// Center relative to the wave's reference, ms.
    pub at_ms: f64,
    /// Standard deviation, ms.
    pub sd_ms: f64,
    /// Height along X (left), Y (down) and Z (back), mV.
    pub mv: [f64; 3],
}

impl Kernel {
    /// A kernel of the given center, width and vector.
    pub const fn new(at_ms: f64, sd_ms: f64, mv: [f64; 3]) -> Kernel {
        Kernel { at_ms, sd_ms, mv }
    }
}

/// The kernels of one wave.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Group {
    /// In any order.
    pub kernels: Vec<Kernel>,
}

/// Where a wave begins, peaks and ends, relative to its reference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extent {
    /// Where the vector first reaches 5 % of its peak, ms.
    pub onset_ms: f64,
    /// Where the vector is longest, ms.
    pub peak_ms: f64,
    /// Where the vector last leaves 5 % of its peak, ms.
    pub offset_ms: f64,
    /// Length of the vector at the peak, mV.
    pub peak_mv: f64,
}

impl Extent {
    /// Duration, ms.
    pub fn duration_ms(&self) -> f64 {
        self.offset_ms - self.onset_ms
    }
}

/// A group's vector on a grid of one millisecond.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// Time of the first point, ms.
    pub start_ms: f64,
    /// X, Y and Z, mV.
    pub xyz: [Vec<f64>; 3],
}

impl Group {
    /// A group of the given kernels.
    pub fn new(kernels: Vec<Kernel>) -> Group {
        Group { kernels }
    }

    /// The vector at a time, mV.
    pub fn vector(&self, t_ms: f64) -> [f64; 3] {
        let mut sum = [0.0; 3];
        for kernel in &self.kernels {
            let u = (t_ms - kernel.at_ms) / kernel.sd_ms;
            let height = libm::exp(-0.5 * u * u);
            (0..3).for_each(|axis| sum[axis] += height * kernel.mv[axis]);
        }
        sum
    }

    /// Stretches the time axis around the reference.
    pub fn stretch(&mut self, factor: f64) {
        for kernel in &mut self.kernels {
            kernel.at_ms *= factor;
            kernel.sd_ms *= factor;
        }
    }

    /// Moves the group in time.
    pub fn shift(&mut self, by_ms: f64) {
        self.kernels.iter_mut().for_each(|kernel| kernel.at_ms += by_ms);
    }

    /// Scales each axis.
    pub fn scale(&mut self, factors: [f64; 3]) {
        self.kernels.iter_mut().for_each(|kernel| (0..3).for_each(|axis| kernel.mv[axis] *= factors[axis]));
    }

    /// Turns the vector.
    pub fn turn(&mut self, rotation: &Matrix) {
        self.kernels.iter_mut().for_each(|kernel| kernel.mv = apply(rotation, kernel.mv));
    }

    /// The vector on a grid of one millisecond, four standard deviations beyond all kernels.
    pub fn template(&self) -> Template {
        let first = self.kernels.iter().map(|k| k.at_ms - 4.0 * k.sd_ms).fold(f64::INFINITY, f64::min);
        let last = self.kernels.iter().map(|k| k.at_ms + 4.0 * k.sd_ms).fold(f64::NEG_INFINITY, f64::max);
        if first > last {
            return Template { start_ms: 0.0, xyz: Default::default() };
        }
        let start_ms = libm::floor(first);
        let n = (last - start_ms) as usize + 2;
        let mut xyz = [vec![0.0; n], vec![0.0; n], vec![0.0; n]];
        for kernel in &self.kernels {
            for (axis, &mv) in xyz.iter_mut().zip(&kernel.mv) {
                if mv != 0.0 {
                    add_wave(axis, 1000.0, 1e-3 * (kernel.at_ms - start_ms), 1e-3 * kernel.sd_ms, mv);
                }
            }
        }
        Template { start_ms, xyz }
    }
}

impl Template {
    /// Boundaries of the vector's length; `None` for a group without kernels.
    pub fn extent(&self) -> Option<Extent> {
        let n = self.xyz[0].len();
        let length: Vec<f64> =
            (0..n).map(|i| libm::sqrt(self.xyz.iter().map(|axis| axis[i] * axis[i]).sum())).collect();
        extent_of(&length, self.start_ms)
    }

    /// Boundaries of the wave as one lead sees it, `row` being the lead's sensitivity to X, Y and Z.
    ///
    /// `work` keeps the projection from call to call, so that thousands of waves share one allocation.
    pub fn extent_in(&self, row: [f64; 3], work: &mut Vec<f64>) -> Option<Extent> {
        let [x, y, z] = &self.xyz;
        work.clear();
        work.extend(x.iter().zip(y).zip(z).map(|((x, y), z)| (row[0] * x + row[1] * y + row[2] * z).abs()));
        extent_of(work, self.start_ms)
    }

    /// Sum of the vector over the wave, mV ms.
    pub fn area(&self, extent: &Extent) -> [f64; 3] {
        let from = (extent.onset_ms - self.start_ms).max(0.0) as usize;
        let to = ((extent.offset_ms - self.start_ms) as usize + 1).min(self.xyz[0].len());
        std::array::from_fn(|axis| self.xyz[axis][from..to].iter().sum())
    }
}

/// Boundaries of a positive curve on a grid of one millisecond, crossings interpolated linearly.
fn extent_of(length: &[f64], start_ms: f64) -> Option<Extent> {
    // Eight maxima side by side run many times faster than a search for the place of one.
    let mut most = [0.0_f64; 8];
    for values in length.chunks(8) {
        most.iter_mut().zip(values).for_each(|(most, &v)| *most = if v > *most { v } else { *most });
    }
    let peak_mv = most.into_iter().fold(0.0_f64, f64::max);
    let peak = length.iter().position(|&v| v == peak_mv)?;
    if !(peak_mv > 0.0) {
        return None;
    }
    let level = BOUNDARY_SHARE * peak_mv;
    let first = length.iter().position(|&v| v >= level)?;
    let last = length.iter().rposition(|&v| v >= level)?;
    let crossing = |outside: usize, inside: usize| {
        let (low, high) = (length[outside], length[inside]);
        let part = if high > low { (level - low) / (high - low) } else { 1.0 };
        outside as f64 + part * (inside as f64 - outside as f64)
    };
    let onset = if first > 0 { crossing(first - 1, first) } else { 0.0 };
    let offset = if last + 1 < length.len() { crossing(last + 1, last) } else { last as f64 };
    // The vertex of the parabola through the three highest points.
    let vertex = if peak > 0 && peak + 1 < length.len() {
        let (a, b, c) = (length[peak - 1], peak_mv, length[peak + 1]);
        let bend = a - 2.0 * b + c;
        if bend < 0.0 { 0.5 * (a - c) / bend } else { 0.0 }
    } else {
        0.0
    };
    Some(Extent {
        onset_ms: start_ms + onset,
        peak_ms: start_ms + peak as f64 + vertex,
        offset_ms: start_ms + offset,
        peak_mv,
    })
}

/// Which wave a row of the published table belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Atria.
    P,
    /// Depolarization of the ventricles.
    Qrs,
    /// Repolarization of the ventricles.
    T,
    /// So wide that it belongs to no wave: the level of the PR segment, the foot of the T wave and what lies behind it.
    Slow,
}

/// The published kernels of a normal adult: part, axis, phase, height in mV, width in radians.
///
/// # Reference
/// Sameni et al. 2007; the values are those of the test scripts of the Open-Source Electrophysiological Toolbox.
#[rustfmt::skip]
pub const ADULT: [(Part, usize, f64, f64, f64); 30] = [
    (Part::P, 0, -1.09, 0.03, 0.0906), (Part::P, 0, -0.83, 0.08, 0.1057),
    (Part::Qrs, 0, -0.19, -0.13, 0.0453), (Part::Qrs, 0, -0.07, 0.85, 0.0378), (Part::Qrs, 0, 0.0, 1.11, 0.0332),
    (Part::Qrs, 0, 0.06, 0.75, 0.0302), (Part::Qrs, 0, 0.22, 0.06, 0.0378),
    (Part::T, 0, 1.2, 0.1, 0.604), (Part::T, 0, 1.42, 0.17, 0.302), (Part::T, 0, 1.68, 0.39, 0.1812),
    (Part::Slow, 0, 2.9, 0.03, 0.5),
    (Part::P, 1, -1.1, 0.035, 0.07), (Part::P, 1, -0.9, 0.015, 0.07), (Part::P, 1, -0.76, -0.019, 0.04),
    (Part::Qrs, 1, -0.11, 0.32, 0.055), (Part::Qrs, 1, -0.01, 0.51, 0.037), (Part::Qrs, 1, 0.065, -0.32, 0.0604),
    (Part::Slow, 1, 0.8, 0.04, 0.45), (Part::T, 1, 1.58, 0.08, 0.3), (Part::Slow, 1, 2.9, 0.014, 0.5),
    (Part::P, 2, -1.1, -0.03, 0.03), (Part::P, 2, -0.93, -0.14, 0.12), (Part::P, 2, -0.7, -0.035, 0.04),
    (Part::Slow, 2, -0.4, 0.045, 0.4), (Part::Qrs, 2, -0.15, -0.4, 0.045), (Part::Qrs, 2, 0.095, 0.46, 0.05),
    (Part::Slow, 2, 1.05, -0.12, 0.8), (Part::T, 2, 1.25, -0.2, 0.4), (Part::T, 2, 1.55, -0.35, 0.2),
    (Part::Slow, 2, 2.8, -0.035, 0.4),
];

/// The kernels of one part of the table in milliseconds from the R reference, widths at most `widest_ms`.
pub fn adult(part: Part, widest_ms: f64) -> Group {
    let rows = ADULT.iter().filter(|row| row.0 == part);
    Group::new(
        rows.map(|&(_, axis, phase, mv, width)| {
            let mut vector = [0.0; 3];
            vector[axis] = mv;
            Kernel::new(phase * MS_PER_RADIAN, (width * MS_PER_RADIAN).min(widest_ms), vector)
        })
        .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::dipole::lead_field::LEAD_FIELD;

    /// All kernels of the table at a phase, by the formula.
    fn published(phase: f64) -> [f64; 3] {
        let mut sum = [0.0; 3];
        for (_, axis, at, mv, width) in ADULT {
            sum[axis] += mv * (-(phase - at).powi(2) / (2.0 * width * width)).exp();
        }
        sum
    }

    #[test]
    fn signs_and_heights_of_the_published_table_agree_with_the_check_by_hand() {
        let expected = [1.381, 0.364, 0.049];
        (0..3).for_each(|axis| assert!((published(0.0)[axis] - expected[axis]).abs() < 0.002, "{:?}", published(0.0)));
        let lead =
            |row: usize, phase: f64| (0..3).map(|axis| LEAD_FIELD[row][axis] * published(phase)[axis]).sum::<f64>();
        // I, II, V1 to V6 at the R peak, V1 in the septal phase, V1 and V5 in the S phase: the tolerance is the table's.
        let at_r = [0.79, 0.71, -0.70, 0.05, 1.19, 1.69, 1.60, 1.19];
        (0..8).for_each(|row| assert!((lead(row, 0.0) - at_r[row]).abs() < 0.02, "lead {row}: {}", lead(row, 0.0)));
        assert!((lead(2, -0.15) - 0.40).abs() < 0.02, "{}", lead(2, -0.15));
        assert!((lead(2, 0.1) + 0.60).abs() < 0.02, "{}", lead(2, 0.1));
        assert!((lead(6, 0.1) - 0.32).abs() < 0.02, "{}", lead(6, 0.1));
    }

    #[test]
    fn one_kernel_begins_and_ends_two_and_a_half_widths_from_its_center() {
        let group = Group::new(vec![Kernel::new(30.0, 8.0, [0.3, -0.4, 0.0])]);
        let extent = group.template().extent().unwrap();
        let reach = (-2.0 * BOUNDARY_SHARE.ln()).sqrt() * 8.0;
        // Linear interpolation between milliseconds.
        assert!((extent.onset_ms - (30.0 - reach)).abs() < 0.05, "{extent:?}");
        assert!((extent.offset_ms - (30.0 + reach)).abs() < 0.05, "{extent:?}");
        assert!((extent.peak_ms - 30.0).abs() < 0.01 && (extent.peak_mv - 0.5).abs() < 1e-6, "{extent:?}");
        let seen = group.template().extent_in([0.0, 1.0, 0.0], &mut Vec::new()).unwrap();
        assert!((seen.peak_mv - 0.4).abs() < 1e-6 && (seen.onset_ms - extent.onset_ms).abs() < 1e-9);
        assert!(Group::default().template().extent().is_none());
    }

    #[test]
    fn template_is_the_sum_of_the_kernels() {
        let group = adult(Part::Qrs, 40.0);
        let template = group.template();
        for i in (0..template.xyz[0].len()).step_by(7) {
            let exact = group.vector(template.start_ms + i as f64);
            // Kernels are cut off at 0.04 % of their height.
            (0..3).for_each(|axis| assert!((template.xyz[axis][i] - exact[axis]).abs() < 1e-3));
        }
    }
}
