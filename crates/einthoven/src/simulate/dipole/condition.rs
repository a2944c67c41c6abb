//! Conditions by name: rhythms, conduction disturbances, shapes and misplaced electrodes, combined with `+`.

use crate::error::{Error, Result};
use crate::simulate::dipole::calibration::Waveform;
use crate::simulate::dipole::injury::{Age, Territory};
use crate::simulate::dipole::shape::Conduction;

pub use crate::simulate::dipole::injury::{Age as InfarctionAge, Territory as InfarctionTerritory};
pub use crate::simulate::dipole::shape::Conduction as ConductionDisturbance;

/// What sets the pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // Each variant is described by its entry in CONDITIONS.
pub enum Rhythm {
    Sinus,
    Bradycardia,
    Tachycardia,
    SinusArrhythmia,
    Fibrillation,
    /// Atrial waves for each beat, 2 to 4; 0 lets the heart rate or chance decide.
    Flutter(u8),
    AtrialPremature,
    VentricularPremature,
    Multifocal,
    Bigeminy,
    Trigeminy,
    Couplets,
    Supraventricular,
    VentricularTachycardia,
    VentricularFibrillation,
    Block1,
    Mobitz1,
    Mobitz2,
    Block3,
    Paced,
    PacedDual,
}

/// What changes the shape of the beats besides conduction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // Each variant is described by its entry in CONDITIONS.
pub enum Morphology {
    LeftHypertrophy,
    RightHypertrophy,
    Infarction(Territory, Age),
    Ischemia,
    LongQt,
    LowVoltage,
}

/// Two electrodes in each other's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)] // Each variant is described by its entry in CONDITIONS.
pub enum Reversal {
    LaRa,
    LaLl,
    RaLl,
    V1V2,
    V1V3,
}

impl Reversal {
    /// Whether limb electrodes are swapped, so that the limb leads do not show the heart's axis.
    pub fn swaps_limbs(self) -> bool {
        matches!(self, Reversal::LaRa | Reversal::LaLl | Reversal::RaLl)
    }

    /// The eight leads as they are recorded, from those that electrodes in their places would record.
    ///
    /// The mean of the limb electrodes stays the same when two of them are swapped, and with it V1 to V6.
    pub fn apply<T: Copy>(self, eight: [T; 8], minus: impl Fn(T, T) -> T, negative: impl Fn(T) -> T) -> [T; 8] {
        let mut leads = eight;
        let (i, ii) = (eight[0], eight[1]);
        match self {
            Reversal::LaRa => (leads[0], leads[1]) = (negative(i), minus(ii, i)),
            Reversal::LaLl => (leads[0], leads[1]) = (ii, i),
            Reversal::RaLl => (leads[0], leads[1]) = (minus(i, ii), negative(ii)),
            Reversal::V1V2 => leads.swap(2, 3),
            Reversal::V1V3 => leads.swap(2, 4),
        }
        leads
    }
}

/// What an entry of the list stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)] // The variants are the types they hold.
pub enum Effect {
    Rhythm(Rhythm),
    Conduction(Conduction),
    Morphology(Morphology),
    Reversal(Reversal),
    Waveform(Waveform),
}

/// An entry of [`CONDITIONS`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry {
    /// Name as typed by users.
    pub name: &'static str,
    /// One line for listings.
    pub summary: &'static str,
    /// What it stands for.
    pub effect: Effect,
}

const fn entry(name: &'static str, summary: &'static str, effect: Effect) -> Entry {
    Entry { name, summary, effect }
}

const fn infarction(name: &'static str, summary: &'static str, territory: Territory, age: Age) -> Entry {
    entry(name, summary, Effect::Morphology(Morphology::Infarction(territory, age)))
}

