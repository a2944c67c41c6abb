//! The integration tests: one binary, one module per area.

mod metrics;
mod signal;

#[cfg(feature = "nn")]
mod kernel;
