//! Numbers that judge generators and classifiers: pure functions of arrays in double precision.
//!
//! No model, file, clock or progress bar is in here. [`METRICS`] is the list that the command shows;
//! what a metric needs beyond arrays (records, encoders, protocols) belongs into the evaluation.
//!
//! - [`classification`], [`ranking`], [`calibration`]: predicted probabilities against classes
//! - [`bootstrap`], [`hypothesis`], [`special`]: how sure a number is, and what may be claimed
//! - [`distance`], [`privacy`]: sets of signals against each other

pub mod bootstrap;
pub mod calibration;
pub mod classification;
pub mod distance;
pub mod hypothesis;
mod list;
pub mod privacy;
pub mod ranking;
pub mod special;

pub use list::{Better, METRICS, Metric};
