//! A cohort of simulated patients with labeled beats: the embedded default data set.
//!
//! Each patient is simulated as one record, so that a window of a beat also shows the T wave of the
//! beat before, the P wave of the beat after, and noise that runs on between them, all of which tell
//! the classes apart on wards. The beats are then cut around the R annotations as they are from real
//! records.
//!
//! # Reference
//! McSharry et al. 2003 for the model and the rhythm; Sameni et al. 2007 for its closed form.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::seed::{Seed, Stream};
use crate::signal::noise::{NoiseKind, add_sine, variance};
use crate::simulate::morphology::Morphology;
use crate::simulate::plan::{PatientPlan, plan};
use crate::simulate::rhythm::{Coupling, Pace, intervals, shuffle};
use crate::simulate::rr::RrProcess;
use crate::simulate::wave::{Part, Wave, add_wave};

/// Beat class of the AAMI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeatClass {
    /// Any beat that is none of the others, bundle branch block included.
    N,
    /// Supraventricular ectopic beat.
    S,
    /// Ventricular ectopic beat.
    V,
    /// Fusion of a ventricular and a normal beat.
    F,
    /// Paced or unclassifiable beat.
    Q,
}

impl BeatClass {
    /// The classes in the order of their indices.
    pub const ALL: [BeatClass; 5] = [BeatClass::N, BeatClass::S, BeatClass::V, BeatClass::F, BeatClass::Q];

    /// One-letter name.
    pub fn name(self) -> &'static str {
        match self {
            BeatClass::N => "N",
            BeatClass::S => "S",
            BeatClass::V => "V",
            BeatClass::F => "F",
            BeatClass::Q => "Q",
        }
    }
}

/// Part of the cohort that a patient belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CohortPart {
    /// Models may learn from it.
    Train,
    /// Choices may be made on it.
    Validation,
    /// Looked at once, for the result.
    Test,
}

/// Settings of the simulated cohort.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BeatCohort {
    /// Number of patients.
    pub n_patients: usize,
    /// Number of beats of each patient.
    pub beats_per_patient: usize,
    /// Sampling rate, Hz.
    pub fs_hz: f64,
    /// Points of a beat; the R annotation is at `sig_len / 2`.
    pub sig_len: usize,
    /// Share of each class in each part, in the order N, S, V, F, Q; N takes what is left.
    pub class_shares: [f64; 5],
    /// Share of the patients who are validation.
    pub validation_share: f64,
    /// Share of the patients who are test.
    pub test_share: f64,
    /// Lowest and highest signal-to-noise ratio of a patient, dB.
    pub snr_db: [f64; 2],
}

impl Default for BeatCohort {
    fn default() -> BeatCohort {
        BeatCohort {
            n_patients: 60,
            beats_per_patient: 120,
            fs_hz: 360.0,
            sig_len: 256,
            class_shares: [0.75, 0.06, 0.11, 0.03, 0.05],
            validation_share: 0.2,
            test_share: 0.3,
            snr_db: [10.0, 30.0],
        }
    }
}

/// The beats of a simulated cohort, patient by patient in the order of time.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatedBeats {
    /// Amplitudes, `[n, time]`, mV.
    pub ecg: Vec<f32>,
    /// Points of a beat.
    pub sig_len: usize,
    /// Sampling rate, Hz.
    pub fs_hz: f64,
    /// Class of each beat.
    pub class: Vec<BeatClass>,
    /// Number of each beat's patient, from 0.
    pub patient: Vec<u32>,
    /// Part of each beat's patient.
    pub part: Vec<CohortPart>,
    /// RR interval before and after each beat, s.
    pub rr_s: Vec<[f32; 2]>,
    /// Position of the R annotation in the patient's record, points.
    pub index: Vec<i64>,
}

