//! The integration tests: one binary, one module per area.

mod dataset;
mod guard;
mod metrics;
mod signal;

#[cfg(feature = "nn")]
mod kernel;
mod config;
mod run;
mod toy;
