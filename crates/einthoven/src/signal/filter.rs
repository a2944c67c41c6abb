//! Butterworth filters as second-order sections, causal and zero-phase.
//!
//! Sections instead of one polynomial, because a band-pass of order five at a low cut-off loses all
//! its digits as a polynomial. The zero-phase form follows `scipy.signal.sosfiltfilt`: odd extension
//! at both ends, each pass started in the steady state of its first point.

use realfft::num_complex::Complex64;

use crate::error::{Error, Result};

/// A digital filter as a cascade of second-order sections.
#[derive(Debug, Clone, PartialEq)]
pub struct SosFilter {
    sections: Vec<Section>,
    pad_len: usize,
}

/// One section, `y = (b0 + b1 z^-1 + b2 z^-2) / (1 + a1 z^-1 + a2 z^-2) x`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Section {
    b: [f64; 3],
    a: [f64; 2],
    /// State that a constant input, 1 at the cascade's entry, settles to.
    steady: [f64; 2],
}

impl SosFilter {
    /// Butterworth low-pass; half power at `cutoff_hz`.
    ///
    /// # Errors
    /// [`Error::Config`] unless the order is in 1..=20 and `0 < cutoff_hz < fs_hz / 2`.
    pub fn lowpass(order: usize, cutoff_hz: f64, fs_hz: f64) -> Result<SosFilter> {
        let edge = warp(order, cutoff_hz, fs_hz)?;
        let poles = prototype_poles(order).into_iter().map(|p| p * edge).collect();
        Ok(SosFilter::from_poles(poles, Zeros::Real([-1.0, -1.0]), Complex64::new(1.0, 0.0)))
    }

    /// Butterworth high-pass; half power at `cutoff_hz`.
    ///
    /// # Errors
    /// As [`SosFilter::lowpass`].
    pub fn highpass(order: usize, cutoff_hz: f64, fs_hz: f64) -> Result<SosFilter> {
        let edge = warp(order, cutoff_hz, fs_hz)?;
        let poles = prototype_poles(order).into_iter().map(|p| edge / p).collect();
        Ok(SosFilter::from_poles(poles, Zeros::Real([1.0, 1.0]), Complex64::new(-1.0, 0.0)))
    }

    /// Butterworth band-pass; `order` poles at each edge, half power at both edges.
    ///
    /// # Errors
    /// As [`SosFilter::lowpass`] for each edge, and unless `low_hz < high_hz`.
    pub fn bandpass(order: usize, low_hz: f64, high_hz: f64, fs_hz: f64) -> Result<SosFilter> {
        let (width, center) = warp_band(order, low_hz, high_hz, fs_hz)?;
        let poles = split_band(prototype_poles(order).into_iter().map(|p| p * width * 0.5), center);
        // The point on the unit circle that the bilinear transform makes of the band's center.
        let reference = bilinear(Complex64::new(0.0, center));
        Ok(SosFilter::from_poles(poles, Zeros::Real([1.0, -1.0]), reference))
    }

    /// Butterworth band-stop; half power at both edges.
    ///
    /// # Errors
    /// As [`SosFilter::bandpass`].
    pub fn bandstop(order: usize, low_hz: f64, high_hz: f64, fs_hz: f64) -> Result<SosFilter> {
        let (width, center) = warp_band(order, low_hz, high_hz, fs_hz)?;
        let poles = split_band(prototype_poles(order).into_iter().map(|p| width * 0.5 / p), center);
        let notch = bilinear(Complex64::new(0.0, center));
        Ok(SosFilter::from_poles(poles, Zeros::Circle(notch.re), Complex64::new(1.0, 0.0)))
    }

    /// Notch of second order: zero at `f_hz`, half power at a distance of about `f_hz / quality / 2`.
    ///
    /// # Errors
    /// [`Error::Config`] unless `0 < f_hz < fs_hz / 2` and the quality is positive.
    /// # Reference
    /// Orfanidis 1996, section 11.3, as in `scipy.signal.iirnotch`.
    pub fn notch(f_hz: f64, quality: f64, fs_hz: f64) -> Result<SosFilter> {
        // The check of the frequency is that of the other filters; its warped value is not needed.
        warp(2, f_hz, fs_hz)?;
        if !(quality > 0.0 && quality.is_finite()) {
            return Err(Error::config("quality", format!("{quality}, expected a positive number")));
        }
        let center = std::f64::consts::TAU * f_hz / fs_hz;
        let gain = 1.0 / (1.0 + libm::tan(0.5 * center / quality));
        let middle = -2.0 * gain * libm::cos(center);
        let section = Section { b: [gain, middle, gain], a: [middle, 2.0 * gain - 1.0], steady: [0.0; 2] };
        Ok(SosFilter::cascade(vec![section]))
    }