/// One simulated patient as a record.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatedRecord {
    /// Amplitudes, mV.
    pub ecg_mv: Vec<f64>,
    /// Class of each beat but the first and the last, which only give their neighbors a context.
    pub class: Vec<BeatClass>,
    /// R annotation of those beats, points.
    pub r_index: Vec<i64>,
    /// RR interval before and after those beats, s.
    pub rr_s: Vec<[f32; 2]>,
    /// Signal-to-noise ratio that the record was made with, dB.
    pub snr_db: f64,
}

/// Simulates the cohort. Each patient, and within a patient each purpose, has a stream of random
/// numbers of its own, so the result does not depend on the number of threads.
///
/// # Errors
/// [`Error::Config`] for fewer than six patients or ten beats, shares that are negative or sum to
/// more than 1, a window that is empty or longer than 1 s, or a sampling rate below 100 Hz (which
/// could not hold a QRS).
pub fn simulate_beats(config: &BeatCohort, seed: Seed) -> Result<SimulatedBeats> {
    config.validate()?;
    let plans = plan(config, seed.purpose("plan"))?;
    let records: Vec<SimulatedRecord> = plans
        .par_iter()
        .enumerate()
        .map(|(i, plan)| simulate_patient(config, plan, seed.purpose("patient").index(i as u64)))
        .collect::<Result<_>>()?;

    let n = config.n_patients * config.beats_per_patient;
    let mut beats = SimulatedBeats {
        ecg: Vec::with_capacity(n * config.sig_len),
        sig_len: config.sig_len,
        fs_hz: config.fs_hz,
        class: Vec::with_capacity(n),
        patient: Vec::with_capacity(n),
        part: Vec::with_capacity(n),
        rr_s: Vec::with_capacity(n),
        index: Vec::with_capacity(n),
    };
    for (i, (record, plan)) in records.iter().zip(&plans).enumerate() {
        for (k, &r_index) in record.r_index.iter().enumerate() {
            // The record has a second before its first and after its last annotation.
            let start = r_index as usize - config.sig_len / 2;
            let window = &record.ecg_mv[start..start + config.sig_len];
            beats.ecg.extend(window.iter().map(|&v| v as f32));
            beats.class.push(record.class[k]);
            beats.patient.push(i as u32);
            beats.part.push(plan.part);
            beats.rr_s.push(record.rr_s[k]);
            beats.index.push(r_index);
        }
    }
    Ok(beats)
}

impl BeatCohort {
    fn validate(&self) -> Result<()> {
        let refuse = |key: &str, reason: String| Err(Error::config(key, reason));
        if self.beats_per_patient < 10 {
            return refuse("beats_per_patient", format!("{}, expected at least 10", self.beats_per_patient));
        }
        if !(100.0..=10_000.0).contains(&self.fs_hz) {
            return refuse("fs_hz", format!("{} Hz, expected 100 to 10000 Hz", self.fs_hz));
        }
        if self.sig_len == 0 || self.sig_len as f64 > self.fs_hz {
            return refuse("sig_len", format!("{} points, expected 1 to those of one second", self.sig_len));
        }
        let others: f64 = self.class_shares[1..].iter().sum();
        if self.class_shares.iter().any(|share| !(0.0..=1.0).contains(share)) || others > 0.9 {
            return refuse(
                "class_shares",
                format!("{:?}, expected shares with at most 0.9 for S, V, F and Q together", self.class_shares),
            );
        }
        for (key, share) in [("validation_share", self.validation_share), ("test_share", self.test_share)] {
            if !(0.0..=0.5).contains(&share) {
                return refuse(key, format!("{share}, expected 0 to 0.5"));
            }
        }
        let [low, high] = self.snr_db;
        if !(low.is_finite() && high.is_finite() && low <= high) {
            return refuse("snr_db", format!("{low} to {high} dB, expected a finite range"));
        }
        Ok(())
    }
}

