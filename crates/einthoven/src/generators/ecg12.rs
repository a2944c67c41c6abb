//! Twelve-lead records by finding, rate, intervals, axis, age and sex, by weights that come with the library: a 16-step
//! student that learned from the dipole simulator and from PTB-XL (preset `ecg12`).

use super::shipped_model::ShippedSpec;
use super::time_diffusion;

/// Entry of the list.
pub static SPEC: ShippedSpec = ShippedSpec {
    name: "ecg12",
    summary: "twelve-lead records of 10 s by finding, rate and intervals, 16 steps, with weights that come along",
    reference: time_diffusion::SPEC.reference,
    conditions: &["label", "hr", "pr", "qrs", "qtc", "axis", "age", "sex"],
    // Ten seconds; windows of the training end before a fault of the database.
    sig_len: Some(1000),
};
