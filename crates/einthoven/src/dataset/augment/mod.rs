//! Classical augmentations: changes of a beat that leave its label true.
//!
//! They act on copies of training items only, as the control that every synthetic row must beat. The
//! change of a copy depends on the seed and on the number of the copy, not on what else is drawn.

mod jitter;
mod scaling;
mod time_warp;

use serde_json::{Value, json};

use super::mix::{self, Plan};
use super::{Dataset, Split, guard};
use crate::error::{Error, Result};
use crate::seed::{Seed, Stream};

pub use jitter::Jitter;
pub use scaling::Scaling;
pub use time_warp::TimeWarp;

/// An augmentation with its settings.
pub trait Augmentation: Sync {
    /// Name, as typed by users.
    fn name(&self) -> &'static str;
    /// One line for listings.
    fn summary(&self) -> &'static str;
    /// Where it is described.
    fn reference(&self) -> &'static str;
    /// Settings by name, for the provenance.
    fn settings(&self) -> Value;
    /// Changes one item, `[lead, time]` in mV.
    fn apply(&self, ecg: &mut [f32], sig_len: usize, stream: &mut Stream);
}

/// Every augmentation, with the settings used by default.
pub static AUGMENTATIONS: &[&dyn Augmentation] = &[&Jitter::DEFAULT, &Scaling::DEFAULT, &TimeWarp::DEFAULT];

/// The augmentation of that name with its default settings.
///
/// # Errors
/// [`Error::Unknown`] with the known names.
pub fn augmentation(name: &str) -> Result<&'static dyn Augmentation> {
    AUGMENTATIONS.iter().find(|augmentation| augmentation.name() == name).copied().ok_or_else(|| Error::Unknown {
        kind: "augmentation",
        name: name.into(),
        known: AUGMENTATIONS.iter().map(|augmentation| augmentation.name().into()).collect(),
    })
}

/// Grows the classes of the training part by augmented copies, by the same counts as
/// [`mix::mix`] under the same plan. Each copy goes through all of `augmentations` in turn.
///
/// A copy keeps record, patient and RR intervals: it is still that patient's beat.
///
/// # Errors
/// [`Error::Guard`] `L6` if synthetic items are in validation or test; [`Error::Data`] unless each item
/// has exactly one label.
pub fn augment(real: &Dataset, plan: Plan, augmentations: &[&dyn Augmentation], seed: Seed) -> Result<Dataset> {
    guard::check_real_evaluation(real)?;
    let counts = real.class_counts(Split::Train)?;
    let added = plan.added(&counts);
    let mut copies = real.select(&mix::copies(real, &added, seed)?);
    let size = copies.leads.len() * copies.sig_len;
    for (k, ecg) in copies.ecg.chunks_mut(size.max(1)).enumerate() {
        for augmentation in augmentations {
            let item = seed.purpose("augment").index(k as u64).purpose(augmentation.name());
            augmentation.apply(ecg, real.sig_len, &mut item.stream());
        }
    }
    let mut out = real.clone();
    out.append(&copies)?;
    mix::write_provenance(&mut out, "augmented copies", &counts, &added);
    out.provenance["mix"]["augmentations"] = augmentations
        .iter()
        .map(|augmentation| json!({ "name": augmentation.name(), "settings": augmentation.settings() }))
        .collect();
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A beat: a narrow wave in the middle and a broad one after it, on two leads.
    fn beat() -> Vec<f32> {
        let wave = |t: f64, center: f64, width: f64| (-((t - center) / width).powi(2)).exp();
        let lead = |gain: f64| {
            (0..256).map(move |t| (gain * (wave(t as f64, 128.0, 5.0) + 0.3 * wave(t as f64, 200.0, 20.0))) as f32)
        };
        lead(1.0).chain(lead(-0.5)).collect()
    }

    #[test]
    fn names_are_unique_and_every_entry_changes_a_beat_reproducibly_within_reason() {
        let seed = Seed::new(3);
        for (k, augmentation) in AUGMENTATIONS.iter().enumerate() {
            assert!(AUGMENTATIONS[..k].iter().all(|other| other.name() != augmentation.name()));
            assert!(!augmentation.reference().is_empty());
            let draw = |index: u64| {
                let mut ecg = beat();
                augmentation.apply(&mut ecg, 256, &mut seed.index(index).stream());
                ecg
            };
            assert_eq!(draw(1), draw(1));
            assert_ne!(draw(1), draw(2), "{}", augmentation.name());
            for index in 0..50 {
                let ecg = draw(index);
                assert!(ecg.iter().all(|x| x.is_finite() && x.abs() < 2.0), "{}", augmentation.name());
                let peak = (0..256).max_by(|&a, &b| ecg[a].total_cmp(&ecg[b])).expect("points");
                assert!((peak as i64 - 128).abs() <= 6, "{} moved R to {peak}", augmentation.name());
            }
        }
        assert!(matches!(augmentation("mixup"), Err(Error::Unknown { .. })));
    }
}
