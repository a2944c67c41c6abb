//! The integration tests: one binary, one module per area.

#[cfg(feature = "nn")]
mod kernel;