    /// A filter designed elsewhere, one row `b0 b1 b2 a0 a1 a2` for each section.
    ///
    /// # Errors
    /// [`Error::Config`] without sections, or unless every `a0` is 1 and all coefficients are finite.
    pub fn from_sections(rows: &[[f64; 6]]) -> Result<SosFilter> {
        let is_usable = |row: &[f64; 6]| row[3] == 1.0 && row.iter().all(|c| c.is_finite());
        if rows.is_empty() || !rows.iter().all(is_usable) {
            return Err(Error::config("sections", "expected rows of finite b0 b1 b2 1 a1 a2"));
        }
        let section = |r: &[f64; 6]| Section { b: [r[0], r[1], r[2]], a: [r[4], r[5]], steady: [0.0; 2] };
        Ok(SosFilter::cascade(rows.iter().map(section).collect()))
    }

    /// The sections, one row `b0 b1 b2 1 a1 a2` each, in the order in which they run.
    pub fn sections(&self) -> Vec<[f64; 6]> {
        self.sections.iter().map(|s| [s.b[0], s.b[1], s.b[2], 1.0, s.a[0], s.a[1]]).collect()
    }

    /// State of each section that a constant input of 1 settles to.
    pub fn steady_state(&self) -> Vec<[f64; 2]> {
        self.sections.iter().map(|s| s.steady).collect()
    }

    /// Filters forward in time from rest.
    pub fn apply(&self, x: &[f64]) -> Vec<f64> {
        let mut y = x.to_vec();
        for section in &self.sections {
            section.run(&mut y, [0.0; 2]);
        }
        y
    }

    /// Filters the next piece of a long signal in place; `state` is empty before the first piece and is kept between them.
    ///
    /// The pieces together have the same bits as the whole.
    pub fn apply_next(&self, x: &mut [f64], state: &mut Vec<[f64; 2]>) {
        state.resize(self.sections.len(), [0.0; 2]);
        for (section, state) in self.sections.iter().zip(state) {
            *state = section.run(x, *state);
        }
    }

    /// As [`SosFilter::apply_next`] for several signals of one length at once, which takes little longer than one: a value
    /// has to wait for the one before it, and meanwhile the other signals go on. The bits are the same.
    ///
    /// # Panics
    /// If the signals differ in length.
    pub fn apply_next_to_each<const N: usize>(&self, x: [&mut [f64]; N], states: [&mut Vec<[f64; 2]>; N]) {
        let mut x = x;
        let mut states = states;
        states.iter_mut().for_each(|state| state.resize(self.sections.len(), [0.0; 2]));
        for (k, section) in self.sections.iter().enumerate() {
            let ends = section.run_each(&mut x, std::array::from_fn(|lane| states[lane][k]));
            states.iter_mut().zip(ends).for_each(|(state, end)| state[k] = end);
        }
    }

    /// Filters forward and backward, so that no frequency is delayed and each is attenuated twice.
    ///
    /// # Errors
    /// [`Error::Shape`] unless the signal is longer than [`SosFilter::pad_len`].
    /// # Reference
    /// Gustafsson 1996 discusses the ends; the odd extension is the one of `scipy.signal.sosfiltfilt`.
    pub fn zero_phase(&self, x: &[f64]) -> Result<Vec<f64>> {
        let mut work = Vec::with_capacity(x.len() + 2 * self.pad_len);
        self.zero_phase_in(x, &mut work)?;
        Ok(work[self.pad_len..self.pad_len + x.len()].to_vec())
    }

    /// As [`SosFilter::zero_phase`], leaving the result in `work[pad_len .. pad_len + x.len()]`, so
    /// that thousands of short signals share one allocation.
    ///
    /// # Errors
    /// As [`SosFilter::zero_phase`].
    pub fn zero_phase_in(&self, x: &[f64], work: &mut Vec<f64>) -> Result<()> {
        let (n, pad) = (x.len(), self.pad_len);
        if n <= pad {
            return Err(Error::Shape {
                what: "signal to filter with zero phase".into(),
                expected: vec![pad + 1],
                actual: vec![n],
            });
        }
        work.clear();
        work.extend((1..=pad).rev().map(|i| 2.0 * x[0] - x[i]));
        work.extend_from_slice(x);
        work.extend((1..=pad).map(|i| 2.0 * x[n - 1] - x[n - 1 - i]));
        for _pass in 0..2 {
            let start = work[0];
            for section in &self.sections {
                section.run(work, section.steady.map(|z| z * start));
            }
            work.reverse();
        }
        Ok(())
    }

