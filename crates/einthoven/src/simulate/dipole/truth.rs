//! What is known of a simulated record: its beats, waves and intervals, and how well it met the request.

use serde::Serialize;
use serde_json::{Value, json};

use crate::record::Annotation;
use crate::record::fiducial::{Fiducial, Wave};
use crate::simulate::dipole::kernel::BOUNDARY_SHARE;
use crate::simulate::dipole::request::Request;

/// One beat.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BeatTruth {
    /// Time of the peak of QRS, s.
    pub r_s: f64,
    /// Annotation symbol.
    pub symbol: &'static str,
    /// RR interval before it, s.
    pub rr_s: f64,
    /// From the onset of P to that of QRS, ms; `None` without a P wave of its own.
    pub pr_ms: Option<f64>,
    /// Duration of QRS, ms.
    pub qrs_ms: f64,
    /// From the onset of QRS to the end of T, ms.
    pub qt_ms: f64,
    /// Whether it is one of the usual beats of the rhythm, whose intervals count as the record's.
    pub is_usual: bool,
}

/// One wave across the leads and in each.
#[derive(Debug, Clone, PartialEq)]
pub struct WaveTruth {
    /// Which wave.
    pub wave: Wave,
    /// Onset, peak and offset of the heart's vector, s.
    pub global_s: [f64; 3],
    /// The same in each of the twelve leads in the standard order; `None` where the wave stays below
    /// [`VISIBLE_MV`].
    pub leads_s: [Option<[f64; 3]>; 12],
}

/// Peak below which a wave counts as absent from a lead, mV.
pub const VISIBLE_MV: f64 = 0.01;

/// One value of the record beside what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Delivery {
    /// What was asked for.
    pub requested: Option<f64>,
    /// What the record has; `None` where it has no such value.
    pub delivered: Option<f64>,
    /// Delivered less requested.
    pub difference: Option<f64>,
}

impl Delivery {
    fn new(requested: Option<f64>, delivered: Option<f64>) -> Delivery {
        Delivery { requested, delivered, difference: requested.zip(delivered).map(|(r, d)| d - r) }
    }
}

/// Values of a whole record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Truth {
    /// Heart rate over the intervals inside the record, bpm.
    pub hr_bpm: Delivery,
    /// Mean PR interval of the usual beats, ms.
    pub pr_ms: Delivery,
    /// Mean QRS duration of the usual beats, ms.
    pub qrs_ms: Delivery,
    /// Mean QT interval of the usual beats, ms.
    pub qt_ms: Delivery,
    /// QT corrected after Fridericia with the mean RR interval, ms.
    pub qtc_fridericia_ms: Delivery,
    /// Frontal axis of the net area of QRS, degrees.
    pub axis_deg: Delivery,
    /// Signal-to-noise ratio over the eight leads, dB.
    pub snr_db: Delivery,
    /// Number of beats.
    pub n_beats: usize,
    /// Rhythm as annotations name it, from the start to the end.
    pub rhythm: &'static str,
}

/// Sums that become the [`Truth`] while a record is made.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    n_beats: usize,
    first_r_s: f64,
    last_r_s: f64,
    pr_ms: Mean,
    qrs_ms: Mean,
    qt_ms: Mean,
    /// Sum and sum of squares of signal and noise in each of the eight leads.
    signal: [[f64; 2]; 8],
    noise: [[f64; 2]; 8],
    n_frames: usize,
}

/// A running mean.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: f64,
    n: usize,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.n += 1;
    }

    fn value(self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / self.n as f64)
    }
}

impl Tally {
    pub fn add_beat(&mut self, beat: &BeatTruth) {
        if self.n_beats == 0 {
            self.first_r_s = beat.r_s;
        }
        self.last_r_s = beat.r_s;
        self.n_beats += 1;
        if beat.is_usual {
            self.qrs_ms.add(beat.qrs_ms);
            self.qt_ms.add(beat.qt_ms);
            if let Some(pr_ms) = beat.pr_ms {
                self.pr_ms.add(pr_ms);
            }
        }
    }

    /// Adds a piece of signal and noise.
    pub fn add_power(&mut self, signal: &[Vec<f64>; 8], noise: &[Vec<f64>; 8]) {
        self.n_frames += signal[0].len();
        for (sums, leads) in [(&mut self.signal, signal), (&mut self.noise, noise)] {
            for (sum, lead) in sums.iter_mut().zip(leads) {
                // Eight sums side by side, in an order that is always the same.
                let mut lanes = [[0.0; 8]; 2];
                for values in lead.chunks(8) {
                    for (k, &v) in values.iter().enumerate() {
                        lanes[0][k] += v;
                        lanes[1][k] += v * v;
                    }
                }
                sum.iter_mut().zip(lanes).for_each(|(sum, lanes)| *sum += lanes.iter().sum::<f64>());
            }
        }
    }

