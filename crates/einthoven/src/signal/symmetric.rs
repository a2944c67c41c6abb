//! Short filters without delay, for signals in f32: Gaussians and what is derived from them.
//!
//! A filter is even or odd around its middle, so that it has no phase, and is applied to long stretches of points at
//! once. Recursive filters with steep edges are in [`filter`](super::filter).

/// A filter whose taps mirror around lag 0, with or without a change of sign.
#[derive(Debug, Clone, PartialEq)]
pub struct SymmetricFilter {
    /// Taps at lags 0, 1, 2, ...; the first is 0 in an odd filter.
    taps: Vec<f32>,
    is_odd: bool,
}

impl SymmetricFilter {
    /// An even filter from a function of time in seconds, which is taken to vanish beyond `reach_s`.
    pub fn even(reach_s: f64, fs_hz: f64, shape: impl Fn(f64) -> f64) -> SymmetricFilter {
        let reach = (reach_s * fs_hz).ceil() as usize;
        SymmetricFilter { taps: (0..=reach).map(|lag| shape(lag as f64 / fs_hz) as f32).collect(), is_odd: false }
    }

    /// An odd filter: the response to what comes after minus the response to what came before.
    pub fn odd(reach_s: f64, fs_hz: f64, shape: impl Fn(f64) -> f64) -> SymmetricFilter {
        let reach = (reach_s * fs_hz).ceil() as usize;
        let tap = |lag: usize| if lag == 0 { 0.0 } else { shape(lag as f64 / fs_hz) as f32 };
        SymmetricFilter { taps: (0..=reach).map(tap).collect(), is_odd: true }
    }

    /// Mean over a Gaussian of standard deviation `sigma_s`, in seconds.
    pub fn gaussian(sigma_s: f64, fs_hz: f64) -> SymmetricFilter {
        let bell = |t: f64| (-0.5 * (t / sigma_s).powi(2)).exp();
        SymmetricFilter::even(3.0 * sigma_s, fs_hz, bell).with_sum(1.0)
    }

    /// Slope, per second, of the mean over a Gaussian.
    pub fn slope(sigma_s: f64, fs_hz: f64) -> SymmetricFilter {
        let mut filter = SymmetricFilter::odd(3.0 * sigma_s, fs_hz, |t| t * (-0.5 * (t / sigma_s).powi(2)).exp());
        // A line that rises by 1 per second has slope 1.
        let response: f64 =
            filter.taps.iter().enumerate().map(|(lag, &tap)| 2.0 * f64::from(tap) * lag as f64 / fs_hz).sum();
        filter.taps.iter_mut().for_each(|tap| *tap = (f64::from(*tap) / response) as f32);
        filter
    }

    /// Second derivative of a Gaussian with its sign turned: it answers to a hump of its own width and to no line.
    /// A hump of the Gaussian's shape and height 1 gives about 1.
    pub fn hump(sigma_s: f64, fs_hz: f64) -> SymmetricFilter {
        let shape = |t: f64| (1.0 - (t / sigma_s).powi(2)) * (-0.5 * (t / sigma_s).powi(2)).exp();
        let mut filter = SymmetricFilter::even(4.0 * sigma_s, fs_hz, shape);
        let bell = |t: f64| (-0.5 * (t / sigma_s).powi(2)).exp();
        let both = |lag: usize| if lag == 0 { 1.0 } else { 2.0 };
        let weight: f64 = (0..filter.taps.len()).map(|lag| both(lag) * bell(lag as f64 / fs_hz)).sum();
        let sum: f64 = filter.taps.iter().enumerate().map(|(lag, &tap)| both(lag) * f64::from(tap)).sum();
        let shape = |lag: usize| f64::from(filter.taps[lag]) - sum / weight * bell(lag as f64 / fs_hz);
        let taps: Vec<f64> = (0..filter.taps.len()).map(shape).collect();
        let response: f64 = taps.iter().enumerate().map(|(lag, tap)| both(lag) * tap * bell(lag as f64 / fs_hz)).sum();
        filter.taps = taps.iter().map(|tap| (tap / response) as f32).collect();
        filter
    }