    /// Number of points by which [`SosFilter::zero_phase`] extends each end.
    pub fn pad_len(&self) -> usize {
        self.pad_len
    }

    /// Gain of one forward pass at a frequency.
    pub fn gain(&self, f_hz: f64, fs_hz: f64) -> f64 {
        let z = Complex64::from_polar(1.0, std::f64::consts::TAU * f_hz / fs_hz);
        self.sections.iter().map(|s| s.response(z).norm()).product()
    }

    /// Builds the cascade from analog poles (prewarped, in units of twice the sampling rate), with
    /// gain 1 at the point `reference` of the unit circle.
    fn from_poles(poles: Vec<Complex64>, zeros: Zeros, reference: Complex64) -> SosFilter {
        let poles: Vec<Complex64> = poles.into_iter().map(bilinear).collect();
        // A pole and its conjugate differ by rounding; the real poles of an odd order pair up.
        let is_real = |p: &Complex64| p.im.abs() < 1e-12;
        let mut denominators: Vec<[f64; 2]> =
            poles.iter().filter(|p| !is_real(p) && p.im > 0.0).map(|p| [-2.0 * p.re, p.norm_sqr()]).collect();
        let real: Vec<f64> = poles.iter().filter(|p| is_real(p)).map(|p| p.re).collect();
        for pair in real.chunks(2) {
            match *pair {
                [p, q] => denominators.push([-(p + q), p * q]),
                [p] => denominators.push([-p, 0.0]),
                _ => {}
            }
        }
        // Poles far from the circle first: the early sections then amplify least.
        denominators.sort_by(|p, q| p[1].total_cmp(&q[1]));

        let section = |a: [f64; 2]| {
            let b = match zeros {
                Zeros::Real([z, _]) if a[1] == 0.0 => [1.0, -z, 0.0],
                Zeros::Real([z, w]) => [1.0, -(z + w), z * w],
                Zeros::Circle(re) => [1.0, -2.0 * re, 1.0],
            };
            let mut section = Section { b, a, steady: [0.0; 2] };
            let scale = 1.0 / section.response(reference).norm();
            section.b = section.b.map(|c| c * scale);
            section
        };
        SosFilter::cascade(denominators.into_iter().map(section).collect())
    }

    /// Fills in the steady states and the length of the extension.
    fn cascade(mut sections: Vec<Section>) -> SosFilter {
        let mut gain_so_far = 1.0;
        for Section { b, a, steady } in &mut sections {
            let gain = b.iter().sum::<f64>() / (1.0 + a[0] + a[1]);
            *steady = [gain - b[0], b[2] - a[1] * gain].map(|z| z * gain_so_far);
            gain_so_far *= gain;
        }
        let first_order_above = sections.iter().filter(|s| s.b[2] == 0.0).count();
        let first_order_below = sections.iter().filter(|s| s.a[1] == 0.0).count();
        let n_taps = 2 * sections.len() + 1 - first_order_above.min(first_order_below);
        SosFilter { sections, pad_len: 3 * n_taps }
    }
}

impl Section {
    /// Runs in place in direct form II transposed and returns the state at the end.
    fn run(&self, x: &mut [f64], start: [f64; 2]) -> [f64; 2] {
        let ([b0, b1, b2], [a1, a2]) = (self.b, self.a);
        let [mut z1, mut z2] = start;
        for value in x {
            let input = *value;
            let output = b0 * input + z1;
            z1 = b1 * input - a1 * output + z2;
            z2 = b2 * input - a2 * output;
            *value = output;
        }
        [z1, z2]
    }

    fn run_each<const N: usize>(&self, x: &mut [&mut [f64]; N], start: [[f64; 2]; N]) -> [[f64; 2]; N] {
        let ([b0, b1, b2], [a1, a2]) = (self.b, self.a);
        let n = x.first().map_or(0, |lane| lane.len());
        assert!(x.iter().all(|lane| lane.len() == n), "signals have one length");
        let mut z = start;
        for t in 0..n {
            for (lane, [z1, z2]) in x.iter_mut().zip(&mut z) {
                let input = lane[t];
                let output = b0 * input + *z1;
                *z1 = b1 * input - a1 * output + *z2;
                *z2 = b2 * input - a2 * output;
                lane[t] = output;
            }
        }
        z
    }

