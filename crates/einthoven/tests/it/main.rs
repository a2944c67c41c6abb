//! The integration tests: one binary, one module per area.

mod config;
mod dataset;
mod guard;
mod metrics;
mod report;
mod run;
mod signal;
mod simulate;
mod toy;

#[cfg(feature = "nn")]
mod kernel;
#[cfg(feature = "nn")]
mod parity;
#[cfg(feature = "nn")]
mod sampler;