    /// Scaled so that the response to a constant 1 is `sum`.
    fn with_sum(mut self, sum: f32) -> SymmetricFilter {
        let now = self.taps[0] + 2.0 * self.taps[1..].iter().sum::<f32>();
        self.taps.iter_mut().for_each(|tap| *tap *= sum / now);
        self
    }

    /// The filtered signal; both ends are extended by their values.
    ///
    /// # Shape
    /// The result is as long as `x`.
    pub fn apply(&self, x: &[f32]) -> Vec<f32> {
        let reach = self.taps.len() - 1;
        let Some((&first, &last)) = x.first().zip(x.last()) else { return Vec::new() };
        let mut padded = Vec::with_capacity(x.len() + 2 * reach);
        padded.resize(reach, first);
        padded.extend_from_slice(x);
        padded.resize(x.len() + 2 * reach, last);
        let mut filtered = vec![0f32; x.len()];
        // Blocks stay in the nearest cache; the inner loops run over consecutive points.
        const BLOCK: usize = 2048;
        for (block, out) in filtered.chunks_mut(BLOCK).enumerate() {
            let (from, n) = (block * BLOCK + reach, out.len());
            for (out, &v) in out.iter_mut().zip(&padded[from..from + n]) {
                *out = self.taps[0] * v;
            }
            for (lag, &tap) in self.taps.iter().enumerate().skip(1) {
                let before = &padded[from - lag..from - lag + n];
                let after = &padded[from + lag..from + lag + n];
                if self.is_odd {
                    out.iter_mut().zip(before).zip(after).for_each(|((out, &p), &q)| *out += tap * (q - p));
                } else {
                    out.iter_mut().zip(before).zip(after).for_each(|((out, &p), &q)| *out += tap * (p + q));
                }
            }
        }
        filtered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FS_HZ: f64 = 250.0;

    #[test]
    fn filters_answer_to_constants_lines_and_humps_as_their_definitions_say() {
        let line: Vec<f32> = (0..400).map(|k| 3.0 + 2.0 * k as f32 / FS_HZ as f32).collect();
        let middle = |filter: SymmetricFilter, x: &[f32]| f64::from(filter.apply(x)[200]);
        // f32 taps: a few units in the last place of values near 5.
        assert!((middle(SymmetricFilter::gaussian(0.01, FS_HZ), &line) - 4.6).abs() < 1e-5);
        assert!((middle(SymmetricFilter::slope(0.01, FS_HZ), &line) - 2.0).abs() < 1e-4);
        assert!(middle(SymmetricFilter::hump(0.02, FS_HZ), &line).abs() < 1e-4);
        let bell: Vec<f32> =
            (0..400).map(|k| (-0.5 * ((f64::from(k) - 200.0) / FS_HZ / 0.02).powi(2)).exp() as f32).collect();
        let response = SymmetricFilter::hump(0.02, FS_HZ).apply(&bell);
        assert!((response[200] - 1.0).abs() < 1e-4 && response.iter().all(|&v| v <= response[200]));
    }

    #[test]
    fn blocks_do_not_show_in_a_long_signal() {
        let x: Vec<f32> = (0..5000).map(|k| ((k * k) as f32 * 1e-3).sin()).collect();
        let filter = SymmetricFilter::gaussian(0.02, FS_HZ);
        let whole = filter.apply(&x);
        for at in [2046usize, 2047, 2048, 2049, 4095, 4096] {
            let taps = &filter.taps;
            let plain: f64 =
                (1..taps.len()).map(|lag| f64::from(taps[lag]) * f64::from(x[at - lag] + x[at + lag])).sum::<f64>()
                    + f64::from(taps[0] * x[at]);
            assert!((f64::from(whole[at]) - plain).abs() < 1e-5, "{at}");
        }
    }
}