/// Every condition.
#[rustfmt::skip]
pub static CONDITIONS: &[Entry] = &[
    entry("sinus", "normal sinus rhythm", Effect::Rhythm(Rhythm::Sinus)),
    entry("bradycardia", "sinus rhythm below 60 bpm", Effect::Rhythm(Rhythm::Bradycardia)),
    entry("tachycardia", "sinus rhythm above 100 bpm", Effect::Rhythm(Rhythm::Tachycardia)),
    entry("sinus-arrhythmia", "sinus rhythm that follows the breathing by more than 0.12 s", Effect::Rhythm(Rhythm::SinusArrhythmia)),
    entry("af", "atrial fibrillation: no P, f waves, irregular beats", Effect::Rhythm(Rhythm::Fibrillation)),
    entry("flutter", "atrial flutter, 2 to 4 waves for each beat", Effect::Rhythm(Rhythm::Flutter(0))),
    entry("flutter-2to1", "atrial flutter, every second wave conducted", Effect::Rhythm(Rhythm::Flutter(2))),
    entry("flutter-3to1", "atrial flutter, every third wave conducted", Effect::Rhythm(Rhythm::Flutter(3))),
    entry("flutter-4to1", "atrial flutter, every fourth wave conducted", Effect::Rhythm(Rhythm::Flutter(4))),
    entry("pac", "sinus rhythm with premature atrial beats", Effect::Rhythm(Rhythm::AtrialPremature)),
    entry("pvc", "sinus rhythm with premature ventricular beats of one focus", Effect::Rhythm(Rhythm::VentricularPremature)),
    entry("pvc-multifocal", "sinus rhythm with premature ventricular beats of several foci", Effect::Rhythm(Rhythm::Multifocal)),
    entry("bigeminy", "every second beat ventricular", Effect::Rhythm(Rhythm::Bigeminy)),
    entry("trigeminy", "every third beat ventricular", Effect::Rhythm(Rhythm::Trigeminy)),
    entry("couplets", "ventricular beats in pairs", Effect::Rhythm(Rhythm::Couplets)),
    entry("svt", "supraventricular tachycardia: narrow, regular, no visible P", Effect::Rhythm(Rhythm::Supraventricular)),
    entry("vt", "ventricular tachycardia", Effect::Rhythm(Rhythm::VentricularTachycardia)),
    entry("vf", "ventricular fibrillation: no beats", Effect::Rhythm(Rhythm::VentricularFibrillation)),
    entry("av-block-1", "PR above 200 ms", Effect::Rhythm(Rhythm::Block1)),
    entry("mobitz-1", "PR grows until a beat is dropped (Wenckebach)", Effect::Rhythm(Rhythm::Mobitz1)),
    entry("mobitz-2", "beats are dropped at a fixed PR", Effect::Rhythm(Rhythm::Mobitz2)),
    entry("av-block-3", "atria and ventricles beat on their own", Effect::Rhythm(Rhythm::Block3)),
    entry("paced", "paced from the right ventricle, atria fibrillating", Effect::Rhythm(Rhythm::Paced)),
    entry("paced-dual", "paced from the right ventricle after each P wave", Effect::Rhythm(Rhythm::PacedDual)),
    entry("lbbb", "left bundle branch block", Effect::Conduction(Conduction::LeftBundleBranchBlock)),
    entry("rbbb", "right bundle branch block", Effect::Conduction(Conduction::RightBundleBranchBlock)),
    entry("lafb", "left anterior fascicular block", Effect::Conduction(Conduction::LeftAnteriorFascicularBlock)),
    entry("wpw", "pre-excitation with delta wave", Effect::Conduction(Conduction::PreExcitation)),
    entry("lvh", "left ventricular hypertrophy with strain", Effect::Morphology(Morphology::LeftHypertrophy)),
    entry("rvh", "right ventricular hypertrophy with strain", Effect::Morphology(Morphology::RightHypertrophy)),
    infarction("mi-anterior-acute", "anterior infarction, hours old", Territory::Anterior, Age::Acute),
    infarction("mi-anterior-subacute", "anterior infarction, days old", Territory::Anterior, Age::Subacute),
    infarction("mi-anterior-old", "anterior infarction, months old", Territory::Anterior, Age::Old),
    infarction("mi-inferior-acute", "inferior infarction, hours old", Territory::Inferior, Age::Acute),
    infarction("mi-inferior-subacute", "inferior infarction, days old", Territory::Inferior, Age::Subacute),
    infarction("mi-inferior-old", "inferior infarction, months old", Territory::Inferior, Age::Old),
    infarction("mi-lateral-acute", "lateral infarction, hours old", Territory::Lateral, Age::Acute),
    infarction("mi-lateral-subacute", "lateral infarction, days old", Territory::Lateral, Age::Subacute),
    infarction("mi-lateral-old", "lateral infarction, months old", Territory::Lateral, Age::Old),
    infarction("mi-posterior-acute", "posterior infarction, hours old", Territory::Posterior, Age::Acute),
    infarction("mi-posterior-subacute", "posterior infarction, days old", Territory::Posterior, Age::Subacute),
    infarction("mi-posterior-old", "posterior infarction, months old", Territory::Posterior, Age::Old),
    entry("ischemia", "subendocardial ischemia: ST depression, flat or inverted T", Effect::Morphology(Morphology::Ischemia)),
    entry("long-qt", "QTc above 470 ms", Effect::Morphology(Morphology::LongQt)),
    entry("low-voltage", "limb leads below 0.5 mV, chest leads below 1 mV", Effect::Morphology(Morphology::LowVoltage)),
    entry("reversal-la-ra", "arm electrodes swapped", Effect::Reversal(Reversal::LaRa)),
    entry("reversal-la-ll", "left arm and left leg swapped", Effect::Reversal(Reversal::LaLl)),
    entry("reversal-ra-ll", "right arm and left leg swapped", Effect::Reversal(Reversal::RaLl)),
    entry("reversal-v1-v2", "V1 and V2 swapped", Effect::Reversal(Reversal::V1V2)),
    entry("reversal-v1-v3", "V1 and V3 swapped", Effect::Reversal(Reversal::V1V3)),
    entry("cal-0.5mv", "calibration waveform, QRS of 0.5 mV, the same in all eight leads", Effect::Waveform(Waveform::Calibration { mv: 0.5 })),
    entry("cal-1mv", "calibration waveform, QRS of 1 mV", Effect::Waveform(Waveform::Calibration { mv: 1.0 })),
    entry("cal-2mv", "calibration waveform, QRS of 2 mV", Effect::Waveform(Waveform::Calibration { mv: 2.0 })),
    entry("ane", "analytic ECG: the normal adult, every beat the same", Effect::Waveform(Waveform::Analytic)),
];