    /// Power of the signal over that of the noise, means removed, over all leads; `None` without noise.
    pub fn power_ratio(&self) -> Option<f64> {
        let n = self.n_frames as f64;
        let power =
            |sums: &[[f64; 2]; 8]| sums.iter().map(|[sum, squares]| squares / n - (sum / n) * (sum / n)).sum::<f64>();
        let (signal, noise) = (power(&self.signal), power(&self.noise));
        (noise > 0.0).then(|| signal / noise)
    }

    pub fn truth(&self, request: &Request, axis_deg: Option<f64>, noise_scale: f64, rhythm: &'static str) -> Truth {
        let rr_s = (self.n_beats > 1).then(|| (self.last_r_s - self.first_r_s) / (self.n_beats - 1) as f64);
        let qt_ms = self.qt_ms.value();
        let snr_db = self
            .power_ratio()
            .filter(|_| request.snr_db.is_some())
            .map(|ratio| 10.0 * libm::log10(ratio / (noise_scale * noise_scale)));
        Truth {
            hr_bpm: Delivery::new(request.hr_bpm, rr_s.map(|rr_s| 60.0 / rr_s)),
            pr_ms: Delivery::new(request.pr_ms, self.pr_ms.value()),
            qrs_ms: Delivery::new(request.qrs_ms, self.qrs_ms.value()),
            qt_ms: Delivery::new(None, qt_ms),
            qtc_fridericia_ms: Delivery::new(
                request.qtc_ms,
                qt_ms.zip(rr_s).map(|(qt_ms, rr_s)| qt_ms / libm::cbrt(rr_s)),
            ),
            axis_deg: Delivery::new(request.axis_deg, axis_deg),
            snr_db: Delivery::new(request.snr_db, snr_db),
            n_beats: self.n_beats,
            rhythm,
        }
    }
}

/// How far each value of the truth may be from the record, for the record's rate and breathing.
pub fn uncertainty(fs_hz: f64, breathing_rad: f64) -> Value {
    json!({
        "boundary_definition": format!("vector of the wave's kernels at {} % of its peak; in a lead, its projection", 100.0 * BOUNDARY_SHARE),
        // Straight lines between milliseconds on the flank of the narrowest kernel.
        "boundary_ms": 0.1,
        "annotation_ms": 500.0 / fs_hz,
        "interval_ms": 0.2,
        "hr_bpm": 0.01,
        "axis_deg": breathing_rad.to_degrees(),
        "amplitude_in_file_mv": 0.0005,
        "notes": "annotations are rounded to points; breathing turns the axis of single beats by axis_deg at most; the boundaries of overlapping waves are those of each wave by itself",
    })
}

/// Beats as annotations, after the rhythm where the record starts.
pub fn beat_annotations(
    beats: &[BeatTruth],
    fs_hz: f64,
    rhythm: Option<&'static str>,
    sig_len: usize,
) -> Vec<Annotation> {
    let mut marks = Vec::with_capacity(beats.len() + 1);
    if let Some(rhythm) = rhythm {
        let mut mark = Annotation::new(0, "+");
        mark.aux = rhythm.as_bytes().to_vec();
        marks.push(mark);
        if rhythm == "(VFIB" {
            // Fibrillation has no beats: its start and end are marked.
            marks.push(Annotation::new(0, "["));
            marks.push(Annotation::new(sig_len as i64 - 1, "]"));
        }
    }
    marks.extend(beats.iter().map(|beat| Annotation::new(libm::round(beat.r_s * fs_hz) as i64, beat.symbol)));
    marks
}

/// Waves of one lead, or across leads, as points of the record, in the order of their peaks.
///
/// Where waves overlap, the earlier one ends where the later one begins, and a P wave whose peak lies inside the T wave
/// before it is left out: annotations cannot nest.
pub fn fiducials(waves: &[WaveTruth], lead: Option<usize>, fs_hz: f64, sig_len: usize) -> Vec<Fiducial> {
    let mut found: Vec<Fiducial> = Vec::with_capacity(waves.len());
    let mut last_end: Option<(Wave, f64)> = None;
    for wave in waves {
        let Some([onset_s, peak_s, offset_s]) = (match lead {
            None => Some(wave.global_s),
            Some(lead) => wave.leads_s[lead],
        }) else {
            continue;
        };
        let point = |t_s: f64| {
            let at = libm::round(t_s * fs_hz);
            (at >= 0.0 && at < sig_len as f64).then_some(at as usize)
        };
        let Some(peak) = point(peak_s) else { continue };
        if wave.wave == Wave::P && last_end.is_some_and(|(_, end_s)| peak_s <= end_s) {
            continue;
        }
        let mut onset = point(onset_s);
        if let (Some(last), Some(begin)) = (found.last_mut(), onset) {
            if begin <= last.peak {
                onset = None;
            } else if let Some(end) = last.offset {
                last.offset = Some(end.min(begin));
            }
        }
        last_end = Some((wave.wave, offset_s));
        found.push(Fiducial { wave: wave.wave, onset, peak, offset: point(offset_s) });
    }
    found
}
