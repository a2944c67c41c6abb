//! The integration tests: one binary, one module per area.

#[cfg(feature = "nn")]
mod attention;
mod bad_wfdb;
mod beat;
mod catalog;
mod check;
mod checkpoint;
#[cfg(feature = "nn")]
mod conditions;
mod config;
#[cfg(feature = "nn")]
mod cross_entropy;
mod dataset;
#[cfg(feature = "nn")]
mod delineation;
#[cfg(feature = "nn")]
mod diffusion_ts;
mod dipole;
#[cfg(feature = "nn")]
mod distill;
#[cfg(feature = "nn")]
mod editing;
#[cfg(feature = "nn")]
mod evaluate;
#[cfg(feature = "fetch")]
mod fetch;
mod folder;
mod formats;
#[cfg(feature = "nn")]
mod gpu;
mod guard;
#[cfg(feature = "nn")]
mod imports;
#[cfg(feature = "nn")]
mod kernel;
mod layout;
mod metrics;
mod mitdb;
mod neurokit;
#[cfg(feature = "nn")]
mod onnx;
#[cfg(feature = "nn")]
mod ops;
#[cfg(feature = "nn")]
mod parity;
#[cfg(feature = "nn")]
mod presets;
mod reference;
mod report;
mod resume;
mod rhythms;
mod run;
#[cfg(feature = "nn")]
mod s4;
#[cfg(feature = "nn")]
mod sampler;
mod sheet;
mod signal;
mod simulate;
mod tidy;
mod torch_zip;
mod toy;
mod wfdb;