    fn response(&self, z: Complex64) -> Complex64 {
        let w = z.inv();
        (self.b[0] + w * (self.b[1] + w * self.b[2])) / (1.0 + w * (self.a[0] + w * self.a[1]))
    }
}

/// Zeros of each section.
#[derive(Clone, Copy)]
enum Zeros {
    /// Two real zeros; a section of first order takes the first.
    Real([f64; 2]),
    /// A conjugate pair on the unit circle with this real part.
    Circle(f64),
}

/// Analog frequency that the bilinear transform maps onto `f_hz`.
fn warp(order: usize, f_hz: f64, fs_hz: f64) -> Result<f64> {
    if !(1..=20).contains(&order) {
        return Err(Error::config("order", format!("a filter of order {order}, expected 1 to 20")));
    }
    if !(f_hz > 0.0 && f_hz < fs_hz / 2.0) {
        return Err(Error::config(
            "cutoff_hz",
            format!("{f_hz} Hz at a sampling rate of {fs_hz} Hz, expected above 0 and below half the rate"),
        ));
    }
    Ok(libm::tan(std::f64::consts::PI * f_hz / fs_hz))
}

/// Width and center of a band in warped frequency.
fn warp_band(order: usize, low_hz: f64, high_hz: f64, fs_hz: f64) -> Result<(f64, f64)> {
    let (low, high) = (warp(order, low_hz, fs_hz)?, warp(order, high_hz, fs_hz)?);
    if low >= high {
        return Err(Error::config("cutoff_hz", format!("band from {low_hz} to {high_hz} Hz is empty")));
    }
    Ok((high - low, (low * high).sqrt()))
}

/// Poles of the analog low-pass of cut-off 1, on the left half of the unit circle. The middle one
/// of an odd order is real to the last bit.
fn prototype_poles(order: usize) -> Vec<Complex64> {
    (0..order)
        .map(|k| {
            if 2 * k + 1 == order {
                return Complex64::new(-1.0, 0.0);
            }
            let angle = std::f64::consts::PI * (2 * k + 1 + order) as f64 / (2 * order) as f64;
            let (sine, cosine) = libm::sincos(angle);
            Complex64::new(cosine, sine)
        })
        .collect()
}

/// The two poles that the low-pass to band transform makes of each scaled pole.
fn split_band(scaled: impl Iterator<Item = Complex64>, center: f64) -> Vec<Complex64> {
    scaled
        .flat_map(|p| {
            let root = (p * p - center * center).sqrt();
            [p + root, p - root]
        })
        .collect()
}

