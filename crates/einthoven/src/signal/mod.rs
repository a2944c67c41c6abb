//! Signal processing without ECG knowledge: filters, spectra, noise, a stepper for differential
//! equations.
//!
//! Everything here works on plain slices. Filters and spectra compute in f64, whatever the signal
//! is stored in, and follow the conventions of `scipy.signal`, so that numbers can be compared with
//! the field's published ones.

pub mod filter;
pub mod noise;
pub mod ode;
pub mod snr;
pub mod spectrum;
