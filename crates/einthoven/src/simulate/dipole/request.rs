//! What a user may ask for, and which requests contradict themselves.

use crate::error::{Error, Result};
use crate::simulate::dipole::condition::{Condition, Morphology, Reversal, Rhythm};
use crate::simulate::dipole::noise::NoiseMix;
use crate::simulate::dipole::patient::Sex;
use crate::simulate::dipole::recorder::Recorder;
use crate::simulate::dipole::shape::Conduction;

/// Shortest record, s.
pub const SHORTEST_S: f64 = 5.0;

/// A record to simulate. What is `None` is drawn for the patient.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Rhythm, conduction, shapes, swapped electrodes.
    pub condition: Condition,
    /// Mean heart rate of the ventricles, bpm.
    pub hr_bpm: Option<f64>,
    /// PR interval, ms.
    pub pr_ms: Option<f64>,
    /// QRS duration, ms.
    pub qrs_ms: Option<f64>,
    /// QTc after Fridericia, ms.
    pub qtc_ms: Option<f64>,
    /// Frontal axis of the net area of QRS, degrees.
    pub axis_deg: Option<f64>,
    /// Signal-to-noise ratio over the eight independent leads, dB; `None` leaves the record without noise.
    pub snr_db: Option<f64>,
    /// What the noise is made of.
    pub noise: NoiseMix,
    /// Sampling rate, Hz.
    pub fs_hz: f64,
    /// Length, s.
    pub seconds: f64,
    /// Age, years.
    pub age_years: Option<f64>,
    /// Sex.
    pub sex: Option<Sex>,
    /// What the recording device adds and takes away.
    pub recorder: Recorder,
}

impl Request {
    /// Ten seconds at 500 Hz, without noise, of a condition by name.
    ///
    /// # Errors
    /// As [`Condition::parse`].
    pub fn new(condition: &str) -> Result<Request> {
        Ok(Request {
            condition: Condition::parse(condition)?,
            hr_bpm: None,
            pr_ms: None,
            qrs_ms: None,
            qtc_ms: None,
            axis_deg: None,
            snr_db: None,
            noise: NoiseMix::default(),
            fs_hz: 500.0,
            seconds: 10.0,
            age_years: None,
            sex: None,
            recorder: Recorder::default(),
        })
    }

    /// Number of frames.
    pub fn sig_len(&self) -> usize {
        libm::round(self.seconds * self.fs_hz) as usize
    }

    /// Refuses what cannot be, naming the setting.
    ///
    /// # Errors
    /// [`Error::Config`] with the setting as its key.
    pub fn validate(&self) -> Result<()> {
        let within = |key: &str, value: f64, low: f64, high: f64, unit: &str| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(Error::config(
                key,
                format!("{value} {unit} with {}, expected {low} to {high} {unit}", self.condition.name),
            ))
        };
        within("fs", self.fs_hz, 100.0, 1000.0, "Hz")?;
        within("seconds", self.seconds, SHORTEST_S, 48.0 * 3600.0, "s")?;
        if let Some(snr_db) = self.snr_db {
            within("snr", snr_db, -20.0, 80.0, "dB")?;
        }
        if let Some(age) = self.age_years {
            within("age", age, 18.0, 100.0, "years")?;
        }
        let limits = Limits::of(&self.condition);
        let asked = [
            ("hr", self.hr_bpm, limits.hr_bpm, "bpm"),
            ("pr", self.pr_ms, limits.pr_ms, "ms"),
            ("qrs", self.qrs_ms, limits.qrs_ms, "ms"),
            ("qtc", self.qtc_ms, limits.qtc_ms, "ms"),
            ("axis", self.axis_deg, limits.axis_deg, "degrees"),
        ];
        for (key, value, range, unit) in asked {
            let Some(value) = value else { continue };
            let Some(Range { allowed: [low, high], .. }) = range else {
                return Err(Error::config(
                    key,
                    format!("{value} {unit}, but {} has no such value to set", self.condition.name),
                ));
            };
            within(key, value, low, high, unit)?;
        }
        self.noise.validate()?;
        self.recorder.validate(self.fs_hz, self.seconds)
    }
}

/// What a value may be, and what it is drawn from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Range {
    /// Smallest and largest value that may be asked for.
    pub allowed: [f64; 2],
    /// Smallest and largest value that is drawn; `None` takes the patient's own.
    pub drawn: Option<[f64; 2]>,
}

/// The ranges of a condition; `None` where it has no such value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limits {
    pub hr_bpm: Option<Range>,
    pub pr_ms: Option<Range>,
    pub qrs_ms: Option<Range>,
    pub qtc_ms: Option<Range>,
    pub axis_deg: Option<Range>,
}

