//! Protocols over data sets: what is compared with what, on which part, with which intervals.
//!
//! Evaluation takes data sets and predictions, never a generator: any file of synthetic ECGs can be
//! judged.

pub mod averaged;
pub mod delivery;
pub mod fidelity;
pub mod physiology;
pub mod privacy;
pub mod utility;
