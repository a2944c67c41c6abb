//! The integration tests: one binary, one module per area.

mod dataset;
mod guard;
mod metrics;
mod report;
mod signal;
mod simulate;

#[cfg(feature = "nn")]
mod kernel;
#[cfg(feature = "nn")]
mod parity;
#[cfg(feature = "nn")]
mod sampler;
mod config;
mod run;
mod toy;