/// Bilinear transform with the frequency axis in units of twice the sampling rate.
fn bilinear(s: Complex64) -> Complex64 {
    (1.0 + s) / (1.0 - s)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `n = arange(64); y = sin(0.3 n) + 0.5 cos(1.1 n) + 0.01 n`.
    fn input() -> Vec<f64> {
        (0..64).map(f64::from).map(|n| (0.3 * n).sin() + 0.5 * (1.1 * n).cos() + 0.01 * n).collect()
    }

    fn assert_golden(y: &[f64], golden: [f64; 5]) {
        for (i, expected) in [0, 1, 31, 62, 63].into_iter().zip(golden) {
            // Both sides are f64 in another order of sections.
            assert!((y[i] - expected).abs() < 1e-11, "point {i}: {} instead of {expected}", y[i]);
        }
    }

    #[test]
    fn agrees_with_scipy() {
        // Golden values: scipy 1.17.1, `sosfiltfilt(butter(4, 40, "low", fs=360, output="sos"), y)` and
        // so on, points 0, 1, 31, 62 and 63. Order 3 has a section of first order.
        let (fs_hz, y) = (360.0, input());
        let low = SosFilter::lowpass(4, 40.0, fs_hz).unwrap();
        assert_golden(
            &low.zero_phase(&y).unwrap(),
            [0.49779110712523134, 0.5314652620437709, 0.4274006099454786, 0.588443077626913, 1.1665575550218086],
        );
        let high = SosFilter::highpass(3, 0.5, fs_hz).unwrap();
        assert_golden(
            &high.zero_phase(&y).unwrap(),
            [-0.2882590625778379, -0.25735625245524785, -0.8603886544349706, -0.2593206807936233, 0.2311205663987108],
        );
        let band = SosFilter::bandpass(3, 5.0, 40.0, fs_hz).unwrap();
        assert_golden(
            &band.zero_phase(&y).unwrap(),
            [-0.0665459312724643, -0.010869319928078824, 0.3445430837660753, -0.7796553052542705, -0.24135947443135963],
        );
        assert_golden(
            &band.apply(&y),
            [0.008422565926500133, 0.048079396855367995, 0.5258002990633864, -0.5565700300988513, -0.3386547857983207],
        );
    }

    #[test]
    fn pieces_have_the_bits_of_the_whole() {
        let filter = SosFilter::bandpass(2, 20.0, 150.0, 500.0).unwrap();
        let (mut pieces, mut state) = (input(), Vec::new());
        let n = pieces.len();
        pieces.chunks_mut(n / 3 + 1).for_each(|piece| filter.apply_next(piece, &mut state));
        assert_eq!(pieces, filter.apply(&input()));
        // Side by side with others.
        let (mut one, mut other) = (input(), vec![1.0; n]);
        let (mut one_state, mut other_state) = (Vec::new(), Vec::new());
        for (a, b) in one.chunks_mut(n / 3 + 1).zip(other.chunks_mut(n / 3 + 1)) {
            filter.apply_next_to_each([a, b], [&mut one_state, &mut other_state]);
        }
        assert_eq!(one, pieces);
        assert_eq!(other, filter.apply(&vec![1.0; n]));
        assert_eq!((one_state.as_slice(), one_state.len()), (state.as_slice(), other_state.len()));
    }

    #[test]
    fn half_power_at_the_edges_and_unit_gain_in_the_band() {
        let fs_hz = 360.0;
        for order in 1..=8 {
            let low = SosFilter::lowpass(order, 40.0, fs_hz).unwrap();
            let high = SosFilter::highpass(order, 0.5, fs_hz).unwrap();
            let band = SosFilter::bandpass(order, 5.0, 15.0, fs_hz).unwrap();
            let stop = SosFilter::bandstop(order, 58.0, 62.0, fs_hz).unwrap();
            let half = 0.5_f64.sqrt();
            for (filter, f_hz, gain) in [
                (&low, 0.0, 1.0),
                (&low, 40.0, half),
                (&high, 0.5, half),
                (&high, 180.0, 1.0),
                (&band, 5.0, half),
                (&band, 15.0, half),
                (&stop, 58.0, half),
                (&stop, 62.0, half),
                (&stop, 0.0, 1.0),
            ] {
                let found = filter.gain(f_hz, fs_hz);
                assert!((found - gain).abs() < 1e-9, "order {order} at {f_hz} Hz: {found}");
            }
            assert!(low.gain(180.0, fs_hz) < 1e-12);
            assert!(band.gain(0.0, fs_hz) < 1e-12);
        }
    }

    #[test]
    fn zero_phase_keeps_a_constant_and_commutes_with_time_reversal() {
        let filter = SosFilter::lowpass(4, 40.0, 360.0).unwrap();
        let constant = filter.zero_phase(&[3.25; 50]).unwrap();
        assert!(constant.iter().all(|y| (y - 3.25).abs() < 1e-12));
        let x = input();
        let forward = filter.zero_phase(&x).unwrap();
        let mut backward = filter.zero_phase(&x.iter().rev().copied().collect::<Vec<_>>()).unwrap();
        backward.reverse();
        // The two orders of passes differ at the ends only, by the extension's transient.
        for i in 20..44 {
            assert!((forward[i] - backward[i]).abs() < 1e-3, "point {i}");
        }
    }

    #[test]
    fn bad_settings_are_errors() {
        assert_eq!(
            SosFilter::lowpass(4, 200.0, 360.0).unwrap_err().to_string(),
            "cutoff_hz: 200 Hz at a sampling rate of 360 Hz, expected above 0 and below half the rate"
        );
        assert!(SosFilter::lowpass(0, 40.0, 360.0).is_err());
        assert!(SosFilter::lowpass(4, f64::NAN, 360.0).is_err());
        assert!(SosFilter::bandpass(2, 40.0, 5.0, 360.0).is_err());
        let filter = SosFilter::lowpass(4, 40.0, 360.0).unwrap();
        assert_eq!(filter.pad_len(), 15);
        assert!(filter.zero_phase(&[0.0; 15]).is_err());
        assert!(filter.zero_phase(&[0.0; 16]).is_ok());
    }
}
