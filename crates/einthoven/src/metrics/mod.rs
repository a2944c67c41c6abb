//! Numbers that judge generators and classifiers: pure functions of arrays in double precision.
//!
//! No model, file, clock or progress bar is in here. [`METRICS`] is the list that the command shows;
//! what a metric needs beyond arrays (records, encoders, protocols) belongs into the evaluation.
//!
//! - [`classification`], [`ranking`], [`calibration`]: predicted probabilities against classes
//! - [`bootstrap`], [`score_bootstrap`], [`hypothesis`], [`special`]: how sure a number is, and what may be claimed
//! - [`multilabel`]: scores of labels, any number of which may be true; [`agreement`]: raters among each other
//! - [`distance`], [`kid`], [`transport`], [`privacy`]: sets of signals against each other; [`dtw`]: two signals
//! - [`univariate`], [`association`]: samples of one number, and pairs of numbers

pub mod agreement;
pub mod association;
pub mod bootstrap;
pub mod calibration;
pub mod classification;
pub mod distance;
pub mod dtw;
pub mod hypothesis;
pub mod kid;
mod list;
pub mod multilabel;
pub mod privacy;
pub mod ranking;
pub mod score_bootstrap;
pub mod special;
pub mod transport;
pub mod univariate;

pub use list::{Better, METRICS, Metric};