impl Limits {
    /// The ranges of a condition.
    pub fn of(condition: &Condition) -> Limits {
        let drawn = |allowed: [f64; 2], drawn: [f64; 2]| Some(Range { allowed, drawn: Some(drawn) });
        let own = |allowed: [f64; 2]| Some(Range { allowed, drawn: None });
        if condition.waveform.is_some() {
            return Limits::of_waveform(condition);
        }
        let hr_bpm = match condition.rhythm {
            Rhythm::Sinus => own([25.0, 250.0]),
            Rhythm::Bradycardia => drawn([20.0, 59.9], [40.0, 56.0]),
            Rhythm::Tachycardia => drawn([100.1, 220.0], [104.0, 150.0]),
            Rhythm::SinusArrhythmia => drawn([40.0, 100.0], [55.0, 75.0]),
            Rhythm::Fibrillation => drawn([30.0, 200.0], [60.0, 130.0]),
            Rhythm::Flutter(0) => drawn([60.0, 170.0], [72.0, 152.0]),
            Rhythm::Flutter(ratio) => {
                let ratio = f64::from(ratio);
                drawn([230.0 / ratio, 350.0 / ratio], [270.0 / ratio, 320.0 / ratio])
            }
            Rhythm::AtrialPremature => drawn([35.0, 130.0], [60.0, 90.0]),
            Rhythm::VentricularPremature
            | Rhythm::Multifocal
            | Rhythm::Bigeminy
            | Rhythm::Trigeminy
            | Rhythm::Couplets => drawn([35.0, 120.0], [58.0, 88.0]),
            Rhythm::Supraventricular => drawn([130.0, 250.0], [150.0, 210.0]),
            Rhythm::VentricularTachycardia => drawn([100.1, 250.0], [140.0, 195.0]),
            Rhythm::VentricularFibrillation => None,
            Rhythm::Block1 => drawn([30.0, 120.0], [58.0, 82.0]),
            Rhythm::Mobitz1 => drawn([30.0, 90.0], [45.0, 68.0]),
            Rhythm::Mobitz2 => drawn([25.0, 80.0], [40.0, 62.0]),
            Rhythm::Block3 => drawn([20.0, 65.0], [30.0, 50.0]),
            Rhythm::Paced | Rhythm::PacedDual => drawn([35.0, 140.0], [60.0, 78.0]),
        };
        let pr_ms = match (condition.has_pr(), condition.rhythm, condition.conduction) {
            (false, _, _) => None,
            (true, _, Some(Conduction::PreExcitation)) => drawn([70.0, 120.0], [86.0, 114.0]),
            (true, Rhythm::Block1, _) => drawn([200.1, 450.0], [216.0, 310.0]),
            (true, Rhythm::PacedDual, _) => drawn([90.0, 280.0], [140.0, 190.0]),
            _ => own([80.0, 400.0]),
        };
        let is_ventricular =
            matches!(condition.rhythm, Rhythm::VentricularTachycardia | Rhythm::Paced | Rhythm::PacedDual);
        let (qrs_ms, axis_deg) = match condition.conduction {
            _ if !condition.has_beats() => (None, None),
            _ if is_ventricular => (drawn([110.0, 240.0], [140.0, 168.0]), None),
            None => (own([50.0, 200.0]), own([-180.0, 180.0])),
            Some(Conduction::LeftBundleBranchBlock) => {
                (drawn([120.0, 220.0], [132.0, 164.0]), drawn([-180.0, 180.0], [-30.0, 20.0]))
            }
            Some(Conduction::RightBundleBranchBlock) => (drawn([110.0, 200.0], [122.0, 146.0]), own([-180.0, 180.0])),
            Some(Conduction::LeftAnteriorFascicularBlock) => {
                (drawn([60.0, 120.0], [92.0, 112.0]), drawn([-90.0, -30.0], [-72.0, -46.0]))
            }
            Some(Conduction::PreExcitation) => (drawn([100.0, 180.0], [116.0, 142.0]), own([-180.0, 180.0])),
        };
        let axis_deg = match (axis_deg, &condition.morphologies[..]) {
            (Some(range), _) if condition.reversal.is_some_and(Reversal::swaps_limbs) => {
                // The patient's own axis is drawn, but the leads will not show it.
                Some(Range { allowed: [f64::NAN; 2], ..range })
            }
            (Some(_), morphologies) if morphologies.contains(&Morphology::RightHypertrophy) => {
                drawn([90.0, 180.0], [104.0, 138.0])
            }
            (Some(Range { drawn: None, allowed }), morphologies) => {
                let drawn = morphologies.iter().find_map(|morphology| match morphology {
                    Morphology::LeftHypertrophy => Some([-28.0, 20.0]),
                    Morphology::Infarction(territory, _) => Some(territory.axis_deg()),
                    _ => None,
                });
                Some(Range { allowed, drawn })
            }
            (range, _) => range,
        };
        let qtc_ms = if !condition.has_beats() {
            None
        } else if condition.morphologies.contains(&Morphology::LongQt) {
            drawn([470.1, 700.0], [484.0, 560.0])
        } else {
            own([280.0, 650.0])
        };
        Limits { hr_bpm, pr_ms, qrs_ms, qtc_ms, axis_deg }
    }

    /// Test waveforms take any value that their shape can have; the calibration waveform only a rate.
    fn of_waveform(condition: &Condition) -> Limits {
        let own = |allowed: [f64; 2]| Some(Range { allowed, drawn: None });
        let is_analytic = condition.waveform == Some(crate::simulate::dipole::calibration::Waveform::Analytic);
        let if_analytic = |allowed: [f64; 2]| if is_analytic { own(allowed) } else { None };
        Limits {
            hr_bpm: if is_analytic { own([25.0, 220.0]) } else { own([30.0, 120.0]) },
            pr_ms: if_analytic([80.0, 400.0]),
            qrs_ms: if_analytic([50.0, 200.0]),
            qtc_ms: if_analytic([280.0, 650.0]),
            axis_deg: if_analytic([-180.0, 180.0]),
        }
    }
}
