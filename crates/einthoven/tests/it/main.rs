//! The integration tests: one binary, one module per area.

mod dataset;
#[cfg(feature = "fetch")]
mod fetch;
mod guard;
mod metrics;
mod signal;

#[cfg(feature = "nn")]
mod kernel;
