//! The integration tests: one binary, one module per area.

mod bad_wfdb;
mod checkpoint;
mod config;
mod dataset;
#[cfg(feature = "fetch")]
mod fetch;
mod folder;
mod guard;
#[cfg(feature = "nn")]
mod kernel;
mod metrics;
mod mitdb;
#[cfg(feature = "nn")]
mod parity;
#[cfg(feature = "nn")]
mod presets;
mod report;
mod resume;
mod run;
#[cfg(feature = "nn")]
mod sampler;
mod signal;
mod simulate;
mod tidy;
mod toy;
mod wfdb;
