//! Numbers that judge generators and classifiers: pure functions of arrays in double precision.
//!
//! No model, file, clock or progress bar is in here. [`METRICS`] is the list that the command shows;
//! what a metric needs beyond arrays (records, encoders, protocols) belongs into the evaluation.

pub mod bootstrap;
pub mod calibration;
pub mod classification;
pub mod ranking;
pub mod special;
