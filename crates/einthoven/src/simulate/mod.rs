//! Simulated ECGs from the dynamical model of McSharry et al.: whole records, and the cohort of
//! labeled beats that is the embedded default data set.
//!
//! A simulator shows that the machinery works without a download; what is learned on it says
//! nothing about patients.

pub mod beats;
pub mod dipole;
pub mod ecgsyn;
mod morphology;
mod plan;
mod rhythm;
pub mod rr;
mod wave;