fn simulate_patient(config: &BeatCohort, plan: &PatientPlan, seed: Seed) -> Result<SimulatedRecord> {
    let fs_hz = config.fs_hz;
    let mut stream = seed.purpose("person").stream();
    // S beats need a sinus rhythm to be premature against.
    let is_fibrillating = plan.counts[1] == 0 && stream.uniform() < 0.25;
    let morphology = Morphology::draw(&mut stream, !is_fibrillating, plan.is_paced);
    let mean_s = 60.0 / stream.uniform_in(55.0, 98.0);
    let pace = if is_fibrillating {
        Pace::Fibrillation { mean_s, spread: stream.uniform_in(0.12, 0.22) }
    } else {
        let sd_s = mean_s * stream.uniform_in(0.015, 0.06);
        Pace::Sinus(RrProcess { mean_s, sd_s, lf_hf_ratio: stream.uniform_in(0.5, 2.0) })
    };
    let coupling = Coupling { s: stream.uniform_in(0.6, 0.85), v: stream.uniform_in(0.5, 0.8) };
    let person = Person {
        has_dissociated_p: !is_fibrillating && stream.uniform() < 0.7,
        respiration: [stream.uniform_in(0.18, 0.32), stream.uniform(), stream.uniform_in(0.02, 0.09)],
        fibrillation_mv: if is_fibrillating { stream.uniform_in(0.02, 0.08) } else { 0.0 },
        annotation_sd_s: stream.uniform_in(0.001, 0.004),
        morphology,
    };

    let order = shuffle(plan.counts, &mut seed.purpose("order").stream());
    let rr_s = intervals(&order, &pace, coupling, seed)?;
    // The record starts a second before its first beat and ends one after its last.
    let mut t_s = 1.0 - rr_s[0];
    let r_s: Vec<f64> = rr_s
        .iter()
        .map(|rr| {
            t_s += rr;
            t_s
        })
        .collect();
    let mut ecg_mv = vec![0.0; libm::ceil((t_s + 1.0) * fs_hz) as usize];
    let mut annotation_s = Vec::with_capacity(order.len());
    for (k, class) in order.iter().enumerate() {
        let beat_seed = seed.purpose("beat").index(k as u64);
        let before_s = if k == 0 { mean_s } else { rr_s[k] };
        let beat = Beat { class: *class, r_s: r_s[k], before_s, base_s: mean_s };
        annotation_s.push(person.add_beat(&mut ecg_mv, fs_hz, &beat, &mut beat_seed.stream()));
    }
    person.add_fibrillation(&mut ecg_mv, fs_hz, &mut seed.purpose("fibrillation").stream());

    let mut stream = seed.purpose("noise").stream();
    let snr_db = stream.uniform_in(config.snr_db[0], config.snr_db[1]);
    add_noise(&mut ecg_mv, fs_hz, snr_db, &mut stream)?;

    let inner = 1..order.len() - 1;
    Ok(SimulatedRecord {
        class: order[inner.clone()].to_vec(),
        r_index: inner.clone().map(|k| libm::round(annotation_s[k] * fs_hz) as i64).collect(),
        rr_s: inner.map(|k| [rr_s[k] as f32, rr_s[k + 1] as f32]).collect(),
        ecg_mv,
        snr_db,
    })
}

/// What stays the same from beat to beat of one patient.
struct Person {
    morphology: Morphology,
    /// Whether sinus P waves march through ventricular beats.
    has_dissociated_p: bool,
    /// Rate in Hz, phase in cycles and depth of the breathing that turns the heart's axis.
    respiration: [f64; 3],
    /// Height of the fibrillation waves, mV; 0 in sinus rhythm.
    fibrillation_mv: f64,
    /// Spread of the annotation around the main deflection, s.
    annotation_sd_s: f64,
}

/// One beat's place in the record.
struct Beat {
    class: BeatClass,
    /// Time of the main deflection.
    r_s: f64,
    /// RR interval before it.
    before_s: f64,
    /// The patient's mean RR interval.
    base_s: f64,
}

