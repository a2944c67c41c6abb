//! Signal processing without ECG knowledge: filters, baselines, sampling rates, spectra, wavelets,
//! noise, quality, a stepper for differential equations.
//!
//! Everything here works on plain slices. Filters and spectra compute in f64, whatever the signal
//! is stored in, and follow the conventions of `scipy.signal`, so that numbers can be compared with
//! the field's published ones.

pub mod baseline;
pub mod envelope;
pub mod filter;
pub mod gap;
pub mod hum;
pub mod median;
pub mod mixing;
pub mod noise;
pub mod ode;
pub mod peaks;
pub mod quality;
pub mod resample;
pub mod smooth;
pub mod snr;
pub mod spectrum;
pub mod spline;
pub mod stft;
pub mod symmetric;
pub mod transport;
pub mod wavelet;

/// Divides each lead by its scale, in the order `[n, lead, time]`.
///
/// # Units
/// From mV to multiples of the scale, which is the standard deviation of the lead in training data.
pub fn scaled(ecg: &[f32], scale_mv: &[f32], sig_len: usize) -> Vec<f32> {
    let scales = scale_mv.iter().cycle();
    ecg.chunks(sig_len).zip(scales).flat_map(|(lead, scale)| lead.iter().map(move |v| v / scale)).collect()
}
