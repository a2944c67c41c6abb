//! Knowledge of the ECG: beats and what can be measured on them.
//!
//! Everything takes plain slices in mV and positions in points, so that it serves records, data sets
//! and simulated signals alike.

pub mod axis;
pub mod ec57;
pub mod hrv;
pub mod interval;
pub mod rpeak;
pub mod segment;
pub mod template;
