//! The dipole simulator: twelve-lead ECGs of any rhythm, rate and length, with exact truth.
//!
//! The heart is one dipole in space. Each wave (P, QRS, T) is a group of Gaussian kernels of that vector, in
//! milliseconds ([`kernel`]); the lead field of the torso turns the vector into the eight independent leads
//! ([`lead_field`]), and the other four follow from I and II, so that the laws of Einthoven and Goldberger hold.
//! A [`condition`] chooses rhythm and shapes, a [`request`] may ask for heart rate, PR, QRS, QTc and axis in numbers,
//! and a [`record::Simulation`] yields the record piece by piece, with the truth of each piece.
//!
//! Left out: anything between the dipole and the skin that is not linear, and the slow kernels of the published table
//! (see [`kernel`]). What is learned on simulated records says nothing about patients.
//!
//! # Reference
//! Sameni, Clifford, Jutten, Shamsollahi 2007, "Multichannel ECG and noise modeling: application to maternal and fetal
//! ECG signals"; Dower 1980 for the lead field.

pub mod calibration;
pub mod condition;
mod continuous;
mod ectopic;
mod injury;
pub mod kernel;
pub mod lead_field;
pub mod noise;
mod patient;
mod planner;
pub mod record;
pub mod recorder;
pub mod request;
mod resolve;
mod shape;
pub mod truth;
pub mod write;

pub use condition::{CONDITIONS, Condition};
pub use patient::{Patient, Sex};
pub use record::{Chunk, SimulatedEcg, Simulation};
pub use request::Request;
pub use truth::Truth;