impl Person {
    /// Adds a beat with its own small variation and returns the time of its annotation.
    fn add_beat(&self, ecg_mv: &mut [f64], fs_hz: f64, beat: &Beat, stream: &mut Stream) -> f64 {
        let [rate_hz, phase, depth] = self.respiration;
        let breathing = 1.0 + depth * libm::sin(std::f64::consts::TAU * (rate_hz * beat.r_s + phase));
        let is_ectopic = matches!(beat.class, BeatClass::V | BeatClass::F);
        let gain = breathing * (1.0 + if is_ectopic { 0.08 } else { 0.03 } * stream.normal());
        // Repolarization follows the interval before it and, slowly, the mean rate.
        let pace = libm::sqrt(0.5 * (beat.before_s + beat.base_s));
        for wave in self.morphology.beat(beat.class, stream) {
            let (time, jitter_ms) = match wave.part {
                Part::P => (1.0, 4.0),
                Part::Qrs => (1.0, 0.8),
                Part::T => (pace, 5.0),
            };
            let at_s = beat.r_s + 1e-3 * (time * wave.at_ms + jitter_ms * stream.normal());
            let sd_s = 1e-3 * time * wave.sd_ms * (1.0 + 0.03 * stream.normal());
            add_wave(ecg_mv, fs_hz, at_s, sd_s, gain * wave.mv * (1.0 + 0.06 * stream.normal()));
        }
        if beat.class == BeatClass::V && self.has_dissociated_p {
            // The sinus fires on time behind the ventricles' back; where it would still precede the
            // ventricular beat by a conducted P's distance the beat would be a fusion.
            let sinus_r_s = beat.r_s - beat.before_s + beat.base_s;
            if sinus_r_s - 1e-3 * self.morphology.pr_ms() > beat.r_s {
                for &Wave { at_ms, sd_ms, mv, .. } in self.morphology.sinus_p() {
                    add_wave(ecg_mv, fs_hz, sinus_r_s + 1e-3 * at_ms, 1e-3 * sd_ms, mv);
                }
            }
        }
        beat.r_s + self.annotation_sd_s * if is_ectopic { 2.0 } else { 1.0 } * stream.normal()
    }

    /// Adds the fibrillation waves: a sawtooth of three harmonics whose rate drifts.
    fn add_fibrillation(&self, ecg_mv: &mut [f64], fs_hz: f64, stream: &mut Stream) {
        if self.fibrillation_mv > 0.0 {
            let f_hz = stream.uniform_in(4.5, 8.0);
            for _ in 0..3 {
                // Three neighboring rates beat against each other.
                let f_hz = f_hz * (1.0 + 0.06 * stream.normal());
                for harmonic in [1.0, 2.0, 3.0] {
                    add_sine(
                        ecg_mv,
                        self.fibrillation_mv / (harmonic * 1.7),
                        harmonic * f_hz / fs_hz,
                        stream.uniform(),
                    );
                }
            }
        }
    }
}

/// Adds a patient's own mixture of the kinds of noise.
fn add_noise(ecg_mv: &mut [f64], fs_hz: f64, snr_db: f64, stream: &mut Stream) -> Result<()> {
    let kinds = [
        (NoiseKind::BaselineWander, 1.0),
        (NoiseKind::Muscle, 0.5),
        (NoiseKind::Powerline { f_hz: 60.0 }, 0.2),
        (NoiseKind::ElectrodeMotion, 0.3),
        (NoiseKind::White, 0.3),
    ];
    // Exponential weights: in each patient one or two kinds dominate.
    let weights = kinds.map(|(_, weight)| -weight * libm::log(1.0 - stream.uniform()));
    let total: f64 = weights.iter().sum();
    let noise_power = variance(ecg_mv) * libm::pow(10.0, -snr_db / 10.0);
    for ((kind, _), weight) in kinds.into_iter().zip(weights) {
        let scale = libm::sqrt(noise_power * weight / total);
        let noise = kind.generate(ecg_mv.len(), fs_hz, stream)?;
        ecg_mv.iter_mut().zip(&noise).for_each(|(value, n)| *value += scale * n);
    }
    Ok(())
}