/// A combination of conditions, at most one rhythm, one conduction and one reversal.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// As it was asked for.
    pub name: String,
    /// Pace.
    pub rhythm: Rhythm,
    /// Conduction disturbance.
    pub conduction: Option<Conduction>,
    /// Changes of shape, in the order asked for.
    pub morphologies: Vec<Morphology>,
    /// Swapped electrodes.
    pub reversal: Option<Reversal>,
    /// A test waveform instead of a patient.
    pub waveform: Option<Waveform>,
}

impl Condition {
    /// Reads names joined by `+`, such as `af+rbbb`.
    ///
    /// # Errors
    /// [`Error::Unknown`] for a name that is not in [`CONDITIONS`]; [`Error::Config`] for two of one kind, and for
    /// what cannot be together.
    pub fn parse(text: &str) -> Result<Condition> {
        let mut condition = Condition {
            name: text.to_string(),
            rhythm: Rhythm::Sinus,
            conduction: None,
            morphologies: Vec::new(),
            reversal: None,
            waveform: None,
        };
        let mut rhythm = None;
        let refuse = |reason: String| Err(Error::config("rhythm", format!("{text}: {reason}")));
        for name in text.split('+').map(str::trim) {
            let entry = CONDITIONS.iter().find(|entry| entry.name == name).ok_or_else(|| Error::Unknown {
                kind: "rhythm",
                name: name.to_string(),
                known: CONDITIONS.iter().map(|entry| entry.name.to_string()).collect(),
            })?;
            let is_second = match entry.effect {
                Effect::Rhythm(value) => rhythm.replace(value).is_some(),
                Effect::Conduction(value) => condition.conduction.replace(value).is_some(),
                Effect::Reversal(value) => condition.reversal.replace(value).is_some(),
                Effect::Waveform(value) => condition.waveform.replace(value).is_some(),
                Effect::Morphology(value) => {
                    let is_known = condition.morphologies.contains(&value);
                    condition.morphologies.push(value);
                    is_known
                }
            };
            if is_second {
                return refuse(format!("\"{name}\" is the second of its kind, expected at most one"));
            }
        }
        if condition.waveform.is_some() && text.contains('+') {
            return refuse("a test waveform stands alone".into());
        }
        condition.rhythm = rhythm.unwrap_or(Rhythm::Sinus);
        let is_ventricular = matches!(
            condition.rhythm,
            Rhythm::VentricularTachycardia | Rhythm::VentricularFibrillation | Rhythm::Paced | Rhythm::PacedDual
        );
        if is_ventricular && (condition.conduction.is_some() || condition.changes_conducted_beats()) {
            return refuse("its beats do not begin in the atria, so conduction and shape cannot be chosen".into());
        }
        if condition.conduction == Some(Conduction::PreExcitation) && !condition.has_pr() {
            return refuse("pre-excitation shows only where P waves are conducted".into());
        }
        Ok(condition)
    }

    /// Whether each conducted beat has a P wave at a fixed distance, so that a PR interval can be asked for.
    pub fn has_pr(&self) -> bool {
        !matches!(
            self.rhythm,
            Rhythm::Fibrillation
                | Rhythm::Flutter(_)
                | Rhythm::Supraventricular
                | Rhythm::VentricularTachycardia
                | Rhythm::VentricularFibrillation
                | Rhythm::Mobitz1
                | Rhythm::Block3
                | Rhythm::Paced
        )
    }

    /// Whether there are beats at all.
    pub fn has_beats(&self) -> bool {
        self.rhythm != Rhythm::VentricularFibrillation
    }

    fn changes_conducted_beats(&self) -> bool {
        self.morphologies.iter().any(|m| !matches!(m, Morphology::LongQt | Morphology::LowVoltage))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_parse_to_their_effect() {
        for (k, entry) in CONDITIONS.iter().enumerate() {
            assert!(CONDITIONS[..k].iter().all(|other| other.name != entry.name), "{}", entry.name);
            Condition::parse(entry.name).unwrap();
        }
        let both = Condition::parse("af+rbbb+low-voltage").unwrap();
        assert_eq!((both.rhythm, both.conduction), (Rhythm::Fibrillation, Some(Conduction::RightBundleBranchBlock)));
        assert_eq!(both.morphologies, [Morphology::LowVoltage]);
    }

    #[test]
    fn contradictions_are_refused_in_one_line() {
        for (text, part) in [
            ("af+vt", "second of its kind"),
            ("lbbb+rbbb", "second of its kind"),
            ("vt+lbbb", "do not begin in the atria"),
            ("wpw+af", "pre-excitation"),
            ("ane+af", "stands alone"),
            ("asystole", "asystole"),
        ] {
            let message = Condition::parse(text).unwrap_err().to_string();
            assert!(message.contains(part) && !message.contains('\n'), "{text}: {message}");
        }
    }
}
