//! Who is simulated: age, sex, and what varies from person to person.

use serde::Serialize;

use crate::seed::Stream;

/// Sex, which shifts QTc, QRS and the voltages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sex {
    /// Shorter QRS, longer QTc, smaller voltages.
    Female,
    /// Longer QRS, shorter QTc, larger voltages.
    Male,
}

impl Sex {
    /// Name, as typed by users and written into headers.
    pub fn name(self) -> &'static str {
        match self {
            Sex::Female => "female",
            Sex::Male => "male",
        }
    }
}

/// One simulated person, before any condition or request.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Patient {
    /// Age, years.
    pub age_years: f64,
    /// Sex.
    pub sex: Sex,
    /// Resting heart rate, bpm.
    pub hr_bpm: f64,
    /// PR interval, ms.
    pub pr_ms: f64,
    /// P duration, ms.
    pub p_ms: f64,
    /// QRS duration, ms.
    pub qrs_ms: f64,
    /// QTc after Fridericia, ms.
    pub qtc_ms: f64,
    /// Frontal QRS axis, degrees.
    pub axis_deg: f64,
    /// Scale of the vector along X, Y and Z.
    pub gains: [f64; 3],
    /// Scale of P and of T beside QRS.
    pub wave_gains: [f64; 2],
    /// How the heart lies: turns around X, Y and Z, radians.
    pub turns_rad: [f64; 3],
    /// Breathing: rate in Hz, phase in cycles, and how far it turns the heart, radians.
    pub breathing: [f64; 3],
    /// Slow variation of the RR interval, as a share of it (standard deviation).
    pub lf_share: f64,
    /// Variation of the RR interval with breathing, as a share of it (amplitude).
    pub rsa_share: f64,
    /// Variation of the height from beat to beat, as a share (standard deviation).
    pub beat_gain_sd: f64,
}

impl Patient {
    /// Draws a person; what is given is kept.
    ///
    /// Trends with age and sex are those of population studies, rounded: QTc 10 ms longer and QRS 7 ms shorter in
    /// women, the axis turning left by half a degree a year, voltages falling and heart rate variability halving
    /// from 20 to 70 years.
    pub(super) fn draw(age_years: Option<f64>, sex: Option<Sex>, stream: &mut Stream) -> Patient {
        // Each line draws whether or not its value is given, so that a given age changes nothing else.
        let drawn_age = stream.uniform_in(20.0, 88.0);
        let drawn_sex = if stream.uniform() < 0.5 { Sex::Female } else { Sex::Male };
        let (age_years, sex) = (age_years.unwrap_or(drawn_age), sex.unwrap_or(drawn_sex));
        let female = f64::from(u8::from(sex == Sex::Female));
        let years = age_years - 50.0;
        let mut around = |mean: f64, sd: f64, low: f64, high: f64| (mean + sd * stream.normal()).clamp(low, high);
        let size = around(1.05 - 0.10 * female - 0.002 * years, 0.13, 0.7, 1.5);
        let vagal = (1.0 - 0.01 * years).clamp(0.3, 1.5);
        Patient {
            age_years,
            sex,
            hr_bpm: around(70.0 + 3.0 * female, 9.0, 61.0, 98.0),
            pr_ms: around(156.0 + 0.2 * years, 16.0, 122.0, 198.0),
            p_ms: around(102.0, 6.0, 86.0, 116.0),
            qrs_ms: around(95.0 - 7.0 * female, 6.0, 76.0, 108.0),
            qtc_ms: around(402.0 + 10.0 * female + 0.2 * years, 14.0, 365.0, 445.0),
            axis_deg: around(45.0 - 0.5 * years, 20.0, -25.0, 88.0),
            gains: [
                size * around(1.0, 0.08, 0.75, 1.3),
                size * around(1.0, 0.08, 0.75, 1.3),
                size * around(0.95, 0.10, 0.7, 1.3),
            ],
            wave_gains: [around(1.0, 0.15, 0.6, 1.5), around(1.0 - 0.12 * female, 0.17, 0.6, 1.5)],
            turns_rad: [around(0.0, 0.08, -0.2, 0.2), around(0.0, 0.10, -0.25, 0.25), 0.0],
            breathing: [around(0.25, 0.03, 0.17, 0.34), around(0.5, 0.3, 0.0, 1.0), around(0.05, 0.02, 0.01, 0.10)],
            lf_share: around(0.020 * vagal, 0.006, 0.004, 0.05),
            rsa_share: around(0.025 * vagal, 0.010, 0.003, 0.07),
            beat_gain_sd: around(0.015, 0.005, 0.0, 0.03),
        }
    }

    /// The normal adult of the published table, who does not vary: for analytic test waveforms.
    pub(super) fn analytic() -> Patient {
        Patient {
            age_years: 50.0,
            sex: Sex::Male,
            hr_bpm: 60.0,
            pr_ms: 160.0,
            p_ms: 100.0,
            qrs_ms: 96.0,
            qtc_ms: 400.0,
            axis_deg: 45.0,
            gains: [1.0; 3],
            wave_gains: [1.0, 1.0],
            turns_rad: [0.0; 3],
            breathing: [0.25, 0.0, 0.0],
            lf_share: 0.0,
            rsa_share: 0.0,
            beat_gain_sd: 0.0,
        }
    }
}
