//! Synthetic electrocardiograms: generate, mix with real ones, train on them, and say with error
//! bars whether they are realistic, useful and private.
//!
//! The modules in reading order: records, signals, the simulator, data sets, metrics, networks,
//! diffusion, generators and classifiers, evaluation, reports, experiments.

pub mod config;
pub mod error;
pub mod registry;
pub mod run;
pub mod seed;

pub mod record;

pub mod signal;

pub mod beat;
pub mod simulate;

pub mod dataset;
pub mod metrics;

#[cfg(feature = "nn")]
pub mod nn;

#[cfg(feature = "nn")]
pub mod diffusion;

#[cfg(feature = "nn")]
pub mod generators;

#[cfg(feature = "nn")]
pub mod classifiers;

pub mod delineators;

pub mod evaluation;

pub mod report;

#[cfg(feature = "nn")]
pub mod experiment;

pub use error::{Error, InputError, Position, Result};
pub use seed::{Seed, Stream};
